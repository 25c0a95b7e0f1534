//! Handshakes that are signed (TCP-MD5, RFC 2385): the key belongs to the listener, and
//! must outlive its close.

use std::time::Duration;

use harness::PORT;
use harness::gate::Whose;
use harness::lab::Lab;
use harness::segment::TcpOption;
use harness::socket::{Client, Listener, Stream};
use harness::wire_client::Draft;

use crate::case::{Case, Need, Setting, Settings};
use crate::expectation::Expectation;
use crate::handshake::data;

pub(crate) const CASES: &[Case] = &[
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
        waits_for: Duration::from_secs(1),
        run: same_key,
        expect: |_| {
            Expectation::new()
                .fact("signed segments refused", "none")
                .fact("accept(B)", "C's connection")
                .fact("accept(B) in the end", "C's connection")
                .fact("recv(B's child)", "`Hello World`")
                .fact("recv(C)", "`Hi`")
                .counters(&[("TCPMigrateReqSuccess", 1), ("PassiveOpens", 1)])
        },
    },
    Case {
        name: "md5/child-without-listener-key",
        does: "A and C have the same key, B has none. C's child waits in A's queue; A is closed.",
        must: "The child has a key of its own, and keeps it: B accepts it, and both sides go on to \
           sign.",
        source: "M-12; tcp_v4_syn_recv_sock(): tcp_md5_key_copy()",
        settings: Settings::FamiliesOn,
        needs: &[Need::Md5],
        run: |lab, _| child_keeps_its_key(lab, None),
        expect: |_| child_keeps_its_key_must(),
        ..Case::DEFAULT
    },
    Case {
        name: "md5/child-with-other-listener-key",
        does: "As md5/child-without-listener-key, but B has another key.",
        must: "The child has a key of its own, and keeps it: B accepts it, and both sides go on to \
           sign with it.",
        source: "M-13; tcp_v4_syn_recv_sock(): tcp_md5_key_copy()",
        settings: Settings::FamiliesOn,
        needs: &[Need::Md5],
        run: |lab, _| child_keeps_its_key(lab, Some(b"B's own")),
        expect: |_| child_keeps_its_key_must(),
        ..Case::DEFAULT
    },
    Case {
        name: "md5/key-of-the-target",
        does: "B alone has a key for W, which does not sign. W's request is A's, which is closed; W \
               sends data, and more of it.",
        must: "The first is checked by A's rule and makes a child of B's, which has B's key: it \
               signs its answer, and drops what comes then without a signature.",
        source: "M-14; tcp_v4_rcv(): the check before the migration; tcp_v4_syn_recv_sock(): \
                 tcp_md5_do_lookup()",
        settings: Settings::FamiliesOn,
        needs: &[Need::Md5],
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
    let a = listen(lab, "A")?;
    let mut gate = lab.close_gate(&a, Whose::Everyone)?;
    let client = Client::bare("C", lab.family(), 0)?;
    signed("C", client.sign(lab.family(), KEY))?;
    let client = lab.connect_client(client)?;
    lab.until_wire("C > S  . 1:1(0) ack 1")?;
    let b = listen(lab, "B")?;
    let before = lab.counters()?;
    lab.close_gated(a, &mut gate)?;
    lab.open_gate(gate)?;

    client.send(b"Hello World")?;
    lab.settle()?;
    let refused = lab.counters()?.grown(&before, "TCPMD5Unexpected").unwrap_or(0);
    lab.observe("signed segments refused", if refused > 0 { "some" } else { "none" });
    let child = lab.accept_now(&b)?;
    // Had it fired before, the request would have been B's already.
    if child.is_none() || refused > 0 {
        lab.check_syn_ack_timer(client.local)?;
    }
    let child = match child {
        Some(child) => child,
        None => b.accept()?,
    };
    let whose = lab.trace().name_of(child.peer);
    lab.observe("accept(B) in the end", format!("{whose}'s connection"));
    lab.observe("recv(B's child)", child.receive()?.to_string());
    child.send(b"Hi")?;
    lab.observe("recv(C)", client.receive()?.to_string());
    lab.observe_counters(&before)
}

