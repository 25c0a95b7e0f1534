//! Servers that others wrote, under `sockmig reload`: how they fail, and what they leave.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use nix::sys::signal::Signal;
use rstest::rstest;
use serde_json::Value;
use support::{is_installed, run, sockmig};
use tempfile::TempDir;

/// A directory with a program in it, a script for the shell.
fn place_with(name: &str, script: &str) -> TempDir {
    let place = tempfile::tempdir().expect("a directory");
    let program = place.path().join(name);
    fs::write(&program, format!("#!/bin/sh\n{script}")).expect("a script");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("chmod");
    place
}

/// `sockmig reload` for a machine that is busy with other tests, with `place` first of all on
/// the PATH.
fn reload(strategies: &[&str], place: &TempDir) -> Command {
    let line = ["reload", "--window", "hold", "--rate", "50"];
    let mut command = sockmig(&[&line[..], strategies].concat());
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{}:{path}", place.path().display()));
    command
}

/// The programs of all commands are looked for, and not only the server's own.
#[rstest]
#[case(
    "reload.command = \"/nowhere/reload now\"",
    "`reload.command`: there is no program /nowhere/reload"
)]
#[case(
    "reload.command = \"{here}/notes.txt\"",
    "`reload.command`: there is no program {here}/notes.txt"
)]
#[case(
    "reload.command = \"no-such-reload\"",
    "`reload.command`: there is no no-such-reload on the PATH"
)]
#[case(
    "reload.start-again = \"/nowhere/server\"",
    "`reload.start-again`: there is no program /nowhere/"
)]
#[case(
    "stop.command = \"no-such-stop\"\nreload.start-again = true",
    "`stop.command`: there is no no-such-stop on the PATH"
)]
fn a_command_without_a_program_is_told_before_it_is_run(#[case] lines: &str, #[case] why: &str) {
    let place = place_with("server", "exit 1\n");
    fs::write(place.path().join("notes.txt"), "no program\n").expect("a text");
    let file = place.path().join("mine.toml");
    fs::write(&file, format!("start.command = \"{{here}}/server\"\n{lines}\n")).expect("a file");
    let file = file.to_str().expect("UTF-8");
    let ended = run(&mut sockmig(&["reload", "--server", file, "--check"]));
    assert_eq!(ended.code, Some(4), "{ended}");
    assert!(ended.stdout.contains(&format!("it cannot be measured here: {why}")), "{ended}");
    let ended = run(&mut sockmig(&["reload", "--server", file, "--reloads", "1"]));
    assert_eq!(ended.code, Some(4), "{ended}");
    assert!(ended.stderr.contains(why), "{ended}");
}

/// What the command says of a server that is not there.
fn is_told_to_be_missing(server: &str, strategy: &str) {
    let ended = run(&mut sockmig(&["reload", strategy, "--reloads", "1"]));
    assert_eq!(ended.code, Some(4), "{ended}");
    assert!(ended.stderr.contains(&format!("apt install {server}")), "{ended}");
}

#[rstest]
#[case("nginx", "nginx/hup")]
#[case("haproxy", "haproxy/sf")]
#[case("haproxy", "haproxy/shards")]
#[case("apache2", "apache/no-buckets")]
#[case("gunicorn", "gunicorn/hup")]
#[case("uvicorn", "uvicorn/rotate")]
fn who_does_not_start_is_told_with_the_end_of_the_log(
    #[case] server: &str,
    #[case] strategy: &str,
) {
    let script = "echo 'no moon tonight' >&2\nexit 3\n";
    let place = place_with(server, script);
    // uvicorn is a script: what is started is the python that has it.
    fs::copy(place.path().join(server), place.path().join("python3")).expect("a copy");
    let ended = run(&mut reload(&[strategy, "--reloads", "1"], &place));
    // Where there is no Apache its modules are missed before anything is started.
    if server == "apache2" && ended.stderr.contains("{modules} is in none of") {
        assert_eq!(ended.code, Some(4), "{ended}");
        return;
    }
    assert_eq!(ended.code, Some(69), "{ended}");
    for words in [strategy, "exit status: 3", "no moon tonight"] {
        assert!(ended.stdout.contains(words), "`{words}`: {ended}");
    }
}

