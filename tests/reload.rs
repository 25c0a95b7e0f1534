//! `sockmig reload` for real, in short: signs and sums, never sizes.

mod support;

use serde_json::Value;
use support::{Ended, run, sockmig};

/// How many clients a second a machine serves that computes nothing else; an emulated one
/// says that it is slow.
fn rate() -> &'static str {
    if std::env::var_os("KSFT_MACHINE_SLOW").is_some() { "100" } else { "500" }
}

/// Whether the sysctl does anything on this kernel: since Linux 5.14.
fn migrates() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("a release");
    let numbers: Vec<u32> = release.split(['.', '-']).map_while(|part| part.parse().ok()).collect();
    numbers[..2] >= [5, 14][..]
}

fn measured(arguments: &[&str]) -> (Ended, Value) {
    let mut command = sockmig(&["reload", "--format", "json", "--rate", rate()]);
    let ended = run(command.args(arguments));
    let document = serde_json::from_str(&ended.stdout).unwrap_or_else(|e| panic!("{e}: {ended}"));
    (ended, document)
}

fn rows(document: &Value) -> &Vec<Value> {
    document["rows"].as_array().expect("rows")
}

fn row<'d>(document: &'d Value, strategy: &str, on: bool) -> &'d Value {
    let is_it = |row: &&Value| row["strategy"] == strategy && row["migrate_req"] == on;
    rows(document).iter().find(is_it).unwrap_or_else(|| panic!("no row of {strategy}, {on}"))
}

fn lost(row: &Value) -> u64 {
    let outcomes = row["outcomes"].as_object().expect("outcomes");
    let lost = outcomes.iter().filter(|(outcome, _)| *outcome != "answered");
    lost.map(|(_, count)| count.as_u64().expect("a number")).sum()
}

/// Every attempt has one fate, and none was the laboratory's failure.
fn conserved(document: &Value) {
    for row in rows(document) {
        let outcomes = row["outcomes"].as_object().expect("outcomes");
        let sum: u64 = outcomes.values().map(|count| count.as_u64().expect("a number")).sum();
        assert_eq!(row["attempts"], sum, "{row}");
        assert!(sum > 0 && !outcomes.contains_key("laboratory"), "{row}");
    }
}

fn signs(window: &str) {
    let strategies = ["own/naive", "own/passing", "--reloads", "2", "--rtt", "60"];
    let (ended, document) = measured(&[&strategies[..], &["--window", window]].concat());
    assert_eq!(ended.code, Some(0), "{ended}");
    conserved(&document);
    assert_eq!(document["validity"]["is"], "valid", "{ended}");
    let naive = |on| row(&document, "own/naive", on);
    let must = naive(false)["expected_per_reload"].as_f64().expect("a number") * 2.0;
    assert!(must > 4.0 && lost(naive(false)) as f64 >= must / 2.0, "{ended}");
    assert_eq!(naive(true)["closed_per_reload"], 2.0, "{ended}");
    // A close races with handshakes; half of what must be lost is no race.
    assert_eq!((lost(naive(true)) as f64) < must / 2.0, migrates(), "{ended}");
    for on in [false, true] {
        let passing = row(&document, "own/passing", on);
        assert_eq!((lost(passing), &passing["closed_per_reload"]), (0, &Value::from(0.0)));
    }
}

#[test]
fn real_servers_lose_or_keep_as_ours_do_or_are_told_to_be_missing() {
    let there = |name: &str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let usual = [std::path::PathBuf::from("/usr/sbin")];
        std::env::split_paths(&path).chain(usual).any(|place| place.join(name).is_file())
    };
    for (server, closes, keeps) in
        [("nginx", "nginx/shrink", "nginx/hup"), ("haproxy", "haproxy/sf", "haproxy/x")]
    {
        if !there(server) {
            let ended = run(&mut sockmig(&["reload", closes, "--reloads", "1"]));
            assert_eq!(ended.code, Some(4), "{ended}");
            assert!(ended.stderr.contains(&format!("apt install {server}")), "{ended}");
            continue;
        }
        let (ended, document) = measured(&[closes, keeps, "--reloads", "2", "--window", "hold"]);
        assert_eq!(ended.code, Some(0), "{ended}");
        conserved(&document);
        let must = |on| row(&document, closes, on)["expected_per_reload"].as_f64().unwrap_or(0.0);
        assert!(lost(row(&document, closes, false)) as f64 >= must(false), "{ended}");
        assert!((lost(row(&document, closes, true)) as f64) < must(true), "{ended}");
        for on in [false, true] {
            assert_eq!(lost(row(&document, keeps, on)), 0, "{ended}");
        }
    }
}

