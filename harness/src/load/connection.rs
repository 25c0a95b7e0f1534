//! The connection of one attempt.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use nix::errno::Errno;
use socket2::{Domain, Protocol, Socket, Type};

use super::attempt::Outcome;
use super::exchange::Exchange;
use crate::error::{Context, Result, in_words};
use crate::gate::HELD_MARK;

/// A connection that is under way.
pub(super) struct Connection {
    pub(super) socket: Socket,
    /// Of which attempt.
    pub(super) attempt: usize,
    connected: bool,
    /// The beginning of the answer.
    answer: Vec<u8>,
}

/// How far a connection has got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing new.
    Waits,
    /// It is connected, and has sent its request.
    Connected,
    /// The first byte of the answer is there.
    FirstByte,
    /// It has ended. For [`Outcome::Laboratory`], with the call that failed.
    Ended(Outcome, String),
}

impl Connection {
    /// Sends a SYN from `source` to `server`, and does not wait.
    pub(super) fn start(
        attempt: usize,
        source: SocketAddr,
        server: SocketAddr,
        held: bool,
    ) -> Result<Self> {
        let kind = Type::STREAM.nonblocking();
        let socket = Socket::new(Domain::for_address(server), kind, Some(Protocol::TCP))
            .call(|| "socket(a client)".into())?;
        socket.bind(&source.into()).call(|| format!("bind({source})"))?;
        if held {
            socket.set_mark(HELD_MARK).call(|| format!("setsockopt(SO_MARK, {HELD_MARK})"))?;
        }
        match socket.connect(&server.into()) {
            Err(e) if e.raw_os_error() != Some(Errno::EINPROGRESS as i32) => {
                Err(e).call(|| format!("connect({source} to {server})"))
            }
            _ => Ok(Self { socket, attempt, connected: false, answer: Vec::new() }),
        }
    }

    /// Goes on as far as it can without waiting, a step at a time.
    pub(super) fn step(&mut self, exchange: &Exchange) -> Step {
        if self.connected { self.receive(exchange) } else { self.connect(exchange) }
    }

    fn connect(&mut self, exchange: &Exchange) -> Step {
        match self.socket.take_error() {
            Ok(None) => {}
            Ok(Some(e)) | Err(e) => return ended(Outcome::of_connect(&e), "connect()", &e),
        }
        // Neither an error nor a peer: the SYN is unanswered.
        match self.socket.peer_addr() {
            Err(e) if e.raw_os_error() == Some(Errno::ENOTCONN as i32) => return Step::Waits,
            _ => self.connected = true,
        }
        match (&self.socket).write(&exchange.request) {
            Ok(len) if len == exchange.request.len() => Step::Connected,
            Ok(len) => Step::Ended(Outcome::Laboratory, format!("send() took {len} bytes")),
            Err(e) => ended(Outcome::of_transfer(&e, false), "send()", &e),
        }
    }

    fn receive(&mut self, exchange: &Exchange) -> Step {
        let mut buffer = [0; 4096];
        loop {
            let had = self.answer.len();
            if exchange.is_over(&self.answer) {
                return Step::Ended(exchange.outcome(&self.answer), String::new());
            }
            match (&self.socket).read(&mut buffer) {
                Ok(0) => return Step::Ended(exchange.outcome(&self.answer), String::new()),
                Ok(len) => {
                    let room = exchange.beginning().saturating_sub(had).min(len);
                    self.answer.extend_from_slice(&buffer[..room]);
                    if had == 0 {
                        return Step::FirstByte;
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Step::Waits,
                Err(e) => return ended(Outcome::of_transfer(&e, had > 0), "recv()", &e),
            }
        }
    }

    /// The outcome of a client that gives up now.
    pub(super) fn given_up(&self) -> Outcome {
        if self.connected { Outcome::TimedOutWaiting } else { Outcome::TimedOutConnecting }
    }

    /// Lets its retransmissions pass.
    pub(super) fn release(&self) -> Result<()> {
        self.socket.set_mark(0).call(|| "setsockopt(SO_MARK, 0)".into())
    }
}

fn ended(outcome: Outcome, call: &str, error: &io::Error) -> Step {
    Step::Ended(outcome, format!("{call}: {}", in_words(error)))
}
