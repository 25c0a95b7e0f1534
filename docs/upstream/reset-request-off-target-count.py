#!/usr/bin/env python3
# handshake/reset/v4/on
#
# A has W's request; B listens; A is closed. W sends an RST with exactly the expected sequence number.
# The request is gone, and no packet is sent. On: the reset is counted. B is unaffected, and takes new handshakes.
# Made by sockmig from a run on Linux 6.18.44-fc-v657 (x86_64).
# This kernel is wrong: answer to a fresh SYN: expected S > fresh  S. 0:0(0) ack 1, actual nothing
# This kernel is wrong: fresh SYNs dropped for a full queue: expected 0, actual 1
#
# server_1 is A, server_2 is B, client_1 is W, client_2 is fresh

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


import collections, errno, platform, select, signal, time

LETTERS = "SFRP.UEW"
BITS = {"F": 1, "S": 2, "R": 4, "P": 8, ".": 16, "U": 32, "E": 64, "W": 128}
# The first number of clients that are no sockets: soon past the end of 32 bits.
FIRST = 2**32 - 3
PATIENCE = 5
IPPROTO_MPTCP = 262
deviations = 0


def did(what, got, expected):
    """Shows what was seen of an act, and whether it is what was expected."""
    global deviations
    print(f"{what}: {got}")
    if got != expected:
        deviations += 1
        print(f"    EXPECTED {expected}")


def attempt(call, *arguments):
    """Does a call; says `ok`, or the name of the errno."""
    try:
        call(*arguments)
        return "ok"
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))


def checked(result):
    """The result of a function of the C library that sets errno."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def sysctl(name, value):
    return attempt(set_sysctl, name, value)


class Wire:
    """What is on `lo`, and a way to put segments there."""

    def __init__(self):
        self.packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.packets.bind(("lo", 3))
        self.packets.setblocking(False)
        domain = socket.AF_INET6 if ":" in WIRE else socket.AF_INET
        self.raw = socket.socket(domain, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self.echo = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.echo.bind(("127.0.0.1", 0))
        self.echo.connect(self.echo.getsockname())
        self.names, self.initial, self.lines = {}, {}, []
        self.matched = collections.Counter()

    def settle(self):
        for _ in range(2):
            # What was sent before has arrived when this has.
            self.echo.send(b"x")
            self.echo.recv(16)

    def read(self):
        """Reads what was captured, as lines in packetdrill's notation."""
        while True:
            try:
                frame, (_, _, kind, *_) = self.packets.recvfrom(65536)
            except BlockingIOError:
                return
            if kind == socket.PACKET_OUTGOING:
                continue
            if frame[12:14] == b"\x08\0" and frame[23] == 6:
                header = 4 * (frame[14] & 15)
                total = struct.unpack("!H", frame[16:18])[0]
                source, target = (socket.inet_ntop(socket.AF_INET, frame[at:at + 4]) for at in (26, 30))
                tcp = frame[14 + header:14 + total]
            elif frame[12:14] == b"\x86\xdd" and frame[20] == 6:
                source, target = (socket.inet_ntop(socket.AF_INET6, frame[at:at + 16]) for at in (22, 38))
                tcp = frame[54:]
            else:
                continue
            self.add(source, target, tcp)

    def add(self, source, target, tcp):
        source_port, target_port, seq, ack, offset, bits = struct.unpack("!HHIIBB", tcp[:14])
        there = ((source, source_port), (target, target_port))
        back = there[::-1]
        if bits & 2:
            if not bits & 16 and self.initial.get(there) != seq:
                self.initial[there] = seq
                self.initial.pop(back, None)
            self.initial.setdefault(there, seq)
        relative = (seq - self.initial.get(there, 0)) % 2**32
        length = len(tcp) - 4 * (offset >> 4)
        flags = "".join(letter for letter in LETTERS if bits & BITS[letter]) or "-"
        text = f"{flags} {relative}:{(relative + length) % 2**32}({length})"
        if bits & 16:
            text += f" ack {(ack - self.initial.get(back, 0)) % 2**32}"
            if bits & 2:
                # A client that is no socket acknowledges what it has seen.
                for client in built.values():
                    if (target, target_port) == (WIRE, client.port):
                        client.server_initial = seq
        self.lines.append(f"{self.name(there[0])} > {self.name(there[1])}  {text}")

    def name(self, end):
        return "server" if end[1] == PORT else self.names.get(end, f"{end[0]}:{end[1]}")

    def expect(self, line, again, seconds=PATIENCE):
        """Waits for a segment; for one more of its kind, where it is sent again."""
        global deviations
        wanted = self.matched[line] + 1 if again or not self.matched[line] else 1
        until = time.monotonic() + seconds
        while True:
            self.read()
            if self.lines.count(line) >= wanted:
                break
            left = until - time.monotonic()
            if left <= 0:
                deviations += 1
                print(f"    EXPECTED {line}")
                return
            select.select([self.packets], [], [], left)
        self.matched[line] = wanted
        print(f"    {line}")

    def unexpected(self):
        """Resets of the server that nobody expected."""
        self.settle()
        self.read()
        found = collections.Counter(line for line in self.lines
                                    if line.startswith("server > ") and line.split("  ")[1][0] == "R")
        return sum((found - self.matched).values())


