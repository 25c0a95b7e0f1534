//! Clients that are sockets of the kernel.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use socket2::Socket;

use crate::capture::Recorder;
use crate::error::{Context, Result};
use crate::net::family::{Family, tcp_socket};
use crate::net::{md5, sockopt};
use crate::socket::stream::{Recorded, Stream, set_option};
use crate::trace::{Act, Actor, CloseCall};
use crate::wait::{self, Awaited};

/// A client that is a kernel socket. Dropping the value closes it.
#[derive(Debug)]
pub struct Client {
    name: String,
    socket: Socket,
    recorder: Recorder,
    /// Its own address.
    pub local: SocketAddr,
}

impl Client {
    /// A socket that is neither bound nor connected.
    pub(crate) fn new(name: &str, family: Family, recorder: Recorder) -> Result<Self> {
        let socket = tcp_socket(family).call(|| format!("socket({family}) for {name}"))?;
        let local = SocketAddr::new(family.loopback(), 0);
        Ok(Self { name: name.to_owned(), socket, recorder, local })
    }

    /// Binds it.
    pub(crate) fn bind(&mut self, address: IpAddr, port: u16) -> Result<()> {
        self.local = SocketAddr::new(address, port);
        let to = self.local;
        let act = || Act::Bind { socket: self.actor(), to };
        self.recorder
            .act(act, || self.socket.bind(&to.into()))
            .tested(|| format!("bind({}, {to})", self.name))
    }

    /// A client that has sent its SYN and waits for nothing. It resets on close.
    pub fn start(family: Family, to: SocketAddr) -> Result<Self> {
        Self::begin(family, |socket| socket.connect(&to.into())).tested(|| format!("connect({to})"))
    }

    /// As [`Client::start`], from this port.
    pub fn start_from(family: Family, port: u16, to: SocketAddr) -> Result<Self> {
        let from = SocketAddr::new(family.loopback(), port);
        let how = |socket: &Socket| {
            socket.bind(&from.into())?;
            socket.connect(&to.into())
        };
        Self::begin(family, how).tested(|| format!("connect({to}) from {from}"))
    }

    /// As [`Client::start`], with data in the SYN (`MSG_FASTOPEN`; without a cookie, where
    /// the sysctl allows that).
    pub fn start_with_data(family: Family, to: SocketAddr, data: &[u8]) -> Result<Self> {
        let send = |socket: &Socket| {
            socket.send_to_with_flags(data, &to.into(), libc::MSG_FASTOPEN).map(drop)
        };
        Self::begin(family, send).tested(|| format!("sendto({to}, MSG_FASTOPEN)"))
    }

    fn begin(family: Family, how: impl FnOnce(&Socket) -> io::Result<()>) -> io::Result<Self> {
        let socket = tcp_socket(family)?;
        socket.set_linger(Some(Duration::ZERO))?;
        sockopt::set_nonblocking(&socket, true)?;
        match how(&socket) {
            Err(e) if e.raw_os_error() != Some(Errno::EINPROGRESS as i32) => Err(e),
            _ => {
                let local = SocketAddr::new(family.loopback(), 0);
                let recorder = Recorder::none();
                Ok(Self { name: "a client".to_owned(), socket, recorder, local })
            }
        }
    }

    /// Connects; returns when the SYN+ACK has come.
    pub fn connect(&mut self, to: SocketAddr) -> Result<()> {
        let called = || format!("connect({})", self.name);
        self.recorder.record(|| Act::Connect { client: self.name.clone() });
        let patience = wait::patience(Awaited::Connection);
        match connect_within(&self.socket, to, patience.within) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::TimedOut => {
                return Err(patience.ran_out(called()));
            }
            Err(e) => return Err(e).tested(called),
        }
        let local = self.socket.local_addr().call(|| format!("getsockname({})", self.name))?;
        self.local = local.as_socket().unwrap_or(self.local);
        Ok(())
    }

    /// The client's name in traces: C, D, ...
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sets `SO_MARK`, for gates that choose by it.
    pub fn mark(&self, mark: u32) -> Result<()> {
        self.recorder
            .act(|| set_option(self.actor(), "SO_MARK", mark), || self.socket.set_mark(mark))
            .call(|| format!("setsockopt({}, SO_MARK, {mark})", self.name))
    }

    /// Sets `TCP_MD5SIG`, as [`crate::socket::Listener::sign`].
    pub fn sign(&self, family: Family, key: &[u8]) -> io::Result<()> {
        let act = || set_option(self.actor(), "TCP_MD5SIG", key.escape_ascii());
        self.recorder.act(act, || md5::sign(&self.socket, family, key))
    }
}

/// `connect`, which gives up after a time. The kernel waits by itself, since it also takes the
/// time that a send may take for that of `connect`: not to wait, to poll, and to wait again are
/// seven calls.
///
/// # Errors
/// [`io::ErrorKind::TimedOut`] when there is no answer in time; the kernel's own.
fn connect_within(socket: &Socket, to: SocketAddr, within: Duration) -> io::Result<()> {
    socket.set_write_timeout(Some(within))?;
    loop {
        match socket.connect(&to.into()) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.raw_os_error() == Some(Errno::EINPROGRESS as i32) => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            done => return done,
        }
    }
}

impl Stream for Client {
    fn label(&self) -> String {
        self.name.clone()
    }

    fn socket(&self) -> &Socket {
        &self.socket
    }
}

impl Recorded for Client {
    fn actor(&self) -> Actor {
        Actor::Client(self.name.clone())
    }

    fn recorder(&self) -> &Recorder {
        &self.recorder
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.recorder.closed(&self.actor(), CloseCall::Close, true);
    }
}
