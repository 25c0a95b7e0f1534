//! What each kind of segment does to a handshake in flight whose listener has closed.
//!
//! The client is one that is no socket: it sends just what the case says.

use std::time::Duration;

use harness::lab::Lab;
use harness::lab::blocked_thread::{BlockedThread, Way};
use harness::socket::Stream;
use harness::socket::wire_client::{Draft, WireClient};
use harness::trace::Part;
use harness::{Family, Result};

use crate::case::{Case, Migration, Setting, Settings};
use crate::judge::expectation::{AnyWire, Expectation, WireRule};
use crate::steps::request::{
    IN_FLIGHT, NOTHING, RESET, SYN_ACK, SYN_ACK_TO_W, closed, data, observe_child,
    observe_fresh_syn, requested,
};
use crate::steps::sleeping_thread::asleep_or_woken;
use crate::steps::syn_ack_timer::{FIRST, option};
use crate::steps::wires;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "handshake/ack",
        does: "A has W's request; B listens; A is closed. W sends a bare ACK, then data.",
        must: "Off: there is no request for the ACK, which is answered by an RST without ACK. On: \
               it completes the handshake on B, and no packet is sent.",
        source: "tcp_v4_rcv(), tcp_v6_rcv(), reuseport_migrate_sock(), d4f2c86b2b7e",
        settings: Settings::FamiliesOffAndOn,
        wire: WireRule::Any(AnyWire::AnswersAreFacts),
        run: |lab, _| meets(lab, &Draft::new(".", 1, 1)),
        expect: |setting| match setting.migration {
            Migration::Off => gone(RESET).counters(&[("OutRsts", 1)]),
            Migration::On => lives(NOTHING, "W's child ESTABLISHED, a listener")
                .counters(&[("TCPMigrateReqSuccess", 1), ("PassiveOpens", 1)]),
        },
        ..Case::DEFAULT
    },
    Case {
        name: "handshake/syn-again",
        does: "A has W's request; B listens; A is closed. W sends its SYN again, then data.",
        must: "Off: the request is gone, and the SYN starts a new handshake on B: a SYN+ACK with \
               another sequence number. On: the same SYN+ACK is sent again; the request stays with \
               A, and no migration is counted. Either way the data completes the handshake on B.",
        source: "tcp_check_req(): a retransmitted SYN is answered by inet_rtx_syn_ack()",
        settings: Settings::FamiliesOffAndOn,
        wire: WireRule::Any(AnyWire::AnswersAreFacts),
        run: syn_again,
        expect: |setting| {
            let (again, moved) = match setting.migration {
                Migration::Off => ("another number", 0),
                Migration::On => ("the same number", 1),
            };
            Expectation::new()
                .fact("SYN+ACKs", 2)
                .fact("the second SYN+ACK", again)
                .fact("TCPMigrateReqSuccess by the SYN", 0)
                .fact("sockets then", "W's request, a listener")
                .fact("accept(B)", "W's connection")
                .fact("recv(B's child)", "`Hello World`")
                .fact("answer to a fresh SYN", SYN_ACK)
                .fact("fresh SYNs dropped for a full queue", 0)
                .counters(&[("TCPMigrateReqSuccess", moved), ("PassiveOpens", 1)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "handshake/wrong-ack",
        does: "A has W's request; B listens; A is closed. W sends an ACK of a number that was \
               never sent, then data.",
        must: "The answer is an RST without ACK, whose sequence number is the one acknowledged. \
               Off: the request is gone. On: it stays, and the data completes the handshake on B.",
        source: "tcp_check_req(): RFC 793, an unacceptable ACK in SYN-RECEIVED",
        settings: Settings::FamiliesOffAndOn,
        wire: WireRule::OffAndOn(
            &[wires::W_ACKS_WRONGLY_AND_IS_REFUSED],
            &[wires::W_ACKS_WRONGLY_AND_SENDS],
        ),
        run: |lab, _| meets(lab, &Draft::new(".", 1, 5)),
        expect: |setting| {
            let must = match setting.migration {
                Migration::Off => gone("S > W  R 5:5(0)"),
                Migration::On => lives("S > W  R 5:5(0)", "W's request, a listener"),
            };
            must.counters(&[("OutRsts", 1)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "handshake/out-of-window",
        does: "A has W's request; B listens; A is closed. W sends an ACK from far beyond the \
               window, then data.",
        must: "Off: an RST without ACK, and the request is gone. On: an ACK with the expected \
               number; the request stays, and the data completes the handshake on B.",
        source: "tcp_check_req(): out of window, send_ack",
        settings: Settings::FamiliesOffAndOn,
        wire: WireRule::Any(AnyWire::AnswersAreFacts),
        run: |lab, _| meets(lab, &Draft::new(".", FAR, 1)),
        expect: |setting| match setting.migration {
            Migration::Off => gone(RESET).counters(&[("OutRsts", 1)]),
            Migration::On => lives(ACK, "W's request, a listener").counters(&[]),
        },
        ..Case::DEFAULT
    },
    Case {
        name: "handshake/hole",
        does: "A has W's request; B listens; A is closed. W sends its ACK with the last part of \
               its data, then all of the data.",
        must: "Off: an RST without ACK. On: the ACK completes the handshake on B; the data is \
               queued until the missing part comes, and an ACK reports the gap.",
        source: "tcp_check_req(), tcp_child_process(), tcp_data_queue_ofo()",
        settings: Settings::FamiliesOffAndOn,
        wire: WireRule::Any(AnyWire::AnswersAreFacts),
        run: |lab, _| meets(lab, &Draft::new("P.", 6, 1).payload(b" World")),
        expect: |setting| match setting.migration {
            Migration::Off => gone(RESET).counters(&[("OutRsts", 1)]),
            Migration::On => lives(ACK, "W's child ESTABLISHED, a listener")
                .counters(&[("TCPMigrateReqSuccess", 1), ("PassiveOpens", 1)]),
        },
        ..Case::DEFAULT
    },
    Case {
        name: "handshake/no-ack",
        does: "A has W's request; B listens; A is closed. W sends data without the ACK flag, then \
               with it.",
        must: "No answer. Off: the request is gone. On: it stays, and the second segment completes \
               the handshake on B.",
        source: "tcp_check_req(): if ACK is not set, just silently drop the packet",
        settings: Settings::FamiliesOffAndOn,
        wire: WireRule::OffAndOn(
            &[(
                "W",
                "
                W > S  S 0:0(0)
                S > W  S. 0:0(0) ack 1
                W > S  P 1:12(11)
                W > S  P. 1:12(11) ack 1
                S > W  R 1:1(0)
                ...
            ",
            )],
            &[(
                "W",
                "
                W > S  S 0:0(0)
                S > W  S. 0:0(0) ack 1
                W > S  P 1:12(11)
                W > S  P. 1:12(11) ack 1
                S > W  . 1:1(0) ack 12
                S > W  R. 1:1(0) ack 12
                ...
            ",
            )],
        ),
        run: |lab, _| meets(lab, &Draft::new("P", 1, 0).payload(b"Hello World")),
        expect: |setting| match setting.migration {
            Migration::Off => gone(NOTHING).counters(&[]),
            Migration::On => lives(NOTHING, "W's request, a listener").counters(&[]),
        },
        ..Case::DEFAULT
    },
    Case {
        name: "handshake/syn-in-window",
        does: "A has W's request; B listens; A is closed. W sends a SYN with another sequence \
               number that is in the window.",
        must: "An RST that acknowledges it, and the request is gone. B is unaffected, and takes new handshakes.",
        source: "tcp_check_req(), embryonic_reset",
        settings: Settings::FamiliesOn,
        wire: WireRule::Any(AnyWire::AnswersAreFacts),
        run: syn_in_window,
        expect: |_| {
            Expectation::new()
                .fact("answer", "S > W  R. 0:0(0) ack 1")
                .fact("sockets then", "a listener")
                .fact("accept(B)", "EAGAIN")
                .fact("recv(B's child)", "no child")
                .fact("answer to a fresh SYN", SYN_ACK)
                .fact("fresh SYNs dropped for a full queue", 0)
                .counters(&[("EmbryonicRsts", 1), ("AttemptFails", 1), ("OutRsts", 1)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "handshake/fin",
        does: "A has W's request; B listens; A is closed. W's ACK comes with a FIN.",
        must: "Off: an RST without ACK. On: it completes the handshake on B, which accepts the \
               child and reads end of file.",
        source: "tcp_check_req(), tcp_child_process()",
        settings: Settings::FamiliesOffAndOn,
        run: fin,
        expect: |setting| match setting.migration {
            Migration::Off => Expectation::new()
                .fact("sockets then", "a listener")
                .fact("accept(B)", "EAGAIN")
                .counters(&[("OutRsts", 1)])
                .wire("W", &format!("{IN_FLIGHT}W > S  F. 1:1(0) ack 1\n{RESET}")),
            Migration::On => Expectation::new()
                .fact("sockets then", "W's child CLOSE_WAIT, a listener")
                .fact("accept(B)", "W's connection")
                .fact("recv(B's child)", "end of stream")
                .counters(&[("TCPMigrateReqSuccess", 1), ("PassiveOpens", 1)])
                .wire(
                    "W",
                    &format!(
                        "{IN_FLIGHT}W > S  F. 1:1(0) ack 1\nS > W  . 1:1(0) ack 2\n-- done --\n..."
                    ),
                ),
        },
        ..Case::DEFAULT
    },
    Case {
        name: "handshake/wake-up",
        does: "A has W's request; B listens, and a thread sleeps in accept on it; A is closed. W \
               sends a bare ACK.",
        must: "The ACK wakes accept, which returns W's connection; the close does not.",
        source: "tcp_child_process() calls the listener's sk_data_ready()",
        settings: Settings::FamiliesOn,
        wire: WireRule::Shows(&[wires::W_CONNECTS]),
        run: wake_up,
        expect: |_| {
            Expectation::new()
                .fact("the waiter after the close", "asleep")
                .fact("the waiter after the ACK", "woken")
                .fact("whose child", "W")
                .counters(&[("TCPMigrateReqSuccess", 1), ("PassiveOpens", 1)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "handshake/syn-again-looks",
        does: "A and B send SYN+ACKs with different types of service, times to live and maximum \
               segment sizes. A is closed with W's request; W sends its SYN again.",
        must: "The first SYN+ACK has A's header fields, the second has B's.",
        source: "tcp_check_req(): tcp_rtx_synack(sk, req) with the target",
        settings: Settings::FamiliesOn,
        wire: WireRule::Any(AnyWire::AnswersAreFacts),
        run: syn_again_looks,
        expect: |_| {
            Expectation::new()
                .fact("SYN+ACKs' looks", "tos 0x10 ttl 33 mss 1000; tos 0x20 ttl 44 mss 700")
        },
        ..Case::DEFAULT
    },
    Case {
        name: "handshake/syn-again-later",
        does: "A has W's request, then V's, and is closed. W retransmits its SYN; V's timer \
               fires.",
        must: "The retransmitted SYN postpones W's timer: V's fires first, though V came later.",
        source: "tcp_check_req(): mod_timer_pending() after tcp_rtx_synack() with the target",
        settings: Settings::OnceOn(Family::V4),
        waits_for: FIRST,
        wire: WireRule::Any(AnyWire::TimersFire),
        run: syn_again_later,
        expect: |_| {
            Expectation::new()
                .fact("answer to W's second SYN", SYN_ACK_TO_W)
                .fact("SYN+ACKs to W when V's timer has fired", 2)
        },
        ..Case::DEFAULT
    },
];

/// A number beyond every window that a listener offers.
pub(super) const FAR: u32 = 1 << 30;

pub(super) const ACK: &str = "S > W  . 1:1(0) ack 1";

/// What `segment` does to W's request; and whether the request stays, as data shows.
pub(super) fn meets(lab: &mut Lab, segment: &Draft) -> harness::Result<()> {
    let (mut w, b) = closed(lab)?;
    let before = lab.counters()?;
    let answer = lab.wire_send(&mut w, segment)?;
    lab.observe("answer", answer);
    lab.observe_counters(&before)?;
    let challenges = lab.counters()?.grown(&before, "TCPChallengeACK");
    lab.observe("TCPChallengeACK", challenges.unwrap_or(-1));
    lab.observe_sockets("then")?;
    let answer = lab.wire_send(&mut w, &data())?;
    lab.observe("answer to data", answer);
    observe_child(lab, &b)?;
    observe_fresh_syn(lab)
}

pub(super) fn gone(answer: &str) -> Expectation {
    Expectation::new()
        .fact("answer", answer)
        .fact("TCPChallengeACK", 0)
        .fact("sockets then", "a listener")
        .fact("answer to data", RESET)
        .fact("accept(B)", "EAGAIN")
        .fact("recv(B's child)", "no child")
        .fact("answer to a fresh SYN", SYN_ACK)
        .fact("fresh SYNs dropped for a full queue", 0)
}

pub(super) fn lives(answer: &str, sockets: &str) -> Expectation {
    Expectation::new()
        .fact("answer", answer)
        .fact("TCPChallengeACK", 0)
        .fact("sockets then", sockets)
        .fact("answer to data", "S > W  . 1:1(0) ack 12")
        .fact("accept(B)", "W's connection")
        .fact("recv(B's child)", "`Hello World`")
        .fact("answer to a fresh SYN", SYN_ACK)
        .fact("fresh SYNs dropped for a full queue", 0)
}

fn syn_again(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let (mut w, b) = closed(lab)?;
    let before = lab.counters()?;
    lab.wire_send(&mut w, &Draft::syn())?;
    let flags = |s: &harness::net::segment::Segment| s.flags.syn() && s.flags.ack();
    let numbers: Vec<u32> = lab.trace().segments().filter(|s| flags(s)).map(|s| s.seq).collect();
    let same = numbers.first() == numbers.last();
    lab.observe("SYN+ACKs", numbers.len());
    lab.observe("the second SYN+ACK", if same { "the same number" } else { "another number" });
    let moved = lab.counters()?.grown(&before, "TCPMigrateReqSuccess").unwrap_or(0);
    lab.observe("TCPMigrateReqSuccess by the SYN", moved);
    lab.observe_sockets("then")?;
    lab.wire_send(&mut w, &data())?;
    lab.observe_counters(&before)?;
    observe_child(lab, &b)?;
    observe_fresh_syn(lab)
}

fn syn_in_window(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let (mut w, b) = closed(lab)?;
    let before = lab.counters()?;
    let answer = lab.wire_send(&mut w, &Draft::new("S", 5, 0))?;
    lab.observe("answer", answer);
    lab.observe_counters(&before)?;
    lab.observe_sockets("then")?;
    observe_child(lab, &b)?;
    observe_fresh_syn(lab)
}

fn fin(lab: &mut Lab, setting: Setting) -> harness::Result<()> {
    let (mut w, b) = closed(lab)?;
    let before = lab.counters()?;
    lab.wire_send(&mut w, &Draft::new("F.", 1, 1))?;
    if setting.migration == Migration::On {
        // By a timer, perhaps: a FIN by itself may be acknowledged late.
        lab.until_wire("S > W  . 1:1(0) ack 2")?;
    }
    lab.observe_counters(&before)?;
    lab.observe_sockets("then")?;
    if let Some(child) = lab.accept_now(&b)? {
        lab.observe("recv(B's child)", child.receive_now()?.to_string());
        lab.begin(Part::TakingDown);
    }
    Ok(())
}

fn wake_up(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let (a, mut w) = requested(lab)?;
    let b = lab.listen("B")?;
    let thread = BlockedThread::start(&b, Way::Accept)?;
    let before = lab.counters()?;
    lab.close(a);
    lab.settle()?;
    lab.observe("the waiter after the close", asleep_or_woken(&thread, Duration::ZERO)?);
    lab.wire_send(&mut w, &Draft::new(".", 1, 1))?;
    let within = Duration::from_millis(harness::socket::NO_WAKE_UP_MS.into());
    lab.observe("the waiter after the ACK", asleep_or_woken(&thread, within)?);
    lab.observe_counters(&before)?;
    let child = thread.end()?;
    let whose = child.as_ref().map_or("nobody's".into(), |c| lab.trace().name_of(c.peer));
    lab.observe("whose child", whose);
    Ok(())
}

fn syn_again_looks(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    option("A, TOS, TTL, MSS", a.set_header_fields(0x10, 33, 1000))?;
    let mut w = lab.wire_client("W")?;
    lab.wire_syn(&mut w, &Draft::syn())?;
    let b = lab.listen("B")?;
    option("B, TOS, TTL, MSS", b.set_header_fields(0x20, 44, 700))?;
    lab.close(a);
    lab.wire_send(&mut w, &Draft::syn())?;
    lab.observe_syn_ack_fields(&w);
    // A still has the request, which ends with a child.
    lab.wire_send(&mut w, &Draft::new(".", 1, 1))?;
    b.accept().map(drop)
}

fn syn_again_later(lab: &mut Lab, _: Setting) -> Result<()> {
    // Longer than a timer of a second is late.
    const APART: Duration = Duration::from_millis(250);
    let a = lab.listen("A")?;
    let [mut w, mut v] = [lab.wire_client("W")?, lab.wire_client("V")?];
    lab.wire_syn(&mut w, &Draft::syn())?;
    lab.pass(APART);
    lab.wire_syn(&mut v, &Draft::syn())?;
    lab.pass(APART);
    let b = lab.listen("B")?;
    lab.close(a);
    let answer = lab.wire_send(&mut w, &Draft::syn())?;
    lab.observe("answer to W's second SYN", answer);
    // It has begun anew.
    lab.timer_has_fired(&w);
    lab.until_syn_acks(&v, 2, FIRST)?;
    let syn_acks = syn_acks_to(lab, &w);
    lab.observe("SYN+ACKs to W when V's timer has fired", syn_acks);
    for client in [&mut v, &mut w] {
        lab.timer_has_fired(client);
        lab.wire_send(client, &Draft::new(".", 1, 1))?;
        drop(b.accept()?);
    }
    Ok(())
}

fn syn_acks_to(lab: &mut Lab, client: &WireClient) -> usize {
    let to_client = |s: &&harness::net::segment::Segment| s.to == client.local;
    let segments = lab.trace().segments().filter(to_client);
    segments.filter(|s| s.flags.syn() && s.flags.ack()).count()
}
