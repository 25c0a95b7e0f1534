//! The command as its users meet it: on good days.

#[path = "../src/output/tests/ktap_rules.rs"]
mod ktap_rules;
mod support;

use std::fs;
use std::process::Stdio;

use support::{run, sockmig};

#[test]
fn answers_in_plain_words() {
    let ended = run(&mut sockmig(&[]));
    assert_eq!(ended.code, Some(0), "{ended}");
    for part in
        ["with net.ipv4.tcp_migrate_req = 0", "with net.ipv4.tcp_migrate_req = 1", "What to do"]
    {
        assert!(ended.stdout.contains(part), "{part}: {ended}");
    }
    // On a kernel with every known bug they take as much again.
    assert!(ended.stdout.lines().count() <= 65, "about a screen: {ended}");
    assert!(!ended.stdout.contains('\x1b'), "no colour where there is no terminal: {ended}");
}

#[test]
fn the_quizzes_show_the_packets_of_the_talk() {
    let ended = run(&mut sockmig(&["run", "quiz1/v4", "quiz2/v4", "--trace=plain"]));
    assert_eq!(ended.code, Some(0), "{ended}");
    for line in [
        "C > S  S 0:0(0)",
        "S > C  S. 0:0(0) ack 1",
        "C > S  . 1:1(0) ack 1",
        "C > S  P. 1:12(11) ack 1",
        "S > C  . 1:1(0) ack 12",
        "S > C  R. 1:1(0) ack 12",
        "S > C  R 1:1(0)  win 0",
        "-- close(A) --",
        "-- gate opens --",
    ] {
        assert!(ended.stdout.contains(line), "{line}: {ended}");
    }
}

#[test]
fn a_list_of_known_bugs_is_checked_and_taken() {
    let place = tempfile::tempdir().expect("a directory");
    let file = |name: &str, text: &str| {
        let path = place.path().join(name);
        fs::write(&path, text).expect("written");
        path.to_str().expect("UTF-8").to_owned()
    };
    // On every kernel quiz 1 with migration off shows this.
    let good = file(
        "good.toml",
        "[[bug]]\nid = \"ours\"\ntitle = \"It\"\ncause = \"It is.\"\n\n[[bug.case]]\nid = \
         \"quiz1\"\nobserved = { \"accept(B)\" = \"nothing\" }\n",
    );
    let checked = run(&mut sockmig(&["known", "check", &good]));
    assert_eq!(checked.code, Some(0), "{checked}");
    let ran = run(&mut sockmig(&["run", "quiz1/v4/off", "--known", &good]));
    assert_eq!(ran.code, Some(0), "{ran}");

    let wrong = file("wrong.toml", "[[bug]]\nid = \"ours\"\nfixed_in = [\"6.x\"]\n");
    let checked = run(&mut sockmig(&["known", "check", &wrong]));
    assert_eq!(checked.code, Some(2), "{checked}");
    for line in [
        "wrong.toml: line 1: bug[0].title: is missing",
        "wrong.toml: line 1: bug[0].cause: is missing",
        "wrong.toml: line 3: bug[0].fixed_in: `6.x` is not a version",
    ] {
        assert!(checked.stdout.contains(line), "{line}: {checked}");
    }
    for arguments in
        [vec!["run", "quiz1/v4/off"], vec!["explain", "quiz1"], vec!["matrix", "quiz1"]]
    {
        let refused = run(sockmig(&arguments).args(["--known", &wrong]));
        assert_eq!(refused.code, Some(2), "{refused}");
        let first = "wrong.toml is no list of known bugs: line 1: bug[0].title: is missing";
        assert!(refused.stderr.contains(first), "{refused}");
    }
    let absent = run(&mut sockmig(&["known", "check", "/nowhere/list.toml"]));
    assert_eq!(absent.code, Some(69), "{absent}");
}

#[test]
fn what_is_no_case_is_explained_too() {
    for (word, part) in [
        ("CVE-2026-46015", "3864c6ba1e04"),
        ("3864c6b", "lost-wake-up"),
        ("tcp_migrate_req", "Linux 5.14"),
        ("nginx", "sockmig reload nginx"),
    ] {
        let ended = run(&mut sockmig(&["explain", word]));
        assert_eq!(ended.code, Some(0), "{word}: {ended}");
        assert!(ended.stdout.contains(part), "{part}: {ended}");
    }
    let unknown = run(&mut sockmig(&["explain", "CVE-1999-0001"]));
    assert_eq!(unknown.code, Some(4), "{unknown}");
}

