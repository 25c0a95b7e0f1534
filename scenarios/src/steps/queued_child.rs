//! A child with data that waits in A's accept queue when A ends.

use harness::lab::Lab;
use harness::socket::{Child, Client, Listener, Stream};
use harness::trace::Part;

use crate::case::{Migration, Setting};
use crate::judge::expectation::Expectation;

/// Quiz 1, with A ended by other means than its close. What is returned lives on until
/// everything was observed.
pub(crate) fn ended_by<Kept>(
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
pub(crate) fn resolve(
    lab: &mut Lab,
    b: &Listener,
    client: &Client,
) -> harness::Result<Option<Child>> {
    let child = lab.accept_now(b)?;
    if let Some(child) = &child {
        lab.observe("recv(B's child)", child.receive_now()?.to_string());
        lab.observe("recv(B's child), again", child.receive_now()?.to_string());
        child.send(b"Hi")?;
        lab.observe("recv(C)", client.receive()?.to_string());
        lab.begin(Part::TakingDown);
    } else {
        lab.observe("recv(C)", client.receive()?.to_string());
    }
    lab.observe("B's accept queue at the end", b.queue()?.to_string());
    Ok(child)
}

/// What must be observed in quiz 1 when A is ended by `act`, as ladders show it.
pub(crate) fn ended_by_must(act: &str, setting: Setting) -> Expectation {
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
