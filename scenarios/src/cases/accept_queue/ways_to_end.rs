//! Every way in which a listener with children can end, and where the children go.

use std::net::Shutdown;

use harness::lab::{Lab, outcome};
use harness::socket::bind_spec::BindSpec;
use harness::socket::{Listener, Stream};
use harness::trace::CloseCall;

use crate::case::{Case, Migration, Need, Setting, Settings};
use crate::document::REPLY;
use crate::judge::expectation::{AnyWire, Expectation, WireRule};
use crate::steps::queued_child::{ended_by, ended_by_must, hello};
use crate::steps::target::{CHILDREN, by_the_hash, moved, observe_moved};
use crate::steps::wires;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "accept-queue/shutdown-rdwr",
        does: "As quiz 1, but A is shut down in both directions instead of closed.",
        must: "As quiz 1. A is still open, and accept on it fails with EINVAL.",
        source: "inet_shutdown(), tcp_disconnect(), inet_csk_listen_stop()",
        settings: Settings::FamiliesOffAndOn,
        run: |lab, _| {
            ended_by(lab, |lab, a| ended(lab, a, SHUT_RDWR, |a| a.shutdown(Shutdown::Both)))
        },
        expect: |setting| ended_must(SHUT_RDWR, setting),
        ..Case::DEFAULT
    },
    Case {
        name: "accept-queue/shutdown-rd",
        does: "As quiz 1, but A is shut down for reading instead of closed.",
        must: "As quiz 1. A is still open, and accept on it fails with EINVAL.",
        source: "inet_shutdown(), case TCP_LISTEN: RCV_SHUTDOWN disconnects",
        settings: Settings::FamiliesOffAndOn,
        run: |lab, _| {
            ended_by(lab, |lab, a| ended(lab, a, SHUT_RD, |a| a.shutdown(Shutdown::Read)))
        },
        expect: |setting| ended_must(SHUT_RD, setting),
        ..Case::DEFAULT
    },
    Case {
        name: "accept-queue/disconnect",
        does: "As quiz 1, but A is connected to AF_UNSPEC instead of closed.",
        must: "As quiz 1. A is still open, and accept on it fails with EINVAL.",
        source: "inet_stream_connect(), tcp_disconnect(), inet_csk_listen_stop()",
        settings: Settings::FamiliesOffAndOn,
        run: |lab, _| ended_by(lab, |lab, a| ended(lab, a, DISCONNECT, Listener::disconnect)),
        expect: |setting| ended_must(DISCONNECT, setting),
        ..Case::DEFAULT
    },
    Case {
        name: "accept-queue/dup2",
        does: "As quiz 1, but A's descriptor is replaced by another one with dup2.",
        must: "As quiz 1: what is replaced is closed.",
        source: "do_dup2(), filp_close()",
        settings: Settings::FamiliesOffAndOn,
        run: |lab, _| ended_by(lab, |lab, a| lab.close_by(a, CloseCall::Dup2)),
        expect: |setting| ended_by_must("dup2(other, A)", setting),
        ..Case::DEFAULT
    },
    Case {
        name: "accept-queue/dup3",
        does: "As quiz 1, but A's descriptor is replaced by another one with dup3.",
        must: "As quiz 1: what is replaced is closed.",
        source: "ksys_dup3(), do_dup2(), filp_close()",
        settings: Settings::FamiliesOffAndOn,
        run: |lab, _| ended_by(lab, |lab, a| lab.close_by(a, CloseCall::Dup3)),
        expect: |setting| ended_by_must("dup3(other, A)", setting),
        ..Case::DEFAULT
    },
    Case {
        name: "accept-queue/close-range",
        does: "As quiz 1, but A is closed by close_range, of its descriptor alone.",
        must: "As quiz 1. B's descriptor is outside of the range, and B stays open.",
        source: "__close_range(), filp_close()",
        settings: Settings::FamiliesOffAndOn,
        needs: &[Need::CloseRange],
        run: |lab, _| ended_by(lab, |lab, a| lab.close_by(a, CloseCall::CloseRange)),
        expect: |setting| ended_by_must("close_range(A, A)", setting),
        ..Case::DEFAULT
    },
    Case {
        name: "accept-queue/io-uring-close",
        does: "As quiz 1, but A is closed by IORING_OP_CLOSE, through io_uring.",
        must: "As quiz 1, as soon as io_uring_enter returns.",
        source: "io_close(), filp_close(); fput() leaves the rest to task_work_run(), which runs \
                 before the call returns",
        settings: Settings::FamiliesOffAndOn,
        needs: &[Need::IoUring],
        run: |lab, _| ended_by(lab, |lab, a| lab.close_by(a, CloseCall::IoUring)),
        expect: |setting| ended_by_must("IORING_OP_CLOSE(A)", setting),
        ..Case::DEFAULT
    },
    Case {
        name: "accept-queue/shutdown-wr",
        does: "With a child in A's queue and B listening, A is shut down for writing.",
        must: "Nothing happens: A goes on listening, and accepts its child.",
        source: "inet_shutdown(), case TCP_LISTEN: only RCV_SHUTDOWN matters",
        settings: Settings::FamiliesOffAndOn,
        wire: WireRule::Shows(&[wires::C_IS_ANSWERED]),
        run: |lab, _| has_no_effect(lab, |a| outcome(a.shutdown(Shutdown::Write))),
        expect: |_| has_no_effect_must(),
        ..Case::DEFAULT
    },
    Case {
        name: "accept-queue/duplicate",
        does: "With a child in A's queue and B listening, a duplicate of A is closed.",
        must: "Nothing happens: A stays open until its last descriptor is closed.",
        documents: &[REPLY.at("`dup doesn't count`")],
        source: "inet_release() at the last reference",
        settings: Settings::FamiliesOffAndOn,
        wire: WireRule::Shows(&[wires::C_IS_ANSWERED]),
        run: |lab, _| {
            has_no_effect(lab, |a| a.duplicate().map_or_else(|e| e.to_string(), |_| "ok".into()))
        },
        expect: |_| has_no_effect_must(),
        ..Case::DEFAULT
    },
    Case {
        name: "accept-queue/order",
        does: "Six clients, each with its name sent, wait in A's queue; B listens with a backlog \
               of 1; A is closed.",
        must: "Off: six resets. On: all six move to B, in their order, past its backlog.",
        source: "inet_csk_listen_stop() takes from the head, inet_csk_reqsk_queue_add() adds to \
                 the tail and does not look at the backlog",
        settings: Settings::FamiliesOffAndOn,
        wire: WireRule::Any(AnyWire::SocketsMatter),
        run: order,
        expect: order_must,
        ..Case::DEFAULT
    },
    Case {
        name: "accept-queue/target",
        does: "16 children wait in A's queue; B, C and D listen; A is closed. Then the same \
               clients connect again, from the same ports.",
        must: "Each child moves to the listener that gets a new connection with the same \
               four-tuple; they do not all move to the same listener.",
        source: "reuseport_migrate_sock(): hash = migrating_sk->sk_hash; \
                 reuseport_select_sock_by_hash()",
        settings: Settings::FamiliesOn,
        wire: WireRule::Any(AnyWire::SocketsMatter),
        run: |lab, setting| {
            let moved = moved(lab, &BindSpec::usual(setting.family), CHILDREN, |_, _| Ok(()))?;
            observe_moved(lab, &moved)
        },
        expect: |_| by_the_hash(),
        ..Case::DEFAULT
    },
    Case {
        name: "accept-queue/chain",
        does: "A child waits in A's queue; three times, another listener starts and the one that \
               has the child is closed.",
        must: "The child reaches the last listener; each hop is counted.",
        source: "inet_csk_listen_stop(), LINUX_MIB_TCPMIGRATEREQSUCCESS",
        settings: Settings::FamiliesOn,
        wire: WireRule::Any(AnyWire::SocketsMatter),
        run: chain,
        expect: |_| {
            Expectation::new()
                .fact("accept(D)", "C's connection")
                .fact("recv(D's child)", "`Hello World`")
                .fact("D serves a fresh client", "yes")
                .counters(&[("TCPMigrateReqSuccess", 3)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "accept-queue/last-listener",
        does: "Two children wait in the queue of a group's only listener, which is closed.",
        must: "There is no target: each child is reset. On: each counts as a failed migration. \
               Off: nothing is counted.",
        source: "reuseport_migrate_sock(), LINUX_MIB_TCPMIGRATEREQFAILURE",
        settings: Settings::FamiliesOffAndOn,
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
        ]),
        run: last_listener,
        expect: |setting| {
            let failed = i64::from(setting.migration == Migration::On) * 2;
            Expectation::new()
                .fact("recv(C)", "ECONNRESET")
                .fact("recv(D)", "ECONNRESET")
                .fact("sockets after the close", "none")
                .counters(&[("OutRsts", 2), ("EstabResets", 4), ("TCPMigrateReqFailure", failed)])
        },
        ..Case::DEFAULT
    },
];

