//! `sockmig reload --server` and `--start`: servers that users describe, right and wrong.

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use rstest::rstest;
use serde_json::Value;
use support::{Ended, is_installed, run, sockmig};
use tempfile::TempDir;

/// A group of one listener for each process, as a server in a few lines.
const SERVER: &str = r#"
import signal, socket, sys
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
listener.bind((sys.argv[1], int(sys.argv[2])))
listener.listen(1024)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
while True:
    client, _ = listener.accept()
    client.recv(4096)
    client.sendall(sys.argv[3].encode() if len(sys.argv) > 3 else b"HTTP/1.1 200 OK\r\n\r\nhello")
    client.close()
"#;

/// A directory with a server's file, `mine.toml`.
fn place_with(file: &str) -> (TempDir, PathBuf) {
    let place = tempfile::tempdir().expect("a directory");
    fs::write(place.path().join("server.py"), SERVER).expect("a server");
    let path = place.path().join("mine.toml");
    fs::write(&path, file).expect("a file");
    (place, path)
}

/// `sockmig reload`, for a machine that is busy with other tests.
fn reload(arguments: &[&str]) -> Command {
    let line = ["reload", "--window", "hold", "--rate", "100", "--reloads", "1"];
    sockmig(&[&line[..], arguments].concat())
}

/// Measures the server of a file, and sees to it that nothing of it is left.
fn measure(file: &str, arguments: &[&str]) -> Ended {
    let (_place, path) = place_with(file);
    let path = path.display().to_string();
    let mut command = reload(&[&["--server", &path], arguments].concat());
    let marked = support::mark(&mut command);
    let ended = run(&mut command);
    marked.assert_gone();
    ended
}

/// What cannot be measured where there is no Python.
fn without_python(file: &str) -> bool {
    if is_installed("python3") {
        return false;
    }
    let ended = measure(file, &[]);
    assert_eq!(ended.code, Some(4), "{ended}");
    assert!(ended.stderr.contains("there is no python3 on the PATH"), "{ended}");
    true
}

/// For a server that is to become ready, on a machine however busy.
const PATIENT: &str =
    "program = [\"python3\"]\nready.within-s = 60\nreload.within-s = 60\nreload.quiet-ms = 100\n";

const PYTHON: &str =
    "program = [\"python3\"]\nready.within-s = 2\nreload.within-s = 2\nreload.quiet-ms = 100\n";

#[rstest]
#[case::never_ready(
    "start.command = [\"/bin/sh\", \"-c\", \"sleep 600\"]\nready.within-s = 1\n",
    "it is not ready after 1 s: nothing listens at port 80; its log is empty"
)]
#[case::dies_at_once(
    "start.command = [\"/bin/sh\", \"-c\", \"echo no moon; exit 3\"]\n",
    "`/bin/sh` ended before it was ready (exit status: 3); its log ends with:\nno moon"
)]
#[case::goes_into_the_background(
    "start.command = [\"/bin/sh\", \"-c\", \"sleep 600 &\"]\n",
    "`/bin/sh` has ended, and left something else running: have the server stay in the foreground"
)]
#[case::fails_in_the_background(
    "start = { command = [\"/bin/sh\", \"-c\", \"exit 4\"], background = true, pid-file = \"pid\" }\n",
    "`/bin/sh` ended before it was ready (exit status: 4)"
)]
#[case::writes_no_pid(
    "start = { command = [\"/bin/true\"], background = true, pid-file = \"pid\" }\n\
     ready.within-s = 1\n",
    "pid has not the id of a new process"
)]
#[case::never_goes_into_the_background(
    "start = { command = [\"/bin/sh\", \"-c\", \"sleep 600\"], background = true, pid-file = \"p\" }\n\
     ready.within-s = 1\n",
    "it is not ready after 1 s: `/bin/sh` has not ended"
)]
#[case::no_program_after_all(
    "start.command = [\"{directory}/nothing\"]\n",
    "/nothing` cannot be started: No such file or directory"
)]
#[case::a_number_that_is_none(
    "values.many = \"few\"\nstart = { command = \"/bin/true\", processes = \"{many}\" }\n",
    "`start.processes` is \"few\", and must be a number"
)]
fn who_does_not_become_ready_is_reported_in_one_sentence(#[case] file: &str, #[case] words: &str) {
    let ended = measure(&format!("{file}reload.signal = \"SIGHUP\"\n"), &[]);
    assert_eq!(ended.code, Some(69), "{ended}");
    assert!(ended.stdout.contains(&format!("error mine: {words}")) || ended.stdout.contains(words));
    assert!(!ended.stderr.contains("panicked"), "{ended}");
}

