//! Handshakes and children that are signed by TCP-AO (RFC 5925). A listener has keys for its
//! clients; a request remembers which of them its SYN was signed with, and its child gets
//! the matching keys of the listener that the request belongs to then.

use harness::lab::Lab;
use harness::net::segment::TcpOption;
use harness::socket::Stream;
use harness::socket::ao::Key;
use harness::socket::wire_client::Draft;
use harness::trace::Act;
use harness::{Family, socket::ao};

use crate::case::{Case, Need, Setting, Settings};
use crate::judge::expectation::{AnyWire, Expectation, WireRule};
use crate::prefix::{CaseFile, Prefix};
use crate::steps::request::{NOTHING, data, request_in_flight, syn_acks};
use crate::steps::signed::{Held, Signing, accept_sooner_or_later, talk, talk_must};
use crate::steps::syn_ack_timer::FIRST;
use crate::steps::wires;

pub(super) const PREFIX: Prefix = Prefix {
    id: "ao",
    about: "handshakes and children that are signed with TCP-AO, and the keys of each listener",
    files: &[CaseFile { module: module_path!(), cases: CASES }],
};

const CASES: &[Case] = &[
    Case {
        name: "ao/same-key",
        does: "A, B and C have the same key. C's signed final ACK is held; B listens; A is closed; \
               then C sends data.",
        must: "The signature is valid with the key that A had and B has: the data completes the \
               handshake on B at once, and both sides go on signing.",
        source: "tcp_v4_rcv(): tcp_inbound_hash() before the migration; tcp_inbound_ao_hash(): a \
                 listener in TCP_CLOSE",
        settings: Settings::FamiliesOn,
        needs: &[Need::Gate, Need::Ao],
        // Where the data is refused, the SYN+ACK timer moves the request after a second.
        waits_for: FIRST,
        wire: WireRule::Any(AnyWire::TimersFire),
        run: same_key,
        expect: |_| {
            talk_must()
                .fact("C's data is met by", "its acknowledgement")
                .fact("accept(B)", "C's connection")
                .fact("accept(B) in the end", "C's connection")
                .fact("recv(B's child)", "`Hello World`")
                .fact("keys of B's child", "sends with 1, asks for 1, of 1 key")
                .fact("segments without a signature", 0)
                .counters(&[("TCPMigrateReqSuccess", 1), ("PassiveOpens", 1)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "ao/keys-of-the-target",
        does: "A, B and C have the same key; B has two others for C's address, one added before it \
               and one after it, and one for another address; B accepts nothing unsigned from \
               anybody, and accepts ICMP errors. C's final ACK is held; A is closed; the SYN+ACK \
               timer fires.",
        must: "B signs the SYN+ACK with the key that the SYN named, which C answers. The child has \
               B's three keys for C, goes on with the one of its SYN, and has B's rules.",
        source: "tcp_make_synack(): ao_keyid; tcp_ao_copy_all_matching(): tcp_ao_key_cmp(), \
                 current_key, rnext_key, ao_required, accept_icmps",
        settings: Settings::FamiliesOn,
        needs: &[Need::Gate, Need::Ao],
        waits_for: FIRST,
        wire: WireRule::Any(AnyWire::TimersFire),
        run: keys_of_the_target,
        expect: |_| {
            let must = talk_must()
                .fact("accept(B)", "C's connection")
                .fact(
                    "keys of B's child",
                    "sends with 1, asks for 1, of 3 keys, required, accept_icmps",
                )
                .fact("segments without a signature", 0)
                .counters(&[("TCPMigrateReqSuccess", 1), ("PassiveOpens", 1)]);
            AO.counters.iter().fold(must, |must, counter| must.fact(counter, 0))
        },
        ..Case::DEFAULT
    },
    Case {
        name: "ao/request-without-listener-key",
        does: "A and C have the same key, B has none. C's final ACK is held; A is closed; the \
               SYN+ACK timer fires; C sends data.",
        must: LOST,
        source: "reqsk_timer_handler(): tcp_rtx_synack(), tcp_make_synack(): no ao_key; \
                 tcp_inbound_ao_hash(): no ao_info",
        settings: Settings::FamiliesOn,
        needs: &[Need::Gate, Need::Ao],
        waits_for: FIRST,
        wire: WireRule::Any(AnyWire::TimersFire),
        run: |lab, _| lost(lab, None),
        expect: |_| lost_must(),
        ..Case::DEFAULT
    },
    Case {
        name: "ao/request-with-other-listener-key",
        does: "As ao/request-without-listener-key, but B has a key for C with another id.",
        must: LOST,
        source: "reqsk_timer_handler(): tcp_rtx_synack(), tcp_make_synack(): ao_keyid; \
                 tcp_inbound_ao_hash(): tcp_ao_inbound_lookup()",
        settings: Settings::FamiliesOn,
        needs: &[Need::Gate, Need::Ao],
        waits_for: FIRST,
        wire: WireRule::Any(AnyWire::TimersFire),
        run: |lab, _| lost(lab, Some(OTHER)),
        expect: |_| lost_must(),
        ..Case::DEFAULT
    },
    Case {
        name: "ao/request-with-another-secret",
        does: "As ao/request-without-listener-key, but B has a different key with the same id.",
        must: "B signs the SYN+ACK with its own key. C refuses it, as B refuses C's data: neither \
               is answered, and the request stays.",
        source: "tcp_v4_rcv(): tcp_inbound_hash() of a request; tcp_ao_verify_hash()",
        settings: Settings::FamiliesOn,
        needs: &[Need::Gate, Need::Ao],
        waits_for: FIRST,
        wire: WireRule::Any(AnyWire::TimersFire),
        run: another_secret,
        expect: |_| {
            Expectation::new()
                .fact("what TCPAOBad counts of SYN+ACKs", 1)
                .fact("what it counts of data", "some")
                .fact("sockets then", "C ESTABLISHED, C's request, a listener")
                .fact("accept(B)", "EAGAIN")
                .fact("segments without a signature", 0)
                .counters(&[("TCPMigrateReqSuccess", 1)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "ao/child-without-listener-key",
        does: "A and C have the same key, B has none. C's child waits in A's queue; A is closed.",
        must: "The child has a key of its own, and keeps it: B accepts it, and both sides go on \
               signing.",
        source: "tcp_v4_syn_recv_sock(): tcp_ao_copy_all_matching() of the old listener",
        settings: Settings::FamiliesOn,
        needs: &[Need::Ao],
        wire: WireRule::Shows(&[wires::C_IS_ANSWERED_TWICE_ASKED]),
        run: |lab, _| AO.child_keeps_its_key(lab, |_, _| Ok(())),
        expect: |_| AO.child_keeps_its_key_must(),
        ..Case::DEFAULT
    },
    Case {
        name: "ao/child-with-other-listener-key",
        does: "As ao/child-without-listener-key, but B has a different key with the same id.",
        must: "The child has a key of its own, and keeps it: B accepts it, and both sides go on \
               signing with it.",
        source: "tcp_v4_syn_recv_sock(): tcp_ao_copy_all_matching() of the old listener",
        settings: Settings::FamiliesOn,
        needs: &[Need::Ao],
        wire: WireRule::Shows(&[wires::C_IS_ANSWERED_TWICE_ASKED]),
        run: |lab, _| {
            AO.child_keeps_its_key(lab, |lab, b| {
                b.authenticate(lab.family().loopback(), Key { secret: b"B's own", ..KEY })
            })
        },
        expect: |_| AO.child_keeps_its_key_must(),
        ..Case::DEFAULT
    },
    Case {
        name: "ao/unasked-for",
        does: "A has W's request, whose SYN was unsigned; B listens, and nobody has keys; A is \
               closed. W sends data with a signature, and then without.",
        must: "Whether a connection is signed is settled by its SYN: signed data is refused before \
               any key is looked for, and moves nothing. Unsigned data completes the handshake on \
               B.",
        source: "tcp_inbound_hash(): tcp_rsk_used_ao()",
        settings: Settings::FamiliesOn,
        needs: &[Need::Ao],
        wire: WireRule::Any(AnyWire::OptionsMatter),
        run: |lab, _| AO.unexpected_signature(lab),
        expect: |_| AO.unexpected_signature_must("TCPAOBad"),
        ..Case::DEFAULT
    },
    Case {
        name: "ao/key-of-the-target",
        does: "Only B has a key for W, and W does not sign. A has W's request and is closed; W \
               sends data, and then more.",
        must: "Whether a connection is signed is settled by its SYN: B's child has no key and \
               answers unsigned, although B accepts no unsigned SYN from that address.",
        source: "tcp_ao_copy_all_matching(): tcp_rsk_used_ao()",
        settings: Settings::FamiliesOn,
        needs: &[Need::Ao],
        wire: WireRule::Shows(&[(
            "W",
            "
                W > S  S 0:0(0)
                S > W  S. 0:0(0) ack 1
                W > S  P. 1:12(11) ack 1
                S > W  . 1:1(0) ack 12
                W > S  P. 12:17(5) ack 1
                S > W  . 1:1(0) ack 17
                S > W  R. 1:1(0) ack 17
                ...
            ",
        )]),
        run: key_of_the_target,
        expect: |_| {
            Expectation::new()
                .fact("answer to data", "S > W  . 1:1(0) ack 12")
                .fact("answer to more data", "S > W  . 1:1(0) ack 17")
                .fact("accept(B)", "W's connection")
                .fact("keys of B's child", "none")
                .fact("recv(B's child)", "`Hello Worldagain`")
                .fact("answer to an unsigned SYN", NOTHING)
                .fact("TCPAORequired", 1)
                .fact("TCPAOBad", 0)
                .fact("TCPAOKeyNotFound", 0)
                .counters(&[("TCPMigrateReqSuccess", 1), ("PassiveOpens", 1)])
        },
        ..Case::DEFAULT
    },
];

const KEY: Key = Key { id: 1, secret: b"shared by A, B and C" };

const OTHER: Key = Key { id: 2, secret: b"B's own" };

const AO: Signing = Signing {
    listener: |lab, listener| listener.authenticate(lab.family().loopback(), KEY),
    client: |_, client| client.authenticate(KEY),
    option: TcpOption::Other(ao::OPTION.0, ao::OPTION.1),
    counters: &["TCPAORequired", "TCPAOBad", "TCPAOKeyNotFound"],
};

fn same_key(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let held = AO.held(lab)?;
    let b = AO.listen(lab, "B")?;
    let before = lab.counters()?;
    let client = held.close(lab)?;

    client.send(b"Hello World")?;
    lab.settle()?;
    let taken = b.queue()?.waiting > 0;
    let child = accept_sooner_or_later(lab, &client, &b, !taken)?;
    observe_first_answer(lab);
    lab.observe("keys of B's child", ao::keys(&child)?);
    talk(lab, &client, &child)?;
    lab.observe_counters(&before)?;
    AO.observe_unsigned(lab);
    Ok(())
}

/// What came first from the server when C's data was through.
fn observe_first_answer(lab: &mut Lab) {
    let lines = lab.trace().lines();
    let sent = lines.iter().rposition(|line| line.act() == Some(&Act::OpenGate)).unwrap_or(0);
    let first = lines[sent..].iter().find(|line| line.ends() == Some(("S", "C")));
    let met = match first.map(|line| line.what.as_str()) {
        Some("S > C  . 1:1(0) ack 12") => "its acknowledgement",
        Some("S > C  S. 0:0(0) ack 1") => "silence, and then a SYN+ACK again",
        _ => "something else",
    };
    lab.observe("C's data is met by", met);
}

/// An address that is not C's.
fn elsewhere(family: Family) -> std::net::IpAddr {
    match family {
        Family::V4 => "127.0.0.2".parse(),
        Family::V6 => "::2".parse(),
        Family::V4Mapped => "::ffff:127.0.0.2".parse(),
    }
    .expect("an address")
}

fn keys_of_the_target(lab: &mut Lab, setting: Setting) -> harness::Result<()> {
    let held = AO.held(lab)?;
    let b = lab.listen("B")?;
    let of_c = setting.family.loopback();
    b.authenticate(of_c, OTHER)?;
    b.authenticate(of_c, KEY)?;
    b.authenticate(of_c, Key { id: 4, secret: b"B's own, too" })?;
    b.authenticate(elsewhere(setting.family), Key { id: 3, secret: b"for others" })?;
    b.authenticate_everybody()?;
    let before = lab.counters()?;
    let client = held.close(lab)?;
    lab.until_wire("S > C  S. 0:0(0) ack 1")?;
    lab.settle()?;
    if let Some(child) = lab.accept_now(&b)? {
        lab.observe("keys of B's child", ao::keys(&child)?);
        talk(lab, &client, &child)?;
    }
    lab.observe_counters(&before)?;
    AO.observe_counters(lab, &before)?;
    AO.observe_unsigned(lab);
    Ok(())
}

const LOST: &str = "B cannot sign the SYN+ACK with the key that C asked for, and sends none, not \
                    even an unsigned one: the request cannot move, and is dropped. C's data is \
                    never answered, not even by a reset.";

fn lost(lab: &mut Lab, of_b: Option<Key>) -> harness::Result<()> {
    let held: Held = AO.held(lab)?;
    let b = lab.listen("B")?;
    of_b.map_or(Ok(()), |key| b.authenticate(lab.family().loopback(), key))?;
    let before = lab.counters()?;
    let client = held.close(lab)?;
    lab.until_no_request_of(client.name(), client.local, FIRST)?;
    lab.observe_counters(&before)?;
    let syn_acks = syn_acks(lab).count();
    lab.observe("SYN+ACKs", syn_acks);
    lab.observe_sockets("after the timer")?;
    client.send(b"Hello World")?;
    lab.settle()?;
    let refused = lab.counters()?.grown(&before, "TCPAOKeyNotFound").unwrap_or(0);
    lab.observe("signed segments refused", if refused > 0 { "some" } else { "none" });
    lab.observe("recv(C)", client.receive_now()?.to_string());
    AO.observe_unsigned(lab);
    let resets = lab.trace().segments().filter(|s| s.flags.rst()).count();
    lab.observe("resets", resets);
    Ok(())
}

fn lost_must() -> Expectation {
    Expectation::new()
        .fact("SYN+ACKs", 1)
        .fact("sockets after the timer", "C ESTABLISHED, a listener")
        .fact("signed segments refused", "some")
        .fact("recv(C)", "EAGAIN")
        .fact("segments without a signature", 0)
        .fact("resets", 0)
        .counters(&[("TCPMigrateReqFailure", 1)])
}

fn another_secret(lab: &mut Lab, setting: Setting) -> harness::Result<()> {
    let held = AO.held(lab)?;
    let b = lab.listen("B")?;
    b.authenticate(setting.family.loopback(), Key { secret: b"B's own", ..KEY })?;
    let before = lab.counters()?;
    let client = held.close(lab)?;
    lab.until_wire("S > C  S. 0:0(0) ack 1")?;
    lab.settle()?;
    let at_client = lab.counters()?.grown(&before, "TCPAOBad").unwrap_or(0);
    lab.observe("what TCPAOBad counts of SYN+ACKs", at_client);
    client.send(b"Hello World")?;
    lab.settle()?;
    let at_both = lab.counters()?.grown(&before, "TCPAOBad").unwrap_or(0);
    lab.observe("what it counts of data", if at_both > at_client { "some" } else { "none" });
    lab.observe_sockets("then")?;
    lab.accept_now(&b)?;
    lab.observe_counters(&before)?;
    AO.observe_unsigned(lab);
    Ok(())
}

fn key_of_the_target(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let (a, mut w, b) = request_in_flight(lab)?;
    (AO.listener)(lab, &b)?;
    let before = lab.counters()?;
    lab.close(a);
    let answer = lab.wire_send(&mut w, &data())?;
    lab.observe("answer to data", answer);
    let answer = lab.wire_send(&mut w, &Draft::new("P.", 12, 1).payload(b"again"))?;
    lab.observe("answer to more data", answer);
    if let Some(child) = lab.accept_now(&b)? {
        lab.observe("keys of B's child", ao::keys(&child)?);
        lab.observe("recv(B's child)", child.receive_now()?.to_string());
        lab.observe_counters(&before)?;
    }
    let mut fresh = lab.wire_client("fresh")?;
    let answer = lab.wire_send(&mut fresh, &Draft::syn())?;
    lab.observe("answer to an unsigned SYN", answer);
    AO.observe_counters(lab, &before)
}
