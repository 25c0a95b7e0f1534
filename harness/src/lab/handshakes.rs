//! Handshakes in flight: the gate that holds them, and how many a listener has room for.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{CROWD_PORTS, Lab};
use crate::error::{Error, Result};
use crate::gate::{Gate, GateKind, Whose};
use crate::guest;
use crate::net::family::PORT;
use crate::net::segment::Segment;
use crate::net::witness::{Queue, State, sockets};
use crate::socket::{Client, Listener};
use crate::trace::{Act, Actor, Event, Trace};
use crate::wait;

/// A client retransmits no sooner than TCP_RTO_MIN, 200 ms, after it sent; opening the
/// gate takes less than the rest, on an emulated machine too.
const SOON_AFTER_SENDING: Duration = Duration::from_millis(50);

/// To the server, ACK set, SYN and RST clear: what the gate drops.
fn is_final_ack(segment: &Segment) -> bool {
    let flags = segment.flags;
    segment.to.port() == PORT && flags.ack() && !flags.syn() && !flags.rst()
}

fn act(event: &Event) -> Option<&Act> {
    match event {
        Event::Act { act, .. } => Some(act),
        Event::Segment(_) => None,
    }
}

fn closes_gate(event: &Event) -> bool {
    matches!(act(event), Some(Act::CloseGate(_)))
}

fn opens_gate(event: &Event) -> bool {
    matches!(act(event), Some(Act::OpenGate))
}

fn closes_listener(event: &Event) -> bool {
    matches!(act(event), Some(Act::Close { socket: Actor::Listener(_), .. }))
}

fn segment(event: &Event) -> Option<&Segment> {
    match event {
        Event::Segment(segment) => Some(segment),
        Event::Act { .. } => None,
    }
}

fn final_acks(trace: &Trace) -> impl Iterator<Item = &Segment> {
    trace.segments().filter(|segment| is_final_ack(segment))
}

impl Lab {
    /// Closes a gate in front of `listener` for the final ACKs of `whose`.
    pub fn close_gate(&mut self, listener: &Listener, whose: Whose) -> Result<Gate> {
        let gate = Gate::close(listener, whose)?;
        self.record(Act::CloseGate(gate.kind()));
        Ok(gate)
    }

    /// Closes the listener that `gate` is in front of, and nothing that the gate holds gets
    /// through before [`Lab::open_gate`].
    ///
    /// A filter ends with its listener, so that the moment has to be chosen: right after a
    /// retransmission, when the next one is TCP_RTO_MIN away (not more: the first may be a
    /// tail loss probe, which doubles nothing). And the capture and the listener must agree
    /// by then on how many segments were dropped.
    pub fn close_gated(&mut self, listener: Listener, gate: &mut Gate) -> Result<()> {
        if gate.kind() == GateKind::Filter {
            if final_acks(self.trace()).any(|segment| segment.len > 0) {
                let last = final_acks(self.trace()).last().map(|segment| segment.at);
                self.until_next_final_ack(last)?;
            }
            let captured = self.captured_since_gate_closed();
            let agreed = wait::until("the count of dropped segments", || {
                let dropped = gate.dropped_by_filter()?;
                Ok((dropped.is_none_or(|dropped| dropped >= captured)).then_some(()))
            });
            match agreed {
                // Then both are shown.
                Err(e) if !e.blames_the_kernel() => return Err(e),
                _ => gate.let_listener_go()?,
            }
        }
        self.close(listener);
        Ok(())
    }

    /// Opens the gate and says how many packets it dropped.
    ///
    /// A retransmission that comes while the gate swings open could fall on either side.
    /// If the last one is a while ago, the next one is let come first: after that, its
    /// successor is at least twice as far away.
    ///
    /// # Errors
    /// [`Error::TooSlow`] when a gate that ended with its listener let something through
    /// before this call.
    pub fn open_gate(&mut self, gate: Gate) -> Result<u64> {
        let last = final_acks(self.trace()).last().cloned();
        if gate.is_gone() {
            let events = &self.trace().events;
            let closed = events.iter().rposition(closes_listener);
            if events[closed.unwrap_or(0)..].iter().filter_map(segment).any(is_final_ack) {
                let what = "a retransmission came between the close and what had to follow it";
                return Err(Error::TooSlow { what: what.into() });
            }
        } else if let Some(last) = last {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            if last.len > 0 && now.saturating_sub(last.at) > SOON_AFTER_SENDING {
                self.until_next_final_ack(Some(last.at))?;
            }
        }
        self.record(Act::OpenGate);
        gate.open()
    }

    fn until_next_final_ack(&mut self, last: Option<Duration>) -> Result<()> {
        self.until_captured("a retransmission before the gate opens", |trace| {
            final_acks(trace).last().map(|segment| segment.at) > last
        })
    }

    fn captured_since_gate_closed(&mut self) -> u64 {
        let events = &self.trace().events;
        let closed = events.iter().rposition(closes_gate);
        let since = &events[closed.unwrap_or(events.len())..];
        since.iter().filter_map(segment).filter(|segment| is_final_ack(segment)).count() as u64
    }