#[test]
fn ktap_is_as_the_kernel_wants_it() {
    for format in ["ktap", "tap13"] {
        // Those that run on kernels without migration too.
        let ids = ["quiz1/v4/off", "quiz1/v6/off", "quiz1/v4-mapped/off", "sysctl/probe"];
        let ended = run(sockmig(&["run", "--format", format]).args(ids));
        assert_eq!(ended.code, Some(0), "{ended}");
        let results = ktap_rules::parse(&ended.stdout).expect("the rules are kept");
        assert_eq!(results.len(), ids.len());
        assert_eq!(results[0].description.as_str(), "quiz1/v4/off");
        assert!(results.iter().all(|result| result.outcome == "pass"), "{ended}");
    }
}

#[test]
fn json_junit_and_captures_are_written() {
    let place = tempfile::tempdir().expect("a directory");
    let (out, junit) = (place.path().join("out"), place.path().join("junit.xml"));
    let ended = run(sockmig(&["run", "quiz1/v6/off", "--format", "json", "--repeat", "2"])
        .arg("--out")
        .arg(&out)
        .arg("--junit")
        .arg(&junit));
    assert_eq!(ended.code, Some(0), "{ended}");
    let printed: serde_json::Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!(printed["totals"]["passed"], 2);
    assert_eq!(printed["cases"][0]["facts"]["OutRsts"], 1);
    let kept = std::fs::read_to_string(out.join("run.json")).expect("run.json");
    let kept: serde_json::Value = serde_json::from_str(&kept).expect("JSON");
    assert_eq!(kept["cases"][0]["id"], "quiz1/v6/off");
    let junit = std::fs::read_to_string(junit).expect("junit.xml");
    assert!(junit.contains(r#"tests="2""#), "{junit}");
    let capture = printed["cases"][0]["capture"].as_str().expect("a capture");
    let capture = std::fs::read(capture).expect("the capture");
    assert!(capture.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]), "not pcapng");
}

#[test]
fn list_and_doctor_tell() {
    let listed = run(&mut sockmig(&["list", "quiz2/v6"]));
    let ids: Vec<&str> =
        listed.stdout.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(ids, ["quiz2/v6/off", "quiz2/v6/on"]);

    let doctor = run(&mut sockmig(&["doctor"]));
    assert_eq!(doctor.code, Some(0), "{doctor}");
    for line in ["namespaces", "QEMU", "KVM", "kernels", "machines"] {
        assert!(doctor.stdout.contains(&format!("  {line} ")), "{line}: {doctor}");
    }
}

#[test]
fn explain_teaches_a_case_and_runs_it() {
    let shown = [
        "  talk      A handshake whose final ACK has not come",
        "  must      Off: the retransmission finds no request",
        "  kernel    inet_csk_complete_hashdance() puts a child",
        "  since     As old as SO_REUSEPORT",
        "  do        Draining does not help",
    ];
    let explained = run(sockmig(&["explain", "quiz2"]).env("COLUMNS", "80"));
    assert_eq!(explained.code, Some(0), "{explained}");
    let seen = ["quiz2/v4/off (tcp_migrate_req = 0): ok", "R 1:1(0) -    |  C: gone"];
    for part in shown.iter().chain(&seen) {
        assert!(explained.stdout.contains(part), "{part}: {explained}");
    }
    for line in explained.stdout.lines() {
        assert!(line.chars().count() <= 80, "{line}: {explained}");
    }
    let only_shown = run(&mut sockmig(&["explain", "quiz2", "--no-run"]));
    for part in shown.iter().chain(&["must observe:", "S > C  R 1:1(0)"]) {
        assert!(only_shown.stdout.contains(part), "{part}: {only_shown}");
    }
    assert!(!only_shown.stdout.contains("observed:"), "{only_shown}");
    // A known bug without a fix, and one with a fix.
    let bugs = run(&mut sockmig(&["explain", "--no-run", "handshake"]));
    for part in ["No fix is known.", "Fixed by a28c4fcbf774"] {
        let joined = bugs.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(joined.contains(part), "{part}: {bugs}");
    }
}

