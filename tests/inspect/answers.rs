//! What is said of a group: queues, options, what a close does, what to do; and each format.

use harness::Family;
use harness::bpf::{Attach, PASS, Program};
use harness::lab::Lab;
use harness::socket::Listener;
use harness::socket::attribute;
use harness::socket::wire_client::Draft;

use crate::in_lab::{Need, Test};
use crate::{document, inspect, port, surprises};

pub fn tests() -> Vec<Test> {
    vec![
        Test::inside("answers/nothing-listens", nothing_listens),
        Test::inside("answers/one-listener", one_listener),
        Test::inside("answers/setting", setting),
        Test::inside("answers/queues", queues),
        Test::inside("answers/full-queue", full_queue),
        Test::inside("answers/fast-open", fast_open),
        Test::inside("answers/defer-accept", defer_accept),
        Test::inside("answers/option", option),
        Test::inside("answers/backlog", backlog),
        Test::inside("answers/mixed-multipath", mixed_multipath).needs([Need::Multipath]),
        Test::inside("answers/multipath", multipath).needs([Need::Multipath]),
        Test::inside("answers/program", program).needs([Need::Programs]),
        Test::inside("answers/prometheus", prometheus),
        Test::inside("answers/nothing-is-changed", nothing_is_changed),
        Test::inside("answers/bad-input", bad_input),
    ]
}

fn pair() -> (Lab, Listener, Listener) {
    let mut lab = Lab::open(Family::V4).expect("a lab");
    let a = lab.listen("A").expect("a listener");
    let b = lab.listen("B").expect("a listener");
    (lab, a, b)
}

fn nothing_listens() {
    inspect(&[]).assert_says("0 listeners; net.ipv4.tcp_migrate_req = 0 Nothing listens here.");
    let check = inspect(&["--check"]);
    assert_eq!(check.code, Some(0), "{}", check.stdout);
    check.assert_says("SOCKMIG OK - no port has a group of listeners | groups=0 listeners=0");
}

fn one_listener() {
    let mut lab = Lab::open(Family::V4).expect("a lab");
    let _a = lab.listen("A").expect("a listener");
    let shown = inspect(&[]);
    shown.assert_says("1 listener; net.ipv4.tcp_migrate_req = 0 No port has more than one");
    assert_eq!(inspect(&["--check"]).code, Some(0));
    assert_eq!(document(&[])["namespaces"][0]["single_ports"], 1);
}

/// Off, it says what is lost and how to turn it on, and when it is on, that others take over.
fn setting() {
    let (mut lab, _a, _b) = pair();
    let off = inspect(&[]);
    off.assert_says("Port 80: 2 listeners, one group");
    off.assert_says("connections in its accept queue are reset, and its handshakes in flight");
    off.assert_says("sysctl -w net.ipv4.tcp_migrate_req=1");
    off.assert_says("/etc/sysctl.d/60-tcp-migrate-req.conf");
    off.assert_says("back sysctl -w net.ipv4.tcp_migrate_req=0");
    let check = inspect(&["--check"]);
    assert_eq!(check.code, Some(1), "{}", check.stdout);
    check.assert_says("SOCKMIG WARNING - port 80: a close loses connections, tcp_migrate_req is 0");
    lab.sysctl("net.ipv4.tcp_migrate_req", "1").expect("the setting");
    let on = inspect(&[]);
    on.assert_says("If a listener closes, the others take over what it has");
    assert!(!on.stdout.contains("What to do"), "{}", on.stdout);
    let check = inspect(&["--check"]);
    assert_eq!(check.code, Some(0), "{}", check.stdout);
    check.assert_says("SOCKMIG OK - 1 group of 2 listeners hands connections over");
}

