//! Other processes of a lab: those that have its listeners open, and those that try something
//! as somebody else.

use nix::sys::socket::SockType;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Lab;
use crate::capture::Recorder;
use crate::error::{Context, Result};
use crate::process::subprocess::{self, ForkedHolder};
use crate::process::worker::{HandoverPoint, WorkerProcess};
use crate::socket::{Listener, UnixPair};
use crate::trace::Act;

/// A process that has a copy of every descriptor that the lab had when it was made, and sleeps.
pub struct Holder {
    process: ForkedHolder,
    name: String,
    recorder: Recorder,
}

impl Holder {
    /// Kills it; returns when its descriptors are closed.
    ///
    /// # Errors
    /// It cannot be killed.
    pub fn kill(self) -> Result<()> {
        let closes = self.recorder.releases(&self.name);
        self.recorder.record(|| Act::Kill { process: self.name.clone(), closes });
        self.process.kill()
    }
}

impl Lab {
    /// Starts a server, a program of its own, that inherits `listener` by fork and exec.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_server(&mut self, name: &str, listener: &Listener) -> Result<WorkerProcess> {
        WorkerProcess::inheriting(name, listener)
    }

    /// Starts a server that has no listener, and waits to be handed one by
    /// [`Lab::hand_over`].
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_unrelated_server(&mut self, name: &str) -> Result<(WorkerProcess, HandoverPoint)> {
        WorkerProcess::unrelated(name, self.family, self.recorder.clone())
    }

    /// Hands a listener to a server (`SCM_RIGHTS`); returns when the server has it.
    ///
    /// # Errors
    /// The kernel does not pass it on.
    pub fn hand_over(
        &mut self,
        point: &HandoverPoint,
        listener: &Listener,
        to: &mut WorkerProcess,
    ) -> Result<()> {
        let (name, listeners) = (to.name().to_owned(), vec![listener.traced()]);
        self.recorder.holds(&name, listeners.clone());
        let act = || Act::SendDescriptors { listeners, to: name };
        self.recorder
            .act(act, || point.hand_over(&[listener]))
            .tested(|| format!("sendmsg(SCM_RIGHTS, {})", listener.name()))?;
        to.until_ready()
    }

    /// Forks: the other process has every listener open that this one has, and sleeps.
    ///
    /// # Errors
    /// `fork` fails.
    pub fn fork_holder(&mut self, name: &str) -> Result<Holder> {
        let holds = self.recorder.own_listeners();
        self.recorder.holds(name, holds.clone());
        self.record(Act::StartProcess { process: name.to_owned(), holds });
        let process = ForkedHolder::fork()?;
        Ok(Holder { process, name: name.to_owned(), recorder: self.recorder.clone() })
    }

    /// Two UNIX sockets that are connected to each other.
    ///
    /// # Errors
    /// `socketpair` fails.
    pub fn unix_pair(&self, kind: PairKind) -> Result<UnixPair> {
        let kind = match kind {
            PairKind::Stream => SockType::Stream,
            PairKind::Datagram => SockType::Datagram,
            PairKind::SeqPacket => SockType::SeqPacket,
        };
        UnixPair::new(kind, self.family, self.recorder.clone())
    }

    /// Runs `work` as the second user, with none of root's capabilities, in a process forked
    /// from this one. What it does is in the trace.
    ///
    /// # Errors
    /// The user namespace has no second user, or the process died.
    pub fn as_second_user<T: Serialize + DeserializeOwned>(
        &mut self,
        work: impl FnOnce(&mut Self) -> T,
    ) -> Result<T> {
        let recorder = self.recorder.clone();
        let (done, acts) = subprocess::as_second_user(|| {
            let done = work(self);
            (done, recorder.done_by_fork())
        })?;
        recorder.record_fork(acts);
        Ok(done)
    }

    /// Runs `work` in a process forked from this one that may open this many descriptors more
    /// than it has. What it does is in the trace.
    ///
    /// # Errors
    /// The limit cannot be set, or the process died.
    pub fn with_room_for<T: Serialize + DeserializeOwned>(
        &mut self,
        descriptors: u64,
        work: impl FnOnce() -> T,
    ) -> Result<T> {
        let recorder = self.recorder.clone();
        let (done, acts) = subprocess::with_room_for(descriptors, || {
            let done = work();
            (done, recorder.done_by_fork())
        })?;
        self.recorder.record_fork(acts);
        Ok(done)
    }

    /// Has the second user make a socket, and root work with it, in a process forked from this
    /// one. What it does is in the trace.
    ///
    /// # Errors
    /// As [`Lab::as_second_user`].
    pub fn with_socket_of_second_user<T: Serialize + DeserializeOwned>(
        &mut self,
        name: &str,
        work: impl FnOnce(Listener) -> T,
    ) -> Result<std::result::Result<T, String>> {
        let (recorder, family) = (self.recorder.clone(), self.family);
        let (done, acts) = subprocess::made_by_second_user(
            || Listener::new(name, family, recorder.clone()),
            |made| (made.map(work).map_err(|e| e.to_string()), recorder.done_by_fork()),
        )?;
        self.recorder.record_fork(acts);
        Ok(done)
    }
}

/// Kinds of UNIX sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PairKind {
    /// `SOCK_STREAM`.
    Stream,
    /// `SOCK_DGRAM`.
    Datagram,
    /// `SOCK_SEQPACKET`.
    SeqPacket,
}