const SHUT_RDWR: &str = "shutdown(A, SHUT_RDWR)";

const SHUT_RD: &str = "shutdown(A, SHUT_RD)";

const DISCONNECT: &str = "connect(A, AF_UNSPEC)";

/// Ends A without closing it, and observes that it is of no more use.
fn ended(
    lab: &mut Lab,
    a: Listener,
    act: &str,
    end: impl FnOnce(&Listener) -> std::io::Result<()>,
) -> harness::Result<Listener> {
    let came = outcome(end(&a));
    lab.observe(act, came);
    let accepted = a.try_accept();
    lab.observe("accept(A)", accepted);
    lab.observe("poll(A)", a.polled()?);
    Ok(a)
}

fn ended_must(act: &str, setting: Setting) -> Expectation {
    ended_by_must(act, setting)
        .fact(act, "ok")
        .fact("accept(A)", "EINVAL")
        .fact("poll(A)", "POLLOUT POLLHUP")
}

/// Does something to A that must not matter.
fn has_no_effect(lab: &mut Lab, does: impl FnOnce(&Listener) -> String) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let client = hello(lab, "C")?;
    let b = lab.listen("B")?;
    let before = lab.counters()?;
    let came = does(&a);
    lab.observe("the call", came);
    lab.observe_counters(&before)?;
    lab.observe_sockets("then")?;
    lab.observe("B's accept queue", b.queue()?.to_string());
    if let Some(child) = lab.accept_now(&a)? {
        lab.observe("recv(A's child)", child.receive_now()?.to_string());
        child.send(b"Hi")?;
        lab.observe("recv(C)", client.receive()?.to_string());
    }
    Ok(())
}

