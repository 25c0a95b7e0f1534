//! What a connection has from its listener, when it changes listeners: a child in the
//! accept queue keeps the options it was made with; a request becomes a child of the new
//! listener.

use harness::gate::{Gate, GateKind, Whose};
use harness::lab::Lab;
use harness::socket::attribute;
use harness::socket::attribute::Attribute;
use harness::socket::wire_client::Draft;
use harness::socket::{Listener, Stream};

use crate::case::{Case, Migration, Setting, Settings};
use crate::judge::expectation::{AnyWire, Expectation, WireRule};
use crate::prefix::{CaseFile, Prefix};
use crate::steps::queued_child::hello;
use crate::steps::saved_syn::{OTHERS, observe_others, others, shown};
use crate::steps::wires;

pub(super) const PREFIX: Prefix = Prefix {
    id: "attributes",
    about: "socket options, saved SYNs, deferred accepts and filters: which of them a child has \
            from the old listener, and which from the new one",
    files: &[CaseFile { module: module_path!(), cases: CASES }],
};

const CASES: &[Case] = &[
    Case {
        name: "attributes/saved-syns",
        does: "A keeps SYNs. A has V's child in its queue, and W's request; A is closed; W sends \
               its ACK. Eight other clients connect to B, which keeps SYNs too; B accepts all \
               ten.",
        must: "Each has its own SYN: none was freed with the request that it came with.",
        source: "tcp_v4_syn_recv_sock(), tcp_v6_syn_recv_sock(): tcp_move_syn() before the \
                 request changes listeners",
        settings: Settings::FamiliesOn,
        wire: WireRule::Shows(&[wires::V_CONNECTS, wires::W_CONNECTS]),
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
        name: "attributes/accept-queue",
        does: "Every socket option that children have from their listeners has one value on A and \
               another on B. C's child waits in A's queue; A is closed.",
        must: "The child that B accepts has A's values: it was made from A. (No child has its \
               listener's SO_PRIORITY.)",
        source: "inet_csk_listen_stop() moves the child as it is; sk_clone() clears sk_priority",
        settings: Settings::FamiliesOn,
        wire: WireRule::Shows(&[wires::C_CONNECTS_AND_SENDS]),
        run: |lab, setting| {
            let a = of_kind(lab, setting, "A", 0)?;
            let _client = hello(lab, "C")?;
            let b = of_kind(lab, setting, "B", 1)?;
            lab.close(a);
            observe_child(lab, setting, &b)
        },
        expect: |setting| must_be(setting, |_| "A's").fact("accept(B)", "C's connection"),
        ..Case::DEFAULT
    },
    Case {
        name: "attributes/in-flight",
        does: "As attributes/accept-queue, but A has only W's request when it is closed, and W's \
               ACK comes later.",
        must: "The child that B accepts has B's values: it was made from B. Only SO_MARK is A's, \
               because the request recorded it. (No child has its listener's SO_PRIORITY.)",
        source: "tcp_v4_syn_recv_sock(), inet_csk_clone_lock(): sk_mark is ir_mark",
        settings: Settings::FamiliesOn,
        wire: WireRule::Shows(&[wires::W_CONNECTS]),
        run: |lab, setting| {
            let a = of_kind(lab, setting, "A", 0)?;
            let mut w = lab.wire_client("W")?;
            lab.wire_syn(&mut w, &Draft::syn())?;
            let b = of_kind(lab, setting, "B", 1)?;
            lab.close(a);
            let answer = lab.wire_send(&mut w, &Draft::new(".", 1, 1))?;
            lab.observe("answer to W's ACK", answer);
            observe_child(lab, setting, &b)
        },
        expect: |setting| {
            must_be(setting, |name| if name == "SO_MARK" { "A's" } else { "B's" })
                .fact("answer to W's ACK", "nothing")
                .fact("accept(B)", "W's connection")
        },
        ..Case::DEFAULT
    },
    Case {
        name: "attributes/saved-syn",
        does: "A keeps SYNs (TCP_SAVE_SYN), B does not. A has V's child in its queue, and W's \
               request; A is closed; W sends its ACK; B accepts both, and asks for their SYNs, \
               twice.",
        must: "Each child returns its own SYN, once.",
        source: "inet_reqsk_clone(), reqsk_migrate_reset(), tcp_get_saved_syn()",
        settings: Settings::FamiliesOn,
        wire: WireRule::Shows(&[wires::V_CONNECTS, wires::W_CONNECTS]),
        run: |lab, _| saved_syn(lab, 1, 0),
        expect: |_| saved_syn_must(["its SYN", "nothing"]),
        ..Case::DEFAULT
    },
    Case {
        name: "attributes/saved-syn-with-link",
        does: "As attributes/saved-syn, but A keeps SYNs from the link's header on (2), and B from \
               the IP header on (1).",
        must: "Each child returns its own SYN as A kept it, after the link's header, once.",
        source: "tcp_reqsk_record_syn() at the SYN, tcp_get_saved_syn()",
        settings: Settings::FamiliesOn,
        wire: WireRule::Shows(&[wires::V_CONNECTS, wires::W_CONNECTS]),
        run: |lab, _| saved_syn(lab, 2, 1),
        expect: |_| saved_syn_must(["its SYN and the link's header", "nothing"]),
        ..Case::DEFAULT
    },
    Case {
        name: "attributes/unsaved-syn",
        does: "As attributes/saved-syn, but B keeps SYNs and A does not.",
        must: "Neither child has a SYN, since A kept none. Asking is not an error.",
        source: "tcp_reqsk_record_syn() at the SYN",
        settings: Settings::FamiliesOn,
        wire: WireRule::Shows(&[wires::V_CONNECTS, wires::W_CONNECTS]),
        run: |lab, _| saved_syn(lab, 0, 1),
        expect: |_| saved_syn_must(["nothing", "nothing"]),
        ..Case::DEFAULT
    },
    Case {
        name: "attributes/defer-accept",
        does: "B waits for data (TCP_DEFER_ACCEPT), A does not. A has W's request; A is closed; W \
               sends a bare ACK, then data.",
        must: "B's option counts: the bare ACK is dropped, and counted; the data completes the \
               handshake on B.",
        source: "tcp_check_req(): rskq_defer_accept of the new listener",
        settings: Settings::FamiliesOn,
        wire: WireRule::Shows(&[(
            "W",
            "
                W > S  S 0:0(0)
                S > W  S. 0:0(0) ack 1
                W > S  . 1:1(0) ack 1
                W > S  P. 1:12(11) ack 1
                S > W  . 1:1(0) ack 12
                S > W  R. 1:1(0) ack 12
                ...
            ",
        )]),
        run: |lab, _| deferred(lab, 0, 5),
        expect: |_| {
            deferred_must("EAGAIN", "none").counters(&[
                ("TCPDeferAcceptDrop", 1),
                ("TCPMigrateReqSuccess", 1),
                ("PassiveOpens", 1),
            ])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "attributes/defer-accept-no-more",
        does: "A waits for data (TCP_DEFER_ACCEPT), B does not. W's bare ACK is dropped by A; A is \
               closed; W sends the bare ACK again, then data.",
        must: "B's option counts: the bare ACK completes the handshake on B.",
        source: "tcp_check_req(): rskq_defer_accept of the new listener",
        settings: Settings::FamiliesOn,
        wire: WireRule::Any(AnyWire::AnswersAreFacts),
        run: |lab, _| deferred(lab, 5, 0),
        expect: |_| {
            deferred_must("W's connection", "one")
                .counters(&[("TCPMigrateReqSuccess", 1), ("PassiveOpens", 1)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "attributes/filter-of-the-target",
        does: "B has a filter that drops final ACKs, A has none. A has W's request; A is closed; W \
               sends its ACK; the filter is taken away, and W sends it again.",
        must: "B's filter drops the first ACK, and the request stays; the second one completes the \
               handshake on B.",
        source: "tcp_v4_rcv(), tcp_v6_rcv(): tcp_filter() of the new listener",
        settings: Settings::FamiliesOn,
        wire: WireRule::Any(AnyWire::AnswersAreFacts),
        run: filter_of_the_target,
        expect: |_| {
            Expectation::new()
                .fact("answer to the first ACK", "nothing")
                .fact("sockets then", "W's request, a listener")
                .fact("segments dropped by the filter", 1)
                .fact("answer to the second ACK", "nothing")
                .fact("accept(B)", "W's connection")
                .counters(&[("TCPMigrateReqSuccess", 1), ("PassiveOpens", 1)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "attributes/filter-of-the-closed",
        does: "A has a filter that drops final ACKs, B has none. A has W's request, and drops W's \
               ACK; A is closed; W sends the ACK again.",
        must: "Off: an RST without ACK. On: A's filter no longer counts, and the ACK completes the \
               handshake on B.",
        source: "tcp_v4_rcv(), tcp_v6_rcv(): tcp_filter() of the new listener",
        settings: Settings::FamiliesOffAndOn,
        wire: WireRule::Any(AnyWire::AnswersAreFacts),
        run: filter_of_the_closed,
        expect: |setting| {
            let must = Expectation::new().fact("answer to the first ACK", "nothing");
            match setting.migration {
                Migration::Off => must
                    .fact("answer to the second ACK", "S > W  R 1:1(0)")
                    .fact("accept(B)", "EAGAIN")
                    .counters(&[("OutRsts", 1)]),
                Migration::On => must
                    .fact("answer to the second ACK", "nothing")
                    .fact("accept(B)", "W's connection")
                    .counters(&[("TCPMigrateReqSuccess", 1), ("PassiveOpens", 1)]),
            }
        },
        ..Case::DEFAULT
    },
];

/// A listener with the first, or the second, value of every attribute.
fn of_kind(lab: &mut Lab, setting: Setting, name: &str, kind: usize) -> harness::Result<Listener> {
    let listener = lab.listen(name)?;
    for attribute in attribute::all(setting.family) {
        attribute.set(&listener, kind)?;
    }
    if kind == 0 {
        attribute::set_congestion(&listener, b"reno")?;
    }
    for attribute in attribute::all(setting.family) {
        let value = attribute.get(&listener)?;
        lab.observe(&fact_name(name, &attribute), value);
    }
    Ok(listener)
}

fn fact_name(name: &str, attribute: &Attribute) -> String {
    format!("{} of {name}", attribute.name)
}

/// Whose values B's child has.
fn observe_child(lab: &mut Lab, setting: Setting, b: &Listener) -> harness::Result<()> {
    let Some(child) = lab.accept_now(b)? else { return Ok(()) };
    for attribute in attribute::all(setting.family) {
        let value = attribute.get(&child)?.to_string();
        let of = |name: &str| lab.observed(&fact_name(name, &attribute));
        let whose = match (of("A") == Some(value.clone()), of("B") == Some(value.clone())) {
            (true, false) => "A's".to_owned(),
            (false, true) => "B's".to_owned(),
            (true, true) => "the same for A and B".to_owned(),
            (false, false) => format!("neither's: {value}"),
        };
        lab.observe(attribute.name, whose);
    }
    let congestion = attribute::congestion(&child)?;
    let of_b = attribute::congestion(b)?;
    let whose = match congestion.as_str() {
        "reno" => "A's",
        other if other == of_b => "B's",
        other => other,
    };
    lab.observe("TCP_CONGESTION", whose);
    Ok(())
}

fn must_be(setting: Setting, whose: impl Fn(&str) -> &'static str) -> Expectation {
    let attributes = attribute::all(setting.family);
    let of_the_listeners = attributes.iter().fold(Expectation::new(), |must, attribute| {
        must.fact(&fact_name("A", attribute), attribute.shown(0))
            .fact(&fact_name("B", attribute), attribute.shown(1))
    });
    attributes.iter().map(|attribute| attribute.name).chain(["TCP_CONGESTION"]).fold(
        of_the_listeners,
        |must, name| {
            must.fact(name, if name == "SO_PRIORITY" { "neither's: 0" } else { whose(name) })
        },
    )
}

fn saved_syn(lab: &mut Lab, by_a: i32, by_b: i32) -> harness::Result<()> {
    let a = lab.listen("A")?;
    attribute::save_syn(&a, by_a)?;
    let [mut v, mut w] = [lab.wire_client("V")?, lab.wire_client("W")?];
    lab.wire_syn(&mut v, &Draft::syn())?;
    lab.wire_send(&mut v, &Draft::new(".", 1, 1))?;
    lab.wire_syn(&mut w, &Draft::syn())?;
    let b = lab.listen("B")?;
    attribute::save_syn(&b, by_b)?;
    let before = lab.counters()?;
    lab.close(a);
    lab.wire_send(&mut w, &Draft::new(".", 1, 1))?;
    lab.observe_counters(&before)?;
    for client in [&v, &w] {
        let child = b.accept()?;
        let name = client.name();
        let whose = lab.trace().name_of(child.peer);
        lab.observe(&format!("{name}'s place"), whose);
        for ask in ["first", "second"] {
            let syn = attribute::saved_syn(&child)?;
            lab.observe(&format!("{ask} asked for {name}'s SYN"), shown(&syn, client));
        }
    }
    Ok(())
}

fn saved_syn_must(asked: [&str; 2]) -> Expectation {
    ["V", "W"]
        .iter()
        .fold(Expectation::new(), |must, name| {
            must.fact(&format!("{name}'s place"), *name)
                .fact(&format!("first asked for {name}'s SYN"), asked[0])
                .fact(&format!("second asked for {name}'s SYN"), asked[1])
        })
        .counters(&[("TCPMigrateReqSuccess", 2), ("PassiveOpens", 1)])
}

fn deferred(lab: &mut Lab, by_a: i32, by_b: i32) -> harness::Result<()> {
    let a = lab.listen("A")?;
    attribute::defer_accept(&a, by_a)?;
    let mut w = lab.wire_client("W")?;
    lab.wire_syn(&mut w, &Draft::syn())?;
    let ack = Draft::new(".", 1, 1);
    let first = lab.counters()?;
    if by_a > 0 {
        lab.wire_send(&mut w, &ack)?;
    }
    let dropped = lab.counters()?.grown(&first, "TCPDeferAcceptDrop").unwrap_or(0);
    lab.observe("ACKs dropped by A", if dropped == 1 { "one" } else { "none" });
    let b = lab.listen("B")?;
    attribute::defer_accept(&b, by_b)?;
    let before = lab.counters()?;
    lab.close(a);
    lab.wire_send(&mut w, &ack)?;
    let early = b.accept_now()?;
    let whose = early.as_ref().map_or("EAGAIN".to_owned(), |child| {
        format!("{}'s connection", lab.trace().name_of(child.peer))
    });
    lab.observe("accept(B) after the bare ACK", whose);
    lab.wire_send(&mut w, &Draft::new("P.", 1, 1).payload(b"Hello World"))?;
    let child = early.map_or_else(|| b.accept(), Ok)?;
    lab.observe("recv(B's child)", child.receive_now()?.to_string());
    lab.observe_counters(&before)
}

fn deferred_must(after_the_bare_ack: &str, by_a: &str) -> Expectation {
    Expectation::new()
        .fact("ACKs dropped by A", by_a)
        .fact("accept(B) after the bare ACK", after_the_bare_ack)
        .fact("recv(B's child)", "`Hello World`")
}

fn filter_of_the_target(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let mut w = lab.wire_client("W")?;
    lab.wire_syn(&mut w, &Draft::syn())?;
    let b = lab.listen("B")?;
    let filter = Gate::close_as(GateKind::Filter, &b, Whose::Everyone)?;
    let before = lab.counters()?;
    lab.close(a);
    let answer = lab.wire_send(&mut w, &Draft::new(".", 1, 1))?;
    lab.observe("answer to the first ACK", answer);
    lab.observe_sockets("then")?;
    lab.observe("segments dropped by the filter", filter.open()?);
    let answer = lab.wire_send(&mut w, &Draft::new(".", 1, 1))?;
    lab.observe("answer to the second ACK", answer);
    lab.observe_counters(&before)?;
    lab.accept_now(&b).map(drop)
}

fn filter_of_the_closed(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let mut filter = Gate::close_as(GateKind::Filter, &a, Whose::Everyone)?;
    let mut w = lab.wire_client("W")?;
    lab.wire_syn(&mut w, &Draft::syn())?;
    let answer = lab.wire_send(&mut w, &Draft::new(".", 1, 1))?;
    lab.observe("answer to the first ACK", answer);
    let b = lab.listen("B")?;
    let before = lab.counters()?;
    lab.close_gated(a, &mut filter)?;
    let answer = lab.wire_send(&mut w, &Draft::new(".", 1, 1))?;
    lab.observe("answer to the second ACK", answer);
    lab.observe_counters(&before)?;
    lab.accept_now(&b).map(drop)
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
        let syn = attribute::saved_syn(&child)?;
        lab.observe(&format!("whose SYN {}'s child has", client.name()), shown(&syn, client));
    }
    observe_others(lab, &b, &others)
}
