//! Handshakes that are signed (TCP-MD5, RFC 2385): the key belongs to the listener, and
//! must outlive its close.

use std::time::Duration;

use harness::gate::Whose;
use harness::lab::Lab;
use harness::socket::{Client, Listener, Stream};

use crate::case::{Case, Need, Setting, Settings};
use crate::expectation::Expectation;

pub(crate) const CASES: &[Case] = &[Case {
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
}];

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