fn has_no_effect_must() -> Expectation {
    Expectation::new()
        .fact("the call", "ok")
        .fact("sockets then", "C ESTABLISHED, C's child ESTABLISHED, a listener, a listener")
        .fact("B's accept queue", "0 of 32")
        .fact("accept(A)", "C's connection")
        .fact("recv(A's child)", "`Hello World`")
        .fact("recv(C)", "`Hi`")
        .counters(&[])
}

const CLIENTS: [&str; 6] = ["C1", "C2", "C3", "C4", "C5", "C6"];

fn order(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let mut clients = Vec::new();
    for name in CLIENTS {
        let client = lab.connect(name)?;
        client.send(name.as_bytes())?;
        lab.until_wire(&format!("S > {name}  . 1:1(0) ack 3"))?;
        clients.push(client);
    }
    let b = lab.listen_with_backlog("B", 1)?;
    let before = lab.counters()?;
    lab.close(a);
    lab.observe("B's accept queue after the close", b.queue()?.to_string());
    let mut accepted = Vec::new();
    let mut children = Vec::new();
    while let Some((whose, child)) = lab.accept_next(&b)? {
        accepted.push(format!("{whose} {}", child.receive_now()?));
        children.push(child);
    }
    lab.observe("B accepts", accepted.join(", "));
    lab.observe_counters(&before)?;
    let mut found = Vec::new();
    for client in &clients {
        found.push(client.receive_now()?.to_string());
    }
    found.dedup();
    lab.observe("recv by the clients", found.join(", "));
    lab.observe_service(&b)
}

fn order_must(setting: Setting) -> Expectation {
    let must = Expectation::new().fact("B serves a fresh client", "yes");
    match setting.migration {
        Migration::Off => must
            .fact("B's accept queue after the close", "0 of 1")
            .fact("B accepts", "")
            .fact("recv by the clients", "ECONNRESET")
            .counters(&[("OutRsts", 6), ("EstabResets", 12)]),
        Migration::On => must
            .fact("B's accept queue after the close", "6 of 1")
            .fact("B accepts", "C1 `C1`, C2 `C2`, C3 `C3`, C4 `C4`, C5 `C5`, C6 `C6`")
            .fact("recv by the clients", "EAGAIN")
            .counters(&[("TCPMigrateReqSuccess", 6)]),
    }
}

fn chain(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let mut holder = lab.listen("A")?;
    let _client = hello(lab, "C")?;
    let before = lab.counters()?;
    for next in ["B", "C", "D"] {
        let target = lab.listen(next)?;
        lab.close(std::mem::replace(&mut holder, target));
    }
    if let Some(child) = lab.accept_now(&holder)? {
        lab.observe("recv(D's child)", child.receive_now()?.to_string());
    }
    lab.observe_counters(&before)?;
    lab.observe_service(&holder)
}

fn last_listener(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let clients = [hello(lab, "C")?, hello(lab, "D")?];
    let before = lab.counters()?;
    lab.close(a);
    lab.observe_sockets("after the close")?;
    for client in clients {
        lab.observe(&format!("recv({})", client.name()), client.receive()?.to_string());
    }
    lab.observe_counters(&before)
}