#[test]
fn a_port_that_a_server_does_not_take_is_told_in_its_words() {
    if !is_installed("haproxy") {
        return is_told_to_be_missing("haproxy", "haproxy/sf");
    }
    let script =
        "sed -i 's/bind \\*:80/bind *:99999/' haproxy.cfg\nexec /usr/sbin/haproxy \"$@\"\n";
    let place = place_with("haproxy", script);
    let ended = run(&mut reload(&["haproxy/sf", "--reloads", "1"], &place));
    assert_eq!(ended.code, Some(69), "{ended}");
    for words in ["its log ends with", "99999"] {
        assert!(ended.stdout.contains(words), "`{words}`: {ended}");
    }
}

#[test]
fn who_dies_under_load_is_told_and_not_counted() {
    if !is_installed("haproxy") {
        return is_told_to_be_missing("haproxy", "haproxy/shards");
    }
    // Clients come for four times as long before anything is reloaded.
    let script = "/usr/sbin/haproxy \"$@\" &\nsleep 0.2\nkill -9 $!\n\
                  echo 'the roof fell in' >&2\nexit 3\n";
    let place = place_with("haproxy", script);
    let ended = run(&mut reload(&["haproxy/shards", "--reloads", "1"], &place));
    assert_eq!(ended.code, Some(69), "{ended}");
    for words in ["exit status: 3", "the roof fell in"] {
        assert!(ended.stdout.contains(words), "`{words}`: {ended}");
    }
    assert!(!ended.stdout.contains("lost per reload"), "{ended}");
}

/// A server whose first process ends when its child has served three clients: the one that looks whether
/// it is ready, and two that come long before anything is reloaded.
const LEAVES: &str = r#"
import os, signal, socket, sys
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
listener.bind(("0.0.0.0", int(sys.argv[1])))
listener.listen(1024)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
served, serve = os.pipe()
if os.fork():
    for _ in range(3):
        os.read(served, 1)
    print("no moon tonight", flush=True)
    os._exit(7)
while True:
    client, _ = listener.accept()
    client.recv(4096)
    client.sendall(b"HTTP/1.1 200 OK\r\n\r\nhello")
    client.close()
    os.write(serve, b".")
"#;

#[test]
fn who_has_ended_before_a_reload_has_not_ended_at_it() {
    if !is_installed("python3") {
        return println!("there is no python3");
    }
    let place = tempfile::tempdir().expect("a directory");
    fs::write(place.path().join("leaves.py"), LEAVES).expect("a server");
    let file = place.path().join("mine.toml");
    let text = "start.command = \"python3 {here}/leaves.py {port}\"\nreload.signal = \"SIGHUP\"\n";
    fs::write(&file, text).expect("a file");
    let file = file.to_str().expect("UTF-8");
    let ended = run(&mut reload(&["--server", file, "--reloads", "1", "--rtt", "400"], &place));
    assert_eq!(ended.code, Some(69), "{ended}");
    let said = ended.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    let how = "ended while it was to serve, and not at a reload (exit status: 7); its log ends with: \
               no moon tonight";
    assert!(said.contains(how), "{ended}");
}

/// What of this machine a laboratory could have changed: mounts, and the places of scratch.
fn traces() -> (BTreeSet<String>, Vec<usize>) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    let entries = |place: &&str| fs::read_dir(place).map_or(0, Iterator::count);
    let scratch = ["/mnt", "/media", "/srv"];
    (mounts.lines().map(str::to_owned).collect(), scratch.iter().map(entries).collect())
}

