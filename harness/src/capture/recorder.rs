//! Where the sockets of a lab record what is done to them.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::capture::forks;
use crate::capture::wire::Capture;
use crate::error::errno_name;
use crate::trace::{Act, Actor, CloseCall};

/// A lab's record, shared by everything in the lab that is worth recording. Each socket has
/// one, and writes down what is done to it; so nothing that is done can be missing.
///
/// [`Recorder::none`] records nothing: for sockets outside of labs.
#[derive(Clone, Default)]
pub struct Recorder(Option<Arc<Shared>>);

struct Shared {
    /// By its forks, the process that has the lab. A process forked from it must not read the
    /// capture, which the two have in common.
    forks: u32,
    notes: Mutex<Notes>,
}

struct Notes {
    /// Nothing once the case is over.
    capture: Option<Capture>,
    holders: Holders,
    /// Clients that never acknowledge a FIN: what is left of their connections would wait for
    /// them for a minute.
    silent_clients: Vec<SocketAddr>,
    /// Acts are not recorded one by one.
    paused: bool,
    /// What a forked process did, which cannot write it into the trace.
    by_fork: ByFork,
}

/// Who has which listener open, and with how many descriptors.
#[derive(Default)]
struct Holders {
    own: BTreeMap<String, usize>,
    /// Those that a process forked from the lab's has made itself.
    of_fork: BTreeMap<String, usize>,
    others: BTreeMap<String, Vec<String>>,
}

impl Holders {
    fn has(&self, listener: &str) -> bool {
        self.own.get(listener).is_some_and(|count| *count > 0)
            || self.others.values().flatten().any(|held| held == listener)
    }

    /// This process closes a descriptor; says whether it was the last of all.
    fn release(&mut self, listener: &str, is_fork: bool) -> bool {
        let mine = if is_fork { &mut self.of_fork } else { &mut self.own };
        let Some(count) = mine.get_mut(listener).filter(|count| **count > 0) else { return false };
        *count -= 1;
        let is_none_left = *count == 0;
        is_none_left && (is_fork || !self.has(listener))
    }
}

/// What a forked process did: when, what, and the errno if it was refused.
pub(crate) type ByFork = Vec<(Duration, Act, Option<String>)>;

/// A record is not shown.
impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Recorder" } else { "Recorder(none)" })
    }
}

impl Recorder {
    /// Records into `capture`.
    pub(crate) fn of(capture: Capture) -> Self {
        let (holders, by_fork) = (Holders::default(), vec![]);
        let notes = Notes {
            capture: Some(capture),
            holders,
            silent_clients: vec![],
            paused: false,
            by_fork,
        };
        Self(Some(Arc::new(Shared { forks: forks::count(), notes: Mutex::new(notes) })))
    }

    /// Records nothing.
    pub fn none() -> Self {
        Self(None)
    }

