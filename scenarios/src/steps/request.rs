//! A request of W's that A has, and what W and the listeners do next.

use harness::lab::Lab;
use harness::net::segment::Segment;
use harness::socket::wire_client::{Draft, WireClient};
use harness::socket::{Client, Listener, Stream};

pub(crate) const NOTHING: &str = "nothing";

pub(crate) const RESET: &str = "S > W  R 1:1(0)";

pub(crate) const SYN_ACK: &str = "S > fresh  S. 0:0(0) ack 1";

pub(crate) const IN_FLIGHT: &str = "
    W > S  S 0:0(0)
    S > W  S. 0:0(0) ack 1
    -- close(A) --
";

/// A has W's request.
pub(crate) fn requested(lab: &mut Lab) -> harness::Result<(Listener, WireClient)> {
    let a = lab.listen("A")?;
    let mut w = lab.wire_client("W")?;
    lab.wire_syn(&mut w, &Draft::syn())?;
    Ok((a, w))
}

/// A, which has W's request, is closed while B listens.
pub(crate) fn closed(lab: &mut Lab) -> harness::Result<(WireClient, Listener)> {
    let (a, w) = requested(lab)?;
    let b = lab.listen("B")?;
    lab.close(a);
    Ok((w, b))
}

pub(crate) fn data() -> Draft {
    Draft::new("P.", 1, 1).payload(b"Hello World")
}

pub(crate) fn observe_child(lab: &mut Lab, b: &Listener) -> harness::Result<()> {
    let child = lab.accept_now(b)?;
    let received = child.map_or(Ok("no child".into()), |child| {
        // W would never acknowledge a FIN.
        child.receive_now().map(|received| received.to_string())
    })?;
    lab.observe("recv(B's child)", received);
    Ok(())
}

/// Whether the one listener that is left takes a new handshake. One whose count of
/// requests went wrong drops the SYN.
pub(crate) fn observe_fresh_syn(lab: &mut Lab) -> harness::Result<()> {
    let mut fresh = lab.wire_client("fresh")?;
    let before = lab.counters()?;
    let answer = lab.wire_send(&mut fresh, &Draft::syn())?;
    lab.observe("answer to a fresh SYN", answer);
    let dropped = lab.counters()?.grown(&before, "TCPReqQFullDrop");
    lab.observe("fresh SYNs dropped for a full queue", dropped.unwrap_or(-1));
    // Or the request would keep its listener from being freed until it times out.
    lab.wire_send(&mut fresh, &Draft::new("R", 1, 0)).map(drop)
}

/// A, which is closed, had W's request; B listens, and C's child fills its accept queue.
pub(crate) fn full(lab: &mut Lab) -> harness::Result<(WireClient, Listener, Client)> {
    let (a, w) = requested(lab)?;
    // A backlog of none has room for one.
    let b = lab.listen_with_backlog("B", 0)?;
    lab.close(a);
    let c = lab.connect("C")?;
    lab.settle()?;
    Ok((w, b, c))
}

/// A has W's request; B, which has a small backlog to be filled, listens.
pub(crate) fn request_in_flight(
    lab: &mut Lab,
) -> harness::Result<(Listener, WireClient, Listener)> {
    let (a, w) = requested(lab)?;
    let b = lab.listen_with_backlog("B", 8)?;
    Ok((a, w, b))
}

/// The answer to W's SYN.
pub(crate) const SYN_ACK_TO_W: &str = "S > W  S. 0:0(0) ack 1";

/// The SYN+ACKs that were sent until now.
pub(crate) fn syn_acks(lab: &mut Lab) -> impl Iterator<Item = &Segment> {
    lab.trace().segments().filter(|segment| segment.flags.syn() && segment.flags.ack())
}
