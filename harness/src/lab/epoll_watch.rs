//! Watching a listener, as servers do that wait for several.

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use crate::capture::Recorder;
use crate::error::{Context, Result};
use crate::socket::{Listener, Recorded};
use crate::trace::Act;

/// An epoll instance that watches one listener for children, level-triggered.
pub struct EpollWatch {
    epoll: Epoll,
    /// As the trace calls it.
    listener: String,
    recorder: Recorder,
}

impl EpollWatch {
    /// Starts to watch `listener`.
    pub fn start(listener: &Listener) -> Result<Self> {
        let epoll =
            Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).call(|| "epoll_create1()".into())?;
        epoll
            .add(listener, EpollEvent::new(EpollFlags::EPOLLIN, 0))
            .call(|| format!("epoll_ctl(ADD, {}, EPOLLIN)", listener.name()))?;
        let (traced, recorder) = (listener.traced(), listener.recorder().clone());
        recorder.record(|| Act::BeginWaiting { listener: traced.clone() });
        Ok(Self { epoll, listener: traced, recorder })
    }

    /// What `epoll_wait` returns within `within_ms` milliseconds, in words.
    pub fn shown(&self, within_ms: u16) -> Result<&'static str> {
        Ok(if self.wakes(within_ms)? { "an event" } else { "no event" })
    }

    /// Whether `epoll_wait` returns an event within `within_ms` milliseconds.
    pub fn wakes(&self, within_ms: u16) -> Result<bool> {
        let mut events = [EpollEvent::empty()];
        loop {
            match self.epoll.wait(&mut events, within_ms) {
                Ok(count) => {
                    let (listener, woken) = (self.listener.clone(), count > 0);
                    self.recorder.record_reading(Act::ReadWaiter { listener, woken });
                    return Ok(woken);
                }
                Err(Errno::EINTR) => {}
                Err(e) => return Err(e).call(|| format!("epoll_wait({within_ms} ms)")),
            }
        }
    }
}