def number(name):
    """An option, by its name in the C library, with its level."""
    others = {"SO_REUSEPORT": 15, "SO_INCOMING_CPU": 49, "SO_MARK": 36, "SO_PRIORITY": 12,
              "SO_LOCK_FILTER": 44, "SO_DETACH_FILTER": 27, "SO_BINDTODEVICE": 25, "SO_OOBINLINE": 10,
              "TCP_FASTOPEN": 23, "TCP_SAVE_SYN": 27, "TCP_CONGESTION": 13, "TCP_USER_TIMEOUT": 18,
              "TCP_NOTSENT_LOWAT": 25, "TCP_SYNCNT": 7, "TCP_LINGER2": 8, "TCP_RTO_MAX_MS": 44,
              "IPV6_FREEBIND": 78, "IPV6_TCLASS": 67, "IPV6_UNICAST_HOPS": 16,
              "IPV6_RECVHOPLIMIT": 51}
    level = {"SO": 1, "TCP": 6, "IP": 0, "IPV6": 41}[name.split("_")[0]]
    return level, others.get(name, getattr(socket, name, None))


class End:
    """A socket that can be set, sent through and closed."""

    def option(self, name, value):
        level, option = number(name)
        if name == "SO_LINGER":
            value = struct.pack("ii", 1, 0)
        return attempt(self.socket.setsockopt, level, option, value)

    def send(self, data):
        return attempt(self.socket.sendall, data)

    def receive(self, waits):
        if waits:
            select.select([self.socket], [], [], PATIENCE)
        try:
            data = self.socket.recv(1024, socket.MSG_DONTWAIT)
        except OSError as error:
            return errno.errorcode[error.errno]
        return repr(data) if data else "end of stream"

    def shutdown(self, how):
        return attempt(self.socket.shutdown, how)

    def disconnect(self):
        """`connect` to AF_UNSPEC."""
        return attempt(lambda: checked(libc.connect(self.socket.fileno(), b"\0" * 16, 16)))

    def close(self):
        self.socket.close()
        return "ok"


# In a group of sixty listeners, the slot of a connection is which of them it reaches.
SLOTS = 60


def ports_with(slots):
    """Of each client, ports for its connections: which have these hashes, or 0 for any other."""
    wanted = collections.Counter(slot for each in slots.values() for slot in each if slot is not None)
    found = collections.defaultdict(list)
    group = [socket.socket(FAMILY) for _ in range(SLOTS if wanted else 0)]
    for server in group:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        server.bind((SERVER, PORT))
        server.listen(16)
    while any(len(found[slot]) < count for slot, count in wanted.items()):
        client = socket.socket(FAMILY)
        client.bind((SERVER, 0))
        client.connect((SERVER, PORT))
        reached = select.select(group, [], [], PATIENCE)[0][0]
        child, _ = reached.accept()
        port, of_slot = client.getsockname()[1], found[group.index(reached)]
        if port not in of_slot:
            of_slot.append(port)
        # The server resets it, so that nothing is left of it.
        child.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        child.close()
        client.close()
    for server in group:
        server.close()
    return {name: [0 if slot is None else found[slot].pop() for slot in each]
            for name, each in slots.items()}


