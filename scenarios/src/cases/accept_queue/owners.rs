//! Listeners whose owner is killed, or sleeps in a call on them; and targets that are full.

use std::net::Shutdown;
use std::time::Duration;

use harness::lab::blocked_thread::{BlockedThread, Way};
use harness::lab::{Lab, outcome};
use harness::socket::bind_spec::BindSpec;
use harness::socket::wire_client::{Draft, WireClient};
use harness::socket::{BACKLOG, Listener, Stream};
use harness::wait;

use crate::case::{Case, Migration, Setting, Settings};
use crate::judge::expectation::{AnyWire, Expectation, WireRule};
use crate::steps::queued_child::{SERVED, ended_by, ended_by_must, hello};
use crate::steps::sleeping_thread::{asleep_or_woken, ended_under, ended_under_must};
use crate::steps::wires;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "accept-queue/owner-killed",
        does: "As quiz 1, but a second process has A open too: A is closed here, and then that \
               process is killed.",
        must: "As quiz 1, but only when the last process that has A open dies.",
        source: "do_exit() closes files, inet_release() at the last reference",
        settings: Settings::FamiliesOffAndOn,
        run: owner_killed,
        expect: |setting| {
            ended_by_must(KILLED, setting).fact("A's child before the kill", "1 waiting")
        },
        ..Case::DEFAULT
    },
    Case {
        name: "accept-queue/owner-of-four-killed",
        does: "24 children wait in the queues of four listeners, which only one process has open; \
               B listens here; that process is killed.",
        must: "Off: 24 resets. On: all children reach B; those that moved to a listener that was \
               then closed as well moved on, and each hop is counted.",
        source: "do_exit() closes one file after the other; LINUX_MIB_TCPMIGRATEREQSUCCESS counts \
                 hops",
        settings: Settings::FamiliesOffAndOn,
        wire: WireRule::Any(AnyWire::SocketsMatter),
        run: owner_of_four_killed,
        expect: |setting| match setting.migration {
            Migration::Off => Expectation::new()
                .fact("children that reached B", 0)
                .fact("clients that were reset", 24)
                .fact("TCPMigrateReqFailure", 0)
                .fact("hops", 0),
            Migration::On => Expectation::new()
                .fact("children that reached B", 24)
                .fact("clients that were reset", 0)
                .fact("TCPMigrateReqFailure", 0)
                .between("hops", (24, 4 * 24)),
        },
        ..Case::DEFAULT
    },
    Case {
        name: "accept-queue/over-full",
        does: "Three children migrate to B, whose backlog is 1. W sends a SYN; one child is \
               accepted, and W tries again; another one is, and W tries once more.",
        must: "B drops SYNs, and counts each, until the number of waiting children is no more than \
               its backlog.",
        source: "sk_acceptq_is_full() in tcp_conn_request()",
        settings: Settings::FamiliesOn,
        wire: WireRule::Shows(&[
            wires::C_CONNECTS_AND_SENDS,
            (
                "D",
                "
                D > S  S 0:0(0)
                S > D  S. 0:0(0) ack 1
                D > S  . 1:1(0) ack 1
                D > S  P. 1:12(11) ack 1
                S > D  . 1:1(0) ack 12
                S > D  R. 1:1(0) ack 12
                ...
            ",
            ),
            (
                "E",
                "
                E > S  S 0:0(0)
                S > E  S. 0:0(0) ack 1
                E > S  . 1:1(0) ack 1
                E > S  P. 1:12(11) ack 1
                S > E  . 1:1(0) ack 12
                S > E  R. 1:1(0) ack 12
                ...
            ",
            ),
        ]),
        run: over_full,
        expect: |_| {
            Expectation::new()
                .fact("answer to a SYN, 3 of 1", "nothing")
                .fact("answer to a SYN, 2 of 1", "nothing")
                .fact("answer to a SYN, 1 of 1", "S > W  S. 0:0(0) ack 1")
                .counters(&[
                    ("TCPMigrateReqSuccess", 3),
                    ("ListenOverflows", 2),
                    ("ListenDrops", 2),
                ])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "accept-queue/without-option",
        does: "A listener without SO_REUSEPORT has C's child in its queue, and W's request; it is \
               closed; W sends its ACK.",
        must: "One reset each, and no failed migration is counted: A was never in a group.",
        source: "reuseport_migrate_sock(): no sk_reuseport_cb, no count",
        settings: Settings::FamiliesOn,
        run: without_option,
        expect: |_| {
            Expectation::new()
                .fact("bind and listen without the option", "ok")
                .fact("recv(C)", "ECONNRESET")
                .fact("answer to W's ACK", "S > W  R 1:1(0)")
                .fact("sockets then", "none")
                .counters(&[("OutRsts", 2), ("EstabResets", 2)])
                .wire("C", &format!("{SERVED}-- close(A) --\nS > C  R. 1:1(0) ack 12"))
        },
        ..Case::DEFAULT
    },
    Case {
        name: "accept-queue/closed-under-accept",
        does: "A thread sleeps in accept on A, and A's only descriptor is closed; B listens; C \
               connects while a program chooses the group's first member.",
        must: "The call keeps A open: A gets C's connection, and the call returns it. Then A is \
               gone, and B is the first member.",
        source: "the call holds the file: fdget() in __sys_accept4()",
        settings: Settings::FamiliesOffAndOn,
        wire: WireRule::Shows(&[wires::C_CLOSES_FIRST]),
        run: closed_under_accept,
        expect: |_| {
            Expectation::new()
                .fact("sockets after the close", "a listener, a listener")
                .fact("the waiter after the close", "asleep")
                .fact("the call returns", "C's connection")
                .fact("sockets then", "C ESTABLISHED, C's child ESTABLISHED, a listener")
                .fact("B serves a fresh client", "yes")
                // C's, and the fresh client's.
                .counters(&[("PassiveOpens", 2)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "accept-queue/shutdown-under-accept",
        does: "A thread sleeps in accept on A; B listens; A is shut down.",
        must: "The call returns at once, with EINVAL.",
        source: "inet_csk_wait_for_connect(): the state is no longer TCP_LISTEN",
        settings: Settings::FamiliesOffAndOn,
        wire: WireRule::Any(AnyWire::SocketsMatter),
        run: |lab, _| ended_under(lab, Way::Accept, shut_down),
        expect: |_| ended_under_must("EINVAL"),
        ..Case::DEFAULT
    },
    Case {
        name: "accept-queue/shutdown-under-epoll",
        does: "A thread sleeps in epoll_wait on A; B listens; A is shut down.",
        must: "The call returns at once.",
        source: "tcp_set_state(TCP_CLOSE), sk_state_change()",
        settings: Settings::FamiliesOffAndOn,
        wire: WireRule::Any(AnyWire::SocketsMatter),
        run: |lab, _| ended_under(lab, Way::Epoll, shut_down),
        expect: |_| ended_under_must("no child"),
        ..Case::DEFAULT
    },
];

const KILLED: &str = "kill(the other owner of A, SIGKILL)";

fn owner_killed(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    ended_by(lab, |lab, a| {
        let owner = lab.fork_holder("the other owner of A")?;
        // Not the last descriptor of it: nothing happens.
        lab.close(a);
        lab.observe_waiting("A's child before the kill")?;
        owner.kill()
    })
}

fn owner_of_four_killed(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let four = ["A1", "A2", "A3", "A4"]
        .iter()
        .map(|name| lab.listen(name))
        .collect::<Result<Vec<_>, _>>()?;
    let mut clients = Vec::new();
    for _ in 0..24 {
        clients.push(lab.connect("a client")?);
    }
    wait::until("24 children in four accept queues", || {
        let waiting: u32 = four.iter().map(|l| l.queue().map_or(0, |queue| queue.waiting)).sum();
        Ok((waiting >= 24).then_some(()))
    })?;
    let owner = lab.fork_holder("the owner of A1 to A4")?;
    drop(four);
    let b = lab.listen_with_backlog("B", 64)?;
    let before = lab.counters()?;
    owner.kill()?;
    lab.settle()?;
    let mut reached = Vec::new();
    while let Some(child) = b.accept_now()? {
        reached.push(child);
    }
    lab.observe("children that reached B", reached.len());
    let mut reset = 0;
    for client in &clients {
        reset += usize::from(client.receive_now()?.to_string() == "ECONNRESET");
    }
    lab.observe("clients that were reset", reset);
    let now = lab.counters()?;
    lab.observe("hops", now.grown(&before, "TCPMigrateReqSuccess").unwrap_or(0));
    let failed = now.grown(&before, "TCPMigrateReqFailure").unwrap_or(0);
    lab.observe("TCPMigrateReqFailure", failed);
    Ok(())
}

fn over_full(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let _clients = [hello(lab, "C")?, hello(lab, "D")?, hello(lab, "E")?];
    let b = lab.listen_with_backlog("B", 1)?;
    let before = lab.counters()?;
    lab.close(a);
    let mut w = lab.wire_client("W")?;
    let mut accepted = Vec::new();
    for _ in 0..3 {
        let queue = b.queue()?;
        let answer = lab.wire_send(&mut w, &Draft::syn())?;
        lab.observe(&format!("answer to a SYN, {queue}"), answer);
        if queue.waiting > 1 {
            accepted.push(b.accept()?);
        }
    }
    lab.observe_counters(&before)?;
    // Or the request would keep B from being freed until it times out.
    lab.wire_send(&mut w, &Draft::new("R", 1, 0)).map(drop)
}

fn without_option(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.socket("A")?;
    let listening = a.bind().and_then(|()| a.listen(BACKLOG));
    lab.observe("bind and listen without the option", outcome(listening));
    let client = hello(lab, "C")?;
    let mut w: WireClient = lab.wire_client("W")?;
    lab.wire_syn(&mut w, &Draft::syn())?;
    let before = lab.counters()?;
    lab.close(a);
    lab.settle()?;
    lab.observe("recv(C)", client.receive_now()?.to_string());
    let answer = lab.wire_send(&mut w, &Draft::new(".", 1, 1))?;
    lab.observe("answer to W's ACK", answer);
    lab.observe_counters(&before)?;
    lab.observe_sockets("then")
}

fn closed_under_accept(lab: &mut Lab, setting: Setting) -> harness::Result<()> {
    let a = lab.listen_at("A", &BindSpec::usual(setting.family))?;
    let thread = BlockedThread::start_on_the_descriptor(&a)?;
    let b = lab.listen("B")?;
    lab.select_index(&a, 0)?;
    let before = lab.counters()?;
    lab.close(a);
    lab.observe_sockets("after the close")?;
    lab.observe("the waiter after the close", asleep_or_woken(&thread, Duration::ZERO)?);
    let _client = lab.connect("C")?;
    let child = thread.end()?;
    let whose = child.as_ref().map_or("nobody".into(), |child| lab.trace().name_of(child.peer));
    lab.observe("the call returns", format!("{whose}'s connection"));
    lab.observe_sockets("then")?;
    lab.observe_service(&b)?;
    lab.observe_counters(&before)
}

fn shut_down(_: &mut Lab, a: &Listener) -> harness::Result<String> {
    Ok(outcome(a.shutdown(Shutdown::Both)))
}
