//! Documents of a later version: what this one does not know of them is shown as unknown.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rstest::rstest;
use serde_json::{Value, json};
use support::{Ended, run, sockmig};

/// How everything that is not known is shown.
const UNKNOWN: &str = "(unknown to this sockmig)";

fn real_run() -> Value {
    static REAL: OnceLock<Value> = OnceLock::new();
    let real = REAL.get_or_init(|| {
        let ended = run(&mut sockmig(&["run", "quiz1/v4", "--format", "json"]));
        serde_json::from_str(&ended.stdout).expect("JSON")
    });
    real.clone()
}

fn write(directory: &Path, name: &str, document: &Value) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, document.to_string()).expect("written");
    path
}

/// A run of a version that has more of everything that may become more.
fn later_run() -> Value {
    let mut run = real_run();
    run["sockmig"] = "99.0.0".into();
    run["weather"] = json!({ "sky": "blue" });
    let environment = &mut run["environment"];
    environment["hypervisor"] = "none".into();
    environment["kernel"]["base"] =
        json!({ "kind": "known", "version": "9.1", "family": "plum", "read_from": "a-file" });
    environment["kernel"]["ao"] = json!({ "available": false, "why": { "lsm": "plum-lsm" } });
    let off = &mut run["cases"][0];
    off["mood"] = "good".into();
    off["tries"] = 2.into();
    off["discarded"] = json!([{ "why": "eclipse", "hours": 2 }]);
    off["shorter_waits"] = json!([{ "awaited": "spring", "waited_ms": 5, "shortened": true }]);
    let trace = off["trace"].as_array_mut().expect("a trace");
    let later = |what: &str| {
        let act = json!({ "microseconds": 900, "act": { what: { "listener": "A" } }, "shown": "" });
        let mut act = act;
        act["shown"] = format!("-- {what}(A) --").into();
        act
    };
    let inner = json!({
        "microseconds": 901, "act": { "read-memory": { "by": "numa" } }, "shown": "-- numa read --",
    });
    let witness =
        json!({ "microseconds": 902, "witness": { "xdp": ["C"] }, "shown": "-- xdp saw C --" });
    trace.splice(4..4, [later("teleport"), inner, witness]);
    let on = &mut run["cases"][1];
    for key in ["facts", "trace"] {
        on[key] = if key == "facts" { json!({}) } else { json!([]) };
    }
    on["verdict"] = "skip".into();
    on["kind"] = "no-wings".into();
    on["wings"] = 2.into();
    on["reason"] = "the kernel has no wings".into();
    run
}

fn later_matrix(how: &str) -> Value {
    json!({
        "schema": 2, "sockmig": "99.0.0", "took_ms": 1, "complete": true, "moon": "full",
        "cases": ["quiz1/v4/off", "quiz1/v4/on"],
        "kernels": [{
            "name": "9.1-1", "end": { "how": how, "why": "nobody saw it" }, "run": later_run(),
            "machine": {
                "engine": "QEMU, TCG", "architecture": "riscv64", "clock": "virtual",
                "fresh": false, "boot_ms": 1, "took_ms": 2, "restarts": 0,
            },
        }],
    })
}

fn ended(arguments: &[&str], documents: &[&Path]) -> Ended {
    let mut command = sockmig(arguments);
    command.args(documents).env("COLUMNS", "120").env_remove("GITHUB_STEP_SUMMARY");
    let mut ended = run(&mut command);
    // Sentences are broken into lines.
    ended.stdout = ended.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    ended
}

