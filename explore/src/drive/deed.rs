//! Steps that are done at the same time as others.

use std::io;
use std::time::Duration;

use harness::net::sysctl;
use harness::socket::{Child, Listener};
use harness::trace::Direction;
use harness::{Error, Family, Result, bpf};

use crate::drive::open::{Open, Peer, directions};
use crate::drive::{Driver, call_result, listen, refused};
use crate::model::CallResult;
use crate::step::{ListenerId, Segment, Setting, Step};

/// A step that is ready to be taken, and what it needs.
pub(super) enum Deed<'a> {
    Listen(&'a Listener, u32),
    Shutdown(&'a Listener, Direction),
    Close(Listener),
    Accept(&'a Listener),
    Select(&'a Listener, Option<u32>),
    Set(Setting),
    Send { driver: &'a Driver, client: &'a Peer, segment: Segment, numbers: (u32, u32) },
}

/// What became of one.
pub(super) enum Done {
    Call(io::Result<()>),
    Accepted(Result<Option<Child>>),
    Laboratory(Result<()>),
}

/// What became of two.
pub(super) struct TwoDone {
    /// Of the first one, and of the second one.
    pub(super) done: [Done; 2],
    /// When each began, since the Unix epoch.
    pub(super) began: [Duration; 2],
    /// By how many nanoseconds the second one began later.
    pub(super) apart: i64,
}

impl Driver {
    /// Makes what a step needs to be done in an instant.
    pub(super) fn prepare(&mut self, step: &Step, open: &mut Open) -> Result<()> {
        match *step {
            Step::Listen { listener, defer_accept, fast_open, .. } => {
                let socket = bound(self.family, listener, defer_accept, fast_open)?;
                self.lab.watch(&socket, listener.0 as u64)?;
                open.listeners[listener.0].push(socket);
            }
            Step::Set(setting) => {
                // Written behind the driver's back.
                self.settings.remove(setting.name());
            }
            _ => {}
        }
        Ok(())
    }

    /// What a call returned; a child is kept.
    pub(super) fn returned(&mut self, done: Done, open: &mut Open) -> Result<CallResult> {
        match done {
            Done::Call(done) => Ok(call_result(done)),
            Done::Laboratory(done) => done.map(|()| CallResult::Done),
            Done::Accepted(accepted) => self.accepted(accepted, open),
        }
    }
}

/// A socket that has everything that a listener needs, and does not listen yet.
fn bound(
    family: Family,
    listener: ListenerId,
    defer_accept: bool,
    fast_open: u32,
) -> Result<Listener> {
    listen(family, &listener.to_string(), None, defer_accept, fast_open)
        .map_err(|e| refused("bind", e))
}

pub(super) fn deed<'a>(
    (step, numbers): (Step, (u32, u32)),
    closing: Option<Listener>,
    driver: &'a Driver,
    open: &'a Open,
) -> Result<Deed<'a>> {
    Ok(match step {
        Step::Listen { listener, backlog, .. } | Step::ListenAgain { listener, backlog } => {
            Deed::Listen(open.listener(listener)?, backlog)
        }
        Step::Shutdown { listener, how } => Deed::Shutdown(open.listener(listener)?, how),
        Step::Close { listener } => Deed::Close(
            closing
                .ok_or_else(|| Error::unreadable("a step", format!("{listener} is not open")))?,
        ),
        Step::Accept { listener } => Deed::Accept(open.listener(listener)?),
        Step::SelectIndex { listener, index } => {
            Deed::Select(open.listener(listener)?, Some(index))
        }
        Step::SelectByHash { listener } => Deed::Select(open.listener(listener)?, None),
        Step::Set(setting) => Deed::Set(setting),
        Step::Send { client, segment } => {
            Deed::Send { driver, client: &open.clients[client.0], segment, numbers }
        }
        Step::Duplicate { .. } | Step::Wait => {
            return Err(Error::unreadable("a step", format!("`{step}` at the same time")));
        }
    })
}

impl Deed<'_> {
    pub(super) fn done(self) -> Done {
        match self {
            Self::Listen(socket, backlog) => Done::Call(socket.listen(backlog.cast_signed())),
            Self::Shutdown(socket, how) => Done::Call(socket.shutdown(directions(how))),
            Self::Close(socket) => {
                drop(socket);
                Done::Call(Ok(()))
            }
            Self::Accept(socket) => Done::Accepted(socket.accept_now()),
            Self::Select(socket, Some(index)) => Done::Call(bpf::select_index(socket, index)),
            Self::Select(socket, None) => Done::Call(bpf::detach(socket)),
            Self::Set(setting) => {
                Done::Laboratory(sysctl::write(setting.name(), &setting.value().to_string()))
            }
            Self::Send { driver, client, segment, numbers } => {
                Done::Laboratory(driver.send(client, segment, numbers))
            }
        }
    }
}
