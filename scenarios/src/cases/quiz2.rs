//! The talk's second quiz: a listener closes while a handshake is in flight.

use std::time::Duration;

use harness::gate::Whose;
use harness::lab::Lab;
use harness::lab::epoll_watch::EpollWatch;
use harness::socket::{NO_WAKE_UP_MS, Stream};
use harness::trace::Part;

use crate::case::{Case, Migration, Need, Setting, Settings};
use crate::document::TALK;
use crate::judge::expectation::{Expectation, WireRule};
use crate::prefix::{CaseFile, Prefix};

pub(super) const PREFIX: Prefix = Prefix {
    id: "quiz2",
    about: "the talk's second quiz: a handshake in flight",
    files: &[CaseFile { module: module_path!(), cases: CASES }],
};

const CASES: &[Case] = &[Case {
    name: "quiz2",
    does: "A client's final ACK and data are dropped before A sees them; B starts to listen; A is \
           closed; then the client's retransmission is let through.",
    must: "Off: the retransmission finds no request and is answered by an RST without ACK, whose \
           sequence number is the segment's ack. On: it completes the handshake, and B accepts \
           the child with its data. Either way closing A changes nothing by itself: the request \
           stays in flight.",
    documents: &[TALK.at("quiz 2")],
    source: "tcp_v4_rcv(), tcp_v6_rcv(), inet_csk_complete_hashdance(), d4f2c86b2b7e",
    settings: Settings::FamiliesOffAndOn,
    needs: &[Need::Gate],
    // A client with data in flight retransmits after TCP_RTO_MIN.
    waits_for: Duration::from_millis(200),
    wire: WireRule::InExpect,
    run: quiz2,
    expect: |setting| match setting.migration {
        Migration::Off => reset(),
        Migration::On => moved(),
    },
}];

fn quiz2(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let mut gate = lab.close_gate(&a, Whose::Everyone)?;
    let client = lab.connect("C")?;
    client.send(b"Hello World")?;
    lab.until_wire("C > S  P. 1:12(11) ack 1")?;
    // A small backlog, since it is filled at the end.
    let b = lab.listen_with_backlog("B", 8)?;
    let watch = EpollWatch::start(&b)?;
    lab.observe("A's accept queue before the close", a.queue()?.to_string());
    lab.observe_sockets("before the close")?;

    let before = lab.counters()?;
    lab.close_gated(a, &mut gate)?;
    lab.observe_sockets("after the close")?;
    lab.check_syn_ack_timer(client.local)?;
    let dropped = lab.open_gate(gate)?;
    // Either answer settles what happens to the connection.
    lab.until_answer_to("C > S  P. 1:12(11) ack 1")?;
    lab.observe_dropped(dropped);
    lab.observe_bare_resets();
    // A child that is there must have woken B's watcher.
    let within_ms = if b.queue()?.waiting > 0 { NO_WAKE_UP_MS } else { 0 };
    lab.observe("epoll_wait(B)", watch.shown(within_ms)?);

    let child = lab.accept_now(&b)?;
    if let Some(child) = &child {
        lab.observe("recv(B's child)", child.receive_now()?.to_string());
        lab.observe("recv(B's child), again", child.receive_now()?.to_string());
        child.send(b"Hi")?;
    }
    lab.observe("recv(C)", client.receive()?.to_string());
    if child.is_some() {
        lab.begin(Part::TakingDown);
    }
    lab.observe("B's accept queue at the end", b.queue()?.to_string());
    lab.observe_counters(&before)?;
    lab.observe_sockets("at the end")?;
    lab.observe_service(&b)?;
    child.map_or(Ok(()), |child| lab.observe_negotiated(&child))?;
    lab.observe_room(b)
}

/// What must be observed with migration off.
fn reset() -> Expectation {
    common()
        .fact("epoll_wait(B)", "no event")
        .fact("accept(B)", "EAGAIN")
        .fact("recv(C)", "ECONNRESET")
        .fact("resets without ACK", "win 0")
        .fact("sockets at the end", "a listener")
        .counters(&[("OutRsts", 1), ("EstabResets", 1)])
        .wire("C", &format!("{THROUGH_THE_GATE}\nS > C  R 1:1(0)"))
}

/// What must be observed with migration on.
fn moved() -> Expectation {
    common()
        .fact("epoll_wait(B)", "an event")
        .fact("accept(B)", "C's connection")
        .fact("recv(B's child)", "`Hello World`")
        .fact("recv(B's child), again", "EAGAIN")
        .fact("recv(C)", "`Hi`")
        .fact("resets without ACK", "none")
        .fact("sockets at the end", "C ESTABLISHED, C's child ESTABLISHED, a listener")
        .fact("options of the child, and of a fresh one", "alike")
        .counters(&[("TCPMigrateReqSuccess", 1), ("PassiveOpens", 1)])
        .wire(
            "C",
            &format!(
                "{THROUGH_THE_GATE}
                 S > C  . 1:1(0) ack 12
                 -- accept(B): C's connection --
                 S > C  P. 1:3(2) ack 12
               * C > S  . 12:12(0) ack 3
                 -- done --
                 ..."
            ),
        )
}

/// What must be observed in both settings.
fn common() -> Expectation {
    Expectation::new()
        .fact("A's accept queue before the close", "0 of 32")
        .fact("sockets before the close", "C ESTABLISHED, C's request, a listener, a listener")
        .fact("sockets after the close", "C ESTABLISHED, C's request, a listener")
        .fact("final ACKs dropped by the gate", "all before the answered one")
        .fact("B's accept queue at the end", "0 of 8")
        .fact("B serves a fresh client", "yes")
        .fact("handshakes that B has room for", "as many as a fresh listener")
}

/// The handshake, up to the first retransmission that gets through the gate. One that comes
/// while the gate opens may still be dropped; the gate's count shows it. On a machine so slow
/// that the SYN+ACK timer fires, its retransmissions are seen.
const THROUGH_THE_GATE: &str = "
    C > S  S 0:0(0)
    S > C  S. 0:0(0) ack 1
    C > S  . 1:1(0) ack 1
    C > S  P. 1:12(11) ack 1
  * C > S  P. 1:12(11) ack 1
  ~ S > C  S. 0:0(0) ack 1
  ~ C > S  . 1:1(0) ack 1
  ~ C > S  . 12:12(0) ack 1
    -- gate opens --
  * C > S  P. 1:12(11) ack 1
  ~ S > C  S. 0:0(0) ack 1
  ~ C > S  . 1:1(0) ack 1
  ~ C > S  . 12:12(0) ack 1
    C > S  P. 1:12(11) ack 1
";
