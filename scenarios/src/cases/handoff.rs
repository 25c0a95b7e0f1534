//! Doing without migration: listeners that are handed over to another process instead of
//! closed.

use harness::Context;
use harness::lab::{Lab, PairKind};
use harness::net::scm_rights::Receive;
use harness::net::witness::Counters;
use harness::process::worker::{Served, WorkerProcess};
use harness::socket::wire_client::{Draft, WireClient};
use harness::socket::{Client, Listener, Stream, UnixPair};
use harness::trace::Part;

use crate::case::{Case, Migration, Need, Setting, Settings};
use crate::document::REPLY;
use crate::judge::expectation::Expectation;
use crate::prefix::{CaseFile, Prefix};
use crate::steps::queued_child::{SERVED, hello};
use crate::steps::request::data;

pub(super) const PREFIX: Prefix = Prefix {
    id: "handoff",
    about: "doing without migration: a listener goes to another process, by fork, exec or \
            `SCM_RIGHTS`, and nothing is lost; and what its owner's death does",
    files: &[CaseFile { module: module_path!(), cases: CASES }],
};

const NOTHING_IS_LOST: &str = "Some process always has the listener open, and the clients notice \
                               nothing: the new server serves the child, and the request once it \
                               is completed. Migration is off.";

const CASES: &[Case] = &[
    Case {
        name: "handoff/new-worker",
        does: "A parent makes A and forks a worker that serves A and is killed; then C's child \
               waits in A's queue, and W's request is in flight; the parent forks another \
               worker.",
        must: NOTHING_IS_LOST,
        documents: &[REPLY.at("first way: a parent that holds the sockets")],
        source: "fork(), execve()",
        settings: Settings::Families,
        run: new_worker,
        expect: |_| {
            // The first worker's own connection ends with it.
            let ended = [("OutRsts", 1), ("EstabResets", 2), ("TCPAbortOnData", 1)];
            handed_over_must("kill(the first worker, SIGKILL)")
                .fact("the first worker serves", "first `?`")
                .with(&ended.map(|(name, by)| (name.to_owned(), by.into())))
        },
        ..Case::DEFAULT
    },
    Case {
        name: "handoff/fork-exec",
        does: "A server with C's child in A's queue and W's request in flight starts a new server \
               that inherits A, and closes A itself.",
        must: NOTHING_IS_LOST,
        documents: &[REPLY.at("second way: fork and exec")],
        source: "no close-on-exec",
        settings: Settings::Families,
        run: |lab, _| {
            handed_over(lab, |lab, a| {
                let server = lab.start_server("the new server", &a)?;
                lab.close(a);
                Ok(server)
            })
        },
        expect: |_| handed_over_must("close(A)"),
        ..Case::DEFAULT
    },
    Case {
        name: "handoff/exec",
        does: "A server with C's child in A's queue and W's request in flight, the only one that \
               has A open, replaces itself with a new program.",
        must: NOTHING_IS_LOST,
        documents: &[REPLY.at("second way: exec alone")],
        settings: Settings::Families,
        run: |lab, _| {
            handed_over(lab, |lab, a| {
                let mut server = lab.start_server("the new server", &a)?;
                // The server's descriptor is left, which nothing on the wire may show.
                lab.close(a);
                server.exec()?;
                Ok(server)
            })
        },
        expect: |_| handed_over_must(EXEC),
        ..Case::DEFAULT
    },
    Case {
        name: "handoff/unrelated",
        does: "A server with C's child in A's queue and W's request in flight sends A, by \
               SCM_RIGHTS, to a process that was started before there was an A, and closes it.",
        must: NOTHING_IS_LOST,
        documents: &[REPLY.at("third way: descriptors through UNIX sockets")],
        source: "scm_fp_copy(), scm_detach_fds()",
        settings: Settings::Families,
        needs: &[Need::UnixSockets],
        run: unrelated,
        expect: |_| handed_over_must("close(A)"),
        ..Case::DEFAULT
    },
    Case {
        name: "handoff/in-flight",
        does: "A, with C's child in its queue and W's request in flight, is sent into a UNIX \
               socket and closed; D connects; then A is received.",
        must: "A goes on listening while no process has it open: D's handshake is done, nothing is \
               reset, and the receiver accepts C, D and W.",
        source: "the blog post on passing descriptors: sending adds a reference; \
                 unix_scm_to_skb()",
        settings: Settings::Families,
        needs: &[Need::UnixSockets],
        run: in_flight,
        expect: |_| {
            Expectation::new()
                .fact("accept(A)", "C `Hello World`, D `Hello World`, W `Hello World`")
                .fact(
                    "sockets meanwhile",
                    "C ESTABLISHED, C's child ESTABLISHED, \
                       D ESTABLISHED, D's child ESTABLISHED, W's child ESTABLISHED, a listener",
                )
                .counters(&[("PassiveOpens", 2)])
                .wire("C", &format!("{SERVED}-- close(A) --\n-- recvmsg --\n..."))
        },
        ..Case::DEFAULT
    },
    Case {
        name: "handoff/lost-in-flight",
        does: "A, with C's child in its queue, is sent into a UNIX socket and closed; B listens; \
               the UNIX sockets are closed before anybody receives.",
        must: "That is A's close: off, an RST that acknowledges the data; on, the child moves to B.",
        source: "unix_release_sock() drops what is queued: the last reference to A",
        settings: Settings::FamiliesOffAndOn,
        needs: &[Need::UnixSockets],
        run: lost_in_flight,
        expect: |setting| closed_must("-- close(the UNIX sockets) --", setting),
        ..Case::DEFAULT
    },
    Case {
        name: "handoff/killed",
        does: "C's child waits in the queue of A, which only another process has open; that \
               process is stopped; B listens; D connects from a port whose hash selects A; the \
               process is killed.",
        must: "A stopped process changes nothing for its listener. Its death is A's close: off, an \
               RST that acknowledges the data; on, the child moves to B.",
        source: "do_exit(), exit_files(); inet_csk_listen_stop()",
        settings: Settings::FamiliesOffAndOn,
        run: killed,
        expect: |setting| closed_must("-- kill(the server, SIGKILL) --", setting),
        ..Case::DEFAULT
    },
];

