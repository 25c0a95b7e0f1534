//! The laboratory itself: that it is apart from the machine, that it ends, and that its
//! instruments show what is there.

mod in_lab;

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;
use std::time::Duration;

use harness::gate::{Gate, Whose};
use harness::lab::Lab;
use harness::process::Broken;
use harness::socket::{Client, Stream};
use harness::subprocess::{as_second_user, in_fresh_namespace, made_by_second_user};
use harness::sysctl::{self, MIGRATE_REQ};
use harness::witness::{State, sockets};
use harness::{Error, Family, PORT};
use in_lab::{LabTest, ensure, told};
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption;
use pcap_file::pcapng::{Block, PcapNgReader};

const SHORT: Duration = Duration::from_millis(300);

static TESTS: &[LabTest] = &[
    LabTest::judged("a lab has namespaces of its own", own_namespaces, |came| {
        let inside = came.map_err(told)?;
        let outside = namespaces();
        ensure(
            inside.lines().zip(outside.lines()).all(|(inside, outside)| inside != outside),
            format!("{inside} and {outside}"),
        )
    }),
    LabTest::judged("a lab's settings stay inside", set_migrate_req, |came| {
        let (inside, outside) = (came.map_err(told)?, migrate_req());
        ensure(inside == "1" && outside != "1", format!("{inside} inside, {outside} outside"))
    }),
    LabTest::judged("what is printed is no part of the result", print, |came| {
        ensure(came.as_deref() == Ok("the result"), format!("{came:?}"))
    }),
    LabTest::judged("a large result arrives whole", large, |came| {
        let came = came.map_err(told)?;
        ensure(came.len() == LARGE, format!("{} bytes", came.len()))
    }),
    LabTest::judged("a panic is told in its words", panic, |came| match came {
        Err(Broken::Died { console, .. }) if console.contains("alas") => Ok(()),
        other => Err(format!("{other:?}")),
    }),
    LabTest {
        name: "a lab that hangs is killed",
        work: hang,
        judge: |came| match came {
            Err(Broken::Hung { after: SHORT, .. }) => Ok(()),
            other => Err(format!("{other:?}")),
        },
        deadline: SHORT,
    },
    LabTest::of("the gate drops everybody's final ACK, v4", || gate(Family::V4, Chosen::All)),
    LabTest::of("the gate drops everybody's final ACK, v6", || gate(Family::V6, Chosen::All)),
    LabTest::of("the gate drops a port's final ACK, v4", || gate(Family::V4, Chosen::Port)),
    LabTest::of("the gate drops a port's final ACK, v6", || gate(Family::V6, Chosen::Port)),
    LabTest::of("the gate drops a port's final ACK, v4-mapped", || {
        gate(Family::V4Mapped, Chosen::Port)
    }),
    LabTest::of("the gate drops a mark's final ACK, v4", || gate(Family::V4, Chosen::Mark)),
    LabTest::of("the gate drops a mark's final ACK, v6", || gate(Family::V6, Chosen::Mark)),
    LabTest::of("the gate drops an address's final ACK, v4", || gate(Family::V4, Chosen::Address)),
    LabTest::of("the gate drops an address's final ACK, v6", || gate(Family::V6, Chosen::Address)),
    LabTest::of("a gate that is dropped is open", dropped_gate),
    LabTest::of("each segment is captured once, v4", || captured_once(Family::V4)),
    LabTest::of("each segment is captured once, v6", || captured_once(Family::V6)),
    LabTest::of("a capture with holes is an error", overflow),
    LabTest::of("acts are comments in the pcapng", acts_in_pcapng),
    LabTest::of("the second user is another", second_user),
    LabTest::of("a fresh namespace has defaults", fresh_namespace),
];

fn main() -> ExitCode {
    in_lab::main(TESTS, |name| {
        (name == "the second user is another" && !harness::kernel::is_root())
            .then_some("root, or a second mapped uid")
    })
}

fn namespaces() -> String {
    ["net", "pid", "mnt"]
        .map(|space| {
            let link = fs::read_link(format!("/proc/self/ns/{space}"));
            link.map_or_else(|e| e.to_string(), |link| link.display().to_string())
        })
        .join("\n")
}

