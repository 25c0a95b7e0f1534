//! The capture shows the wire as it was, or says that it cannot.

use std::borrow::Cow;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use harness::lab::Lab;
use harness::net::segment::Segment;
use harness::net::witness::{State, sockets};
use harness::socket::Stream;
use harness::trace::Act;
use harness::{Capture, Error, Family, wait};
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption;
use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionOption;
use pcap_file::pcapng::{Block, PcapNgReader};

use crate::in_lab::{Need, Test};

pub fn tests() -> Vec<Test> {
    let mut tests = vec![
        Test::inside("capture/overflow-is-an-error", overflow),
        Test::inside("capture/nothing-is-lost-that-is-read-in-time", read_in_time),
        Test::inside("capture/stamped-when-sent", stamped_when_sent),
        Test::inside("capture/pcapng", pcapng),
        Test::inside("capture/own-packets-are-commented", own_packets),
        Test::inside("capture/long-packets-keep-their-length", long_packets),
    ];
    for family in [Family::V4, Family::V6] {
        let need = family.needs_ipv6().then_some(Need::Ipv6);
        tests
            .push(Test::inside(format!("capture/once/{family}"), move || once(family)).needs(need));
    }
    tests
}

/// A connection from SYN to TIME_WAIT, with data both ways.
fn converse(lab: &mut Lab) {
    let a = lab.listen("A").expect("A");
    let client = lab.connect("C").expect("connected");
    let child = a.accept().expect("accepted");
    for _ in 0..5 {
        client.send(b"request").expect("sent");
        assert_eq!(child.receive().expect("data").to_string(), "`request`");
        child.send(b"answer").expect("sent");
        assert_eq!(client.receive().expect("data").to_string(), "`answer`");
    }
    drop(client);
    assert_eq!(child.receive().expect("the end").to_string(), "end of stream");
    drop(child);
    lab.close(a);
    wait::until("TIME_WAIT and nothing else", || {
        let states: Vec<State> = sockets(lab.family())?.iter().map(|line| line.state).collect();
        Ok((states == [State::TimeWait]).then_some(()))
    })
    .expect("closed");
}

/// The kernel's own count of received segments is the other witness.
fn once(family: Family) {
    let mut lab = Lab::open(family).expect("a lab");
    let (counters, began) = (lab.counters().expect("counters"), now());
    converse(&mut lab);
    let (received, ended) = (lab.counters().expect("counters").grown(&counters, "InSegs"), now());
    let segments: Vec<Segment> = lab.trace().segments().cloned().collect();
    assert_eq!(Some(segments.len() as i64), received, "captured, and received by TCP");
    assert!(segments.len() >= 3 + 10 + 3, "{} segments", segments.len());
    let times: Vec<Duration> = segments.iter().map(|segment| segment.at).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert!(began <= times[0], "{began:?}, {:?}", times[0]);
    assert!(times[times.len() - 1] <= ended, "{:?}, {ended:?}", times[times.len() - 1]);
    for segment in &segments {
        let server = family.server();
        assert!(segment.from == server || segment.to == server, "{segment:?}");
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970")
}

/// Sends `count` datagrams over `lo`. A datagram that finds no room in the receiver's
/// buffer has crossed the wire all the same.
fn send_datagrams(count: u32, bytes: &[u8]) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let own = socket.local_addr().expect("an address");
    for _ in 0..count {
        assert_eq!(socket.send_to(bytes, own).expect("sent"), bytes.len());
    }
}

/// More than any buffer holds, and nobody reads meanwhile.
fn overflow() {
    const SENT: u32 = 20_000;
    let mut capture = Capture::start().expect("a capture");
    capture.check_complete().expect("nothing is lost yet");
    send_datagrams(SENT, b"!");
    let lost = lost(&mut capture).expect("holes");
    capture.drain();
    assert_eq!(packets(&capture).len() as u32 + lost, SENT, "captured and lost");
    send_datagrams(1, b"!");
    capture.drain();
    assert_eq!(self::lost(&mut capture), Some(lost), "a hole stays a hole");
}

fn lost(capture: &mut Capture) -> Option<u32> {
    match capture.check_complete() {
        Ok(()) => None,
        Err(Error::CaptureLost { lost }) => Some(lost),
        Err(other) => panic!("{other}"),
    }
}

/// However many packets there are, none is lost as long as somebody reads.
fn read_in_time() {
    const ROUNDS: u32 = 100;
    let mut capture = Capture::start().expect("a capture");
    for _ in 0..ROUNDS {
        send_datagrams(200, b"!");
        capture.drain();
    }
    assert_eq!(lost(&mut capture), None);
    assert_eq!(packets(&capture).len() as u32, ROUNDS * 200);
}

/// A timestamp is from when the packet crossed the wire, not from when it was read; of
/// the first packet too.
fn stamped_when_sent() {
    let mut capture = Capture::start().expect("a capture");
    let began = now();
    send_datagrams(1, b"!");
    let ended = now();
    capture.drain();
    let at = packets(&capture)[0].at;
    assert!((began..=ended).contains(&at), "{at:?} is not in {began:?} to {ended:?}");
}