    fn notes(&self) -> Option<MutexGuard<'_, Notes>> {
        self.0.as_ref().map(|shared| shared.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_fork(&self) -> bool {
        self.0.as_ref().is_some_and(|shared| shared.forks != forks::count())
    }

    /// Records an act and does it. What the kernel sends because of it stands after it in the
    /// trace; if it is refused, the errno is recorded with it.
    pub(crate) fn act<T>(
        &self,
        act: impl FnOnce() -> Act,
        work: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        let entry = self.record(act);
        let done = work();
        if let (Some(entry), Err(e)) = (entry, &done) {
            self.refuse(entry, errno_name(e));
        }
        done
    }

    /// Records an act that is about to be done, or was; says where it stands.
    pub(crate) fn record(&self, act: impl FnOnce() -> Act) -> Option<usize> {
        let fork = self.is_fork();
        let mut notes = self.notes()?;
        if notes.paused {
            return None;
        }
        if fork {
            let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
            notes.by_fork.push((at, act(), None));
            return Some(notes.by_fork.len() - 1);
        }
        notes.capture.as_mut().map(|capture| capture.act(act()))
    }

    /// Records what was read. A reading that the last act has already is not recorded again: it
    /// is read until something is there.
    pub(crate) fn record_reading(&self, reading: Act) {
        let is_known = self.notes().is_some_and(|notes| {
            let capture = notes.capture.as_ref();
            capture.is_some_and(|capture| capture.trace().last_act() == Some(&reading))
        });
        if !is_known {
            self.record(|| reading);
        }
    }

    /// Writes down that the kernel refused an act.
    pub(crate) fn refuse(&self, entry: usize, errno: String) {
        let fork = self.is_fork();
        let Some(mut notes) = self.notes() else { return };
        match (&mut notes.capture, fork) {
            (_, true) => {
                if let Some((_, _, refused)) = notes.by_fork.get_mut(entry) {
                    *refused = Some(errno);
                }
            }
            (Some(capture), false) => capture.refuse(entry, errno),
            (None, false) => {}
        }
    }

    /// What this process, forked from the lab's, has done.
    pub(crate) fn done_by_fork(&self) -> ByFork {
        self.notes().map_or_else(Vec::new, |mut notes| std::mem::take(&mut notes.by_fork))
    }

    /// Writes down what a forked process has done.
    pub(crate) fn record_fork(&self, done: ByFork) {
        let Some(mut notes) = self.notes() else { return };
        let Some(capture) = &mut notes.capture else { return };
        capture.drain();
        for (at, act, refused) in done {
            capture.act_at(at, act, refused);
        }
    }

    /// Records nothing and captures nothing while `paused`.
    pub(crate) fn pause(&self, paused: bool) -> crate::Result<()> {
        let Some(mut notes) = self.notes() else { return Ok(()) };
        notes.paused = paused;
        match &mut notes.capture {
            Some(capture) if paused => capture.pause(),
            Some(capture) => capture.resume(),
            None => Ok(()),
        }
    }

    /// Reads the lab's capture. Nothing may be recorded meanwhile.
    ///
    /// # Panics
    /// It does not exist: the lab is over, or never was.
    pub(crate) fn with_capture<T>(&self, work: impl FnOnce(&mut Capture) -> T) -> T {
        let mut notes = self.notes().expect("a lab's recorder");
        work(notes.capture.as_mut().expect("the lab is not over"))
    }

    /// Takes the capture; nothing is recorded any more.
    pub(crate) fn end(&self) -> Option<Capture> {
        self.notes()?.capture.take()
    }

    /// The name of the endpoint at `address`, as traces show it.
    pub(crate) fn name_of(&self, address: SocketAddr) -> String {
        let notes = self.notes();
        let capture = notes.as_ref().and_then(|notes| notes.capture.as_ref());
        capture.map_or_else(|| address.to_string(), |capture| capture.trace().name_of(address))
    }

    /// Children of the client at `address` are to be reset when they are closed.
    pub(crate) fn reset_children_of(&self, address: SocketAddr) {
        if let Some(mut notes) = self.notes() {
            notes.silent_clients.push(address);
        }
    }

    /// Whether [`Recorder::reset_children_of`] was called for the client at `address`.
    pub(crate) fn resets_children_of(&self, address: SocketAddr) -> bool {
        let of = SocketAddr::new(address.ip().to_canonical(), address.port());
        self.notes().is_some_and(|notes| notes.silent_clients.contains(&of))
    }

    /// This process has a descriptor more of a listener.
    pub(crate) fn opened(&self, listener: &str) {
        let is_fork = self.is_fork();
        if let Some(mut notes) = self.notes() {
            let Holders { own, of_fork, .. } = &mut notes.holders;
            let mine = if is_fork { of_fork } else { own };
            *mine.entry(listener.to_owned()).or_default() += 1;
        }
    }

    /// Records that this process closes a descriptor.
    pub(crate) fn closed(
        &self,
        socket: &Actor,
        by: CloseCall,
        at_scope_end: bool,
    ) -> Option<usize> {
        let is_fork = self.is_fork();
        let last = match (self.notes(), socket.listener()) {
            (Some(mut notes), Some(listener)) => notes.holders.release(listener, is_fork),
            _ => true,
        };
        self.record(|| Act::Close { socket: socket.clone(), by, last, at_scope_end })
    }

    /// Every listener that this process has open.
    pub(crate) fn own_listeners(&self) -> Vec<String> {
        let open = |notes: MutexGuard<'_, Notes>| {
            let own = notes.holders.own.iter().filter(|(_, count)| **count > 0);
            own.map(|(name, _)| name.clone()).collect()
        };
        self.notes().map_or_else(Vec::new, open)
    }

    /// Somebody else (a process, or the queue of a UNIX socket) has listeners open, besides.
    pub(crate) fn holds(&self, holder: &str, listeners: impl IntoIterator<Item = String>) {
        if let Some(mut notes) = self.notes() {
            notes.holders.others.entry(holder.to_owned()).or_default().extend(listeners);
        }
    }

    /// Somebody else has nothing open any more; says which listeners nobody has from now on.
    pub(crate) fn releases(&self, holder: &str) -> Vec<String> {
        let Some(mut notes) = self.notes() else { return vec![] };
        let mut held = notes.holders.others.remove(holder).unwrap_or_default();
        held.sort();
        held.dedup();
        held.retain(|listener| !notes.holders.has(listener));
        held
    }
}
