//! Segments whose timestamp is older than that of the SYN, which protects against those of earlier
//! connections (PAWS).

use harness::lab::Lab;
use harness::socket::wire_client::{Draft, WireClient};

use crate::case::{Case, Migration, Settings};
use crate::judge::expectation::{Expectation, WireRule};
use crate::steps::negotiated::{TIMESTAMPS, times_of_syn_acks};
use crate::steps::request::{NOTHING, data, observe_child};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "handshake/old-timestamp",
        does: "A has W's request, whose SYN had a timestamp; B listens; A is closed. W's ACK has an \
               older timestamp; then W sends data with a newer one.",
        must: "Off: an RST without ACK, and the request is gone. On: the ACK is answered by an ACK, \
               and counted as one of an earlier connection; the request stays, and the data \
               completes the handshake on B.",
        source: "tcp_check_req(): paws_reject",
        settings: Settings::FamiliesOffAndOn,
        wire: WireRule::OffAndOn(
            &[(
                "W",
                "
                W > S  S 0:0(0)
                S > W  S. 0:0(0) ack 1
                W > S  . 1:1(0) ack 1
                S > W  R 1:1(0)
                W > S  P. 1:12(11) ack 1
                S > W  R 1:1(0)
                ",
            )],
            &[(
                "W",
                "
                W > S  S 0:0(0)
                S > W  S. 0:0(0) ack 1
                W > S  . 1:1(0) ack 1
                S > W  . 1:1(0) ack 1
                W > S  P. 1:12(11) ack 1
                S > W  . 1:1(0) ack 12
                S > W  R. 1:1(0) ack 12
                ...
                ",
            )],
        ),
        run: |lab, _| meets(lab, &Draft::new(".", 1, 1)),
        expect: |setting| match setting.migration {
            Migration::Off => Expectation::new()
                .fact("flags of the answer", "R")
                .fact("PAWSEstab", 0)
                .fact("sockets then", "a listener")
                .fact("flags of the answer to data", "R")
                .fact("accept(B)", "EAGAIN")
                .fact("recv(B's child)", "no child")
                .counters(&[("OutRsts", 2)]),
            Migration::On => completed(".")
                .fact("PAWSEstab", 1)
                .counters(&[("TCPMigrateReqSuccess", 1), ("PassiveOpens", 1)]),
        },
        ..Case::DEFAULT
    },
    Case {
        name: "handshake/syn-again-old-timestamp",
        does: "As handshake/old-timestamp, but it is the SYN that comes again, with an older \
               timestamp.",
        must: "Off: the request is gone, and the SYN starts a new handshake on B. On: it is \
               answered by an ACK instead of the SYN+ACK, and counted as one of an earlier \
               connection; the request stays. Either way the data completes the handshake on B.",
        source: "tcp_check_req(): paws_reject, before a retransmitted SYN is answered",
        settings: Settings::FamiliesOffAndOn,
        wire: WireRule::OffAndOn(
            &[(
                "W",
                "
                W > S  S 0:0(0)
                S > W  S. 0:0(0) ack 1
                W > S  S 0:0(0)
                ...
                ",
            )],
            &[(
                "W",
                "
                W > S  S 0:0(0)
                S > W  S. 0:0(0) ack 1
                W > S  S 0:0(0)
                S > W  . 1:1(0) ack 1
                W > S  P. 1:12(11) ack 1
                S > W  . 1:1(0) ack 12
                S > W  R. 1:1(0) ack 12
                ...
                ",
            )],
        ),
        run: |lab, _| meets(lab, &Draft::syn()),
        expect: |setting| match setting.migration {
            Migration::Off => completed("S.").fact("PAWSEstab", 0).counters(&[("PassiveOpens", 1)]),
            Migration::On => completed(".")
                .fact("PAWSEstab", 1)
                .counters(&[("TCPMigrateReqSuccess", 1), ("PassiveOpens", 1)]),
        },
        ..Case::DEFAULT
    },
];

/// W's clock at its SYN, at what comes as if it were from an earlier connection, and at its data.
const AT_THE_SYN: u32 = 1000;
const EARLIER: u32 = 500;
const LATER: u32 = 1001;

/// What a segment with an older timestamp does to W's request; and whether the request stays, as
/// data with a newer one shows.
fn meets(lab: &mut Lab, segment: &Draft) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let mut w = lab.wire_client("W")?;
    lab.wire_syn(&mut w, &at(Draft::syn(), AT_THE_SYN, 0))?;
    let b = lab.listen("B")?;
    lab.close(a);
    let before = lab.counters()?;
    let echo = if segment.is_syn() { 0 } else { last_time(lab, &w) };
    let answer = lab.wire_send(&mut w, &at(segment.clone(), EARLIER, echo))?;
    let answer = flags_of(lab, &answer, &w);
    lab.observe("flags of the answer", answer);
    let refused = lab.counters()?.grown(&before, "PAWSEstab");
    lab.observe("PAWSEstab", refused.unwrap_or(-1));
    lab.observe_sockets("then")?;
    let echo = last_time(lab, &w);
    let answer = lab.wire_send(&mut w, &at(data(), LATER, echo))?;
    let answer = flags_of(lab, &answer, &w);
    lab.observe("flags of the answer to data", answer);
    lab.observe_counters(&before)?;
    observe_child(lab, &b)
}

/// The flags of what W was answered last. (A second SYN+ACK has a number that nobody can know.)
fn flags_of(lab: &mut Lab, answer: &str, w: &WireClient) -> String {
    let last = lab.trace().segments().filter(|segment| segment.to == w.local).last();
    match last {
        Some(last) if answer != NOTHING => last.flags.to_string(),
        _ => NOTHING.to_owned(),
    }
}

/// A segment with a timestamp, and the echo of the server's.
fn at(segment: Draft, time: u32, echo: u32) -> Draft {
    segment.option(TIMESTAMPS, &[time.to_be_bytes(), echo.to_be_bytes()].concat())
}

/// The timestamp of the last SYN+ACK to `w`.
fn last_time(lab: &mut Lab, w: &WireClient) -> u32 {
    times_of_syn_acks(lab, w).last().copied().unwrap_or(0)
}

fn completed(flags: &str) -> Expectation {
    Expectation::new()
        .fact("flags of the answer", flags)
        .fact("sockets then", "W's request, a listener")
        .fact("flags of the answer to data", ".")
        .fact("accept(B)", "W's connection")
        .fact("recv(B's child)", "`Hello World`")
}
