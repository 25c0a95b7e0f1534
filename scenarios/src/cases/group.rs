//! How a group spreads its connections: by a hash of the four-tuple, not in turn.

use harness::lab::Lab;
use harness::net::segment::Segment;
use harness::socket::{Listener, Stream};

use crate::case::{Case, Setting, Settings};
use crate::document::TALK;
use crate::judge::expectation::{AnyWire, Expectation, WireRule};
use crate::prefix::{CaseFile, Prefix};
use crate::steps::statistics::binomial_bounds;

pub(super) const PREFIX: Prefix = Prefix {
    id: "group",
    about: "connections are spread by a hash of the four-tuple, not in turn",
    files: &[CaseFile { module: module_path!(), cases: CASES }],
};

const CASES: &[Case] = &[
    Case {
        name: "group/even-spread",
        does: "400 clients connect, one after the other, to a group of four listeners.",
        must: "Each listener gets about a quarter, and the next client's listener is the same as \
               the last one's about every fourth time: not in turn, as is often said. Each bound \
               fails on a correct kernel less than once in ten million runs.",
        documents: &[TALK.at("`almost evenly (randomly)`")],
        source: "reuseport_select_sock_by_hash(); against the blog post's `round-robin`",
        settings: Settings::Families,
        wire: WireRule::Any(AnyWire::ManyConnections),
        run: even_spread,
        expect: |_| even_spread_must(),
        ..Case::DEFAULT
    },
    Case {
        name: "group/same-tuple-same-listener",
        does: "32 clients connect to a group of four, and then again from the same ports.",
        must: "Each client gets the same listener both times: the choice depends on the \
               four-tuple alone.",
        source: "inet_ehashfn(), reuseport_select_sock_by_hash()",
        settings: Settings::Families,
        wire: WireRule::Any(AnyWire::ManyConnections),
        run: same_tuple,
        expect: |_| {
            Expectation::new()
                .fact("connections", 64)
                .fact("clients that changed listeners", 0)
                .between("listeners that were chosen", (2, 4))
        },
        ..Case::DEFAULT
    },
];

const LISTENERS: [&str; 4] = ["A", "B", "C", "D"];

const CLIENTS: u64 = 400;

/// How seldom one of the five bounds may fail on a correct kernel; a run in three
/// families checks fifteen of them, so that it fails less than once in a million.
const RISK: f64 = 5e-8;

fn even_spread(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let group = group(lab)?;
    let mut taken = [0_u64; LISTENERS.len()];
    let mut same_again = 0_u64;
    let mut last = None;
    for _ in 0..CLIENTS {
        let chosen = connect_once(lab, &group, 0)?;
        taken[chosen] += 1;
        same_again += u64::from(last == Some(chosen));
        last = Some(chosen);
    }
    for (name, taken) in LISTENERS.iter().zip(taken) {
        lab.observe(&format!("connections to {name}"), taken);
    }
    lab.observe("connections", taken.iter().sum::<u64>());
    lab.observe("same listener as the client before", same_again);
    observe_wire(lab);
    Ok(())
}

fn even_spread_must() -> Expectation {
    let share = 1.0 / LISTENERS.len() as f64;
    let each = binomial_bounds(CLIENTS, share, RISK);
    let repeated = binomial_bounds(CLIENTS - 1, share, RISK);
    let mut must = Expectation::new()
        .fact("connections", CLIENTS)
        .between("same listener as the client before", repeated)
        .fact("handshakes on the wire", CLIENTS)
        .fact("resets by the server on the wire", 0);
    for name in LISTENERS {
        must = must.between(&format!("connections to {name}"), each);
    }
    must
}

fn same_tuple(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let group = group(lab)?;
    let ports = 40_000..40_032;
    let mut choices = Vec::new();
    for port in ports.clone().chain(ports) {
        choices.push(connect_once(lab, &group, port)?);
    }
    let (first, second) = choices.split_at(choices.len() / 2);
    let changed = first.iter().zip(second).filter(|(one, other)| one != other).count();
    let mut chosen = choices.clone();
    chosen.sort_unstable();
    chosen.dedup();
    lab.observe("connections", choices.len());
    lab.observe("clients that changed listeners", changed);
    lab.observe("listeners that were chosen", chosen.len());
    Ok(())
}

fn group(lab: &mut Lab) -> harness::Result<Vec<Listener>> {
    LISTENERS.iter().map(|name| lab.listen(name)).collect()
}

/// Connects from `port` (0: any) and says which listener of the group accepted. Nothing
/// is left of the connection.
fn connect_once(lab: &mut Lab, group: &[Listener], port: u16) -> harness::Result<usize> {
    let mut client = lab.client("a client", port)?;
    client.reset_on_close()?;
    client.connect(lab.family().server())?;
    let group: Vec<&Listener> = group.iter().collect();
    let (chosen, _child) = lab.accept_on_any(&group)?;
    Ok(chosen)
}

fn observe_wire(lab: &mut Lab) {
    let server = lab.family().server().port();
    let from_server = |segment: &&Segment| segment.from.port() == server;
    let count = |wanted: fn(&Segment) -> bool, trace: &harness::trace::Trace| {
        trace.segments().filter(from_server).filter(|segment| wanted(segment)).count()
    };
    let handshakes = count(|segment| segment.flags.syn() && segment.flags.ack(), lab.trace());
    let resets = count(|segment| segment.flags.rst(), lab.trace());
    lab.observe("handshakes on the wire", handshakes);
    lab.observe("resets by the server on the wire", resets);
}
