//! What the lab and a worker say to each other.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Family;
use crate::error::{Context, Error, Result};

/// How to be a worker. It gets them as an argument.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orders {
    /// Where its listeners come from.
    pub source: Source,
    /// The address family of its listeners.
    pub family: Family,
    /// The name, in the lab's network namespace, under which processes that
    /// connect are given its listeners. It hands out none without a name.
    pub hands_out_at: Option<String>,
    /// What it does for its clients.
    pub service: Service,
}

/// Where a worker's listeners come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// It makes one, with `SO_REUSEPORT`, at every address of its family and the lab's port.
    Own,
    /// The process that started it left these descriptors open.
    Inherited(Vec<RawFd>),
    /// It connects to this name, where a worker or the lab hands them out (`SCM_RIGHTS`).
    HandedOutAt(String),
}

/// What a worker does for its clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Service {
    /// It accepts a client only when the lab says so, reads once, answers `Hi`, and keeps the
    /// connection until it ends.
    OnCommand,
    /// It accepts all clients, reads an HTTP request of each, answers it and closes.
    Http {
        /// How long it is busy after each `accept`.
        pause: Duration,
    },
}

/// What a worker does before it closes its listeners.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CloseMode {
    /// Nothing.
    AtOnce,
    /// It accepts until EAGAIN.
    AfterDraining,
}

/// What the lab wants of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Command {
    /// Accept this many clients and answer them; for [`Service::OnCommand`].
    Serve { clients: usize },
    /// Close the listeners, finish what was accepted, and end.
    Close(CloseMode),
    /// Finish what was accepted, then become a fresh program that inherits the listeners.
    Exec,
}

/// What a worker says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Answer {
    /// It has its listeners.
    Ready,
    /// It has done [`Command::Serve`].
    Served(Vec<Served>),
    /// It ends, because of this.
    Failed(String),
}

/// A client that a worker has served on command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// The client's address.
    pub peer: SocketAddr,
    /// What `recv` returned.
    pub request: String,
}

/// Writes a message with one call.
pub(super) fn send(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message).map_err(io::Error::other)?;
    line.push(b'\n');
    to.write_all(&line)?;
    to.flush()
}

/// Messages out of a stream, which may arrive in any pieces.
#[derive(Default)]
pub(super) struct Messages {
    bytes: VecDeque<u8>,
}

impl Messages {
    /// Reads once. Says whether there was anything; otherwise the stream has ended.
    pub(super) fn read_once(&mut self, from: &mut impl Read) -> io::Result<bool> {
        let mut buffer = [0; 4096];
        let got = from.read(&mut buffer)?;
        self.bytes.extend(&buffer[..got]);
        Ok(got > 0)
    }

    /// The next message that is here as a whole.
    ///
    /// # Errors
    /// There is something else.
    pub(super) fn next<T: DeserializeOwned>(&mut self, what: &str) -> Result<Option<T>> {
        let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') else {
            return Ok(None);
        };
        let line: Vec<u8> = self.bytes.drain(..=end).collect();
        let message = serde_json::from_slice(&line);
        message
            .map(Some)
            .map_err(|_| Error::unreadable(what, String::from_utf8_lossy(&line).trim()))
    }
}

/// Orders as an argument of the worker.
pub(super) fn to_argument(orders: &Orders) -> Result<String> {
    serde_json::to_string(orders)
        .map_err(io::Error::other)
        .call(|| "write a worker's orders".into())
}

/// The other side of [`to_argument`].
pub(super) fn from_argument(argument: &str) -> Result<Orders> {
    serde_json::from_str(argument).map_err(|_| Error::unreadable("a worker's orders", argument))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_arrive_in_any_pieces() {
        let sent = [Command::Serve { clients: 3 }, Command::Close(CloseMode::AfterDraining)];
        let mut bytes = Vec::new();
        sent.iter().for_each(|command| send(&mut bytes, command).expect("written"));
        for cut in 0..bytes.len() {
            let (mut messages, mut got) = (Messages::default(), Vec::new());
            for mut piece in [&bytes[..cut], &bytes[cut..]] {
                messages.read_once(&mut piece).expect("read");
                while let Some(command) = messages.next::<Command>("a command").expect("whole") {
                    got.push(command);
                }
            }
            assert_eq!(got, sent, "cut at {cut}");
        }
    }

    #[test]
    fn something_else_than_a_message_is_shown() {
        let mut messages = Messages::default();
        messages.read_once(&mut &b"thread panicked\n"[..]).expect("read");
        let error = messages.next::<Answer>("a worker's answer").expect_err("no answer");
        assert_eq!(error.to_string(), "cannot read a worker's answer: thread panicked");
    }

    #[test]
    fn orders_are_read_as_they_were_written() {
        let orders = Orders {
            source: Source::Inherited(vec![7]),
            family: Family::V6,
            hands_out_at: Some("name".into()),
            service: Service::Http { pause: Duration::from_micros(7) },
        };
        let argument = to_argument(&orders).expect("written");
        assert_eq!(from_argument(&argument).expect("read"), orders);
        assert!(from_argument("nothing").is_err());
    }
}
