//! `--watch`: listeners that open and close, connections that move, and its end.

use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::process::{Child, ChildStdout};
use std::time::Duration;

use harness::Family;
use harness::lab::Lab;
use harness::socket::{Listener, Stream};
use harness::wait;

use crate::command;
use crate::in_lab::Test;

pub fn tests() -> Vec<Test> {
    vec![
        Test::inside("watch/moved", moved),
        Test::inside("watch/lost", lost),
        Test::inside("watch/json", json),
        Test::inside("watch/ends-with-its-reader", ends_with_its_reader),
    ]
}

/// The command, of which lines are read; it is killed at the end.
struct Watching {
    child: Child,
    /// None when nobody reads any more.
    lines: Option<BufReader<ChildStdout>>,
}

impl Watching {
    fn start(arguments: &[&str]) -> Self {
        let mut command = command(&[&["--watch", "0.05"], arguments].concat());
        let mut child = command.spawn().expect("the command can be started");
        let lines = child.stdout.take().map(BufReader::new);
        Self { child, lines }
    }

    /// The next line that has this in it. The lab's deadline ends what never comes.
    fn until(&mut self, wanted: &str) -> String {
        let mut seen = String::new();
        loop {
            let mut line = String::new();
            let lines = self.lines.as_mut().expect("a pipe");
            let read = lines.read_line(&mut line).expect("readable");
            assert_ne!(read, 0, "it ended before `{wanted}`:\n{seen}");
            if line.contains(wanted) {
                return line;
            }
            seen.push_str(&line);
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// Labs are started through /proc/self/exe, and are called so.

/// Two clients wait in A's queue, and then B listens, too.
fn lab_with_waiting() -> (Lab, Listener, Vec<harness::socket::Client>) {
    let mut lab = Lab::open(Family::V4).expect("a lab");
    let a = lab.listen("A").expect("a listener");
    let clients = ["C", "D"].map(|name| {
        let client = lab.connect(name).expect("a client");
        client.send(b"Hello World").expect("sent");
        client
    });
    lab.settle().expect("settled");
    (lab, a, clients.into())
}

fn moved() {
    let (mut lab, a, _clients) = lab_with_waiting();
    lab.sysctl("net.ipv4.tcp_migrate_req", "1").expect("the setting");
    let mut watching = Watching::start(&[]);
    watching.until("this network namespace: 1 listener; net.ipv4.tcp_migrate_req = 1");
    let _b = lab.listen("B").expect("a listener");
    watching.until("exe opened 1 listener of :80");
    lab.close(a);
    let line = watching.until("closed");
    let (time, rest) = line.split_once(' ').expect("a time");
    assert_eq!(rest.trim(), "exe closed 1 of 2 listeners of :80; 2 connections moved, 0 lost");
    assert_eq!(time.split(':').count(), 3, "{line}");
}

fn lost() {
    let (mut lab, a, _clients) = lab_with_waiting();
    let _b = lab.listen("B").expect("a listener");
    let mut watching = Watching::start(&[]);
    watching.until("2 listeners");
    lab.close(a);
    let line = watching.until("closed");
    for wanted in [
        "exe closed 1 of 2 listeners of :80",
        "0 connections moved (net.ipv4.tcp_migrate_req is 0), 2 waited in their queues",
        "2 resets sent",
    ] {
        assert!(line.contains(wanted), "{wanted}: {line}");
    }
}

fn json() {
    let (mut lab, a, _clients) = lab_with_waiting();
    lab.sysctl("net.ipv4.tcp_migrate_req", "1").expect("the setting");
    let mut watching = Watching::start(&["--format", "json"]);
    // Its first look is over when it has seen something change.
    let b = opened_when_seen(&mut lab, &mut watching);
    lab.close(a);
    let line = watching.until(r#""closed":1"#);
    let line: serde_json::Value = serde_json::from_str(&line).expect("a document a line");
    assert_eq!(line["counters"]["TCPMigrateReqSuccess"], 2, "{line:#}");
    assert_eq!(line["listeners"][0]["port"], 80, "{line:#}");
    drop(b);
}

/// There is no line at the beginning: listeners are opened until one is seen.
fn opened_when_seen(lab: &mut Lab, watching: &mut Watching) -> Vec<Listener> {
    let mut opened = Vec::new();
    let lines = watching.lines.as_ref().expect("a pipe").get_ref();
    wait::until("a line", || {
        opened.push(lab.listen("B")?);
        let ready = wait::ready(&[lines.as_fd()], Duration::from_millis(200))?;
        Ok((ready == [true]).then_some(()))
    })
    .expect("it is seen");
    opened
}

fn ends_with_its_reader() {
    let lab = Lab::open(Family::V4).expect("a lab");
    let mut watching = Watching::start(&[]);
    watching.until("0 listeners");
    watching.lines = None;
    let ended = wait::until("its end", || Ok(watching.child.try_wait().ok().flatten()));
    let ended = ended.expect("it ends");
    assert_eq!(ended.code(), Some(0));
    drop(lab);
}
