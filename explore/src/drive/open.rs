//! What a history has open, and its clients as they are on the wire.

use std::net::{Shutdown, SocketAddr};

use harness::lab::unrecorded::UnrecordedLab;
use harness::net::draft::Draft;
use harness::net::segment::Segment as Captured;
use harness::socket::{Child, Listener};
use harness::trace::Direction;
use harness::{Error, Result};

use crate::model::Answer;
use crate::step::{ClientId, ListenerId, MOST_CLIENTS, Segment, Step};

/// What a history has open.
#[derive(Default)]
pub(super) struct Open {
    /// The descriptors of each listener.
    pub(super) listeners: Vec<Vec<Listener>>,
    pub(super) accepted: Vec<Child>,
    pub(super) clients: Vec<Peer>,
}

/// A client, as it is on the wire.
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    /// The first number of the server's that it knows.
    pub(super) initial: Option<u32>,
}

impl Open {
    pub(super) fn listener(&self, listener: ListenerId) -> Result<&Listener> {
        self.listeners[listener.0]
            .first()
            .ok_or_else(|| Error::unreadable("a step", format!("{listener} is not open")))
    }

    /// The descriptor that a step closes: it is nobody else's from here on.
    pub(super) fn take_closing(&mut self, step: &Step) -> Option<Listener> {
        match *step {
            Step::Close { listener } => self.listeners[listener.0].pop(),
            _ => None,
        }
    }

    /// Whose a child is; one that is nobody's is of no client that there is.
    pub(super) fn client_of(&self, child: &Child) -> ClientId {
        let client = self.clients.iter().position(|peer| peer.address == child.peer);
        ClientId(client.unwrap_or(MOST_CLIENTS))
    }
}

impl Peer {
    /// What a segment says to this client. The first number of a SYN+ACK is learned.
    pub(super) fn read(&mut self, lab: &UnrecordedLab, segment: &Captured) -> Answer {
        let flags = segment.flags;
        let ack = lab.relative(segment.ack);
        let seq = segment.seq.wrapping_sub(self.initial.unwrap_or(0));
        match (flags.syn(), flags.rst(), flags.ack()) {
            (true, false, true) if self.initial == Some(segment.seq) => Answer::SynAckAgain { ack },
            (true, false, true) => {
                self.initial = Some(segment.seq);
                Answer::SynAck { ack }
            }
            (false, true, false) => Answer::Reset { seq },
            (false, true, true) if segment.seq == 0 => Answer::Refusal { ack },
            (false, true, true) => Answer::Abort { seq, ack },
            (false, false, true) if flags.to_string() == "." => Answer::Ack { seq, ack },
            _ => Answer::Other { flags: flags.0 },
        }
    }
}

/// A segment, with its numbers.
pub(super) fn draft(segment: Segment, (seq, ack): (u32, u32)) -> Draft {
    let payload = vec![b'x'; segment.bytes() as usize];
    Draft::new(segment.flags(), seq, ack).payload(&payload)
}

/// A direction, as `shutdown` takes it.
pub(super) fn directions(how: Direction) -> Shutdown {
    match how {
        Direction::Read => Shutdown::Read,
        Direction::Write => Shutdown::Write,
        Direction::Both => Shutdown::Both,
    }
}
