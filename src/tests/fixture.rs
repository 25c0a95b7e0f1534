//! A run with one of every verdict.

use std::net::SocketAddr;
use std::time::Duration;

use harness::kernel::{Kernel, Version};
use harness::observation::{Fact, Observation};
use harness::segment::{Flags, Segment, TcpOption};
use harness::trace::{Event, Trace};
use scenarios::catalogue;
use scenarios::engine::{Observed, Outcome};
use scenarios::judge::{SkipReason, Verdict, judge};
use scenarios::known;
use scenarios::requirement::{Met, requirement};

use crate::consumer::{Environment, Run};

const IDS: [&str; 7] = [
    "sysctl/range",
    "sysctl/default",
    "quiz1/v4/off",
    "listener/queue-length/v6",
    "bind/other-uid/v4",
    "wake-up/epoll/v4",
    "quiz2/v4/on",
];

pub fn run() -> Run {
    let selection = IDS.map(|id| {
        let selected = catalogue::all().into_iter().find(|selected| selected.id() == id);
        selected.expect("a case that exists")
    });
    Run {
        environment: environment("6.12.43", true, "0"),
        selection: selection.into(),
        rounds: 1,
        jobs: 8,
    }
}

fn environment(version: &str, counters: bool, here: &str) -> Environment {
    let version: Version = version.parse().expect("a version");
    Environment {
        kernel: Kernel {
            release: "6.x-example".into(),
            build: format!("#1 SMP Debian {version}-1"),
            machine: "x86_64".into(),
            version,
            has_sysctl: true,
            has_counters: counters,
            has_ipv6: true,
            nftables: Ok(()),
            gate: Ok(harness::gate::Kind::Nftables),
            has_md5: true,
            has_ao: true,
            destroy: Ok(()),
            multipath: Ok(()),
            has_second_uid: true,
            programs: Ok(()),
            may_load_programs: true,
            machine_is_ours: false,
            configuration: None,
        },
        root: true,
        migrate_req: Some(here.into()),
        tainted: Some("0".into()),
    }
}

pub fn outcomes() -> Vec<Outcome> {
    let run = run();
    let of = |index: usize, verdict: Verdict, seen: Observed| Outcome {
        id: IDS[index].into(),
        round: 1,
        verdict,
        pcapng: if seen.trace.events.is_empty() { vec![] } else { vec![1] },
        seen,
        took: Duration::from_millis(12),
    };
    let judged = |index: usize, seen: Observed| {
        let known = known::about(IDS[index], run.environment.kernel.version);
        let must = run.selection[index].expectation();
        of(index, judge(&must, &known, &seen.observation, &seen.trace), seen)
    };
    vec![
        of(0, Verdict::Pass { stale: None }, Observed::default()),
        of(1, Verdict::Pass { stale: Some("a bug that is gone".into()) }, Observed::default()),
        judged(2, quiz1_with_a_wrong_reset()),
        judged(3, stopped()),
        of(
            4,
            Verdict::Skip { reason: SkipReason::Words("a second user is needed".into()) },
            Observed::default(),
        ),
        judged(5, asleep()),
        of(6, Verdict::Error { reason: "hung: killed after 30 s".into() }, Observed::default()),
    ]
}

fn facts(facts: &[(&str, &str)]) -> Observation {
    let facts = facts.iter().map(|(name, value)| Fact {
        name: (*name).into(),
        value: value.parse::<i64>().map_or_else(|_| (*value).into(), Into::into),
    });
    Observation { facts: facts.collect(), stopped: None }
}

