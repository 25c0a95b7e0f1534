//! The kernel's own selftest of migration by a program, from prog_tests/migrate_reuseport.c,
//! state by state: five servers, of which the last is the target of the other four for what 25
//! clients have begun.

use std::net::Shutdown;
use std::time::Duration;

use harness::Context;
use harness::bpf::Condition::Selected;
use harness::bpf::{
    Attach, Counts, Index, MigrationTargets, PASS, Program, SockArray, count, when,
};
use harness::lab::Lab;
use harness::socket::attribute::cookie;
use harness::socket::wire_client::{Draft, WireClient};
use harness::socket::{BACKLOG, Listener, Stream};

use crate::case::{Case, Need, Settings};
use crate::cases::ebpf::runs::Runs;
use crate::judge::expectation::{AnyWire, Expectation, WireRule};
use crate::steps::fast_open::FAST_OPEN;
use crate::steps::syn_ack_timer::FIRST;

/// In which state the connections are, and what moves them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Established,
    SynRecv,
    ByTimer,
    BySegment,
}

macro_rules! selftest {
    ($name:literal, $state:ident, $long:expr, $does:literal, $must:literal) => {
        Case {
            name: $name,
            does: concat!(
                "A to D listen, with a program that looks up the target of each listener by its cookie; 25 clients come. E listens, and is the target of all. ",
                $does
            ),
            must: concat!(
                $must,
                " E accepts all 25, each with its own data, and no other listener any."
            ),
            source: "selftests/bpf: prog_tests/migrate_reuseport.c, \
                     progs/test_migrate_reuseport.c",
            settings: Settings::Families,
            needs: &[Need::Programs, Need::Settings],
            waits_for: $long,
            wire: WireRule::Any(AnyWire::ManyConnections),
            run: |lab, _| selftest(lab, State::$state),
            expect: |_| must(State::$state),
            ..Case::DEFAULT
        }
    };
}

pub(super) const CASES: &[Case] = &[
    selftest!(
        "ebpf/selftest/established",
        Established,
        Duration::ZERO,
        "The clients have sent their data. A to D are shut down; B listens again and E is shut \
         down; E listens again and B is shut down.",
        "The program ran three times for each child."
    ),
    selftest!(
        "ebpf/selftest/syn-recv",
        SynRecv,
        Duration::ZERO,
        "The clients' data came with their SYNs, by Fast Open, and their ACKs never do. A to D \
         are shut down; B listens again and E is shut down; E listens again and B is shut down.",
        "The program ran three times for each child."
    ),
    selftest!(
        "ebpf/selftest/timer",
        ByTimer,
        FIRST,
        "The clients have sent their SYNs alone. A to D are shut down; the SYN+ACK timers fire; \
         then the clients send their data.",
        "The program ran once for each request, without a packet."
    ),
    selftest!(
        "ebpf/selftest/segment",
        BySegment,
        Duration::ZERO,
        "The clients have sent their SYNs alone. A to D are shut down; then the clients send \
         their data.",
        "The program ran once for each request, with a packet."
    ),
];

const CLIENTS: usize = 25;

const NAMES: [&str; 5] = ["A", "B", "C", "D", "E"];

/// The index of E, the target.
const TARGET: u32 = 4;

/// Twelve bytes, as the kernel's own test writes.
fn message(number: usize) -> String {
    format!("message {number:04}")
}

fn listen(lab: &mut Lab, name: &str) -> harness::Result<Listener> {
    let listener = lab.listen(name)?;
    listener.fast_open(CLIENTS as i32).tested(|| format!("setsockopt({name}, TCP_FASTOPEN)"))?;
    Ok(listener)
}

fn connect(lab: &mut Lab, state: State) -> harness::Result<Vec<WireClient>> {
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let mut client = lab.wire_client(&format!("C{number}"))?;
        let bytes = message(number);
        match state {
            State::SynRecv => lab.wire_syn(&mut client, &Draft::syn().payload(bytes.as_bytes()))?,
            _ => lab.wire_syn(&mut client, &Draft::syn())?,
        }
        if state == State::Established {
            send(lab, &mut client, number)?;
        }
        clients.push(client);
    }
    Ok(clients)
}

