//! What a program is shown, field by field, held against the wire and the sockets.

use std::net::Shutdown;

use harness::bpf::{Attach, ContextRecord, ContextRecords, PASS, Program, RecordedSocket, record};
use harness::lab::Lab;
use harness::net::segment::Segment;
use harness::socket::attribute::cookie;
use harness::socket::bind_spec::BindSpec;
use harness::socket::wire_client::WireClient;
use harness::socket::{BACKLOG, Child, Listener};
use harness::{Family, PORT};

use crate::case::{Case, Need, Setting, Settings};
use crate::cases::ebpf::path::{Path, begin, end, go_on};
use crate::judge::expectation::{AnyWire, Expectation, WireRule};
use crate::steps::fast_open;
use crate::steps::fast_open::FAST_OPEN;
use crate::steps::syn_ack_timer::FIRST;

/// How many members a group has room for at first (`INIT_SOCKS`).
const ARRAY: usize = 128;

/// A case of a path: what the program is shown for the SYN, and when the connection migrates.
macro_rules! shown {
    ($name:literal, $path:ident, $place:ident, $does:literal, $must:literal) => {
        Case {
            name: $name,
            does: concat!(
                "A program keeps what it is shown; A has received W's SYN; B listens. ",
                $does
            ),
            must: $must,
            source: "struct sk_reuseport_md; bpf_init_reuseport_kern(), \
                     sk_reuseport_is_valid_access()",
            settings: Settings::Families,
            needs: Path::$path.needs(),
            waits_for: Path::$path.waits_for(),
            wire: WireRule::Any(AnyWire::AnswersAreFacts),
            run: |lab, setting| shown(lab, Path::$path, &BindSpec::$place(setting.family)),
            expect: |setting| must(Path::$path, BindSpec::$place(setting.family), setting),
            ..Case::DEFAULT
        }
    };
}

pub(super) const CASES: &[Case] = &[
    shown!(
        "ebpf/view/close",
        Close,
        usual,
        "W's child waits, and A is closed.",
        "For the SYN: the segment, A in LISTEN, and no migrating socket. For the child: no packet \
         and no protocol of one; A in CLOSE, still with its port; the child in ESTABLISHED, with \
         both ports, the hash of the SYN, and the cookie that it has when B accepts it."
    ),
    shown!(
        "ebpf/view/wildcard",
        Close,
        any,
        "All are at the wildcard address; W's child waits, and A is closed.",
        "As ebpf/view/close, but bind_inany is 1, and the child's hash differs from the SYN's."
    ),
    shown!(
        "ebpf/view/fast-open",
        FastOpen,
        usual,
        "W's Fast Open child waits, and A is closed.",
        "As ebpf/view/close, but the child is in SYN_RECV."
    ),
    shown!(
        "ebpf/view/segment",
        FinalAck,
        usual,
        "A is closed, and W sends its ACK with data.",
        "The segment, from its TCP header on; A in CLOSE, whose port is gone; the request in \
         NEW_SYN_RECV, with the cookie that the child has later."
    ),
    shown!(
        "ebpf/view/segment-after-shutdown",
        FinalAckShutdown,
        usual,
        "A is shut down, and W sends its ACK with data.",
        "As ebpf/view/segment, but A still has its port."
    ),
    shown!(
        "ebpf/view/timer",
        Timer,
        usual,
        "A is closed, W is silent, and the SYN+ACK timer fires; then W sends data.",
        "No packet, which distinguishes the timer from a segment; the request in NEW_SYN_RECV, \
         with the cookie that the child has later."
    ),
    Case {
        name: "ebpf/view/bind-inany",
        does: "A program keeps what it is shown of a client's SYN, again and again: attached to A \
               at one address; to A at the wildcard address, before A listens, and after; with \
               another 128 listeners there, so that the group outgrows its array; and when A was \
               shut down, and listens again.",
        must: "bind_inany is 0 for the one address and 1 for each of the others.",
        source: "struct sk_reuseport_md; reuseport_alloc(), reuseport_grow(), \
                 reuseport_resurrect(): bind_inany",
        settings: Settings::Families,
        needs: &[Need::Programs],
        wire: WireRule::Any(AnyWire::SocketsMatter),
        run: bind_inany,
        expect: |_| {
            [
                ("at one address", "0"),
                ("attached before listening", "1"),
                ("attached to a listener", "1"),
                ("after growth", "1"),
                ("listening again", "1"),
            ]
            .into_iter()
            .fold(Expectation::new(), |must, (when, shown)| must.fact(when, shown))
        },
        ..Case::DEFAULT
    },
];

