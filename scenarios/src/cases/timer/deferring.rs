//! The timer and TCP_DEFER_ACCEPT: whose option decides whether a SYN+ACK is sent.

use harness::lab::Lab;
use harness::net::sysctl::MIGRATE_REQ;
use harness::net::witness::Counters;
use harness::socket::Stream;
use harness::socket::wire_client::Draft;
use harness::{Family, Result, socket::attribute, wait};

use crate::case::{Case, Need, Setting, Settings};
use crate::judge::expectation::{AnyWire, Expectation, WireRule};
use crate::steps::request::{NOTHING, data, full, request_in_flight};
use crate::steps::syn_ack_timer::{FIRST, observe_timer, option};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "timer/deferring-source",
        does: "A defers accepting, and drops W's bare ACK; B does not. A is closed; the timer \
               fires; W sends its ACK again.",
        must: "B's rule counts: the SYN+ACK is sent again, which A would not have done, and the \
               ACK completes the handshake.",
        source: "syn_ack_recalc() with the target's rskq_defer_accept",
        settings: Settings::Once,
        needs: &[Need::Migration],
        waits_for: FIRST,
        wire: WireRule::Any(AnyWire::TimersFire),
        run: deferring_source,
        expect: |_| {
            Expectation::new()
                .fact("TCPDeferAcceptDrop before the close", 1)
                .fact("timer", "TCPTimeouts 1, TCPSynRetrans 1, RetransSegs 1")
                .fact("answer to the ACK", NOTHING)
                .fact("accept(B)", "W's connection")
                .counters(&[("TCPMigrateReqSuccess", 1), ("PassiveOpens", 1)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "timer/deferring-both",
        does: "A and B defer accepting. W's bare ACK is dropped by A; A is closed; the timer fires; W \
               sends data.",
        must: "The clone knows of the ACK: it moves in silence, without another SYN+ACK, and the \
               data completes the handshake on B.",
        source: "syn_ack_recalc(): inet_rsk(req)->acked and the target's rskq_defer_accept",
        settings: Settings::FamiliesOn,
        waits_for: FIRST,
        wire: WireRule::Any(AnyWire::TimersFire),
        run: deferring_both,
        expect: |_| moves_in_silence(),
        ..Case::DEFAULT
    },
    Case {
        name: "timer/deferring-without-retries",
        does: "As timer/deferring-both, but tcp_synack_retries is 0.",
        must: "As timer/deferring-both: there are no SYN+ACKs left to send, but W has acknowledged \
               one, and the target waits for its data for as long as it defers.",
        source: "syn_ack_recalc(): expire, with a request that is acked",
        settings: Settings::OnceOn(Family::V4),
        waits_for: FIRST,
        wire: WireRule::Any(AnyWire::TimersFire),
        run: |lab, setting| {
            lab.sysctl("net.ipv4.tcp_synack_retries", "0")?;
            deferring_both(lab, setting)
        },
        expect: |_| moves_in_silence(),
        ..Case::DEFAULT
    },
    Case {
        name: "timer/deferring-silent",
        does: "A and B defer accepting. A has the request of W, who is silent; A is closed; the timer \
               fires; W sends data.",
        must: "Nobody has acknowledged the SYN+ACK: it is sent again as if nobody deferred, and the \
               data completes the handshake on B.",
        source: "syn_ack_recalc(): max_syn_ack_retries, with a target that defers",
        settings: Settings::FamiliesOn,
        waits_for: FIRST,
        wire: WireRule::Any(AnyWire::TimersFire),
        run: deferring_silent,
        expect: |_| {
            Expectation::new()
                .fact("timer", "TCPTimeouts 1, TCPSynRetrans 1, RetransSegs 1")
                .fact("answer to data", "S > W  . 1:1(0) ack 12")
                .fact("accept(B)", "W's connection")
                .counters(&[("TCPMigrateReqSuccess", 1), ("PassiveOpens", 1)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "timer/deferring-ends",
        does: "A defers accepting for 30 seconds and drops W's bare ACK; B defers for one. A is \
               closed; the timer fires; W sends its ACK again.",
        must: "B's time is up with this expiry: the SYN+ACK is sent again, and the bare ACK \
               completes the handshake.",
        source: "syn_ack_recalc(): num_timeout and the target's rskq_defer_accept",
        settings: Settings::OnceOn(Family::V4),
        waits_for: FIRST,
        wire: WireRule::Any(AnyWire::TimersFire),
        run: deferring_ends,
        expect: |_| {
            Expectation::new()
                .fact("timer", "TCPTimeouts 1, TCPSynRetrans 1, RetransSegs 1")
                .fact("accept(B)", "W's connection")
        },
        ..Case::DEFAULT
    },
    Case {
        name: "timer/deferring-full",
        does: "A has W's request and is closed; B defers accepting, and its queue is full. W sends \
               data; the timer fires; B accepts, and W sends its data again.",
        must: "The data is dropped for lack of room, but shows that W has the SYN+ACK: the request \
               moves without another SYN+ACK.",
        source: "tcp_check_req(), listen_overflow: acked; syn_ack_recalc()",
        settings: Settings::OnceOn(Family::V4),
        waits_for: FIRST,
        wire: WireRule::Any(AnyWire::TimersFire),
        run: deferring_full,
        expect: |_| {
            Expectation::new()
                .fact("answer to data", NOTHING)
                .fact("timer", "TCPTimeouts 1, TCPSynRetrans 0, RetransSegs 0")
                .fact("accept(B)", "W's connection")
        },
        ..Case::DEFAULT
    },
];

fn moves_in_silence() -> Expectation {
    Expectation::new()
        .fact("timer", "TCPTimeouts 1, TCPSynRetrans 0, RetransSegs 0")
        .fact("answer to data", "S > W  . 1:1(0) ack 12")
        .fact("accept(B)", "W's connection")
        .counters(&[("TCPMigrateReqSuccess", 1), ("PassiveOpens", 1)])
}

fn deferring_both(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    option("A, TCP_DEFER_ACCEPT", a.defer_accept(30))?;
    let mut w = lab.wire_client("W")?;
    lab.wire_syn(&mut w, &Draft::syn())?;
    lab.wire_send(&mut w, &Draft::new(".", 1, 1))?;
    let b = lab.listen("B")?;
    option("B, TCP_DEFER_ACCEPT", b.defer_accept(30))?;
    let before = lab.counters()?;
    lab.close(a);
    wait::until("the timer to move W's request", || {
        let moved = lab.counters()?.grown(&before, "TCPMigrateReqSuccess").unwrap_or(0);
        Ok((moved > 0).then_some(()))
    })?;
    observe_timer(lab, &before)?;
    lab.timer_has_fired(&w);
    let answer = lab.wire_send(&mut w, &Draft::new("P.", 1, 1).payload(b"Hello World"))?;
    lab.observe("answer to data", answer);
    lab.observe_counters(&before)?;
    lab.accept_now(&b).map(drop)
}

fn deferring_silent(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let (a, mut w, b) = request_in_flight(lab)?;
    for listener in [&a, &b] {
        attribute::defer_accept(listener, 30)?;
    }
    let before = lab.counters()?;
    lab.close(a);
    lab.until_syn_acks(&w, 2, FIRST)?;
    observe_timer(lab, &before)?;
    let answer = lab.wire_send(&mut w, &data())?;
    lab.observe("answer to data", answer);
    lab.observe_counters(&before)?;
    lab.accept_now(&b).map(drop)
}

fn deferring_ends(lab: &mut Lab, _: Setting) -> Result<()> {
    let a = lab.listen("A")?;
    attribute::defer_accept(&a, 30)?;
    let mut w = lab.wire_client("W")?;
    lab.wire_syn(&mut w, &Draft::syn())?;
    lab.wire_send(&mut w, &Draft::new(".", 1, 1))?;
    let b = lab.listen("B")?;
    attribute::defer_accept(&b, 1)?;
    let before = lab.counters()?;
    lab.close(a);
    lab.until_syn_acks(&w, 2, FIRST)?;
    observe_timer(lab, &before)?;
    lab.wire_send(&mut w, &Draft::new(".", 1, 1))?;
    lab.accept_now(&b).map(drop)
}

fn deferring_full(lab: &mut Lab, _: Setting) -> Result<()> {
    let (mut w, b, _c) = full(lab)?;
    attribute::defer_accept(&b, 30)?;
    let answer = lab.wire_send(&mut w, &data())?;
    lab.observe("answer to data", answer);
    let before = lab.counters()?;
    until_moved(lab, &before)?;
    observe_timer(lab, &before)?;
    lab.timer_has_fired(&w);
    b.accept()?.reset_on_close()?;
    lab.wire_send(&mut w, &data())?;
    lab.accept_now(&b).map(drop)
}

/// Waits for a migration that nothing on the wire shows.
fn until_moved(lab: &Lab, before: &Counters) -> Result<()> {
    wait::until("the timer to move a request", || {
        let moved = lab.counters()?.grown(before, "TCPMigrateReqSuccess").unwrap_or(0);
        Ok((moved > 0).then_some(()))
    })
}

fn deferring_source(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    lab.sysctl(MIGRATE_REQ, "1")?;
    let start = lab.counters()?;
    let a = lab.listen("A")?;
    option("A, TCP_DEFER_ACCEPT", a.defer_accept(30))?;
    let mut w = lab.wire_client("W")?;
    lab.wire_syn(&mut w, &Draft::syn())?;
    lab.wire_send(&mut w, &Draft::new(".", 1, 1))?;
    let b = lab.listen("B")?;
    let before = lab.counters()?;
    let dropped = before.grown(&start, "TCPDeferAcceptDrop").unwrap_or(-1);
    lab.observe("TCPDeferAcceptDrop before the close", dropped);
    lab.close(a);
    lab.until_syn_acks(&w, 2, FIRST)?;
    observe_timer(lab, &before)?;
    let answer = lab.wire_send(&mut w, &Draft::new(".", 1, 1))?;
    lab.observe("answer to the ACK", answer);
    lab.observe_counters(&before)?;
    lab.accept_now(&b).map(drop)
}
