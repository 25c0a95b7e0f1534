//! Clients that ask for Multipath TCP, and the keys of both sides.
//!
//! A client asks for it by MP_CAPABLE in its SYN; the SYN+ACK brings the server's key, and the
//! segment that ends the handshake brings both sides' keys. Here the client is no socket.

use std::io;

use harness::lab::{Lab, MULTIPATH_WATCHED, outcome};
use harness::socket::wire_client::{Draft, WireClient};
use harness::socket::{Child, Listener, Stream};
use harness::trace::observation::Value;

use crate::judge::expectation::Expectation;
use crate::steps::request::data;

/// What a listener is.
#[derive(Clone, Copy)]
pub(super) enum ListenerProtocol {
    Tcp,
    Multipath,
}

/// What W sends.
const HELLO_WORLD: &[u8] = b"Hello World";

pub(super) const CLIENT_KEY: u64 = 0x0123_4567_89ab_cdef;

/// The answer to W's `Hello World`.
pub(super) const ACKNOWLEDGED: &str = "S > W  . 1:1(0) ack 12";

pub(super) fn listen(
    lab: &mut Lab,
    kind: ListenerProtocol,
    name: &str,
) -> harness::Result<Listener> {
    match kind {
        ListenerProtocol::Tcp => lab.listen(name),
        ListenerProtocol::Multipath => lab.listen_multipath(name),
    }
}

/// The SYN that asks for Multipath TCP.
pub(super) fn syn() -> Draft {
    Draft::syn().mp_capable(&[], None)
}

/// Data that ends a handshake of Multipath TCP.
pub(super) fn data_with(server_key: u64) -> Draft {
    data().mp_capable(&[CLIENT_KEY, server_key], Some(HELLO_WORLD.len() as u16))
}

/// A listens, and has a request of W's.
pub(super) fn asked(
    lab: &mut Lab,
    kind: ListenerProtocol,
    syn: &Draft,
) -> harness::Result<(Listener, WireClient)> {
    let a = listen(lab, kind, "A")?;
    let mut w = lab.wire_client("W")?;
    lab.wire_syn(&mut w, syn)?;
    let spoken = if lab.server_key(&w).is_some() { "MPTCP" } else { "TCP" };
    lab.observe("the SYN+ACK speaks", spoken);
    Ok((a, w))
}

/// What a listener accepts, of which protocol, and with which data.
pub(super) fn observe_child(lab: &mut Lab, listener: &Listener) -> harness::Result<Option<Child>> {
    let child = lab.accept_now(listener)?;
    let (protocol, received) = match &child {
        None => ("no child".into(), "no child".into()),
        Some(child) => (child.protocol()?, child.receive_now()?.to_string()),
    };
    let name = listener.name();
    lab.observe(&format!("{name}'s child speaks"), protocol);
    lab.observe(&format!("recv({name}'s child)"), received);
    lab.observe_resets("W");
    Ok(child)
}

/// Ends the connection of B's child, if it has accepted one.
pub(super) fn end(lab: &mut Lab, child: Option<Child>, w: &mut WireClient) -> harness::Result<()> {
    child.map_or(Ok(()), |child| end_of("B's child", lab, &child, w))
}

/// Ends W's connection, which was accepted as `child` and is called `name`, and of which W would
/// never acknowledge the end. Where the kernel refuses that, W resets it.
pub(super) fn end_of(
    name: &str,
    lab: &mut Lab,
    child: &Child,
    w: &mut WireClient,
) -> harness::Result<()> {
    let ended = reset(lab, child, w)?;
    lab.observe(&abort_of(name), outcome(ended));
    Ok(())
}

/// As [`end_of`], and what the kernel answered.
pub(super) fn reset(
    lab: &mut Lab,
    child: &Child,
    w: &mut WireClient,
) -> harness::Result<io::Result<()>> {
    let ended = child.try_abort();
    if ended.is_err() {
        lab.wire_send(w, &Draft::new("R", 1 + HELLO_WORLD.len() as u32, 0))?;
    }
    Ok(ended)
}

/// The fact of [`end_of`].
pub(super) fn abort_of(name: &str) -> String {
    format!("connect({name}, AF_UNSPEC)")
}

/// B accepts W's connection, with its data.
pub(super) fn accepts(agreed: &str, protocol: &str) -> Expectation {
    Expectation::new()
        .fact("the SYN+ACK speaks", agreed)
        .fact("accept(B)", "W's connection")
        .fact("B's child speaks", protocol)
        .fact("recv(B's child)", "`Hello World`")
        .fact(&abort_of("B's child"), "ok")
        .with(&multipath_counters(i64::from(protocol == "MPTCP")))
}

/// Of [`MULTIPATH_WATCHED`] only accepted connections of Multipath TCP count.
pub(super) fn multipath_counters(accepted: i64) -> Vec<(String, Value)> {
    let by = |name: &str| if name == "MPCapableACKRX" { accepted } else { 0 };
    MULTIPATH_WATCHED.iter().map(|name| ((*name).to_owned(), by(name).into())).collect()
}
