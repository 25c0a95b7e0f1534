import collections, select, time

SLOTS = 60
SERVER = "127.0.0.1"
COUNTERS = """TCPMigrateReqSuccess TCPMigrateReqFailure PassiveOpens AttemptFails EstabResets OutRsts
    EmbryonicRsts ListenOverflows ListenDrops TCPReqQFullDrop TCPDeferAcceptDrop TCPTimeouts
    TCPSynRetrans TCPFastOpenPassive TCPFastOpenListenOverflow TCPChallengeACK
    TCPSYNChallenge""".split()
FLAGS = {"F": 1, "S": 2, "R": 4, "P": 8, ".": 16}


class Wire:
    """What is on `lo`, and a way to put segments there."""

    def __init__(self):
        self.raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self.packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.packets.bind(("lo", 3))
        self.packets.setblocking(False)
        # The clients' port at every address, where a filter (return 0) drops what comes.
        self.hole = socket.socket()
        code = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))
        self.hole.setsockopt(socket.SOL_SOCKET, 26, struct.pack("HxxxxxxP", 1, ctypes.addressof(code)))
        self.hole.bind(("0.0.0.0", 0))
        self.hole.listen(1)
        self.port = self.hole.getsockname()[1]
        self.echo = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.echo.bind((SERVER, 0))
        self.echo.connect(self.echo.getsockname())

    def send(self, address, flags, seq, ack, payload=b""):
        bits = sum(FLAGS[flag] for flag in flags)
        tcp = struct.pack("!HHIIBBHHH", self.port, PORT, seq % 2**32, ack % 2**32, 5 << 4, bits,
                          65535, 0, 0) + payload
        source, target = socket.inet_aton(address), socket.inet_aton(SERVER)
        summed = source + target + struct.pack("!HH", 6, len(tcp)) + tcp + b"\0" * (len(tcp) % 2)
        total = sum(struct.unpack(f"!{len(summed) // 2}H", summed))
        total = (total & 0xffff) + (total >> 16)
        total = (total & 0xffff) + (total >> 16)
        tcp = tcp[:16] + struct.pack("!H", ~total & 0xffff) + tcp[18:]
        ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0x4000, 64, 6, 0, source,
                         target)
        self.raw.sendto(ip + tcp, (SERVER, 0))

    def answers(self):
        """What the server has sent since the last call: address, flags, SEG.SEQ, SEG.ACK."""
        for _ in range(2):
            # What was sent before has arrived when this has.
            self.echo.send(b"x")
            self.echo.recv(16)
        while True:
            try:
                frame, (_, _, kind, *_) = self.packets.recvfrom(2048)
            except BlockingIOError:
                return
            if kind == socket.PACKET_OUTGOING or frame[12:14] != b"\x08\0" or frame[23] != 6:
                continue
            tcp = frame[14 + 4 * (frame[14] & 15):]
            source, _, seq, ack, _, bits = struct.unpack("!HHIIBB", tcp[:14])
            if source == PORT:
                yield socket.inet_ntoa(frame[30:34]), bits, seq, ack


class Client:
    """A client that is no socket: an address, and the numbers of its connection."""

    def __init__(self, name, address):
        self.name, self.address, self.server_initial = name, address, None
        self.established = False

    def send(self, flags, seq, ack=0, payload=b""):
        """Sends a segment; its numbers are relative to the connection's first ones."""
        ack = (self.server_initial or 0) + ack if "." in flags else 0
        wire.send(self.address, flags, FIRST + seq, ack, payload)

    def read(self, bits, seq, ack):
        """What a segment of the server says."""
        relative_ack, relative_seq = (ack - FIRST) % 2**32, (seq - (self.server_initial or 0)) % 2**32
        if bits & 6 == 2:
            again = " again" if seq == self.server_initial else ""
            self.server_initial = seq
            return f"S. 0:0(0) ack {relative_ack}{again}"
        if bits & 20 == 4:
            return f"R {relative_seq}:{relative_seq}(0)"
        if bits & 4:
            shown = 0 if seq == 0 else relative_seq
            return f"R. {shown}:{shown}(0) ack {relative_ack}"
        if bits == 16:
            return f". {relative_seq}:{relative_seq}(0) ack {relative_ack}"
        return f"a segment with the flags {bits:#04x}"


FIRST = 2**32 - 3


