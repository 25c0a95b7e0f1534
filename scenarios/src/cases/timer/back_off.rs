//! The SYN+ACK timer for longer than its first expiry: whose limit counts, and that the
//! schedule goes on where the last listener left it.

use std::time::Duration;

use harness::lab::{Lab, outcome};
use harness::socket::wire_client::Draft;
use harness::{Family, Result, socket::attribute};

use crate::case::{Case, Need, Setting, Settings};
use crate::judge::expectation::{AnyWire, Expectation, WireRule};
use crate::steps::request::{SYN_ACK, data, observe_child, observe_fresh_syn, syn_acks};
use crate::steps::syn_ack_timer::{FIRST, observe_timer, option};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "timer/retry-limit",
        does: "A retransmits SYN+ACKs once (TCP_SYNCNT), B three times. A is closed when it has \
               retransmitted its SYN+ACK to W, which never answers.",
        must: "B's limit counts: two more retransmissions, after 2 and 4 seconds, and 8 seconds after \
               the last the request is gone, in silence. B has room for as many as before.",
        source: "reqsk_timer_handler(): icsk_syn_retries of the target",
        settings: Settings::FamiliesOn,
        needs: &[Need::Gate],
        waits_for: Duration::from_secs(15),
        wire: WireRule::Any(AnyWire::TimersFire),
        run: retry_limit,
        expect: |_| {
            Expectation::new()
                .fact("seconds between SYN+ACKs", "1, 2, 4")
                .fact("timer", "TCPTimeouts 3, TCPSynRetrans 2, RetransSegs 2")
                .fact("answer to a fresh SYN", SYN_ACK)
                .fact("fresh SYNs dropped for a full queue", 0)
                .fact("handshakes that B has room for", "as many as a fresh listener")
                .counters(&[("TCPMigrateReqSuccess", 1)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "timer/ladder",
        does: "A retransmits its SYN+ACK after a second, and is closed. W answers the last of the retransmissions that follow.",
        must: "The schedule goes on where A left it: B retransmits after 2, 4, 8 and 16 seconds more, \
               and the request moves once. 31 seconds after its SYN, W is served by B.",
        source: "reqsk_timer_handler(): num_timeout goes with the clone",
        settings: Settings::FamiliesOn,
        needs: &[Need::Gate],
        waits_for: Duration::from_secs(31),
        wire: WireRule::Any(AnyWire::TimersFire),
        run: ladder,
        expect: |_| {
            Expectation::new()
                .fact("seconds between SYN+ACKs", "1, 2, 4, 8, 16")
                .fact("timer", "TCPTimeouts 4, TCPSynRetrans 4, RetransSegs 4")
                .fact("answer to data", "S > W  . 1:1(0) ack 12")
                .fact("accept(B)", "W's connection")
                .fact("recv(B's child)", "`Hello World`")
                .fact("handshakes that B has room for", "as many as a fresh listener")
                .counters(&[("TCPMigrateReqSuccess", 1), ("PassiveOpens", 1)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "timer/chain",
        does: "A has W's request; B and C listen. A is closed; the timer moves the request to one \
               of them, which the TOS of its SYN+ACK identifies; that one is closed; the timer \
               fires again.",
        must: "The request moves again, to the last: two migrations, and the schedule goes on.",
        source: "reqsk_timer_handler() on a request that was cloned before",
        settings: Settings::FamiliesOn,
        needs: &[Need::Gate],
        waits_for: Duration::from_secs(3),
        wire: WireRule::Any(AnyWire::TimersFire),
        run: chain,
        expect: |_| {
            Expectation::new()
                .fact("seconds between SYN+ACKs", "1, 2")
                .fact("timer", "TCPTimeouts 2, TCPSynRetrans 2, RetransSegs 2")
                .fact("sender of the third SYN+ACK", "the last listener")
                .fact("accept(the last)", "W's connection")
                .fact("recv(B's child)", "`Hello World`")
                .fact("handshakes that the last has room for", "as many as a fresh listener")
                .counters(&[("TCPMigrateReqSuccess", 2), ("PassiveOpens", 1)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "timer/repetition-limit",
        does: "B retransmits SYN+ACKs after a second at most (TCP_RTO_MAX_MS), A has no such limit. A \
               is closed with W's request; the timer moves it, and fires again.",
        must: "B's limit counts: the second timeout is not twice the first.",
        source: "reqsk_timer_handler(): tcp_reqsk_timeout(), tcp_rto_max()",
        settings: Settings::OnceOn(Family::V4),
        waits_for: Duration::from_secs(3),
        wire: WireRule::Any(AnyWire::TimersFire),
        run: retransmission_limit,
        expect: |_| {
            Expectation::new()
                .fact("setsockopt(B, TCP_RTO_MAX_MS)", "ok")
                .fact("the second time", "as long as the first")
        },
        ..Case::DEFAULT
    },
];

fn retry_limit(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    option("A, TCP_SYNCNT", a.syn_ack_retries(1))?;
    let mut w = lab.wire_client("W")?;
    lab.wire_syn(&mut w, &Draft::syn())?;
    let b = lab.listen("B")?;
    option("B, TCP_SYNCNT", b.syn_ack_retries(3))?;
    lab.until_syn_acks(&w, 2, FIRST)?;
    let before = lab.counters()?;
    lab.close(a);
    lab.until_no_request(&w, Duration::from_secs(14))?;
    observe_timer(lab, &before)?;
    lab.observe_back_off(&w);
    lab.observe_counters(&before)?;
    observe_fresh_syn(lab)?;
    lab.observe_room(b)
}

fn ladder(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let mut w = lab.wire_client("W")?;
    lab.wire_syn(&mut w, &Draft::syn())?;
    let b = lab.listen("B")?;
    lab.until_syn_acks(&w, 2, FIRST)?;
    let before = lab.counters()?;
    lab.close(a);
    lab.until_syn_acks(&w, 6, Duration::from_secs(30))?;
    lab.observe_back_off(&w);
    observe_timer(lab, &before)?;
    let answer = lab.wire_send(&mut w, &data())?;
    lab.observe("answer to data", answer);
    lab.observe_counters(&before)?;
    observe_child(lab, &b)?;
    lab.observe_room(b)
}

fn chain(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let mut w = lab.wire_client("W")?;
    lab.wire_syn(&mut w, &Draft::syn())?;
    let (b, c) = (lab.listen("B")?, lab.listen("C")?);
    option("B, TOS", b.set_header_fields(0x10, 33, 1000))?;
    option("C, TOS", c.set_header_fields(0x20, 44, 1000))?;
    let before = lab.counters()?;
    lab.close(a);
    lab.until_syn_acks(&w, 2, FIRST)?;
    let (first, last) = match service_of_last_syn_ack(lab) {
        0x10 => (b, c),
        _ => (c, b),
    };
    lab.close(first);
    lab.until_syn_acks(&w, 3, FIRST * 2)?;
    lab.observe_back_off(&w);
    observe_timer(lab, &before)?;
    let of_last = if last.name() == "C" { 0x20 } else { 0x10 };
    let by_last = service_of_last_syn_ack(lab) == of_last;
    let sender = if by_last { "the last listener" } else { "another" };
    lab.observe("sender of the third SYN+ACK", sender);
    lab.wire_send(&mut w, &data())?;
    lab.observe_counters(&before)?;
    let last = last.named("the last");
    observe_child(lab, &last)?;
    lab.observe_room(last)
}

fn service_of_last_syn_ack(lab: &mut Lab) -> u8 {
    let syn_acks = syn_acks(lab);
    syn_acks.last().map_or(0, |segment| segment.service)
}

fn retransmission_limit(lab: &mut Lab, _: Setting) -> Result<()> {
    let a = lab.listen("A")?;
    let mut w = lab.wire_client("W")?;
    lab.wire_syn(&mut w, &Draft::syn())?;
    let b = lab.listen("B")?;
    lab.observe("setsockopt(B, TCP_RTO_MAX_MS)", outcome(attribute::limit_rto(&b, 1000)));
    lab.close(a);
    lab.until_syn_acks(&w, 2, FIRST)?;
    lab.until_syn_acks(&w, 3, FIRST * 2)?;
    let to_w = |s: &&harness::net::segment::Segment| s.to.port() == w.local.port() && s.flags.syn();
    let sent: Vec<Duration> = lab.trace().segments().filter(to_w).map(|s| s.at).collect();
    // Twice as long, or as long: half of that is far from both.
    let longer = sent[2] - sent[1] > (sent[1] - sent[0]).mul_f64(1.5);
    lab.observe("the second time", if longer { "longer" } else { "as long as the first" });
    lab.wire_send(&mut w, &data())?;
    b.accept().map(drop)
}
