//! What a request keeps when it changes listeners: of its SYN's IP header, of its history,
//! and of what limits its answers.

use std::time::Duration;

use harness::attribute;
use harness::lab::{Lab, outcome};
use harness::socket::{Listener, Stream};
use harness::wait;
use harness::wire_client::{Draft, WireClient};
use harness::witness::{Counters, retransmissions, round_trip_time};
use harness::{Family, Result};

use crate::case::{Case, Need, Setting, Settings};
use crate::expectation::Expectation;
use crate::handshake::{NOTHING, data};
use crate::heir::{full, request_in_flight};
use crate::timer::{FIRST, observe_timer, option};

/// The answer to W's SYN.
const SYN_ACK: &str = "S > W  S. 0:0(0) ack 1";

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "timer/reflected-service",
        does: "tcp_reflect_tos is 1. W's SYN has the type of service 0x28, A's and B's are others. \
               A is closed; the timer fires.",
        must: "Both SYN+ACKs have that of the SYN.",
        source: "inet_reqsk_clone(): syn_tos; tcp_v4_send_synack(), tcp_v6_send_synack()",
        settings: Settings::FamiliesOn,
        waits_for: FIRST,
        run: reflected_service,
        expect: |_| {
            Expectation::new()
                .fact("SYN+ACKs' looks", "tos 0x28 ttl 33 mss 1000; tos 0x28 ttl 44 mss 700")
        },
        ..Case::DEFAULT
    },
    Case {
        name: "timer/ip-options",
        does: "W's SYN records its route, with room for one address. A is closed; the timer moves \
               the request. Eight others come to B, with room for three; W sends its ACK.",
        must: "W's child sends with W's option: it went with the request, and was not freed with \
               the old one.",
        source: "inet_reqsk_clone(), reqsk_migrate_reset(): ireq_opt",
        settings: Settings::OnceOn(Family::V4),
        waits_for: FIRST,
        run: ip_options,
        expect: |_| {
            Expectation::new()
                .fact("bytes of IP options that W's child has", 8)
                .fact("bytes of IP options that the others have", "16 16 16 16 16 16 16 16")
        },
        ..Case::DEFAULT
    },
    Case {
        name: "timer/hops",
        does: "A and B keep the hop limits of SYNs. W's is 33. A is closed; the timer moves the \
               request. Eight others come to B, with 44; W sends its ACK.",
        must: "W's child tells of 33: the SYN went with the request, and was not freed with the \
               old one.",
        source: "inet_reqsk_clone(), reqsk_migrate_reset(): pktopts",
        settings: Settings::OnceOn(Family::V6),
        waits_for: FIRST,
        run: hops,
        expect: |_| {
            Expectation::new()
                .fact("hop limit that W's child tells", 33)
                .fact("hop limits that the others tell", "44 44 44 44 44 44 44 44")
        },
        ..Case::DEFAULT
    },
    Case {
        name: "timer/cookie",
        does: "sock_diag is asked for W's request at A, and so gives it a cookie. B listens; A is \
               closed; the timer fires; sock_diag is asked again; W sends data, and B accepts.",
        must: "The request has the same cookie at B, and the child has it too.",
        source: "inet_reqsk_clone(): ir_cookie; inet_csk_clone_lock(): sk_cookie",
        settings: Settings::FamiliesOn,
        needs: &[Need::SockDiag],
        waits_for: FIRST,
        run: cookie,
        expect: |_| {
            Expectation::new()
                .fact("the request's cookie at B", "as at A")
                .fact("the child's SO_COOKIE", "as its request's at A")
                .counters(&[("TCPMigrateReqSuccess", 1), ("PassiveOpens", 1)])
        },
    },
    Case {
        name: "handshake/cookie",
        does: "sock_diag is asked for W's request at A, and so gives it a cookie. B listens; A is \
               closed; W sends data, and B accepts.",
        must: "B's child has the cookie of the request.",
        source: "inet_csk_complete_hashdance(), inet_csk_clone_lock(): sk_cookie",
        settings: Settings::FamiliesOn,
        needs: &[Need::SockDiag],
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
                .fact("the child's SO_COOKIE", "as its request's at A")
                .counters(&[("TCPMigrateReqSuccess", 1), ("PassiveOpens", 1)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "timer/window-clamp",
        does: "A is closed with W's request; the timer moves it; W sends data. X comes to B.",
        must: "Both children may announce windows of the same size.",
        source: "inet_reqsk_clone(): rsk_window_clamp; tcp_create_openreq_child()",
        settings: Settings::OnceOn(Family::V4),
        waits_for: FIRST,
        run: window_clamp,
        expect: |_| Expectation::new().fact("window clamps", "alike"),
        ..Case::DEFAULT
    },
    Case {
        name: "timer/retransmissions",
        does: "A repeats its SYN+ACK and is closed; B repeats it; W sends data.",
        must: "The child tells of both.",
        source: "inet_reqsk_clone(): num_retrans; tcp_create_openreq_child(): total_retrans",
        settings: Settings::OnceOn(Family::V4),
        waits_for: Duration::from_secs(3),
        run: told_retransmissions,
        expect: |_| Expectation::new().fact("retransmissions that W's child tells", 2),
        ..Case::DEFAULT
    },
    Case {
        name: "timer/repetition-limit",
        does: "B repeats SYN+ACKs after a second at most (TCP_RTO_MAX_MS), A has no such limit. A \
               is closed with W's request; the timer moves it, and fires again.",
        must: "B's limit counts: the second time is not twice the first.",
        source: "M-17; reqsk_timer_handler(): tcp_reqsk_timeout(), tcp_rto_max()",
        settings: Settings::OnceOn(Family::V4),
        waits_for: Duration::from_secs(3),
        run: repetition_limit,
        expect: |_| {
            Expectation::new()
                .fact("setsockopt(B, TCP_RTO_MAX_MS)", "ok")
                .fact("the second time", "as long as the first")
        },
        ..Case::DEFAULT
    },
    Case {
        name: "timer/rate-limit",
        does: "Segments out of order are answered once a minute (tcp_invalid_ratelimit). W repeats \
               its SYN, A is closed, the timer moves the request, and W repeats its SYN again.",
        must: "The first repetition is answered, the second one is too early for another answer.",
        source: "inet_reqsk_clone(): last_oow_ack_time; tcp_check_req(), tcp_oow_rate_limited()",
        settings: Settings::OnceOn(Family::V4),
        waits_for: FIRST,
        run: rate_limit,
        expect: |_| {
            Expectation::new()
                .fact("answer to the second SYN", SYN_ACK)
                .fact("answer to the third SYN", NOTHING)
                .fact("TCPACKSkippedSynRecv", 1)
        },
        ..Case::DEFAULT
    },
    Case {
        name: "handshake/syn-again-later",
        does: "W's request and then V's are A's, which is closed. W repeats its SYN; V's timer \
               fires.",
        must: "The repeated SYN puts W's timer off: V's fires first, though V came later.",
        source: "tcp_check_req(): mod_timer_pending() after tcp_rtx_synack() with the heir",
        settings: Settings::OnceOn(Family::V4),
        waits_for: FIRST,
        run: syn_again_later,
        expect: |_| {
            Expectation::new()
                .fact("answer to W's second SYN", SYN_ACK)
                .fact("SYN+ACKs to W when V's timer has fired", 2)
        },
        ..Case::DEFAULT
    },
    Case {
        name: "handshake/round-trip-time",
        does: "A is closed with W's request; W sends its ACK.",
        must: "The child has its round-trip time from the handshake, which A began and B ended.",
        source: "tcp_check_req(): tcp_synack_rtt_meas()",
        settings: Settings::OnceOn(Family::V4),
        run: measured_round_trip,
        expect: |_| Expectation::new().fact("round-trip time", "measured"),
        ..Case::DEFAULT
    },
    Case {
        name: "timer/deferring-ends",
        does: "A defers accepting for 30 seconds and drops W's bare ACK; B defers for one. A is \
               closed; the timer fires; W sends its ACK again.",
        must: "B's time is up with this expiry: the SYN+ACK is sent again, and the bare ACK \
               completes the handshake.",
        source: "syn_ack_recalc(): num_timeout and the heir's rskq_defer_accept",
        settings: Settings::OnceOn(Family::V4),
        waits_for: FIRST,
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
        does: "W's request is A's, which is closed; B defers accepting, and its queue is full. W \
               sends data; the timer fires; B accepts, and W sends its data again.",
        must: "The data finds no room, but says that W has the SYN+ACK: the request moves in \
               silence.",
        source: "tcp_check_req(), listen_overflow: acked; syn_ack_recalc()",
        settings: Settings::OnceOn(Family::V4),
        waits_for: FIRST,
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

fn cookie(lab: &mut Lab, _: Setting) -> Result<()> {
    let (a, mut w, b) = request_in_flight(lab)?;
    let (cookie, before) = (lab.cookie_of(w.local)?, lab.counters()?);
    lab.close(a);
    lab.until_syn_acks(&w, 2, FIRST)?;
    let kept = lab.cookie_of(w.local)? == cookie;
    lab.observe("the request's cookie at B", if kept { "as at A" } else { "another one" });
    lab.wire_send(&mut w, &data())?;
    lab.observe_counters(&before)?;
    observe_cookie_of_child(lab, &b, cookie)
}

fn observe_cookie_of_child(lab: &mut Lab, b: &Listener, cookie: u64) -> Result<()> {
    let Some(child) = lab.accept_now(b)? else {
        lab.observe("the child's SO_COOKIE", "no child");
        return Ok(());
    };
    // W would never acknowledge a FIN.
    child.reset_on_close()?;
    let kept = attribute::cookie(&child)? == cookie;
    lab.observe(
        "the child's SO_COOKIE",
        if kept { "as its request's at A" } else { "another one" },
    );
    Ok(())
}

fn reflected_service(lab: &mut Lab, _: Setting) -> Result<()> {
    lab.sysctl("net.ipv4.tcp_reflect_tos", "1")?;
    let a = lab.listen("A")?;
    option("A, TOS, TTL, MSS", a.look_like(0x10, 33, 1000))?;
    let mut w = lab.wire_client("W")?;
    lab.wire_syn(&mut w, &Draft::syn().service(0x28))?;
    let b = lab.listen("B")?;
    option("B, TOS, TTL, MSS", b.look_like(0x20, 44, 700))?;
    lab.close(a);
    lab.until_syn_acks(&w, 2, FIRST)?;
    lab.observe_syn_ack_looks(&w);
    lab.wire_send(&mut w, &Draft::new(".", 1, 1))?;
    b.accept()?.reset_on_close()
}

/// How many clients come after a migration, to get the memory that was freed by it.
const OTHERS: usize = 8;

/// W's SYN goes to A, which is closed; its request is moved to B by the timer. Then others
/// come, and end their handshakes; W ends its own; `told` is asked of each child, W's last.
fn moved_among_others(
    lab: &mut Lab,
    syn: &Draft,
    others: &Draft,
    prepare: fn(&harness::socket::Listener) -> Result<()>,
    told: impl Fn(&harness::socket::Child) -> Result<i64>,
) -> Result<(i64, String)> {
    let a = lab.listen("A")?;
    prepare(&a)?;
    let mut w = lab.wire_client("W")?;
    lab.wire_syn(&mut w, syn)?;
    let b = lab.listen("B")?;
    prepare(&b)?;
    lab.close(a);
    lab.until_syn_acks(&w, 2, FIRST)?;
    let mut clients = Vec::new();
    for index in 0..OTHERS {
        let mut client = lab.wire_client(&format!("X{index}"))?;
        lab.wire_syn(&mut client, others)?;
        clients.push(client);
    }
    clients.push(w);
    let mut all = Vec::new();
    for client in &mut clients {
        lab.wire_send(client, &Draft::new(".", 1, 1))?;
        let child = b.accept()?;
        child.reset_on_close()?;
        all.push(told(&child)?);
    }
    let of_w = all.pop().unwrap_or(-1);
    Ok((of_w, all.iter().map(i64::to_string).collect::<Vec<_>>().join(" ")))
}

fn ip_options(lab: &mut Lab, _: Setting) -> Result<()> {
    let syn = |addresses| Draft::syn().recording_route(addresses);
    let told = |child: &_| Ok(attribute::ip_options(child)?.len() as i64);
    let (of_w, others) = moved_among_others(lab, &syn(1), &syn(3), |_| Ok(()), told)?;
    lab.observe("bytes of IP options that W's child has", of_w);
    lab.observe("bytes of IP options that the others have", others);
    Ok(())
}

fn hops(lab: &mut Lab, _: Setting) -> Result<()> {
    let syn = |hops| Draft::syn().hops(hops);
    let told = |child: &_| attribute::kept_hops(child).map(i64::from);
    let keep = |listener: &_| attribute::keep_hops(listener);
    let (of_w, others) = moved_among_others(lab, &syn(33), &syn(44), keep, told)?;
    lab.observe("hop limit that W's child tells", of_w);
    lab.observe("hop limits that the others tell", others);
    Ok(())
}

fn window_clamp(lab: &mut Lab, _: Setting) -> Result<()> {
    let told = |child: &_| attribute::window_clamp(child).map(i64::from);
    let (of_w, others) = moved_among_others(lab, &Draft::syn(), &Draft::syn(), |_| Ok(()), told)?;
    let alike = others.split(' ').all(|other| other == of_w.to_string());
    let compared = if alike { "alike".to_owned() } else { format!("W {of_w}, others {others}") };
    lab.observe("window clamps", compared);
    Ok(())
}

fn told_retransmissions(lab: &mut Lab, _: Setting) -> Result<()> {
    let a = lab.listen("A")?;
    let mut w = lab.wire_client("W")?;
    lab.wire_syn(&mut w, &Draft::syn())?;
    let b = lab.listen("B")?;
    lab.until_syn_acks(&w, 2, FIRST)?;
    lab.close(a);
    lab.until_syn_acks(&w, 3, FIRST * 2)?;
    lab.wire_send(&mut w, &data())?;
    let child = b.accept()?;
    child.reset_on_close()?;
    lab.observe("retransmissions that W's child tells", i64::from(retransmissions(&child)?));
    Ok(())
}

fn repetition_limit(lab: &mut Lab, _: Setting) -> Result<()> {
    let a = lab.listen("A")?;
    let mut w = lab.wire_client("W")?;
    lab.wire_syn(&mut w, &Draft::syn())?;
    let b = lab.listen("B")?;
    lab.observe("setsockopt(B, TCP_RTO_MAX_MS)", outcome(attribute::limit_repetition(&b, 1000)));
    lab.close(a);
    lab.until_syn_acks(&w, 2, FIRST)?;
    lab.until_syn_acks(&w, 3, FIRST * 2)?;
    let to_w = |s: &&harness::segment::Segment| s.to.port() == w.local.port() && s.flags.syn();
    let sent: Vec<Duration> = lab.trace().segments().filter(to_w).map(|s| s.at).collect();
    // Twice as long, or as long: half of that is far from both.
    let longer = sent[2] - sent[1] > (sent[1] - sent[0]).mul_f64(1.5);
    lab.observe("the second time", if longer { "longer" } else { "as long as the first" });
    lab.wire_send(&mut w, &data())?;
    b.accept()?.reset_on_close()
}

fn rate_limit(lab: &mut Lab, _: Setting) -> Result<()> {
    lab.sysctl("net.ipv4.tcp_invalid_ratelimit", "60000")?;
    let a = lab.listen("A")?;
    let mut w = lab.wire_client("W")?;
    lab.wire_syn(&mut w, &Draft::syn())?;
    let answer = lab.wire_send(&mut w, &Draft::syn())?;
    lab.observe("answer to the second SYN", answer);
    let b = lab.listen("B")?;
    lab.close(a);
    lab.until_syn_acks(&w, 3, FIRST)?;
    let before = lab.counters()?;
    let answer = lab.wire_send(&mut w, &Draft::syn())?;
    lab.observe("answer to the third SYN", answer);
    let skipped = lab.counters()?.grown(&before, "TCPACKSkippedSynRecv").unwrap_or(-1);
    lab.observe("TCPACKSkippedSynRecv", skipped);
    lab.wire_send(&mut w, &Draft::new(".", 1, 1))?;
    b.accept()?.reset_on_close()
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
        b.accept()?.reset_on_close()?;
    }
    Ok(())
}

fn syn_acks_to(lab: &mut Lab, client: &WireClient) -> usize {
    let to_client = |s: &&harness::segment::Segment| s.to == client.local;
    let segments = lab.trace().segments().filter(to_client);
    segments.filter(|s| s.flags.syn() && s.flags.ack()).count()
}

fn measured_round_trip(lab: &mut Lab, _: Setting) -> Result<()> {
    let a = lab.listen("A")?;
    let mut w = lab.wire_client("W")?;
    lab.wire_syn(&mut w, &Draft::syn())?;
    let b = lab.listen("B")?;
    lab.close(a);
    lab.wire_send(&mut w, &Draft::new(".", 1, 1))?;
    let child = b.accept()?;
    child.reset_on_close()?;
    let measured = round_trip_time(&child)? > 0;
    lab.observe("round-trip time", if measured { "measured" } else { "not measured" });
    Ok(())
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
    lab.accept_now(&b)?.map_or(Ok(()), |child| child.reset_on_close())
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
    lab.accept_now(&b)?.map_or(Ok(()), |child| child.reset_on_close())
}

/// Waits for a migration that nothing on the wire tells of.
fn until_moved(lab: &Lab, before: &Counters) -> Result<()> {
    wait::until("the timer to move a request", || {
        let moved = lab.counters()?.grown(before, "TCPMigrateReqSuccess").unwrap_or(0);
        Ok((moved > 0).then_some(()))
    })
}
