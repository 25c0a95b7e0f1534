//! What the two ends of a connection can do.

use std::fmt;
use std::io::{self, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use socket2::Socket;

use crate::capture::Recorder;
use crate::error::{Context, Result, errno_name};
use crate::trace::{Act, Actor, Direction};
use crate::wait::{self, Awaited};

/// A socket of a lab, which records what is done to it.
pub trait Recorded: AsFd {
    /// As acts name it.
    fn actor(&self) -> Actor;

    /// Where it is recorded what is done to it.
    fn recorder(&self) -> &Recorder;
}

/// Sets an option of a socket by `set`, and records it.
pub(crate) fn set_recorded<S: Recorded>(
    socket: &S,
    option: &str,
    value: impl fmt::Display,
    set: impl FnOnce(&S) -> io::Result<()>,
) -> io::Result<()> {
    socket.recorder().act(|| set_option(socket.actor(), option, value), || set(socket))
}

/// A trace has what is sent if it is not more than this.
const FEW_BYTES: usize = 64;

/// The two ends of a connection, which can do the same things.
pub trait Stream: Recorded {
    /// As errors name it.
    fn label(&self) -> String;

    /// The socket itself.
    fn socket(&self) -> &Socket;

    /// Makes `close` send a RST, so that no state remains that waits for the other end.
    fn reset_on_close(&self) -> Result<()> {
        let act = || set_option(self.actor(), "SO_LINGER", "0 s");
        self.recorder()
            .act(act, || self.socket().set_linger(Some(Duration::ZERO)))
            .call(|| format!("setsockopt({}, SO_LINGER, 0)", self.label()))
    }

    /// Finishes this direction: a FIN after everything sent.
    fn finish(&self) -> Result<()> {
        let act = || Act::Shutdown { socket: self.actor(), how: Direction::Write };
        self.recorder()
            .act(act, || self.socket().shutdown(Shutdown::Write))
            .tested(|| format!("shutdown({}, SHUT_WR)", self.label()))
    }

    /// Sends all of `bytes`.
    fn send(&self, bytes: &[u8]) -> Result<()> {
        let few = if bytes.len() <= FEW_BYTES { bytes } else { &[] };
        let data = few.escape_ascii().to_string();
        let act = || Act::Send { socket: self.actor(), bytes: bytes.len(), data };
        let mut socket = self.socket();
        self.recorder()
            .act(act, || socket.write_all(bytes))
            .tested(|| format!("send({}, {} bytes)", self.label(), bytes.len()))
    }

    /// What `recv` says, once it has something to say.
    ///
    /// # Errors
    /// [`crate::Error::NeverHappened`] when it has not by the deadline.
    fn receive(&self) -> Result<Received> {
        let what = format!("something to receive on {}", self.label());
        let patience = wait::patience(Awaited::Data);
        let got = wait::until_readable_within(patience, self.as_fd(), &what, || {
            Ok(match self.read_now() {
                Received::Nothing => None,
                other => Some(other),
            })
        })?;
        self.record_received(&got);
        Ok(got)
    }

    /// What `recv` says without waiting.
    fn receive_now(&self) -> Result<Received> {
        let got = self.read_now();
        self.record_received(&got);
        Ok(got)
    }

    /// Records what `recv` returned.
    fn record_received(&self, got: &Received) {
        self.recorder().record(|| Act::Receive { socket: self.actor(), got: got.to_string() });
    }

    /// As [`Stream::receive_now`], without recording it.
    fn read_now(&self) -> Received {
        let mut buffer = [0; 1024];
        loop {
            match recv(self.socket().as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(0) => return Received::End,
                Ok(len) => return Received::Bytes(buffer[..len].to_vec()),
                Err(Errno::EAGAIN) => return Received::Nothing,
                Err(Errno::EINTR) => {}
                Err(errno) => return Received::Failed(errno_name(&errno.into())),
            }
        }
    }
}

/// The act that sets a socket option.
pub(crate) fn set_option(socket: Actor, option: &str, value: impl fmt::Display) -> Act {
    Act::SetOption { socket, option: option.to_owned(), value: value.to_string() }
}

/// The outcome of a `recv`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// Data.
    Bytes(Vec<u8>),
    /// The peer has finished.
    End,
    /// EAGAIN.
    Nothing,
    /// Any other error, by its name.
    Failed(String),
}

impl fmt::Display for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "`{}`", bytes.escape_ascii()),
            Self::End => f.write_str("end of stream"),
            Self::Nothing => f.write_str("EAGAIN"),
            Self::Failed(errno) => f.write_str(errno),
        }
    }
}