fn send(lab: &mut Lab, client: &mut WireClient, number: usize) -> harness::Result<()> {
    let data = Draft::new("P.", 1, 1).payload(message(number).as_bytes());
    lab.wire_send(client, &data).map(drop)
}

fn selftest(lab: &mut Lab, state: State) -> harness::Result<()> {
    lab.sysctl(FAST_OPEN.0, FAST_OPEN.1)?;
    let (group, targets, runs) = (SockArray::new(5)?, MigrationTargets::new(5)?, Runs::new()?);
    let chosen = Counts::new(1)?;
    let mut statements = runs.counted();
    let target = Index::OfTarget(&targets);
    statements.push(when(Selected(&group, target), [count(&chosen, 0), PASS]));
    let program = Program::load(Attach::SelectOrMigrate, &statements)?;
    let mut servers = vec![listen(lab, "A")?];
    lab.attach(&servers[0], &program)?;
    for name in &NAMES[1..4] {
        servers.push(listen(lab, name)?);
    }
    let mut clients = connect(lab, state)?;
    servers.push(listen(lab, "E")?);
    let all: Vec<&Listener> = servers.iter().collect();
    lab.fill_array(&group, &all)?;
    for server in &servers[..4] {
        targets.set(cookie(server)?, TARGET)?;
    }
    let before = lab.counters()?;
    for server in &servers[..4] {
        lab.shut_down(server, Shutdown::Both)?;
    }
    match state {
        State::Established | State::SynRecv => dance(lab, &servers[1], &servers[4])?,
        State::ByTimer => lab.until_all_syn_acks(&clients, 2, FIRST)?,
        State::BySegment => {}
    }
    if matches!(state, State::ByTimer | State::BySegment) {
        for (number, client) in clients.iter_mut().enumerate() {
            send(lab, client, number)?;
        }
    }
    lab.observe_counters(&before)?;
    lab.observe("runs", migrations(&runs.shown()?));
    lab.observe("chosen by the program", chosen.get(0)?);
    observe_messages(lab, &servers)
}

/// There and back again, to the only one that listens: E has left the socket array then.
fn dance(lab: &mut Lab, b: &Listener, e: &Listener) -> harness::Result<()> {
    lab.start_listening(b, BACKLOG)?;
    lab.shut_down(e, Shutdown::Both)?;
    lab.start_listening(e, BACKLOG)?;
    lab.shut_down(b, Shutdown::Both)
}

/// Without the runs for SYNs.
fn migrations(runs: &str) -> String {
    runs.trim_start_matches(&format!("new {CLIENTS}, ")).to_owned()
}

fn observe_messages(lab: &mut Lab, servers: &[Listener]) -> harness::Result<()> {
    let mut received = Vec::new();
    // The others do not listen any more.
    let others: Vec<String> = servers[..4].iter().map(Listener::try_accept).collect();
    lab.observe("accept by the others", others.join(", "));
    while let Some(child) = servers[4].accept_now()? {
        received.push(child.receive_now()?.to_string());
    }
    received.sort();
    let sent: Vec<String> = (0..CLIENTS).map(|number| format!("`{}`", message(number))).collect();
    let shown = if received == sent { "all 25, each once".into() } else { received.join(", ") };
    lab.observe("messages that E has", shown);
    Ok(())
}

fn must(state: State) -> Expectation {
    let clients = CLIENTS as i64;
    let (runs, moves) = match state {
        State::Established => ("ESTABLISHED 75", 3 * clients),
        State::SynRecv => ("SYN_RECV 75", 3 * clients),
        State::ByTimer => ("by timer 25", clients),
        State::BySegment => ("by segment 25", clients),
    };
    let finished = matches!(state, State::ByTimer | State::BySegment);
    Expectation::new()
        .fact("runs", runs)
        // E has no target, and is no longer in the socket array when B is shut down.
        .fact("chosen by the program", clients)
        .fact("accept by the others", "EINVAL, EINVAL, EINVAL, EINVAL")
        .fact("messages that E has", "all 25, each once")
        .counters(&[
            ("TCPMigrateReqSuccess", moves),
            ("PassiveOpens", if finished { clients } else { 0 }),
        ])
}
