//! Which listeners are one group, held against what the kernel then does.

use harness::Family;
use harness::lab::Lab;
use harness::socket::bind_spec::BindSpec;
use harness::socket::{Listener, Stream};
use serde_json::Value;

use crate::in_lab::{Need, Test};
use crate::{inspect, port};

const V4: Family = Family::V4;
const V6: Family = Family::V6;

pub fn tests() -> Vec<Test> {
    let same = |name: &str, spec: fn() -> BindSpec| {
        Test::inside(format!("groups/same/{name}"), move || one_group(spec(), spec()))
    };
    let apart = |name: &str, specs: fn() -> [BindSpec; 2], difference: &'static str| {
        Test::inside(format!("groups/apart/{name}"), move || two_groups(specs(), difference))
    };
    vec![
        same("address", || BindSpec::usual(V4)),
        same("wildcard", || BindSpec::any(V4)),
        same("device", || BindSpec::usual(V4).on_lo()),
        same("ipv6", || BindSpec::any(V6)).needs([Need::Ipv6]),
        same("v6-only", || BindSpec::any(V6).v6_only()).needs([Need::Ipv6]),
        same("mapped", || BindSpec::usual(Family::V4Mapped)).needs([Need::Ipv6]),
        apart("wildcard", || [BindSpec::usual(V4), BindSpec::any(V4)], "address"),
        apart("device", || [BindSpec::usual(V4).on_lo(), BindSpec::usual(V4)], "device"),
        apart("v6-only", || [BindSpec::any(V6).v6_only(), BindSpec::any(V6)], "v6-only")
            .needs([Need::Ipv6]),
        apart("family", || [BindSpec::any(V4), BindSpec::any(V6)], "family").needs([Need::Ipv6]),
        apart("mapped", || [BindSpec::usual(V4), BindSpec::usual(Family::V4Mapped)], "family")
            .needs([Need::Ipv6]),
        Test::inside("groups/unrelated", unrelated),
        Test::inside("groups/given-away/before", || changed(When::Before, give_away, "users"))
            .needs([Need::SecondUser]),
        Test::inside("groups/given-away/after", || changed(When::After, give_away, "users"))
            .needs([Need::SecondUser]),
        Test::inside("groups/cleared/before", || changed(When::Before, clear, "cleared")),
        Test::inside("groups/cleared/after", || changed(When::After, clear, "cleared")),
    ]
}

fn sizes(port: &Value) -> Vec<usize> {
    let groups = port["groups"].as_array().expect("groups");
    groups.iter().map(|group| group["members"].as_array().map_or(0, Vec::len)).collect()
}

fn turn_on(lab: &mut Lab) {
    lab.sysctl("net.ipv4.tcp_migrate_req", "1").expect("the setting");
}

fn one_group(first: BindSpec, second: BindSpec) {
    let mut lab = Lab::open(first.family).expect("a lab");
    turn_on(&mut lab);
    let a = lab.listen_at("A", &first).expect("a listener");
    let b = lab.listen_at("B", &second).expect("a listener");
    let found = port();
    assert_eq!(sizes(&found), [2], "{found:#}");
    assert_eq!(found["groups"][0]["close"]["kind"], "moves", "{found:#}");
    assert_eq!(found["look_alikes"].as_array().map(Vec::len), Some(0), "{found:#}");
    drop(b);
    assert!(moves(&mut lab, a, &second), "what was said did not happen");
}

/// Whether the second listener accepts what waited in the first when that closes. It listens only
/// when the client has come, which therefore is the first one's.
fn moves(lab: &mut Lab, a: Listener, second: &BindSpec) -> bool {
    let client = lab.connect("C").expect("a client");
    client.send(b"Hello World").expect("sent");
    lab.until_wire("S > C  . 1:1(0) ack 12").expect("acknowledged");
    let b = lab.listen_at("B", second).expect("a listener");
    let found = port();
    let waiting: u64 = members(&found).iter().filter_map(|m| m["accept_queue"].as_u64()).sum();
    assert_eq!(waiting, 1, "{found:#}");
    lab.close(a);
    lab.settle().expect("settled");
    let accepted = b.accept_now().expect("asked");
    let said = client.receive_now().expect("asked").to_string();
    assert_eq!(said, if accepted.is_some() { "EAGAIN" } else { "ECONNRESET" });
    accepted.is_some()
}

fn members(port: &Value) -> Vec<Value> {
    let groups = port["groups"].as_array().expect("groups");
    groups
        .iter()
        .flat_map(|group| group["members"].as_array().cloned().unwrap_or_default())
        .collect()
}

fn two_groups([first, second]: [BindSpec; 2], difference: &str) {
    let mut lab = Lab::open(first.family).expect("a lab");
    turn_on(&mut lab);
    let a = lab.listen_at("A", &first).expect("a listener");
    let b = lab.listen_at("B", &second).expect("a listener");
    let found = port();
    assert_eq!(sizes(&found), [1, 1], "{found:#}");
    let alike = &found["look_alikes"][0];
    assert_eq!(alike["differences"], serde_json::json!([difference]), "{found:#}");
    for group in found["groups"].as_array().expect("groups") {
        let close = serde_json::json!({"kind": "loses", "reason": "only-member"});
        assert_eq!(group["close"], close, "{found:#}");
    }
    let shown = inspect(&[]);
    shown.assert_says("2 groups that look like one");
    shown.assert_says("are not one group, and nothing moves between them");
    shown.assert_says("have all listeners bind the same address");
    drop(b);
    assert!(!moves(&mut lab, a, &second), "what was said did not happen");
}

fn unrelated() {
    let mut lab = Lab::open(V4).expect("a lab");
    let _a = lab.listen_at("A", &BindSpec::usual(V4)).expect("a listener");
    let _b = lab.listen_at("B", &BindSpec::neighbour(V4)).expect("a listener");
    let found = port();
    assert_eq!(found["look_alikes"].as_array().map(Vec::len), Some(0), "{found:#}");
    inspect(&[]).assert_says("Port 80: 2 listeners, each for itself");
    assert_eq!(inspect(&["--check"]).code, Some(0));
}

/// What happens to two listeners at one address, one of which was changed before or after the
/// other one listened: the same is seen, and not the same happens.
fn changed(when: When, change: fn(&Listener), surprise: &str) {
    let mut lab = Lab::open(V4).expect("a lab");
    turn_on(&mut lab);
    let a = lab.listen("A").expect("a listener");
    let client = lab.connect("C").expect("a client");
    client.send(b"Hello World").expect("sent");
    lab.until_wire("S > C  . 1:1(0) ack 12").expect("acknowledged");
    if when == When::Before {
        change(&a);
    }
    let b = lab.listen("B").expect("a listener");
    if when == When::After {
        change(&a);
    }
    let found = port();
    assert_eq!(crate::surprises(&found), [surprise], "{found:#}");
    assert_eq!(found["groups"][0]["close"]["kind"], "unknown", "{found:#}");
    inspect(&[]).assert_says("it is not known whether others take over what it has");
    assert_eq!(inspect(&["--check"]).code, Some(1));
    lab.close(a);
    lab.settle().expect("settled");
    let accepted = b.accept_now().expect("asked");
    assert_eq!(accepted.is_some(), when == When::After, "what was said is not true any more");
}

/// When one was changed: before the other one listened, or after that.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    Before,
    After,
}

fn give_away(listener: &Listener) {
    listener.give_to(harness::kernel::SECOND_UID).expect("given away");
}

fn clear(listener: &Listener) {
    listener.forbid_reuse_port().expect("cleared");
}
