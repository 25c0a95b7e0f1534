//! After many migrations the last target has room for as many connections as a fresh
//! listener, and everything that was closed is freed.

use harness::lab::Lab;
use harness::socket::wire_client::Draft;
use harness::socket::{Listener, Stream};

use crate::case::{Case, Migration, Need, Setting, Settings};
use crate::judge::expectation::{AnyWire, Expectation, WireRule};
use crate::steps::fast_open::{FAST_OPEN, fast_open_syns, listen, syn_with_data};
use crate::steps::queued_child::hello;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "accounting/accept-queue",
        does: "20 times a client connects, the next listener starts and the last one is closed; \
               then the last of 21 listeners accepts all, is filled up, and emptied again.",
        must: "All 20 children wait there, in their order, after 210 hops. Its queue has room for \
               its backlog and one more, and for as many handshakes as a fresh listener's.",
        source: "inet_csk_listen_stop(), inet_csk_reqsk_queue_add(); sk_acceptq_added(), \
                 sk_acceptq_removed()",
        settings: Settings::FamiliesOn,
        needs: &[Need::Gate],
        wire: WireRule::Any(AnyWire::ManyConnections),
        run: accept_queue,
        expect: |_| {
            Expectation::new()
                .fact("the accept queue before", "20 of 32")
                .fact("in order", "yes")
                .fact("the accept queue then", "0 of 32")
                .fact("the accept queue when it is full", "33 of 32")
                .fact("handshakes that the last one has room for", "as many as a fresh listener")
                .counters(&[("TCPMigrateReqSuccess", 20 * 21 / 2), ("PassiveOpens", 20)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "accounting/handshake",
        does: "20 times a request is in flight, the next listener starts, the last one is closed, \
               and the client's ACK comes; at the end the last listener is filled up.",
        must: "On: 20 connections on 20 listeners, and each listener is freed. Off: 20 resets, and \
               the same. The last one has as much room as a fresh one.",
        source: "inet_csk_complete_hashdance(), inet_csk_reqsk_queue_removed(), reqsk_put()",
        settings: Settings::FamiliesOffAndOn,
        needs: &[Need::Gate],
        wire: WireRule::Any(AnyWire::ManyConnections),
        run: handshake,
        expect: |setting| {
            let (answer, counters) = match setting.migration {
                Migration::On => {
                    ("S > W  . 1:1(0) ack 2", [("TCPMigrateReqSuccess", 20), ("PassiveOpens", 20)])
                }
                Migration::Off => ("S > W  R 1:1(0)", [("OutRsts", 20), ("PassiveOpens", 0)]),
            };
            Expectation::new()
                .fact("answers", answer)
                .fact("children", if setting.migration == Migration::On { 20 } else { 0 })
                .fact("sockets then", "a listener")
                .fact("the accept queue then", "0 of 32")
                .fact("the accept queue when it is full", "33 of 32")
                .fact("handshakes that the last one has room for", "as many as a fresh listener")
                .counters(&counters)
        },
        ..Case::DEFAULT
    },
    Case {
        name: "accounting/fast-open",
        does: "20 times a Fast Open child waits, the next listener, which allows one unfinished \
               Fast Open child, starts, the last one is closed, and the child is finished and \
               accepted; then clients connect with data in their SYNs.",
        must: "The last listener takes the data of one of them.",
        source: "reqsk_fastopen_remove(), fastopenq.qlen, a0ab2ba83e35",
        settings: Settings::FamiliesOn,
        wire: WireRule::Any(AnyWire::AnswersAreFacts),
        run: fast_open,
        expect: |_| {
            Expectation::new()
                .fact("children", 20)
                .fact("sockets then", "a listener")
                .fact("SYNs whose data B takes", 1)
                .fact("TCPFastOpenPassive", 1)
                .fact("TCPFastOpenListenOverflow", 2)
                .counters(&[("TCPMigrateReqSuccess", 20), ("PassiveOpens", 20)])
        },
        ..Case::DEFAULT
    },
];

const TIMES: usize = 20;

fn accept_queue(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let mut last = lab.listen("the last one")?;
    let before = lab.counters()?;
    let mut clients = Vec::new();
    for round in 0..TIMES {
        let client = hello(lab, &format!("C{round}"))?;
        client.reset_on_close()?;
        clients.push(client);
        next(lab, &mut last)?;
    }
    lab.observe_counters(&before)?;
    lab.observe("the accept queue before", last.queue()?.to_string());
    let mut in_order = true;
    for client in &clients {
        in_order &= last.accept_now()?.is_some_and(|child| child.peer == client.local);
    }
    lab.observe("in order", if in_order { "yes" } else { "no" });
    drop(clients);
    observe_room(lab, last)
}

/// Another listener starts, and the last one is closed.
fn next(lab: &mut Lab, last: &mut Listener) -> harness::Result<()> {
    let target = lab.listen("the last one")?;
    lab.close(std::mem::replace(last, target));
    Ok(())
}

fn observe_room(lab: &mut Lab, last: Listener) -> harness::Result<()> {
    lab.observe("the accept queue then", last.queue()?.to_string());
    let full = lab.accept_queue_when_full(&last)?;
    lab.observe("the accept queue when it is full", full.to_string());
    lab.observe_room(last)
}

fn handshake(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let mut last = lab.listen("the last one")?;
    let before = lab.counters()?;
    let (mut answers, mut children) = (Vec::new(), Vec::new());
    // All stay: the next one must not get the port of the last.
    let mut clients = Vec::new();
    for _ in 0..TIMES {
        let mut w = lab.wire_client("W")?;
        lab.wire_syn(&mut w, &Draft::syn())?;
        next(lab, &mut last)?;
        answers.push(lab.wire_send(&mut w, &Draft::new("P.", 1, 1).payload(b"?"))?);
        if let Some(child) = last.accept_now()? {
            children.push(child);
        }
        clients.push(w);
    }
    lab.observe_counters(&before)?;
    answers.dedup();
    lab.observe("answers", answers.join("; "));
    lab.observe("children", children.len());
    drop(children);
    lab.observe_sockets("then")?;
    observe_room(lab, last)
}

fn fast_open(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    lab.sysctl(FAST_OPEN.0, FAST_OPEN.1)?;
    let mut last = listen(lab, "the last one")?;
    let before = lab.counters()?;
    let (mut clients, mut children) = (Vec::new(), Vec::new());
    for _ in 0..TIMES {
        let mut w = lab.wire_client("W")?;
        lab.wire_syn(&mut w, &syn_with_data())?;
        let target = listen(lab, "the last one")?;
        lab.close(std::mem::replace(&mut last, target));
        lab.wire_send(&mut w, &Draft::new(".", 12, 1))?;
        if let Some(child) = last.accept_now()? {
            children.push(child);
        }
        clients.push(w);
    }
    lab.observe_counters(&before)?;
    lab.observe("children", children.len());
    drop(children);
    lab.observe_sockets("then")?;
    fast_open_syns(lab)
}