#[test]
fn who_loses_behind_a_hold() {
    signs("hold");
}

#[test]
fn who_loses_behind_a_delay_line_where_there_can_be_one() {
    let probe = run(&mut sockmig(&[
        "reload",
        "own/shared",
        "--window",
        "delay-line",
        "--quick",
        "--rate",
        rate(),
    ]));
    if probe.code == Some(69) && probe.stderr.contains("a delay line cannot be laid here") {
        // The refusal is what this machine can show.
        assert!(probe.stderr.contains("take --window hold"), "{probe}");
        return;
    }
    assert_eq!(probe.code, Some(0), "{probe}");
    assert!(probe.stdout.contains("a delay line with a round trip of 40 ms"), "{probe}");
    signs("delay-line");
}

#[test]
fn programs_lose_nobody_or_are_told_to_be_impossible() {
    let strategies = ["own/naive", "own/ebpf", "--reloads", "2", "--window", "hold"];
    let (ended, document) = measured(&strategies);
    assert_eq!(ended.code, Some(0), "{ended}");
    conserved(&document);
    let skipped = document["skipped"].as_array().expect("what was skipped");
    for id in ["own/ebpf-drain", "own/ebpf-migrate"] {
        if let Some(skipped) = skipped.iter().find(|skipped| skipped["strategy"] == id) {
            let reason = skipped["reason"].as_str().expect("a reason");
            assert!(reason.contains("eBPF") || reason.contains("cannot migrate"), "{reason}");
            continue;
        }
        for on in [false, true] {
            let row = row(&document, id, on);
            assert_eq!(row["closed_per_reload"], 2.0, "{row}");
            // What a close and a handshake race for is little compared with what the others lose.
            let naive = lost(self::row(&document, "own/naive", false));
            assert!(lost(row) < naive / 4, "{id} loses {} of {naive}: {row}", lost(row));
        }
    }
}

#[test]
fn a_close_at_rest_resets_everybody_or_nobody() {
    let place = tempfile::tempdir().expect("a directory");
    let mut command = sockmig(&["reload", "--close-cost", "--quick", "--format", "json", "--out"]);
    let ended = run(command.arg(place.path()));
    assert_eq!(ended.code, Some(0), "{ended}");
    let document: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    let points = document["points"].as_array().expect("points");
    let sizes: Vec<_> = points.iter().map(|p| (&p["children"], &p["migrate_req"])).collect();
    assert_eq!(sizes.len(), 8, "1 to 1000 children, off and on: {sizes:?}");
    for point in points {
        let all = point["children"].as_u64().expect("a number") * 3;
        let moved = point["migrate_req"] == true && migrates();
        let (reset, accepted) = if moved { (0, all) } else { (all, 0) };
        assert_eq!(point["reset"], reset, "{point}");
        assert_eq!(point["resets_sent"], reset, "{point}");
        assert_eq!((&point["queued"], &point["accepted"]), (&accepted.into(), &accepted.into()));
        if !point["migrated"].is_null() {
            assert_eq!(point["migrated"], accepted, "{point}");
        }
        assert!(point["close_us"].as_f64().is_some_and(|us| us > 0.0), "{point}");
    }
    let curve = std::fs::read_to_string(place.path().join("close-cost.svg")).expect("a plot");
    assert!(curve.starts_with("<svg ") && curve.ends_with("</svg>\n"), "{curve}");
}

#[test]
fn strategies_are_listed_with_what_they_need() {
    let ended = run(&mut sockmig(&["reload", "--list"]));
    assert_eq!(ended.code, Some(0), "{ended}");
    for words in ["own/naive  ", "own/ebpf-migrate", "Needs eBPF", "apt install haproxy"] {
        assert!(ended.stdout.contains(words), "`{words}`: {ended}");
    }
    let one = run(&mut sockmig(&["reload", "--list", "own/naive"]));
    assert_eq!(one.stdout.lines().count(), 1, "{one}");
}