def listener(backlog, defer_accept=False, fast_open=0):
    """A socket that listens with SO_REUSEPORT."""
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    server.bind((SERVER, PORT))
    if defer_accept:
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 1)
    if fast_open:
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, fast_open)
    server.listen(backlog)
    server.setblocking(False)
    return server


def clients_with(slots):
    """Clients whose connections have these hashes: in a group of sixty listeners, the slot of a
    client is which of them it reaches."""
    found = collections.defaultdict(list)
    group = [listener(4096) for _ in range(SLOTS)]
    number = 0
    while any(len(found[slot]) < slots.count(slot) for slot in slots):
        asked = [f"127.1.{n >> 8}.{n & 255}" for n in range(number + 1, number + 51)]
        number += 50
        for address in asked:
            wire.send(address, "S", FIRST, 0)
        for address, bits, seq, _ in list(wire.answers()):
            if bits & 18 == 18:
                wire.send(address, ".", FIRST + 1, seq + 1)
        list(wire.answers())
        for slot, server in enumerate(group):
            try:
                while True:
                    child, (address, _) = server.accept()
                    child.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    child.close()
                    found[slot].append(address)
            except BlockingIOError:
                pass
    for server in group:
        server.close()
    list(wire.answers())
    return [Client(f"client_{at}", found[slot].pop(0)) for at, slot in enumerate(slots, 1)]


def attempt(call, *arguments):
    """Does a call; says `ok`, or the name of the errno."""
    import errno
    try:
        call(*arguments)
        return "ok"
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))


def accept(server):
    """Accepts a connection, and receives what there is."""
    import errno
    try:
        child, (address, _) = server.accept()
    except OSError as error:
        return "EAGAIN" if error.errno == errno.EAGAIN else errno.errorcode[error.errno]
    children.append(child)
    child.setblocking(False)
    name = next((each.name for each in clients if each.address == address), "nobody")
    received = 0
    while True:
        try:
            data = child.recv(4096)
        except OSError as error:
            then = "EAGAIN" if error.errno == errno.EAGAIN else errno.errorcode[error.errno]
            break
        if not data:
            then = "its end"
            break
        received += len(data)
    return f"{name}'s connection, {received} bytes, then {then}"


def select_index(server, index):
    """A classic program (return index) chooses the member of the group for each SYN."""
    code = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, index))
    return attempt(server.setsockopt, socket.SOL_SOCKET, 51,
                   struct.pack("HxxxxxxP", 1, ctypes.addressof(code)))


def watch(server):
    poller.register(server, select.EPOLLIN | select.EPOLLET)


def seen(what, result, expected, established=(), waited=False):
    """Shows what was seen of an act, and whether it is what was expected."""
    global before, deviations
    by_address = {client.address: client for client in clients}
    answers = []
    for address, bits, seq, ack in wire.answers():
        client = by_address.get(address)
        if client and not (bits == 16 and client in established):
            answers.append((client.name, client.read(bits, seq, ack)))
    if waited:
        answers.sort(key=lambda answer: clients.index(by_name[answer[0]]))
    parts = [result] + [f"to {name}: {answer}" for name, answer in answers]
    now = counters()
    parts += [f"{name} +{now[name] - before[name]}" for name in COUNTERS
              if name in now and now[name] != before[name]]
    before = now
    woken = {fd for fd, events in poller.poll(0)
             if events & select.EPOLLIN and not events & select.EPOLLHUP}
    in_order = sorted(servers, key=lambda name: int(name.split("_")[1]))
    parts += [f"epoll({name})" for name in in_order if servers[name].fileno() in woken]
    got = "; ".join(parts)
    print(f"{what}\n    {got}")
    if got != expected:
        deviations += 1
        print(f"    EXPECTED {expected}")


enter_namespaces()
for name, value in (("tcp_syncookies", 0), ("tcp_invalid_ratelimit", 0),
                    ("tcp_challenge_ack_limit", 2147483647), ("tcp_fastopen", 514),
                    ("tcp_synack_retries", 2), ("ip_unprivileged_port_start", 0)):
    set_sysctl("net.ipv4." + name, value)
wire = Wire()
poller = select.epoll()
servers, children, deviations = {}, [], 0
since = time.monotonic()


def wait(seconds):
    """Lets a timer of the kernel fire: the time counts from the last wait."""
    global since
    since += seconds
    time.sleep(max(0, since - time.monotonic()))


