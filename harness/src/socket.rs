//! The sockets of a case, by the names that the talk gives them.

use std::fmt;
use std::io::{self, Read, Write};
use std::mem::ManuallyDrop;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Uid;
use socket2::{Protocol, SockAddr, Socket, Type};

use crate::error::{Context, Error, Result, errno_name};
use crate::family::{Family, PORT};
use crate::witness::{Queue, negotiated, segment_size};
use crate::{md5, option, wait};

/// The backlog of every listener that is not about backlogs, as in the talk.
pub const BACKLOG: i32 = 32;

/// A socket that listens, or is about to.
#[derive(Debug)]
pub struct Listener {
    name: String,
    socket: Socket,
    family: Family,
}

impl Listener {
    /// A socket without options, neither bound nor listening.
    pub fn bare(name: &str, family: Family) -> Result<Self> {
        let socket = tcp_socket(family).call(|| format!("socket({family}) for {name}"))?;
        Ok(Self { name: name.to_owned(), socket, family })
    }

    /// A listener that somebody else made, by its descriptor.
    pub fn adopted(name: &str, descriptor: OwnedFd, family: Family) -> Self {
        Self { name: name.to_owned(), socket: descriptor.into(), family }
    }

    pub(crate) fn family(&self) -> Family {
        self.family
    }

