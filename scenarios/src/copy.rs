//! What the copy of a request has, which the SYN+ACK timer makes for another listener, and
//! what many of them at a time do to that listener.

use std::time::Duration;

use harness::Family;
use harness::attribute;
use harness::lab::Lab;
use harness::place::Place;
use harness::socket::{Listener, Stream};
use harness::wait;
use harness::wire_client::{Draft, WireClient};

use crate::attributes::shown;
use crate::case::{Case, Setting, Settings};
use crate::expectation::Expectation;
use crate::handshake::NOTHING;
use crate::timer::{FIRST, observe_timer, option};

/// When the timer fires for the third time.
const THIRD: Duration = Duration::from_secs(7);

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "timer/belongings",
        does: "A and B are on one device; A has a mark and keeps SYNs, B has another mark and \
               keeps them too. A is closed with W's request; the timer moves it. Eight others \
               come to B; W sends its ACK; B accepts all nine.",
        must: "W's child is on the device, with A's mark and W's SYN, which nothing has \
               overwritten; the others have their own SYNs.",
        source: "inet_reqsk_clone(), reqsk_migrate_reset(): what the old request must not free",
        settings: Settings::FamiliesOn,
        waits_for: FIRST,
        run: belongings,
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
               fires. B gives way to C, which keeps SYNs too; eight others come, and C accepts them.",
        must: "The request is dropped together with the copy that was begun, and the SYN is freed \
               once: the others have their own SYNs.",
        source: "reqsk_timer_handler(): reqsk_migrate_reset(nreq)",
        settings: Settings::FamiliesOn,
        waits_for: FIRST,
        run: belongings_refused,
        expect: |_| {
            Expectation::new()
                .fact("others with their own SYNs", OTHERS as i64)
                .fact("TCPMigrateReqFailure by the timer", 1)
        },
        ..Case::DEFAULT
    },
    Case {
        name: "attributes/saved-syns",
        does: "A keeps SYNs. V's child waits in A's queue, W's request is A's; A is closed; W sends \
               its ACK. Eight others come to B, which keeps SYNs too; B accepts all ten.",
        must: "Each has its own SYN: none was freed with the request that it came with.",
        source: "tcp_v4_syn_recv_sock(), tcp_v6_syn_recv_sock(): tcp_move_syn() before the request \
                 changes listeners",
        settings: Settings::FamiliesOn,
        run: saved_syns,
        expect: |_| {
            Expectation::new()
                .fact("whose SYN V's child has", "its SYN")
                .fact("whose SYN W's child has", "its SYN")
                .fact("others with their own SYNs", OTHERS as i64)
        },
        ..Case::DEFAULT
    },
    Case {
        name: "timer/deferring-both",
        does: "A and B defer accepting. W's bare ACK is dropped by A; A is closed; the timer fires; W \
               sends data.",
        must: "The copy knows of the ACK: it moves in silence, without another SYN+ACK, and the \
               data completes the handshake on B.",
        source: "syn_ack_recalc(): inet_rsk(req)->acked and the heir's rskq_defer_accept",
        settings: Settings::FamiliesOn,
        waits_for: FIRST,
        run: deferring_both,
        expect: |_| {
            Expectation::new()
                .fact("timer", "TCPTimeouts 1, TCPSynRetrans 0, RetransSegs 0")
                .fact("answer to data", "S > W  . 1:1(0) ack 12")
                .fact("accept(B)", "W's connection")
                .counters(&[("TCPMigrateReqSuccess", 1), ("PassiveOpens", 1)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "handshake/syn-again-looks",
        does: "A's SYN+ACKs have a type of service, a time to live and a maximum segment size of \
               their own, B's have others. A is closed with W's request; W sends its SYN again.",
        must: "The first SYN+ACK looks like A's, the second like B's.",
        source: "N-05; tcp_check_req(): tcp_rtx_synack(sk, req) with the heir",
        settings: Settings::FamiliesOn,
        run: syn_again_looks,
        expect: |_| {
            Expectation::new()
                .fact("SYN+ACKs' looks", "tos 0x10 ttl 33 mss 1000; tos 0x20 ttl 44 mss 700")
        },
        ..Case::DEFAULT
    },
    Case {
        name: "timer/many-requests",
        does: "A, with a backlog of 32, has twelve requests, B a backlog of 4. A is closed; the \
               timers fire. Another client comes. The timers fire twice more.",
        must: "All twelve move, though B's backlog is exceeded, and the other client is turned \
               away. At their third expiry a queue that is more than half full lets go of old \
               requests: eight are dropped, the last four stay.",
        source: "T-06; reqsk_timer_handler(): qlen, young and sk_max_ack_backlog of the heir",
        settings: Settings::FamiliesOn,
        waits_for: THIRD,
        run: |lab, _| many_requests(lab, false),
        expect: |_| many_requests_must(),
        ..Case::DEFAULT
    },
    Case {
        name: "timer/many-old-requests",
        does: "As timer/many-requests, but A is closed when the timers have fired once.",
        must: "As there: a request that has waited through a timer is not young, and counts as old \
               with B too.",
        source: "T-06; reqsk_queue_migrated(): young; reqsk_timer_handler()",
        settings: Settings::FamiliesOn,
        waits_for: THIRD,
        run: |lab, _| many_requests(lab, true),
        expect: |_| many_requests_must(),
        ..Case::DEFAULT
    },
    Case {
        name: "timer/many-older-requests",
        does: "As timer/many-requests, but A is closed when the timers have fired twice; they fire \
               once more.",
        must: "B's backlog counts for them, not A's: four move, and eight, which find B's queue \
               more than half full, are dropped as failed migrations.",
        source: "T-06; reqsk_timer_handler(): sk_max_ack_backlog of the heir",
        settings: Settings::OnceOn(Family::V4),
        waits_for: THIRD,
        run: many_older_requests,
        expect: |_| {
            Expectation::new()
                .fact("requests that moved", KEPT as i64)
                .fact("requests that did not", (MANY - KEPT) as i64)
                .fact("requests left", KEPT as i64)
        },
        ..Case::DEFAULT
    },
    Case {
        name: "timer/many-young-requests",
        does: "A and B have a backlog of 32. A is closed with twelve requests, which move by their \
               timers. Shortly before these fire for the third time, twelve others come to B.",
        must: "All stay: B's queue is more than half full, but half of it is young, so that old \
               requests are good for more than two repetitions.",
        source: "T-06; reqsk_queue_migrated(): young, which the timer lowers then",
        settings: Settings::OnceOn(Family::V4),
        waits_for: THIRD,
        run: many_young_requests,
        expect: |_| {
            Expectation::new()
                .fact("requests that moved", MANY as i64)
                .fact("requests left", 2 * MANY as i64)
        },
        ..Case::DEFAULT
    },
];

/// How many clients come after a migration, to get the memory that was freed by it.
const OTHERS: usize = 8;

fn listen(lab: &mut Lab, setting: Setting, name: &str, mark: usize) -> harness::Result<Listener> {
    let listener = lab.listen_at(name, &Place::usual(setting.family).on_lo())?;
    attribute::named(setting.family, "SO_MARK").set(&listener, mark)?;
    attribute::save_syn(&listener, 1)?;
    Ok(listener)
}

fn belongings(lab: &mut Lab, setting: Setting) -> harness::Result<()> {
    let a = listen(lab, setting, "A", 0)?;
    let mut w = lab.wire_client("W")?;
    lab.wire_syn(&mut w, &Draft::syn())?;
    let b = listen(lab, setting, "B", 1)?;
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
    child.reset_on_close()?;
    let mark = attribute::named(setting.family, "SO_MARK").get(&child)?;
    lab.observe("mark of W's child", mark);
    lab.observe("device of W's child", attribute::device(&child)?);
    lab.observe("whose SYN W's child has", shown(&attribute::saved_syn(&child)?, &w));
    Ok(())
}

fn belongings_refused(lab: &mut Lab, setting: Setting) -> harness::Result<()> {
    lab.sysctl("net.ipv4.tcp_synack_retries", "0")?;
    let a = listen(lab, setting, "A", 0)?;
    let mut w = lab.wire_client("W")?;
    lab.wire_syn(&mut w, &Draft::syn())?;
    let b = listen(lab, setting, "B", 1)?;
    let before = lab.counters()?;
    lab.close(a);
    lab.until_no_request(&w, FIRST)?;
    let failed = lab.counters()?.grown(&before, "TCPMigrateReqFailure").unwrap_or(-1);
    lab.observe("TCPMigrateReqFailure by the timer", failed);
    // Some kernels count wrongly at B then (timer/no-retries), and B would take nobody.
    let c = listen(lab, setting, "C", 1)?;
    lab.close(b);
    let others = others(lab)?;
    observe_others(lab, &c, &others)
}

fn saved_syns(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    attribute::save_syn(&a, 1)?;
    let [mut v, mut w] = [lab.wire_client("V")?, lab.wire_client("W")?];
    lab.wire_syn(&mut v, &Draft::syn())?;
    lab.wire_send(&mut v, &Draft::new(".", 1, 1))?;
    lab.wire_syn(&mut w, &Draft::syn())?;
    let b = lab.listen("B")?;
    attribute::save_syn(&b, 1)?;
    lab.close(a);
    lab.wire_send(&mut w, &Draft::new(".", 1, 1))?;
    let others = others(lab)?;
    for client in [&v, &w] {
        let child = b.accept()?;
        child.reset_on_close()?;
        let syn = attribute::saved_syn(&child)?;
        lab.observe(&format!("whose SYN {}'s child has", client.name()), shown(&syn, client));
    }
    observe_others(lab, &b, &others)
}

/// So many clients come, and end their handshakes when all have begun.
fn others(lab: &mut Lab) -> harness::Result<Vec<WireClient>> {
    let mut others = Vec::new();
    for index in 0..OTHERS {
        let mut other = lab.wire_client(&format!("X{index}"))?;
        lab.wire_syn(&mut other, &Draft::syn())?;
        others.push(other);
    }
    for other in &mut others {
        lab.wire_send(other, &Draft::new(".", 1, 1))?;
    }
    Ok(others)
}

/// How many of them have their own SYNs when `b` accepts them.
fn observe_others(lab: &mut Lab, b: &Listener, others: &[WireClient]) -> harness::Result<()> {
    let mut own = 0;
    for other in others {
        let child = b.accept()?;
        child.reset_on_close()?;
        own += i64::from(shown(&attribute::saved_syn(&child)?, other) == "its SYN");
    }
    lab.observe("others with their own SYNs", own);
    Ok(())
}

fn deferring_both(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    option("A, TCP_DEFER_ACCEPT", a.defer_accept(30))?;
    let mut w = lab.wire_client("W")?;
    lab.wire_syn(&mut w, &Draft::syn())?;
    lab.wire_send(&mut w, &Draft::new(".", 1, 1))?;
    let b = lab.listen("B")?;
    option("B, TCP_DEFER_ACCEPT", b.defer_accept(30))?;
    let before = lab.counters()?;
    lab.close(a);
    wait::until("the timer to move W's request", || {
        let moved = lab.counters()?.grown(&before, "TCPMigrateReqSuccess").unwrap_or(0);
        Ok((moved > 0).then_some(()))
    })?;
    observe_timer(lab, &before)?;
    lab.timer_has_fired(&w);
    let answer = lab.wire_send(&mut w, &Draft::new("P.", 1, 1).payload(b"Hello World"))?;
    lab.observe("answer to data", answer);
    lab.observe_counters(&before)?;
    lab.accept_now(&b)?.map_or(Ok(()), |child| child.reset_on_close())
}

fn syn_again_looks(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    option("A, TOS, TTL, MSS", a.look_like(0x10, 33, 1000))?;
    let mut w = lab.wire_client("W")?;
    lab.wire_syn(&mut w, &Draft::syn())?;
    let b = lab.listen("B")?;
    option("B, TOS, TTL, MSS", b.look_like(0x20, 44, 700))?;
    lab.close(a);
    lab.wire_send(&mut w, &Draft::syn())?;
    lab.observe_syn_ack_looks(&w);
    // The request is still A's; it ends with a child.
    lab.wire_send(&mut w, &Draft::new(".", 1, 1))?;
    b.accept()?.reset_on_close()
}

/// How many requests A has: half of B's backlog are less than a third of them.
const MANY: usize = 12;
/// How many B keeps when it has to choose: not more than half of the least that it takes
/// for a long queue, which is 8.
const KEPT: usize = 4;

/// So many clients send a SYN and nothing else.
fn many_clients(lab: &mut Lab, name: &str) -> harness::Result<Vec<WireClient>> {
    let mut clients = Vec::new();
    for index in 0..MANY {
        let mut client = lab.wire_client(&format!("{name}{index}"))?;
        lab.wire_syn(&mut client, &Draft::syn())?;
        clients.push(client);
    }
    Ok(clients)
}

/// The clients give up. A listener is freed when its requests are.
fn give_up(lab: &mut Lab, clients: &mut [WireClient]) -> harness::Result<()> {
    for client in clients {
        lab.timer_has_fired(client);
        lab.wire_send(client, &Draft::new("R", 1, 0))?;
    }
    Ok(())
}

fn many_older_requests(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let mut clients = many_clients(lab, "W")?;
    let b = lab.listen_with_backlog("B", KEPT as i32)?;
    lab.until_all_syn_acks(&clients, 2, FIRST)?;
    for client in &clients {
        lab.timer_has_fired(client);
    }
    let last = MANY - 1;
    lab.until_syn_acks(&clients[last], 3, FIRST * 2)?;
    let before = lab.counters()?;
    lab.close(a);
    let mut came = (0, 0);
    wait::until("the timers to fire for the third time", || {
        let now = lab.counters()?;
        let grown = |name| now.grown(&before, name).unwrap_or(-1);
        came = (grown("TCPMigrateReqSuccess"), grown("TCPMigrateReqFailure"));
        Ok((came.0 + came.1 >= MANY as i64).then_some(()))
    })?;
    lab.observe("requests that moved", came.0);
    lab.observe("requests that did not", came.1);
    lab.settle()?;
    lab.observe("requests left", lab.requests()?);
    give_up(lab, &mut clients)?;
    drop(b);
    Ok(())
}

/// From the second expiry to a moment before the third, after which no young request's
/// timer fires before the third ones have.
const BEFORE_THE_THIRD: Duration = Duration::from_millis(3500);

fn many_young_requests(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let mut clients = many_clients(lab, "W")?;
    let b = lab.listen("B")?;
    let before = lab.counters()?;
    lab.close(a);
    let last = MANY - 1;
    lab.until_syn_acks(&clients[last], 2, FIRST)?;
    let moved = lab.counters()?.grown(&before, "TCPMigrateReqSuccess").unwrap_or(-1);
    lab.observe("requests that moved", moved);
    lab.timer_has_fired(&clients[last]);
    lab.until_syn_acks(&clients[last], 3, FIRST * 2)?;
    let timeouts = lab.counters()?;
    lab.pass(BEFORE_THE_THIRD);
    clients.extend(many_clients(lab, "X")?);
    wait::until("the timers to fire for the third time", || {
        let fired = lab.counters()?.grown(&timeouts, "TCPTimeouts").unwrap_or(0);
        Ok((fired >= MANY as i64).then_some(()))
    })?;
    lab.observe("requests left", lab.requests()?);
    give_up(lab, &mut clients)?;
    drop(b);
    Ok(())
}

fn many_requests(lab: &mut Lab, close_late: bool) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let mut clients = many_clients(lab, "W")?;
    let b = lab.listen_with_backlog("B", KEPT as i32)?;
    let last = MANY - 1;
    if close_late {
        lab.until_syn_acks(&clients[last], 2, FIRST)?;
    }
    let before = lab.counters()?;
    lab.close(a);
    let (next, long) = if close_late { (3, FIRST * 2) } else { (2, FIRST) };
    lab.until_syn_acks(&clients[last], next, long)?;
    let now = lab.counters()?;
    lab.observe("requests that moved", now.grown(&before, "TCPMigrateReqSuccess").unwrap_or(-1));
    let mut other = lab.wire_client("X")?;
    let answer = lab.wire_send(&mut other, &Draft::syn())?;
    lab.observe("answer to another SYN", answer);
    let dropped = lab.counters()?.grown(&now, "TCPReqQFullDrop").unwrap_or(-1);
    lab.observe("TCPReqQFullDrop", dropped);
    // Which of them stay is for the order of the timers to say.
    let syn_acks =
        |lab: &mut Lab| lab.trace().segments().filter(|s| s.flags.syn() && s.flags.ack()).count();
    let enough = 3 * MANY + KEPT;
    wait::until("the fourth SYN+ACKs", || Ok((syn_acks(lab) >= enough).then_some(())))?;
    lab.settle()?;
    let sent = syn_acks(lab);
    lab.observe("SYN+ACKs in all", sent);
    lab.observe("requests left", lab.requests()?);
    give_up(lab, &mut clients)?;
    drop(b);
    Ok(())
}

fn many_requests_must() -> Expectation {
    Expectation::new()
        .fact("requests that moved", MANY as i64)
        .fact("answer to another SYN", NOTHING)
        .fact("TCPReqQFullDrop", 1)
        .fact("SYN+ACKs in all", (3 * MANY + KEPT) as i64)
        .fact("requests left", KEPT as i64)
}
