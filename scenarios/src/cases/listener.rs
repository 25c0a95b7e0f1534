//! What a listener reports about its accept queue.

use harness::lab::Lab;
use harness::{net::witness, wait};

use crate::case::{Case, Setting, Settings};
use crate::judge::expectation::{Expectation, WireRule};
use crate::prefix::{CaseFile, Prefix};
use crate::steps::wires;

pub(super) const PREFIX: Prefix = Prefix {
    id: "listener",
    about: "what a listener reports about its queue",
    files: &[CaseFile { module: module_path!(), cases: CASES }],
};

const CASES: &[Case] = &[Case {
    name: "listener/queue-length",
    does: "Three clients connect to a listener with a backlog of 7; one child is accepted.",
    must: "TCP_INFO on the listener has how many children wait (tcpi_unacked) and the backlog \
           (tcpi_sacked); /proc/net/tcp has the same. Who came first is accepted first.",
    source: "tcp_get_info(), the TCP_LISTEN branch",
    settings: Settings::Families,
    wire: WireRule::Shows(&[wires::C_CLOSES_FIRST]),
    run: queue_length,
    expect: |_| {
        Expectation::new()
            .fact("TCP_INFO before", "0 of 7")
            .fact("TCP_INFO with three children", "3 of 7")
            .fact("/proc/net/tcp with three children", 3)
            .fact("TCP_INFO after one accept", "2 of 7")
            .fact("/proc/net/tcp after one accept", 2)
            .fact("accepted", "C, D, E")
    },
    ..Case::DEFAULT
}];

fn queue_length(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen_with_backlog("A", 7)?;
    lab.observe("TCP_INFO before", a.queue()?.to_string());
    let _clients = [lab.connect("C")?, lab.connect("D")?, lab.connect("E")?];
    wait::until("three children in A's accept queue", || {
        Ok((a.queue()?.waiting >= 3).then_some(()))
    })?;
    lab.observe("TCP_INFO with three children", a.queue()?.to_string());
    let waiting = waiting_by_proc(lab)?;
    lab.observe("/proc/net/tcp with three children", waiting);
    let first = a.accept()?;
    lab.observe("TCP_INFO after one accept", a.queue()?.to_string());
    let waiting = waiting_by_proc(lab)?;
    lab.observe("/proc/net/tcp after one accept", waiting);
    let peers = [first.peer, a.accept()?.peer, a.accept()?.peer];
    let order = peers.map(|peer| lab.trace().name_of(peer)).join(", ");
    lab.observe("accepted", order);
    Ok(())
}

/// The length of the accept queue of the lab's one listener, in `/proc/net/tcp`.
fn waiting_by_proc(lab: &Lab) -> harness::Result<i64> {
    let sockets = witness::sockets(lab.family())?;
    let listener = sockets.iter().find(|socket| socket.state == witness::State::Listen);
    Ok(listener.map_or(-1, |listener| i64::from(listener.waiting)))
}