#[rstest]
#[case::listens_elsewhere(
    "start.command = \"{program} {here}/server.py 127.0.0.1 8080\"\n[reload]\nsignal = \"SIGHUP\"\n",
    "it listens at 127.0.0.1:8080, and clients come to every address at port 80"
)]
#[case::listens_at_one_address(
    "start.command = \"{program} {here}/server.py 127.0.0.1 {port}\"\n[reload]\nsignal = \"SIGHUP\"\n",
    "it listens at 127.0.0.1:80, and clients come to every address"
)]
#[case::another_answer(
    "start.command = \"{program} {here}/server.py 0.0.0.0 {port} 'HTTP/1.1 404 Not Found'\"\n\
     [reload]\nsignal = \"SIGHUP\"\n",
    "a client got the answer \"HTTP/1.1 404 Not Found\", and a good one begins with \"HTTP/1.1 200\""
)]
#[case::no_answer(
    "start.command = \"{program} {here}/server.py 0.0.0.0 {port} ''\"\n\
     [reload]\nsignal = \"SIGHUP\"\n",
    "a client got no answer: the server closed the connection"
)]
#[case::too_few_listeners(
    "start.command = \"{program} {here}/server.py 0.0.0.0 {port}\"\nready.listeners = 2\n\
     [reload]\nsignal = \"SIGHUP\"\n",
    "it has 1 listener, and must have 2"
)]
#[case::dies_at_the_reload(
    "start.command = \"{program} {here}/server.py 0.0.0.0 {port}\"\n[reload]\nsignal = \"SIGHUP\"\n",
    "python3` ended at the reload (signal: 1 (SIGHUP))"
)]
#[case::a_reload_that_fails(
    "start.command = \"{program} {here}/server.py 0.0.0.0 {port}\"\n\
     [reload]\ncommand = [\"/bin/sh\", \"-c\", \"echo no moon; exit 5\"]\n",
    "`/bin/sh` failed at the reload (exit status: 5)"
)]
#[case::a_reload_that_never_ends(
    "start.command = \"{program} {here}/server.py 0.0.0.0 {port}\"\n\
     [reload]\ncommand = \"sleep 600\"\n",
    "the reload is not over after 2 s: `/bin/sleep` has not ended"
)]
#[case::a_new_one_that_is_not_ready(
    "start.command = \"{program} {here}/server.py 0.0.0.0 {port}\"\n\
     [reload]\nstart-again = \"sleep 600\"\n",
    "the reload is not over after 2 s: nothing listens at port 80"
)]
#[case::a_new_one_that_dies(
    "start.command = \"{program} {here}/server.py 0.0.0.0 {port}\"\n\
     [reload]\nstart-again = \"/bin/sh -c 'exit 6'\"\n",
    "`/bin/sh` ended at the reload (exit status: 6)"
)]
#[case::a_reload_that_is_not_said_to_be_over(
    "start.command = \"{program} {here}/server.py 0.0.0.0 {port}\"\n\
     [reload]\ncommand = \"true\"\noutput = \"reloaded\"\n",
    "the reload is not over after 2 s: it has not printed \"reloaded\""
)]
#[case::one_that_is_stopped(
    "start.command = \"{program} {here}/server.py 0.0.0.0 {port}\"\n\
     [reload]\ncommand = [\"/bin/sh\", \"-c\", \"kill -STOP {main}\"]\n",
    "is stopped (SIGSTOP, or a debugger)"
)]
#[case::an_old_one_that_stays(
    "start.command = \"{program} {here}/server.py 0.0.0.0 {port}\"\nstop.signal = \"SIGCONT\"\n\
     [reload]\nstart-again = true\n",
    "the reload is not over after 2 s: one old process still runs"
)]
fn who_does_not_reload_is_reported_in_one_sentence(#[case] file: &str, #[case] words: &str) {
    let file = match file.split_once("[reload]\n") {
        Some((start, reload)) => {
            let within = "reload.within-s = 2\n";
            let python = PYTHON.replace(within, "").replace("reload.quiet-ms = 100\n", "");
            format!("{python}{start}[reload]\nwithin-s = 2\n{reload}")
        }
        None => file.to_owned(),
    };
    if without_python(&file) {
        return;
    }
    let ended = measure(&file, &[]);
    assert_eq!(ended.code, Some(69), "{ended}");
    let said = ended.stdout.replace("/usr/bin/", "/bin/");
    assert!(said.contains(words), "`{words}`: {ended}");
    assert!(!said.contains("lower --rate"), "the rate is not what is wrong: {ended}");
    let is_of_a_reload = said.contains("at the reload");
    assert!(!is_of_a_reload || words.contains("at the reload"), "there was none yet: {ended}");
    assert!(!ended.stderr.contains("panicked"), "{ended}");
}

