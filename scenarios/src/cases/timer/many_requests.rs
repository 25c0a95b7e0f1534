//! Many requests that move at a time, to a listener with a small or a busy queue.

use std::net::Shutdown;
use std::time::Duration;

use harness::lab::Lab;
use harness::socket::BACKLOG;
use harness::socket::wire_client::{Draft, WireClient};
use harness::{Family, wait};

use crate::case::{Case, Setting, Settings};
use crate::judge::expectation::{AnyWire, Expectation, WireRule};
use crate::steps::request::{NOTHING, syn_acks};
use crate::steps::syn_ack_timer::FIRST;

/// When the timer fires for the third time.
const THIRD: Duration = Duration::from_secs(7);

pub(super) const CASES: &[Case] = &[
    Case {
        name: "timer/many-requests",
        does: "A, with a backlog of 32, has twelve requests, B a backlog of 4. A is closed; the \
               timers fire. Another client sends a SYN. The timers fire twice more.",
        must: "All twelve move, though B's backlog is exceeded, and the other client is turned \
               away. At their third expiry a queue that is more than half full drops old requests: \
               eight are dropped, the last four stay.",
        source: "reqsk_timer_handler(): qlen, young and sk_max_ack_backlog of the target",
        settings: Settings::FamiliesOn,
        waits_for: THIRD,
        wire: WireRule::Any(AnyWire::TimersFire),
        run: |lab, _| many_requests(lab, false),
        expect: |_| many_requests_must(),
        ..Case::DEFAULT
    },
    Case {
        name: "timer/many-old-requests",
        does: "As timer/many-requests, but A is closed when the timers have fired once.",
        must: "As timer/many-requests: a request whose timer has fired is not young, and counts as \
               old at B too.",
        source: "reqsk_queue_migrated(): young; reqsk_timer_handler()",
        settings: Settings::FamiliesOn,
        waits_for: THIRD,
        wire: WireRule::Any(AnyWire::TimersFire),
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
        source: "reqsk_timer_handler(): sk_max_ack_backlog of the target",
        settings: Settings::OnceOn(Family::V4),
        waits_for: THIRD,
        wire: WireRule::Any(AnyWire::TimersFire),
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
               timers. Shortly before these fire for the third time, twelve other clients connect \
               to B.",
        must: "All stay: B's queue is more than half full, but half of it is young, so that old \
               requests may be retransmitted more than twice.",
        source: "reqsk_queue_migrated(): young, which the timer lowers then",
        settings: Settings::OnceOn(Family::V4),
        waits_for: THIRD,
        wire: WireRule::Any(AnyWire::TimersFire),
        run: |lab, _| many_young_requests(lab, BACKLOG, MANY),
        expect: |_| many_young_requests_must(MANY),
        ..Case::DEFAULT
    },
    Case {
        name: "timer/few-young-requests",
        does: "As timer/many-young-requests, but B has a backlog of 16, and only three other clients \
               connect.",
        must: "All stay: a fifth of B's queue is young, and an eighth would be enough for old requests \
               to be retransmitted more than twice.",
        source: "reqsk_timer_handler(): young << 1",
        settings: Settings::OnceOn(Family::V4),
        waits_for: THIRD,
        wire: WireRule::Any(AnyWire::TimersFire),
        run: |lab, _| many_young_requests(lab, 16, FEW),
        expect: |_| many_young_requests_must(FEW),
        ..Case::DEFAULT
    },
    Case {
        name: "timer/many-returning-requests",
        does: "A has twelve requests, and is shut down; the timers fire, and all move to B. A listens \
               again, with a backlog of 4; B is closed; the timers fire twice more.",
        must: "What has left A is no longer young there: all move back at their second expiry, and at \
               the third A's queue, which is more than half full, drops eight; the last four stay.",
        source: "reqsk_timer_handler(): reqsk_queue_removed() of the old request",
        settings: Settings::OnceOn(Family::V4),
        waits_for: THIRD,
        wire: WireRule::Any(AnyWire::TimersFire),
        run: many_returning_requests,
        expect: |_| {
            Expectation::new()
                .fact("requests that moved", MANY as i64)
                .fact("requests that moved back", MANY as i64)
                .fact("requests left", KEPT as i64)
        },
        ..Case::DEFAULT
    },
];

/// How many requests A has: half of B's backlog are less than a third of them.
const MANY: usize = 12;

/// More than an eighth of a queue with [`MANY`] others, and less than a quarter.
const FEW: usize = 3;

/// How many B keeps when it has to choose: not more than half of the least that it takes
/// for a long queue, which is 8.
const KEPT: usize = 4;

/// [`MANY`] clients send a SYN and nothing else.
fn many_clients(lab: &mut Lab, name: &str) -> harness::Result<Vec<WireClient>> {
    some_clients(lab, name, MANY)
}

fn some_clients(lab: &mut Lab, name: &str, count: usize) -> harness::Result<Vec<WireClient>> {
    let mut clients = Vec::new();
    for index in 0..count {
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

fn many_young_requests(lab: &mut Lab, backlog: i32, young: usize) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let mut clients = many_clients(lab, "W")?;
    let b = lab.listen_with_backlog("B", backlog)?;
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
    let others = some_clients(lab, "X", young)?;
    clients.extend(others);
    wait::until("the timers to fire for the third time", || {
        let fired = lab.counters()?.grown(&timeouts, "TCPTimeouts").unwrap_or(0);
        Ok((fired >= MANY as i64).then_some(()))
    })?;
    lab.observe("requests left", lab.requests()?);
    give_up(lab, &mut clients)?;
    drop(b);
    Ok(())
}

fn many_young_requests_must(young: usize) -> Expectation {
    Expectation::new()
        .fact("requests that moved", MANY as i64)
        .fact("requests left", (MANY + young) as i64)
}

fn many_returning_requests(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let mut clients = many_clients(lab, "W")?;
    let b = lab.listen("B")?;
    let before = lab.counters()?;
    lab.shut_down(&a, Shutdown::Both)?;
    lab.until_all_syn_acks(&clients, 2, FIRST)?;
    let moved = lab.counters()?;
    lab.observe("requests that moved", moved.grown(&before, "TCPMigrateReqSuccess").unwrap_or(-1));
    lab.start_listening(&a, KEPT as i32)?;
    lab.close(b);
    lab.until_all_syn_acks(&clients, 3, FIRST * 2)?;
    let back = lab.counters()?.grown(&moved, "TCPMigrateReqSuccess").unwrap_or(-1);
    lab.observe("requests that moved back", back);
    wait::until("the timers to fire for the third time", || {
        let fired = lab.counters()?.grown(&before, "TCPTimeouts").unwrap_or(0);
        Ok((fired >= 3 * MANY as i64).then_some(()))
    })?;
    lab.settle()?;
    lab.observe("requests left", lab.requests()?);
    give_up(lab, &mut clients)
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
    let syn_acks = |lab: &mut Lab| syn_acks(lab).count();
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
