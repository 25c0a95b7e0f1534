//! The talk's two quizzes: a listener closes while a connection is its, in the accept
//! queue or still in the handshake.

use std::time::Duration;

use harness::gate::Whose;
use harness::lab::Lab;
use harness::socket::{Child, Client, Listener, NO_WAKE_UP_MS, Stream};
use harness::sysctl::MIGRATE_REQ;
use harness::watch::Watch;

use crate::case::{Case, Migration, Need, Setting, Settings};
use crate::expectation::Expectation;

/// A client with data in flight retransmits after TCP_RTO_MIN.
const DATA_RETRANSMISSION: Duration = Duration::from_millis(200);

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "quiz1",
        does: "The child of a client that has sent `Hello World` waits in A's accept queue; B \
               starts to listen; A is closed.",
        must: "Off: the child is reset, by one RST that acknowledges the data, and B has nothing \
               to accept. On: B accepts the child with its data, and the close is not seen on \
               the wire.",
        source: "the talk, quiz 1; inet_csk_listen_stop(), 54b92e841937; counters: 55d444b310c6",
        settings: Settings::FamiliesOffAndOn,
        run: quiz1,
        expect: quiz1_must,
        ..Case::DEFAULT
    },
    Case {
        name: "quiz2",
        does: "A client's final ACK and data are dropped before A sees them; B starts to listen; \
               A is closed; then the client's retransmission is let through.",
        must: "Off: the retransmission meets no request and is answered by an RST without ACK, \
               whose sequence number is the segment's ack. On: it completes the handshake, and \
               B accepts the child with its data. Either way closing A changes nothing by \
               itself: the request stays in flight.",
        source: "the talk, quiz 2; tcp_v4_rcv(), tcp_v6_rcv(), inet_csk_complete_hashdance(), \
                 d4f2c86b2b7e",
        settings: Settings::FamiliesOffAndOn,
        needs: &[Need::Gate],
        waits_for: DATA_RETRANSMISSION,
        run: quiz2,
        expect: quiz2_must,
    },
    Case {
        name: "sysctl/set-before-the-close",
        does: "As quiz 1, but the sysctl is set to 1 only when both listeners listen.",
        must: "What counts is its value at the close: B accepts the child.",
        source: "reuseport_stop_listen_sock() reads sysctl_tcp_migrate_req",
        settings: Settings::Families,
        needs: &[Need::Migration],
        run: |lab, _| quiz1_by(lab, |lab, a| set_and_close(lab, "1", a)),
        expect: |setting| quiz1_must(Setting { migration: Migration::On, ..setting }),
        ..Case::DEFAULT
    },
    Case {
        name: "sysctl/cleared-before-the-close",
        does: "As quiz 1 with migration on, but the sysctl goes back to 0 when both listeners \
               listen.",
        must: "What counts is its value at the close: the child is reset, and no failed migration \
               is counted.",
        source: "reuseport_stop_listen_sock() reads sysctl_tcp_migrate_req",
        settings: Settings::FamiliesOn,
        run: |lab, _| quiz1_by(lab, |lab, a| set_and_close(lab, "0", a)),
        expect: |setting| quiz1_must(Setting { migration: Migration::Off, ..setting }),
        ..Case::DEFAULT
    },
    Case {
        name: "sysctl/cleared-before-the-ack",
        does: "As quiz 2 with migration on, but the sysctl goes back to 0 between the close of A \
               and the client's retransmission.",
        must: "The sysctl is read again when the segment arrives: RST without ACK, and one \
               failed migration is counted.",
        source: "reuseport_migrate_sock(), 1cd62c21572c",
        settings: Settings::FamiliesOn,
        needs: &[Need::Gate],
        waits_for: DATA_RETRANSMISSION,
        run: |lab, _| quiz2_until_closed(lab)?.resolve(lab, Some("0")),
        expect: |_| {
            quiz2_reset_must().counters(&[
                ("OutRsts", 1),
                ("EstabResets", 1),
                ("TCPMigrateReqFailure", 1),
            ])
        },
    },
    Case {
        name: "sysctl/set-after-the-close",
        does: "As quiz 2 with migration off, but the sysctl is set to 1 between the close of A \
               and the client's retransmission.",
        must: "Too late: A left its group when it closed. RST without ACK, and no migration is \
               counted, not even a failed one.",
        source: "reuseport_stop_listen_sock(), 333bb73f620e",
        settings: Settings::Families,
        needs: &[Need::Migration, Need::Gate],
        waits_for: DATA_RETRANSMISSION,
        run: |lab, _| quiz2_until_closed(lab)?.resolve(lab, Some("1")),
        expect: |_| quiz2_reset_must().counters(&[("OutRsts", 1), ("EstabResets", 1)]),
    },
];