#[test]
fn no_file_of_the_machine_can_be_changed() {
    let command = "echo trace > {here}/trace; echo trace > /tmp/$NAME; echo trace > $HOME/mine; \
                   echo trace > /dev/shm/$NAME; ls $HOME";
    let (place, path) = place_with(&format!(
        "reload.signal = \"SIGHUP\"\n[start]\ncommand = [\"/bin/sh\", \"-c\", \"{command}\"]\n\
         environment = {{ NAME = \"sockmig-{pid}\" }}\n",
        pid = std::process::id()
    ));
    let ended = run(reload(&["--server"]).arg(&path));
    assert_eq!(ended.code, Some(69), "{ended}");
    // It ended with success: what it could not write it says, and what is its own it could.
    for words in ["`/bin/sh` ended before it was ready (exit status: 0)", "mine", "Read-only"] {
        assert!(ended.stdout.contains(words), "`{words}`: {ended}");
    }
    let name = format!("sockmig-{}", std::process::id());
    let traces = [place.path().join("trace"), PathBuf::from("/tmp").join(&name)];
    for trace in traces.into_iter().chain([PathBuf::from("/dev/shm").join(&name)]) {
        assert!(!trace.exists(), "{}", trace.display());
    }
}

#[rstest]
#[case::wrong("start.comand = \"x\"", 2, "mine.toml: line 1: unknown field `comand`")]
#[case::nothing("", 2, "mine.toml: [start] has no `command`")]
#[case::not_there(
    "start.command = \"no-such-server\"\nreload.signal = \"SIGHUP\"",
    4,
    "there is no no-such-server on the PATH"
)]
#[case::not_there_with_advice(
    "program = [\"no-such\", \"nor-this\"]\ninstall = \"build it\"\n\
     start.command = \"{program}\"\nreload.signal = \"SIGHUP\"",
    4,
    "there is no no-such or nor-this on the PATH; build it"
)]
#[case::no_other_program(
    "needs.programs = [\"no-such\"]\nstart.command = \"/bin/true\"\nreload.signal = \"SIGHUP\"",
    4,
    "there is no no-such on the PATH"
)]
#[case::no_path(
    "paths.modules = [\"/no\", \"/nor\"]\nstart.command = \"/bin/true\"\nreload.signal = \"SIGHUP\"",
    4,
    "{modules} is in none of /no, /nor"
)]
fn what_is_wrong_with_a_file_is_said_before_anything_runs(
    #[case] file: &str,
    #[case] code: i32,
    #[case] words: &str,
) {
    let (_place, path) = place_with(file);
    let path = path.display().to_string();
    for arguments in [&["reload", "--server", &path, "--check"][..], &["reload", "--server", &path]]
    {
        let ended = run(&mut sockmig(arguments));
        assert_eq!(ended.code, Some(code), "{ended}");
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(said.contains(words), "`{words}`: {ended}");
        let about = said.lines().filter(|line| line.contains("mine"));
        assert!(about.count() >= 1 && !said.contains("panicked"), "{ended}");
    }
}

#[rstest]
#[case(&["--server", "/no/such/file"], 2, "cannot read /no/such/file: No such file")]
#[case(&["--server", "/"], 2, "cannot read /: Is a directory")]
#[case(&["--server", "/dev/zero", "--check"], 2, "it has 49153 bytes, and may have 49152")]
#[case(&["--start", "true"], 2, "--reload")]
#[case(&["--reload", "SIGHUP"], 2, "--start")]
#[case(&["--start", "'a", "--reload", "SIGHUP"], 2, "--start: a quote in `'a` is not closed")]
#[case(&["--start", "", "--reload", "SIGHUP"], 2, "--start is empty")]
#[case(&["--start", "true", "--reload", ""], 2, "--reload is empty")]
#[case(&["--start", "true", "--reload", "SIGHUB"], 2, "--reload: there is no signal `SIGHUB`")]
#[case(&["--start", "true {prot}", "--reload", "SIGHUP"], 2, "has {prot}, which stands for nothing")]
#[case(&["--check"], 2, "--check needs --server FILE")]
#[case(&["--show"], 2, "--show needs the name of a strategy")]
#[case(&["--show", "nonsense"], 4, "no strategy has a name that starts with `nonsense`")]
#[case(&["--server", "new", "--kernel", "6.12"], 2, "cannot be used with")]
fn what_makes_no_sense_is_refused(
    #[case] arguments: &[&str],
    #[case] code: i32,
    #[case] words: &str,
) {
    let ended = run(sockmig(&["reload"]).args(arguments));
    assert_eq!(ended.code, Some(code), "{ended}");
    assert!(ended.stderr.contains(words), "`{words}`: {ended}");
    assert!(!ended.stderr.contains("panicked"), "{ended}");
}

