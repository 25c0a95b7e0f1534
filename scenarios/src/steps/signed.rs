//! What signed connections have in common, with TCP-MD5 and with TCP-AO.

use harness::PORT;
use harness::gate::{Gate, Whose};
use harness::lab::Lab;
use harness::net::segment::TcpOption;
use harness::net::witness::Counters;
use harness::socket::{Child, Client, Listener, Stream};

use crate::judge::expectation::Expectation;
use crate::steps::request::{NOTHING, data, request_in_flight};

/// A way to sign.
pub(crate) struct Signing {
    /// Gives a listener the key for its clients.
    pub listener: fn(&Lab, &Listener) -> harness::Result<()>,
    /// Gives a client the key for the server.
    pub client: fn(&Lab, &Client) -> harness::Result<()>,
    /// What a signed segment has.
    pub option: TcpOption,
    /// What the kernel counts of signatures that are not as they should be.
    pub counters: &'static [&'static str],
}

impl Signing {
    /// A listener with the key.
    pub fn listen(&self, lab: &mut Lab, name: &str) -> harness::Result<Listener> {
        let listener = lab.listen(name)?;
        (self.listener)(lab, &listener)?;
        Ok(listener)
    }

    fn bare_client(&self, lab: &Lab) -> harness::Result<Client> {
        let client = lab.client("C", 0)?;
        (self.client)(lab, &client)?;
        Ok(client)
    }

    /// A has the key; C's signed final ACK is held.
    pub fn held(&self, lab: &mut Lab) -> harness::Result<Held> {
        let a = self.listen(lab, "A")?;
        let gate = lab.close_gate(&a, Whose::Everyone)?;
        let client = self.bare_client(lab)?;
        let client = lab.connect_client(client)?;
        client.reset_on_close()?;
        lab.until_wire("C > S  . 1:1(0) ack 1")?;
        Ok(Held { a, gate, client })
    }

    /// A, with the key, has C's child in its queue and is closed; B listens, and was made
    /// ready. What both ends say to each other then.
    pub fn child_keeps_its_key(
        &self,
        lab: &mut Lab,
        ready: impl FnOnce(&Lab, &Listener) -> harness::Result<()>,
    ) -> harness::Result<()> {
        let a = self.listen(lab, "A")?;
        let client = self.bare_client(lab)?;
        let client = lab.connect_client(client)?;
        client.send(b"Hello World")?;
        lab.until_wire("S > C  . 1:1(0) ack 12")?;
        let b = lab.listen("B")?;
        ready(lab, &b)?;
        let before = lab.counters()?;
        lab.close(a);
        if let Some(child) = lab.accept_now(&b)? {
            lab.observe("recv(B's child)", child.receive_now()?.to_string());
            talk(lab, &client, &child)?;
        }
        lab.observe_counters(&before)?;
        self.observe_counters(lab, &before)?;
        self.observe_unsigned(lab);
        Ok(())
    }

    /// What must be observed then.
    pub fn child_keeps_its_key_must(&self) -> Expectation {
        let must = talk_must()
            .fact("accept(B)", "C's connection")
            .fact("recv(B's child)", "`Hello World`")
            .fact("segments without a signature", 0)
            .counters(&[("TCPMigrateReqSuccess", 1)]);
        self.counters.iter().fold(must, |must, counter| must.fact(counter, 0))
    }

    /// A, which is closed, had W's unsigned request; W sends data with a signature that
    /// nobody can check, and then without.
    pub fn unexpected_signature(&self, lab: &mut Lab) -> harness::Result<()> {
        let (a, mut w, b) = request_in_flight(lab)?;
        let before = lab.counters()?;
        lab.close(a);
        let TcpOption::Other(kind, bytes) = self.option else { unreachable!("no usual option") };
        let signed = data().option(kind, &vec![1; bytes.into()]);
        let answer = lab.wire_send(&mut w, &signed)?;
        lab.observe("answer to signed data", answer);
        self.observe_counters(lab, &before)?;
        let answer = lab.wire_send(&mut w, &data())?;
        lab.observe("answer to data", answer);
        lab.observe_counters(&before)?;
        if let Some(child) = lab.accept_now(&b)? {
            lab.observe("recv(B's child)", child.receive_now()?.to_string());
        }
        Ok(())
    }

    /// What must be observed then; one of the counters is about the signature.
    pub fn unexpected_signature_must(&self, counted: &str) -> Expectation {
        let must = Expectation::new()
            .fact("answer to signed data", NOTHING)
            .fact("answer to data", "S > W  . 1:1(0) ack 12")
            .fact("accept(B)", "W's connection")
            .fact("recv(B's child)", "`Hello World`")
            .counters(&[("TCPMigrateReqSuccess", 1), ("PassiveOpens", 1)]);
        self.counters
            .iter()
            .fold(must, |must, counter| must.fact(counter, i64::from(*counter == counted)))
    }

    /// By how much each counter of wrong signatures has grown.
    pub fn observe_counters(&self, lab: &mut Lab, before: &Counters) -> harness::Result<()> {
        let now = lab.counters()?;
        for counter in self.counters {
            lab.observe(counter, now.grown(before, counter).unwrap_or(0));
        }
        Ok(())
    }

    /// How many segments of the whole case were not signed.
    pub fn observe_unsigned(&self, lab: &mut Lab) {
        let ours = |port: u16| port == PORT;
        let segments = lab.trace().segments().filter(|s| ours(s.to.port()) || ours(s.from.port()));
        let unsigned = segments.filter(|s| !s.options.contains(&self.option)).count();
        lab.observe("segments without a signature", unsigned);
    }
}

/// A handshake in flight that is signed.
pub(crate) struct Held {
    a: Listener,
    gate: Gate,
    pub client: Client,
}

impl Held {
    /// Closes A, and lets C through again.
    pub fn close(mut self, lab: &mut Lab) -> harness::Result<Client> {
        lab.close_gated(self.a, &mut self.gate)?;
        lab.open_gate(self.gate)?;
        Ok(self.client)
    }
}

/// C sends data; B accepts at once, or when the SYN+ACK timer has moved the request.
pub(crate) fn accept_sooner_or_later(
    lab: &mut Lab,
    client: &Client,
    b: &Listener,
    refused: bool,
) -> harness::Result<Child> {
    let child = lab.accept_now(b)?;
    // Had it fired before, B would have the request already.
    if child.is_none() || refused {
        lab.check_syn_ack_timer(client.local)?;
    }
    let child = child.map_or_else(|| b.accept(), Ok)?;
    observe_accepted(lab, &child)?;
    Ok(child)
}

/// Whose connection B has accepted, and what it reads.
pub(crate) fn observe_accepted(lab: &mut Lab, child: &Child) -> harness::Result<()> {
    let whose = lab.trace().name_of(child.peer);
    lab.observe("accept(B) in the end", format!("{whose}'s connection"));
    lab.observe("recv(B's child)", child.receive()?.to_string());
    Ok(())
}

/// Both ends say something.
pub(crate) fn talk(lab: &mut Lab, client: &Client, child: &Child) -> harness::Result<()> {
    child.send(b"Hi")?;
    lab.observe("recv(C)", client.receive()?.to_string());
    client.send(b"again")?;
    lab.observe("recv(B's child), again", child.receive()?.to_string());
    Ok(())
}

pub(crate) fn talk_must() -> Expectation {
    Expectation::new().fact("recv(C)", "`Hi`").fact("recv(B's child), again", "`again`")
}
