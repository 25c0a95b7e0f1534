//! Handshakes that are signed (TCP-MD5, RFC 2385): the key belongs to the listener, and
//! must outlive its close.

use harness::lab::Lab;
use harness::net::segment::TcpOption;
use harness::socket::Stream;
use harness::socket::wire_client::Draft;

use crate::case::{Case, Need, Setting, Settings};
use crate::judge::expectation::{AnyWire, Expectation, WireRule};
use crate::prefix::{CaseFile, Prefix};
use crate::steps::request::data;
use crate::steps::signed::{Signing, accept_sooner_or_later, observe_accepted, talk, talk_must};
use crate::steps::syn_ack_timer::{FIRST, option};
use crate::steps::wires;

pub(super) const PREFIX: Prefix = Prefix {
    id: "md5",
    about: "handshakes that are signed with TCP-MD5",
    files: &[CaseFile { module: module_path!(), cases: CASES }],
};

const CASES: &[Case] = &[
    Case {
        name: "md5/same-key",
        does: "A, B and C have the same key. C's signed final ACK is held; B listens; A is closed; then \
           C sends data.",
        must: "The signature is checked with A's key, which lives as long as its requests do: the data \
           completes the handshake on B at once.",
        source: "tcp_v4_rcv(): tcp_inbound_hash() before the migration; tcp_md5_destruct_sock(), \
                 9e472d9e84b1",
        settings: Settings::FamiliesOn,
        needs: &[Need::Gate, Need::Md5],
        // Where the data is refused, the SYN+ACK timer moves the request after a second.
        waits_for: FIRST,
        wire: WireRule::Any(AnyWire::TimersFire),
        run: same_key,
        expect: |_| {
            talk_must()
                .fact("signed segments refused", "none")
                .fact("accept(B)", "C's connection")
                .fact("accept(B) in the end", "C's connection")
                .fact("recv(B's child)", "`Hello World`")
                .counters(&[("TCPMigrateReqSuccess", 1), ("PassiveOpens", 1)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "md5/another-key",
        does: "As md5/same-key, but C signs its data with another key; and later with the right \
               one.",
        must: "What is signed with another key is refused, and moves nothing: the request stays as \
               it is, and C's retransmission, correctly signed, completes the handshake on B.",
        source: "tcp_v4_rcv(): tcp_inbound_hash() before the migration, discard_and_relse",
        settings: Settings::FamiliesOn,
        needs: &[Need::Gate, Need::Md5],
        // As above.
        waits_for: FIRST,
        wire: WireRule::Any(AnyWire::TimersFire),
        run: another_key,
        expect: |_| {
            talk_must()
                .fact("segments that TCPMD5Failure counts", "some")
                .fact("answers to them", 0)
                .fact("accept(B)", "EAGAIN")
                .fact("accept(B) in the end", "C's connection")
                .fact("recv(B's child)", "`Hello World`")
                .counters(&[("TCPMigrateReqSuccess", 1), ("PassiveOpens", 1)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "md5/child-without-listener-key",
        does: "A and C have the same key, B has none. C's child waits in A's queue; A is closed.",
        must: "The child has a key of its own, and keeps it: B accepts it, and both sides go on \
               signing.",
        source: "tcp_v4_syn_recv_sock(): tcp_md5_key_copy()",
        settings: Settings::FamiliesOn,
        needs: &[Need::Md5],
        wire: WireRule::Shows(&[wires::C_IS_ANSWERED_TWICE_ASKED]),
        run: |lab, _| MD5.child_keeps_its_key(lab, |_, _| Ok(())),
        expect: |_| MD5.child_keeps_its_key_must(),
        ..Case::DEFAULT
    },
    Case {
        name: "md5/child-with-other-listener-key",
        does: "As md5/child-without-listener-key, but B has another key.",
        must: "The child has a key of its own, and keeps it: B accepts it, and both sides go on \
               signing with it.",
        source: "tcp_v4_syn_recv_sock(): tcp_md5_key_copy()",
        settings: Settings::FamiliesOn,
        needs: &[Need::Md5],
        wire: WireRule::Shows(&[wires::C_IS_ANSWERED_TWICE_ASKED]),
        run: |lab, _| MD5.child_keeps_its_key(lab, |_, b| signed("B", b.sign(b"B's own"))),
        expect: |_| MD5.child_keeps_its_key_must(),
        ..Case::DEFAULT
    },
    Case {
        name: "md5/unasked-for",
        does: "A has W's request; B listens, and nobody has keys; A is closed. W sends data with a \
               signature, and then without.",
        must: "Signed data is refused, as nobody can check it, and moves nothing. Unsigned data \
               completes the handshake on B.",
        source: "tcp_v4_rcv(): tcp_inbound_hash() before the migration; tcp_inbound_md5_hash()",
        settings: Settings::FamiliesOn,
        needs: &[Need::Md5],
        wire: WireRule::Any(AnyWire::OptionsMatter),
        run: |lab, _| MD5.unexpected_signature(lab),
        expect: |_| MD5.unexpected_signature_must("TCPMD5Unexpected"),
        ..Case::DEFAULT
    },
    Case {
        name: "md5/key-of-the-target",
        does: "Only B has a key for W, and W does not sign. A has W's request and is closed; W \
               sends data, and then more.",
        must: "The first data is checked by A's rules and makes a child of B, which has B's key: \
               the child signs its answer, and drops what comes without a signature after that.",
        source: "tcp_v4_rcv(): the check before the migration; tcp_v4_syn_recv_sock(): \
                 tcp_md5_do_lookup()",
        settings: Settings::FamiliesOn,
        needs: &[Need::Md5],
        wire: WireRule::Shows(&[(
            "W",
            "
                W > S  S 0:0(0)
                S > W  S. 0:0(0) ack 1
                W > S  P. 1:12(11) ack 1
                S > W  . 1:1(0) ack 12
                W > S  P. 12:17(5) ack 1
                S > W  R. 1:1(0) ack 12
                ...
            ",
        )]),
        run: key_of_the_target,
        expect: |_| {
            Expectation::new()
                .fact("accept(B)", "W's connection")
                .fact("recv(B's child)", "`Hello World`")
                .fact("signed answers", 1)
                .fact("answer to more data", "nothing")
                .fact("TCPMD5NotFound", 1)
                .counters(&[("TCPMigrateReqSuccess", 1), ("PassiveOpens", 1)])
        },
        ..Case::DEFAULT
    },
];

const KEY: &[u8] = b"shared by A, B and C";

fn same_key(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let held = MD5.held(lab)?;
    let b = MD5.listen(lab, "B")?;
    let before = lab.counters()?;
    let client = held.close(lab)?;

    client.send(b"Hello World")?;
    lab.settle()?;
    let refused = lab.counters()?.grown(&before, "TCPMD5Unexpected").unwrap_or(0);
    lab.observe("signed segments refused", if refused > 0 { "some" } else { "none" });
    let child = accept_sooner_or_later(lab, &client, &b, refused > 0)?;
    talk(lab, &client, &child)?;
    lab.observe_counters(&before)
}

fn another_key(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let held = MD5.held(lab)?;
    let b = MD5.listen(lab, "B")?;
    let before = lab.counters()?;
    let client = held.close(lab)?;

    signed("C", client.sign(lab.family(), b"another"))?;
    client.send(b"Hello World")?;
    lab.settle()?;
    let refused = lab.counters()?.grown(&before, "TCPMD5Failure").unwrap_or(0);
    lab.observe("segments that TCPMD5Failure counts", if refused > 0 { "some" } else { "none" });
    // But for SYN+ACKs, of which the timer may have sent another.
    let trace = lab.trace();
    let to_client = trace.segments().filter(|s| trace.name_of(s.to) == "C");
    let answers = to_client.filter(|s| !s.flags.syn()).count();
    lab.observe("answers to them", answers);
    lab.accept_now(&b)?;
    signed("C", client.sign(lab.family(), KEY))?;
    let child = b.accept()?;
    observe_accepted(lab, &child)?;
    talk(lab, &client, &child)?;
    lab.observe_counters(&before)
}

fn key_of_the_target(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let mut w = lab.wire_client("W")?;
    lab.wire_syn(&mut w, &Draft::syn())?;
    let b = MD5.listen(lab, "B")?;
    let before = lab.counters()?;
    lab.close(a);
    lab.wire_send(&mut w, &data())?;
    let signed = lab.trace().segments().filter(|s| s.options.contains(&MD5.option)).count();
    lab.observe("signed answers", signed);
    let answer = lab.wire_send(&mut w, &Draft::new("P.", 12, 1).payload(b"again"))?;
    lab.observe("answer to more data", answer);
    let not_found = lab.counters()?.grown(&before, "TCPMD5NotFound").unwrap_or(-1);
    lab.observe("TCPMD5NotFound", not_found);
    lab.observe_counters(&before)?;
    if let Some(child) = lab.accept_now(&b)? {
        lab.observe("recv(B's child)", child.receive_now()?.to_string());
    }
    Ok(())
}

/// RFC 2385: the option's kind, and the bytes of its digest.
const MD5: Signing = Signing {
    listener: |_, listener| signed(listener.name(), listener.sign(KEY)),
    client: |lab, client| signed(client.name(), client.sign(lab.family(), KEY)),
    option: TcpOption::Other(19, 16),
    counters: &["TCPMD5NotFound", "TCPMD5Unexpected", "TCPMD5Failure"],
};

fn signed(name: &str, came: std::io::Result<()>) -> harness::Result<()> {
    option(&format!("{name}, TCP_MD5SIG"), came)
}