#[test]
fn two_files_of_one_name_are_refused() {
    let file = "start.command = \"true\"\nreload.signal = \"SIGHUP\"\n";
    let (one, other) = (place_with(file), place_with(file));
    let mut command = sockmig(&["reload", "--check"]);
    for (_, path) in [&one, &other] {
        command.arg("--server").arg(path);
    }
    let ended = run(&mut command);
    assert_eq!(ended.code, Some(2), "{ended}");
    assert!(ended.stderr.contains("two servers are called `mine`"), "{ended}");
}

#[test]
fn the_example_is_right_and_can_be_shown_and_checked() {
    let example = run(&mut sockmig(&["reload", "--server", "new"]));
    assert_eq!(example.code, Some(0), "{example}");
    let (_place, path) = place_with(&example.stdout);
    let path = path.display().to_string();
    let shown = run(&mut sockmig(&["reload", "--server", &path, "--show", "--workers", "3"]));
    assert_eq!(shown.code, Some(0), "{shown}");
    assert!(shown.stdout.contains("worker_processes 3;\npid /"), "{shown}");
    let checked = run(&mut sockmig(&["reload", "--server", &path, "--check"]));
    let (code, words) = match is_installed("nginx") {
        true => (0, "mine.toml: nothing is wrong"),
        false => (4, "there is no nginx on the PATH; apt install nginx"),
    };
    assert_eq!(checked.code, Some(code), "{checked}");
    assert!(checked.stdout.contains(words), "{checked}");
}

#[test]
fn what_is_shipped_can_be_shown_and_used_as_a_file() {
    let shown = run(&mut sockmig(&["reload", "--show", "nginx/shrink"]));
    assert_eq!(shown.code, Some(0), "{shown}");
    for words in ["signal = \"SIGHUP\"", "worker_processes 4;", "worker_processes 1;"] {
        assert!(shown.stdout.contains(words), "`{words}`: {shown}");
    }
    let own = run(&mut sockmig(&["reload", "--show", "own/naive"]));
    assert!(own.stdout.contains("It has no file: its workers are part of sockmig"), "{own}");
}

fn document(ended: &Ended) -> Value {
    assert_eq!(ended.code, Some(0), "{ended}");
    serde_json::from_str(&ended.stdout).unwrap_or_else(|e| panic!("{e}: {ended}"))
}

fn lost(row: &Value) -> u64 {
    let outcomes = row["outcomes"].as_object().expect("outcomes");
    let lost = outcomes.iter().filter(|(outcome, _)| *outcome != "answered");
    lost.map(|(_, count)| count.as_u64().expect("a number")).sum()
}

#[test]
fn a_server_of_the_user_s_loses_what_its_listeners_lose() {
    let file = format!(
        "{PATIENT}start.command = \"{{program}} {{here}}/server.py 0.0.0.0 {{port}}\"\n\
         start.processes = \"{{workers}}\"\nreload.start-again = true\n"
    );
    if without_python(&file) {
        return;
    }
    let arguments = ["--format", "json", "--rate", "200", "--reloads", "2"];
    let (_place, path) = place_with(&file);
    let mut command = sockmig(&["reload", "--window", "hold", "--server"]);
    let ended = run(command.arg(path).args(arguments));
    let document = document(&ended);
    assert_eq!(document["validity"]["is"], "valid", "{document}");
    for row in document["rows"].as_array().expect("rows") {
        assert_eq!((&row["strategy"], &row["effect"]), (&"mine".into(), &"varies".into()));
        // Nobody said that two of four close; it was seen.
        assert_eq!((&row["closed_per_reload"], &row["emptied"]), (&2.0.into(), &0.into()));
        let must = row["expected_per_reload"].as_f64().expect("a number") * 2.0;
        assert!(must > 4.0, "{row}");
        match row["migrate_req"] == true {
            true => assert!((lost(row) as f64) < must / 2.0, "{row}"),
            false => assert!(lost(row) as f64 >= must / 2.0, "{row}"),
        }
    }
}

