//! The timer's first expiry: the request moves, or is dropped.

use std::net::Shutdown;

use harness::lab::Lab;
use harness::net::sysctl::MIGRATE_REQ;
use harness::net::witness::Counters;
use harness::socket::wire_client::{Draft, WireClient};
use harness::socket::{Listener, Stream};
use harness::trace::Part;

use crate::case::{Case, Migration, Need, Setting, Settings};
use crate::judge::expectation::{AnyWire, Expectation, WireRule};
use crate::steps::request::{
    IN_FLIGHT, NOTHING, RESET, SYN_ACK, closed, data, full, observe_child, observe_fresh_syn,
    requested, syn_acks,
};
use crate::steps::syn_ack_timer::{FIRST, observe_timer, option};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "timer/silent-client",
        does: "A has W's request; B listens; A is closed. W is silent until the SYN+ACK timer has \
               fired, then sends data.",
        must: "Off: the request is dropped in silence, and the data is answered by an RST. On: the \
               request moves to B, which sends the same SYN+ACK again; the data completes the \
               handshake there, which is not counted as another migration.",
        source: "reqsk_timer_handler(), c905dee62232",
        settings: Settings::FamiliesOffAndOn,
        needs: &[Need::Gate],
        waits_for: FIRST,
        wire: WireRule::InExpect,
        run: silent_client,
        expect: silent_client_must,
        ..Case::DEFAULT
    },
    Case {
        name: "timer/looks",
        does: "A and B send SYN+ACKs with different types of service, times to live and maximum \
               segment sizes. A is closed with W's request; the timer fires.",
        must: "The first SYN+ACK has A's header fields, the second has B's.",
        source: "reqsk_timer_handler(): tcp_rtx_synack(sk_listener, req) with the target",
        settings: Settings::FamiliesOn,
        waits_for: FIRST,
        wire: WireRule::Any(AnyWire::TimersFire),
        run: looks,
        expect: |_| {
            Expectation::new()
                .fact("SYN+ACKs' looks", "tos 0x10 ttl 33 mss 1000; tos 0x20 ttl 44 mss 700")
                .fact("accept(B)", "W's connection")
                .fact("recv(B's child)", "`Hello World`")
                .counters(&[("TCPMigrateReqSuccess", 1), ("PassiveOpens", 1)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "timer/no-retries",
        does: "tcp_synack_retries is 0. A has W's request; B listens; A is closed; the timer \
               fires.",
        must: "It is too late for a SYN+ACK: the request is dropped in silence, and one failed \
               migration is counted. B is unaffected, and takes new handshakes.",
        source: "reqsk_timer_handler(): expire; reqsk_queue_removed(queue, nreq), 7eca3292cac7",
        settings: Settings::FamiliesOn,
        needs: &[Need::Gate],
        waits_for: FIRST,
        wire: WireRule::Any(AnyWire::TimersFire),
        run: no_retries,
        expect: |_| {
            dropped()
                .fact("handshakes that B has room for", "as many as a fresh listener")
                .counters(&[("TCPMigrateReqFailure", 1)])
                .fact("timer", "TCPTimeouts 1, TCPSynRetrans 0, RetransSegs 0")
        },
        ..Case::DEFAULT
    },
    Case {
        name: "timer/full-target",
        does: "A has W's request; B listens, and its accept queue is full; A is closed; the timer \
               fires. W sends data; B accepts; W sends its data again.",
        must: "The timer moves the request, as it does not check for room. The data is dropped, as \
               that of any client of B is, until B has accepted.",
        source: "reqsk_timer_handler(), tcp_v4_syn_recv_sock(): exit_overflow",
        settings: Settings::FamiliesOn,
        waits_for: FIRST,
        wire: WireRule::Any(AnyWire::TimersFire),
        run: full_target,
        expect: |_| {
            Expectation::new()
                .fact("timer", "TCPTimeouts 1, TCPSynRetrans 1, RetransSegs 1")
                .fact("answer to data", NOTHING)
                .fact("ListenOverflows by the data", 1)
                .fact(
                    "sockets then",
                    "C ESTABLISHED, C's child ESTABLISHED, W's request, a listener",
                )
                .fact("answer to data again", "S > W  . 1:1(0) ack 12")
                .fact("accept(B)", "W's connection")
                .fact("recv(B's child)", "`Hello World`")
                .counters(&[
                    ("TCPMigrateReqSuccess", 1),
                    ("PassiveOpens", 1),
                    ("ListenOverflows", 1),
                    ("ListenDrops", 1),
                ])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "timer/no-target",
        does: "A, the only listener, has W's request and is closed. Then B listens; the timer \
               fires.",
        must: "B starts a new group and is not a target: the request is dropped in silence, and \
               one failed migration is counted.",
        source: "reuseport_migrate_sock(): failure; reuseport_alloc()",
        settings: Settings::Once,
        needs: &[Need::Migration],
        waits_for: FIRST,
        wire: WireRule::Any(AnyWire::TimersFire),
        run: no_target,
        expect: |_| {
            dropped()
                .counters(&[("TCPMigrateReqFailure", 1)])
                .fact("timer", "TCPTimeouts 0, TCPSynRetrans 0, RetransSegs 0")
        },
        ..Case::DEFAULT
    },
    Case {
        name: "timer/several-closed",
        does: "A has W's request; B and C listen; A is closed, then B; the timer fires.",
        must: "Nothing has moved before: the request goes straight from A to C, and one migration \
               is counted.",
        source: "reuseport_migrate_sock()",
        settings: Settings::Once,
        needs: &[Need::Migration, Need::Gate],
        waits_for: FIRST,
        wire: WireRule::Any(AnyWire::TimersFire),
        run: several_closed,
        expect: |_| {
            moved("C")
                .fact("TCPMigrateReqSuccess by the timer", 1)
                .counters(&[("TCPMigrateReqSuccess", 1), ("PassiveOpens", 1)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "timer/shutdown",
        does: "As timer/silent-client, but A is shut down for reading instead of closed, and \
               listens again at the end.",
        must: "As after a close: the request moves to B. A has room for as many as before: the \
               request is no longer in its count.",
        source: "reqsk_timer_handler(): the listener is not in LISTEN any more",
        settings: Settings::Once,
        needs: &[Need::Migration, Need::Gate],
        waits_for: FIRST,
        wire: WireRule::Any(AnyWire::TimersFire),
        run: shutdown,
        expect: |_| {
            moved("B")
                .fact("TCPMigrateReqSuccess by the timer", 1)
                .fact("handshakes that A has room for", "as many as a fresh listener")
                .counters(&[("TCPMigrateReqSuccess", 1), ("PassiveOpens", 1)])
        },
        ..Case::DEFAULT
    },
];

fn silent_client(lab: &mut Lab, setting: Setting) -> harness::Result<()> {
    let (w, b) = closed(lab)?;
    let before = lab.counters()?;
    match setting.migration {
        Migration::Off => lab.until_no_request(&w, FIRST)?,
        Migration::On => lab.until_syn_acks(&w, 2, FIRST)?,
    }
    observe_timer(lab, &before)?;
    served_after(lab, w, b, &before)
}

/// What the timer has done by then; and whether W's data is served by `target`.
fn served_after(
    lab: &mut Lab,
    mut w: WireClient,
    target: Listener,
    before: &Counters,
) -> harness::Result<()> {
    let moved = lab.counters()?.grown(before, "TCPMigrateReqSuccess");
    lab.observe("TCPMigrateReqSuccess by the timer", moved.unwrap_or(0));
    lab.observe_sockets("after the timer")?;
    let answer = lab.wire_send(&mut w, &data())?;
    lab.observe("answer to data", answer);
    lab.observe_counters(before)?;
    observe_child(lab, &target)?;
    lab.begin(Part::TakingDown);
    observe_fresh_syn(lab)?;
    lab.observe_room(target)
}

fn silent_client_must(setting: Setting) -> Expectation {
    let served = "W > S  P. 1:12(11) ack 1";
    match setting.migration {
        Migration::Off => Expectation::new()
            .fact("timer", "TCPTimeouts 0, TCPSynRetrans 0, RetransSegs 0")
            .fact("TCPMigrateReqSuccess by the timer", 0)
            .fact("sockets after the timer", "a listener")
            .fact("answer to data", RESET)
            .fact("accept(B)", "EAGAIN")
            .fact("recv(B's child)", "no child")
            .fact("answer to a fresh SYN", SYN_ACK)
            .fact("fresh SYNs dropped for a full queue", 0)
            .fact("handshakes that B has room for", "as many as a fresh listener")
            .counters(&[("OutRsts", 1)])
            .wire("W", &format!("{IN_FLIGHT}{served}\n{RESET}\n-- done --\n...")),
        Migration::On => moved("B")
            .fact("timer", "TCPTimeouts 1, TCPSynRetrans 1, RetransSegs 1")
            .fact("TCPMigrateReqSuccess by the timer", 1)
            .counters(&[("TCPMigrateReqSuccess", 1), ("PassiveOpens", 1)])
            .wire(
                "W",
                &format!(
                    "{IN_FLIGHT}
                     S > W  S. 0:0(0) ack 1
                     {served}
                     S > W  . 1:1(0) ack 12
                     ..."
                ),
            ),
    }
}

/// `target` has the request, and serves W.
fn moved(target: &str) -> Expectation {
    Expectation::new()
        .fact("sockets after the timer", "W's request, a listener")
        .fact("answer to data", "S > W  . 1:1(0) ack 12")
        .fact(&format!("accept({target})"), "W's connection")
        .fact("recv(B's child)", "`Hello World`")
        .fact("answer to a fresh SYN", SYN_ACK)
        .fact("fresh SYNs dropped for a full queue", 0)
        .fact(&format!("handshakes that {target} has room for"), "as many as a fresh listener")
}

/// The request is gone, and B takes others.
pub(super) fn dropped() -> Expectation {
    Expectation::new()
        .fact("SYN+ACKs' number", 1)
        .fact("sockets after the timer", "a listener")
        .fact("answer to data", RESET)
        .fact("answer to a fresh SYN", SYN_ACK)
        .fact("fresh SYNs dropped for a full queue", 0)
}

fn looks(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    option("A, TOS, TTL, MSS", a.set_header_fields(0x10, 33, 1000))?;
    let mut w = lab.wire_client("W")?;
    lab.wire_syn(&mut w, &Draft::syn())?;
    let b = lab.listen("B")?;
    option("B, TOS, TTL, MSS", b.set_header_fields(0x20, 44, 700))?;
    let before = lab.counters()?;
    lab.close(a);
    lab.until_syn_acks(&w, 2, FIRST)?;
    lab.observe_syn_ack_fields(&w);
    lab.wire_send(&mut w, &data())?;
    lab.observe_counters(&before)?;
    observe_child(lab, &b)
}

/// The request is dropped at the timer; what then of W's data, and of B?
fn observe_dropped(lab: &mut Lab, mut w: WireClient, before: &Counters) -> harness::Result<()> {
    lab.until_no_request(&w, FIRST)?;
    observe_timer(lab, before)?;
    lab.observe_counters(before)?;
    lab.observe_sockets("after the timer")?;
    let syn_acks = syn_acks(lab).count();
    lab.observe("SYN+ACKs' number", syn_acks);
    let answer = lab.wire_send(&mut w, &data())?;
    lab.observe("answer to data", answer);
    observe_fresh_syn(lab)
}

fn no_retries(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    lab.sysctl("net.ipv4.tcp_synack_retries", "0")?;
    let (w, b) = closed(lab)?;
    let before = lab.counters()?;
    observe_dropped(lab, w, &before)?;
    lab.observe_room(b)
}

fn full_target(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let (mut w, b, _c) = full(lab)?;
    let before = lab.counters()?;
    lab.until_syn_acks(&w, 2, FIRST)?;
    observe_timer(lab, &before)?;
    let answer = lab.wire_send(&mut w, &data())?;
    lab.observe("answer to data", answer);
    let overflows = lab.counters()?.grown(&before, "ListenOverflows").unwrap_or(-1);
    lab.observe("ListenOverflows by the data", overflows);
    lab.observe_sockets("then")?;
    let child = b.accept()?;
    let answer = lab.wire_send(&mut w, &data())?;
    lab.observe("answer to data again", answer);
    lab.observe_counters(&before)?;
    child.reset_on_close()?;
    observe_child(lab, &b)
}

fn no_target(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    lab.sysctl(MIGRATE_REQ, "1")?;
    let (a, w) = requested(lab)?;
    lab.close(a);
    let _b = lab.listen("B")?;
    let before = lab.counters()?;
    observe_dropped(lab, w, &before)
}

fn several_closed(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    lab.sysctl(MIGRATE_REQ, "1")?;
    let (a, w) = requested(lab)?;
    let (b, c) = (lab.listen("B")?, lab.listen("C")?);
    let before = lab.counters()?;
    lab.close(a);
    lab.close(b);
    lab.until_syn_acks(&w, 2, FIRST)?;
    served_after(lab, w, c, &before)
}

fn shutdown(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    lab.sysctl(MIGRATE_REQ, "1")?;
    let (a, w) = requested(lab)?;
    let b = lab.listen("B")?;
    let before = lab.counters()?;
    lab.shut_down(&a, Shutdown::Read)?;
    lab.until_syn_acks(&w, 2, FIRST)?;
    served_after(lab, w, b, &before)?;
    lab.start_listening(&a, 8)?;
    lab.observe_room(a)
}
