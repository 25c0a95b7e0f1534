//! Children that are in an accept queue before their handshake is over, and move with it.

use std::time::Duration;

use harness::lab::Lab;
use harness::socket::wire_client::{Draft, WireClient};
use harness::socket::{Listener, Stream};
use harness::trace::Part;

use crate::case::{Case, Migration, Need, Setting, Settings};
use crate::judge::expectation::{AnyWire, Expectation, WireRule};
use crate::steps::fast_open::{
    FAST_OPEN, both, fast_open_syns, listen, syn_with_data, unfinished_child_ended_by,
    unfinished_child_ended_by_must,
};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "fast-open/accept-queue",
        does: "W's SYN brings data, by TCP Fast Open, so that its child waits in A's accept queue \
               before its handshake is over; B listens; A is closed.",
        must: "Off: one RST that acknowledges the data. On: B accepts the child with its data, \
               and the close is not seen on the wire; then W's ACK ends the handshake.",
        source: "inet_csk_listen_stop(), a child in SYN_RECV, 54b92e841937",
        settings: Settings::FamiliesOffAndOn,
        needs: &[Need::Settings],
        run: accept_queue,
        expect: |setting| unfinished_child_ended_by_must("close(A)", setting),
        ..Case::DEFAULT
    },
    Case {
        name: "fast-open/queue-length",
        does: "A Fast Open child migrates from A to B, which allows one unfinished Fast Open \
               child; its handshake is finished. Then three clients connect to B with data in \
               their SYNs.",
        must: "B takes the data of one of them. The child that moved was added to B's count when \
               it came, and taken off when its handshake was finished.",
        source: "reqsk_fastopen_remove(), fastopenq.qlen, a0ab2ba83e35",
        settings: Settings::FamiliesOn,
        wire: WireRule::Any(AnyWire::AnswersAreFacts),
        run: queue_length,
        expect: |_| {
            Expectation::new()
                .fact("accept(B)", "W's connection")
                .fact("sockets of B", "W's child ESTABLISHED, a listener")
                .fact("SYNs whose data B takes", 1)
                .fact("TCPFastOpenPassive", 1)
                .fact("TCPFastOpenListenOverflow", 2)
        },
        ..Case::DEFAULT
    },
    Case {
        name: "fast-open/finished",
        does: "A Fast Open child waits in A's queue; B listens; A is closed; then W's ACK comes \
               with a FIN.",
        must: "Off: the child was reset at the close, and the FIN is answered by an RST without \
               ACK. On: B accepts the child, and reads the data and then end of file.",
        source: "inet_csk_listen_stop(); tcp_rcv_state_process(), a child in SYN_RECV",
        settings: Settings::FamiliesOffAndOn,
        needs: &[Need::Settings],
        run: finished,
        expect: finished_must,
        ..Case::DEFAULT
    },
    Case {
        name: "fast-open/reset",
        does: "A Fast Open child migrates from A to B, which allows one unfinished Fast Open \
               child; W resets it before B accepts it; then clients connect with data in their \
               SYNs.",
        must: "B accepts the child, reads its data, and then gets ECONNRESET. The child is no \
               longer in B's count: the data of one client is taken.",
        source: "tcp_check_req(), embryonic_reset; reqsk_fastopen_remove(), a0ab2ba83e35",
        settings: Settings::FamiliesOn,
        wire: WireRule::Any(AnyWire::AnswersAreFacts),
        run: |lab, _| reset(lab, false),
        expect: |_| reset_must(false),
        ..Case::DEFAULT
    },
    Case {
        name: "fast-open/accepted-and-reset",
        does: "A Fast Open child migrates from A to B, which allows one unfinished Fast Open child \
               and accepts it; W resets it; then clients connect with data in their SYNs.",
        must: "A child that was accepted and then reset stays in its listener's count for a \
               minute, as a defence against forged addresses: here in B's. None of the clients' \
               data is taken.",
        source: "reqsk_fastopen_remove(), rskq_rst_head of the listener that the child moved to, \
                 a0ab2ba83e35",
        settings: Settings::FamiliesOn,
        wire: WireRule::Any(AnyWire::AnswersAreFacts),
        run: |lab, _| reset(lab, true),
        expect: |_| reset_must(true),
        ..Case::DEFAULT
    },
    Case {
        name: "fast-open/target-without",
        does: "A Fast Open child waits in A's queue; B, which has no TCP_FASTOPEN, listens; A is \
               closed; then W sends its ACK.",
        must: "The child moves nevertheless, with its data, and its handshake ends on B. B takes \
               no data from SYNs of its own.",
        source: "inet_csk_reqsk_queue_add() does not look at fastopenq.max_qlen",
        settings: Settings::FamiliesOn,
        wire: WireRule::Shows(&[
            (
                "W",
                "
                W > S  S 0:11(11)
                S > W  S. 0:0(0) ack 12
                W > S  . 12:12(0) ack 1
                S > W  R. 1:1(0) ack 12
                ...
            ",
            ),
            (
                "X",
                "
                X > S  S 0:11(11)
                S > X  S. 0:0(0) ack 1
                X > S  R 1:1(0)
                ...
            ",
            ),
        ]),
        run: target_without,
        expect: |_| {
            Expectation::new()
                .fact("accept(B)", "W's connection")
                .fact("recv(B's child)", "`Hello World`")
                .fact("sockets then", "W's child ESTABLISHED, a listener")
                .fact("SYNs whose data B takes", 0)
                .counters(&[("TCPMigrateReqSuccess", 1)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "fast-open/cookie-request",
        does: "Servers want a cookie; W's SYN asks A for one and brings data; B listens; A is \
               closed; then W sends its ACK with the data.",
        must: "A SYN without a cookie makes an ordinary request, which the close leaves in flight. \
               Off: an RST without ACK. On: the ACK completes the handshake on B, which gets the \
               data.",
        source: "tcp_try_fastopen(), foc->len == 0; tcp_v4_rcv()",
        settings: Settings::FamiliesOffAndOn,
        needs: &[Need::Settings],
        wire: WireRule::OffAndOn(
            &[(
                "W",
                "
                W > S  S 0:11(11)
                S > W  S. 0:0(0) ack 1
                W > S  P. 1:12(11) ack 1
                S > W  R 1:1(0)
                ...
            ",
            )],
            &[(
                "W",
                "
                W > S  S 0:11(11)
                S > W  S. 0:0(0) ack 1
                W > S  P. 1:12(11) ack 1
                S > W  . 1:1(0) ack 12
                S > W  R. 1:1(0) ack 12
                ...
            ",
            )],
        ),
        run: cookie_request,
        expect: cookie_request_must,
        ..Case::DEFAULT
    },
    Case {
        name: "fast-open/timer",
        does: "A Fast Open child waits in A's queue; B listens; A is closed; W stays silent.",
        must: "On: the child, which B has now, retransmits its SYN+ACK by its own timer, with the \
               same sequence number; it can be accepted before and after.",
        source: "tcp_fastopen_synack_timer(); the child's timer knows no listener",
        settings: Settings::FamiliesOn,
        waits_for: SYN_ACK_TIMER,
        run: timer,
        expect: |_| {
            Expectation::new()
                .fact("sockets after the close", "W's request, a listener")
                .fact("accept(B)", "W's connection")
                .fact("recv(B's child)", "`Hello World`")
                .counters(&[("TCPMigrateReqSuccess", 1)])
                .wire("W", &format!("{OPENED}{SYN_ACK}\n-- accept(B): W's connection --\n..."))
        },
        ..Case::DEFAULT
    },
];

fn accept_queue(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    unfinished_child_ended_by(lab, |lab, a| {
        lab.close(a);
        Ok(())
    })
}

fn queue_length(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let (a, b, mut w) = both(lab)?;
    lab.close(a);
    lab.wire_send(&mut w, &Draft::new(".", 12, 1))?;
    let _child = lab.accept_now(&b)?;
    lab.observe_sockets("of B")?;
    fast_open_syns(lab)
}

/// The child retransmits its SYN+ACK after TCP_TIMEOUT_INIT.
const SYN_ACK_TIMER: Duration = Duration::from_secs(1);

const SYN_ACK: &str = "S > W  S. 0:0(0) ack 12";

const OPENED: &str = "
    W > S  S 0:11(11)
    S > W  S. 0:0(0) ack 12
    -- close(A) --
";

fn ack() -> Draft {
    Draft::new(".", 12, 1)
}

fn finished(lab: &mut Lab, setting: Setting) -> harness::Result<()> {
    let (a, b, mut w) = both(lab)?;
    let before = lab.counters()?;
    lab.close(a);
    lab.wire_send(&mut w, &Draft::new("F.", 12, 1))?;
    if setting.migration == Migration::On {
        // By a timer, perhaps: a FIN by itself may be acknowledged late.
        lab.until_wire("S > W  . 1:1(0) ack 13")?;
    }
    lab.observe_sockets("then")?;
    if let Some(child) = lab.accept_now(&b)? {
        lab.observe("recv(B's child)", child.receive_now()?.to_string());
        lab.observe("recv(B's child), again", child.receive_now()?.to_string());
        lab.observe_counters(&before)?;
        lab.begin(Part::TakingDown);
        return Ok(());
    }
    lab.observe_counters(&before)
}

fn finished_must(setting: Setting) -> Expectation {
    match setting.migration {
        Migration::Off => Expectation::new()
            .fact("sockets then", "a listener")
            .fact("accept(B)", "EAGAIN")
            .counters(&[("OutRsts", 2)])
            .wire(
                "W",
                &format!(
                    "{OPENED}S > W  R. 1:1(0) ack 12\nW > S  F. 12:12(0) ack 1\nS > W  R 1:1(0)"
                ),
            ),
        Migration::On => Expectation::new()
            .fact("sockets then", "W's child CLOSE_WAIT, a listener")
            .fact("accept(B)", "W's connection")
            .fact("recv(B's child)", "`Hello World`")
            .fact("recv(B's child), again", "end of stream")
            .counters(&[("TCPMigrateReqSuccess", 1)])
            .wire(
                "W",
                &format!(
                    "{OPENED}W > S  F. 12:12(0) ack 1\nS > W  . 1:1(0) ack 13\n-- done --\n..."
                ),
            ),
    }
}

fn reset(lab: &mut Lab, accepted_before: bool) -> harness::Result<()> {
    let (a, b, mut w) = both(lab)?;
    let before = lab.counters()?;
    lab.close(a);
    let early = if accepted_before { lab.accept_now(&b)? } else { None };
    let answer = lab.wire_send(&mut w, &Draft::new("R", 12, 0))?;
    lab.observe("answer to the reset", answer);
    lab.observe_counters(&before)?;
    let child = if accepted_before { early } else { lab.accept_now(&b)? };
    if let Some(child) = child {
        lab.observe("recv(B's child)", child.receive_now()?.to_string());
        lab.observe("recv(B's child), again", child.receive_now()?.to_string());
    }
    lab.observe_sockets("then")?;
    fast_open_syns(lab)
}

fn reset_must(accepted_before: bool) -> Expectation {
    Expectation::new()
        .fact("accept(B)", "W's connection")
        .fact("answer to the reset", "nothing")
        .fact("recv(B's child)", "`Hello World`")
        .fact("recv(B's child), again", "ECONNRESET")
        .fact("sockets then", "a listener")
        .fact("SYNs whose data B takes", if accepted_before { 0 } else { 1 })
        .fact("TCPFastOpenPassive", if accepted_before { 0 } else { 1 })
        .fact("TCPFastOpenListenOverflow", if accepted_before { 3 } else { 2 })
        .counters(&[("TCPMigrateReqSuccess", 1), ("AttemptFails", 2)])
}

fn target_without(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    lab.sysctl(FAST_OPEN.0, FAST_OPEN.1)?;
    let a = listen(lab, "A")?;
    let mut w = lab.wire_client("W")?;
    lab.wire_syn(&mut w, &syn_with_data())?;
    let b = lab.listen("B")?;
    let before = lab.counters()?;
    lab.close(a);
    lab.wire_send(&mut w, &ack())?;
    lab.observe_sockets("then")?;
    lab.observe_counters(&before)?;
    if let Some(child) = lab.accept_now(&b)? {
        lab.observe("recv(B's child)", child.receive_now()?.to_string());
    }
    let mut x = lab.wire_client("X")?;
    let answer = lab.wire_send(&mut x, &syn_with_data())?;
    lab.observe("SYNs whose data B takes", i64::from(answer != "S > X  S. 0:0(0) ack 1"));
    lab.wire_send(&mut x, &Draft::new("R", 1, 0)).map(drop)
}

/// Servers take data with a cookie: TFO_SERVER_ENABLE.
const WITH_COOKIE: &str = "2";

/// TCP Fast Open's option; an empty one asks for a cookie.
const COOKIE: u8 = 34;

fn cookie_request(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    lab.sysctl(FAST_OPEN.0, WITH_COOKIE)?;
    let a = listen(lab, "A")?;
    let mut w: WireClient = lab.wire_client("W")?;
    let before = lab.counters()?;
    lab.wire_syn(&mut w, &syn_with_data().option(COOKIE, &[]))?;
    let asked = lab.counters()?.grown(&before, "TCPFastOpenCookieReqd");
    lab.observe("TCPFastOpenCookieReqd", asked.unwrap_or(-1));
    let b: Listener = listen(lab, "B")?;
    lab.close(a);
    lab.observe_sockets("after the close")?;
    let answer = lab.wire_send(&mut w, &Draft::new("P.", 1, 1).payload(b"Hello World"))?;
    lab.observe("answer to the data", answer);
    lab.observe_counters(&before)?;
    if let Some(child) = lab.accept_now(&b)? {
        lab.observe("recv(B's child)", child.receive_now()?.to_string());
    }
    lab.observe_service(&b)
}

fn cookie_request_must(setting: Setting) -> Expectation {
    let common = Expectation::new()
        .fact("TCPFastOpenCookieReqd", 1)
        .fact("sockets after the close", "W's request, a listener")
        .fact("B serves a fresh client", "yes");
    match setting.migration {
        Migration::Off => common
            .fact("answer to the data", "S > W  R 1:1(0)")
            .fact("accept(B)", "EAGAIN")
            .counters(&[("OutRsts", 1)]),
        Migration::On => common
            .fact("answer to the data", "S > W  . 1:1(0) ack 12")
            .fact("accept(B)", "W's connection")
            .fact("recv(B's child)", "`Hello World`")
            .counters(&[("TCPMigrateReqSuccess", 1), ("PassiveOpens", 1)]),
    }
}

fn timer(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let (a, b, _w) = both(lab)?;
    let before = lab.counters()?;
    lab.close(a);
    lab.observe_sockets("after the close")?;
    lab.until_wire(SYN_ACK)?;
    lab.observe_counters(&before)?;
    if let Some(child) = lab.accept_now(&b)? {
        lab.observe("recv(B's child)", child.receive_now()?.to_string());
    }
    Ok(())
}