#[test]
fn a_server_without_a_file_is_measured_and_one_that_keeps_its_listener_loses_nobody() {
    if !is_installed("python3") {
        let start = ["reload", "--start", "python3 -m http.server {port}", "--reload", "true"];
        let ended = run(&mut sockmig(&start));
        assert_eq!(ended.code, Some(4), "{ended}");
        return;
    }
    let ended = run(&mut reload(&[
        "--start",
        "python3 -m http.server --bind 0.0.0.0 {port}",
        "--reload",
        "true",
    ]));
    assert_eq!(ended.code, Some(0), "{ended}");
    assert!(ended.stdout.contains("server off: loses none of"), "{ended}");
    assert!(ended.stdout.contains("no listener closed."), "{ended}");
    assert!(ended.stdout.contains("unproven"), "{ended}");
}

/// Speaks first, and never closes; listens with an IPv6 socket.
const SPEAKS_FIRST: &str = r#"
import socket
def listen():
    listener = socket.socket(socket.AF_INET6)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("::", 80))
    listener.listen(1024)
    return listener
import select, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
listener, kept = listen(), []
while True:
    client, _ = listener.accept()
    client.sendall(b"220 ready\r\n")
    kept.append(client)
"#;

/// The file of that server; nothing where it cannot be measured.
fn speaks_first() -> Option<String> {
    let file = format!(
        "{PATIENT}start.command = \"{{program}} {{directory}}/speaks.py\"\nstart.processes = 2\n\
         reload.start-again = true\n\
         [request]\nsend = \"\"\nanswer = \"220 \"\nuntil = \"beginning\"\n\
         [files]\n\"speaks.py\" = '''{SPEAKS_FIRST}'''\n"
    );
    (!without_python(&file) && std::path::Path::new("/proc/net/tcp6").exists()).then_some(file)
}

#[test]
fn other_protocols_than_http_are_spoken_and_listeners_of_ipv6_are_watched() {
    let Some(file) = speaks_first() else { return };
    let (_place, path) = place_with(&file);
    let line = ["reload", "--rate", "100", "--reloads", "1", "--format", "json", "--server"];
    let ended = run(sockmig(&line).arg(&path));
    let document: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    for row in document["rows"].as_array().expect("rows") {
        assert_eq!(row["closed_per_reload"], 2.0, "{row}");
        assert!(row["outcomes"]["answered"].as_u64().is_some_and(|count| count > 0), "{row}");
    }
    assert_eq!(document["errors"].as_array().map(Vec::len), Some(0), "{document}");
}

/// A client that waits for the server to speak sends its final ACK again only when the server
/// repeats its SYN+ACK, a second later; and if nobody knows its handshake any more, nobody resets
/// it.
#[test]
fn who_waits_for_the_server_to_speak_is_held_for_longer_and_is_not_reset() {
    let Some(file) = speaks_first() else { return };
    let (_place, path) = place_with(&file);
    let path = path.display().to_string();
    let ended = run(&mut reload(&["--server", &path, "--format", "json"]));
    let document = document(&ended);
    assert_eq!(document["server_speaks_first"], serde_json::json!(["mine"]));
    assert_eq!(document["validity"]["is"], "valid", "{document}");
    assert!(document["window_ms"].as_f64().is_some_and(|ms| ms >= 1000.0), "{document}");
    for row in document["rows"].as_array().expect("rows") {
        let must = row["expected_per_reload"].as_f64().expect("a number");
        let waited = row["outcomes"]["timed-out-waiting"].as_f64().unwrap_or(0.0);
        match row["migrate_req"] == true {
            true => assert!((lost(row) as f64) < must / 2.0, "{row}"),
            false => assert!(waited >= must / 2.0, "{row}"),
        }
    }
    let text = run(&mut reload(&["--server", &path]));
    for words in [
        "held for 200 ms, 1000 ms where the server speaks first (mine)",
        "A client that waits for the server to speak sends nothing",
    ] {
        let shown = text.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(shown.contains(words), "`{words}`: {text}");
    }
}