#[rstest]
fn nothing_of_a_server_outlives_the_command(
    #[values(
        ("nginx", "nginx", "nginx/hup"),
        ("haproxy", "haproxy", "haproxy/x"),
        ("apache2", "apache2", "apache/no-buckets")
    )]
    server: (&str, &str, &str),
    #[values(Signal::SIGINT, Signal::SIGTERM, Signal::SIGKILL)] signal: Signal,
) {
    let (package, name, strategy) = server;
    if !is_installed(package) {
        return is_told_to_be_missing(package, strategy);
    }
    let before = traces();
    let temporary = tempfile::tempdir().expect("a directory");
    let line = ["reload", strategy, "--window", "hold", "--rate", "50", "--reloads", "1000"];
    let mut command = sockmig(&line);
    command.env("TMPDIR", temporary.path());
    let marked = support::mark(&mut command);
    let mut child = command.spawn().expect("spawned");
    // It overwrites its environment, and with it the mark; its namespace stays.
    let space = support::until("the server in a laboratory", || {
        let is_its = |space: &std::path::PathBuf| {
            support::names_in(space).iter().any(|comm| comm.trim_end() == name)
        };
        marked.spaces().into_iter().find(is_its)
    });
    assert!(support::signal(signal, child.id()), "{signal} could not be sent");
    let status = child.wait().expect("waited for");
    let code = (signal != Signal::SIGKILL).then_some(130);
    assert_eq!(status.code(), code);
    marked.assert_gone();
    support::until("the end of the laboratory", || {
        support::names_in(&space).is_empty().then_some(())
    });
    assert_eq!(traces(), before);
    assert_eq!(fs::read_dir(temporary.path()).expect("a directory").count(), 0);
}

/// A run, and the sockets and pipes that were seen in it.
fn watched(strategies: &[&str]) -> (Value, BTreeSet<std::path::PathBuf>) {
    let line =
        ["reload", "--format", "json", "--window", "hold", "--rate", "200", "--reloads", "2"];
    let mut command = sockmig(&[&line[..], strategies].concat());
    let marked = support::mark(&mut command);
    let child = command.spawn().expect("spawned");
    let reader = std::thread::spawn(move || child.wait_with_output().expect("waited for"));
    let mut seen = BTreeSet::new();
    while !reader.is_finished() {
        seen.extend(marked.sockets_and_pipes());
        std::thread::yield_now();
    }
    let ended = support::Ended::from(reader.join().expect("joined"));
    assert_eq!(ended.code, Some(0), "{ended}");
    (serde_json::from_str(&ended.stdout).unwrap_or_else(|e| panic!("{e}: {ended}")), seen)
}

#[test]
fn two_runs_at_once_do_not_notice_each_other() {
    let mut strategies = vec!["own/naive"];
    strategies.extend(is_installed("nginx").then_some("nginx/shrink"));
    let other = strategies.clone();
    let (mine, its) = std::thread::scope(|scope| {
        let other = scope.spawn(|| watched(&other));
        (watched(&strategies), other.join().expect("joined"))
    });
    for (document, _) in [&mine, &its] {
        assert_eq!(document["validity"]["is"], "valid", "{document}");
        let rows = document["rows"].as_array().expect("rows");
        assert_eq!(rows.len(), strategies.len() * 2);
        for row in rows {
            let outcomes = row["outcomes"].as_object().expect("outcomes");
            let sum: u64 = outcomes.values().filter_map(Value::as_u64).sum();
            assert_eq!(row["attempts"], sum, "{row}");
            // Neither sees a listener of the other's.
            let closed = if row["strategy"] == "own/naive" { 2.0 } else { 3.0 };
            assert_eq!(row["closed_per_reload"], closed, "{row}");
        }
    }
    assert!(!mine.1.is_empty() && !its.1.is_empty());
    let common: Vec<_> = mine.1.intersection(&its.1).collect();
    assert!(common.is_empty(), "{common:?}");
}
