//! What a connection keeps when its handshake, begun with A, ends with B.

use harness::lab::Lab;
use harness::net::segment_counts::segments_in;
use harness::net::witness::round_trip_time;
use harness::socket::wire_client::Draft;
use harness::{Family, Result};

use crate::case::{Case, Need, Setting, Settings};
use crate::judge::expectation::{AnyWire, Expectation, WireRule};
use crate::steps::cookie::observe_cookie_of_child;
use crate::steps::negotiated::{alike, options};
use crate::steps::request::{data, request_in_flight};
use crate::steps::wires;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "handshake/options",
        does: "A has W's request, whose SYN had every option; B listens; A is closed; W sends \
               data, which completes the handshake on B. A fresh client does the same on B.",
        must: "The two children are alike: segment sizes, window scales, SACK, timestamps and ECN.",
        source: "tcp_create_openreq_child(), inet_reqsk_clone()",
        settings: Settings::FamiliesOn,
        wire: WireRule::Shows(&[(
            "W",
            "
                W > S  SEW 0:0(0)
                S > W  S.E 0:0(0) ack 1
                W > S  P. 1:12(11) ack 1
                S > W  . 1:1(0) ack 12
                S > W  R. 1:1(0) ack 12
                ...
            ",
        )]),
        run: |lab, _| options(lab, false),
        expect: |_| alike(),
        ..Case::DEFAULT
    },
    Case {
        name: "handshake/cookie",
        does: "sock_diag is asked for W's request at A, and so gives it a cookie. B listens; A is \
               closed; W sends data, and B accepts.",
        must: "B's child has the cookie of the request.",
        source: "inet_csk_complete_hashdance(), inet_csk_clone_lock(): sk_cookie",
        settings: Settings::FamiliesOn,
        needs: &[Need::SockDiag],
        wire: WireRule::Shows(&[wires::W_SENDS]),
        run: |lab, _| {
            let (a, mut w, b) = request_in_flight(lab)?;
            let (cookie, before) = (lab.cookie_of(w.local)?, lab.counters()?);
            lab.close(a);
            lab.wire_send(&mut w, &data())?;
            lab.observe_counters(&before)?;
            observe_cookie_of_child(lab, &b, cookie)
        },
        expect: |_| {
            Expectation::new()
                .fact("accept(B)", "W's connection")
                .fact("the child's SO_COOKIE", "as its request's at A")
                .counters(&[("TCPMigrateReqSuccess", 1), ("PassiveOpens", 1)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "handshake/round-trip-time",
        does: "A is closed with W's request; W sends its ACK.",
        must: "The child has its round-trip time from the handshake, which A began and B ended.",
        source: "tcp_check_req(): tcp_synack_rtt_meas()",
        settings: Settings::OnceOn(Family::V4),
        wire: WireRule::Shows(&[wires::W_CONNECTS]),
        run: measured_round_trip,
        expect: |_| Expectation::new().fact("round-trip time", "measured"),
        ..Case::DEFAULT
    },
    Case {
        name: "handshake/segment-counts",
        does: "A is closed with W's request; W sends data, which completes the handshake on B, and \
               more.",
        must: "The child has counted the SYN, which came to A, and each segment with data.",
        source: "tcp_create_openreq_child(): segs_in; tcp_child_process(), tcp_v4_rcv(): \
                 tcp_segs_in()",
        settings: Settings::FamiliesOn,
        wire: WireRule::Any(AnyWire::SocketsMatter),
        run: counted_segments,
        expect: |_| {
            Expectation::new()
                .fact("segments that came", 2)
                .fact("with data", 1)
                .fact("segments that came in all", 3)
                .fact("with data in all", 2)
        },
        ..Case::DEFAULT
    },
];

fn counted_segments(lab: &mut Lab, _: Setting) -> Result<()> {
    let (a, mut w, b) = request_in_flight(lab)?;
    lab.close(a);
    lab.wire_send(&mut w, &data())?;
    let child = b.accept()?;
    let first = segments_in(&child)?;
    lab.wire_send(&mut w, &Draft::new("P.", 12, 1).payload(b"again"))?;
    let all = segments_in(&child)?;
    for (fact, count) in [
        ("segments that came", first.all),
        ("with data", first.with_data),
        ("segments that came in all", all.all),
        ("with data in all", all.with_data),
    ] {
        lab.observe(fact, u64::from(count));
    }
    Ok(())
}

fn measured_round_trip(lab: &mut Lab, _: Setting) -> Result<()> {
    let a = lab.listen("A")?;
    let mut w = lab.wire_client("W")?;
    lab.wire_syn(&mut w, &Draft::syn())?;
    let b = lab.listen("B")?;
    lab.close(a);
    lab.wire_send(&mut w, &Draft::new(".", 1, 1))?;
    let child = b.accept()?;
    let measured = round_trip_time(&child)? > 0;
    lab.observe("round-trip time", if measured { "measured" } else { "not measured" });
    Ok(())
}
