//! The connection of one attempt.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use nix::errno::Errno;
use socket2::{Domain, Protocol, Socket, Type};

use super::attempt::Outcome;
use crate::error::{Context, Result};
use crate::gate::HELD_MARK;

/// What every client asks for.
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: server\r\nConnection: close\r\n\r\n";

/// How much of an answer is looked at: its status.
const STATUS: usize = "HTTP/1.1 200".len();

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
    pub(super) fn step(&mut self) -> Step {
        if self.connected { self.receive() } else { self.connect() }
    }

    fn connect(&mut self) -> Step {
        match self.socket.take_error() {
            Ok(None) => {}
            Ok(Some(e)) | Err(e) => return ended(Outcome::of_connect(&e), "connect()", &e),
        }
        // Neither an error nor a peer: the SYN is unanswered.
        match self.socket.peer_addr() {
            Err(e) if e.raw_os_error() == Some(Errno::ENOTCONN as i32) => return Step::Waits,
            _ => self.connected = true,
        }
        match (&self.socket).write(REQUEST) {
            Ok(len) if len == REQUEST.len() => Step::Connected,
            Ok(len) => Step::Ended(Outcome::Laboratory, format!("send() took {len} bytes")),
            Err(e) => ended(Outcome::of_transfer(&e, false), "send()", &e),
        }
    }

    fn receive(&mut self) -> Step {
        let mut buffer = [0; 4096];
        loop {
            let had = self.answer.len();
            match (&self.socket).read(&mut buffer) {
                Ok(0) => return Step::Ended(self.outcome(), String::new()),
                Ok(len) => {
                    let room = STATUS.saturating_sub(had).min(len);
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

    fn outcome(&self) -> Outcome {
        match self.answer.as_slice() {
            [] => Outcome::Closed,
            answer if answer.starts_with(b"HTTP/1.") && answer.ends_with(b" 200") => {
                Outcome::Answered
            }
            answer if answer.len() < STATUS => Outcome::Closed,
            _ => Outcome::WrongAnswer,
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
    Step::Ended(outcome, format!("{call}: {error}"))
}
