//! Segments built by hand, and what they are answered with.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Lab;
use crate::error::{Context, Error, Result};
use crate::guest;
use crate::lab::net_files::Looks;
use crate::lab::settle::{echo, settle};
use crate::net::draft::Draft;
use crate::net::segment::Segment;
use crate::socket::wire_client::WireClient;
use crate::trace::Event;

/// The first SYN+ACK retransmission comes after TCP_TIMEOUT_INIT, a second; the kernel's
/// timers may fire a little early as seen by the wire's clock.
const SYN_ACK_TIMER: Duration = Duration::from_millis(900);

impl Lab {
    /// A client that sends just the segments that the case builds. It has sent none. It never
    /// acknowledges a FIN, so children of its connections are reset when they are closed.
    pub fn wire_client(&mut self, name: &str) -> Result<WireClient> {
        let client = self.wire_client_to_be_finished(name)?;
        self.recorder.reset_children_of(client.local);
        Ok(client)
    }

    /// As [`Lab::wire_client`], for a case about what is left of connections whose FIN nobody
    /// acknowledges.
    pub fn wire_client_to_be_finished(&mut self, name: &str) -> Result<WireClient> {
        let client = WireClient::new(name, self.family, self.recorder.clone())
            .map_err(guest::blaming_its_kernel)?;
        self.recorder.with_capture(|capture| capture.trace_mut().name(client.local, name));
        Ok(client)
    }

    /// Sends a SYN, waits for the SYN+ACK, and learns the server's first sequence number.
    ///
    /// # Errors
    /// [`Error::NeverHappened`] when there is no SYN+ACK.
    pub fn wire_syn(&mut self, client: &mut WireClient, syn: &Draft) -> Result<()> {
        let before = self.trace().events.len();
        client.send(syn)?;
        let local = client.local;
        let answer = |events: &[Event]| syn_ack(events.get(before..)?, local);
        let what = format!("a SYN+ACK to {}", client.name());
        self.until_captured(&what, |trace| answer(&trace.events).is_some())?;
        let initial = answer(&self.trace().events);
        client.learn(initial.ok_or_else(|| Error::unreadable(&what, "nothing"))?);
        Ok(())
    }

    /// Sends a segment, lets the kernel finish with it, and says what it was answered with:
    /// lines as in a trace, or `nothing`. A SYN+ACK among them is learned from.
    ///
    /// # Errors
    /// [`Error::TooSlow`], as [`Lab::check_syn_ack_timer`].
    pub fn wire_send(&mut self, client: &mut WireClient, draft: &Draft) -> Result<String> {
        let before = self.trace().events.len();
        client.send(draft)?;
        self.settle()?;
        self.check_syn_ack_timer(client.local)?;
        if let Some(initial) = syn_ack(&self.trace().events[before..], client.local) {
            client.learn(initial);
        }
        Ok(self.sent_since(before, client))
    }

    /// Does something else, lets the kernel finish with it, and says what a client was sent
    /// meanwhile: lines as in a trace, or `nothing`.
    ///
    /// # Errors
    /// Those of `act`.
    pub fn sent_meanwhile(
        &mut self,
        client: &WireClient,
        act: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<String> {
        let before = self.trace().events.len();
        act(self)?;
        self.settle()?;
        Ok(self.sent_since(before, client))
    }

    /// What a client was sent from an index of the trace on.
    fn sent_since(&mut self, index: usize, client: &WireClient) -> String {
        let name = client.name();
        let lines = self.trace().lines();
        let to_client = lines[index..]
            .iter()
            .filter(|line| line.ends().is_some_and(|(from, to)| to == name && from != name));
        let sent: Vec<&str> = to_client.map(|line| line.what.as_str()).collect();
        if sent.is_empty() { "nothing".into() } else { sent.join(", ") }
    }

    /// Checks that the timer which retransmits SYN+ACKs cannot have fired for `client` yet: it
    /// would change the request in a way that the case is not about. Where the listener is
    /// closed and migration is off, nothing on the wire would show that.
    ///
    /// # Errors
    /// [`Error::TooSlow`] when it can have.
    pub fn check_syn_ack_timer(&mut self, client: SocketAddr) -> Result<()> {
        let client = SocketAddr::new(client.ip().to_canonical(), client.port());
        let syn = self.trace().segments().find(|s| s.from == client && s.flags.syn());
        let syn = syn.map(|syn| syn.at);
        // The one after a timer that fired is twice as far away, and more.
        let fired = self.fired.iter().rev().find(|(whose, _)| *whose == client).map(|(_, at)| *at);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        match fired.or(syn).map(|at| now.saturating_sub(at)) {
            Some(age) if age >= SYN_ACK_TIMER => {
                Err(Error::TooSlow { what: "the SYN+ACK timer may have fired".into() })
            }
            _ => Ok(()),
        }
    }

    /// What the lab's capture is of, as a file of it says: the case and its setting.
    pub fn describe(&self, about: &str) {
        self.recorder.with_capture(|capture| capture.describe(about));
    }

    /// Returns when every packet that was sent before has been received, and every packet
    /// that was sent because of one.
    pub fn settle(&mut self) -> Result<()> {
        let echo = match self.echo.take() {
            Some(echo) => echo,
            None => echo().call(|| "a UDP socket that is connected to itself".into())?,
        };
        settle(&echo)?;
        // Kept open: a closed one would be counted until an RCU grace period is over.
        self.echo = Some(echo);
        Ok(())
    }

    /// Sockets that were closed and have not been freed. The capture has one open, and what the
    /// lab needed besides is kept open to its end.
    pub(super) fn unfreed_sockets(&self, looks: &mut Looks) -> Result<i64> {
        let open = [true, self.echo.is_some(), self.diag.is_some()];
        self.files.unfreed_sockets(open.map(i64::from).iter().sum(), looks)
    }
}

/// SEG.SEQ of the last SYN+ACK to `client`.
fn syn_ack(events: &[Event], client: SocketAddr) -> Option<u32> {
    let segments = events.iter().rev().filter_map(|event| match event {
        Event::Segment(segment) => Some(segment),
        Event::Act { .. } => None,
    });
    let answers = |s: &&Segment| s.to == client && s.flags.syn() && s.flags.ack();
    segments.into_iter().find(answers).map(|segment| segment.seq)
}
