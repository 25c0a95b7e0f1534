//! The talk's quizzes, and each mechanism once, as the model tells them.

use std::collections::BTreeSet;

use rstest::rstest;

use super::{Model, ModelBug, Seen};
use crate::history::History;

/// What is seen of the last of some steps; clients C1 to C6 have the slots 0, 50, 0, 50, 0, 50.
fn last(bugs: &[ModelBug], steps: &str) -> Seen {
    let text = format!("sockmig history 1\nclients 0 50 0 50 0 50\n{}", steps.replace("; ", "\n"));
    let history: History = text.parse().unwrap_or_else(|e| panic!("{e}\n{text}"));
    let bugs: BTreeSet<ModelBug> = bugs.iter().copied().collect();
    let mut model = Model::new(bugs, &history.slots);
    let seen = history.steps.iter().map(|step| model.step(step)).last();
    seen.expect("a step")
}

/// All that is seen of the last step, in one line.
fn shown(seen: &Seen) -> String {
    let mut parts = vec![seen.result.to_string()];
    parts.extend(seen.answers.iter().map(|(client, answer)| format!("{client}: {answer}")));
    parts.extend(seen.counters.iter().map(|(counter, grown)| format!("{counter} {grown}")));
    parts.extend(seen.woken.iter().map(|listener| format!("epoll({listener})")));
    parts.extend(seen.queues.iter().map(|(listener, long)| format!("{listener} has {long}")));
    parts.join(", ")
}

const ON: &str = "set net.ipv4.tcp_migrate_req 1; ";

/// Quiz 1: a child waits in A's accept queue when A closes.
const QUIZ_1: &str =
    "listen A backlog 32; syn C1; ack C1; data C1 11; listen B backlog 32; close A";
/// Quiz 2: the client's last ACK comes when A has closed.
const QUIZ_2: &str = "listen A backlog 32; syn C1; listen B backlog 32; close A; data C1 11";

#[rstest]
#[case::quiz_1_off(QUIZ_1.into(), "ok, C1: R. 1:1(0) ack 12, EstabResets 1, OutRsts 1, B has 0")]
#[case::quiz_1_on(format!("{ON}{QUIZ_1}"), "ok, TCPMigrateReqSuccess 1, epoll(B), B has 1")]
#[case::quiz_1_on_and_accepted(
    format!("{ON}{QUIZ_1}; accept B"),
    "C1's connection, 11 bytes, then EAGAIN, B has 0"
)]
#[case::quiz_2_off(QUIZ_2.into(), "ok, C1: R 1:1(0), OutRsts 1, B has 0")]
#[case::quiz_2_on(
    format!("{ON}{QUIZ_2}"),
    "ok, TCPMigrateReqSuccess 1, PassiveOpens 1, epoll(B), B has 1"
)]
#[case::quiz_2_on_and_accepted(
    format!("{ON}{QUIZ_2}; accept B"),
    "C1's connection, 11 bytes, then EAGAIN, B has 0"
)]
fn the_quizzes_of_the_talk(#[case] steps: String, #[case] seen: &str) {
    assert_eq!(shown(&last(&[], &steps)), seen);
}

/// A request is dropped when a SYN of another number comes, and that SYN reaches the next listener:
/// from then on the connection's numbers are those of the second SYN, whatever comes of it.
#[rstest]
#[case("syn C1", "ok, C1: R. 0:0(0) ack 102, OutRsts 1")]
#[case("fast-open-syn C1 1", "ok, C1: R. 0:0(0) ack 103, OutRsts 1")]
fn a_syn_that_outlives_its_listener_keeps_its_number(#[case] last_step: &str, #[case] seen: &str) {
    let steps =
        "listen A backlog 4; syn C1; close A; listen B backlog 4; syn-in-window C1; close B";
    assert_eq!(shown(&last(&[], &format!("{steps}; {last_step}"))), seen);
}

