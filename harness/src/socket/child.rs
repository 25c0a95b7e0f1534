//! The server's end of a connection.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

use socket2::Socket;

use crate::capture::Recorder;
use crate::error::{Context, Result};
use crate::net::sockopt;
use crate::net::witness::{negotiated, segment_size};
use crate::socket::stream::{Recorded, Stream};
use crate::trace::{Act, Actor, CloseCall};

/// A connection as `accept` returned it. Dropping the value closes it.
#[derive(Debug)]
pub struct Child {
    of: String,
    client: String,
    socket: Socket,
    recorder: Recorder,
    /// The client's address.
    pub peer: SocketAddr,
}

impl Child {
    /// What `accept` on the listener `of` returned.
    pub(super) fn new(of: &str, socket: Socket, peer: SocketAddr, recorder: Recorder) -> Self {
        let client = recorder.name_of(peer);
        Self { of: of.to_owned(), client, socket, recorder, peer }
    }

    /// The client's name in traces; its address if it has none.
    pub fn client(&self) -> &str {
        &self.client
    }

    /// Resets the connection (`connect` to AF_UNSPEC), whichever protocol it is of.
    /// `SO_LINGER` does not have a close of Multipath TCP reset before Linux 7.1.
    ///
    /// # Errors
    /// `connect` fails.
    pub fn abort(&self) -> Result<()> {
        self.try_abort().call(|| format!("connect({}, AF_UNSPEC)", self.label()))
    }

    /// As [`Child::abort`], for a kernel that may refuse: Linux 5.17 was the first to do it to a
    /// connection of Multipath TCP.
    ///
    /// # Errors
    /// The kernel's own.
    pub fn try_abort(&self) -> io::Result<()> {
        let act = || Act::Disconnect { socket: self.actor() };
        self.recorder.act(act, || sockopt::disconnect(&self.socket))
    }

    /// What the child has from its handshake and its listener: what was negotiated, and
    /// options that were not set.
    pub fn negotiated_options(&self) -> Result<String> {
        let negotiated = negotiated(&self.socket)?;
        let option = |name: &str| format!("getsockopt({}, {name})", self.label());
        let mark = self.socket.mark().call(|| option("SO_MARK"))?;
        let buffer = self.socket.recv_buffer_size().call(|| option("SO_RCVBUF"))?;
        let no_delay = self.socket.tcp_nodelay().call(|| option("TCP_NODELAY"))?;
        Ok(format!("{negotiated}, mark {mark}, buffer {buffer}, nodelay {no_delay}"))
    }

    /// How large its segments may be (`tcpi_snd_mss`): what the client announced, less the
    /// options of each segment.
    pub fn segment_size(&self) -> Result<u32> {
        segment_size(&self.socket)
    }
}

impl Stream for Child {
    fn label(&self) -> String {
        format!("a child of {}", self.of)
    }

    fn socket(&self) -> &Socket {
        &self.socket
    }
}

impl Recorded for Child {
    fn actor(&self) -> Actor {
        Actor::Child(self.client.clone())
    }

    fn recorder(&self) -> &Recorder {
        &self.recorder
    }
}

impl AsFd for Child {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.recorder.closed(&self.actor(), CloseCall::Close, true);
    }
}
