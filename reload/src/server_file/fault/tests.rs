//! Every kind of wrong file gets a sentence that names what is wrong.

use super::*;
use crate::server_file::EXAMPLE;
use rstest::rstest;

/// A file with nothing that could be left out.
const LEAST: &str = "start.command = [\"server\"]\nreload.signal = \"SIGHUP\"\n";

fn said(text: &str) -> Vec<String> {
    match read(text) {
        Ok(_) => vec![],
        Err(faults) => faults.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn the_least_file_and_the_example_are_right() {
    assert_eq!(said(LEAST), Vec::<String>::new());
    assert_eq!(said(EXAMPLE), Vec::<String>::new());
}

#[test]
fn the_example_shows_every_key() {
    // What the parser offers when it gets a key that there is not.
    for (table, prefix) in [
        ("", ""),
        ("needs", "needs."),
        ("start", "start."),
        ("ready", "ready."),
        ("reload", "reload."),
        ("stop", "stop."),
        ("request", "request."),
    ] {
        let why = said(&format!("{prefix}nonsense = 1\n"));
        let (_, keys) = why[0].split_once("expected ").expect("what is expected");
        let keys = keys.trim_start_matches("one of ").replace(" or ", ", ");
        for key in keys.split(", ").map(|key| key.trim_matches('`')) {
            let is_shown = [format!("{key} = "), format!("[{key}]")];
            assert!(is_shown.iter().any(|form| EXAMPLE.contains(form)), "{table}: {key}");
        }
    }
}

#[rstest]
#[case::no_toml("start = [", "line 1: ")]
#[case::an_unknown_key("strat.command = [\"x\"]", "line 1: unknown field `strat`")]
#[case::an_unknown_key_in_a_table("[start]\ncomand = [\"x\"]", "line 2: unknown field `comand`")]
#[case::twice("rate = 10\nrate = 20", "line 2: duplicate key")]
#[case::does("does = 1", "line 1: invalid type: integer `1`, expected a string")]
#[case::program(
    "program = 1",
    "line 1: invalid type: integer `1`, expected words, as in [\"nginx\""
)]
#[case::program_of_numbers("program = [1]", "invalid type: integer `1`, expected a string")]
#[case::install("install = []", "expected a string")]
#[case::listeners("listeners = \"go\"", "unknown variant `go`, expected one of `observe`, `stay`")]
#[case::rate("rate = \"fast\"", "invalid type: string \"fast\", expected a whole number")]
#[case::rate_below_zero("rate = -1", "invalid type: integer `-1`, expected a whole number")]
#[case::low_rate("rate = 9", "`rate` is 9, and must be from 10 to 20000")]
#[case::takes("takes-ms = 0", "`takes-ms` is 0, and must be from 1 to 60000")]
#[case::needs(
    "needs = { cores = 2 }",
    "unknown field `cores`, expected one of `processors`, `ipv6`, `programs`"
)]
#[case::values("values = { a = true }", "invalid type: boolean `true`, expected a number, or text")]
#[case::value_of_the_house("values.port = 81", "[values] has `port`, which always has a meaning")]
#[case::value_nobody_can_write(
    "values.\"A b\" = 1",
    "[values] has `A b`: a placeholder's name has"
)]
#[case::paths("paths = 1", "expected a map")]
#[case::path_of_the_house("paths.main = [\"/\"]", "[paths] has `main`, which always has a meaning")]
#[case::files("files = [\"a\"]", "expected a map")]
#[case::file_elsewhere(
    "files.\"../a\" = \"\"",
    "[files] has \"../a\": the name of a file is a path"
)]
#[case::file_from_the_root("files.\"/etc/a\" = \"\"", "[files] has \"/etc/a\"")]
#[case::file_that_is_a_directory("files.\"a/\" = \"\"", "[files] has \"a/\"")]
#[case::file_with_a_zero_byte("files.\"a\\u0000b\" = \"\"", "`files` has a zero byte")]
#[case::argument_with_a_zero_byte(
    "start.command = [\"a\", \"b\\u0000c\"]",
    "`start.command` has a zero byte"
)]
#[case::value_with_a_zero_byte("values.a = \"\\u0000\"", "`values` has a zero byte")]
#[case::variable_with_a_zero_byte(
    "start.environment.A = \"\\u0000\"",
    "`start.environment` has a zero byte"
)]
#[case::variable_without_a_name(
    "start.environment.\"\" = \"x\"",
    "[start] has the environment variable \"\": the name of one is not empty"
)]
#[case::variable_with_an_equals_sign(
    "start.environment.\"A=B\" = \"x\"",
    "[start] has the environment variable \"A=B\""
)]
#[case::empty_command("start.command = [\"\", \"x\"]", "`start.command` is empty")]
#[case::empty_program("program = [\"\"]", "`program` is empty")]
#[case::empty_need("needs.programs = [\"\"]", "`needs.programs` is empty")]
#[case::no_process("start.processes = 0", "`start.processes` is 0, and must be from 1 to 1000")]
#[case::many_processes(
    "start.processes = 100000",
    "`start.processes` is 100000, and must be from 1 to 1000"
)]
#[case::large_number(
    "takes-ms = 9223372036854775807",
    "expected a whole number from 0 to 4294967295"
)]
#[case::the_log("files.log = \"\"", "[files] has \"log\"")]
#[case::command("start.command = 1", "invalid type: integer `1`, expected words")]
#[case::open_quote("start.command = \"server 'a\"", "a quote in `server 'a` is not closed")]
#[case::environment("start.environment = \"A=1\"", "expected a map")]
#[case::directory("start.directory = \"\"", "`start.directory` is empty")]
#[case::processes(
    "start.processes = \"many\"",
    "`start.processes` is \"many\", and must be a number"
)]
#[case::negative("start.processes = -1", "`start.processes` is \"-1\", and must be a number")]
#[case::background("start.background = true", "[start] has `background = true` and no `pid-file`")]
#[case::background_of_text("start.background = \"yes\"", "expected a boolean")]
#[case::many(
    "start = { processes = 2, pid-file = \"a\" }",
    "[start] has `processes` and `pid-file`"
)]
#[case::ready_listeners("ready.listeners = 1.5", "invalid type: floating point `1.5`")]
#[case::ready_children("ready.children = { atleast = 1 }", "unknown field `atleast`")]
#[case::ready_threads("ready.threads = 4", "`ready.threads` does nothing without `ready.children`")]
#[case::ready_file("ready.file = \"\"", "`ready.file` is empty")]
#[case::ready_output("ready.output = \"\"", "`ready.output` is empty")]
#[case::reload_output("reload.output = \"\"", "`reload.output` is empty")]
#[case::ready_within("ready.within-s = 0", "`ready.within-s` is 0, and must be from 1 to 600")]
#[case::signal("reload.signal = \"SIGHUB\"", "there is no signal `SIGHUB`")]
#[case::signal_number("reload.signal = 1", "expected the name of a signal, as \"SIGHUP\"")]
#[case::reload_command("reload.command = []", "`reload.command` is empty")]
#[case::again("reload.start-again = 1", "expected true, or a command")]
#[case::not_again("reload.start-again = false", "`reload.start-again` is false")]
#[case::stop_old(
    "reload.stop-old = true",
    "`reload.stop-old` does nothing without `reload.start-again`"
)]
#[case::ends("reload.ends = \"all\"", "unknown variant `all`, expected `children` or `main`")]
#[case::ends_main(
    "reload.ends = \"main\"",
    "[reload] has `ends = \"main\"`, and [start] no `pid-file`"
)]
#[case::reload_values("reload.values.a = 1", "[reload.values] has `a`, and [values] has not")]
#[case::restore("reload.restore.signal = \"SIGTTIN\"", "`reload.restore` does nothing without")]
#[case::quiet("reload.quiet-ms = 70000", "`reload.quiet-ms` is 70000, and must be from 1 to 60000")]
#[case::reload_within("reload.within-s = 601", "`reload.within-s` is 601")]
#[case::stop(
    "stop.signal = \"SIGTERM\"",
    "`stop.signal` does nothing without `reload.start-again`"
)]
#[case::stop_command("stop.command = \"\"", "`stop.command` is empty")]
#[case::send("request.send = 1", "expected a string")]
#[case::answer("request.answer = \"\"", "`request.answer` is empty")]
#[case::until("request.until = \"end\"", "unknown variant `end`, expected `closed` or `beginning`")]
#[case::placeholder(
    "start.environment.A = \"{prot}\"",
    "`start.environment` has {prot}, which stands for nothing there; what can be used: {directory}"
)]
#[case::placeholder_elsewhere(
    "ready.output = \"{main}\"",
    "`ready.output` has {main}, which stands"
)]
#[case::no_program(
    "start.directory = \"{program}\"",
    "`start.directory` has {program}, which stands"
)]
fn each_key_that_is_wrong_is_named(#[case] line: &str, #[case] words: &str) {
    // What is about one key replaces the least file's.
    let key = line.split(['.', ' ']).take(2).collect::<Vec<_>>().join(".");
    let least = LEAST.lines().filter(|own| !own.starts_with(&key) || line.contains("{ processes"));
    let least: String = match line.starts_with("start = ") || line.starts_with("[start]") {
        true => "reload.signal = \"SIGHUP\"\n".into(),
        false => least.map(|own| format!("{own}\n")).collect(),
    };
    let text = match line.starts_with("start = [") || line.contains('\n') {
        true => line.to_owned(),
        false => format!("{line}\n{least}"),
    };
    let said = said(&text);
    assert!(said.iter().any(|sentence| sentence.contains(words)), "{text}{said:?}");
    assert!(said.iter().all(|sentence| !sentence.contains('\n')), "{said:?}");
}