def next_port(name):
    """The port of this client's next connection; 0 lets the kernel choose."""
    return ports[name].pop(0) if ports.get(name) else 0


class Client(End):
    """A client that is a socket."""

    def __init__(self, name):
        self.name, self.socket, self.is_connected = name, socket.socket(FAMILY), False

    def bind(self, address, port):
        return attempt(self.socket.bind, (address, port))

    def connect(self, waits):
        self.is_connected = True
        port = next_port(self.name)
        if port:
            self.socket.bind((SERVER, port))
        self.socket.setblocking(False)
        error = self.socket.connect_ex((SERVER, PORT))
        if waits and error == errno.EINPROGRESS:
            select.select([], [self.socket], [], PATIENCE)
            error = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self.socket.setblocking(True)
        address, port = self.socket.getsockname()[:2]
        wire.names[(address.replace("::ffff:", ""), port)] = self.name
        return "ok" if error in (0, errno.EINPROGRESS) else errno.errorcode[error]


clients = collections.defaultdict(list)


def client(name):
    """The client of this name; another one where there was one that is closed."""
    if not clients[name] or clients[name][-1].socket.fileno() < 0:
        clients[name].append(Client(name))
    return clients[name][-1]


def new_client(name):
    """The client of this name that is to connect."""
    if not clients[name] or clients[name][-1].is_connected:
        clients[name].append(Client(name))
    return clients[name][-1]


def close_client(name):
    first = next((each for each in clients[name] if each.socket.fileno() >= 0), None)
    return first.close() if first else "ok"


