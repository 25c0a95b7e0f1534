//! A server that sleeps until its listener has a child must be woken for one that
//! migrates there.

use std::net::Shutdown;
use std::time::Duration;

use harness::lab::Lab;
use harness::lab::blocked_thread::{BlockedThread, Way};
use harness::socket::{Listener, NO_WAKE_UP_MS, Stream};

use crate::case::{Case, Setting, Settings};
use crate::judge::expectation::{AnyWire, Expectation, WireRule};
use crate::prefix::{CaseFile, Prefix};
use crate::steps::queued_child::hello;
use crate::steps::sleeping_thread::asleep_or_woken;

pub(super) const PREFIX: Prefix = Prefix {
    id: "wake-up",
    about: "a thread that sleeps in epoll, poll or accept is woken for a child that migrates \
            to its listener",
    files: &[CaseFile { module: module_path!(), cases: CASES }],
};

const MUST: &str = "The child that migrates to B wakes the call, which has no timeout; it is C's \
                    child, with its data.";

const SOURCE: &str = "inet_csk_listen_stop() calls sk_data_ready(): 3864c6ba1e04 (CVE-2026-46015)";

const CASES: &[Case] = &[
    Case {
        name: "wake-up/epoll",
        does: "As quiz 1 with migration on, while a thread sleeps in epoll_wait on B.",
        must: MUST,
        source: SOURCE,
        settings: Settings::FamiliesOn,
        wire: WireRule::Any(AnyWire::SocketsMatter),
        run: |lab, _| wake_up(lab, Way::Epoll, close),
        expect: |_| wake_up_must(),
        ..Case::DEFAULT
    },
    Case {
        name: "wake-up/epoll-edge",
        does: "As quiz 1 with migration on, while a thread sleeps in edge-triggered epoll_wait \
               on B.",
        must: MUST,
        source: SOURCE,
        settings: Settings::FamiliesOn,
        wire: WireRule::Any(AnyWire::SocketsMatter),
        run: |lab, _| wake_up(lab, Way::EpollEdge, close),
        expect: |_| wake_up_must(),
        ..Case::DEFAULT
    },
    Case {
        name: "wake-up/poll",
        does: "As quiz 1 with migration on, while a thread sleeps in poll on B.",
        must: MUST,
        source: SOURCE,
        settings: Settings::FamiliesOn,
        wire: WireRule::Any(AnyWire::SocketsMatter),
        run: |lab, _| wake_up(lab, Way::Poll, close),
        expect: |_| wake_up_must(),
        ..Case::DEFAULT
    },
    Case {
        name: "wake-up/accept",
        does: "As quiz 1 with migration on, while a thread sleeps in accept on B.",
        must: MUST,
        source: SOURCE,
        settings: Settings::FamiliesOn,
        wire: WireRule::Any(AnyWire::SocketsMatter),
        run: |lab, _| wake_up(lab, Way::Accept, close),
        expect: |_| wake_up_must(),
        ..Case::DEFAULT
    },
    Case {
        name: "wake-up/shutdown",
        does: "As quiz 1 with migration on, while a thread sleeps in accept on B; A is shut down \
               instead of closed.",
        must: MUST,
        source: SOURCE,
        settings: Settings::FamiliesOn,
        wire: WireRule::Any(AnyWire::SocketsMatter),
        run: |lab, _| wake_up(lab, Way::Accept, shut_down),
        expect: |_| wake_up_must(),
        ..Case::DEFAULT
    },
    Case {
        name: "wake-up/edge-behind-another",
        does: "D's child waits in B's queue, and an edge-triggered epoll_wait on B has reported \
               it; a thread sleeps in the next epoll_wait. A is closed with C's child in its \
               queue.",
        must: "Each child is an edge of its own: the thread is woken though the queue was not \
               empty.",
        source: SOURCE,
        settings: Settings::FamiliesOn,
        wire: WireRule::Any(AnyWire::SocketsMatter),
        run: behind_another,
        expect: |_| {
            Expectation::new()
                .fact("the waiter before", "asleep")
                .fact("the waiter", "woken")
                .fact("B accepts", "D, C")
                .counters(&[("TCPMigrateReqSuccess", 1)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "wake-up/two-sleepers",
        does: "Two threads sleep in accept on B. A is closed with C's child and D's.",
        must: "Each child wakes one of them.",
        source: SOURCE,
        settings: Settings::FamiliesOn,
        wire: WireRule::Any(AnyWire::SocketsMatter),
        run: two_sleepers,
        expect: |_| {
            Expectation::new()
                .fact("the waiter before", "asleep")
                .fact("the waiter", "woken")
                .fact("they accept", "C, D")
                .counters(&[("TCPMigrateReqSuccess", 2)])
        },
        ..Case::DEFAULT
    },
];

fn close(lab: &mut Lab, a: Listener) -> harness::Result<Option<Listener>> {
    lab.close(a);
    Ok(None)
}

fn shut_down(lab: &mut Lab, a: Listener) -> harness::Result<Option<Listener>> {
    lab.shut_down(&a, Shutdown::Both)?;
    Ok(Some(a))
}

fn wake_up(
    lab: &mut Lab,
    way: Way,
    end: fn(&mut Lab, Listener) -> harness::Result<Option<Listener>>,
) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let _client = hello(lab, "C")?;
    let b = lab.listen("B")?;
    let thread = BlockedThread::start(&b, way)?;
    lab.observe("the waiter before", asleep_or_woken(&thread, Duration::ZERO)?);

    let before = lab.counters()?;
    let _a = end(lab, a)?;

    // Nothing touches B before the waiter has had its chance.
    let found = asleep_or_woken(&thread, Duration::from_millis(NO_WAKE_UP_MS.into()))?;
    lab.observe("the waiter", found);
    let mut thread = Some(thread);
    let accepted = match found {
        "woken" => thread.take().map_or(Ok(None), BlockedThread::end)?,
        _ => None,
    };
    let child = match accepted {
        None => b.accept_now()?,
        child => child,
    };
    let whose = child.as_ref().map_or("nobody's".into(), |child| lab.trace().name_of(child.peer));
    lab.observe("whose child", whose);
    if let Some(child) = &child {
        lab.observe("recv(B's child)", child.receive_now()?.to_string());
    }
    lab.observe_counters(&before)?;
    // A waiter that sleeps on wakes up for a new connection.
    let _fresh = lab.connect("fresh")?;
    thread.map_or(Ok(None), BlockedThread::end).map(drop)
}

fn wake_up_must() -> Expectation {
    Expectation::new()
        .fact("the waiter before", "asleep")
        .fact("the waiter", "woken")
        .fact("whose child", "C")
        .fact("recv(B's child)", "`Hello World`")
        .counters(&[("TCPMigrateReqSuccess", 1)])
}

fn behind_another(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let _c = hello(lab, "C")?;
    let b = lab.listen("B")?;
    lab.select_index(&b, 1)?;
    let _d = hello(lab, "D")?;
    lab.settle()?;
    let thread = BlockedThread::start(&b, Way::EpollEdge)?;
    lab.observe("the waiter before", asleep_or_woken(&thread, Duration::ZERO)?);
    let before = lab.counters()?;
    lab.close(a);
    let found = asleep_or_woken(&thread, Duration::from_millis(NO_WAKE_UP_MS.into()))?;
    lab.observe("the waiter", found);
    lab.observe_counters(&before)?;
    let mut accepted = Vec::new();
    while let Some(child) = b.accept_now()? {
        accepted.push(lab.trace().name_of(child.peer));
    }
    lab.observe("B accepts", accepted.join(", "));
    // A waiter that sleeps on wakes up for a new connection.
    let _fresh = lab.connect("fresh")?;
    thread.end().map(drop)
}

fn two_sleepers(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let _clients = [hello(lab, "C")?, hello(lab, "D")?];
    let b = lab.listen("B")?;
    let sleepers = [BlockedThread::start(&b, Way::Accept)?, BlockedThread::start(&b, Way::Accept)?];
    let state = |within| -> harness::Result<&str> {
        let [first, second] = &sleepers;
        let states = [asleep_or_woken(first, within)?, asleep_or_woken(second, within)?];
        Ok(if states[0] == states[1] { states[0] } else { "one is woken, one asleep" })
    };
    lab.observe("the waiter before", state(Duration::ZERO)?);
    let before = lab.counters()?;
    lab.close(a);
    let found = state(Duration::from_millis(NO_WAKE_UP_MS.into()))?;
    lab.observe("the waiter", found);
    lab.observe_counters(&before)?;
    // Each new connection wakes one that sleeps on.
    let mut fresh = Vec::new();
    for index in 0..if found == "woken" { 0 } else { sleepers.len() } {
        fresh.push(lab.connect(&format!("fresh {index}"))?);
    }
    let mut accepted = Vec::new();
    for sleeper in sleepers {
        let child = sleeper.end()?;
        accepted.extend(child.map(|child| lab.trace().name_of(child.peer)));
    }
    accepted.sort();
    lab.observe("they accept", accepted.join(", "));
    Ok(())
}
