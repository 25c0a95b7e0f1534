//! Whose listeners: processes, users, namespaces; and what an ordinary user is shown.

use harness::Family;
use harness::lab::Lab;
use harness::process::subprocess::{as_second_user, in_fresh_namespace};
use harness::socket::Listener;

use crate::in_lab::{Need, Test};
use crate::{document, inspect, own_name, port};

pub fn tests() -> Vec<Test> {
    vec![
        Test::inside("users/holders", holders),
        Test::inside("users/several-processes", several_processes),
        Test::inside("users/ordinary-user", ordinary_user).needs([Need::SecondUser]),
        Test::inside("users/namespaces", namespaces),
        Test::inside("users/namespace-of-an-ordinary-user", no_entry).needs([Need::SecondUser]),
    ]
}

fn pair() -> (Lab, Listener, Listener) {
    let mut lab = Lab::open(Family::V4).expect("a lab");
    let a = lab.listen("A").expect("a listener");
    let b = lab.listen("B").expect("a listener");
    (lab, a, b)
}

fn holders() {
    let (_lab, _a, _b) = pair();
    let found = port();
    for member in found["groups"][0]["members"].as_array().expect("members") {
        let holders = member["holders"].as_array().expect("holders");
        assert_eq!(holders.len(), 1, "{found:#}");
        assert_eq!(holders[0]["pid"], std::process::id(), "{found:#}");
        assert_eq!(holders[0]["uid"], 0, "{found:#}");
        assert_eq!(holders[0]["name"], own_name(), "{found:#}");
        assert_eq!(member["options"]["SO_REUSEPORT"], "1", "{found:#}");
    }
}

/// As nginx has them: a close by one process closes nothing.
fn several_processes() {
    let (mut lab, a, _b) = pair();
    let holder = lab.fork_holder("H").expect("a process");
    let shown = inspect(&[]);
    shown.assert_says(&format!("Each listener is open in 2 processes of {}", own_name()));
    shown.assert_says("A close by one of them, or its end, closes nothing");
    lab.close(a);
    let found = port();
    let members = found["groups"][0]["members"].as_array().expect("members");
    assert_eq!(members.len(), 2, "what was said did not happen: {found:#}");
    holder.kill().expect("killed");
    let found = document(&[]);
    assert_eq!(found["namespaces"][0]["listeners"], 1, "{found:#}");
}

/// It sees the listeners, and says what it does not see.
fn ordinary_user() {
    let (_lab, _a, _b) = pair();
    let (shown, check) = as_second_user(|| {
        let (text, check) = (inspect(&[]), inspect(&["--check"]));
        (text.words(), (check.code, check.stdout))
    })
    .expect("the second user");
    for wanted in [
        "as an ordinary user",
        "Port 80: 2 listeners, one group",
        "127.0.0.1: 2 listeners of root",
        "The options of these listeners are not visible, and may differ",
        "Whether an eBPF program chooses among them is not visible.",
        "Not visible to this user - which listeners ",
        "net.ipv4.tcp_migrate_req is 0",
    ] {
        assert!(shown.contains(wanted), "{wanted}: {shown}");
    }
    assert_eq!(check.0, Some(1), "{}", check.1);
    assert!(check.1.contains("options of some are not visible"), "{}", check.1);
}

/// Two containers, as it were: each has its own listeners, setting and counters.
fn namespaces() {
    let (mut lab, _a, _b) = pair();
    lab.sysctl("net.ipv4.tcp_migrate_req", "1").expect("the setting");
    let lab_s = std::process::id().to_string();
    let (all, other, text) = in_fresh_namespace(move || {
        let listeners: Vec<Listener> = ["A", "B", "C"]
            .map(|name| {
                let listener = Listener::unrecorded(name, Family::V4).expect("a socket");
                listener.reuse_port().expect("the option");
                listener.bind().expect("bound");
                listener.listen(8).expect("listening");
                listener
            })
            .into();
        let all = document(&["--all"]).to_string();
        let other = document(&["--pid", &lab_s]).to_string();
        let text = inspect(&["--all"]).words();
        drop(listeners);
        (all, other, text)
    })
    .expect("a namespace");
    let all: serde_json::Value = serde_json::from_str(&all).expect("JSON");
    let found: Vec<_> = all["namespaces"]
        .as_array()
        .expect("namespaces")
        .iter()
        .map(|it| {
            let members = it["ports"][0]["groups"][0]["members"].as_array().map_or(0, Vec::len);
            (it["name"]["kind"].as_str(), it["tcp_migrate_req"].as_u64(), members)
        })
        .collect();
    let (here, there) = ((Some("this"), Some(0), 3), (Some("of-process"), Some(1), 2));
    assert_eq!(found, [here, there], "{all:#}");
    let other: serde_json::Value = serde_json::from_str(&other).expect("JSON");
    assert_eq!(other["namespaces"].as_array().map(Vec::len), Some(1), "{other:#}");
    assert_eq!(other["namespaces"][0]["tcp_migrate_req"], 1, "{other:#}");
    assert!(text.contains("This network namespace: 3 listeners"), "{text}");
    assert!(text.contains("Network namespace of process "), "{text}");
}

/// An ordinary user cannot enter it, and is told so.
fn no_entry() {
    let (_lab, _a, _b) = pair();
    let lab_s = std::process::id().to_string();
    let found = in_fresh_namespace(move || {
        as_second_user(|| {
            let found = inspect(&["--pid", &lab_s]);
            let all = inspect(&["--all"]);
            (found.code, found.stderr, all.code, all.words())
        })
        .map_err(|e| e.to_string())
    })
    .expect("a namespace")
    .expect("the second user");
    let (code, stderr, all_code, all) = found;
    assert_eq!(code, Some(69), "{stderr}");
    assert!(stderr.contains("cannot open the network namespace"), "{stderr}");
    assert_eq!(all_code, Some(0), "{all}");
    assert!(all.contains("the network namespaces of "), "{all}");
}
