//! Children of TCP Fast Open, which wait in A's queue before their handshake is over.

use harness::lab::Lab;
use harness::socket::wire_client::{Draft, WireClient};
use harness::socket::{Listener, Stream};
use harness::trace::Part;

use crate::case::{Migration, Setting};
use crate::judge::expectation::Expectation;

/// Servers take data without a cookie: TFO_SERVER_ENABLE and TFO_SERVER_COOKIE_NOT_REQD.
pub(crate) const FAST_OPEN: (&str, &str) = ("net.ipv4.tcp_fastopen", "514");

/// A listener that allows one unfinished child.
pub(crate) fn listen(lab: &mut Lab, name: &str) -> harness::Result<Listener> {
    listen_for(lab, name, 1)
}

/// A listener that allows this number of unfinished children.
pub(crate) fn listen_for(lab: &mut Lab, name: &str, children: i32) -> harness::Result<Listener> {
    let listener = lab.listen(name)?;
    listener.fast_open(children).map_err(|source| harness::Error::Call {
        call: format!("setsockopt({name}, TCP_FASTOPEN, {children})"),
        source,
    })?;
    Ok(listener)
}

pub(crate) fn syn_with_data() -> Draft {
    Draft::syn().payload(b"Hello World")
}

/// W's child waits in A's queue, and B listens.
pub(crate) fn both(lab: &mut Lab) -> harness::Result<(Listener, Listener, WireClient)> {
    lab.sysctl(FAST_OPEN.0, FAST_OPEN.1)?;
    let a = listen(lab, "A")?;
    let mut w = lab.wire_client("W")?;
    lab.wire_syn(&mut w, &syn_with_data())?;
    let b = listen(lab, "B")?;
    Ok((a, b, w))
}

/// An unfinished child waits in A's queue, and A is ended. What is returned lives on until
/// everything was observed.
pub(crate) fn unfinished_child_ended_by<Kept>(
    lab: &mut Lab,
    end: impl FnOnce(&mut Lab, Listener) -> harness::Result<Kept>,
) -> harness::Result<()> {
    let (a, b, mut w) = both(lab)?;
    lab.observe("A's accept queue before the close", a.queue()?.to_string());
    let before = lab.counters()?;
    let _kept = end(lab, a)?;
    lab.settle()?;
    lab.observe_sockets("after the close")?;
    let child = lab.accept_now(&b)?;
    if let Some(child) = &child {
        lab.observe("recv(B's child)", child.receive_now()?.to_string());
        lab.wire_send(&mut w, &Draft::new(".", 12, 1))?;
    }
    lab.observe_counters(&before)?;
    lab.observe_sockets("at the end")?;
    lab.begin(Part::TakingDown);
    drop(child);
    lab.observe_service(&b)
}

/// What must be observed then when A is ended by `act`.
pub(crate) fn unfinished_child_ended_by_must(act: &str, setting: Setting) -> Expectation {
    let common = Expectation::new()
        .fact("A's accept queue before the close", "1 of 32")
        .fact("B serves a fresh client", "yes");
    let wire = |rest: &str| {
        format!(
            "W > S  S 0:11(11)
             S > W  S. 0:0(0) ack 12
             -- {act} --
             {rest}
             -- done --
             ..."
        )
    };
    match setting.migration {
        Migration::Off => common
            .fact("sockets after the close", "a listener")
            .fact("accept(B)", "EAGAIN")
            .fact("sockets at the end", "a listener")
            // EstabResets is for children that were established.
            .counters(&[("OutRsts", 1)])
            .wire("W", &wire("S > W  R. 1:1(0) ack 12")),
        Migration::On => common
            .fact("sockets after the close", "W's request, a listener")
            .fact("accept(B)", "W's connection")
            .fact("recv(B's child)", "`Hello World`")
            .fact("sockets at the end", "W's child ESTABLISHED, a listener")
            .counters(&[("TCPMigrateReqSuccess", 1)])
            .wire("W", &wire("-- accept(B): W's connection --\nW > S  . 12:12(0) ack 1")),
    }
}

/// Three clients come with data in their SYNs, to whoever listens: whose data is taken?
pub(crate) fn fast_open_syns(lab: &mut Lab) -> harness::Result<()> {
    let before = lab.counters()?;
    let mut taken = 0;
    // All stay: the next one must not get the port of the last.
    let mut clients = Vec::new();
    for name in ["X", "Y", "Z"] {
        let mut client = lab.wire_client(name)?;
        let answer = lab.wire_send(&mut client, &syn_with_data())?;
        taken += i64::from(answer == format!("S > {name}  S. 0:0(0) ack 12"));
        // An ordinary request would keep B from being freed until it times out.
        if answer == format!("S > {name}  S. 0:0(0) ack 1") {
            lab.wire_send(&mut client, &Draft::new("R", 1, 0))?;
        }
        clients.push(client);
    }
    lab.observe("SYNs whose data B takes", taken);
    for counter in ["TCPFastOpenPassive", "TCPFastOpenListenOverflow"] {
        let grown = lab.counters()?.grown(&before, counter);
        lab.observe(counter, grown.unwrap_or(-1));
    }
    Ok(())
}