class BuiltClient:
    """A client that is no socket: it sends only the segments that are built for it. A socket with
    a filter that drops everything has its port."""

    def __init__(self, name):
        self.hole = socket.socket(socket.AF_INET6 if ":" in WIRE else socket.AF_INET)
        code = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))
        self.hole.setsockopt(socket.SOL_SOCKET, 26, struct.pack("HxxxxxxP", 1, ctypes.addressof(code)))
        self.hole.bind((WIRE, next_port(name)))
        self.hole.listen(1)
        self.port = self.hole.getsockname()[1]
        self.server_initial = 0
        wire.names[(WIRE, self.port)] = name

    def send(self, flags, seq, ack=0, payload=b"", options=b"", window=65535, tos=0, ttl=64,
             ip_options=b""):
        """Sends a segment; its numbers are relative to the connection's first ones."""
        wire.settle()
        wire.read()
        options += b"\x01" * (-len(options) % 4)
        ack = (self.server_initial + ack) % 2**32 if "." in flags else 0
        tcp = struct.pack("!HHIIBBHHH", self.port, PORT, (FIRST + seq) % 2**32, ack,
                          (5 + len(options) // 4) << 4, sum(BITS[flag] for flag in flags if flag != "-"),
                          window, 0, 0) + options + payload
        family = socket.AF_INET6 if ":" in WIRE else socket.AF_INET
        address = socket.inet_pton(family, WIRE)
        summed = address * 2 + struct.pack("!II" if ":" in WIRE else "!HH",
                                           *((len(tcp), 6) if ":" in WIRE else (6, len(tcp))))
        summed += tcp + b"\0" * (len(tcp) % 2)
        total = sum(struct.unpack(f"!{len(summed) // 2}H", summed))
        while total >> 16:
            total = (total & 0xffff) + (total >> 16)
        tcp = tcp[:16] + struct.pack("!H", ~total & 0xffff) + tcp[18:]
        if ":" in WIRE:
            ip = struct.pack("!BBHHBB", 0x60 | tos >> 4, (tos << 4) & 255, 0, len(tcp), 6, ttl)
        else:
            ip = struct.pack("!BBHHHBBH", 0x40 | 5 + len(ip_options) // 4, tos,
                             20 + len(ip_options) + len(tcp), 0, 0x4000, ttl, 6, 0)
        packet = ip + address * 2 + (b"" if ":" in WIRE else ip_options) + tcp
        result = attempt(self.raw_send, packet)
        wire.settle()
        return result

    def raw_send(self, packet):
        wire.raw.sendto(packet, (WIRE, 0))


built = {}


def built_client(name):
    if name not in built:
        built[name] = BuiltClient(name)
    return built[name]


class Child(End):
    """The server's end of a connection."""

    def __init__(self, accepted):
        self.socket = accepted


children = collections.defaultdict(list)


def child(name):
    """The child of this client that was accepted last."""
    return children[name][-1]


class Server(End):
    """A listener, or a socket that is to become one."""

    def __init__(self, name, protocol=0, uid=0):
        self.name = name
        if uid:
            os.seteuid(uid)
        self.descriptors = [socket.socket(FAMILY, socket.SOCK_STREAM, protocol)]
        if uid:
            os.seteuid(0)
        self.is_bound = self.listens = self.was_woken = False
        self.poller = None

    @property
    def socket(self):
        return self.descriptors[-1]

    def bind(self, address, port=PORT):
        self.is_bound = True
        return attempt(self.socket.bind, (address, port))

    def listen(self, backlog):
        if not self.is_bound:
            # As in the talk.
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            self.bind(SERVER)
        self.socket.setblocking(False)
        result = attempt(self.socket.listen, backlog)
        self.listens = result == "ok"
        if gate_is_closed and self.listens:
            hold_acks(self)
        return result

    def give_to(self, uid):
        return attempt(os.fchown, self.socket.fileno(), uid, -1)

    def duplicate(self):
        self.descriptors.append(self.socket.dup())
        return "ok"

    def close(self, by="close"):
        descriptor = self.descriptors.pop()
        if by == "close":
            descriptor.close()
        elif by == "close_range":
            fd = descriptor.detach()
            return attempt(lambda: checked(libc.syscall(436, fd, fd, 0)))
        else:
            null = os.open("/dev/null", os.O_RDONLY)
            os.dup2(null, descriptor.fileno(), inheritable=by == "dup2")
        return "ok"

    def accept(self, waits):
        # Once the child is accepted, nothing is left to report.
        self.was_woken |= bool(self.poller and self.poller.poll(0))
        if waits:
            until = time.monotonic() + PATIENCE
            while not select.select([self.socket], [], [], 0.05)[0] and time.monotonic() < until:
                if self.queue()[0] != "0":
                    break
        else:
            wire.settle()
        try:
            accepted, (address, port, *_) = self.socket.accept()
        except OSError as error:
            return errno.errorcode[error.errno]
        name = wire.names.get((address.replace("::ffff:", ""), port), f"{address}:{port}")
        children[name].append(Child(accepted))
        return f"{name}'s connection"

    def queue(self):
        """How many children wait, and the backlog (TCP_INFO)."""
        info = self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        waiting, backlog = struct.unpack("II", info[24:32])
        return f"{waiting} of {backlog}"

    def watch(self):
        """Begins to wait for children; what is there already was seen."""
        self.poller = select.epoll()
        self.poller.register(self.descriptors[0], select.EPOLLIN | select.EPOLLET)
        self.poller.poll(0)
        return "ok"

    def is_woken(self, expected):
        wire.settle()
        return self.was_woken or bool(self.poller.poll(PATIENCE if expected else 0.2))


servers = {}


def server(name):
    """The listener of this name; another one where there was one that is closed."""
    if name not in servers or not servers[name].descriptors:
        servers[name] = Server(name)
    return servers[name]


def new_server(name, **of_socket):
    servers[name] = Server(name, **of_socket)
    return "ok"


gate_is_closed = False


def filter_code(*instructions):
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in instructions))
    return code, struct.pack("HxxxxxxP", len(instructions), ctypes.addressof(code))


def hold_acks(server):
    """The listener drops ACKs: flags with ACK, and neither SYN nor RST."""
    code, program = filter_code((0x30, 0, 0, 13), (0x54, 0, 0, 0x16), (0x15, 0, 1, 0x10),
                                (6, 0, 0, 0), (6, 0, 0, 0xffff))
    return attempt(server.socket.setsockopt, socket.SOL_SOCKET, 26, program)