fn own_namespaces() -> Result<String, String> {
    ensure(std::process::id() == 1, "not the first process")?;
    let devices = fs::read_to_string("/proc/net/dev").map_err(told)?;
    let names: Vec<&str> = devices
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, _)| name.trim())
        .collect();
    ensure(names.contains(&"lo") && !names.iter().any(|name| name.starts_with("eth")), &devices)?;
    ensure(sockets(Family::V4).map_err(told)?.is_empty(), "there are sockets")?;
    Ok(namespaces())
}

fn migrate_req() -> String {
    sysctl::read(MIGRATE_REQ).unwrap_or_else(told)
}

fn set_migrate_req() -> Result<String, String> {
    sysctl::write(MIGRATE_REQ, "1").map_err(told)?;
    Ok(migrate_req())
}

fn print() -> Result<String, String> {
    println!("on standard output");
    eprintln!("on standard error");
    Ok("the result".into())
}

const LARGE: usize = 5_000_000;

fn large() -> Result<String, String> {
    Ok("x".repeat(LARGE))
}

fn panic() -> Result<String, String> {
    panic!("alas");
}

fn hang() -> Result<String, String> {
    loop {
        std::thread::park();
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Chosen {
    All,
    Port,
    Mark,
    Address,
}

const MARK: u32 = 77;

/// Two clients; the gate is closed for the first, or for both. The first one's request
/// must stay in flight, the other one's child must be acceptable; and when the gate is
/// open, it must have dropped just what was captured.
fn gate(family: Family, chosen: Chosen) -> Result<String, String> {
    let mut lab = Lab::open(family).map_err(told)?;
    let listener = lab.listen("A").map_err(told)?;
    // Within 127/8 every address is here; IPv6 has but one, which the other client shares
    // in its IPv4-mapped form only if it is dropped for another reason.
    let other: IpAddr = match family {
        Family::V6 => family.loopback(),
        Family::V4 | Family::V4Mapped => Ipv4Addr::new(127, 0, 0, 2).into(),
    };
    let whose = match chosen {
        Chosen::All => Whose::Everyone,
        Chosen::Port => Whose::Port(40_001),
        Chosen::Mark => Whose::Mark(MARK),
        Chosen::Address => Whose::Address(family.loopback()),
    };
    let gate = lab.close_gate(whose).map_err(told)?;
    let held = Client::bare("held", family, 40_001).map_err(told)?;
    if chosen == Chosen::Mark {
        held.mark(MARK).map_err(told)?;
    }
    let held = lab.connect_client(held).map_err(told)?;
    held.send(b"x").map_err(told)?;
    lab.until_wire("held > S  P. 1:2(1) ack 1").map_err(told)?;
    ensure(in_flight(family, held.local.port())?, "the request is not in flight")?;

    let passes = match chosen {
        Chosen::All => false,
        Chosen::Port | Chosen::Mark => true,
        Chosen::Address => family != Family::V6,
    };
    let from = if chosen == Chosen::Address { other } else { family.loopback() };
    let free = Client::bound("free", family, from, 40_002).map_err(told)?;
    let free = lab.connect_client(free).map_err(told)?;
    if passes {
        let child = listener.accept().map_err(told)?;
        ensure(child.peer.port() == free.local.port(), "another child")?;
    } else {
        lab.until_wire("free > S  . 1:1(0) ack 1").map_err(told)?;
        ensure(in_flight(family, free.local.port())?, "the other request is not in flight")?;
    }
    ensure(in_flight(family, held.local.port())?, "the request did not stay in flight")?;

    let ports = [40_001, if passes { 0 } else { 40_002 }];
    let captured = |lab: &mut Lab| {
        let segments = lab.trace().segments();
        let held = segments.filter(|s| ports.contains(&s.from.port()) && s.flags.ack());
        held.count() as u64
    };
    let at_least = captured(&mut lab);
    let dropped = gate.open().map_err(told)?;
    let at_most = captured(&mut lab);
    ensure(
        dropped >= 2 && (at_least..=at_most).contains(&dropped),
        format!("{dropped} dropped, {at_least} to {at_most} captured"),
    )?;
    Ok(String::new())
}

fn in_flight(family: Family, port: u16) -> Result<bool, String> {
    let sockets = sockets(family).map_err(told)?;
    Ok(sockets.iter().any(|s| s.state == State::SynRecv && s.remote.port() == port))
}

fn dropped_gate() -> Result<String, String> {
    let mut lab = Lab::open(Family::V4).map_err(told)?;
    let listener = lab.listen("A").map_err(told)?;
    drop(Gate::close(PORT, Whose::Everyone).map_err(told)?);
    let _client = lab.connect("C").map_err(told)?;
    listener.accept().map_err(told)?;
    // And another can be closed.
    Gate::close(PORT, Whose::Everyone).map_err(told)?.open().map_err(told)?;
    Ok(String::new())
}

fn captured_once(family: Family) -> Result<String, String> {
    let mut lab = Lab::open(family).map_err(told)?;
    let listener = lab.listen("A").map_err(told)?;
    let client = lab.connect("C").map_err(told)?;
    client.send(b"x").map_err(told)?;
    lab.until_wire("S > C  . 1:1(0) ack 2").map_err(told)?;
    let child = listener.accept().map_err(told)?;
    lab.act("done");
    let trace = lab.trace().clone();
    let lines: Vec<String> = trace.lines_of("C").into_iter().map(|line| line.what).collect();
    let expected = [
        "-- listen(A) --",
        "C > S  S 0:0(0)",
        "S > C  S. 0:0(0) ack 1",
        "C > S  . 1:1(0) ack 1",
        "C > S  P. 1:2(1) ack 1",
        "S > C  . 1:1(0) ack 2",
        "-- done --",
    ];
    ensure(lines == expected, lines.join("\n"))?;
    let times: Vec<Duration> = trace.events.iter().map(harness::trace::Event::at).collect();
    ensure(times.is_sorted(), format!("{times:?}"))?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_err(told)?;
    let age = now.saturating_sub(times[0]);
    ensure(age < Duration::from_secs(60), format!("{age:?} old"))?;
    drop((client, child));
    Ok(String::new())
}

/// Nobody empties the ring while more packets come than it can hold.
fn overflow() -> Result<String, String> {
    let mut lab = Lab::open(Family::V4).map_err(told)?;
    let listener = lab.listen_with_backlog("A", 1000).map_err(told)?;
    for _ in 0..2000 {
        // SYN, SYN+ACK, ACK, RST.
        Client::start(Family::V4, Family::V4.server()).map_err(told)?;
    }
    drop(listener);
    match lab.finish(None) {
        Err(Error::CaptureLost { lost: 1.., .. }) => Ok(String::new()),
        other => Err(format!("{:?}", other.map(|(observation, _, _)| observation))),
    }
}

fn acts_in_pcapng() -> Result<String, String> {
    let mut lab = Lab::open(Family::V4).map_err(told)?;
    let listener = lab.listen("A").map_err(told)?;
    let client = lab.connect("C").map_err(told)?;
    let child = listener.accept().map_err(told)?;
    lab.act("both ends close");
    drop((child, client));
    lab.close(listener);
    let (_, trace, pcapng) = lab.finish(None).map_err(told)?;

    let mut reader = PcapNgReader::new(pcapng.as_slice()).map_err(told)?;
    let mut comments = Vec::new();
    while let Some(block) = reader.next_block() {
        if let Block::EnhancedPacket(packet) = block.map_err(told)? {
            let of_packet = packet.options.iter().filter_map(|option| match option {
                EnhancedPacketOption::Comment(comment) => Some(comment.to_string()),
                _ => None,
            });
            comments.push(of_packet.collect::<Vec<_>>().join("; "));
        }
    }
    let segments = trace.segments().count();
    ensure(comments.len() == segments, format!("{} of {segments} packets", comments.len()))?;
    let last = comments.len() - 1;
    ensure(comments[0] == "before this packet: listen(A)", format!("{comments:?}"))?;
    ensure(comments[3] == "before this packet: both ends close", format!("{comments:?}"))?;
    ensure(comments[last].ends_with("after this packet: close(A)"), format!("{comments:?}"))?;
    Ok(String::new())
}

fn second_user() -> Result<String, String> {
    let uid = || harness::kernel::is_root();
    let (theirs, back) = (as_second_user(uid), made_by_second_user(uid, |made| (made, uid())));
    ensure(matches!(theirs, Ok(false)), format!("{theirs:?}"))?;
    ensure(matches!(back, Ok((false, true))), format!("{back:?}"))?;
    ensure(uid(), "this process has changed its user")?;
    Ok(String::new())
}

fn fresh_namespace() -> Result<String, String> {
    sysctl::write(MIGRATE_REQ, "1").map_err(told)?;
    let fresh = in_fresh_namespace(migrate_req).map_err(told)?;
    ensure(fresh == "0" && migrate_req() == "1", format!("{fresh} and {}", migrate_req()))?;
    Ok(String::new())
}
