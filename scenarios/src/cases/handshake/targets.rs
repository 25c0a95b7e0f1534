//! Handshakes in flight, by what has happened to the listeners when W's segment arrives: which
//! listener is the target, and which cannot be.

use std::net::Shutdown;
use std::ops::Range;

use harness::lab::Lab;
use harness::socket::BACKLOG;
use harness::socket::wire_client::{Draft, WireClient};

use crate::case::{Case, Migration, Need, Setting, Settings};
use crate::judge::expectation::{AnyWire, Expectation, WireRule};
use crate::steps::other_ports::listening_at;
use crate::steps::request::{
    NOTHING, RESET, SYN_ACK, data, full, observe_child, observe_fresh_syn, requested,
};
use crate::steps::wires;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "handshake/full-target",
        does: "A has W's request; B listens, and its accept queue is full; A is closed. W sends \
               data; B accepts; W sends its data again.",
        must: "The first data is dropped, and counted as an overflow of B's queue and as a failed \
               migration; the request stays, and the second data completes the handshake on B.",
        source: "tcp_check_req(): listen_overflow, 55d444b310c6",
        settings: Settings::FamiliesOn,
        wire: WireRule::Shows(&[wires::C_CLOSES_FIRST]),
        run: full_target,
        expect: |_| {
            Expectation::new()
                .fact("answer to data", NOTHING)
                .fact(
                    "sockets then",
                    "C ESTABLISHED, C's child ESTABLISHED, W's request, a listener",
                )
                .fact("answer to data again", "S > W  . 1:1(0) ack 12")
                .fact("accept(B)", "W's connection")
                .fact("recv(B's child)", "`Hello World`")
                .fact("answer to a fresh SYN", SYN_ACK)
                .fact("fresh SYNs dropped for a full queue", 0)
                .counters(&[
                    ("ListenOverflows", 1),
                    ("ListenDrops", 1),
                    ("TCPMigrateReqFailure", 1),
                    ("TCPMigrateReqSuccess", 1),
                    ("PassiveOpens", 1),
                ])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "handshake/full-target-aborts",
        does: "As handshake/full-target, with tcp_abort_on_overflow at 1; after B has accepted, \
               another client begins a handshake.",
        must: "The data is answered by an RST without ACK, and the request is gone. B takes the \
               new handshake.",
        source: "tcp_check_req(): listen_overflow, embryonic_reset",
        settings: Settings::FamiliesOn,
        wire: WireRule::Any(AnyWire::AnswersAreFacts),
        run: full_target_aborts,
        expect: |_| {
            Expectation::new()
                .fact("answer to data", RESET)
                .fact("sockets then", "C ESTABLISHED, C's child ESTABLISHED, a listener")
                .fact("answer to a fresh SYN", SYN_ACK)
                .fact("fresh SYNs dropped for a full queue", 0)
                .counters(&[
                    ("ListenOverflows", 1),
                    ("ListenDrops", 1),
                    ("TCPMigrateReqFailure", 1),
                    ("EmbryonicRsts", 1),
                    ("OutRsts", 1),
                ])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "handshake/no-target",
        does: "A, the only listener, has W's request and is closed. W sends data.",
        must: "The data is answered by an RST without ACK. On: a failed migration is counted. \
               Nothing is left.",
        source: "reuseport_migrate_sock(), tcp_v4_rcv(): inet_csk_reqsk_queue_drop_and_put()",
        settings: Settings::FamiliesOffAndOn,
        wire: WireRule::Shows(&[wires::W_REFUSED]),
        run: no_target,
        expect: |setting| {
            let failed = i64::from(setting.migration == Migration::On);
            Expectation::new()
                .fact("sockets after the close", "W's request")
                .fact("answer to data", RESET)
                .fact("sockets at the end", "none")
                .counters(&[("OutRsts", 1), ("TCPMigrateReqFailure", failed)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "handshake/late-target",
        does: "A, the only listener, has W's request and is closed. Then B listens; W sends data.",
        must: "B starts a new group and is not a target: the data is answered by an RST without \
               ACK. On: a failed migration is counted.",
        source: "reuseport_alloc()",
        settings: Settings::FamiliesOffAndOn,
        wire: WireRule::Shows(&[wires::W_REFUSED]),
        run: late_target,
        expect: |setting| {
            let failed = i64::from(setting.migration == Migration::On);
            Expectation::new()
                .fact("answer to data", RESET)
                .fact("accept(B)", "EAGAIN")
                .fact("recv(B's child)", "no child")
                .fact("answer to a fresh SYN", SYN_ACK)
                .fact("fresh SYNs dropped for a full queue", 0)
                .counters(&[("OutRsts", 1), ("TCPMigrateReqFailure", failed)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "handshake/left-behind",
        does: "A has W's request; B listens. A is shut down, then B; B listens again, in a group of \
               its own, and 64 others listen at ports of their own. W sends data.",
        must: "The group that B left stays for A, a closed member without anybody to give W to: \
               the data is answered by an RST without ACK, a failed migration is counted, and no \
               group that is made later is taken for A's.",
        source: "reuseport_resurrect(): old_reuse is freed with its last member; \
                 reuseport_migrate_sock()",
        settings: Settings::FamiliesOn,
        wire: WireRule::Shows(&[wires::W_REFUSED]),
        run: left_behind,
        expect: |_| {
            Expectation::new()
                .fact("answer to data", RESET)
                .fact("children at other ports", 0)
                .counters(&[("OutRsts", 1), ("TCPMigrateReqFailure", 1)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "handshake/listens-again",
        does: "A has W's request; B listens; A is shut down for reading, and listens again. W \
               sends data.",
        must: "A is a listener again, and its request never left it: the data completes the \
               handshake on A, and no migration is counted.",
        source: "reuseport_resurrect(); tcp_v4_rcv() looks at the state of A now",
        settings: Settings::FamiliesOffAndOn,
        needs: &[Need::Gate],
        wire: WireRule::Shows(&[wires::W_SENDS]),
        run: listens_again,
        expect: |_| {
            Expectation::new()
                .fact("answer to data", "S > W  . 1:1(0) ack 12")
                .fact("accept(A)", "W's connection")
                .fact("recv(B's child)", "`Hello World`")
                .fact("handshakes that A has room for", "as many as a fresh listener")
                .counters(&[("PassiveOpens", 1)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "handshake/chain",
        does: "A has W's request; B and C listen; A is closed, then B. W sends data.",
        must: "Off: an RST without ACK. On: nothing has moved yet; the data completes the \
               handshake on C, with one migration.",
        source: "reuseport_migrate_sock()",
        settings: Settings::FamiliesOffAndOn,
        needs: &[Need::Gate],
        wire: WireRule::OffAndOn(&[wires::W_REFUSED], &[wires::W_SENDS]),
        run: chain,
        expect: |setting| match setting.migration {
            Migration::Off => healthy("C")
                .fact("answer to data", RESET)
                .fact("accept(C)", "EAGAIN")
                .fact("recv(B's child)", "no child")
                .counters(&[("OutRsts", 1)]),
            Migration::On => healthy("C")
                .fact("answer to data", "S > W  . 1:1(0) ack 12")
                .fact("accept(C)", "W's connection")
                .fact("recv(B's child)", "`Hello World`")
                .counters(&[("TCPMigrateReqSuccess", 1), ("PassiveOpens", 1)]),
        },
        ..Case::DEFAULT
    },
    Case {
        name: "handshake/two-requests",
        does: "A has the requests of W and X; B listens; A is shut down for reading. X sends its \
               ACK, then W. At the end A listens again.",
        must: "Each moves by its own ACK: B accepts X's child, then W's. Both listeners have room \
               for as many as a fresh one: no request is left on A's count, or taken off B's.",
        source: "inet_csk_complete_hashdance(): reqsk_queue_removed() on the old listener",
        settings: Settings::FamiliesOn,
        needs: &[Need::Gate],
        wire: WireRule::Shows(&[wires::W_CONNECTS, wires::X_CONNECTS]),
        run: two_requests,
        expect: |_| {
            healthy("B")
                .fact("sockets after X's ACK", "W's request, X's child ESTABLISHED, a listener")
                .fact("accepted", "X, W")
                .fact("handshakes that A has room for", "as many as a fresh listener")
                .counters(&[("TCPMigrateReqSuccess", 2), ("PassiveOpens", 2)])
        },
        ..Case::DEFAULT
    },
];

fn healthy(target: &str) -> Expectation {
    Expectation::new()
        .fact(&format!("handshakes that {target} has room for"), "as many as a fresh listener")
}

fn full_target(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let (mut w, b, _c) = full(lab)?;
    let before = lab.counters()?;
    let answer = lab.wire_send(&mut w, &data())?;
    lab.observe("answer to data", answer);
    lab.observe_sockets("then")?;
    let _child = b.accept()?;
    let answer = lab.wire_send(&mut w, &data())?;
    lab.observe("answer to data again", answer);
    lab.observe_counters(&before)?;
    observe_child(lab, &b)?;
    observe_fresh_syn(lab)
}

fn full_target_aborts(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    lab.sysctl("net.ipv4.tcp_abort_on_overflow", "1")?;
    let (mut w, b, _c) = full(lab)?;
    let before = lab.counters()?;
    let answer = lab.wire_send(&mut w, &data())?;
    lab.observe("answer to data", answer);
    lab.observe_counters(&before)?;
    lab.observe_sockets("then")?;
    let _child = b.accept()?;
    observe_fresh_syn(lab)
}

/// A, which had W's request, is closed; nobody listens.
fn orphaned(lab: &mut Lab) -> harness::Result<WireClient> {
    let (a, w) = requested(lab)?;
    lab.close(a);
    Ok(w)
}

fn no_target(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let mut w = orphaned(lab)?;
    lab.observe_sockets("after the close")?;
    let before = lab.counters()?;
    let answer = lab.wire_send(&mut w, &data())?;
    lab.observe("answer to data", answer);
    lab.observe_counters(&before)?;
    lab.observe_sockets("at the end")
}

fn late_target(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let mut w = orphaned(lab)?;
    let b = lab.listen("B")?;
    let before = lab.counters()?;
    let answer = lab.wire_send(&mut w, &data())?;
    lab.observe("answer to data", answer);
    lab.observe_counters(&before)?;
    observe_child(lab, &b)?;
    observe_fresh_syn(lab)
}

fn left_behind(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let (a, mut w) = requested(lab)?;
    let b = lab.listen("B")?;
    for listener in [&a, &b] {
        lab.shut_down(listener, Shutdown::Both)?;
    }
    lab.start_listening(&b, BACKLOG)?;
    // Each starts a group: what was freed wrongly belongs to one of them now.
    let others = lab.unseen("64 others listen", |lab| {
        OTHER_PORTS
            .map(|port| listening_at(lab, "another", port))
            .collect::<harness::Result<Vec<_>>>()
    })?;
    let before = lab.counters()?;
    let answer = lab.wire_send(&mut w, &data())?;
    lab.observe("answer to data", answer);
    lab.observe_counters(&before)?;
    let waiting = others.iter().map(|other| Ok(u64::from(other.queue()?.waiting)));
    lab.observe("children at other ports", waiting.sum::<harness::Result<u64>>()?);
    Ok(())
}

const OTHER_PORTS: Range<u16> = 10_000..10_064;

fn listens_again(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let (a, mut w) = requested(lab)?;
    let b = lab.listen("B")?;
    lab.shut_down(&a, Shutdown::Read)?;
    lab.start_listening(&a, 8)?;
    let before = lab.counters()?;
    let answer = lab.wire_send(&mut w, &data())?;
    lab.observe("answer to data", answer);
    lab.observe_counters(&before)?;
    lab.close(b);
    observe_child(lab, &a)?;
    lab.observe_room(a)
}

fn chain(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let (a, mut w) = requested(lab)?;
    let (b, c) = (lab.listen("B")?, lab.listen_with_backlog("C", 8)?);
    lab.close(a);
    lab.close(b);
    let before = lab.counters()?;
    let answer = lab.wire_send(&mut w, &data())?;
    lab.observe("answer to data", answer);
    lab.observe_counters(&before)?;
    observe_child(lab, &c)?;
    lab.observe_room(c)
}

fn two_requests(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let (mut w, mut x) = (lab.wire_client("W")?, lab.wire_client("X")?);
    lab.wire_syn(&mut w, &Draft::syn())?;
    lab.wire_syn(&mut x, &Draft::syn())?;
    let b = lab.listen_with_backlog("B", 8)?;
    lab.shut_down(&a, Shutdown::Read)?;
    let before = lab.counters()?;
    lab.wire_send(&mut x, &Draft::new(".", 1, 1))?;
    lab.observe_sockets("after X's ACK")?;
    lab.wire_send(&mut w, &Draft::new(".", 1, 1))?;
    lab.observe_counters(&before)?;
    let mut accepted = Vec::new();
    while let Some((whose, _child)) = lab.accept_next(&b)? {
        accepted.push(whose);
    }
    lab.observe("accepted", accepted.join(", "));
    lab.observe_room(b)?;
    lab.start_listening(&a, 8)?;
    lab.observe_room(a)
}