fn queues() {
    let mut lab = Lab::open(Family::V4).expect("a lab");
    let _a = lab.listen_with_backlog("A", 7).expect("a listener");
    let _clients = [lab.connect("C").expect("a client"), lab.connect("D").expect("a client")];
    let mut w = lab.wire_client("W").expect("a client");
    lab.wire_syn(&mut w, &Draft::syn()).expect("a SYN");
    let _b = lab.listen_with_backlog("B", 7).expect("a listener");
    lab.settle().expect("settled");
    let found = port();
    let group = &found["groups"][0];
    let mut waiting: Vec<_> = group["members"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|m| m["accept_queue"].as_u64())
        .collect();
    waiting.sort();
    assert_eq!(waiting, [Some(0), Some(2)], "{found:#}");
    assert_eq!(group["members"][0]["backlog"], 7, "{found:#}");
    assert_eq!(group["handshakes_in_flight"], 1, "{found:#}");
    let shown = inspect(&[]);
    shown.assert_says("accept queue 0 to 2 of 7");
    shown.assert_says("Now 2 connections wait in the accept queues, and 1 handshake in flight.");
}

fn full_queue() {
    let mut lab = Lab::open(Family::V4).expect("a lab");
    let a = lab.listen_with_backlog("A", 1).expect("a listener");
    let _clients = [lab.connect("C").expect("a client"), lab.connect("D").expect("a client")];
    let _b = lab.listen_with_backlog("B", 1).expect("a listener");
    assert_eq!(a.queue().expect("a queue").waiting, 2);
    assert_eq!(surprises(&port()), ["full-queues"]);
    let check = inspect(&["--check"]);
    assert_eq!(check.code, Some(2), "{}", check.stdout);
    check.assert_says("SOCKMIG CRITICAL - port 80: an accept queue is full");
    inspect(&[]).assert_says("At port 80, have the server accept faster");
}

fn fast_open() {
    let (_lab, a, _b) = pair();
    a.fast_open(16).expect("the option");
    assert_eq!(surprises(&port()), ["fast-open"]);
    inspect(&[]).assert_says("TCP_FASTOPEN is set on 1 of them");
}

fn defer_accept() {
    let (_lab, a, _b) = pair();
    a.defer_accept(5).expect("the option");
    let found = port();
    assert_eq!(surprises(&found), ["defer-accept"]);
    inspect(&[]).assert_says("the target's counts for a handshake that moves");
}

fn option() {
    let (mut lab, a, _b) = pair();
    lab.sysctl("net.ipv4.tcp_migrate_req", "1").expect("the setting");
    attribute::named(Family::V4, "TCP_NODELAY").set(&a, 0).expect("the option");
    let found = port();
    let surprise = &found["groups"][0]["surprises"][0];
    let wanted = serde_json::json!({
        "kind": "option", "name": "TCP_NODELAY", "values": {"0": 1, "1": 1}
    });
    assert_eq!(*surprise, wanted, "{found:#}");
    assert_eq!(surprises(&found).len(), 1, "{found:#}");
    let check = inspect(&["--check"]);
    assert_eq!(check.code, Some(1), "{}", check.stdout);
    check.assert_says("listeners of a group are set differently");
}

fn backlog() {
    let mut lab = Lab::open(Family::V4).expect("a lab");
    let _a = lab.listen_with_backlog("A", 7).expect("a listener");
    let _b = lab.listen_with_backlog("B", 70).expect("a listener");
    assert_eq!(surprises(&port()), ["backlogs"]);
}

fn mixed_multipath() {
    let mut lab = Lab::open(Family::V4).expect("a lab");
    let _a = lab.listen("A").expect("a listener");
    let _b = lab.listen_multipath("B").expect("a listener");
    let found = port();
    assert_eq!(found["groups"].as_array().map(Vec::len), Some(1), "{found:#}");
    assert!(surprises(&found).contains(&"mixed-multipath"), "{found:#}");
    let bugs = document(&[])["namespaces"][0]["known_bugs"].to_string();
    let shown = inspect(&[]);
    shown.assert_says("1 of them are of Multipath TCP, the others of TCP");
    assert!(!bugs.contains("Fast Open"), "none of them has it: {bugs}");
}

fn multipath() {
    let mut lab = Lab::open(Family::V4).expect("a lab");
    let _a = lab.listen_multipath("A").expect("a listener");
    let _b = lab.listen_multipath("B").expect("a listener");
    assert_eq!(surprises(&port()), ["multipath"]);
}