    /// Observes whether the `dropped` packets that the gate counted are just those that
    /// were captured before the one that was answered. Call it when that was.
    pub fn observe_dropped(&mut self, dropped: u64) {
        let events = &self.trace().events;
        let first =
            |is_it: fn(&Event) -> bool| events.iter().position(is_it).unwrap_or(events.len());
        let (closed, opens) = (first(closes_gate), first(opens_gate));
        let answered = |s: &Segment| s.from.port() == PORT && !s.flags.syn();
        let after: Vec<&Segment> = events[opens..]
            .iter()
            .filter_map(segment)
            .take_while(|segment| !answered(segment))
            .collect();
        // On a slow machine the SYN+ACK timer may make the client retransmit its ACK.
        let by_timer = after.iter().filter(|segment| segment.flags.syn()).count();
        let captured = events[closed.min(opens)..opens]
            .iter()
            .filter_map(segment)
            .chain(after)
            .filter(|segment| is_final_ack(segment))
            .count();
        let let_through = captured as i64 - dropped as i64;
        let proof = if dropped >= 2 && let_through == 1 + by_timer as i64 {
            "all before the answered one".to_owned()
        } else if dropped >= 2 && let_through > 1 {
            let unanswered = let_through - 1;
            format!("all before the first that passed; {unanswered} passed without an answer")
        } else {
            format!("{dropped} of {captured} captured, with the answered one")
        };
        self.observe("final ACKs dropped by the gate", proof);
    }

    /// Observes that as many handshakes may be in flight to `listener` as to a fresh one
    /// that takes its place. A request that was taken from, or left in, the wrong
    /// listener's count shows here. How many there are differs by kernel.
    pub fn observe_room(&mut self, listener: Listener) -> Result<()> {
        let name = format!("handshakes that {} has room for", listener.name());
        let room = self.room(&listener)?;
        let backlog = listener.queue()?.backlog;
        self.close(listener);
        let fresh = self.listen_with_backlog("a fresh listener", backlog as i32)?;
        let usual = self.room(&fresh)?;
        let compared = match (room, usual) {
            (Ok(room), Ok(usual)) if room == usual => "as many as a fresh listener".to_owned(),
            (Ok(room), Ok(usual)) => format!("{room}, and a fresh listener for {usual}"),
            (Err(e), _) | (_, Err(e)) => e,
        };
        self.observe(&name, compared);
        Ok(())
    }

    /// The accept queue of `listener`, when three clients more than its backlog have come.
    /// It is empty before, and again after.
    pub fn accept_queue_when_full(&mut self, listener: &Listener) -> Result<Queue> {
        let clients = self.start_crowd(listener.queue()?.backlog + 3)?;
        self.settle()?;
        let full = listener.queue()?;
        drop(clients);
        while listener.accept_now()?.is_some() {}
        Ok(full)
    }

    /// Clients without names. Their ports are none that the kernel chooses: it may choose one that a
    /// client had which is gone, and whose name would be theirs in the trace.
    fn start_crowd(&mut self, clients: u32) -> Result<Vec<Client>> {
        let (family, server) = (self.family, self.family.server());
        let start = |_| {
            // After thousands the first are free again.
            let port = self.crowd_ports.next().unwrap_or_else(|| {
                self.crowd_ports = CROWD_PORTS;
                CROWD_PORTS.start
            });
            Client::start_from(family, port, server)
        };
        (0..clients).map(start).collect()
    }

    /// Starts as many handshakes as the backlog says while the gate is closed, and counts the
    /// requests; in words if not every SYN came to an end.
    ///
    /// Two more show a listener that has too much room, too. The kernel reports each listener that
    /// drops a SYN as flooded, in the log of the whole machine, where it alarms people and
    /// takes the room of other messages. So that is tried only where the machine is sockmig's
    /// own.
    fn room(&mut self, listener: &Listener) -> Result<std::result::Result<i64, String>> {
        let more = if guest::is_here() { 2 } else { 0 };
        let before = self.counters()?;
        let gate = self.close_gate(listener, Whose::Everyone)?;
        let clients = self.start_crowd(listener.queue()?.backlog + more)?;
        let what = format!("every SYN to be taken or dropped by {}", listener.name());
        let settled = wait::until(&what, || {
            let requests = self.requests()?;
            let dropped = self.counters()?.grown(&before, "TCPReqQFullDrop").unwrap_or(0);
            Ok((requests + dropped >= clients.len() as i64).then_some(requests))
        });
        drop(clients);
        gate.open()?;
        match settled {
            Ok(requests) => Ok(Ok(requests)),
            Err(e) if e.blames_the_kernel() => Ok(Err(e.to_string())),
            Err(e) => Err(e),
        }
    }

    /// How many handshakes are in flight in the lab.
    ///
    /// # Errors
    /// The table of sockets cannot be read.
    pub fn requests(&self) -> Result<i64> {
        let requests = sockets(self.family)?;
        Ok(requests.iter().filter(|socket| socket.state == State::SynRecv).count() as i64)
    }
}