#[rstest]
// Nobody else listens: every child is counted, if the listener was in a group that migrates.
#[case(
    "listen A backlog 4; syn C1; ack C1; close A",
    "ok, C1: R. 1:1(0) ack 1, TCPMigrateReqFailure 1, EstabResets 1, OutRsts 1"
)]
// A child that was reset by its client has nobody to tell.
#[case("listen A backlog 4; syn C1; ack C1; reset C1; close A", "ok, TCPMigrateReqFailure 1")]
// The target's backlog does not count for children.
#[case(
    "listen A backlog 4; syn C1; ack C1; syn C2; ack C2; syn C3; ack C3; listen B backlog 0; close A",
    "ok, TCPMigrateReqSuccess 3, epoll(B), B has 3"
)]
// It does for requests, one segment after the other.
#[case(
    "listen A backlog 4; syn C1; ack C1; syn C2; listen B backlog 0; close A; ack C2",
    "ok, TCPMigrateReqFailure 1, ListenOverflows 1, ListenDrops 1, B has 1"
)]
#[case(
    "listen A backlog 4; syn C1; ack C1; syn C2; listen B backlog 0; close A; set net.ipv4.tcp_abort_on_overflow 1; ack C2",
    "ok, C2: R 1:1(0), TCPMigrateReqFailure 1, OutRsts 1, EmbryonicRsts 1, ListenOverflows 1, ListenDrops 1, B has 1"
)]
// The same request goes on when a segment cannot complete it.
#[case(
    "listen A backlog 4; syn C1; listen B backlog 4; close A; syn C1",
    "ok, C1: S. 0:0(0) ack 1 again, TCPSynRetrans 1, B has 0"
)]
#[case(
    "listen A backlog 4; syn C1; listen B backlog 4; close A; ack-of-nothing C1",
    "ok, C1: R 1001:1001(0), OutRsts 1, B has 0"
)]
#[case(
    "listen A backlog 4; syn C1; listen B backlog 4; close A; out-of-window C1",
    "ok, C1: . 1:1(0) ack 1, B has 0"
)]
#[case("listen A backlog 4; syn C1; listen B backlog 4; close A; without-ack C1", "ok, B has 0")]
#[case(
    "listen A backlog 4; syn C1; listen B backlog 4; close A; reset-in-window C1",
    "ok, C1: . 1:1(0) ack 1, TCPChallengeACK 1, B has 0"
)]
#[case(
    "listen A backlog 4; syn C1; listen B backlog 4; close A; reset C1",
    "ok, AttemptFails 1, EmbryonicRsts 1, B has 0"
)]
#[case(
    "listen A backlog 4; syn C1; listen B backlog 4; close A; syn-in-window C1",
    "ok, C1: R. 0:0(0) ack 102, AttemptFails 1, OutRsts 1, EmbryonicRsts 1, B has 0"
)]
#[case(
    "listen A backlog 4; syn C1; listen B backlog 4; close A; fin C1",
    "ok, TCPMigrateReqSuccess 1, PassiveOpens 1, epoll(B), B has 1"
)]
// A request moves once, to who listens when its segment comes, however many have closed since.
#[case(
    "listen A backlog 4; syn C1; listen B backlog 4; close A; listen C backlog 4; close B; ack C1",
    "ok, TCPMigrateReqSuccess 1, PassiveOpens 1, epoll(C), C has 1"
)]
// A listener that founds a new group does not get the requests of the old one.
#[case(
    "listen A backlog 4; syn C1; close A; listen B backlog 4; ack C1",
    "ok, C1: R 1:1(0), TCPMigrateReqFailure 1, OutRsts 1, B has 0"
)]
// One that listens again has its requests as before.
#[case(
    "listen A backlog 4; syn C1; shutdown A SHUT_RDWR; listen-again A backlog 4; ack C1",
    "ok, PassiveOpens 1, epoll(A), A has 1"
)]
// Its place in the group is the last one: C1 is the first member's.
#[case(
    "listen A backlog 4; listen B backlog 4; listen C backlog 4; close A; syn C1; ack C1",
    "ok, PassiveOpens 1, epoll(C), B has 0, C has 1"
)]
#[case(
    "listen A backlog 4; listen B backlog 4; shutdown A SHUT_RD; listen-again A backlog 4; syn C1; ack C1",
    "ok, PassiveOpens 1, epoll(B), A has 0, B has 1"
)]
// A program chooses for SYNs, and is not asked about migration.
#[case(
    "listen A backlog 4; listen B backlog 4; select-index B 1; syn C1; ack C1",
    "ok, PassiveOpens 1, epoll(B), A has 0, B has 1"
)]
#[case(
    "listen A backlog 4; listen B backlog 4; listen C backlog 4; select-index A 0; syn C1; ack C1; select-index A 2; close A",
    "ok, TCPMigrateReqSuccess 1, epoll(C), B has 0, C has 1"
)]
// Another descriptor keeps a listener open.
#[case(
    "listen A backlog 4; syn C1; ack C1; listen B backlog 4; duplicate A; close A",
    "ok, A has 1, B has 0"
)]
// SHUT_WR changes nothing; who waits is woken all the same.
#[case(
    "listen A backlog 4; syn C1; ack C1; listen B backlog 4; shutdown A SHUT_WR",
    "ok, epoll(A), A has 1, B has 0"
)]
// TCP_DEFER_ACCEPT is the target's.
#[case(
    "listen A backlog 4; syn C1; listen B backlog 4 defer-accept; close A; ack C1",
    "ok, TCPDeferAcceptDrop 1, B has 0"
)]
#[case(
    "listen A backlog 4; syn C1; listen B backlog 4 defer-accept; close A; data C1 1",
    "ok, TCPMigrateReqSuccess 1, PassiveOpens 1, epoll(B), B has 1"
)]
// The timer moves a request, once; and drops it where nobody listens.
#[case(
    "listen A backlog 4; syn C1; listen B backlog 4; close A; wait",
    "ok, C1: S. 0:0(0) ack 1 again, TCPMigrateReqSuccess 1, TCPTimeouts 1, TCPSynRetrans 1, B has 0"
)]
#[case(
    "listen A backlog 4; syn C1; listen B backlog 4; close A; wait; wait",
    "ok, C1: S. 0:0(0) ack 1 again, TCPTimeouts 1, TCPSynRetrans 1, B has 0"
)]
#[case("listen A backlog 4; syn C1; close A; wait", "ok, TCPMigrateReqFailure 1")]
#[case(
    "set net.ipv4.tcp_synack_retries 0; listen A backlog 4; syn C1; listen B backlog 4; close A; wait",
    "ok, TCPMigrateReqFailure 1, TCPTimeouts 1, B has 0"
)]
// A Fast Open child moves with its data, and its handshake is completed there.
#[case(
    "listen A backlog 4 fast-open 1; fast-open-syn C1 5; listen B backlog 4; close A",
    "ok, TCPMigrateReqSuccess 1, epoll(B), B has 1"
)]
#[case(
    "listen A backlog 4 fast-open 1; fast-open-syn C1 5; listen B backlog 4; close A; accept B",
    "C1's connection, 5 bytes, then EAGAIN, B has 0"
)]
#[case(
    "listen A backlog 4 fast-open 1; fast-open-syn C1 5; fast-open-syn C2 5",
    "ok, C2: S. 0:0(0) ack 1, TCPFastOpenListenOverflow 1, A has 1"
)]
#[case(
    "listen A backlog 4 fast-open 1; fast-open-syn C1 5; wait",
    "ok, C1: S. 0:0(0) ack 6 again, TCPTimeouts 1, TCPSynRetrans 1, A has 1"
)]
fn with_migration(#[case] steps: &str, #[case] seen: &str) {
    assert_eq!(shown(&last(&[], &format!("{ON}{steps}"))), seen);
}