fn bind_inany(lab: &mut Lab, setting: Setting) -> harness::Result<()> {
    let records = ContextRecords::new()?;
    let program = Program::load(Attach::SelectOrMigrate, &[record(&records), PASS])?;
    let any = BindSpec::any(setting.family);
    let a = lab.listen("A")?;
    lab.attach(&a, &program)?;
    observe_bind_inany(lab, "at one address", &records, &[&a])?;
    lab.close(a);
    let a = lab.bind_at("A", &any)?;
    lab.attach(&a, &program)?;
    lab.start_listening(&a, BACKLOG)?;
    observe_bind_inany(lab, "attached before listening", &records, &[&a])?;
    lab.close(a);
    let a = lab.listen_at("A", &any)?;
    lab.attach(&a, &program)?;
    observe_bind_inany(lab, "attached to a listener", &records, &[&a])?;
    let others: Vec<Listener> = (0..ARRAY)
        .map(|index| lab.listen_at(&format!("L{index}"), &any))
        .collect::<harness::Result<_>>()?;
    let group: Vec<&Listener> = std::iter::once(&a).chain(&others).collect();
    observe_bind_inany(lab, "after growth", &records, &group)?;
    drop(others);
    lab.shut_down(&a, Shutdown::Both)?;
    lab.start_listening(&a, BACKLOG)?;
    lab.attach(&a, &program)?;
    observe_bind_inany(lab, "listening again", &records, &[&a])
}

/// What the program is shown of the next client.
fn observe_bind_inany(
    lab: &mut Lab,
    when: &str,
    records: &ContextRecords,
    group: &[&Listener],
) -> harness::Result<()> {
    let before = records.all()?.len();
    lab.who_takes(group, 0)?;
    let shown: Vec<String> =
        records.all()?.iter().skip(before).map(|seen| seen.bind_inany.to_string()).collect();
    lab.observe(when, shown.join(", "));
    Ok(())
}

fn listen(lab: &mut Lab, name: &str, path: Path, spec: &BindSpec) -> harness::Result<Listener> {
    match path {
        Path::FastOpen => fast_open::listen(lab, name),
        _ => lab.listen_at(name, spec),
    }
}

fn shown(lab: &mut Lab, path: Path, spec: &BindSpec) -> harness::Result<()> {
    let records = ContextRecords::new()?;
    let program = Program::load(Attach::SelectOrMigrate, &[record(&records), PASS])?;
    if path == Path::FastOpen {
        lab.sysctl(FAST_OPEN.0, FAST_OPEN.1)?;
    }
    let a = listen(lab, "A", path, spec)?;
    let cookie_of_a = cookie(&a)?;
    lab.attach(&a, &program)?;
    let mut w = begin(lab, path)?;
    let b = listen(lab, "B", path, spec)?;
    let _kept = end(lab, a, path)?;
    if path == Path::Timer {
        lab.until_syn_acks(&w, 2, FIRST)?;
    }
    go_on(lab, &mut w, path)?;
    let child = lab.accept_now(&b)?;
    let seen = records.all()?;
    lab.observe("runs", seen.len());
    if let [syn, migration] = &seen[..] {
        observe(lab, "the SYN", syn, &w, cookie_of_a)?;
        observe(lab, "the migration", migration, &w, cookie_of_a)?;
        let same = if syn.hash == migration.hash { "the SYN's" } else { "another" };
        lab.observe("the migration's hash", same);
        observe_migrating(lab, migration.migrating.as_ref(), &w, child.as_ref())?;
        let of_syn = syn.migrating.is_some();
        lab.observe("the SYN migrates", if of_syn { "yes" } else { "no" });
    }
    Ok(())
}