/// The kernel does not show to which group a program is attached, and this is not guessed.
fn program() {
    let (mut lab, a, _b) = pair();
    let program = Program::load(Attach::SelectOrMigrate, &[PASS]).expect("a program");
    lab.attach(&a, &program).expect("attached");
    let name = harness::bpf::name().expect("a name");
    let found = document(&[]);
    let programs = found["programs"].as_array().expect("programs are visible");
    assert!(programs.iter().any(|program| program["name"] == *name), "{found:#}");
    let shown = inspect(&[]);
    shown.assert_says("This machine has loaded eBPF programs that choose listeners");
    shown.assert_says("The kernel does not show whether one is attached here");
}

/// Every line is a comment, or a metric with labels and a number; and a metric is described
/// once, before its values.
fn prometheus() {
    let (_lab, _a, _b) = pair();
    let found = inspect(&["--format", "prometheus"]);
    assert_eq!(found.code, Some(0), "{}", found.stderr);
    let mut described: Vec<&str> = Vec::new();
    for line in found.stdout.lines() {
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a name and a type");
            assert!(["gauge", "counter"].contains(&kind), "{line}");
            assert!(!described.contains(&name), "twice: {line}");
            described.push(name);
        } else if !line.starts_with("# HELP ") {
            let (series, value) = line.rsplit_once(' ').expect("a series and a value");
            value.parse::<f64>().unwrap_or_else(|e| panic!("{e}: {line}"));
            let name = series.split('{').next().expect("a name");
            assert_eq!(described.last(), Some(&name), "{line}");
        }
    }
    let series = "sockmig_group_members{";
    let line = found.stdout.lines().find(|line| line.starts_with(series)).expect("a series");
    assert!(line.ends_with(r#"address="127.0.0.1",port="80",v6only="false"} 2"#), "{line}");
}

/// It sends nothing, and leaves every listener as it was.
fn nothing_is_changed() {
    let (mut lab, a, b) = pair();
    let before = lab.counters().expect("counters");
    for arguments in [&["--all"][..], &["--check"], &["--format", "prometheus"]] {
        inspect(arguments);
    }
    lab.settle().expect("settled");
    let after = lab.counters().expect("counters");
    for name in ["OutSegs", "OutRsts", "PassiveOpens", "TCPMigrateReqSuccess"] {
        let grown = after.grown(&before, name);
        assert!(matches!(grown, Some(0) | None), "{name}: {grown:?}");
    }
    assert_eq!(harness::net::sysctl::read("net.ipv4.tcp_migrate_req").ok().as_deref(), Some("0"));
    for listener in [&a, &b] {
        assert!(listener.is_listening().expect("asked"), "{}", listener.name());
    }
}

fn bad_input() {
    for (arguments, wanted) in [
        (&["--netns", "/dev/null"][..], "/dev/null is no network namespace"),
        (&["--netns", "/etc/passwd"], "/etc/passwd is no network namespace"),
        (&["--netns", "/proc/self/ns/mnt"], "/proc/self/ns/mnt is no network namespace"),
        (&["--netns", "no-such"], "cannot open the network namespace /run/netns/no-such"),
        (&["--pid", "4000000"], "there is no process 4000000"),
        (&["--watch", "--format", "prometheus"], "--watch cannot be shown as prometheus"),
        (&["--watch", "0"], "a number of seconds from 0.05 to 3600 is needed"),
        (&["--all", "--pid", "1"], "cannot be used with"),
    ] {
        let found = inspect(arguments);
        assert_eq!(found.code, Some(2), "{arguments:?}: {}", found.stderr);
        let said = found.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(wanted), "{arguments:?}: {}", found.stderr);
        assert_eq!(found.stdout, "", "{arguments:?}");
    }
    for arguments in [&["--check", "--pid", "4000000"][..], &["--check", "--no-such-option"]] {
        let found = inspect(arguments);
        assert_eq!(found.code, Some(3), "{arguments:?}: {}", found.stderr);
        found.assert_says("SOCKMIG UNKNOWN - ");
    }
}
