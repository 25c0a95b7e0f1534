//! `sockmig explore`, `replay` and `script`, as their users meet them.

mod support;

use std::io::{BufRead, BufReader, Read, Write};

use harness::fault_injection;
use rstest::rstest;
use serde_json::Value;
use support::{Ended, interrupt, run, sockmig};

/// One clear sentence, no panic.
fn says(ended: &Ended, code: i32, words: &str) {
    assert_eq!(ended.code, Some(code), "{ended}");
    assert!(ended.stderr.contains(words), "`{words}` is not said: {ended}");
    assert!(!ended.stderr.contains("panicked"), "{ended}");
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("it can be written");
    file
}

const QUIZ_2: &str = "\
sockmig history 1
clients 0
set net.ipv4.tcp_migrate_req 1
listen A backlog 4
syn C1
listen B backlog 4
close A
data C1 11
accept B
";

#[rstest]
#[case::no_histories(&["explore", "--count", "0"], 2, "a number from 1 to")]
#[case::no_time(&["explore", "--time", "0"], 2, "a number from 1 to")]
#[case::unknown_act(&["explore", "--only", "syn,dance"], 2, "it is no act; acts are set, listen")]
#[case::mistyped_act(&["explore", "--only", "sny"], 2, "perhaps syn")]
#[case::count_and_time(&["explore", "--count", "1", "--time", "1"], 2, "cannot be used with")]
#[case::no_such_kernel(&["explore", "--kernel", "0.1", "--count", "1"], 69, "0.1")]
#[case::no_directory(&["explore", "--count", "1", "--out", "/nowhere/out"], 69, "cannot make the directory")]
#[case::missing_file(&["replay", "/nowhere/find.history"], 69, "cannot read it")]
#[case::missing_file_for_a_script(&["script", "/nowhere/find.history"], 69, "cannot read it")]
#[case::neither_a_file_nor_a_case(&["script", "quiz9"], 69, "and no case has an id that starts so")]
#[case::numbers_beyond_the_last_one(
    &["explore", "--seed", "18446744073709551615", "--count", "2"],
    2,
    "a number from 0 to 18446744072709551615"
)]
#[case::standard_input_in_a_machine(&["replay", "-", "--kernel", "6.12"], 2, "name a file")]
fn what_makes_no_sense_is_refused(
    #[case] arguments: &[&str],
    #[case] code: i32,
    #[case] words: &str,
) {
    says(&run(&mut sockmig(arguments)), code, words);
}

#[rstest]
#[case::empty("", "it is no history")]
#[case::something_else("{\"version\": 1}", "it is no history")]
#[case::of_the_future("sockmig history 9\nclients 0\n", "it is of version 9")]
#[case::unknown_act("sockmig history 1\nclients 0\ndance A\n", "line 3: `dance` is no act")]
#[case::cut_off("sockmig history 1\nclients 0\nlisten A back", "line 3: `listen` needs a listener")]
#[case::impossible(
    "sockmig history 1\nclients 0\nclose A\n",
    "line 3: `close A` cannot be done there"
)]
fn a_file_that_is_no_history_is_refused(#[case] text: &str, #[case] words: &str) {
    let file = file(text);
    let path = file.path().to_str().expect("UTF-8");
    for command in ["replay", "script"] {
        says(&run(&mut sockmig(&[command, path])), 2, words);
    }
}

#[test]
fn a_file_that_is_too_long_is_not_played_in_part() {
    let comments = "# nothing\n".repeat((1 << 20) / 10);
    let file = file(&QUIZ_2.replace("accept B\n", &format!("{comments}accept B\n")));
    let path = file.path().to_str().expect("UTF-8");
    says(&run(&mut sockmig(&["script", path])), 69, "cannot read it: it has more than 1 MiB");
}

#[test]
fn one_of_a_kind_is_called_so() {
    let place = tempfile::tempdir().expect("a directory");
    let out = place.path().to_str().expect("UTF-8");
    let made = run(&mut sockmig(&["script", "--out", out, "quiz1/v4/on"]));
    assert_eq!(made.stdout, format!("1 program is in {out}; 0 cases have none\n"), "{made}");
    let explored = run(&mut sockmig(&["explore", "--seed", "1", "--count", "1"]));
    assert!(explored.stdout.contains("\n1 history with "), "{explored}");
}

#[test]
fn a_directory_with_results_hides_no_case() {
    let place = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(place.path().join("quiz1")).expect("a directory");
    let ended = run(sockmig(&["script", "quiz1"]).current_dir(&place));
    assert_eq!(ended.code, Some(0), "{ended}");
}

#[test]
fn a_file_that_is_no_text_is_refused() {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(&[0xff, 0xfe, 0]).expect("it can be written");
    let path = file.path().to_str().expect("UTF-8");
    says(&run(&mut sockmig(&["replay", path])), 69, "cannot read it");
}

