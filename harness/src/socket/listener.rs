//! Listeners, and sockets that are to become one.

use std::io;
use std::mem::{self, ManuallyDrop};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::EventFd;
use nix::unistd::{Uid, dup2, dup3};
use socket2::{SockAddr, Socket};

use crate::capture::Recorder;
use crate::error::{Context, Error, Result, errno_name};
use crate::net::family::{Family, PORT, tcp_socket};
use crate::net::witness::Queue;
use crate::net::{io_uring, md5, sockopt};
use crate::socket::child::Child;
use crate::socket::stream::{Recorded, Stream, set_option};
use crate::trace::{Accepted, Act, Actor, CloseCall, Direction};
use crate::wait::{self, Awaited};

/// How long a wake-up that does not come is waited for. What ends a listener, or a
/// handshake, wakes the target before it returns, so that any time is long enough.
pub const NO_WAKE_UP_MS: u16 = 500;

/// The backlog of every listener that is not about backlogs, as in the talk.
pub const BACKLOG: i32 = 32;

/// A socket that listens, or is about to. Dropping the value closes the descriptor.
#[derive(Debug)]
pub struct Listener {
    name: String,
    /// As the trace calls it: the name that it had first.
    traced: String,
    socket: Socket,
    family: Family,
    recorder: Recorder,
    is_asked_to_close: bool,
    /// The descriptor was closed by other means than dropping the value.
    is_closed: bool,
}

impl Listener {
    /// A socket without options, neither bound nor listening, outside of any lab: nothing that
    /// is done to it is recorded. In a lab, [`crate::lab::Lab::socket`] makes them.
    pub fn unrecorded(name: &str, family: Family) -> Result<Self> {
        Self::new(name, family, Recorder::none())
    }

    /// A socket without options, neither bound nor listening.
    pub(crate) fn new(name: &str, family: Family, recorder: Recorder) -> Result<Self> {
        let open = || tcp_socket(family);
        let user = Uid::effective();
        let socket = match user.is_root() {
            true => open(),
            false => {
                let act = || Act::OpenAs { listener: name.to_owned(), uid: user.as_raw() };
                recorder.act(act, open)
            }
        };
        let socket = socket.call(|| format!("socket({family}) for {name}"))?;
        Ok(Self::of(name, socket, family, recorder))
    }

    /// A listener by its socket, which somebody else made.
    pub(crate) fn of(name: &str, socket: Socket, family: Family, recorder: Recorder) -> Self {
        recorder.opened(name);
        let (name, traced) = (name.to_owned(), name.to_owned());
        Self { name, traced, socket, family, recorder, is_asked_to_close: false, is_closed: false }
    }

    /// A listener that somebody else made, by its descriptor, outside of any lab.
    pub fn adopted(name: &str, descriptor: OwnedFd, family: Family) -> Self {
        Self::of(name, descriptor.into(), family, Recorder::none())
    }

    pub(crate) fn family(&self) -> Family {
        self.family
    }

    /// The listener's name in traces: A, B, ...
    pub fn name(&self) -> &str {
        &self.name
    }

    /// As the trace calls it.
    pub(crate) fn traced(&self) -> String {
        self.traced.clone()
    }

