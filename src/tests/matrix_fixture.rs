//! Matrices with one of every verdict and one of every fate.

use std::collections::BTreeMap;

use scenarios::engine::Outcome;
use scenarios::judge::{Mismatch, SkipReason, Verdict};

use super::fixture;
use crate::document::{
    CaseDocument, Complaint, Fate, KernelDocument, MachineDocument, MatrixDocument, RunDocument,
    SCHEMA,
};
use crate::matrix::event::Matrix;
use crate::totals::Totals;

/// The quizzes, as the talk has them.
pub fn quizzes() -> Vec<String> {
    let mut ids = Vec::new();
    for quiz in ["quiz1", "quiz2"] {
        for family in ["v4", "v6", "v4-mapped"] {
            ids.extend(["off", "on"].map(|migration| format!("{quiz}/{family}/{migration}")));
        }
    }
    ids
}

/// Many mechanisms with many cases each.
pub fn many() -> Vec<String> {
    let mut ids = quizzes();
    for (mechanism, cases) in [
        ("accept-queue", 40),
        ("child-state", 20),
        ("listener", 1),
        ("group", 2),
        ("bind", 9),
        ("back-off", 12),
        ("fast-open", 7),
        ("select-or-migrate", 30),
    ] {
        for case in 1..=cases {
            ids.extend(["v4", "v6", "v4-mapped"].map(|f| format!("{mechanism}/case-{case}/{f}")));
        }
    }
    ids.extend(["sysctl/range".into(), "sysctl/default".into()]);
    ids.extend(["v4", "v6", "v4-mapped"].map(|family| format!("wake-up/{family}")));
    ids
}

pub fn pass() -> Verdict {
    Verdict::Pass { stale: None }
}

pub fn stale() -> Verdict {
    Verdict::Pass { stale: Some("expected on this kernel and not seen: A bug of old.".into()) }
}

pub fn fail(actual: &str) -> Verdict {
    Verdict::Fail {
        mismatches: vec![Mismatch {
            what: "accept(B)".into(),
            expected: vec!["C's connection".into(), "a <child> | a `twin`".into()],
            actual: actual.into(),
            trace_line: Some(actual.len()),
        }],
    }
}

pub fn skip() -> Verdict {
    let reason = "there is no tcp_migrate_req: migration came with 5.14, this is 5.10.100";
    Verdict::Skip { reason: SkipReason::Words(reason.into()) }
}

pub fn known() -> Verdict {
    Verdict::KnownBug {
        reason: "A listener that waits is not woken for a child that migrates to it.".into(),
        fix: Some("3864c6ba1e04".into()),
        mismatches: vec![],
    }
}

pub fn error() -> Verdict {
    Verdict::Error { reason: "hung: killed after 30 s".into() }
}

/// One run of a case that came to `verdict`.
pub fn case(id: &str, round: u32, verdict: Verdict) -> CaseDocument {
    CaseDocument {
        id: id.into(),
        round,
        verdict,
        took_ms: 12,
        does: "A accepts nothing and is closed.".into(),
        must: "B must get the connection.".into(),
        source: "inet_csk_listen_stop()".into(),
        facts: BTreeMap::new(),
        trace: vec!["+0.000  C > S  S 0:0(0)".into()],
        capture: None,
    }
}

/// A run of cases on a kernel.
pub fn run(cases: Vec<CaseDocument>, rounds: u32) -> RunDocument {
    let mut totals = Totals::default();
    cases.iter().for_each(|case| totals.count(&case.verdict));
    RunDocument {
        schema: SCHEMA,
        sockmig: "0.1.0".into(),
        environment: fixture::run().environment,
        rounds,
        complete: true,
        totals,
        took_ms: 900,
        tainted_meanwhile: None,
        cases,
    }
}

/// A kernel whose machine had this fate, and where the cases came to what `verdict` says.
pub fn kernel(
    name: &str,
    fate: Fate,
    ids: &[String],
    verdict: impl Fn(usize, &str) -> Option<Verdict>,
) -> KernelDocument {
    let cases: Vec<CaseDocument> =
        ids.iter().enumerate().filter_map(|(at, id)| Some(case(id, 1, verdict(at, id)?))).collect();
    let ran = !matches!(fate, Fate::CannotFetch { .. } | Fate::CannotBoot { .. });
    KernelDocument {
        name: name.into(),
        fate,
        machine: ran.then(|| MachineDocument {
            engine: "QEMU, TCG".into(),
            clock: "virtual".into(),
            fresh: false,
            boot_ms: 2100,
            took_ms: 3200,
            restarts: 0,
        }),
        complaints: vec![],
        lacks: vec![],
        console: String::new(),
        run: (!cases.is_empty()).then(|| run(cases, 1)),
    }
}

