//! What the kernel does with the listeners of one address, as a pure function: a step in, what
//! must be seen of it out. No kernel, no clock.
//!
//! | file | what is in it |
//! |---|---|
//! | `seen` | what is seen of a step, and how two descriptions of it differ |
//! | `behaviour` | bugs of some kernels that the model can have, too |
//! | `state` | what the kernel keeps: groups, listeners, requests, children |
//! | `hash`, `choice` | the hash of a connection, and choices where it is not known |
//! | `group` | who is in a group, whom the hash selects, and where to something migrates |
//! | `child` | children: segments, moves, resets, `accept` |
//! | `request` | segments of no connection and of requests |
//! | `listener` | `listen`, `shutdown`, `close` |
//! | `refusal` | steps that cannot be taken, or of which the model does not know what comes |
//! | `recorded` | what runs of written cases do besides the steps of histories |
//! | `program`, `run_program` | programs in eBPF, which written cases have |
//! | `situation` | in which situation a step is taken, for saying what was met |
//! | `between` | what two steps at the same time come to besides their two orders |
//! | `timer` | the timers that send SYN+ACKs again |
//!
//! What it leaves out: `shutdown` of a socket that does not listen, programs in eBPF, SYN cookies, addresses other than one, options
//! that children have from their listeners, IPv6, Multipath TCP, signatures.

mod behaviour;
mod between;
mod child;
mod choice;
mod group;
mod hash;
mod listener;
mod program;
mod recorded;
mod refusal;
mod request;
mod run_program;
mod seen;
mod situation;
mod state;
#[cfg(test)]
mod tests;
mod timer;

pub use behaviour::ModelBug;
pub use between::Between;
pub use choice::Choices;
pub use hash::{SLOTS, Slot};
pub use program::{Migrating, Program, ProgramCondition, ProgramStep};
pub use recorded::{Expects, KnownSlot, Outline, ReceivedOnce};
pub use refusal::Refusal;
pub use seen::{Answer, Aspect, CallResult, Counter, Difference, Rest, Seen};
pub use situation::met_in;
pub use state::{ListenerOptions, MOST_IN_GROUP, Model, STEPS_TAKE};

use std::collections::{BTreeMap, BTreeSet};

use state::Connection;

use crate::step::{ClientId, ListenerId, Setting, Step};

impl Model {
    /// Takes a step, and says what must be seen of it. The step must be one that
    /// [`Model::allows`].
    pub fn step(&mut self, step: &Step) -> Seen {
        self.seen = Seen::default();
        match *step {
            Step::Set(Setting::MigrateReq(on)) => self.migrate_req = on,
            Step::Set(Setting::AbortOnOverflow(on)) => self.abort_on_overflow = on,
            Step::Set(Setting::SynAckRetries(retries)) => self.synack_retries = retries,
            Step::Listen { listener, backlog, defer_accept, fast_open } => {
                let defer_accept = u8::from(defer_accept);
                let options =
                    ListenerOptions { reuse_port: true, defer_accept, fast_open_most: fast_open };
                self.listen(listener, backlog, options);
            }
            Step::ListenAgain { listener, backlog } => self.listen_again(listener, backlog),
            Step::Shutdown { listener, how } => self.shut_down(listener, how),
            Step::Duplicate { listener } => self.listener(listener).descriptors += 1,
            Step::Close { listener } => self.close(listener),
            Step::Accept { listener } => self.accept(listener),
            Step::SelectIndex { listener, index } => self.select_index(listener, index),
            Step::SelectByHash { listener } => self.select_by_hash(listener),
            Step::Send { client, segment } => self.arrive(client, segment),
            Step::Wait => self.wait(),
        }
        self.seen.queues = self.queues();
        std::mem::take(&mut self.seen)
    }

    /// How many children wait in the accept queue of each listener that listens.
    pub fn queues(&self) -> BTreeMap<ListenerId, u32> {
        let ids = (0..self.listeners.len()).map(ListenerId);
        let listening = ids.filter(|listener| self.listens(*listener));
        let long = |listener: ListenerId| {
            self.socket(listener).map_or(0, |socket| socket.accept_queue.len() as u32)
        };
        listening.map(|listener| (listener, long(listener))).collect()
    }

    /// The clients that have a child, accepted or not: when its acknowledgements are sent
    /// depends on the time.
    pub fn clients_with_child(&self) -> BTreeSet<ClientId> {
        let has_child =
            |client: &ClientId| matches!(self.clients[client.0].connection, Connection::Child(_));
        (0..self.clients.len()).map(ClientId).filter(has_child).collect()
    }

    /// How many sockets were made to listen: the next one's place.
    pub fn sockets_made(&self) -> usize {
        self.listeners.iter().flatten().count()
    }

    /// The listeners that listen, in the order of `socks[]`.
    pub fn members(&self) -> Vec<ListenerId> {
        self.groups.iter().flat_map(|group| &group.socks).copied().collect()
    }

    /// Whether a timer runs.
    pub fn has_timers(&self) -> bool {
        self.next_timer().is_some()
    }

    /// The time now, in milliseconds since the history began: it passes in waits alone.
    pub fn now(&self) -> u64 {
        self.now
    }
}