#[test]
fn a_number_of_histories_is_explored_and_written_as_json() {
    let arguments =
        ["explore", "--seed", "7", "--count", "40", "--wait-every", "0", "--format", "json"];
    let ended = run(&mut sockmig(&arguments));
    assert_eq!(ended.code, Some(0), "{ended}");
    let document: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    let number = |name: &str| document[name].as_u64().unwrap_or_else(|| panic!("{name}: {ended}"));
    assert_eq!(number("schema"), 1);
    assert_eq!(number("seed"), 7);
    assert_eq!(number("histories") + number("too_slow"), 40);
    assert_eq!(document["disagreements"].as_array().map(Vec::len), Some(0), "{ended}");
    assert!(document["met"].as_array().is_some_and(|met| met.len() > 50), "{ended}");
}

#[test]
fn a_history_is_played_act_by_act() {
    let file = file(QUIZ_2);
    let ended = run(&mut sockmig(&["replay", file.path().to_str().expect("UTF-8")]));
    assert_eq!(ended.code, Some(0), "{ended}");
    for line in [
        "to C1: S. 0:0(0) ack 1",
        "epoll(B); TCPMigrateReqSuccess +1; PassiveOpens +1",
        "C1's connection, 11 bytes, then EAGAIN",
        "the kernel did what the model says",
    ] {
        assert!(ended.stdout.contains(line), "{line}: {ended}");
    }
}

#[test]
fn what_was_found_is_shown_when_it_is_interrupted() {
    let mut command = sockmig(&["explore", "--time", "600", "--seed", "1"]);
    let mut child = command.spawn().expect("it starts");
    let mut shown = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut stdout = String::new();
    while !stdout.contains("histories from number 1 on") {
        assert!(shown.read_line(&mut stdout).expect("text") > 0, "{stdout}");
    }
    interrupt(&child);
    shown.read_to_string(&mut stdout).expect("text");
    let ended = child.wait().expect("it ends");
    assert_eq!(ended.code(), Some(130), "{stdout}");
    assert!(stdout.contains("interrupted"), "{stdout}");
    assert!(stdout.contains("histories with"), "{stdout}");
}

#[test]
fn a_script_is_python() {
    let file = file(QUIZ_2);
    let ended = run(&mut sockmig(&["script", file.path().to_str().expect("UTF-8")]));
    assert_eq!(ended.code, Some(0), "{ended}");
    assert!(ended.stdout.starts_with("#!/usr/bin/env python3\n"), "{ended}");
    assert!(ended.stdout.contains("client_1.send(\"P.\", 1, 1, b\"x\" * 11)"), "{ended}");
}

/// Every kernel with migration has a bug that these acts show; nobody has fixed it yet.
#[test]
fn what_is_found_is_short_kept_and_disagrees_again() {
    let place = tempfile::tempdir().expect("a directory");
    let out = place.path().to_str().expect("UTF-8");
    let ended = run(sockmig(&FINDS).args(["--out", out]));
    assert_eq!(ended.code, Some(1), "{ended}");
    assert!(
        ended.stdout.contains("DISAGREES  as with the known bug reset-request-off-target-count"),
        "{ended}"
    );
    assert!(ended.stdout.contains("it disagrees 3 of 3 times"), "{ended}");
    let kept: Vec<_> = std::fs::read_dir(place.path()).expect("a directory").flatten().collect();
    assert!(!kept.is_empty(), "{ended}");
    for file in kept {
        let text = std::fs::read_to_string(file.path()).expect("text");
        let acts = text.lines().count() - 2;
        assert!(acts <= 8, "{text}");
        let file = file.path();
        let path = file.to_str().expect("UTF-8");
        let again = run(&mut sockmig(&["replay", path, "--no-known"]));
        assert_eq!(again.code, Some(1), "{again}");
        assert!(again.stdout.contains("DISAGREES at `syn "), "{again}");
        // The model that has the bug, too, agrees with the kernel.
        let known = run(&mut sockmig(&["replay", path]));
        assert_eq!(known.code, Some(0), "{known}");
    }
}

/// Any number of clients that a file may have can have one hash.
#[test]
fn all_clients_may_be_of_one_slot() {
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join("find.history");
    let clients = " 30".repeat(64);
    let text =
        format!("sockmig history 1\nclients{clients}\nlisten A backlog 4\nsyn C64\nack C64\n");
    std::fs::write(&path, text).expect("it can be written");
    let ended = run(sockmig(&["replay"]).arg(&path));
    says(&ended, 0, "");
    assert!(ended.stdout.contains("the kernel did what the model says"), "{ended}");
}