#[rstest]
// The sysctl counts when the listener closes, and when a segment comes.
#[case(
    "set net.ipv4.tcp_migrate_req 1; listen A backlog 4; syn C1; listen B backlog 4; close A; set net.ipv4.tcp_migrate_req 0; ack C1",
    "ok, C1: R 1:1(0), TCPMigrateReqFailure 1, OutRsts 1, B has 0"
)]
#[case(
    "listen A backlog 4; syn C1; listen B backlog 4; close A; set net.ipv4.tcp_migrate_req 1; ack C1",
    "ok, C1: R 1:1(0), OutRsts 1, B has 0"
)]
// Without migration a SYN that comes again opens a new request.
#[case(
    "listen A backlog 4; syn C1; listen B backlog 4; close A; syn C1",
    "ok, C1: S. 0:0(0) ack 1, B has 0"
)]
#[case("listen A backlog 4; syn C1; listen B backlog 4; close A; wait", "ok, B has 0")]
#[case("listen A backlog 4; syn C1; listen B backlog 4; close A; reset C1", "ok, B has 0")]
// Where nobody listens.
#[case("syn C1", "ok, C1: R. 0:0(0) ack 1, OutRsts 1")]
#[case("ack C1", "ok, C1: R 1:1(0), OutRsts 1")]
#[case("without-ack C1", "ok, C1: R. 0:0(0) ack 2, OutRsts 1")]
// Queues that are full.
#[case(
    "listen A backlog 0; syn C1; ack C1; syn C2",
    "ok, ListenOverflows 1, ListenDrops 1, A has 1"
)]
#[case(
    "listen A backlog 1; syn C1; syn C2; syn C3",
    "ok, ListenDrops 1, TCPReqQFullDrop 1, A has 0"
)]
#[case("listen A backlog 4; accept A", "EAGAIN, A has 0")]
#[case("listen A backlog 4; shutdown A SHUT_RD; accept A", "EINVAL")]
#[case("listen A backlog 4; select-by-hash A", "ENOENT, A has 0")]
fn without_migration(#[case] steps: &str, #[case] seen: &str) {
    assert_eq!(shown(&last(&[], steps)), seen);
}

/// A count of -1 is a full queue, until the listener is closed.
#[test]
fn a_request_that_is_counted_off_the_wrong_listener_ends_all_service() {
    let steps =
        format!("{ON}listen A backlog 4; syn C1; listen B backlog 4; close A; reset C1; syn C2");
    let well = shown(&last(&[], &steps));
    assert_eq!(well, "ok, C2: S. 0:0(0) ack 1, B has 0");
    let ill = last(&[ModelBug::ResetRequestOffTargetCount], &steps);
    assert_eq!(shown(&ill), "ok, ListenDrops 1, TCPReqQFullDrop 1, B has 0");
}
