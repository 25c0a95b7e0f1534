import ctypes, fcntl, os, socket, struct, sys

PORT = 80
libc = ctypes.CDLL(None, use_errno=True)


def set_sysctl(name, value):
    with open("/proc/sys/" + name.replace(".", "/"), "w") as setting:
        setting.write(str(value))


def enter_namespaces():
    """A network namespace of its own, with a user namespace where this is not root."""
    newnet, newuser = 0x40000000, 0x10000000
    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(newnet | (newuser if uid else 0)):
        sys.exit("unshare: " + os.strerror(ctypes.get_errno()))
    if uid:
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"),
                           ("gid_map", f"0 {gid} 1")):
            with open("/proc/self/" + name, "w") as file:
                file.write(text)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        # SIOCSIFFLAGS: IFF_UP and IFF_RUNNING.
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sH14x", b"lo", 0x41))
    # What goes through `lo` has one queue for each processor.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def counters():
    """The counters of this network namespace, by their names."""
    values = {}
    for file in "/proc/net/snmp", "/proc/net/netstat":
        lines = open(file).read().splitlines()
        for names, numbers in zip(lines[::2], lines[1::2]):
            if names.split()[0] in ("Tcp:", "TcpExt:"):
                values.update(zip(names.split()[1:], map(int, numbers.split()[1:])))
    return values