    /// The same under another name in what is observed, for a case that cannot know which one
    /// it has. The trace goes on to call it what it was.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = name.to_owned();
        self
    }

    /// Closes this descriptor, as the case asks for.
    pub(crate) fn close(mut self) {
        self.is_asked_to_close = true;
    }

    /// As [`Listener::close`], by a call of its own.
    pub(crate) fn close_by(mut self, by: CloseCall) -> io::Result<()> {
        let other: OwnedFd = EventFd::new()?.into();
        let in_its_place = other.try_clone()?.into();
        let descriptor = OwnedFd::from(mem::replace(&mut self.socket, in_its_place));
        // Nothing but the call may close it: what `dup2` leaves open has to stay open, and to be
        // seen. What it puts there is open until the process of the case ends.
        let mut descriptor = ManuallyDrop::new(descriptor);
        self.is_closed = true;
        let entry = self.recorder.closed(&self.actor(), by, false);
        let done = match by {
            CloseCall::Close => {
                drop(ManuallyDrop::into_inner(descriptor));
                Ok(())
            }
            CloseCall::Dup2 => dup2(&other, &mut descriptor).map_err(io::Error::from),
            CloseCall::Dup3 => {
                dup3(&other, &mut descriptor, OFlag::O_CLOEXEC).map_err(io::Error::from)
            }
            CloseCall::CloseRange => sockopt::close_range(ManuallyDrop::into_inner(descriptor)),
            CloseCall::IoUring => io_uring::close(ManuallyDrop::into_inner(descriptor)),
        };
        if let (Some(entry), Err(e)) = (entry, &done) {
            self.recorder.refuse(entry, errno_name(e));
        }
        done
    }

    /// Sets an option of another module, by `set`, and records it.
    pub(crate) fn set(
        &self,
        option: &str,
        value: impl std::fmt::Display,
        set: impl FnOnce(&Socket) -> io::Result<()>,
    ) -> io::Result<()> {
        self.recorder.act(|| set_option(self.actor(), option, value), || set(&self.socket))
    }

    /// Sets `SO_REUSEPORT`.
    pub fn reuse_port(&self) -> io::Result<()> {
        self.set("SO_REUSEPORT", 1, |socket| socket.set_reuse_port(true))
    }

    /// Clears `SO_REUSEPORT`.
    pub fn forbid_reuse_port(&self) -> io::Result<()> {
        self.set("SO_REUSEPORT", 0, |socket| socket.set_reuse_port(false))
    }

    /// Sets `SO_REUSEADDR`.
    pub fn reuse_address(&self) -> io::Result<()> {
        self.set("SO_REUSEADDR", 1, |socket| socket.set_reuse_address(true))
    }

    /// Binds to the lab's server address.
    pub fn bind(&self) -> io::Result<()> {
        self.bind_address(self.family.server())
    }

    /// Binds to the loopback address, at a port of its own; for 0, the kernel chooses.
    pub fn bind_port(&self, port: u16) -> io::Result<()> {
        self.bind_address(SocketAddr::new(self.family.loopback(), port))
    }

    /// Binds to `address`, at the lab's port.
    pub(crate) fn bind_to(&self, address: IpAddr) -> io::Result<()> {
        self.bind_address(SocketAddr::new(address, PORT))
    }

    fn bind_address(&self, to: SocketAddr) -> io::Result<()> {
        let act = || Act::Bind { socket: self.actor(), to };
        self.recorder.act(act, || self.socket.bind(&to.into()))
    }

    /// The port that it has (`getsockname`).
    pub fn port(&self) -> Result<u16> {
        let called = || format!("getsockname({})", self.name);
        let local = self.socket.local_addr().call(called)?.as_socket();
        let local = local.ok_or_else(|| Error::unreadable(called(), "not an IP address"))?;
        Ok(local.port())
    }

    /// Listens.
    pub fn listen(&self, backlog: i32) -> io::Result<()> {
        let act = || Act::Listen { listener: self.traced(), backlog };
        self.recorder.act(act, || sockopt::listen(&self.socket, backlog))
    }

    /// Sets `SO_REUSEPORT`, binds to the lab's server address and listens: what every
    /// listener does that a case is not about. The trace shows it as one act.
    pub(crate) fn listen_as_usual(&self, backlog: i32) -> Result<()> {
        let name = &self.name;
        let server = self.family.server();
        self.socket
            .set_reuse_port(true)
            .tested(|| format!("setsockopt({name}, SO_REUSEPORT, 1)"))?;
        self.socket.bind(&server.into()).tested(|| format!("bind({name}, {server})"))?;
        self.listen(backlog).tested(|| format!("listen({name}, {backlog})"))
    }

    /// Sets `TCP_MD5SIG`: segments to and from the loopback address are signed with `key`.
    pub fn sign(&self, key: &[u8]) -> io::Result<()> {
        self.set("TCP_MD5SIG", key.escape_ascii(), |socket| md5::sign(socket, self.family, key))
    }

    /// Sets `TCP_FASTOPEN`: how many Fast Open connections may be unfinished at a time.
    pub fn fast_open(&self, unfinished: i32) -> io::Result<()> {
        self.set("TCP_FASTOPEN", unfinished, |socket| {
            sockopt::set_number(socket, libc::IPPROTO_TCP, libc::TCP_FASTOPEN, unfinished)
        })
    }

    /// Sets fields of the headers of its SYN+ACKs: type of service, time to live, and the
    /// maximum segment size that they announce.
    pub fn set_header_fields(&self, service: i32, hops: i32, mss: i32) -> io::Result<()> {
        let ipv6 = self.family == Family::V6;
        let (level, [tos, ttl]) = match ipv6 {
            true => (
                libc::IPPROTO_IPV6,
                [
                    ("IPV6_TCLASS", libc::IPV6_TCLASS),
                    ("IPV6_UNICAST_HOPS", libc::IPV6_UNICAST_HOPS),
                ],
            ),
            false => (libc::IPPROTO_IP, [("IP_TOS", libc::IP_TOS), ("IP_TTL", libc::IP_TTL)]),
        };
        let set = |(name, option): (&str, i32), level: i32, value: i32| {
            self.set(name, value, |socket| sockopt::set_number(socket, level, option, value))
        };
        set(tos, level, service)?;
        set(ttl, level, hops)?;
        set(("TCP_MAXSEG", libc::TCP_MAXSEG), libc::IPPROTO_TCP, mss)
    }

    /// Sets `TCP_SYNCNT`: how often a SYN+ACK is retransmitted.
    pub fn syn_ack_retries(&self, retries: i32) -> io::Result<()> {
        self.set("TCP_SYNCNT", retries, |socket| {
            sockopt::set_number(socket, libc::IPPROTO_TCP, libc::TCP_SYNCNT, retries)
        })
    }

    /// Sets `TCP_DEFER_ACCEPT`: how long a handshake waits for data.
    pub fn defer_accept(&self, seconds: i32) -> io::Result<()> {
        self.set("TCP_DEFER_ACCEPT", seconds, |socket| {
            sockopt::set_number(socket, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, seconds)
        })
    }

    /// `shutdown`, of one or both directions.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let direction = match how {
            Shutdown::Read => Direction::Read,
            Shutdown::Write => Direction::Write,
            Shutdown::Both => Direction::Both,
        };
        let act = || Act::Shutdown { socket: self.actor(), how: direction };
        self.recorder.act(act, || self.socket.shutdown(how))
    }

    /// `connect`, which makes a client of a socket that does not listen.
    pub(crate) fn connect(&self, to: SocketAddr) -> io::Result<()> {
        let act = || Act::Connect { client: self.traced() };
        self.recorder.act(act, || self.socket.connect(&to.into()))
    }

    /// `connect` to AF_UNSPEC, which makes a listener stop listening.
    pub fn disconnect(&self) -> io::Result<()> {
        let act = || Act::Disconnect { socket: self.actor() };
        self.recorder.act(act, || sockopt::disconnect(&self.socket))
    }

    /// Another descriptor of the same listener (`dup`).
    pub fn duplicate(&self) -> Result<Self> {
        let act = || Act::Duplicate { listener: self.traced() };
        let socket = self
            .recorder
            .act(act, || self.socket.try_clone())
            .call(|| format!("dup({})", self.name))?;
        self.recorder.opened(&self.traced);
        Ok(Self {
            name: self.name.clone(),
            traced: self.traced(),
            socket,
            family: self.family,
            recorder: self.recorder.clone(),
            is_asked_to_close: false,
            is_closed: false,
        })
    }

    /// The same descriptor once more, for a thread that is in a call on it when it is closed.
    pub(crate) fn alias(&self) -> ManuallyDrop<Self> {
        // SAFETY: the alias never closes the descriptor. Once it is closed, the alias may
        // not be used any more: it is left to a single call that began before.
        let socket = unsafe { Socket::from_raw_fd(self.socket.as_raw_fd()) };
        ManuallyDrop::new(Self {
            name: self.name.clone(),
            traced: self.traced(),
            socket,
            family: self.family,
            recorder: self.recorder.clone(),
            is_asked_to_close: false,
            is_closed: false,
        })
    }

    /// The events of `poll` now, in words.
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
        let act = || Act::GiveTo { listener: self.traced(), uid };
        let chown = || Ok(nix::unistd::fchown(&self.socket, Some(Uid::from_raw(uid)), None)?);
        self.recorder.act(act, chown).call(|| format!("fchown({}, {uid})", self.name))
    }

    /// Whether it listens already (`SO_ACCEPTCONN`).
    pub fn is_listening(&self) -> io::Result<bool> {
        self.socket.is_listener()
    }

    /// The accept queue: how many children wait, and the backlog.
    pub fn queue(&self) -> Result<Queue> {
        let queue = Queue::of(&self.socket)?;
        let Queue { waiting, backlog } = queue;
        let reading = Act::ReadQueue { listener: self.traced(), waiting, backlog };
        self.recorder.record_reading(reading);
        Ok(queue)
    }

    /// `accept` without waiting. `None` is EAGAIN: the queue is empty, and nothing is recorded.
    pub fn accept_now(&self) -> Result<Option<Child>> {
        sockopt::set_nonblocking(&self.socket, true)
            .call(|| format!("ioctl({}, FIONBIO, 1)", self.name))?;
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
        let child = Child::new(&self.name, socket, peer, self.recorder.clone());
        self.record_accepted(Accepted::Connection(child.client().to_owned()));
        if self.recorder.resets_children_of(peer) {
            child.reset_on_close()?;
        }
        Ok(child)
    }

    /// Records what `accept` returned.
    pub(crate) fn record_accepted(&self, got: Accepted) {
        self.recorder.record(|| Act::Accept { listener: self.traced(), got });
    }

    /// Makes `accept` wait again, after calls that do not.
    pub(crate) fn block(&self) -> Result<()> {
        sockopt::set_nonblocking(&self.socket, false)
            .call(|| format!("ioctl({}, FIONBIO, 0)", self.name))
    }

    /// `accept` that sleeps until a child is there, however long that takes.
    pub(crate) fn accept_blocking(&self) -> Result<Child> {
        let (socket, peer) = self.socket.accept().tested(|| format!("accept({})", self.name))?;
        self.child(socket, &peer)
    }

    /// What `accept` says without waiting: `a child`, or the errno. A child is closed.
    pub fn try_accept(&self) -> String {
        let accepted =
            sockopt::set_nonblocking(&self.socket, true).and_then(|()| self.socket.accept());
        let child = accepted
            .map_err(|e| errno_name(&e))
            .and_then(|(socket, peer)| self.child(socket, &peer).map_err(|e| e.to_string()));
        match child {
            Ok(_) => "a child".to_owned(),
            Err(why) => why,
        }
    }

    /// `accept` once a child is there.
    ///
    /// # Errors
    /// [`Error::NeverHappened`] when none comes.
    pub fn accept(&self) -> Result<Child> {
        // A ticking wait: a kernel without 3864c6ba1e04 does not wake a poller for a
        // migrated child, and only the case about that is to notice.
        let what = format!("a child to accept on {}", self.name);
        wait::until_within(wait::patience(Awaited::Child), &what, || self.accept_now())
    }
}

impl Recorded for Listener {
    fn actor(&self) -> Actor {
        Actor::Listener(self.traced.clone())
    }

    fn recorder(&self) -> &Recorder {
        &self.recorder
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if !self.is_closed {
            self.recorder.closed(&self.actor(), CloseCall::Close, !self.is_asked_to_close);
        }
    }
}