fn child_keeps_its_key(lab: &mut Lab, of_b: Option<&[u8]>) -> harness::Result<()> {
    let a = listen(lab, "A")?;
    let client = Client::bare("C", lab.family(), 0)?;
    signed("C", client.sign(lab.family(), KEY))?;
    let client = lab.connect_client(client)?;
    client.send(b"Hello World")?;
    lab.until_wire("S > C  . 1:1(0) ack 12")?;
    let b = lab.listen("B")?;
    of_b.map_or(Ok(()), |key| signed("B", b.sign(key)))?;
    let before = lab.counters()?;
    lab.close(a);
    if let Some(child) = lab.accept_now(&b)? {
        lab.observe("recv(B's child)", child.receive_now()?.to_string());
        child.send(b"Hi")?;
        lab.observe("recv(C)", client.receive()?.to_string());
        client.send(b"again")?;
        lab.observe("recv(B's child), again", child.receive()?.to_string());
    }
    lab.observe_counters(&before)?;
    let now = lab.counters()?;
    for counter in MD5_COUNTERS {
        lab.observe(counter, now.grown(&before, counter).unwrap_or(0));
    }
    let segments = lab
        .trace()
        .segments()
        .filter(|segment| segment.to.port() == PORT || segment.from.port() == PORT);
    let unsigned = segments.filter(|s| !s.options.contains(&TcpOption::Other(MD5_OPTION, 16)));
    let unsigned = unsigned.count();
    lab.observe("segments without a signature", unsigned);
    Ok(())
}

fn key_of_the_target(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let mut w = lab.wire_client("W")?;
    lab.wire_syn(&mut w, &Draft::syn())?;
    let b = listen(lab, "B")?;
    let before = lab.counters()?;
    lab.close(a);
    lab.wire_send(&mut w, &data())?;
    let signature = TcpOption::Other(MD5_OPTION, 16);
    let signed = lab.trace().segments().filter(|s| s.options.contains(&signature)).count();
    lab.observe("signed answers", signed);
    let answer = lab.wire_send(&mut w, &Draft::new("P.", 12, 1).payload(b"again"))?;
    lab.observe("answer to more data", answer);
    let not_found = lab.counters()?.grown(&before, "TCPMD5NotFound").unwrap_or(-1);
    lab.observe("TCPMD5NotFound", not_found);
    lab.observe_counters(&before)?;
    if let Some(child) = lab.accept_now(&b)? {
        lab.observe("recv(B's child)", child.receive_now()?.to_string());
        child.reset_on_close()?;
    }
    Ok(())
}

/// What the kernel counts of signatures that are not as they should be.
const MD5_COUNTERS: [&str; 3] = ["TCPMD5NotFound", "TCPMD5Unexpected", "TCPMD5Failure"];

/// The kind of the TCP option that a signature is (RFC 2385).
const MD5_OPTION: u8 = 19;

fn child_keeps_its_key_must() -> Expectation {
    let must = Expectation::new()
        .fact("accept(B)", "C's connection")
        .fact("recv(B's child)", "`Hello World`")
        .fact("recv(C)", "`Hi`")
        .fact("recv(B's child), again", "`again`")
        .fact("segments without a signature", 0)
        .counters(&[("TCPMigrateReqSuccess", 1)]);
    MD5_COUNTERS.iter().fold(must, |must, counter| must.fact(counter, 0))
}

fn listen(lab: &mut Lab, name: &str) -> harness::Result<Listener> {
    let listener = lab.listen(name)?;
    signed(name, listener.sign(KEY))?;
    Ok(listener)
}

fn signed(name: &str, came: std::io::Result<()>) -> harness::Result<()> {
    came.map_err(|source| harness::Error::Call {
        call: format!("setsockopt({name}, TCP_MD5SIG)"),
        source,
    })
}