#[test]
fn half_of_the_clients_of_a_stopped_member_fail_and_migration_saves_them_when_it_dies() {
    let ended = run(&mut sockmig(&["reload", "--stopped-member", "--format", "json"]));
    assert_eq!(ended.code, Some(0), "{ended}");
    let document: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    for group in document["groups"].as_array().expect("groups") {
        let number = |name: &str| group[name].as_u64().expect("a number");
        let (clients, failed) = (number("clients"), lost(group));
        assert_eq!(number("failed"), failed, "{group}");
        match group["killed"] == true && group["migrate_req"] == true && migrates() {
            true => assert_eq!(failed, 0, "{group}"),
            false => assert!((clients / 4..=clients * 3 / 4).contains(&failed), "{group}"),
        }
    }
}

#[test]
fn files_are_kept() {
    let place = tempfile::tempdir().expect("a directory");
    // Many in flight at each reload, so that chance does not make the run invalid.
    let mut command = sockmig(&["reload", "own/naive", "--rate", rate(), "--rtt", "250"]);
    command.args(["--reloads", "2", "--out"]);
    let ended = run(command.arg(place.path()));
    assert_eq!(ended.code, Some(0), "{ended}");
    let read = |name: &str| std::fs::read_to_string(place.path().join(name)).expect(name);
    let document: Value = serde_json::from_str(&read("reload.json")).expect("JSON");
    assert_eq!(document["schema"], 2);
    conserved(&document);
    for name in ["losses.svg", "latency.svg"] {
        let plot = read(name);
        assert!(plot.starts_with("<svg ") && plot.ends_with("</svg>\n"), "{plot}");
        assert!(plot.contains("own/naive"), "{plot}");
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (arguments, code, words) in [
        (&["nonsense"][..], 4, "no strategy has a name that starts with `nonsense`"),
        (&["--rate", "5"], 2, "a number from 10 to 20000 is needed"),
        (&["--rtt", "0"], 2, "a number from 1 to 1000 is needed"),
        (&["--workers", "9"], 2, "a number from 1 to 8 is needed"),
        (&["--quick", "--reloads", "3"], 2, "cannot be used with"),
        (&["--close-cost", "--rate", "100"], 2, "cannot be used with"),
        (&["--close-cost", "own"], 2, "cannot be used with"),
        (&["--most", "10"], 2, "--close-cost"),
        (&["--close-cost", "--most", "0"], 2, "a number from 1 to 1000000 is needed"),
        (&["--stopped-member", "--rate", "100"], 2, "cannot be used with"),
        (&["--stopped-member", "--close-cost"], 2, "cannot be used with"),
        (&["--list", "nonsense"], 4, "no strategy has a name that starts with `nonsense`"),
        (&["--kernel", "nonsense"], 69, "nonsense"),
        (&["--kernel", "6.12", "--out", "somewhere"], 2, "cannot be used with"),
        (&["--pause", "5000"], 2, "--pause 5000 is too long"),
        (&["--out", "/nowhere/at/all"], 69, "cannot make the directory"),
    ] {
        let ended = run(sockmig(&["reload"]).args(arguments));
        assert_eq!(ended.code, Some(code), "{ended}");
        assert!(ended.stderr.contains(words), "`{words}`: {ended}");
        assert!(!ended.stderr.contains("panicked"), "{ended}");
    }
}

#[test]
fn an_interrupted_run_shows_what_was_measured_and_leaves_nothing() {
    let mut command = sockmig(&["reload", "own/naive", "own/shared", "--reloads", "1000"]);
    command.args(["--rate", rate()]);
    let marked = support::mark(&mut command);
    let mut child = command.spawn().expect("spawned");
    // The second of the labs has workers: the first one is done.
    support::until("a worker of the second strategy", || {
        let workers = marked.processes();
        workers.iter().any(|process| process.is_worker_with("Inherited")).then_some(())
    });
    support::interrupt(&child);
    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.stdout.take().expect("stdout"), &mut said)
        .expect("text");
    assert_eq!(child.wait().expect("waited for").code(), Some(130), "{said}");
    assert!(said.contains("own/naive  off") && said.contains("Interrupted"), "{said}");
    marked.assert_gone();
}

#[test]
fn nothing_survives_kill_9() {
    let mut command = sockmig(&["reload", "own/naive"]);
    let marked = support::mark(&mut command);
    let mut child = command.spawn().expect("spawned");
    support::until("workers", || {
        let workers = marked.processes();
        workers.iter().any(|process| process.is_worker_with("Own")).then_some(())
    });
    child.kill().expect("killed");
    child.wait().expect("waited for");
    marked.assert_gone();
}