fn quiz1(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    quiz1_by(lab, |lab, a| {
        lab.close(a);
        Ok(())
    })
}

fn set_and_close(lab: &mut Lab, value: &str, a: Listener) -> harness::Result<()> {
    lab.sysctl(MIGRATE_REQ, value)?;
    lab.close(a);
    Ok(())
}

/// Quiz 1, with A ended by other means than its close. What is returned lives on until
/// everything was observed.
pub(crate) fn quiz1_by<Kept>(
    lab: &mut Lab,
    end: impl FnOnce(&mut Lab, Listener) -> harness::Result<Kept>,
) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let client = hello(lab, "C")?;
    lab.observe("A's accept queue before the close", a.queue()?.to_string());
    let b = lab.listen("B")?;

    let before = lab.counters()?;
    let _kept = end(lab, a)?;

    lab.observe("B's accept queue after the close", b.queue()?.to_string());
    lab.observe_sockets("after the close")?;
    let child = resolve(lab, &b, &client)?;
    lab.observe_counters(&before)?;
    lab.observe_service(&b)?;
    child.map_or(Ok(()), |child| lab.observe_negotiated(&child))
}

/// A client that has sent `Hello World` and knows that it has arrived.
pub(crate) fn hello(lab: &mut Lab, name: &str) -> harness::Result<Client> {
    let client = lab.connect(name)?;
    client.send(b"Hello World")?;
    lab.until_wire(&format!("S > {name}  . 1:1(0) ack 12"))?;
    Ok(client)
}

/// What both quizzes end in: does B have the connection, and does it work?
fn resolve(lab: &mut Lab, b: &Listener, client: &Client) -> harness::Result<Option<Child>> {
    let child = lab.accept_now(b)?;
    if let Some(child) = &child {
        lab.observe("recv(B's child)", child.receive_now()?.to_string());
        lab.observe("recv(B's child), again", child.receive_now()?.to_string());
        child.send(b"Hi")?;
        lab.observe("recv(C)", client.receive()?.to_string());
        lab.act("done");
    } else {
        lab.observe("recv(C)", client.receive()?.to_string());
    }
    lab.observe("B's accept queue at the end", b.queue()?.to_string());
    Ok(child)
}

fn quiz1_must(setting: Setting) -> Expectation {
    quiz1_must_by("close(A)", setting)
}

/// What quiz 1 must come to when A is ended by `act`.
pub(crate) fn quiz1_must_by(act: &str, setting: Setting) -> Expectation {
    let common = Expectation::new()
        .fact("A's accept queue before the close", "1 of 32")
        .fact("B's accept queue at the end", "0 of 32")
        .fact("B serves a fresh client", "yes");
    match setting.migration {
        Migration::Off => common
            .fact("B's accept queue after the close", "0 of 32")
            .fact("sockets after the close", "a listener")
            .fact("accept(B)", "EAGAIN")
            .fact("recv(C)", "ECONNRESET")
            // Both ends leave ESTABLISHED without a FIN, and both live here.
            .counters(&[("OutRsts", 1), ("EstabResets", 2)])
            .wire("C", &format!("{SERVED}-- {act} --\nS > C  R. 1:1(0) ack 12")),
        Migration::On => common
            .fact("B's accept queue after the close", "1 of 32")
            .fact("sockets after the close", "C ESTABLISHED, C's child ESTABLISHED, a listener")
            .fact("accept(B)", "C's connection")
            .fact("recv(B's child)", "`Hello World`")
            .fact("recv(B's child), again", "EAGAIN")
            .fact("recv(C)", "`Hi`")
            .fact("options of the child, and of a fresh one", "alike")
            .counters(&[("TCPMigrateReqSuccess", 1)])
            .wire(
                "C",
                &format!(
                    "{SERVED}
                     -- {act} --
                     -- accept(B): C's connection --
                     S > C  P. 1:3(2) ack 12
                   * C > S  . 12:12(0) ack 3
                     -- done --
                     ..."
                ),
            ),
    }
}

/// A handshake, and `Hello World` acknowledged.
pub(crate) const SERVED: &str = "
    C > S  S 0:0(0)
    S > C  S. 0:0(0) ack 1
    C > S  . 1:1(0) ack 1
    C > S  P. 1:12(11) ack 1
    S > C  . 1:1(0) ack 12
";

/// Quiz 2 in the moment after A was closed.
struct Closed {
    b: Listener,
    watch: Watch,
    client: Client,
    gate: harness::gate::Gate,
    before: harness::witness::Counters,
}