    /// The listener's name in traces: A, B, ...
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same under another name, for a case that cannot know which one it has.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }

    /// Sets `SO_REUSEPORT`.
    pub fn reuse_port(&self) -> io::Result<()> {
        self.socket.set_reuse_port(true)
    }

    /// Clears `SO_REUSEPORT`.
    pub fn forbid_reuse_port(&self) -> io::Result<()> {
        self.socket.set_reuse_port(false)
    }

    /// Sets `SO_REUSEADDR`.
    pub fn reuse_address(&self) -> io::Result<()> {
        self.socket.set_reuse_address(true)
    }

    /// Binds to the lab's server address.
    pub fn bind(&self) -> io::Result<()> {
        self.socket.bind(&self.family.server().into())
    }

    /// Binds to the loopback address, at a port of its own; for 0, the kernel chooses.
    pub fn bind_port(&self, port: u16) -> io::Result<()> {
        self.socket.bind(&SocketAddr::new(self.family.loopback(), port).into())
    }

    /// The port that it has (`getsockname`).
    pub fn port(&self) -> Result<u16> {
        let called = || format!("getsockname({})", self.name);
        let local = self.socket.local_addr().call(called)?.as_socket();
        let local = local.ok_or_else(|| Error::unreadable(called(), "not an IP address"))?;
        Ok(local.port())
    }

    /// Binds to `address`, at the lab's port.
    pub(crate) fn bind_to(&self, address: IpAddr) -> io::Result<()> {
        self.socket.bind(&SocketAddr::new(address, PORT).into())
    }

    /// Listens.
    pub fn listen(&self, backlog: i32) -> io::Result<()> {
        self.socket.listen(backlog)
    }

    /// Sets `TCP_MD5SIG`: segments to and from the loopback address are signed with `key`.
    pub fn sign(&self, key: &[u8]) -> io::Result<()> {
        md5::sign(&self.socket, self.family, key)
    }

    /// Sets `TCP_FASTOPEN`: so many Fast Open connections may be unfinished at a time.
    pub fn fast_open(&self, unfinished: i32) -> io::Result<()> {
        option::set(&self.socket, libc::IPPROTO_TCP, libc::TCP_FASTOPEN, &unfinished)
    }

    /// Sets what its SYN+ACKs look like: type of service, time to live, and the maximum
    /// segment size that they announce.
    pub fn look_like(&self, service: i32, hops: i32, mss: i32) -> io::Result<()> {
        let ipv6 = self.family == Family::V6;
        let (level, [tos, ttl]) = match ipv6 {
            true => (libc::IPPROTO_IPV6, [libc::IPV6_TCLASS, libc::IPV6_UNICAST_HOPS]),
            false => (libc::IPPROTO_IP, [libc::IP_TOS, libc::IP_TTL]),
        };
        option::set(&self.socket, level, tos, &service)?;
        option::set(&self.socket, level, ttl, &hops)?;
        option::set(&self.socket, libc::IPPROTO_TCP, libc::TCP_MAXSEG, &mss)
    }

    /// Sets `TCP_SYNCNT`: how often a SYN+ACK is repeated.
    pub fn syn_ack_retries(&self, retries: i32) -> io::Result<()> {
        option::set(&self.socket, libc::IPPROTO_TCP, libc::TCP_SYNCNT, &retries)
    }

    /// Sets `TCP_DEFER_ACCEPT`: for so long, a handshake waits for data.
    pub fn defer_accept(&self, seconds: i32) -> io::Result<()> {
        option::set(&self.socket, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, &seconds)
    }

    /// `shutdown`, of one or both directions.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.shutdown(how)
    }

    /// `connect` to AF_UNSPEC, which makes a listener stop listening.
    pub fn disconnect(&self) -> io::Result<()> {
        let nowhere =
            libc::sockaddr { sa_family: libc::AF_UNSPEC as libc::sa_family_t, sa_data: [0; 14] };
        let len = size_of::<libc::sockaddr>() as libc::socklen_t;
        // SAFETY: the address is a sockaddr and its length is said.
        let done = unsafe { libc::connect(self.socket.as_raw_fd(), &raw const nowhere, len) };
        Errno::result(done).map(drop).map_err(io::Error::from)
    }

    /// Another descriptor of the same listener (`dup`).
    pub fn duplicate(&self) -> Result<Self> {
        let socket = self.socket.try_clone().call(|| format!("dup({})", self.name))?;
        Ok(Self { name: self.name.clone(), socket, family: self.family })
    }

    /// The same descriptor once more, for a thread that is in a call on it when it is closed.
    pub(crate) fn alias(&self) -> ManuallyDrop<Self> {
        // SAFETY: the alias never closes the descriptor. Once it is closed, the alias may
        // not be used any more: it is left to a single call that began before.
        let socket = unsafe { Socket::from_raw_fd(self.socket.as_raw_fd()) };
        ManuallyDrop::new(Self { name: self.name.clone(), socket, family: self.family })
    }

    /// What `poll` tells of it now, in words.
    pub fn polled(&self) -> Result<String> {
        let all = PollFlags::POLLIN | PollFlags::POLLOUT | PollFlags::POLLHUP | PollFlags::POLLERR;
        let mut polled = [PollFd::new(self.socket.as_fd(), all)];
        poll(&mut polled, PollTimeout::ZERO).call(|| format!("poll({})", self.name))?;
        let events = polled[0].revents().unwrap_or(PollFlags::empty());
        let names: Vec<&str> = events.iter_names().map(|(name, _)| name).collect();
        Ok(if names.is_empty() { "nothing".to_owned() } else { names.join(" ") })
    }

    /// Gives the socket's inode to another user (`fchown`).
    pub fn give_to(&self, uid: u32) -> Result<()> {
        nix::unistd::fchown(&self.socket, Some(Uid::from_raw(uid)), None)
            .call(|| format!("fchown({}, {uid})", self.name))
    }

    /// Whether it listens already (`SO_ACCEPTCONN`).
    pub fn is_listening(&self) -> io::Result<bool> {
        self.socket.is_listener()
    }

    /// The accept queue: how many children wait, and the backlog.
    pub fn queue(&self) -> Result<Queue> {
        Queue::of(&self.socket)
    }

    /// `accept` without waiting. `None` is EAGAIN: the queue is empty.
    pub fn accept_now(&self) -> Result<Option<Child>> {
        self.socket.set_nonblocking(true).call(|| format!("fcntl({}, O_NONBLOCK)", self.name))?;
        match self.socket.accept() {
            Ok((socket, peer)) => self.child(socket, &peer).map(Some),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(e) => Err(e).tested(|| format!("accept({})", self.name)),
        }
    }

    fn child(&self, socket: Socket, peer: &SockAddr) -> Result<Child> {
        let peer = peer.as_socket().ok_or_else(|| {
            Error::unreadable(format!("the peer of accept({})", self.name), "not an IP address")
        })?;
        Ok(Child { of: self.name.clone(), socket, peer })
    }

    /// Makes `accept` wait again, after calls that do not.
    pub(crate) fn block(&self) -> Result<()> {
        self.socket.set_nonblocking(false).call(|| format!("fcntl({}, !O_NONBLOCK)", self.name))
    }

    /// `accept` that sleeps until a child is there, however long that takes.
    pub(crate) fn accept_blocking(&self) -> Result<Child> {
        let (socket, peer) = self.socket.accept().tested(|| format!("accept({})", self.name))?;
        self.child(socket, &peer)
    }

    /// What `accept` says without waiting: `a child`, or the errno. A child is closed.
    pub fn try_accept(&self) -> String {
        let accepted = self.socket.set_nonblocking(true).and_then(|()| self.socket.accept());
        accepted.map_or_else(|e| errno_name(&e), |_| "a child".to_owned())
    }

    /// `accept` once a child is there.
    ///
    /// # Errors
    /// [`Error::NeverHappened`] when none comes.
    pub fn accept(&self) -> Result<Child> {
        // A ticking wait: a kernel without 3864c6ba1e04 does not wake a poller for a
        // migrated child, and only the case about that is to notice.
        wait::until(&format!("a child to accept on {}", self.name), || self.accept_now())
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A connection as `accept` returned it.
#[derive(Debug)]
pub struct Child {
    of: String,
    socket: Socket,
    /// The client's address.
    pub peer: SocketAddr,
}

impl Child {
    /// What the child has from its handshake and its listener: what was negotiated, and
    /// options that nobody set.
    pub fn endowment(&self) -> Result<String> {
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

/// A client that is a kernel socket.
#[derive(Debug)]
pub struct Client {
    name: String,
    socket: Socket,
    /// Its own address.
    pub local: SocketAddr,
}

impl Client {
    /// A socket that is not connected yet, bound to `port` of the loopback address if
    /// that is not 0.
    pub fn bare(name: &str, family: Family, port: u16) -> Result<Self> {
        if port != 0 {
            return Self::bound(name, family, family.loopback(), port);
        }
        let socket = tcp_socket(family).call(|| format!("socket({family}) for {name}"))?;
        let local = SocketAddr::new(family.loopback(), 0);
        Ok(Self { name: name.to_owned(), socket, local })
    }

    /// A socket that is not connected yet, bound to `address` and `port`.
    pub fn bound(name: &str, family: Family, address: IpAddr, port: u16) -> Result<Self> {
        let socket = tcp_socket(family).call(|| format!("socket({family}) for {name}"))?;
        let local = SocketAddr::new(address, port);
        socket.bind(&local.into()).tested(|| format!("bind({name}, {local})"))?;
        Ok(Self { name: name.to_owned(), socket, local })
    }

    /// A client that has sent its SYN and waits for nothing. It resets on close.
    pub fn start(family: Family, to: SocketAddr) -> Result<Self> {
        Self::begin(family, |socket| socket.connect(&to.into())).tested(|| format!("connect({to})"))
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
        socket.set_linger(Some(std::time::Duration::ZERO))?;
        socket.set_nonblocking(true)?;
        match how(&socket) {
            Err(e) if e.raw_os_error() != Some(Errno::EINPROGRESS as i32) => Err(e),
            _ => {
                let local = SocketAddr::new(family.loopback(), 0);
                Ok(Self { name: "a client".to_owned(), socket, local })
            }
        }
    }

    /// Connects; returns when the SYN+ACK has come.
    pub fn connect(&mut self, to: SocketAddr) -> Result<()> {
        let called = || format!("connect({})", self.name);
        match self.socket.connect_timeout(&to.into(), wait::deadline()) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::TimedOut => {
                return Err(Error::NeverHappened { what: called(), waited: wait::deadline() });
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
        self.socket.set_mark(mark).call(|| format!("setsockopt({}, SO_MARK, {mark})", self.name))
    }

    /// Sets `TCP_MD5SIG`, as [`Listener::sign`].
    pub fn sign(&self, family: Family, key: &[u8]) -> io::Result<()> {
        md5::sign(&self.socket, family, key)
    }
}

/// The two ends of a connection, which can do the same things.
pub trait Stream: AsFd {
    /// As traces name it.
    fn label(&self) -> String;

    /// The socket itself.
    fn socket(&self) -> &Socket;

    /// Makes `close` send a RST, and leave nothing behind that waits for the other end.
    fn reset_on_close(&self) -> Result<()> {
        self.socket()
            .set_linger(Some(std::time::Duration::ZERO))
            .call(|| format!("setsockopt({}, SO_LINGER, 0)", self.label()))
    }

    /// Finishes this direction: a FIN behind everything sent.
    fn finish(&self) -> Result<()> {
        self.socket()
            .shutdown(Shutdown::Write)
            .tested(|| format!("shutdown({}, SHUT_WR)", self.label()))
    }

    /// Sends all of `bytes`.
    fn send(&self, bytes: &[u8]) -> Result<()> {
        let called = || format!("send({}, {} bytes)", self.label(), bytes.len());
        let mut socket = self.socket();
        socket.write_all(bytes).tested(called)
    }

    /// What `recv` says, once it has something to say.
    ///
    /// # Errors
    /// [`Error::NeverHappened`] when it has not by the deadline.
    fn receive(&self) -> Result<Received> {
        let what = format!("something to receive on {}", self.label());
        wait::until_readable(self.as_fd(), &what, || match self.receive_now()? {
            Received::Nothing => Ok(None),
            other => Ok(Some(other)),
        })
    }

    /// What `recv` says without waiting.
    fn receive_now(&self) -> Result<Received> {
        let called = || format!("recv({})", self.label());
        self.socket()
            .set_nonblocking(true)
            .call(|| format!("fcntl({}, O_NONBLOCK)", self.label()))?;
        let mut buffer = [0; 1024];
        let mut socket = self.socket();
        match socket.read(&mut buffer) {
            Ok(0) => Ok(Received::End),
            Ok(len) => Ok(Received::Bytes(buffer[..len].to_vec())),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(Received::Nothing),
            Err(e) if e.raw_os_error().is_some() => Ok(Received::Failed(errno_name(&e))),
            Err(e) => Err(e).call(called),
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

impl Stream for Child {
    fn label(&self) -> String {
        format!("a child of {}", self.of)
    }

    fn socket(&self) -> &Socket {
        &self.socket
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsFd for Child {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
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

/// How long a wake-up that does not come is waited for. What ends a listener, or a
/// handshake, wakes the target before it returns, so that any time is long enough.
pub const NO_WAKE_UP_MS: u16 = 500;

fn tcp_socket(family: Family) -> io::Result<Socket> {
    Socket::new(family.domain(), Type::STREAM, Some(Protocol::TCP))
}
