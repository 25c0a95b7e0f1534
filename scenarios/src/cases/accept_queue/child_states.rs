//! Children in the accept queue that are not just established with data: what happens to
//! them when their listener closes.

use std::time::Duration;

use harness::lab::Lab;
use harness::socket::{Received, Stream};
use harness::trace::Part;

use crate::case::{Case, Migration, Setting, Settings};
use crate::document::TALK;
use crate::judge::expectation::Expectation;
use crate::steps::queued_child::{SERVED, hello};

/// A FIN by itself is acknowledged after TCP_DELACK_MIN.
const DELAYED_ACK: Duration = Duration::from_millis(40);

pub(super) const CASES: &[Case] = &[
    Case {
        name: "accept-queue/without-data",
        does: "The child of a client that has sent nothing waits in A's queue; B listens; A is \
               closed; then the client sends.",
        must: "Off: one RST when A is closed. On: B accepts the child, and receives what is sent \
               later.",
        documents: &[TALK.at("acceptable connections")],
        source: "inet_csk_listen_stop()",
        settings: Settings::FamiliesOffAndOn,
        run: without_data,
        expect: without_data_must,
        ..Case::DEFAULT
    },
    Case {
        name: "accept-queue/finished",
        does: "The client of a child in A's queue has sent data and a FIN; B listens; A is closed.",
        must: "Off: one RST that acknowledges the FIN too. On: B accepts the child, and reads the \
               data and then end of file.",
        source: "inet_csk_listen_stop(), a child in CLOSE_WAIT",
        settings: Settings::FamiliesOffAndOn,
        waits_for: DELAYED_ACK,
        run: finished,
        expect: finished_must,
        ..Case::DEFAULT
    },
    Case {
        name: "accept-queue/reset",
        does: "The client of a child in A's queue has sent data and then reset the connection; B \
               listens; A is closed.",
        must: "Off: the child is freed without a packet. On: it moves nevertheless; B accepts it, \
               reads the data, and then gets ECONNRESET.",
        source: "inet_csk_listen_stop(), a child in CLOSE",
        settings: Settings::FamiliesOffAndOn,
        run: reset,
        expect: reset_must,
        ..Case::DEFAULT
    },
];

fn without_data(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let client = lab.connect("C")?;
    lab.until_wire("C > S  . 1:1(0) ack 1")?;
    let b = lab.listen("B")?;
    let before = lab.counters()?;
    lab.close(a);
    let child = lab.accept_now(&b)?;
    if let Some(child) = &child {
        lab.observe("recv(B's child)", child.receive_now()?.to_string());
        client.send(b"later")?;
        lab.observe("recv(B's child), later", child.receive()?.to_string());
    } else {
        lab.observe("recv(C)", client.receive()?.to_string());
    }
    lab.begin(Part::TakingDown);
    lab.observe_counters(&before)?;
    lab.observe_service(&b)
}

fn without_data_must(setting: Setting) -> Expectation {
    let must = Expectation::new().fact("B serves a fresh client", "yes");
    let wire = |rest: &str| {
        format!(
            "C > S  S 0:0(0)
             S > C  S. 0:0(0) ack 1
             C > S  . 1:1(0) ack 1
             -- close(A) --
             {rest}"
        )
    };
    match setting.migration {
        Migration::Off => must
            .fact("accept(B)", "EAGAIN")
            .fact("recv(C)", "ECONNRESET")
            .counters(&[("OutRsts", 1), ("EstabResets", 2)])
            .wire("C", &wire("S > C  R. 1:1(0) ack 1\n-- done --")),
        Migration::On => must
            .fact("accept(B)", "C's connection")
            .fact("recv(B's child)", "EAGAIN")
            .fact("recv(B's child), later", "`later`")
            .counters(&[("TCPMigrateReqSuccess", 1)])
            .wire("C", &wire("C > S  P. 1:6(5) ack 1\nS > C  . 1:1(0) ack 6\n-- done --\n...")),
    }
}

fn finished(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let client = hello(lab, "C")?;
    client.finish()?;
    lab.until_wire("S > C  . 1:1(0) ack 13")?;
    let b = lab.listen("B")?;
    let before = lab.counters()?;
    lab.close(a);
    let child = lab.accept_now(&b)?;
    if let Some(child) = &child {
        lab.observe("recv(B's child)", child.receive_now()?.to_string());
        lab.observe("recv(B's child), again", child.receive_now()?.to_string());
        child.send(b"Hi")?;
    }
    lab.observe("recv(C)", client.receive()?.to_string());
    lab.begin(Part::TakingDown);
    lab.observe_counters(&before)?;
    lab.observe_service(&b)
}

/// What comes after [`SERVED`], up to the close.
const FINISHED: &str = "
    C > S  F. 12:12(0) ack 1
    S > C  . 1:1(0) ack 13
    -- close(A) --
";

fn finished_must(setting: Setting) -> Expectation {
    let must = Expectation::new().fact("B serves a fresh client", "yes");
    match setting.migration {
        Migration::Off => must
            .fact("accept(B)", "EAGAIN")
            .fact("recv(C)", "ECONNRESET")
            .counters(&[("OutRsts", 1), ("EstabResets", 1)])
            .wire("C", &format!("{SERVED}{FINISHED}S > C  R. 1:1(0) ack 13\n-- done --")),
        Migration::On => must
            .fact("accept(B)", "C's connection")
            .fact("recv(B's child)", "`Hello World`")
            .fact("recv(B's child), again", "end of stream")
            .fact("recv(C)", "`Hi`")
            .counters(&[("TCPMigrateReqSuccess", 1)])
            .wire(
                "C",
                &format!(
                    "{SERVED}{FINISHED}
                     S > C  P. 1:3(2) ack 13
                   * C > S  . 13:13(0) ack 3
                     -- done --
                     ..."
                ),
            ),
    }
}

fn reset(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let client = hello(lab, "C")?;
    client.reset_on_close()?;
    drop(client);
    lab.until_wire("C > S  R. 12:12(0) ack 1")?;
    let b = lab.listen("B")?;
    let before = lab.counters()?;
    lab.close(a);
    let child = lab.accept_now(&b)?;
    if let Some(child) = &child {
        for read in ["recv(B's child)", "recv(B's child), again"] {
            let received = child.receive_now()?;
            lab.observe(read, received.to_string());
            if received == Received::Nothing {
                break;
            }
        }
    }
    lab.observe_counters(&before)?;
    lab.observe_service(&b)
}

fn reset_must(setting: Setting) -> Expectation {
    let wire = format!("{SERVED}C > S  R. 12:12(0) ack 1");
    let must = Expectation::new().fact("B serves a fresh client", "yes").wire("C", &wire);
    match setting.migration {
        Migration::Off => must.fact("accept(B)", "EAGAIN").counters(&[]),
        Migration::On => must
            .fact("accept(B)", "C's connection")
            .fact("recv(B's child)", "`Hello World`")
            .fact("recv(B's child), again", "ECONNRESET")
            .counters(&[("TCPMigrateReqSuccess", 1)]),
    }
}