fn quiz2(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    quiz2_until_closed(lab)?.resolve(lab, None)
}

fn quiz2_until_closed(lab: &mut Lab) -> harness::Result<Closed> {
    let a = lab.listen("A")?;
    let mut gate = lab.close_gate(&a, Whose::Everyone)?;
    let client = lab.connect("C")?;
    client.send(b"Hello World")?;
    lab.until_wire("C > S  P. 1:12(11) ack 1")?;
    // A small backlog, since it is filled at the end.
    let b = lab.listen_with_backlog("B", 8)?;
    let watch = Watch::start(&b)?;
    lab.observe("A's accept queue before the close", a.queue()?.to_string());
    lab.observe_sockets("before the close")?;

    let before = lab.counters()?;
    lab.close_gated(a, &mut gate)?;
    lab.observe_sockets("after the close")?;
    lab.check_syn_ack_timer(client.local)?;
    Ok(Closed { b, watch, client, gate, before })
}

impl Closed {
    /// Opens the gate, perhaps with the sysctl changed first, and sees what becomes of
    /// the connection.
    fn resolve(self, lab: &mut Lab, change: Option<&str>) -> harness::Result<()> {
        if let Some(value) = change {
            lab.sysctl(MIGRATE_REQ, value)?;
        }
        let dropped = lab.open_gate(self.gate)?;
        // When the answer is on the wire, whichever it is, the connection's fate is decided.
        lab.until_answer_to("C > S  P. 1:12(11) ack 1")?;
        if change.is_some() {
            // It would have moved the request, or dropped it, before the change.
            lab.check_syn_ack_timer(self.client.local)?;
        }
        lab.observe_dropped(dropped);
        lab.observe_bare_resets();
        // A child that is there must have woken B's watcher.
        let within_ms = if self.b.queue()?.waiting > 0 { NO_WAKE_UP_MS } else { 0 };
        lab.observe("epoll_wait(B)", self.watch.shown(within_ms)?);
        let child = resolve(lab, &self.b, &self.client)?;
        lab.observe_counters(&self.before)?;
        lab.observe_sockets("at the end")?;
        lab.observe_service(&self.b)?;
        child.map_or(Ok(()), |child| lab.observe_negotiated(&child))?;
        lab.observe_room(self.b)
    }
}

fn quiz2_must(setting: Setting) -> Expectation {
    match setting.migration {
        Migration::Off => quiz2_reset_must().counters(&[("OutRsts", 1), ("EstabResets", 1)]),
        Migration::On => quiz2_common_must()
            .fact("accept(B)", "C's connection")
            .fact("recv(B's child)", "`Hello World`")
            .fact("recv(B's child), again", "EAGAIN")
            .fact("recv(C)", "`Hi`")
            .fact("options of the child, and of a fresh one", "alike")
            .fact("epoll_wait(B)", "an event")
            .fact("resets without ACK", "none")
            .fact("sockets at the end", "C ESTABLISHED, C's child ESTABLISHED, a listener")
            .counters(&[("TCPMigrateReqSuccess", 1), ("PassiveOpens", 1)])
            .wire(
                "C",
                &format!(
                    "{GATED}
                     S > C  . 1:1(0) ack 12
                     -- accept(B): C's connection --
                     S > C  P. 1:3(2) ack 12
                   * C > S  . 12:12(0) ack 3
                     -- done --
                     ..."
                ),
            ),
    }
}

fn quiz2_reset_must() -> Expectation {
    quiz2_common_must()
        .fact("accept(B)", "EAGAIN")
        .fact("recv(C)", "ECONNRESET")
        .fact("epoll_wait(B)", "no event")
        .fact("resets without ACK", "win 0")
        .fact("sockets at the end", "a listener")
        .wire("C", &format!("{GATED}\nS > C  R 1:1(0)"))
}

fn quiz2_common_must() -> Expectation {
    Expectation::new()
        .fact("A's accept queue before the close", "0 of 32")
        .fact("sockets before the close", "C ESTABLISHED, C's request, a listener, a listener")
        .fact("sockets after the close", "C ESTABLISHED, C's request, a listener")
        .fact("final ACKs dropped by the gate", "all before the answered one")
        .fact("B's accept queue at the end", "0 of 8")
        .fact("B serves a fresh client", "yes")
        .fact("handshakes that B has room for", "as many as a fresh listener")
}

/// The handshake behind the gate, up to the first retransmission that gets through: one
/// that comes while the gate opens may still be dropped, which the gate's count tells. On
/// a machine so slow that the SYN+ACK timer fires, its retransmissions show.
const GATED: &str = "
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
