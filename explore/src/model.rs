//! What the kernel does with the listeners of one address, as a pure function: a step in, what
//! must be seen of it out. No kernel, no clock.
//!
//! # What happens when a listener closes
//!
//! 1. `listener::stop_listening` takes it out of TCP_LISTEN and out of its group
//!    (`group::stop_listening_in_group`). Where something can migrate, by the setting or by a
//!    program, the group keeps it as a closed member: only so it has a group to ask later.
//! 2. Each child in its accept queue moves to another listener of the group at once
//!    (`child::move_child`), or is reset (`child::abort_child`).
//! 3. Nothing happens to its requests. They stay where they are, counted by the closed listener,
//!    until something looks at them:
//!    - a segment of the client (`request::reach_request`): the request is looked at as if it were the
//!      target's, and stays where it is, unless a child is made: that is the target's. Without a
//!      target the request is dropped, and the segment is looked at as one of no connection.
//!    - its timer (`timer::request_timer`): the request moves to the target, which sends the SYN+ACK
//!      again. Without a target the request is dropped, and nothing is sent.
//! 4. Who the target is, `group::migrate` decides each time anew: a program that was made for it, or
//!    the hash among those that listen now. A listener that left its group in 1 has no target
//!    ever, not even if the setting is changed later, and nothing counts that.
//!
//! # The files, in the order in which they are best read
//!
//! | file | what is in it |
//! |---|---|
//! | `state` | what the kernel keeps: groups, listeners, requests, children |
//! | `listener` | `listen`, `shutdown`, `close` |
//! | `group` | who is in a group, whom the hash selects, and where to something migrates |
//! | `request` | segments of no connection and of requests |
//! | `timer` | the timers that send SYN+ACKs again |
//! | `child` | children: segments, moves, resets, `accept` |
//! | `behaviour` | bugs of some kernels that the model can have, too |
//! | `hash`, `choice` | the hash of a connection, and choices where it is not known |
//! | `seen` | what is seen of a step, and how two descriptions of it differ |
//! | `refusal` | steps that cannot be taken, or of which the model does not know what comes |
//! | `situation` | in which situation a step is taken, for saying what was met |
//! | `between` | what two steps at the same time come to besides their two orders |
//! | `recorded` | what runs of written cases do besides the steps of histories |
//! | `program`, `run_program` | programs in eBPF: written cases have them, histories do not |
//!
//! # What it leaves out
//!
//! SYN cookies, more than one address, options that children have from their listeners, IPv6,
//! Multipath TCP, signatures, and `shutdown` of a socket that does not listen. It takes for granted that
//! clients have a Fast Open cookie, that nothing limits how often the kernel answers
//! (`tcp_invalid_ratelimit`, `tcp_challenge_ack_limit`), that `tcp_synack_retries` is 2 at most, so that a history
//! ends in seconds, and that memory is there. A closed listener is never destroyed: its requests
//! refer to it.

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
    /// As [`Model::new`], and after steps, each of which it [allows](Model::allows).
    pub fn after(bugs: &BTreeSet<ModelBug>, slots: &[Slot], steps: &[Step]) -> Self {
        let mut model = Self::new(bugs.clone(), slots);
        for step in steps {
            model.step(step);
        }
        model
    }

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