const EXEC: &str = "execve(the new server)";

/// C's child waits in A's queue, and W's request is in flight to A.
fn start(lab: &mut Lab, a: &Listener) -> harness::Result<(Client, WireClient)> {
    let client = hello(lab, "C")?;
    let mut w = lab.wire_client("W")?;
    lab.wire_syn(&mut w, &Draft::syn())?;
    lab.observe("A's accept queue before", a.queue()?.to_string());
    Ok((client, w))
}

/// A server ends and another one gets its listener, by `hand_over`.
fn handed_over(
    lab: &mut Lab,
    hand_over: impl FnOnce(&mut Lab, Listener) -> harness::Result<WorkerProcess>,
) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let (client, mut w) = start(lab, &a)?;
    let before = lab.counters()?;
    let server = hand_over(lab, a)?;
    finish(lab, server, &client, &mut w, &before)
}

/// The request is completed, and the new server serves both.
fn finish(
    lab: &mut Lab,
    mut server: WorkerProcess,
    client: &Client,
    w: &mut WireClient,
    before: &Counters,
) -> harness::Result<()> {
    lab.observe_sockets("then")?;
    let answer = lab.wire_send(w, &data())?;
    lab.observe("answer to W's data", answer);
    let served = server.serve(2)?;
    let served = served_in_words(lab, served);
    lab.observe("the new server serves", served);
    lab.observe("recv(C)", client.receive()?.to_string());
    lab.observe_counters(before)?;
    lab.begin(Part::TakingDown);
    server.end()
}

/// Who was served, by the clients' names and requests.
fn served_in_words(lab: &mut Lab, served: Vec<Served>) -> String {
    let words = |one: Served| format!("{} {}", lab.trace().name_of(one.peer), one.request);
    served.into_iter().map(words).collect::<Vec<_>>().join(", ")
}

fn handed_over_must(act: &str) -> Expectation {
    Expectation::new()
        .fact("A's accept queue before", "1 of 32")
        .fact("sockets then", "C ESTABLISHED, C's child ESTABLISHED, W's request, a listener")
        .fact("answer to W's data", "S > W  . 1:1(0) ack 12")
        .fact("the new server serves", "C `Hello World`, W `Hello World`")
        .fact("recv(C)", "`Hi`")
        .counters(&[("PassiveOpens", 1)])
        .wire(
            "C",
            &format!(
                "{SERVED}
                 -- {act} --
                 -- the new server serves --
                 S > C  P. 1:3(2) ack 12
               * C > S  . 12:12(0) ack 3
                 -- done --
                 ..."
            ),
        )
        .wire(
            "W",
            // W never acknowledges the answer, which may be retransmitted.
            &format!(
                "W > S  S 0:0(0)
                 S > W  S. 0:0(0) ack 1
                 -- {act} --
                 W > S  P. 1:12(11) ack 1
                 S > W  . 1:1(0) ack 12
                 -- the new server serves --
                 S > W  P. 1:3(2) ack 12
               * S > W  P. 1:3(2) ack 12
                 -- done --
                 ..."
            ),
        )
}

