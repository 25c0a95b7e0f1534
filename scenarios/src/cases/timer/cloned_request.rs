//! What the clone has that the SYN+ACK timer makes of a request, for another listener.

use std::time::Duration;

use harness::lab::Lab;
use harness::net::witness::retransmissions;
use harness::socket::Listener;
use harness::socket::bind_spec::BindSpec;
use harness::socket::wire_client::Draft;
use harness::{Family, Result, socket::attribute};

use crate::case::{Case, Need, Setting, Settings};
use crate::judge::expectation::{AnyWire, Expectation, WireRule};
use crate::steps::cookie::observe_cookie_of_child;
use crate::steps::negotiated::{alike, options};
use crate::steps::request::{NOTHING, SYN_ACK_TO_W, data, request_in_flight};
use crate::steps::saved_syn::{OTHERS, observe_others, others, shown};
use crate::steps::syn_ack_timer::{FIRST, option};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "timer/options",
        does: "As handshake/options, but W waits until the SYN+ACK timer has moved its request.",
        must: "The clone of the request has lost nothing: its SYN+ACK and its child are like those \
               of a new client.",
        source: "inet_reqsk_clone(): the copied part of the request",
        settings: Settings::FamiliesOn,
        waits_for: FIRST,
        wire: WireRule::Any(AnyWire::TimersFire),
        run: |lab, _| options(lab, true),
        expect: |_| alike(),
        ..Case::DEFAULT
    },
    Case {
        name: "timer/belongings",
        does: "A and B are on one device; A has a mark and keeps SYNs, B has another mark and \
               keeps them too. A is closed with W's request; the timer moves it. Eight other \
               clients connect to B; W sends its ACK; B accepts all nine.",
        must: "W's child is on the device, with A's mark and W's SYN, which nothing has \
               overwritten; the others have their own SYNs.",
        source: "inet_reqsk_clone(), reqsk_migrate_reset(): what the old request must not free",
        settings: Settings::FamiliesOn,
        waits_for: FIRST,
        wire: WireRule::Any(AnyWire::TimersFire),
        run: kept_by_the_clone,
        expect: |_| {
            Expectation::new()
                .fact("answer to the ACK", NOTHING)
                .fact("mark of W's child", 77)
                .fact("device of W's child", "lo")
                .fact("whose SYN W's child has", "its SYN")
                .fact("others with their own SYNs", OTHERS as i64)
                .fact("TCPMigrateReqSuccess by the timer", 1)
        },
        ..Case::DEFAULT
    },
    Case {
        name: "timer/belongings-refused",
        does: "tcp_synack_retries is 0. A keeps SYNs, and is closed with W's request; the timer \
               fires. C, which keeps SYNs too, takes B's place; eight other clients connect, and C \
               accepts them.",
        must: "The request is dropped together with the clone that was begun, and the SYN is freed \
               once: the others have their own SYNs.",
        source: "reqsk_timer_handler(): reqsk_migrate_reset(nreq)",
        settings: Settings::FamiliesOn,
        waits_for: FIRST,
        wire: WireRule::Any(AnyWire::TimersFire),
        run: clone_dropped,
        expect: |_| {
            Expectation::new()
                .fact("others with their own SYNs", OTHERS as i64)
                .fact("TCPMigrateReqFailure by the timer", 1)
        },
        ..Case::DEFAULT
    },
    Case {
        name: "timer/reflected-service",
        does: "tcp_reflect_tos is 1. W's SYN has the type of service 0x28, A and B have others. A \
               is closed; the timer fires.",
        must: "Both SYN+ACKs have the SYN's type of service.",
        source: "inet_reqsk_clone(): syn_tos; tcp_v4_send_synack(), tcp_v6_send_synack()",
        settings: Settings::FamiliesOn,
        waits_for: FIRST,
        wire: WireRule::Any(AnyWire::TimersFire),
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
               the request. Eight other clients connect to B, with room for three addresses; W \
               sends its ACK.",
        must: "W's child sends W's option, which moved with the request and was not freed with the \
               old one.",
        source: "inet_reqsk_clone(), reqsk_migrate_reset(): ireq_opt",
        settings: Settings::OnceOn(Family::V4),
        waits_for: FIRST,
        wire: WireRule::Any(AnyWire::TimersFire),
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
               request. Eight other clients connect to B, with 44; W sends its ACK.",
        must: "W's child reports 33: the SYN moved with the request, and was not freed with the \
               old one.",
        source: "inet_reqsk_clone(), reqsk_migrate_reset(): pktopts",
        settings: Settings::OnceOn(Family::V6),
        waits_for: FIRST,
        wire: WireRule::Any(AnyWire::TimersFire),
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
        wire: WireRule::Any(AnyWire::TimersFire),
        run: cookie,
        expect: |_| {
            Expectation::new()
                .fact("the request's cookie at B", "as at A")
                .fact("accept(B)", "W's connection")
                .fact("the child's SO_COOKIE", "as its request's at A")
                .counters(&[("TCPMigrateReqSuccess", 1), ("PassiveOpens", 1)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "timer/window-clamp",
        does: "A is closed with W's request; the timer moves it; W sends data. X connects to B.",
        must: "Both children may announce windows of the same size.",
        source: "inet_reqsk_clone(): rsk_window_clamp; tcp_create_openreq_child()",
        settings: Settings::OnceOn(Family::V4),
        waits_for: FIRST,
        wire: WireRule::Any(AnyWire::TimersFire),
        run: window_clamp,
        expect: |_| Expectation::new().fact("window clamps", "alike"),
        ..Case::DEFAULT
    },
    Case {
        name: "timer/retransmissions",
        does: "A retransmits its SYN+ACK and is closed; B retransmits it; W sends data.",
        must: "The child reports both retransmissions.",
        source: "inet_reqsk_clone(): num_retrans; tcp_create_openreq_child(): total_retrans",
        settings: Settings::OnceOn(Family::V4),
        waits_for: Duration::from_secs(3),
        wire: WireRule::Any(AnyWire::TimersFire),
        run: reported_retransmissions,
        expect: |_| Expectation::new().fact("retransmissions that W's child tells", 2),
        ..Case::DEFAULT
    },
    Case {
        name: "timer/rate-limit",
        does: "Segments out of order are answered once a minute (tcp_invalid_ratelimit). W \
               retransmits its SYN, A is closed, the timer moves the request, and W retransmits \
               its SYN again.",
        must: "The first retransmission is answered, the second comes too early to be answered.",
        source: "inet_reqsk_clone(): last_oow_ack_time; tcp_check_req(), tcp_oow_rate_limited()",
        settings: Settings::OnceOn(Family::V4),
        waits_for: FIRST,
        wire: WireRule::Any(AnyWire::TimersFire),
        run: rate_limit,
        expect: |_| {
            Expectation::new()
                .fact("answer to the second SYN", SYN_ACK_TO_W)
                .fact("answer to the third SYN", NOTHING)
                .fact("TCPACKSkippedSynRecv", 1)
        },
        ..Case::DEFAULT
    },
];

fn listen_marked(
    lab: &mut Lab,
    setting: Setting,
    name: &str,
    mark: usize,
) -> harness::Result<Listener> {
    let listener = lab.listen_at(name, &BindSpec::usual(setting.family).on_lo())?;
    attribute::named(setting.family, "SO_MARK").set(&listener, mark)?;
    attribute::save_syn(&listener, 1)?;
    Ok(listener)
}

fn kept_by_the_clone(lab: &mut Lab, setting: Setting) -> harness::Result<()> {
    let a = listen_marked(lab, setting, "A", 0)?;
    let mut w = lab.wire_client("W")?;
    lab.wire_syn(&mut w, &Draft::syn())?;
    let b = listen_marked(lab, setting, "B", 1)?;
    let before = lab.counters()?;
    lab.close(a);
    lab.until_syn_acks(&w, 2, FIRST)?;
    let moved = lab.counters()?.grown(&before, "TCPMigrateReqSuccess").unwrap_or(-1);
    lab.observe("TCPMigrateReqSuccess by the timer", moved);
    let others = others(lab)?;
    let answer = lab.wire_send(&mut w, &Draft::new(".", 1, 1))?;
    lab.observe("answer to the ACK", answer);
    observe_others(lab, &b, &others)?;
    let child = b.accept()?;
    let mark = attribute::named(setting.family, "SO_MARK").get(&child)?;
    lab.observe("mark of W's child", mark);
    lab.observe("device of W's child", attribute::device(&child)?);
    lab.observe("whose SYN W's child has", shown(&attribute::saved_syn(&child)?, &w));
    Ok(())
}

fn clone_dropped(lab: &mut Lab, setting: Setting) -> harness::Result<()> {
    lab.sysctl("net.ipv4.tcp_synack_retries", "0")?;
    let a = listen_marked(lab, setting, "A", 0)?;
    let mut w = lab.wire_client("W")?;
    lab.wire_syn(&mut w, &Draft::syn())?;
    let b = listen_marked(lab, setting, "B", 1)?;
    let before = lab.counters()?;
    lab.close(a);
    lab.until_no_request(&w, FIRST)?;
    let failed = lab.counters()?.grown(&before, "TCPMigrateReqFailure").unwrap_or(-1);
    lab.observe("TCPMigrateReqFailure by the timer", failed);
    // Some kernels count wrongly at B then (timer/no-retries), and B would drop every SYN.
    let c = listen_marked(lab, setting, "C", 1)?;
    lab.close(b);
    let others = others(lab)?;
    observe_others(lab, &c, &others)
}

pub(super) fn cookie(lab: &mut Lab, _: Setting) -> Result<()> {
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

fn reflected_service(lab: &mut Lab, _: Setting) -> Result<()> {
    lab.sysctl("net.ipv4.tcp_reflect_tos", "1")?;
    let a = lab.listen("A")?;
    option("A, TOS, TTL, MSS", a.set_header_fields(0x10, 33, 1000))?;
    let mut w = lab.wire_client("W")?;
    lab.wire_syn(&mut w, &Draft::syn().service(0x28))?;
    let b = lab.listen("B")?;
    option("B, TOS, TTL, MSS", b.set_header_fields(0x20, 44, 700))?;
    lab.close(a);
    lab.until_syn_acks(&w, 2, FIRST)?;
    lab.observe_syn_ack_fields(&w);
    lab.wire_send(&mut w, &Draft::new(".", 1, 1))?;
    b.accept().map(drop)
}

/// W's SYN goes to A, which is closed; its request is moved to B by the timer. Then others
/// come, and end their handshakes; W ends its own; `read` is asked of each child, W's last.
fn moved_among_others(
    lab: &mut Lab,
    syn: &Draft,
    others: &Draft,
    prepare: fn(&harness::socket::Listener) -> Result<()>,
    read: impl Fn(&harness::socket::Child) -> Result<i64>,
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
        all.push(read(&child)?);
    }
    let of_w = all.pop().unwrap_or(-1);
    Ok((of_w, all.iter().map(i64::to_string).collect::<Vec<_>>().join(" ")))
}

fn ip_options(lab: &mut Lab, _: Setting) -> Result<()> {
    let syn = |addresses| Draft::syn().recording_route(addresses);
    let read = |child: &_| Ok(attribute::ip_options(child)?.len() as i64);
    let (of_w, others) = moved_among_others(lab, &syn(1), &syn(3), |_| Ok(()), read)?;
    lab.observe("bytes of IP options that W's child has", of_w);
    lab.observe("bytes of IP options that the others have", others);
    Ok(())
}

fn hops(lab: &mut Lab, _: Setting) -> Result<()> {
    let syn = |hops| Draft::syn().hops(hops);
    let read = |child: &_| attribute::saved_hop_limit(child).map(i64::from);
    let keep = |listener: &_| attribute::save_hop_limit(listener);
    let (of_w, others) = moved_among_others(lab, &syn(33), &syn(44), keep, read)?;
    lab.observe("hop limit that W's child tells", of_w);
    lab.observe("hop limits that the others tell", others);
    Ok(())
}

fn window_clamp(lab: &mut Lab, _: Setting) -> Result<()> {
    let read = |child: &_| attribute::window_clamp(child).map(i64::from);
    let (of_w, others) = moved_among_others(lab, &Draft::syn(), &Draft::syn(), |_| Ok(()), read)?;
    let alike = others.split(' ').all(|other| other == of_w.to_string());
    let compared = if alike { "alike".to_owned() } else { format!("W {of_w}, others {others}") };
    lab.observe("window clamps", compared);
    Ok(())
}

fn reported_retransmissions(lab: &mut Lab, _: Setting) -> Result<()> {
    let a = lab.listen("A")?;
    let mut w = lab.wire_client("W")?;
    lab.wire_syn(&mut w, &Draft::syn())?;
    let b = lab.listen("B")?;
    lab.until_syn_acks(&w, 2, FIRST)?;
    lab.close(a);
    lab.until_syn_acks(&w, 3, FIRST * 2)?;
    lab.wire_send(&mut w, &data())?;
    let child = b.accept()?;
    lab.observe("retransmissions that W's child tells", i64::from(retransmissions(&child)?));
    Ok(())
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
    b.accept().map(drop)
}
