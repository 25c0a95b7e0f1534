//! The talk's first quiz: a listener closes while a child waits in its accept queue.

use harness::lab::Lab;
use harness::socket::Stream;
use harness::trace::Part;

use crate::case::{Case, Migration, Setting, Settings};
use crate::document::TALK;
use crate::judge::expectation::Expectation;
use crate::prefix::{CaseFile, Prefix};

pub(super) const PREFIX: Prefix = Prefix {
    id: "quiz1",
    about: "the talk's first quiz: a child in the accept queue",
    files: &[CaseFile { module: module_path!(), cases: CASES }],
};

const CASES: &[Case] = &[Case {
    name: "quiz1",
    does: "The child of a client that has sent `Hello World` waits in A's accept queue; B starts \
           to listen; A is closed.",
    must: "Off: the child is reset, by one RST that acknowledges the data, and B has nothing to \
           accept. On: B accepts the child with its data, and the close is not seen on the wire.",
    documents: &[TALK.at("quiz 1")],
    source: "inet_csk_listen_stop(), 54b92e841937; counters: 55d444b310c6",
    settings: Settings::FamiliesOffAndOn,
    run: quiz1,
    expect: |setting| match setting.migration {
        Migration::Off => reset(),
        Migration::On => moved(),
    },
    ..Case::DEFAULT
}];

fn quiz1(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let client = lab.connect("C")?;
    client.send(b"Hello World")?;
    lab.until_wire("S > C  . 1:1(0) ack 12")?;
    lab.observe("A's accept queue before the close", a.queue()?.to_string());
    let b = lab.listen("B")?;

    let before = lab.counters()?;
    lab.close(a);
    lab.observe("B's accept queue after the close", b.queue()?.to_string());
    lab.observe_sockets("after the close")?;

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
    lab.observe_service(&b)?;
    child.map_or(Ok(()), |child| lab.observe_negotiated(&child))
}

/// What must be observed with migration off.
fn reset() -> Expectation {
    Expectation::new()
        .fact("A's accept queue before the close", "1 of 32")
        .fact("B's accept queue after the close", "0 of 32")
        .fact("sockets after the close", "a listener")
        .fact("accept(B)", "EAGAIN")
        .fact("recv(C)", "ECONNRESET")
        .fact("B's accept queue at the end", "0 of 32")
        .fact("B serves a fresh client", "yes")
        // Both ends leave ESTABLISHED without a FIN, and both are in this namespace.
        .counters(&[("OutRsts", 1), ("EstabResets", 2)])
        .wire(
            "C",
            "C > S  S 0:0(0)
             S > C  S. 0:0(0) ack 1
             C > S  . 1:1(0) ack 1
             C > S  P. 1:12(11) ack 1
             S > C  . 1:1(0) ack 12
             -- close(A) --
             S > C  R. 1:1(0) ack 12",
        )
}

/// What must be observed with migration on.
fn moved() -> Expectation {
    Expectation::new()
        .fact("A's accept queue before the close", "1 of 32")
        .fact("B's accept queue after the close", "1 of 32")
        .fact("sockets after the close", "C ESTABLISHED, C's child ESTABLISHED, a listener")
        .fact("accept(B)", "C's connection")
        .fact("recv(B's child)", "`Hello World`")
        .fact("recv(B's child), again", "EAGAIN")
        .fact("recv(C)", "`Hi`")
        .fact("B's accept queue at the end", "0 of 32")
        .fact("B serves a fresh client", "yes")
        .fact("options of the child, and of a fresh one", "alike")
        .counters(&[("TCPMigrateReqSuccess", 1)])
        .wire(
            "C",
            "C > S  S 0:0(0)
             S > C  S. 0:0(0) ack 1
             C > S  . 1:1(0) ack 1
             C > S  P. 1:12(11) ack 1
             S > C  . 1:1(0) ack 12
             -- close(A) --
             -- accept(B): C's connection --
             S > C  P. 1:3(2) ack 12
           * C > S  . 12:12(0) ack 3
             -- done --
             ...",
        )
}
