//! Handshakes in flight whose client resets.

use harness::lab::Lab;
use harness::socket::wire_client::Draft;

use super::segments::{ACK, FAR, gone, lives, meets};
use crate::case::{Case, Migration, Setting, Settings};
use crate::judge::expectation::{AnyWire, Expectation, WireRule};
use crate::steps::request::{NOTHING, RESET, data, requested};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "handshake/reset",
        does: "A has W's request; B listens; A is closed. W sends an RST with exactly the expected \
               sequence number.",
        must: "The request is gone, and no packet is sent. On: the reset is counted. B is \
               unaffected, and takes new handshakes.",
        source: "tcp_check_req(), embryonic_reset",
        settings: Settings::FamiliesOffAndOn,
        wire: WireRule::Any(AnyWire::AnswersAreFacts),
        run: |lab, _| meets(lab, &Draft::new("R", 1, 0)),
        expect: |setting| match setting.migration {
            Migration::Off => gone(NOTHING).counters(&[]),
            Migration::On => gone(NOTHING).counters(&[("EmbryonicRsts", 1), ("AttemptFails", 1)]),
        },
        ..Case::DEFAULT
    },
    Case {
        name: "handshake/reset-in-window",
        does: "A has W's request; B listens; A is closed. W sends an RST whose sequence number is \
               in the window but not the expected one, then sends data.",
        must: "Off: the request is gone without a packet. On: a challenge ACK, as for any \
               connection; the request stays, and the data completes the handshake on B.",
        source: "tcp_check_req(), RFC 5961 3.2: `challenge ACK for non-exact RST in SYN-RECEIVED` \
                 (CVE-2026-68118)",
        settings: Settings::FamiliesOffAndOn,
        wire: WireRule::Any(AnyWire::AnswersAreFacts),
        run: |lab, _| meets(lab, &Draft::new("R", 2, 0)),
        expect: |setting| match setting.migration {
            Migration::Off => gone(NOTHING).counters(&[]),
            Migration::On => lives(ACK, "W's request, a listener")
                .counters(&[])
                .with(&[("TCPChallengeACK".to_owned(), 1.into())]),
        },
        ..Case::DEFAULT
    },
    Case {
        name: "handshake/reset-out-of-window",
        does: "A has W's request; B listens; A is closed. W sends an RST whose sequence number is \
               far beyond the window, then sends data.",
        must: "Off: the request is gone without a packet. On: no answer; the request stays, and \
               the data completes the handshake on B.",
        source: "tcp_check_req(): out of window, no answer to a reset",
        settings: Settings::FamiliesOffAndOn,
        wire: WireRule::OffAndOn(
            &[(
                "W",
                "
                W > S  S 0:0(0)
                S > W  S. 0:0(0) ack 1
                W > S  R 1073741824:1073741824(0)
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
                W > S  R 1073741824:1073741824(0)
                W > S  P. 1:12(11) ack 1
                S > W  . 1:1(0) ack 12
                S > W  R. 1:1(0) ack 12
                ...
            ",
            )],
        ),
        run: |lab, _| meets(lab, &Draft::new("R", FAR, 0)),
        expect: |setting| match setting.migration {
            Migration::Off => gone(NOTHING).counters(&[]),
            Migration::On => lives(NOTHING, "W's request, a listener").counters(&[]),
        },
        ..Case::DEFAULT
    },
    Case {
        name: "handshake/reset-with-any-ack",
        does: "A has W's request. W sends an RST with exactly the expected sequence number, and with \
               an ACK of what was never sent; then data.",
        must: "What a reset acknowledges is not looked at: the request is gone without a packet, and \
               the data is answered by an RST.",
        source: "tcp_check_req(): TCP_FLAG_ACK without TCP_FLAG_RST",
        settings: Settings::Families,
        wire: WireRule::Any(AnyWire::AnswersAreFacts),
        run: reset_with_any_ack,
        expect: |_| {
            Expectation::new()
                .fact("answer to the reset", NOTHING)
                .fact("sockets after the reset", "a listener")
                .fact("answer to data", RESET)
                .counters(&[("EmbryonicRsts", 1), ("AttemptFails", 1), ("OutRsts", 1)])
        },
        ..Case::DEFAULT
    },
];

fn reset_with_any_ack(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let (_a, mut w) = requested(lab)?;
    let before = lab.counters()?;
    let answer = lab.wire_send(&mut w, &Draft::new("R.", 1, FAR))?;
    lab.observe("answer to the reset", answer);
    lab.observe_sockets("after the reset")?;
    let answer = lab.wire_send(&mut w, &data())?;
    lab.observe("answer to data", answer);
    lab.observe_counters(&before)
}