fn new_worker(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let mut worker = lab.start_server("the first worker", &a)?;
    let first = lab.connect("first")?;
    first.send(b"?")?;
    let served = worker.serve(1)?;
    let served = served_in_words(lab, served);
    lab.observe("the first worker serves", served);
    let (client, mut w) = start(lab, &a)?;
    let before = lab.counters()?;
    worker.kill()?;
    let server = lab.start_server("the new server", &a)?;
    finish(lab, server, &client, &mut w, &before)
}

fn unrelated(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let (mut server, point) = lab.start_unrelated_server("the new server")?;
    handed_over(lab, |lab, a| {
        lab.hand_over(&point, &a, &mut server)?;
        lab.close(a);
        Ok(server)
    })
}

/// Sends A into one of two UNIX sockets, and closes it.
fn send_away(lab: &mut Lab, a: Listener) -> harness::Result<UnixPair> {
    let pair = lab.unix_pair(PairKind::Stream)?;
    pair.send(b"A", &[&a]).tested(|| "sendmsg(SCM_RIGHTS, A)".into())?;
    lab.close(a);
    Ok(pair)
}

fn in_flight(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let _client = hello(lab, "C")?;
    let mut w = lab.wire_client("W")?;
    lab.wire_syn(&mut w, &Draft::syn())?;
    let before = lab.counters()?;
    let pair = send_away(lab, a)?;
    let late = lab.connect("D")?;
    late.send(b"Hello World")?;
    lab.settle()?;
    lab.wire_send(&mut w, &data())?;
    lab.observe_sockets("meanwhile")?;
    let message = pair.receive(Receive::ALL).tested(|| "recvmsg(SCM_RIGHTS)".into())?;
    let mut accepted = Vec::new();
    let mut children = Vec::new();
    for a in &message.listeners {
        while let Some(child) = a.accept_now()? {
            accepted.push(format!("{} {}", child.client(), child.receive_now()?));
            child.reset_on_close()?;
            children.push(child);
        }
    }
    lab.observe("accept(A)", accepted.join(", "));
    lab.observe_counters(&before)
}

fn lost_in_flight(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let client = hello(lab, "C")?;
    let before = lab.counters()?;
    let pair = send_away(lab, a)?;
    let b = lab.listen("B")?;
    lab.observe_sockets("before")?;
    drop(pair);
    moved_or_reset(lab, &b, &client)?;
    lab.observe_counters(&before)?;
    lab.observe_service(&b)
}

fn killed(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let server = lab.start_server("the server", &a)?;
    lab.close(a);
    let client = hello(lab, "C")?;
    let b = lab.listen("B")?;
    let before = lab.counters()?;
    server.stop()?;
    lab.observe_sockets("before")?;
    server.kill()?;
    moved_or_reset(lab, &b, &client)?;
    lab.observe_counters(&before)?;
    lab.observe_service(&b)
}

/// What happened to C's child.
fn moved_or_reset(lab: &mut Lab, b: &Listener, client: &Client) -> harness::Result<()> {
    lab.observe_sockets("then")?;
    let child = lab.accept_now(b)?;
    if let Some(child) = &child {
        lab.observe("recv(B's child)", child.receive_now()?.to_string());
        child.send(b"Hi")?;
    }
    lab.observe("recv(C)", client.receive()?.to_string());
    lab.begin(Part::TakingDown);
    Ok(())
}

fn closed_must(act: &str, setting: Setting) -> Expectation {
    let common = Expectation::new()
        .fact("sockets before", "C ESTABLISHED, C's child ESTABLISHED, a listener, a listener")
        .fact("B serves a fresh client", "yes");
    match setting.migration {
        Migration::Off => common
            .fact("sockets then", "a listener")
            .fact("accept(B)", "EAGAIN")
            .fact("recv(C)", "ECONNRESET")
            .counters(&[("OutRsts", 1), ("EstabResets", 2)])
            .wire("C", &format!("{SERVED}{act}\nS > C  R. 1:1(0) ack 12\n-- done --")),
        Migration::On => common
            .fact("sockets then", "C ESTABLISHED, C's child ESTABLISHED, a listener")
            .fact("accept(B)", "C's connection")
            .fact("recv(B's child)", "`Hello World`")
            .fact("recv(C)", "`Hi`")
            .counters(&[("TCPMigrateReqSuccess", 1)])
            .wire(
                "C",
                &format!(
                    "{SERVED}
                     {act}
                     S > C  P. 1:3(2) ack 12
                   * C > S  . 12:12(0) ack 3
                     -- done --
                     ..."
                ),
            ),
    }
}