fn observe(
    lab: &mut Lab,
    what: &str,
    seen: &ContextRecord,
    w: &WireClient,
    cookie_of_a: u64,
) -> harness::Result<()> {
    let ContextRecord { len, eth_protocol, ip_protocol, bind_inany, .. } = seen;
    let packet = match seen.header {
        None => format!("none, len {len}"),
        Some(header) => {
            let whose = whose(lab, &header, *len, w);
            // How much of a packet is in its linear part is the driver's to say.
            let direct = if (20..=i64::from(*len)).contains(&seen.direct) { "a part" } else { "?" };
            format!("{whose}, len {len}, {direct} to be read directly")
        }
    };
    let packet = if seen.header.is_none() && seen.direct != 0 {
        format!("{packet}, and {} to be read directly", seen.direct)
    } else {
        packet
    };
    lab.observe(&format!("{what}: packet"), packet);
    let protocols = format!("{eth_protocol:#06x}, {ip_protocol}, bind_inany {bind_inany}");
    lab.observe(&format!("{what}: protocols"), protocols);
    let RecordedSocket { family, port, state, cookie, .. } = seen.listener;
    let name = if cookie == cookie_of_a { "A" } else { "another" };
    lab.observe(
        &format!("{what}: listener"),
        format!("{name}, family {family}, port {port}, state {state}"),
    );
    Ok(())
}

/// Which captured segment has this header.
fn whose(lab: &mut Lab, header: &[u8; 20], len: u32, w: &WireClient) -> &'static str {
    let number = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().unwrap_or_default());
    let ports = (u32::from(w.local.port()) << 16) | u32::from(PORT);
    let flags = header[13];
    let is_it = |s: &&Segment| {
        s.from.port() == w.local.port()
            && s.seq == number(4)
            && s.flags.0 == flags
            && u32::from(header[12] >> 4) * 4 + s.len == len
    };
    match lab.trace().segments().filter(is_it).last() {
        Some(segment) if number(0) == ports && segment.flags.syn() => "W's SYN",
        Some(_) if number(0) == ports => "W's data",
        _ => "no segment of W's",
    }
}

fn observe_migrating(
    lab: &mut Lab,
    migrating: Option<&RecordedSocket>,
    w: &WireClient,
    child: Option<&Child>,
) -> harness::Result<()> {
    let later = child.map(cookie).transpose()?;
    let shown = migrating.map_or("none".to_owned(), |seen| {
        let RecordedSocket { family, port, peer_port, state, .. } = seen;
        let peer = if *peer_port == w.local.port() { "W's port" } else { "another port" };
        let own = if Some(seen.cookie) == later { "the child's cookie" } else { "another cookie" };
        format!("family {family}, port {port}, {peer}, state {state}, {own}")
    });
    lab.observe("what migrates", shown);
    Ok(())
}

fn must(path: Path, spec: BindSpec, setting: Setting) -> Expectation {
    let family = if setting.family == Family::V4 { 2 } else { 10 };
    let protocol = if setting.family == Family::V6 { "0x86dd" } else { "0x0800" };
    let any = i32::from(spec == BindSpec::any(setting.family));
    let fast_open = path == Path::FastOpen;
    let syn = if fast_open { 35 } else { 24 };
    let (packet, protocols) = match path {
        Path::FinalAck | Path::FinalAckShutdown => {
            ("W's data, len 31, a part to be read directly", protocol)
        }
        _ => ("none, len 0", "0x0000"),
    };
    let state = match path {
        Path::Close | Path::Shutdown => 1,
        Path::FastOpen => 3,
        Path::FinalAck | Path::FinalAckShutdown | Path::Timer => 12,
    };
    // A closed listener's port is released after its accept queue was emptied.
    let port = if matches!(path, Path::FinalAck | Path::Timer) { 0 } else { PORT };
    Expectation::new()
        .fact("runs", 2)
        .fact("the SYN: packet", format!("W's SYN, len {syn}, a part to be read directly"))
        .fact("the SYN: protocols", format!("{protocol}, 6, bind_inany {any}"))
        .fact("the SYN: listener", format!("A, family {family}, port {PORT}, state 10"))
        .fact("the SYN migrates", "no")
        .fact("the migration: packet", packet)
        .fact("the migration: protocols", format!("{protocols}, 6, bind_inany {any}"))
        .fact("the migration: listener", format!("A, family {family}, port {port}, state 7"))
        .fact("the migration's hash", if any == 1 { "another" } else { "the SYN's" })
        .fact(
            "what migrates",
            format!("family {family}, port {PORT}, W's port, state {state}, the child's cookie"),
        )
        .fact("accept(B)", "W's connection")
}
