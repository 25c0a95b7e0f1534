//! A thread that sleeps in a system call until its listener has a child for it.
//!
//! The calls have no timeout, so that nothing but a wake-up ends them: a call that looked
//! again by itself would hide a kernel that forgets to wake.

use std::fs::File;
use std::ops::Deref;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::unistd::pipe2;

use crate::capture::Recorder;
use crate::error::{Context, Error, Result};
use crate::process::thread;
use crate::socket::{Child, Listener, Recorded};
use crate::trace::Act;
use crate::wait::{self, Awaited};

/// The call in which a thread sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// `epoll_wait`, level-triggered.
    Epoll,
    /// `epoll_wait`, edge-triggered.
    EpollEdge,
    /// `poll`.
    Poll,
    /// `accept`.
    Accept,
}

/// A thread that sleeps in a call on a listener.
pub struct BlockedThread {
    /// The other end is the thread's, which closes it when it ends.
    ended: OwnedFd,
    thread: JoinHandle<Result<Option<Child>>>,
    /// The listener, as the trace calls it.
    listener: String,
    /// Where it is recorded whether it was woken.
    recorder: Recorder,
    /// The call keeps its listener open.
    holds: bool,
}

/// As acts know the thread whose call keeps a listener open.
const IN_ACCEPT: &str = "a thread in accept";

impl BlockedThread {
    /// Starts a thread that waits for `listener`, and returns when it sleeps. The listener
    /// must have no child yet, but for [`Way::EpollEdge`], which has seen those.
    pub fn start(listener: &Listener, way: Way) -> Result<Self> {
        Self::run(Box::new(listener.duplicate()?), way)
    }

    /// As [`BlockedThread::start`] in `accept`, on the very descriptor of `listener`, so that this
    /// may be closed under the call.
    pub fn start_on_the_descriptor(listener: &Listener) -> Result<Self> {
        // The call keeps the listener open, as a descriptor does.
        let recorder = listener.recorder().clone();
        recorder.holds(IN_ACCEPT, [listener.traced()]);
        recorder.record(|| Act::BeginCall { listener: listener.traced() });
        let thread = Self::run(listener.alias(), Way::Accept)?;
        Ok(Self { holds: true, ..thread })
    }

    fn run<L>(listener: L, way: Way) -> Result<Self>
    where
        L: Deref<Target = Listener> + Send + 'static,
    {
        let (traced, recorder) = (listener.traced(), listener.recorder().clone());
        let (ended, ending) = pipe2(OFlag::O_CLOEXEC).call(|| "pipe2(O_CLOEXEC)".into())?;
        listener.block()?;
        let (sender, receiver) = mpsc::channel();
        let thread = thread::spawn(move || {
            let _ending: OwnedFd = ending;
            // Closed before the end is announced, so that the trace has it in its place.
            let listener = listener;
            let call = prepare(&listener, way)?;
            // The file stays the one of this thread when another one reads it.
            let stat = File::open("/proc/thread-self/stat");
            let _ = sender.send(stat.call(|| "open(/proc/thread-self/stat)".into())?);
            call()
        })?;
        // Nothing is received when the thread has failed before.
        if let Ok(stat) = receiver.recv() {
            // It has nothing left to sleep in but the call.
            wait::until("a thread to sleep in its call", || {
                Ok((is_asleep(&stat)? || wait::ready(&[ended.as_fd()], Duration::ZERO)?[0])
                    .then_some(()))
            })?;
        }
        recorder.record(|| Act::BeginWaiting { listener: traced.clone() });
        Ok(Self { ended, thread, listener: traced, recorder, holds: false })
    }

    /// Whether the call has returned, or does `within` this time.
    pub fn is_woken(&self, within: Duration) -> Result<bool> {
        let woken = self.has_ended(within)?;
        let listener = self.listener.clone();
        self.recorder.record_reading(Act::ReadWaiter { listener, woken });
        Ok(woken)
    }

    fn has_ended(&self, within: Duration) -> Result<bool> {
        Ok(wait::ready(&[self.ended.as_fd()], within)?[0])
    }

    /// What the call returned: the child, if it was `accept`.
    ///
    /// # Errors
    /// [`Error::NeverHappened`] when it does not return; the thread is left to itself.
    pub fn end(self) -> Result<Option<Child>> {
        let patience = wait::patience(Awaited::WakeUp);
        if !self.has_ended(patience.within)? {
            return Err(patience.ran_out("a thread's call to return"));
        }
        let returned = self.thread.join();
        if self.holds {
            let closes = self.recorder.releases(IN_ACCEPT);
            self.recorder.record(|| Act::EndCall { closes });
        }
        returned
            .unwrap_or_else(|_| Err(Error::unreadable("a thread that slept in a call", "a panic")))
    }
}

/// Whether the thread whose `stat` this is sleeps: its third field is `S`. The second is
/// its name, in parentheses.
fn is_asleep(stat: &File) -> Result<bool> {
    let mut buffer = [0; 1024];
    let len = stat.read_at(&mut buffer, 0).call(|| "read(/proc/thread-self/stat)".into())?;
    let text = String::from_utf8_lossy(&buffer[..len]);
    Ok(text.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('S')))
}

type Call<'l> = Box<dyn FnOnce() -> Result<Option<Child>> + 'l>;

/// Everything up to the call itself.
fn prepare(listener: &Listener, way: Way) -> Result<Call<'_>> {
    let epoll = match way {
        Way::Poll => return Ok(Box::new(move || poll_forever(listener).map(|()| None))),
        Way::Accept => return Ok(Box::new(move || listener.accept_blocking().map(Some))),
        Way::Epoll => EpollFlags::EPOLLIN,
        Way::EpollEdge => EpollFlags::EPOLLIN | EpollFlags::EPOLLET,
    };
    let instance = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).call(|| "epoll_create1()".into())?;
    instance
        .add(listener, EpollEvent::new(epoll, 0))
        .call(|| format!("epoll_ctl(ADD, {}, {epoll:?})", listener.name()))?;
    if way == Way::EpollEdge {
        // A child that is there already is an edge, too, and is over with this.
        let seen = instance.wait(&mut [EpollEvent::empty()], EpollTimeout::ZERO);
        seen.call(|| "epoll_wait(0 ms)".into())?;
    }
    Ok(Box::new(move || epoll_forever(&instance).map(|()| None)))
}

fn epoll_forever(epoll: &Epoll) -> Result<()> {
    loop {
        match epoll.wait(&mut [EpollEvent::empty()], EpollTimeout::NONE) {
            Err(Errno::EINTR) => {}
            returned => return returned.map(drop).call(|| "epoll_wait(no timeout)".into()),
        }
    }
}

fn poll_forever(listener: &Listener) -> Result<()> {
    loop {
        let mut polled = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        match poll(&mut polled, PollTimeout::NONE) {
            Err(Errno::EINTR) => {}
            returned => return returned.map(drop).call(|| "poll(no timeout)".into()),
        }
    }
}