#[test]
fn two_runs_at_the_same_time_do_not_meet() {
    // One of each kind, and few: two whole runs at a time are too slow for an emulator.
    let some = ["run", "--jobs", "8", "quiz", "accept-queue", "bind", "fast-open", "ebpf/close"];
    // Nobody reads along: what it prints must not fill a pipe.
    let mut other =
        sockmig(&some).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("spawned");
    let ended = run(&mut sockmig(&some));
    let other = other.wait().expect("waited for");
    assert_eq!((ended.code, other.code()), (Some(0), Some(0)), "{ended}");
}

/// A mechanism has one lesson, whatever the number of its cases.
#[test]
fn what_cases_share_is_told_once() {
    let explained = run(&mut sockmig(&["explain", "handshake", "--no-run"]));
    assert_eq!(explained.code, Some(0), "{explained}");
    for label in ["  talk ", "  since ", "  do "] {
        assert_eq!(explained.stdout.matches(&format!("\n{label}")).count(), 1, "{explained}");
    }
    assert!(explained.stdout.matches("\n  does ").count() > 5, "{explained}");
}

/// How many columns doctor's words and labels take.
const LABELS: usize = 18;

/// What is a sentence is broken between its words; what is one word is not.
#[test]
fn sentences_fit_a_narrow_terminal() {
    for arguments in [
        &[][..],
        &["doctor"],
        &["run", "--jobs", "1", "accounting/freed/groups/v4", "quiz1/v4/off"],
    ] {
        let ended = run(sockmig(arguments).env("COLUMNS", "40"));
        for line in ended.stdout.lines() {
            // What stands beside doctor's labels, which are in columns of their own.
            let is_label = line.starts_with("ok  ") || line.starts_with("--  ");
            let beside =
                if is_label { line.chars().skip(LABELS).collect() } else { line.to_owned() };
            let text = beside.trim_start().trim_start_matches("- ");
            // The first word with the label before it, and a word too long for any line.
            let can_be_broken = text.split_whitespace().count() > if is_label { 1 } else { 2 };
            assert!(line.chars().count() <= 40 || !can_be_broken, "{line}: {ended}");
        }
    }
}

/// A case that waits for three seconds is killed after one: its laboratory has broken.
#[test]
fn when_enough_have_failed_the_rest_is_not_run_and_shown() {
    let place = tempfile::tempdir().expect("a directory");
    let (out, junit) = (place.path().join("out"), place.path().join("junit.xml"));
    let line = ["run", "timer/chain", "--jobs", "1", "--deadline", "1", "--fail-fast"];
    let ran = run(sockmig(&line).arg("--out").arg(&out).arg("--junit").arg(&junit));
    let listed = run(&mut sockmig(&["list", "timer/chain"])).stdout.lines().count();
    let left = listed - 1;
    let text = fs::read_to_string(out.join("run.json")).expect("a document");
    let document: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let totals = &document["totals"];
    if totals["skipped"] != 0 {
        // Without migration nothing fails.
        assert_eq!((ran.code, &totals["enough_failed"]), (Some(4), &false.into()), "{ran}");
        return;
    }
    assert_eq!(ran.code, Some(69), "{ran}");
    assert!(ran.stdout.contains(&format!("Stopped by --max-fail; {left} not run.")), "{ran}");
    assert_eq!((&totals["errors"], &totals["not_run"]), (&1.into(), &left.into()), "{totals}");
    assert_eq!((&totals["enough_failed"], &document["complete"]), (&true.into(), &false.into()));
    let xml = fs::read_to_string(&junit).expect("XML");
    assert_eq!(xml.matches("not run: stopped by --max-fail").count(), left, "{xml}");

    let tap = run(sockmig(&line).args(["--format", "ktap"]));
    let results = ktap_rules::parse(&tap.stdout).unwrap_or_else(|e| panic!("{e}: {tap}"));
    let words: Vec<&str> = results.iter().map(|result| result.outcome).collect();
    assert_eq!(words, [vec!["error"], vec!["skip"; left]].concat(), "{tap}");

    // Two may fail, and the second is the last one that does.
    let line = ["run", "timer/chain", "--jobs", "1", "--deadline", "1", "--max-fail", "2"];
    let two = run(sockmig(&line).args(["--format", "json"]));
    let document: serde_json::Value = serde_json::from_str(&two.stdout).expect("JSON");
    assert_eq!(document["totals"]["errors"], 2, "{two}");
}