def close_gate():
    global gate_is_closed
    gate_is_closed = True
    for each in servers.values():
        if each.descriptors and each.listens:
            hold_acks(each)
    return "ok"


def open_gate():
    global gate_is_closed
    gate_is_closed = False
    # What comes from now on is another segment than what was dropped.
    wire.read()
    wire.matched = collections.Counter(wire.lines)
    for each in servers.values():
        if each.descriptors and each.listens:
            # SO_DETACH_FILTER.
            attempt(each.socket.setsockopt, socket.SOL_SOCKET, 27, 0)
    return "ok"


def select_index(server, index):
    """A classic program (return index) chooses the member of the group for each SYN."""
    code, program = filter_code((6, 0, 0, index))
    return attempt(server.socket.setsockopt, socket.SOL_SOCKET, 51, program)


def select_by_hash(server):
    """SO_DETACH_REUSEPORT_BPF."""
    return attempt(server.socket.setsockopt, socket.SOL_SOCKET, 68, 0)


def listeners():
    """How many listeners there are at the port."""
    wire.settle()
    file = "/proc/net/tcp6" if FAMILY == socket.AF_INET6 else "/proc/net/tcp"
    lines = [line.split() for line in open(file).read().splitlines()[1:]]
    return sum(line[1].endswith(f":{PORT:04X}") and line[3] == "0A" for line in lines)


def destroy(remote_ports, cookie=b"\xff" * 8, remote=None):
    """SOCK_DESTROY, by netlink: of the socket at one of these remote ports that has this cookie."""
    family = socket.AF_INET6 if ":" in WIRE else socket.AF_INET
    local = socket.inet_pton(family, WIRE)
    remote = local if remote is None else b"\0" * len(local)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4) as netlink:
        for port in remote_ports:
            request = struct.pack("=BBBBI", family, 6, 0, 0, 0xffffffff)
            request += struct.pack("!HH16s16s", PORT, port, local, remote) + struct.pack("=I", 0) + cookie
            netlink.send(struct.pack("=IHHII", 16 + len(request), 21, 5, 1, 0) + request)
            error = -struct.unpack("=i", netlink.recv(4096)[16:20])[0]
            if error != errno.ENOENT:
                break
    wire.settle()
    return errno.errorcode[error] if error else "ok"


def destroy_server(server):
    # SO_COOKIE. By which port it is found depends on the hash.
    return destroy(range(512), server.socket.getsockopt(socket.SOL_SOCKET, 57, 8), b"")


def destroy_peer_of(name):
    end = built[name].port if name in built else client(name).socket.getsockname()[1]
    return destroy([end])


def bpf(command, attributes):
    system_call = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "s390x": 351, "ppc64le": 361}
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    return checked(libc.syscall(system_call[platform.machine()], command, buffer, len(attributes)))


def bpf_map(kind, key, value, entries):
    return bpf(0, struct.pack("=5I", kind, key, value, entries, 0))


def attach(server, instructions, attach_type):
    """SO_ATTACH_REUSEPORT_EBPF; maps in the program are those of this name here."""
    code = bytearray.fromhex(instructions)
    low_nibble_first = sys.byteorder == "little"
    for at in range(0, len(code), 8):
        source = code[at + 1] >> 4 if low_nibble_first else code[at + 1] & 15
        if code[at] == 0x18 and source == 1:
            name = struct.unpack("=i", code[at + 4:at + 8])[0]
            code[at + 4:at + 8] = struct.pack("=i", maps[name])
    code = ctypes.create_string_buffer(bytes(code), len(code))
    license = ctypes.create_string_buffer(b"GPL")
    # BPF_PROG_TYPE_SK_REUSEPORT.
    program = bpf(5, struct.pack("=IIQQIIQII16sII", 21, len(code) // 8, ctypes.addressof(code),
                                 ctypes.addressof(license), 0, 0, 0, 0, 0, b"", 0, attach_type))
    return attempt(server.socket.setsockopt, socket.SOL_SOCKET, 52, program)


