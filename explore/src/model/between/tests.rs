//! What may be between two steps.

use super::*;

/// What two steps can come to after others.
fn between(before: &[&str], steps: [&str; 2]) -> Vec<(Between, Seen)> {
    of_kernel_with(&ModelBug::ALL, before, steps)
}

fn of_kernel_with(bugs: &[ModelBug], before: &[&str], steps: [&str; 2]) -> Vec<(Between, Seen)> {
    let mut model = Model::new(bugs.iter().copied().collect(), &[0, 0]);
    for line in before {
        model.step(&line.parse().expect("a step"));
    }
    let steps = steps.map(|line| line.parse().expect("a step"));
    model.between(&steps).into_iter().map(|(between, _, seen)| (between, seen)).collect()
}

/// A listener with a request, and another one.
const REQUEST: [&str; 4] =
    ["set net.ipv4.tcp_migrate_req 1", "listen A backlog 4", "syn C1", "listen B backlog 4"];

/// A listener with a child, and another one.
const CHILD: [&str; 5] = [
    "set net.ipv4.tcp_migrate_req 1",
    "listen A backlog 4",
    "syn C1",
    "ack C1",
    "listen B backlog 4",
];

const RESET: [(ClientId, Answer); 1] = [(ClientId(0), Answer::Abort { seq: 1, ack: 1 })];

#[test]
fn a_child_is_lost_between_the_look_up_and_the_accept_queue() {
    for steps in [["close A", "ack C1"], ["ack C1", "close A"]] {
        let found = between(&REQUEST, steps);
        let names: Vec<Between> = found.iter().map(|(between, _)| *between).collect();
        let all = [Between::ChildForgotten, Between::PortGone, Between::ChildShutDown];
        assert_eq!(names, all);
        let (lost, dropped, shut_down) = (&found[0].1, &found[1].1, &found[2].1);
        assert_eq!(shut_down.answers, [(ClientId(0), Answer::Other { flags: FIN_ACK })]);
        assert_eq!(shut_down.counters[&Counter::MigrateReqSuccess], 1);
        assert_eq!(lost.answers, RESET);
        assert_eq!(lost.counters[&Counter::OutRsts], 1);
        assert_eq!(lost.counters.get(&Counter::MigrateReqSuccess), None);
        assert_eq!(dropped.answers, []);
        assert_eq!(dropped.counters[&Counter::ListenDrops], 1);
    }
}

#[test]
fn a_child_that_is_shut_down_is_reset_after_its_fin_if_it_cannot_migrate() {
    let off = &REQUEST[1..];
    let of = |segment| {
        let found = between(off, ["close A", segment]);
        let (between, seen) = found.into_iter().next_back().expect("three things");
        assert_eq!(between, Between::ChildShutDown);
        seen
    };
    let (fin, client) = (Answer::Other { flags: FIN_ACK }, ClientId(0));
    let alone = of("ack C1");
    assert_eq!(alone.answers, [(client, fin), (client, Answer::Abort { seq: 2, ack: 1 })]);
    assert_eq!(alone.counters.get(&Counter::EstabResets), None);
    assert_eq!(alone.counters[&Counter::OutRsts], 1);
    let with_data = of("data C1 5");
    assert_eq!(with_data.answers, [(client, fin), (client, Answer::Reset { seq: 1 })]);
}

/// On a kernel without the bug it is a finding.
#[test]
fn what_is_a_bug_is_possible_only_where_the_kernel_has_it() {
    let is_bug = |found: &[(Between, Seen)]| {
        found.iter().any(|(between, _)| *between == Between::ChildShutDown)
    };
    let steps = ["close A", "ack C1"];
    assert!(is_bug(&of_kernel_with(&[ModelBug::ChildShutDown], &REQUEST, steps)));
    assert!(!is_bug(&of_kernel_with(&[ModelBug::LostWakeUp], &REQUEST, steps)));
}

#[test]
fn a_listener_that_is_shut_down_keeps_its_port() {
    let found = between(&REQUEST, ["shutdown A SHUT_RD", "data C1 5"]);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].0, Between::ChildForgotten);
}

#[test]
fn another_listener_s_end_or_a_syn_leaves_nothing_open() {
    assert_eq!(between(&REQUEST, ["close B", "ack C1"]), []);
    assert_eq!(between(&REQUEST, ["close A", "syn C1"]), []);
    assert_eq!(between(&REQUEST, ["close A", "close B"]), []);
}

#[test]
fn a_child_too_many_is_counted() {
    let found = between(&REQUEST, ["ack C1", "data C1 5"]);
    assert_eq!(found[0].0, Between::TwoChildren);
    assert_eq!(found[0].1.counters[&Counter::PassiveOpens], 2);
}

#[test]
fn a_segment_of_a_child_that_is_reset_is_dropped() {
    let alone = ["listen A backlog 4", "syn C1", "ack C1"];
    let found = between(&alone, ["close A", "data C1 5"]);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].0, &*found[0].1.answers), (Between::SegmentDropped, &RESET[..]));
}

#[test]
fn nothing_moves_where_both_have_left() {
    let found = between(&CHILD, ["close A", "close B"]);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].0, &*found[0].1.answers), (Between::BothLeave, &RESET[..]));
    assert_eq!(found[0].1.counters.get(&Counter::MigrateReqSuccess), None);
}

/// Of three requests some move, and the others are dropped with their listener; each is answered
/// once, or not at all.
#[test]
fn some_timers_fire_before_a_close_and_some_after_it() {
    let before = ["listen A backlog 4", "syn C1", "syn C2", "listen B backlog 4"];
    let found = between(&before, ["wait", "close A"]);
    let answered: Vec<Vec<usize>> = found
        .iter()
        .map(|(between, seen)| {
            assert_eq!(*between, Between::SomeTimers);
            let again = Answer::SynAckAgain { ack: 1 };
            assert!(seen.answers.iter().all(|(_, answer)| *answer == again), "{seen:?}");
            assert_eq!(seen.counters[&Counter::SynRetrans], 1);
            seen.answers.iter().map(|(client, _)| client.0).collect()
        })
        .collect();
    assert_eq!(answered, [[0], [1]]);
    assert_eq!(between(&before[..2], ["wait", "close A"]), [], "one timer has one order");
    assert_eq!(between(&before, ["close A", "set net.ipv4.tcp_migrate_req 1"]), []);
}

#[test]
fn a_setting_that_changes_within_a_close_is_counted() {
    let found = between(&CHILD, ["close A", "set net.ipv4.tcp_migrate_req 0"]);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].0, &*found[0].1.answers), (Between::TurnedOffWithin, &RESET[..]));
    assert_eq!(found[0].1.counters[&Counter::MigrateReqFailure], 1);
}