#[rstest]
#[case("", &["[start] has no `command`", "[reload] has none of `signal`, `command` and"])]
#[case(
    "start.command = \"a\"\n[reload]\nsignal = \"SIGHUP\"\ncommand = \"b\"",
    &["`reload.signal` and `reload.command` exclude each other"]
)]
#[case(
    "start.command = \"a\"\nreload.start-again = true\n[stop]\nsignal = \"SIGHUP\"\ncommand = \"b\"",
    &["`stop.signal` and `stop.command` exclude each other"]
)]
#[case(
    "start.command = \"a\"\nreload.start-again = true\nreload.ends = \"children\"",
    &["`reload.start-again` and `reload.ends` exclude each other"]
)]
fn what_is_missing_and_what_excludes_each_other(#[case] text: &str, #[case] words: &[&str]) {
    let said = said(text);
    assert_eq!(said.len(), words.len(), "{said:?}");
    for (sentence, words) in said.iter().zip(words) {
        assert!(sentence.contains(words), "{sentence}");
    }
}

#[test]
fn a_file_that_does_not_fit_into_an_argument_is_too_long() {
    let long = format!("does = \"{}\"\n{LEAST}", "a".repeat(LONGEST));
    let why = said(&long);
    assert!(why[0].contains("and may have 49152"), "{}", why[0]);
}

#[test]
fn words_that_stand_for_nothing_in_files_are_left_alone_and_listed() {
    let text = format!("{LEAST}files.a = \"{{port}} {{host}} {{ x }}\"\n");
    let file = read(&text).expect("a right file");
    assert_eq!(left_alone(&file), BTreeSet::from(["host"]));
}