/// A whole matrix.
pub fn matrix(cases: Vec<String>, kernels: Vec<KernelDocument>) -> MatrixDocument {
    MatrixDocument {
        schema: SCHEMA,
        sockmig: "0.1.0".into(),
        cases,
        shard: None,
        took_ms: 61_234,
        complete: true,
        kernels,
    }
}

/// Every fate, each on its kernel, and every verdict among them.
pub fn everything(ids: &[String]) -> MatrixDocument {
    let on = |id: &str| id.ends_with("/on");
    let ended = |name: &str, fate: Fate, after: usize, console: &str| {
        let mut kernel = kernel(name, fate, ids, |at, _| (at < after).then(pass));
        kernel.console = console.into();
        kernel
    };
    let why = |why: &str| why.to_owned();
    let mut old = kernel("5.10.100-1", Fate::Completed, ids, |_, id| {
        Some(if on(id) { skip() } else { pass() })
    });
    old.lacks = vec!["the module nf_tables: no such file".into()];
    let asleep = kernel("6.1.174-1", Fate::Completed, ids, |at, id| {
        Some(if on(id) && at > 1 { known() } else { pass() })
    });
    let mut awake = kernel("6.1.176-1", Fate::Completed, ids, |at, _| {
        Some(if at == 3 { stale() } else { pass() })
    });
    awake.complaints = vec![Complaint {
        during: ids.get(1).map_or_else(|| "booting".into(), Clone::clone),
        text: "WARNING: CPU: 0 PID: 1 at net/core/sock.c:1 f+0x1\nCall Trace:\n g+0x2".into(),
    }];
    let mut flaky = kernel("6.12.85-1", Fate::Completed, ids, |at, _| {
        Some(if at == 0 { fail("EAGAIN") } else { pass() })
    });
    if let Some(machine) = &mut flaky.machine {
        machine.restarts = 2;
    }
    let broken = kernel("6.12.86-1", Fate::Completed, ids, |at, _| match at {
        0 => Some(fail("EAGAIN")),
        1 => Some(error()),
        2 => Some(fail("ECONNRESET")),
        _ => Some(pass()),
    });
    matrix(
        ids.to_vec(),
        vec![
            old,
            asleep,
            awake,
            flaky,
            broken,
            ended("6.16.12-1", Fate::CannotFetch { why: why("the mirror has it no more") }, 0, ""),
            ended("odd.bin", Fate::CannotBoot { why: why("no kernel: a PNG image") }, 0, ""),
            ended(
                "6.17.13-1",
                Fate::NeverBooted { why: why("the console ended before the suite") },
                0,
                "Booting\nNo working init found.",
            ),
            ended(
                "6.18.27-1",
                Fate::Panicked { why: why("Kernel panic - not syncing: Fatal exception") },
                5,
                "BUG: kernel NULL pointer dereference\nRIP: 0010:f+0x1/0x2\n\
                 ---[ end Kernel panic - not syncing: Fatal exception ]---",
            ),
            ended(
                "6.19.11-1",
                Fate::OutOfMemory { why: why("Out of memory: Killed process 7") },
                4,
                "Out of memory: Killed process 7",
            ),
            ended(
                "7.0.4-1",
                Fate::Hung { why: why("nothing was heard for 60 s, in a case") },
                3,
                "rcu: INFO: rcu_sched self-detected stall",
            ),
            ended("7.1.2-1", Fate::Died { why: why("QEMU was killed by signal 9") }, 2, ""),
            ended("7.2.1-1", Fate::Garbage { why: why("256 bytes of 0xff") }, 1, ""),
            ended("7.3~rc1-1", Fate::Interrupted, 6, ""),
        ],
    )
}

/// How a matrix of the fixture's run begins.
pub fn beginning() -> Matrix {
    Matrix {
        kernels: vec!["6.1.174-1".into(), "6.16.12-1".into()],
        selection: fixture::run().selection,
        shard: Some("1/3".into()),
        jobs: 2,
    }
}

/// The documents of that run's outcomes.
pub fn documents(outcomes: &[Outcome]) -> Vec<CaseDocument> {
    outcomes.iter().map(|outcome| CaseDocument::of(outcome, None, None)).collect()
}