/// The kernel resets the child and forgets to acknowledge the data.
fn quiz1_with_a_wrong_reset() -> Observed {
    let (client, server) = ("127.0.0.1:40000", "127.0.0.1:80");
    let at = |micros| Duration::from_secs(1_790_000_000) + Duration::from_micros(micros);
    let segment = |micros, from: &str, to: &str, flags, seq, ack, len| {
        let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
        Event::Segment(Segment {
            at: at(micros),
            from: address(from),
            to: address(to),
            flags: Flags(flags),
            seq,
            ack,
            window: 512,
            service: 0,
            hops: 64,
            len,
            options: if flags & 2 == 2 { vec![TcpOption::Mss(65495)] } else { vec![] },
        })
    };
    let act = |micros, act: &str| Event::Act { at: at(micros), act: act.into() };
    let mut trace = Trace {
        events: vec![
            act(0, "listen(A)"),
            segment(31, client, server, 0x02, 100, 0, 0),
            segment(35, server, client, 0x12, 500, 101, 0),
            segment(38, client, server, 0x10, 101, 501, 0),
            segment(45, client, server, 0x18, 101, 501, 11),
            segment(47, server, client, 0x10, 501, 112, 0),
            act(90, "listen(B)"),
            act(150, "close(A)"),
            segment(152, server, client, 0x14, 501, 101, 0),
        ],
        names: vec![],
    };
    trace.name(client.parse().expect("an address"), "C");
    trace.name(server.parse().expect("an address"), "S");
    let observation = facts(&[
        ("A's accept queue before the close", "1 of 32"),
        ("B's accept queue after the close", "0 of 32"),
        ("sockets after the close", "a listener"),
        ("accept(B)", "EAGAIN"),
        ("recv(C)", "ECONNRESET"),
        ("B's accept queue at the end", "0 of 32"),
        ("TCPMigrateReqSuccess", "0"),
        ("TCPMigrateReqFailure", "1"),
        ("PassiveOpens", "0"),
        ("AttemptFails", "0"),
        ("EstabResets", "2"),
        ("OutRsts", "1"),
        ("EmbryonicRsts", "0"),
        ("ListenOverflows", "0"),
        ("ListenDrops", "0"),
        ("TCPAbortOnData", "0"),
        ("TCPAbortOnClose", "0"),
        ("TCPReqQFullDrop", "0"),
        ("TCPReqQFullDoCookies", "0"),
        ("SyncookiesSent", "0"),
        ("SyncookiesRecv", "0"),
        ("TCPDeferAcceptDrop", "0"),
        ("B serves a fresh client", "yes"),
        ("sockets never freed", "0"),
    ]);
    Observed { observation, trace }
}

/// An event that had to come did not.
fn stopped() -> Observed {
    let mut observation = facts(&[("TCP_INFO before", "0 of 7")]);
    observation.stopped = Some("three children in A's accept queue: not within 10000 ms".into());
    Observed { observation, trace: Trace::default() }
}

/// The lost wake-up, as it is known.
fn asleep() -> Observed {
    let mut seen: Vec<(&str, &str)> = vec![
        ("the waiter before", "asleep"),
        ("the waiter", "asleep"),
        ("whose child", "C"),
        ("recv(B's child)", "`Hello World`"),
        ("sockets never freed", "0"),
    ];
    let migrated =
        |name: &&'static str| (*name, if *name == "TCPMigrateReqSuccess" { "1" } else { "0" });
    seen.extend(harness::lab::WATCHED.iter().map(migrated));
    Observed { observation: facts(&seen), trace: Trace::default() }
}

/// A run of everything on a kernel that behaves as kernels of its version are known to.
pub fn as_known(version: &str, counters: bool, here: &str) -> (Run, Vec<Outcome>) {
    let environment = environment(version, counters, here);
    let kernel = environment.kernel.clone();
    let selection = catalogue::all();
    let outcomes = selection.iter().map(|selected| {
        let id = selected.id();
        let verdict = match requirement(&selected.needs(), selected.setting, &kernel) {
            Met::No(verdict) => verdict,
            Met::Yes => {
                match known::about(&id, kernel.version).into_iter().find(|row| !row.by_chance) {
                    Some(known) if known.kind == known::Kind::Bug => Verdict::KnownBug {
                        reason: known.reason.clone(),
                        fix: known.fix.clone(),
                        mismatches: vec![],
                    },
                    _ => Verdict::Pass { stale: None },
                }
            }
        };
        let (round, took) = (1, Duration::ZERO);
        Outcome { id, round, verdict, seen: Observed::default(), pcapng: vec![], took }
    });
    let outcomes = outcomes.collect();
    (Run { environment, selection, rounds: 1, jobs: 8 }, outcomes)
}