def set_entry(map_name, index, server=None):
    """Sets an entry of a map of sockets, or removes it."""
    key = ctypes.create_string_buffer(struct.pack("=I", index), 4)
    if server is None:
        return attempt(bpf, 3, struct.pack("=IIQQQ", maps[map_name], 0, ctypes.addressof(key), 0, 0))
    value = ctypes.create_string_buffer(struct.pack("=Q", server.socket.fileno()), 8)
    return attempt(bpf, 2, struct.pack("=IIQQQ", maps[map_name], 0, ctypes.addressof(key),
                                       ctypes.addressof(value), 0))


processes = {}


def start_process(name, held):
    """A process that has these listeners open, and does nothing."""
    kept = {held_server.descriptors[0].fileno() for held_server in held}
    pid = os.fork()
    if pid:
        processes[name] = pid
        return "ok"
    for fd in os.listdir("/proc/self/fd"):
        if int(fd) > 2 and int(fd) not in kept:
            attempt(os.close, int(fd))
    while True:
        signal.pause()


def end_process(name, by=signal.SIGKILL):
    pid = processes.pop(name)
    os.kill(pid, by)
    os.kill(pid, signal.SIGCONT)
    os.waitpid(pid, 0)
    wire.settle()
    return "ok"


last = {}


def grown(names):
    """By how much these counters have grown since they were read last."""
    global last
    wire.settle()
    now, before = counters(), last
    last = now
    return {name: now[name] - before.get(name, 0) for name in names
            if name in now and now[name] != before.get(name, 0)}


def finish():
    """Says how many acts were not as expected."""
    global deviations
    unexpected = wire.unexpected()
    if unexpected:
        deviations += 1
        print(f"{unexpected} resets of the server that were not expected")
    for pid in processes.values():
        os.kill(pid, signal.SIGKILL)
    print(f"{deviations} acts were not as expected")
    os._exit(1 if deviations else 0)


FAMILY, SERVER, WIRE = socket.AF_INET, "127.0.0.1", "127.0.0.1"
WATCHED = "TCPMigrateReqSuccess TCPMigrateReqFailure PassiveOpens AttemptFails EstabResets OutRsts EmbryonicRsts ListenOverflows ListenDrops TCPAbortOnData TCPAbortOnClose TCPReqQFullDrop TCPReqQFullDoCookies SyncookiesSent SyncookiesRecv TCPDeferAcceptDrop".split()
enter_namespaces()
sysctl("net.ipv4.tcp_syncookies", 0)
sysctl("net.ipv4.ip_unprivileged_port_start", 0)
ports = ports_with({})
wire = Wire()
maps = {}
print("Linux", os.uname().release)
grown(WATCHED)

did("net.ipv4.tcp_migrate_req = 1", sysctl("net.ipv4.tcp_migrate_req", "1"), "ok")
did("listen(server_1, 32)", server("server_1").listen(32), "ok")
did("client_1 sends S 0:0(0)", built_client("client_1").send("S", 0, options=bytes.fromhex("020405b4")), "ok")
wire.expect("server > client_1  S. 0:0(0) ack 1", True)
did("listen(server_2, 32)", server("server_2").listen(32), "ok")
did("close(server_1)", server("server_1").close("close"), "ok")
did("counters that have grown", grown(WATCHED), {})
did("client_1 sends R 1:1(0)", built_client("client_1").send("R", 1), "ok")
did("counters that have grown", grown(WATCHED), {"AttemptFails": 1, "EmbryonicRsts": 1})
did("counters that have grown", grown(WATCHED), {})
did("listeners", listeners(), 1)
did("client_1 sends P. 1:12(11) ack 1", built_client("client_1").send("P.", 1, 1, payload=b"Hello World"), "ok")
wire.expect("server > client_1  R 1:1(0)", True)
did("accept(server_2)", server("server_2").accept(False), "EAGAIN")
did("counters that have grown", grown(WATCHED), {"OutRsts": 1})
did("client_2 sends S 0:0(0)", built_client("client_2").send("S", 0, options=bytes.fromhex("020405b4")), "ok")
did("counters that have grown", grown(WATCHED), {"ListenDrops": 1, "TCPReqQFullDrop": 1})
did("client_2 sends R 1:1(0)", built_client("client_2").send("R", 1), "ok")
did("close(server_2)", server("server_2").close("close"), "ok")

finish()
