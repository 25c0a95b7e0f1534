//! Listeners that are handed over through a UNIX socket (`SCM_RIGHTS`). Its name is an
//! abstract one, which is of one network namespace: the lab's.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

use crate::error::{Context, Result};
use crate::net::scm_rights::{self, Receive};
use crate::socket::Listener;
use crate::wait;

/// A UNIX socket whose clients are given listeners.
pub struct HandoverPoint {
    socket: UnixListener,
}

impl HandoverPoint {
    /// Opens one under `name`.
    ///
    /// # Errors
    /// The name is taken.
    pub fn open(name: &str) -> Result<Self> {
        let socket = UnixListener::bind_addr(&address(name)?);
        Ok(Self { socket: socket.call(|| format!("bind(AF_UNIX, {name})"))? })
    }

    /// Waits until somebody connects, and sends descriptors of `listeners`.
    ///
    /// # Errors
    /// Nobody connects, or the kernel does not pass them on.
    pub fn hand_over(&self, listeners: &[&Listener]) -> io::Result<()> {
        let ready = wait::ready(&[self.socket.as_fd()], wait::deadline());
        if !ready.map_err(io::Error::other)?[0] {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let (stream, _) = self.socket.accept()?;
        let descriptors: Vec<RawFd> =
            listeners.iter().map(|listener| listener.as_fd().as_raw_fd()).collect();
        scm_rights::send(&stream, b"L", &descriptors).map(drop)
    }
}

impl AsFd for HandoverPoint {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The listeners that are handed out under `name`.
///
/// The descriptors keep them open.
///
/// # Errors
/// Nothing is handed out under this name.
pub fn fetch(name: &str) -> Result<Vec<OwnedFd>> {
    let stream = UnixStream::connect_addr(&address(name)?);
    let stream = stream.call(|| format!("connect(AF_UNIX, {name})"))?;
    wait::until_readable(
        stream.as_fd(),
        "listeners to be handed out",
        || match scm_rights::receive(&stream, Receive::ALL) {
            Ok(message) => Ok(Some(message.descriptors)),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(e) => Err(e).call(|| "recvmsg(AF_UNIX)".into()),
        },
    )
}

fn address(name: &str) -> Result<SocketAddr> {
    SocketAddr::from_abstract_name(name).call(|| format!("an abstract UNIX address, {name}"))
}
