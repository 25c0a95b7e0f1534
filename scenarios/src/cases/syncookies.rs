//! SYN cookies: handshakes of which no listener keeps anything.

use harness::lab::Lab;
use harness::socket::wire_client::Draft;

use crate::case::{Case, Need, Settings};
use crate::judge::expectation::{AnyWire, Expectation, WireRule};
use crate::prefix::{CaseFile, Prefix};
use crate::steps::request::{RESET, data, observe_child};
use crate::steps::wires;

pub(super) const PREFIX: Prefix = Prefix {
    id: "syncookies",
    about: "handshakes of which no listener keeps anything",
    files: &[CaseFile { module: module_path!(), cases: CASES }],
};

const CASES: &[Case] = &[
    Case {
        name: "syncookies/target",
        former_names: &["syncookies/heir"],
        does: "tcp_syncookies is 2: A answers W's SYN with a cookie, and keeps no request; B \
               listens; A is closed; W sends data.",
        must: "With or without migration there is nothing to migrate: the cookie is valid for B \
               too, which accepts W's child. The whole group knows that cookies are in use.",
        source: "cookie_v4_check(), tcp_synq_overflow(): reuse->synq_overflow_ts",
        settings: Settings::FamiliesOffAndOn,
        needs: &[Need::SynCookies],
        wire: WireRule::Shows(&[wires::W_SENDS]),
        run: |lab, _| cookie(lab, true),
        expect: |_| {
            Expectation::new()
                .fact("sockets before the close", "a listener")
                .fact("answer to data", "S > W  . 1:1(0) ack 12")
                .fact("accept(B)", "W's connection")
                .fact("recv(B's child)", "`Hello World`")
                .fact("SyncookiesFailed", 0)
                .counters(&[("SyncookiesRecv", 1), ("PassiveOpens", 1)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "syncookies/new-group",
        does: "As syncookies/target, but B listens only after A, the last of its group, is closed.",
        must: "B's group is new and has sent no cookies: the data is answered by an RST without \
               ACK, and the cookie is not even checked.",
        source: "cookie_tcp_check(): tcp_synq_no_recent_overflow()",
        settings: Settings::FamiliesOffAndOn,
        needs: &[Need::SynCookies],
        // Mostly it waits for nothing: see the function.
        waits_for: Lab::JIFFIES_NEAR_ZERO,
        wire: WireRule::Any(AnyWire::TimersFire),
        run: |lab, _| {
            lab.until_jiffies_are_far_from_zero()?;
            cookie(lab, false)
        },
        expect: |_| {
            Expectation::new()
                .fact("sockets before the close", "a listener")
                .fact("answer to data", RESET)
                .fact("accept(B)", "EAGAIN")
                .fact("recv(B's child)", "no child")
                .fact("SyncookiesFailed", 0)
                .counters(&[("OutRsts", 1)])
        },
        ..Case::DEFAULT
    },
];

fn cookie(lab: &mut Lab, before_the_close: bool) -> harness::Result<()> {
    lab.sysctl("net.ipv4.tcp_syncookies", "2")?;
    let a = lab.listen("A")?;
    let mut w = lab.wire_client("W")?;
    lab.wire_syn(&mut w, &Draft::syn())?;
    lab.observe_sockets("before the close")?;
    let b = if before_the_close {
        let b = lab.listen("B")?;
        lab.close(a);
        b
    } else {
        lab.close(a);
        lab.listen("B")?
    };
    let before = lab.counters()?;
    let answer = lab.wire_send(&mut w, &data())?;
    lab.observe("answer to data", answer);
    lab.observe_counters(&before)?;
    let failed = lab.counters()?.grown(&before, "SyncookiesFailed");
    lab.observe("SyncookiesFailed", failed.unwrap_or(-1));
    observe_child(lab, &b)
}
