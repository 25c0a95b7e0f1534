//! A terminal of 40 columns: no line of any command is wider, unless it is one word.

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use rstest::rstest;
use serde_json::{Value, json};
use support::{Ended, run, sockmig};

const WIDTH: usize = 40;

/// As a terminal of so many columns has it.
fn narrow(arguments: &[&str]) -> Command {
    let mut command = sockmig(arguments);
    command.env("COLUMNS", WIDTH.to_string()).env_remove("GITHUB_STEP_SUMMARY");
    command
}

#[track_caller]
fn fits(ended: &Ended, what: &str) {
    for line in ended.stdout.lines().chain(ended.stderr.lines()) {
        let is_word = line.split_whitespace().count() <= 1;
        assert!(line.chars().count() <= WIDTH || is_word, "{what}: `{line}`");
    }
    assert!(!ended.stdout.is_empty() || !ended.stderr.is_empty(), "{what}: nothing is said");
}

#[rstest]
fn no_line_is_wider_than_the_terminal(
    #[values(
        &["run", "quiz1/v4", "attributes", "mptcp", "growth"][..],
        &["run", "quiz1", "quiz2/v4", "--trace"],
        &["run", "quiz1/v4", "--trace=plain"],
        &["run", "quiz1/v4", "--repeat", "2"],
        &["run", "quizz"],
        &["list"],
        &["list", "nosuch"],
        &["explain", "quiz1"],
        &["explain", "wake-up", "--no-run"],
        &["explain", "CVE-2026-46015"],
        &["explain", "net.ipv4.tcp_migrate_req"],
        &["explain", "nginx"],
        &["explain", "nosuch"],
        &["doctor"],
        &["inspect"],
        &["inspect", "--port", "70000"],
        &["known", "list"],
        &["known", "check", "/nowhere/known.toml"],
        &["known", "check", "Cargo.toml"],
        &["reload", "--list"],
        &["reload", "nosuch"],
        &["reload", "--close-cost", "--most", "10"],
        &["reload", "--show"],
        &["reload", "--server", "Cargo.toml", "--check"],
        &["kernels", "list"],
        &["kernels", "fetch", "nosuch"],
        &["matrix", "--kernel", "nosuch"],
        &["matrix", "--kernel", "Cargo.toml", "--out", "/nowhere/out"],
        &["vm-run", "--kernel", "Cargo.toml", "--", "/nowhere/program"],
        &["diff", "/nowhere/a.json", "/nowhere/b.json"],
        &["merge", "Cargo.toml"],
        &["report", "/nowhere/run.json"],
        &["--help"],
        &["run", "--help"],
        &["diff", "--help"],
        &["run", "--jobs", "0"],
        &["explore", "--count", "20"],
        &["explore", "--count", "0"],
        &["explore", "--only", "nosuch"],
        &["race", "--list"],
        &["race", "accept/accept", "--time", "1"],
        &["race", "nosuch"],
        &["replay", "Cargo.toml"],
        &["script", "Cargo.toml"],
        &["rnu"]
    )]
    arguments: &[&str],
) {
    fits(&run(&mut narrow(arguments)), &arguments.join(" "));
}

/// Whoever is looked for begins a line, and what belongs to it stands below.
#[rstest]
#[case(&["race", "accept/accept", "--time", "1"], "accept/accept v4 off", "  rounds ")]
#[case(&["kernels", "list"], "6.12.85-1", "  line 6.12, suite ")]
#[case(&["reload", "--close-cost", "--most", "1"], "1 children, migration off", "  close() ")]
fn a_line_of_a_table_has_its_headings(
    #[case] arguments: &[&str],
    #[case] about: &str,
    #[case] below: &str,
) {
    let ended = run(&mut narrow(arguments));
    if ended.code == Some(4) {
        println!("{}", ended.stderr);
        return;
    }
    let mut lines = ended.stdout.lines().skip_while(|line| *line != about);
    assert!(lines.next().is_some(), "`{about}` begins nothing: {ended}");
    assert!(lines.next().is_some_and(|line| line.starts_with(below)), "{ended}");
}

#[test]
fn nor_is_one_of_documents() {
    let place = tempfile::tempdir().expect("a directory");
    let ended = run(&mut sockmig(&["run", "quiz1", "mptcp", "--format", "json"]));
    let document: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    let mut worse = document.clone();
    for case in worse["cases"].as_array_mut().expect("cases").iter_mut().step_by(2) {
        case["verdict"] = "fail".into();
        case["mismatches"] = json!([{
            "what": "accept(B)", "actual": "EAGAIN",
            "expected": ["the connection of C with all that it sent before the close"],
        }]);
    }
    let ids = |document: &Value| -> Vec<Value> {
        let cases = document["cases"].as_array().expect("cases");
        cases.iter().map(|case| case["id"].clone()).collect()
    };
    let matrix = json!({
        "schema": 2, "sockmig": env!("CARGO_PKG_VERSION"), "took_ms": 1, "complete": true,
        "cases": ids(&document),
        "kernels": [
            { "name": "6.12.85-1", "fate": { "fate": "completed" }, "run": worse },
            { "name": "linux-6.18.44/arch/x86/boot/bzImage",
              "fate": { "fate": "panicked", "why": "Kernel panic - not syncing: Fatal exception" },
              "complaints": [{ "during": "quiz1/v4/off", "text": "WARNING: CPU: 0 PID: 1" }],
              "run": document },
        ],
    });
    let write = |name: &str, document: &Value| {
        let path = place.path().join(name);
        fs::write(&path, document.to_string()).expect("written");
        path
    };
    let [one, other] = [("one.json", &document), ("other.json", &worse)].map(|(n, d)| write(n, d));
    let matrix = write("matrix.json", &matrix);
    let within = |arguments: &[&str], paths: &[&Path]| {
        let mut command = narrow(arguments);
        // The places of files are words of any length.
        let paths = paths.iter().filter_map(|path| path.file_name());
        fits(&run(command.args(paths).current_dir(&place)), &arguments.join(" "));
    };
    within(&["diff"], &[&one, &other]);
    within(&["diff", "--strict"], &[&other, &one]);
    within(&["diff", "--case", "quiz1/v4/off"], &[&one, &other]);
    within(&["diff", "--case", "nosuch"], &[&one, &other]);
    within(&["merge"], &[&matrix]);
    within(&["report", "-o", "report.html"], &[&one, &matrix]);
}
