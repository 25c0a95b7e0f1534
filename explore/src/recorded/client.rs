//! Clients of a recorded run. Those that are sockets of the lab's own namespace are counted there,
//! too.

use harness::trace::Notation;

use crate::model::{Answer, Counter};

/// One connection of a client.
#[derive(Debug, Clone, Default)]
pub struct Client {
    /// As the trace calls it.
    pub name: String,
    /// The state of its own socket, if it is one.
    pub socket: Option<SocketState>,
    /// The number of its first SYN as the trace counts from, where it has sent several.
    pub base: u32,
    /// SEG.SEQ of the SYN+ACK that it had last, as the trace shows it.
    pub syn_ack: Option<u32>,
    /// The server's numbers in the trace are relative to its SYN+ACK.
    pub knows_server: bool,
    /// The server has nothing of it any more, since a process has closed its end.
    pub is_over: bool,
    /// Its end at the server is to be reset when it is closed.
    pub child_resets: bool,
}

/// The state of a client's socket, as far as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketState {
    /// SYN_SENT.
    Connecting,
    /// ESTABLISHED or CLOSE_WAIT.
    Open,
    /// Any other.
    Other,
}

impl Client {
    /// It receives a RST: what the namespace counts for its socket.
    pub fn is_reset(&mut self) -> Option<Counter> {
        let counted = match self.socket? {
            SocketState::Connecting => Some(Counter::AttemptFails),
            SocketState::Open => Some(Counter::EstabResets),
            SocketState::Other => None,
        };
        self.socket = Some(SocketState::Other);
        counted
    }

    /// It sends a RST: what the namespace counts for its socket.
    pub fn resets(&mut self) -> Vec<Counter> {
        let counted = match self.socket {
            None => vec![],
            Some(SocketState::Open) => vec![Counter::OutRsts, Counter::EstabResets],
            Some(_) => vec![Counter::OutRsts],
        };
        if self.socket.is_some() {
            self.socket = Some(SocketState::Other);
        }
        counted
    }

    /// It receives a SYN+ACK.
    pub fn is_connected(&mut self, seq: u32) {
        self.syn_ack = Some(seq);
        self.knows_server = true;
        if self.socket == Some(SocketState::Connecting) {
            self.socket = Some(SocketState::Open);
        }
    }

    /// It sends a FIN.
    pub fn finishes(&mut self) {
        if self.socket.is_some() {
            self.socket = Some(SocketState::Other);
        }
    }
}

impl Client {
    /// What a segment of the server says to it. What the trace shows as relative to a later SYN is
    /// counted from the first.
    pub fn answer(&mut self, segment: Notation) -> Answer {
        let ack = self.base.wrapping_add(segment.ack.unwrap_or(0));
        let seq = segment.seq;
        let flags = segment.flags;
        match (flags.syn(), flags.rst(), flags.ack()) {
            (true, false, true) if self.syn_ack == Some(seq) => Answer::SynAckAgain { ack },
            (true, false, true) => {
                self.is_connected(seq);
                Answer::SynAck { ack }
            }
            (false, true, false) => Answer::Reset { seq },
            // One that answers a segment without ACK has the number 0, which is none of the
            // connection's.
            (false, true, true) if seq == 1 => Answer::Abort { seq, ack },
            (false, true, true) => Answer::Refusal { ack },
            (false, false, true) if segment.len == 0 && !segment.is_fin() => {
                Answer::Ack { seq, ack }
            }
            _ => Answer::Other { flags: flags.0 },
        }
    }
}
