//! The capture against libpcap's: the same packets, byte for byte, and a file that
//! libpcap reads as we wrote it.

mod in_lab;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use harness::lab::Lab;
use harness::socket::Stream;
use harness::{Capture, Family, process::entry, wait};
use in_lab::{Need, Test};
use pcap::{Active, Direction, Precision};

fn main() -> ExitCode {
    entry::enter(|what| in_lab::work(what, tests).expect("a work of every test program"));
    in_lab::main(tests())
}

fn tests() -> Vec<Test> {
    let agree = |family: Family| {
        Test::inside(format!("libpcap/agrees/{family}"), move || both_agree(family))
            .needs(family.needs_ipv6().then_some(Need::Ipv6))
    };
    vec![agree(Family::V4), agree(Family::V6)]
}

/// A packet as libpcap shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Packet {
    at: Duration,
    len: u32,
    bytes: Vec<u8>,
}

fn both_agree(family: Family) {
    let mut theirs = open_theirs();
    let mut ours = Capture::start().expect("a capture");
    converse(family);
    ours.drain();
    ours.check_complete().expect("no holes");
    let file = read_back(&ours.pcapng().expect("a file"));
    let times: Vec<Duration> = ours.trace().segments().map(|segment| segment.at).collect();
    let read: Vec<Duration> = file.iter().map(|packet| packet.at).collect();
    assert_eq!(times, read, "written, and read by libpcap");
    assert!(times.len() >= 10, "{} packets", times.len());
    assert!(file.iter().any(|packet| packet.bytes.len() < packet.len as usize), "none cut short");

    let theirs = take(&mut theirs, file.len());
    for (index, (ours, theirs)) in file.iter().zip(&theirs).enumerate() {
        assert_eq!((&ours.bytes, ours.len), (&theirs.bytes, theirs.len), "packet {index}");
        // TCP leaves the time of departure in a packet's timestamp, so that each of the two
        // taps puts its own there, one after the other.
        let apart = ours.at.abs_diff(theirs.at);
        assert!(apart < Duration::from_secs(1), "packet {index}: {apart:?} apart");
    }
}

/// From SYN to the last ACK, with one segment that is longer than what is kept.
fn converse(family: Family) {
    let mut lab = Lab::open(family).expect("a lab");
    let listener = lab.listen("A").expect("A");
    let client = lab.connect("C").expect("connected");
    client.send(b"Hello World").expect("sent");
    let child = listener.accept().expect("accepted");
    child.receive().expect("the request");
    child.send(&[b'x'; 1000]).expect("sent");
    client.receive().expect("the answer");
    drop(child);
    client.receive().expect("the end");
    drop(client);
    lab.close(listener);
    lab.finish(None).expect("a whole capture");
}

/// libpcap on `lo`, incoming packets only: it would show each twice otherwise.
fn open_theirs() -> pcap::Capture<Active> {
    let capture = pcap::Capture::from_device("lo")
        .expect("lo")
        .immediate_mode(true)
        .precision(Precision::Nano)
        .snaplen(512)
        .open()
        .expect("a capture by libpcap");
    capture.direction(Direction::In).expect("pcap_setdirection");
    capture.setnonblock().expect("pcap_setnonblock")
}

/// The next `count` packets, and the certainty that there are no more.
fn take(capture: &mut pcap::Capture<Active>, count: usize) -> Vec<Packet> {
    let mut packets = Vec::new();
    wait::until("libpcap to show as many packets", || {
        while let Ok(packet) = capture.next_packet() {
            packets.push(convert(&packet));
        }
        Ok((packets.len() >= count).then_some(()))
    })
    .expect("as many packets");
    assert_eq!(packets.len(), count, "packets");
    assert_eq!(capture.stats().expect("pcap_stats").dropped, 0, "lost by libpcap");
    packets
}

/// Our file, as libpcap reads it.
fn read_back(pcapng: &[u8]) -> Vec<Packet> {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(pcapng).expect("written");
    let opened = pcap::Capture::from_file_with_precision(file.path(), Precision::Nano);
    let mut opened = opened.expect("a file that libpcap can read");
    let mut packets = Vec::new();
    loop {
        match opened.next_packet() {
            Ok(packet) => packets.push(convert(&packet)),
            Err(pcap::Error::NoMorePackets) => return packets,
            Err(other) => panic!("{other}"),
        }
    }
}

fn convert(packet: &pcap::Packet<'_>) -> Packet {
    let header = packet.header;
    // With this precision, the field for microseconds holds nanoseconds.
    let at = Duration::new(header.ts.tv_sec as u64, header.ts.tv_usec as u32);
    Packet { at, len: header.len, bytes: packet.data.to_vec() }
}