#[test]
fn what_a_later_run_has_more_is_unknown_and_the_rest_is_read() {
    let directory = tempfile::tempdir().expect("a directory");
    let later = write(directory.path(), "later.json", &later_run());
    let now = write(directory.path(), "now.json", &real_run());

    let same = ended(&["diff"], &[&later, &later]);
    assert_eq!((same.code, &*same.stdout), (Some(0), "0 regressions, 0 fixes; 2 as before"));
    let skipped = ended(&["diff", "--strict"], &[&now, &later]);
    assert_eq!(skipped.code, Some(1), "a skip says nothing, known or not: {skipped}");
    assert!(skipped.stdout.contains(&format!("the kernel has no wings {UNKNOWN}")), "{skipped}");

    for format in ["terminal", "markdown", "json", "svg"] {
        let sides = ended(&["diff", "--case", "quiz1/v4/off", "--format", format], &[&now, &later]);
        assert_eq!((sides.code, &*sides.stderr), (Some(0), ""), "{sides}");
        for words in ["teleport(A)", "numa read", "xdp saw C"] {
            let shown = format!("{words} {UNKNOWN}");
            assert!(sides.stdout.contains(&shown), "{format}, {shown}: {sides}");
        }
    }

    let page = ended(&["report", "-o", "-"], &[&later]);
    assert_eq!((page.code, &*page.stderr), (Some(0), ""), "{page}");
    let quoted = |words: &str| words.replace('"', "&quot;");
    for words in [
        "teleport(A)".to_owned(),
        "the kernel has no wings".to_owned(),
        quoted(r#"try 1 was discarded: {"hours":2,"why":"eclipse"}"#),
        quoted(r#"no: {"lsm":"plum-lsm"}"#),
        quoted(r#""family":"plum","kind":"known","read_from":"a-file","version":"9.1"}"#),
    ] {
        assert!(page.stdout.contains(&format!("{words} {UNKNOWN}")), "{words}");
    }
}

#[test]
fn an_end_of_a_later_version_is_not_taken_for_a_good_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let later = write(directory.path(), "later.json", &later_matrix("ascended"));
    let good = write(directory.path(), "good.json", &later_matrix("completed"));

    let change = ended(&["diff"], &[&good, &later]);
    assert_eq!(change.code, Some(1), "{change}");
    let what = format!("completed -> unknown end: ascended: nobody saw it {UNKNOWN}");
    assert!(change.stdout.contains(&what), "{change}");

    let whole = directory.path().join("whole.json");
    let out = whole.to_str().expect("UTF-8");
    let merged = ended(&["merge", "--out", out], &[&later]);
    assert_eq!(merged.code, Some(69), "what is not known is no answer: {merged}");
    assert!(merged.stdout.contains("unknown end"), "{merged}");
    assert!(merged.stderr.contains("was written by sockmig 99.0.0"), "{merged}");
    assert_eq!(ended(&["merge"], &[&good]).code, Some(0));

    // What was not known is written as it was.
    let read: Value = serde_json::from_slice(&fs::read(&whole).expect("there")).expect("JSON");
    let (read, before) = (&read["kernels"][0], &later_matrix("ascended")["kernels"][0]);
    assert_eq!(read["end"], before["end"]);
    assert_eq!(read["machine"], before["machine"]);
    for (read, before) in [0, 1].map(|at| (&read["run"]["cases"][at], &before["run"]["cases"][at]))
    {
        for key in ["trace", "discarded", "shorter_waits", "kind", "wings", "reason", "verdict"] {
            assert_eq!(read[key], before[key], "{key}");
        }
    }
    assert_eq!(read["run"]["environment"]["kernel"]["base"]["family"], "plum");

    let page = ended(&["report", "-o", "-"], &[&later]);
    assert_eq!(page.code, Some(0), "{page}");
    for words in ["ascended: nobody saw it", "QEMU, TCG, riscv64"] {
        assert!(page.stdout.contains(&format!("{words} {UNKNOWN}")), "{words}");
    }
}

/// Nobody can say whether it is better or worse than another.
#[rstest]
#[case::of_a_run(later_run(), "/cases/0")]
#[case::of_a_matrix(later_matrix("completed"), "/kernels/0/run/cases/0")]
fn a_further_verdict_is_refused(#[case] mut document: Value, #[case] case: &str) {
    document.pointer_mut(case).expect("a case")["verdict"] = "quarantined".into();
    let directory = tempfile::tempdir().expect("a directory");
    let path = write(directory.path(), "later.json", &document);
    for command in [&["diff"][..], &["report", "-o", "-"], &["diff", "--case", "quiz1/v4/off"]] {
        let documents = if command == ["diff"] { vec![&*path, &*path] } else { vec![&*path] };
        let refused = ended(command, &documents);
        assert_eq!((refused.code, &*refused.stdout), (Some(69), ""), "{refused}");
        let why = "later.json has a verdict of quiz1/v4/off that sockmig";
        assert!(refused.stderr.contains(why), "{refused}");
        assert!(refused.stderr.contains("`quarantined`. Use the sockmig that wrote it"));
    }
}

#[rstest]
#[case::next(json!(3), "in version 3 of the documents")]
#[case::far(json!(4_000_000_000_u64), "in version 4000000000 of the documents")]
#[case::none(json!(0), "has version 0")]
#[case::no_number(json!("2"), "is JSON, and no document of sockmig")]
fn a_later_form_is_refused(#[case] schema: Value, #[case] why: &str) {
    let directory = tempfile::tempdir().expect("a directory");
    let mut document = later_run();
    document["schema"] = schema;
    let path = write(directory.path(), "later.json", &document);
    for command in [&["diff"][..], &["merge"], &["report", "-o", "-"]] {
        let documents = if command == ["diff"] { vec![&*path, &*path] } else { vec![&*path] };
        let refused = ended(command, &documents);
        assert_eq!((refused.code, &*refused.stdout), (Some(69), ""), "{refused}");
        assert!(refused.stderr.contains(why), "{refused}");
    }
}
