//! Memory that the kernel does not get just when something is to move: it is as without a target,
//! and nothing is kept.

use std::io;
use std::net::Shutdown;
use std::ops::Range;

use harness::Family;
use harness::bpf::{Attach, PASS, Program};
use harness::lab::{HELD, Lab, outcome};
use harness::socket::bind_spec::BindSpec;
use harness::socket::wire_client::WireClient;
use harness::socket::{BACKLOG, Listener, Stream};

use crate::case::{Case, Need, Setting, Settings};
use crate::judge::expectation::{AnyWire, Expectation, WireRule};
use crate::steps::other_ports::bound_at;
use crate::steps::queued_child::hello;
use crate::steps::request::{
    RESET, SYN_ACK, closed, data, observe_child, observe_fresh_syn, requested,
};
use crate::steps::syn_ack_timer::FIRST;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "accounting/refused/child",
        does: "C's child waits in A's queue; B listens; A is closed while there is no memory for \
               requests.",
        must: "The child's request cannot be cloned: the child is reset as without a target, a \
               failed migration is counted, and B has nothing to accept.",
        source: "inet_reqsk_clone(), inet_csk_listen_stop()",
        settings: Settings::OnceOn(Family::V4),
        needs: &[Need::OwnMachine, Need::RefusedMemory],
        wire: WireRule::Any(AnyWire::SocketsMatter),
        run: child,
        expect: |_| {
            nothing_at_b().fact("recv(C)", "ECONNRESET").counters(&[
                ("TCPMigrateReqFailure", 1),
                ("EstabResets", 2),
                ("OutRsts", 1),
            ])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "accounting/refused/final-ack",
        does: "A has W's request; B listens; A is closed. W sends data while there is no memory for \
               requests.",
        must: "The request cannot be cloned when its child is made: the child is reset, a failed \
               migration is counted, and B has nothing to accept.",
        source: "inet_reqsk_clone(), inet_csk_complete_hashdance()",
        settings: Settings::OnceOn(Family::V4),
        needs: &[Need::OwnMachine, Need::RefusedMemory],
        wire: WireRule::Any(AnyWire::SocketsMatter),
        run: final_ack,
        expect: |_| {
            nothing_at_b().fact("answer to data", "S > W  R. 1:1(0) ack 1").counters(&[
                ("TCPMigrateReqFailure", 1),
                ("PassiveOpens", 1),
                ("OutRsts", 1),
            ])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "accounting/refused/timer",
        does: "A has W's request; B listens; A is closed. The SYN+ACK timer fires while there is no \
               memory for requests; W sends data.",
        must: "The request cannot be cloned: it is dropped in silence, a failed migration is \
               counted, and the data is answered by an RST.",
        source: "inet_reqsk_clone(), reqsk_timer_handler()",
        settings: Settings::OnceOn(Family::V4),
        needs: &[Need::OwnMachine, Need::RefusedMemory],
        waits_for: FIRST,
        wire: WireRule::Any(AnyWire::TimersFire),
        run: timer,
        expect: |_| {
            nothing_at_b()
                .fact("answer to data", RESET)
                .counters(&[("TCPMigrateReqFailure", 1), ("OutRsts", 1)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "accounting/refused/syn-ack",
        does: "A has W's request. The SYN+ACK timer fires while there is no memory for packets; W sends \
               data.",
        must: "The SYN+ACK cannot be sent: the request is dropped, and the data is answered by an RST.",
        source: "reqsk_timer_handler(): inet_rtx_syn_ack()",
        settings: Settings::OnceOn(Family::V4),
        needs: &[Need::OwnMachine, Need::RefusedMemory],
        waits_for: FIRST,
        wire: WireRule::Any(AnyWire::TimersFire),
        run: |lab, _| {
            let (a, w) = requested(lab)?;
            syn_ack(lab, w, &a)
        },
        expect: |_| {
            Expectation::new()
                .fact("answer to data", RESET)
                .fact("accept(A)", "EAGAIN")
                .counters(&[("OutRsts", 1)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "accounting/refused/moving-syn-ack",
        does: "As accounting/refused/syn-ack, but B listens and A is closed before.",
        must: "As accounting/refused/syn-ack: the clone is dropped with the request, and a failed \
               migration is counted.",
        source: "reqsk_timer_handler(): inet_rtx_syn_ack(), TCPMigrateReqFailure",
        settings: Settings::OnceOn(Family::V4),
        needs: &[Need::OwnMachine, Need::RefusedMemory],
        waits_for: FIRST,
        wire: WireRule::Any(AnyWire::TimersFire),
        run: |lab, _| {
            let (w, b) = closed(lab)?;
            syn_ack(lab, w, &b)
        },
        expect: |_| {
            Expectation::new()
                .fact("answer to data", RESET)
                .fact("accept(B)", "EAGAIN")
                .counters(&[("TCPMigrateReqFailure", 1), ("OutRsts", 1)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "accounting/refused/group",
        does: "A begins to listen while there is no memory for groups, and tries again when there \
               is. B listens, both are shut down, and A tries both once more.",
        must: "ENOMEM each time that a group is to be started, and nothing has changed: later A \
               listens, and serves a client.",
        source: "reuseport_alloc(), reuseport_resurrect()",
        settings: Settings::OnceOn(Family::V4),
        needs: &[Need::OwnMachine, Need::RefusedMemory],
        wire: WireRule::Any(AnyWire::SocketsMatter),
        run: group,
        expect: |_| {
            Expectation::new()
                .fact("listen(A) without memory", "ENOMEM")
                .fact("listen(A) with memory", "ok")
                .fact("listen(A) again without memory", "ENOMEM")
                .fact("listen(A) again with memory", "ok")
                .fact("served by", "A")
        },
        ..Case::DEFAULT
    },
    Case {
        name: "accounting/refused/id",
        does: "A listens, and is shut down. Others listen at ports of their own, each when there is no \
               memory for more ids of groups, until one cannot. It tries 300 times more, and so does \
               A; then both listen with memory.",
        must: "ENOMEM each time, and nothing is kept of a group without an id; later both listen, and \
               A serves a client.",
        source: "reuseport_alloc(), reuseport_resurrect(): ida_alloc()",
        settings: Settings::OnceOn(Family::V4),
        needs: &[Need::OwnMachine, Need::RefusedMemory],
        wire: WireRule::Any(AnyWire::NotCaptured),
        run: id,
        expect: |_| {
            Expectation::new()
                .fact("listen() without memory", "ENOMEM")
                .fact("tries of it that were refused", 300)
                .fact("tries of A that were refused", 300)
                .fact(HELD, "none")
                .fact("listen() with memory", "ok")
                .fact("listen(A) with memory", "ok")
                .fact("served by", "A")
        },
        ..Case::DEFAULT
    },
    Case {
        name: "accounting/refused/packet",
        does: "A has a program that passes; C's child waits in A's queue; B listens; A is closed while \
               there is no memory for packets.",
        must: "There is no empty packet to show the program: a failed migration is counted, and B has \
               nothing to accept. The RST is counted and cannot be sent either: C learns of it when it \
               sends something.",
        source: "reuseport_migrate_sock(): alloc_skb(); tcp_send_active_reset()",
        settings: Settings::OnceOn(Family::V4),
        needs: &[Need::OwnMachine, Need::RefusedMemory, Need::Programs],
        wire: WireRule::Any(AnyWire::SocketsMatter),
        run: packet,
        expect: |_| {
            Expectation::new()
                .fact("recv(C)", "EAGAIN")
                .fact("recv(C) when it has sent", "ECONNRESET")
                .fact("recv(B's child)", "no child")
                .fact("accept(B)", "EAGAIN")
                .counters(&[("TCPMigrateReqFailure", 1), ("EstabResets", 1), ("OutRsts", 1)])
        },
        ..Case::DEFAULT
    },
];

/// B has nothing to accept, and the room of a fresh listener.
fn nothing_at_b() -> Expectation {
    Expectation::new()
        .fact("recv(B's child)", "no child")
        .fact("accept(B)", "EAGAIN")
        .fact("answer to a fresh SYN", SYN_ACK)
        .fact("fresh SYNs dropped for a full queue", 0)
        .fact("handshakes that B has room for", "as many as a fresh listener")
}

/// The cache of requests over IPv4.
const REQUESTS: &str = "request_sock_TCP";

/// The cache that the bits for ids of groups come from, when there are more than a word has.
const IDS: &str = "kmalloc-128";

/// The cache of packets.
const PACKETS: &str = "skbuff_head_cache";

/// The cache that a group of up to 128 members comes from: 8 bytes for each, and some more.
const GROUPS: &str = "kmalloc-2k";

fn child(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let client = hello(lab, "C")?;
    let b = lab.listen_with_backlog("B", 8)?;
    let before = lab.counters()?;
    lab.without_memory(REQUESTS, |lab| {
        lab.close(a);
        Ok(())
    })?;
    lab.observe("recv(C)", client.receive()?.to_string());
    lab.observe_counters(&before)?;
    observe_nothing_at_b(lab, b)
}

fn final_ack(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let (mut w, b) = closed(lab)?;
    let before = lab.counters()?;
    let answer = lab.without_memory(REQUESTS, |lab| lab.wire_send(&mut w, &data()))?;
    lab.observe("answer to data", answer);
    lab.observe_counters(&before)?;
    observe_nothing_at_b(lab, b)
}

fn timer(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let (mut w, b) = closed(lab)?;
    let before = lab.counters()?;
    lab.without_memory(REQUESTS, |lab| lab.until_no_request(&w, FIRST))?;
    let answer = lab.wire_send(&mut w, &data())?;
    lab.observe("answer to data", answer);
    lab.observe_counters(&before)?;
    observe_nothing_at_b(lab, b)
}

fn syn_ack(lab: &mut Lab, mut w: WireClient, listener: &Listener) -> harness::Result<()> {
    let before = lab.counters()?;
    lab.without_memory(PACKETS, |lab| lab.until_no_request(&w, FIRST))?;
    let answer = lab.wire_send(&mut w, &data())?;
    lab.observe("answer to data", answer);
    lab.observe_counters(&before)?;
    lab.accept_now(listener).map(drop)
}

/// Observes what [`nothing_at_b`] expects.
fn observe_nothing_at_b(lab: &mut Lab, b: Listener) -> harness::Result<()> {
    observe_child(lab, &b)?;
    observe_fresh_syn(lab)?;
    lab.observe_room(b)
}

fn group(lab: &mut Lab, setting: Setting) -> harness::Result<()> {
    let a = lab.bind_at("A", &BindSpec::usual(setting.family))?;
    listen_twice(lab, &a, "listen(A)")?;
    let b = lab.listen("B")?;
    for listener in [&a, &b] {
        lab.shut_down(listener, Shutdown::Both)?;
    }
    listen_twice(lab, &a, "listen(A) again")?;
    let served = lab.who_takes(&[&a], 0)?;
    lab.observe("served by", served);
    Ok(())
}

fn id(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    lab.shut_down(&a, Shutdown::Both)?;
    let (others, came) = others_until_refused(lab)?;
    lab.observe("listen() without memory", outcome(came));
    let Some(last) = others.last() else { return Ok(()) };
    let held = lab.held()?;
    for (listener, fact) in
        [(last, "tries of it that were refused"), (&a, "tries of A that were refused")]
    {
        let tries =
            |_: &mut Lab| Ok((0..TRIES).filter(|_| listener.listen(BACKLOG).is_err()).count());
        let refused = lab.without_memory(IDS, |lab| lab.unseen("300 tries", tries))?;
        lab.observe(fact, refused);
    }
    lab.observe_held(&held, TRIES)?;
    lab.observe("listen() with memory", outcome(last.listen(BACKLOG)));
    lab.observe("listen(A) with memory", outcome(a.listen(BACKLOG)));
    let served = lab.who_takes(&[&a], 0)?;
    lab.observe("served by", served);
    Ok(())
}

/// Listeners at ports of their own, each of which has listened without memory for ids, and what came
/// of the last one.
fn others_until_refused(lab: &mut Lab) -> harness::Result<(Vec<Listener>, io::Result<()>)> {
    let mut others = Vec::new();
    for port in OTHER_PORTS {
        let other = bound_at(lab, "another", port)?;
        let came = lab.without_memory(IDS, |_| Ok(other.listen(BACKLOG)))?;
        others.push(other);
        if came.is_err() {
            return Ok((others, came));
        }
    }
    Ok((others, Ok(())))
}

fn packet(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    lab.attach(&a, &Program::load(Attach::SelectOrMigrate, &[PASS])?)?;
    let client = hello(lab, "C")?;
    let b = lab.listen("B")?;
    let before = lab.counters()?;
    lab.without_memory(PACKETS, |lab| {
        lab.close(a);
        Ok(())
    })?;
    lab.observe("recv(C)", client.receive_now()?.to_string());
    lab.observe_counters(&before)?;
    observe_child(lab, &b)?;
    client.send(b"?")?;
    lab.settle()?;
    lab.observe("recv(C) when it has sent", client.receive_now()?.to_string());
    Ok(())
}

const TRIES: usize = 300;

/// As many groups as a machine word has bits: the ids of so many are kept without memory.
const OTHER_PORTS: Range<u16> = 10_000..10_064;

/// Without memory, and with it.
fn listen_twice(lab: &mut Lab, listener: &Listener, call: &str) -> harness::Result<()> {
    let came = lab.without_memory(GROUPS, |_| Ok(listener.listen(BACKLOG)))?;
    lab.observe(&format!("{call} without memory"), outcome(came));
    lab.observe(&format!("{call} with memory"), outcome(listener.listen(BACKLOG)));
    Ok(())
}