/// Acts that find a bug that every kernel with migration has.
const FINDS: [&str; 10] = [
    "explore",
    "--no-known",
    "--only",
    "set,syn,reset,close",
    "--seed",
    "1",
    "--count",
    "300",
    "--wait-every",
    "0",
];

#[test]
fn nothing_more_is_begun_when_something_was_found() {
    let explored = |more: &[&str]| {
        let mut command = sockmig(&FINDS);
        let ended = run(command.args(["--jobs", "1", "--format", "json"]).args(more));
        assert_eq!(ended.code, Some(1), "{ended}");
        let document: Value = serde_json::from_str(&ended.stdout).expect("JSON");
        document["histories"].as_u64().expect("a number")
    };
    let (all, fast) = (explored(&[]), explored(&["--fail-fast"]));
    assert!(fast < all, "{fast} of {all}");
}

#[test]
fn what_is_found_is_shown_although_the_disk_is_full() {
    let place = tempfile::tempdir().expect("a directory");
    let full = place.path().join("full");
    std::fs::create_dir(&full).expect("mkdir");
    let mut command = sockmig(&FINDS);
    command.arg("--out").arg(&full);
    fault_injection::with_full_disk(&mut command, &full);
    let ended = run(&mut command);
    // What was found counts for more.
    says(&ended, 1, "No space left on device");
    assert!(
        ended.stdout.contains("DISAGREES  as with the known bug reset-request-off-target-count"),
        "{ended}"
    );
    assert!(
        ended.stdout.contains("\n    sockmig history 1\n"),
        "the history is not shown: {ended}"
    );
    assert!(ended.stdout.contains("histories with"), "{ended}");
    assert!(!ended.stdout.contains("sockmig replay"), "{ended}");
}

#[test]
fn a_page_shows_what_was_explored() {
    let mut command = sockmig(&FINDS);
    let found = run(command.args(["--format", "json"]));
    assert_eq!(found.code, Some(1), "{found}");
    let place = tempfile::tempdir().expect("a directory");
    let document = place.path().join("explore.json");
    std::fs::write(&document, &found.stdout).expect("it can be written");
    let ended = run(sockmig(&["report", "-o", "-"]).arg(&document));
    assert_eq!(ended.code, Some(0), "{ended}");
    let json: Value = serde_json::from_str(&found.stdout).expect("JSON");
    let histories = json["histories"].as_u64().expect("a number");
    let (met, not_met) = (json["met"].as_array(), json["not_met"].as_array());
    let (met, not_met) = (met.map_or(0, Vec::len), not_met.map_or(0, Vec::len));
    let signature = json["disagreements"][0]["signature"].as_str().expect("a text");
    for words in [
        format!("{histories} histories with "),
        format!("Met {met} of the {} situations", met + not_met),
        format!("<code>{signature}</code>"),
        "Kernel and model differ in ".to_owned(),
        "sockmig history 1\nclients".to_owned(),
    ] {
        assert!(ended.stdout.contains(&words), "`{words}` is not on the page: {}", ended.stdout);
    }
    // Nothing is said of cases.
    assert!(!ended.stdout.contains("id=\"the-answer\""), "{}", ended.stdout);
    // Next to a run it has a section of its own.
    let cases = place.path().join("out/run.json");
    let ran = run(sockmig(&["run", "quiz1/v4/off", "--out"]).arg(place.path().join("out")));
    assert_eq!(ran.code, Some(0), "{ran}");
    let both = run(sockmig(&["report", "-o", "-"]).arg(&cases).arg(&document));
    assert_eq!(both.code, Some(0), "{both}");
    for id in ["the-answer", "the-histories", "the-cases"] {
        assert!(both.stdout.contains(&format!("id=\"{id}\"")), "{id}: {}", both.stdout);
    }
}

#[test]
fn a_document_of_a_later_explore_is_refused() {
    let file = file("{\"schema\": 2, \"histories\": 1, \"not_met\": []}");
    let ended = run(sockmig(&["report", "-o", "-"]).arg(file.path()));
    says(&ended, 69, "in version 2 of its documents");
}

#[rstest]
#[case::neither(&["script"], 2, "name a history or a case")]
#[case::no_such_case(&["script", "--out", "/tmp", "dance"], 2, "no case has an id like this")]
#[case::no_directory(&["script", "quiz1", "--out", "/nowhere/out"], 69, "cannot make the directory")]
#[case::signed(&["script", "md5/same-key/v4"], 4, "right for one connection alone")]
#[case::hash_of_a_bound_client(&["script", "order/closed-member/v4"], 4, "has a port of its own")]
#[case::io_uring(&["script", "accept-queue/io-uring-close/v4/on"], 4, "through io_uring")]
fn what_cannot_be_printed_is_said(
    #[case] arguments: &[&str],
    #[case] code: i32,
    #[case] words: &str,
) {
    says(&run(&mut sockmig(arguments)), code, words);
}
