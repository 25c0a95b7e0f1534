//! Two UNIX sockets through which a lab sends descriptors of listeners to itself.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

use crate::capture::Recorder;
use crate::error::{Context, Result};
use crate::net::family::Family;
use crate::net::scm_rights::{self, Receive};
use crate::socket::listener::Listener;
use crate::trace::Act;

/// What acts call the queue of a UNIX socket, which has open what is in it.
const QUEUE: &str = "a UNIX socket";

/// Two UNIX sockets that are connected to each other. Dropping the value closes both, and with
/// them what is queued.
pub struct UnixPair {
    from: OwnedFd,
    to: OwnedFd,
    is_stream: bool,
    family: Family,
    recorder: Recorder,
    /// The listeners in each message that has some and was not received yet.
    queued: RefCell<VecDeque<Vec<String>>>,
}

/// A message that was received.
#[derive(Debug)]
pub struct Message {
    /// Its data.
    pub bytes: Vec<u8>,
    /// The listeners whose descriptors were installed in this process.
    pub listeners: Vec<Listener>,
    /// MSG_CTRUNC: there were more than there was room for.
    pub truncated: bool,
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`, descriptors: {}", self.bytes.escape_ascii(), self.listeners.len())?;
        f.write_str(if self.truncated { ", MSG_CTRUNC" } else { "" })
    }
}

impl UnixPair {
    /// A pair of sockets of a kind.
    pub(crate) fn new(kind: SockType, family: Family, recorder: Recorder) -> Result<Self> {
        let (from, to) = socketpair(AddressFamily::Unix, kind, None, SockFlag::SOCK_CLOEXEC)
            .call(|| format!("socketpair(AF_UNIX, {kind:?})"))?;
        let is_stream = kind == SockType::Stream;
        Ok(Self { from, to, is_stream, family, recorder, queued: RefCell::default() })
    }

    /// Sends data with descriptors of listeners, and says how many bytes the kernel took.
    ///
    /// # Errors
    /// As the kernel refuses.
    pub fn send(&self, bytes: &[u8], listeners: &[&Listener]) -> io::Result<usize> {
        let numbers: Vec<RawFd> = listeners.iter().map(|l| l.as_fd().as_raw_fd()).collect();
        let names: Vec<String> = listeners.iter().map(|listener| listener.traced()).collect();
        self.send_recorded(bytes, &numbers, names)
    }

    /// As [`UnixPair::send`], with a number that no descriptor has after those of `listeners`.
    ///
    /// # Errors
    /// EBADF.
    pub fn send_with_a_closed_one(
        &self,
        bytes: &[u8],
        listeners: &[&Listener],
    ) -> io::Result<usize> {
        const NOT_OPEN: RawFd = 0x7fff_fff0;
        let mut numbers: Vec<RawFd> = listeners.iter().map(|l| l.as_fd().as_raw_fd()).collect();
        numbers.push(NOT_OPEN);
        let names = listeners.iter().map(|listener| listener.traced()).collect();
        self.send_recorded(bytes, &numbers, names)
    }

    fn send_recorded(
        &self,
        bytes: &[u8],
        numbers: &[RawFd],
        listeners: Vec<String>,
    ) -> io::Result<usize> {
        let act = || Act::SendDescriptors { listeners: listeners.clone(), to: QUEUE.to_owned() };
        let sent = self.recorder.act(act, || scm_rights::send(&self.from, bytes, numbers))?;
        // A stream passes nothing without a byte of data.
        if (sent > 0 || !self.is_stream) && !listeners.is_empty() {
            self.recorder.holds(QUEUE, listeners.clone());
            self.queued.borrow_mut().push_back(listeners);
        }
        Ok(sent)
    }

    /// Receives without waiting. A descriptor for which there is no room is closed.
    ///
    /// # Errors
    /// As the kernel refuses; EAGAIN when there is nothing.
    pub fn receive(&self, how: Receive) -> io::Result<Message> {
        let received = scm_rights::receive(&self.to, how);
        let came = received.as_ref().is_ok_and(|m| !m.descriptors.is_empty() || m.truncated);
        let queued = self.queued.borrow().front().cloned().unwrap_or_default();
        let message = received.map(|message| {
            let names = queued.iter().map(String::as_str).chain(std::iter::repeat("a listener"));
            let adopted = message.descriptors.into_iter().zip(names).map(|(descriptor, name)| {
                Listener::of(name, descriptor.into(), self.family, self.recorder.clone())
            });
            let listeners = adopted.collect();
            Message { bytes: message.bytes, listeners, truncated: message.truncated }
        });
        let mut closes = vec![];
        if came && !how.peek {
            self.queued.borrow_mut().pop_front();
            closes = self.recorder.releases(QUEUE);
            let left = self.queued.borrow().iter().flatten().cloned().collect::<Vec<_>>();
            closes.retain(|listener| !left.contains(listener));
            self.recorder.holds(QUEUE, left);
        }
        let installed = message.as_ref().map_or(&[][..], |message| &message.listeners);
        let listeners = installed.iter().map(Listener::traced).collect();
        let received = Act::ReceiveDescriptors { listeners, closes };
        message.inspect(|_| {
            self.recorder.record(|| received);
        })
    }

    /// Has the receiving socket refuse descriptors (`SO_PASSRIGHTS`).
    ///
    /// # Errors
    /// ENOPROTOOPT before Linux 6.16.
    pub fn refuse(&self) -> io::Result<()> {
        scm_rights::refuse(&self.to)
    }
}

impl Drop for UnixPair {
    fn drop(&mut self) {
        let closes = self.recorder.releases(QUEUE);
        self.recorder.record(|| Act::CloseUnixSockets { closes });
    }
}
