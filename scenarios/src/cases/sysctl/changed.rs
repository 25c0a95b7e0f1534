//! The setting changes while a connection waits: when it is read.

use std::time::Duration;

use harness::gate::Whose;
use harness::lab::Lab;
use harness::lab::epoll_watch::EpollWatch;
use harness::net::sysctl::MIGRATE_REQ;
use harness::socket::{Client, Listener, NO_WAKE_UP_MS, Stream};

use crate::case::{Case, Migration, Need, Setting, Settings};
use crate::judge::expectation::{Expectation, WireRule};
use crate::steps::queued_child::{ended_by, ended_by_must, resolve};

/// A client with data in flight retransmits after TCP_RTO_MIN.
pub(super) const DATA_RETRANSMISSION: Duration = Duration::from_millis(200);

pub(super) const CASES: &[Case] = &[
    Case {
        name: "sysctl/set-before-the-close",
        does: "As quiz 1, but the sysctl is set to 1 only when both listeners listen.",
        must: "What counts is its value at the close: B accepts the child.",
        source: "reuseport_stop_listen_sock() reads sysctl_tcp_migrate_req",
        settings: Settings::Families,
        needs: &[Need::Migration],
        run: |lab, _| ended_by(lab, |lab, a| set_and_close(lab, "1", a)),
        expect: |setting| {
            ended_by_must("close(A)", Setting { migration: Migration::On, ..setting })
        },
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
        run: |lab, _| ended_by(lab, |lab, a| set_and_close(lab, "0", a)),
        expect: |setting| {
            ended_by_must("close(A)", Setting { migration: Migration::Off, ..setting })
        },
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
        wire: WireRule::InExpect,
        run: |lab, _| quiz2_until_closed(lab)?.resolve(lab, Some("0")),
        expect: |_| {
            quiz2_reset_must().counters(&[
                ("OutRsts", 1),
                ("EstabResets", 1),
                ("TCPMigrateReqFailure", 1),
            ])
        },
        ..Case::DEFAULT
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
        wire: WireRule::InExpect,
        run: |lab, _| quiz2_until_closed(lab)?.resolve(lab, Some("1")),
        expect: |_| quiz2_reset_must().counters(&[("OutRsts", 1), ("EstabResets", 1)]),
        ..Case::DEFAULT
    },
];

fn set_and_close(lab: &mut Lab, value: &str, a: Listener) -> harness::Result<()> {
    lab.sysctl(MIGRATE_REQ, value)?;
    lab.close(a);
    Ok(())
}

/// Quiz 2 in the moment after A was closed.
struct Closed {
    b: Listener,
    watch: EpollWatch,
    client: Client,
    gate: harness::gate::Gate,
    before: harness::net::witness::Counters,
}

fn quiz2_until_closed(lab: &mut Lab) -> harness::Result<Closed> {
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
    Ok(Closed { b, watch, client, gate, before })
}

impl Closed {
    /// Opens the gate, perhaps with the sysctl changed first, and sees what happens to
    /// the connection.
    fn resolve(self, lab: &mut Lab, change: Option<&str>) -> harness::Result<()> {
        if let Some(value) = change {
            lab.sysctl(MIGRATE_REQ, value)?;
        }
        let dropped = lab.open_gate(self.gate)?;
        // When the answer is on the wire, whichever it is, the connection's outcome is decided.
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

/// The handshake at the gate, up to the first retransmission that gets through: one
/// that comes while the gate opens may still be dropped, which the gate's count shows. On
/// a machine so slow that the SYN+ACK timer fires, its retransmissions show.
pub(super) const GATED: &str = "
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
