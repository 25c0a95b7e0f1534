//! What the order of acts alone says: whether the hash may decide between listeners, and whether two
//! listeners have one name.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use harness::net::sysctl::SYNCOOKIES;
use harness::trace::{Act, Actor, Line, ProgramCondition, ProgramStep};

/// The listeners of a record, at a moment.
#[derive(Debug, Default)]
struct Listeners<'t> {
    /// Where each is bound; nothing is the usual address.
    bound: BTreeMap<&'t str, SocketAddr>,
    listening: BTreeSet<&'t str>,
    /// Addresses of groups that have a program.
    programs: BTreeSet<Option<SocketAddr>>,
    has_cookies: bool,
}

impl<'t> Listeners<'t> {
    fn address(&self, name: &str) -> Option<SocketAddr> {
        self.bound.get(name).copied()
    }

    /// How many listen at an address.
    fn at(&self, address: Option<SocketAddr>) -> usize {
        self.listening.iter().filter(|name| self.address(name) == address).count()
    }

    /// An act is done. Says whether the hash may decide what comes of it.
    fn meets(&mut self, act: &'t Act) -> bool {
        match act {
            Act::Bind { socket: Actor::Listener(name), to } => {
                self.bound.insert(name, *to);
                false
            }
            Act::Listen { listener, .. } => {
                self.listening.insert(listener);
                false
            }
            Act::SelectIndex { listener, .. } => {
                self.programs.insert(self.address(listener));
                false
            }
            Act::Attach { listener, decides: Some(decides), .. } => {
                let address = self.address(listener);
                match selects(&decides.steps) {
                    true => self.programs.insert(address),
                    false => self.programs.remove(&address),
                };
                false
            }
            Act::SelectByHash { listener } => {
                self.programs.remove(&self.address(listener));
                false
            }
            Act::Connect { .. } => self.chooses(),
            Act::Sysctl { name, value } if name == SYNCOOKIES => {
                self.has_cookies = value != "0";
                false
            }
            // The ACK of a cookie belongs to no request.
            Act::SendSegment { segment, .. } => {
                (segment.flags().syn() || self.has_cookies) && self.chooses()
            }
            _ => {
                let mut chooses = false;
                for name in ended_by(act) {
                    chooses |= self.ends(name);
                }
                chooses
            }
        }
    }

    /// Whether the hash chooses a listener for a SYN.
    fn chooses(&self) -> bool {
        let addresses: BTreeSet<_> = self.listening.iter().map(|name| self.address(name)).collect();
        addresses
            .into_iter()
            .any(|address| self.at(address) > 1 && !self.programs.contains(&address))
    }

    /// A listener listens no more. Says whether the hash may choose where to its connections go.
    fn ends(&mut self, name: &str) -> bool {
        self.listening.remove(name) && self.at(self.address(name)) > 1
    }
}

/// Whether a program names a listener. One that passes everything leaves the choice to the hash.
fn selects(steps: &[ProgramStep]) -> bool {
    steps.iter().any(|step| match step {
        ProgramStep::When(ProgramCondition::Selected { .. }, _) => true,
        ProgramStep::When(_, then) => selects(then),
        ProgramStep::End(_) | ProgramStep::Other => false,
    })
}

/// The listeners that listen no more after an act.
fn ended_by(act: &Act) -> Vec<&str> {
    match act {
        Act::Close { socket: Actor::Listener(name), last: true, .. }
        | Act::Shutdown { socket: Actor::Listener(name), .. }
        | Act::Disconnect { socket: Actor::Listener(name) } => vec![name],
        Act::Kill { closes, .. }
        | Act::EndProcess { closes, .. }
        | Act::ReceiveDescriptors { closes, .. }
        | Act::CloseUnixSockets { closes }
        | Act::EndCall { closes } => closes.iter().map(String::as_str).collect(),
        _ => vec![],
    }
}

/// Whether the hash may decide between listeners at one address.
pub fn hash_may_decide(trace: &[Line]) -> bool {
    let mut listeners = Listeners::default();
    trace.iter().filter_map(Line::done).any(|act| listeners.meets(act))
}

/// Whether a listener gets the name of another one that is still open.
pub fn has_shared_name(trace: &[Line]) -> bool {
    let mut bound = BTreeSet::new();
    trace.iter().filter_map(Line::done).any(|act| match act {
        Act::Bind { socket: Actor::Listener(name), .. } => !bound.insert(name.as_str()),
        // One that is closed, or bound by a process that has ended.
        act => {
            for name in ended_by(act) {
                bound.remove(name);
            }
            false
        }
    })
}
