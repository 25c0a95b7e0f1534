//! A program that gives clients to one generation of workers, whoever else listens.

use std::collections::HashSet;
use std::net::SocketAddr;

use harness::bpf::Condition::Selected;
use harness::bpf::{Attach, Index, PASS, Program, SockArray, when};
use harness::net::witness::{self, State};
use harness::process::worker::{self, CloseMode};
use harness::{Context, Error, Family, Result, wait};

/// The program, and the socket array of those that it gives clients to.
pub(crate) struct Steering {
    array: SockArray,
    /// The group has it as well, as long as there is one.
    program: Program,
}

impl Steering {
    /// Attaches a program to the group of the listeners that workers hand out under `names`.
    /// Where these close at once, it chooses for what migrates, too.
    pub(crate) fn start(mode: CloseMode, names: &[String]) -> Result<Self> {
        let attach = match mode {
            CloseMode::AfterDraining => Attach::Select,
            CloseMode::AtOnce => Attach::SelectOrMigrate,
        };
        let places = names.len() as u32;
        let array = SockArray::new(places)?;
        let program = {
            let choose = when(Selected(&array, Index::OfHash(places)), [PASS]);
            Program::load(attach, &[choose, PASS])?
        };
        let steering = Self { array, program };
        steering.give_to(names)?;
        let attached = listener_at(&names[0])?;
        steering
            .program
            .attach_unrecorded(&attached)
            .call(|| "attach a program to the workers".into())?;
        Ok(steering)
    }

    /// From now on, new clients are for those who hand out their listeners under `names`.
    pub(crate) fn give_to(&self, names: &[String]) -> Result<()> {
        for (index, name) in names.iter().enumerate() {
            // Only for this moment: a listener is open as long as anybody has it.
            let listener = listener_at(name)?;
            let put = self.array.put_unrecorded(index as u32, &listener);
            put.call(|| format!("put the listener of {name} into a register at {index}"))?;
        }
        Ok(())
    }
}

fn listener_at(name: &str) -> Result<std::os::fd::OwnedFd> {
    let none = || Error::unreadable(name, "no listener is handed out");
    worker::fetch(name)?.into_iter().next().ok_or_else(none)
}

/// Waits until each request that is there now has become a child, or is given up.
pub(crate) fn until_requests_are_gone() -> Result<()> {
    let there = requests()?;
    wait::until("the end of all requests of old listeners", || {
        Ok(requests()?.is_disjoint(&there).then_some(()))
    })
}

/// The listeners that have requests.
fn requests() -> Result<HashSet<SocketAddr>> {
    let sockets = witness::sockets(Family::V4)?;
    let requests = sockets.into_iter().filter(|socket| socket.state == State::SynRecv);
    Ok(requests.map(|request| request.remote).collect())
}
