//! A datagram to the server's address.

use std::net::UdpSocket;

use harness::Context;
use harness::lab::Lab;

/// Sends `what` from a socket of its own.
pub(crate) fn send(lab: &Lab, what: &[u8]) -> harness::Result<()> {
    let family = lab.family();
    let sender = UdpSocket::bind((family.loopback(), 0));
    sender
        .and_then(|sender| sender.send_to(what, family.server()))
        .call(|| "sendto(UDP)".into())
        .map(drop)
}
