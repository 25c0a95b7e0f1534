//! The capture against libpcap's: the same packets, byte for byte, and a file that
//! libpcap reads as we wrote it.

mod in_lab;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use harness::lab::Lab;
use harness::socket::Stream;
use harness::{Capture, Family, wait};
use in_lab::{LabTest, ensure, told};
use pcap::{Active, Direction, Precision};

static TESTS: &[LabTest] = &[
    LabTest::of("both captures agree, v4", || both_agree(Family::V4)),
    LabTest::of("both captures agree, v6", || both_agree(Family::V6)),
];

fn main() -> ExitCode {
    in_lab::main(TESTS, |_| None)
}

/// A packet as libpcap shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Packet {
    at: Duration,
    len: u32,
    bytes: Vec<u8>,
}

fn both_agree(family: Family) -> Result<String, String> {
    let theirs = open_theirs()?;
    let mut ours = Capture::start().map_err(told)?;
    converse(family)?;
    ours.drain();
    ours.check_complete().map_err(told)?;
    let file = read_back(&ours.pcapng().map_err(told)?)?;
    let segments = ours.trace().segments().count();
    ensure(file.len() == segments && segments > 8, format!("{} of {segments}", file.len()))?;

    let theirs = take(theirs, file.len())?;
    for (index, (ours, theirs)) in file.iter().zip(&theirs).enumerate() {
        ensure(
            ours.bytes == theirs.bytes && ours.len == theirs.len,
            format!("packet {index}: {ours:?} here, {theirs:?} there"),
        )?;
        // Two taps take a packet one after the other.
        let apart = ours.at.abs_diff(theirs.at);
        ensure(apart < Duration::from_secs(1), format!("packet {index}: {apart:?} apart"))?;
    }
    let times: Vec<Duration> = ours.trace().segments().map(|segment| segment.at).collect();
    let read: Vec<Duration> = file.iter().map(|packet| packet.at).collect();
    ensure(times == read, format!("{times:?} written, {read:?} read"))?;
    Ok(String::new())
}

fn converse(family: Family) -> Result<(), String> {
    let mut lab = Lab::open(family).map_err(told)?;
    let listener = lab.listen("A").map_err(told)?;
    let client = lab.connect("C").map_err(told)?;
    client.send(b"Hello World").map_err(told)?;
    let child = listener.accept().map_err(told)?;
    child.receive().map_err(told)?;
    child.send(&[b'x'; 100]).map_err(told)?;
    client.receive().map_err(told)?;
    drop(child);
    client.receive().map_err(told)?;
    drop(client);
    lab.close(listener);
    lab.finish(None).map(drop).map_err(told)
}

/// libpcap on `lo`, incoming packets only: it would show each twice otherwise.
fn open_theirs() -> Result<pcap::Capture<Active>, String> {
    let capture = pcap::Capture::from_device("lo")
        .map_err(told)?
        .immediate_mode(true)
        .precision(Precision::Nano)
        .snaplen(400)
        .open()
        .map_err(told)?;
    capture.direction(Direction::In).map_err(told)?;
    let mut capture = capture.setnonblock().map_err(told)?;
    capture.filter("tcp", true).map_err(told)?;
    Ok(capture)
}

/// The next `count` packets, and the certainty that there are no more.
fn take(mut capture: pcap::Capture<Active>, count: usize) -> Result<Vec<Packet>, String> {
    let mut packets = Vec::new();
    wait::until("libpcap to show as many packets", || {
        while let Ok(packet) = capture.next_packet() {
            packets.push(convert(&packet));
        }
        Ok((packets.len() >= count).then_some(()))
    })
    .map_err(told)?;
    ensure(packets.len() == count, format!("{} of {count} packets", packets.len()))?;
    let lost = capture.stats().map_err(told)?.dropped;
    ensure(lost == 0, format!("libpcap lost {lost} packets"))?;
    Ok(packets)
}

/// Our file, as libpcap reads it.
fn read_back(pcapng: &[u8]) -> Result<Vec<Packet>, String> {
    // A file without a name: it vanishes with the process.
    let mut file = tempfile::NamedTempFile::new().map_err(told)?;
    file.write_all(pcapng).map_err(told)?;
    let opened = pcap::Capture::from_file_with_precision(file.path(), Precision::Nano);
    let mut opened = opened.map_err(told)?;
    let mut packets = Vec::new();
    while let Ok(packet) = opened.next_packet() {
        packets.push(convert(&packet));
    }
    Ok(packets)
}

fn convert(packet: &pcap::Packet<'_>) -> Packet {
    let header = packet.header;
    // With this precision, the field for microseconds holds nanoseconds.
    let at = Duration::new(header.ts.tv_sec as u64, header.ts.tv_usec as u32);
    Packet { at, len: header.len, bytes: packet.data.to_vec() }
}