fn long_packets() {
    let mut capture = Capture::start().expect("a capture");
    send_datagrams(1, &[b'x'; 3000]);
    capture.drain();
    let packets = packets(&capture);
    let [packet] = packets.as_slice() else { panic!("{} packets", packets.len()) };
    let headers = 14 + 20 + 8;
    assert_eq!(packet.original_len, headers + 3000);
    assert_eq!(packet.bytes.len(), 512, "what is kept");
    assert!(packet.bytes[headers as usize..].iter().all(|byte| *byte == b'x'));
}

/// Who reads a capture is not to wonder what the laboratory's own packets are.
fn own_packets() {
    let mut lab = Lab::open(Family::V4).expect("a lab");
    lab.settle().expect("settled");
    let (_, _, file) = lab.finish(None).expect("finished");
    let packets = read(&file);
    assert_eq!(packets.len(), 2);
    for packet in packets {
        assert!(packet.comments.iter().any(|text| text.contains("sockmig's own")), "{packet:?}");
    }
}

/// A packet as the pcapng file holds it.
#[derive(Debug)]
struct Packet {
    at: Duration,
    bytes: Vec<u8>,
    original_len: u32,
    comments: Vec<String>,
}

/// Reads the capture's pcapng file back. Its one interface is `lo`, and counts
/// nanoseconds.
fn packets(capture: &Capture) -> Vec<Packet> {
    read(&capture.pcapng().expect("a file"))
}

fn read(file: &[u8]) -> Vec<Packet> {
    let mut reader = PcapNgReader::new(file).expect("pcapng");
    let mut packets = Vec::new();
    let mut interfaces = 0;
    while let Some(block) = reader.next_block() {
        match block.expect("a block") {
            Block::InterfaceDescription(interface) => {
                interfaces += 1;
                let options = interface.options;
                assert!(options.contains(&InterfaceDescriptionOption::IfTsResol(9)), "{options:?}");
                let name = InterfaceDescriptionOption::IfName(Cow::Borrowed("lo"));
                assert!(options.contains(&name), "{options:?}");
            }
            Block::EnhancedPacket(packet) => {
                assert_eq!(packet.interface_id, 0);
                let comments = packet.options.iter().map(|option| match option {
                    EnhancedPacketOption::Comment(text) => text.to_string(),
                    other => panic!("{other:?}"),
                });
                packets.push(Packet {
                    at: packet.timestamp,
                    comments: comments.collect(),
                    bytes: packet.data.into_owned(),
                    original_len: packet.original_len,
                });
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(interfaces, 1);
    packets
}

/// Every packet is in the file, to the nanosecond, and every act is a comment on the
/// packet after it; those that no packet followed are on the last.
fn pcapng() {
    let mut capture = Capture::start().expect("a capture");
    capture.act(Act::Words("first".into()));
    capture.act(Act::Words("second".into()));
    let ends = connected_once(&mut capture);
    capture.act(Act::Words("third".into()));
    drop(ends);
    capture.drain();
    capture.act(Act::Words("fourth".into()));
    capture.act(Act::Words("fünfter \u{1f980}".into()));
    capture.describe("quiz1/v4/on");

    let file = capture.pcapng().expect("a file");
    let header = PcapNgReader::new(file.as_slice()).expect("pcapng").section().clone();
    let options = format!("{:?}", header.options);
    let kernel = std::fs::read_to_string("/proc/version").expect("a kernel");
    for part in ["quiz1/v4/on", kernel.trim_end(), "sockmig "] {
        assert!(options.contains(part), "{part}: {options}");
    }
    let packets = packets(&capture);
    let segments: Vec<&Segment> = capture.trace().segments().collect();
    assert_eq!(packets.len(), segments.len());
    for (packet, segment) in packets.iter().zip(&segments) {
        assert_eq!(Segment::parse(packet.at, &packet.bytes).as_ref(), Some(*segment));
        assert_eq!(packet.original_len as usize, packet.bytes.len());
    }
    let commented: Vec<(usize, &str)> = packets
        .iter()
        .enumerate()
        .flat_map(|(at, packet)| packet.comments.iter().map(move |text| (at, text.as_str())))
        .collect();
    let last = packets.len() - 1;
    assert_eq!(
        commented,
        [
            (0, "before this packet: first"),
            (0, "before this packet: second"),
            (3, "before this packet: third"),
            (last, "after this packet: fourth"),
            (last, "after this packet: fünfter \u{1f980}"),
        ]
    );
}

/// Three packets of a handshake. What it returns sends more when it is dropped.
fn connected_once(capture: &mut Capture) -> (TcpStream, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let client = TcpStream::connect(listener.local_addr().expect("an address"));
    wait::until("the handshake", || {
        capture.drain();
        Ok((capture.trace().segments().count() == 3).then_some(()))
    })
    .expect("three packets");
    (client.expect("connected"), listener)
}
