//! Steps that cannot be taken, or of which the model does not know what comes.

use crate::model::state::{ChildState, Connection, Listener, MOST_IN_GROUP, Model};
use crate::step::{ClientId, ListenerId, Segment, Step};

/// For how long a history may wait in all, in milliseconds.
const LONGEST: u64 = 9000;

/// More descriptors of one listener than this are of no interest.
const MOST_DESCRIPTORS: u32 = 3;

/// Why a step is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A listener is to be made again.
    #[error("{0} exists already; what a socket does that listens again is `listen-again`")]
    Exists(ListenerId),
    /// There are no more letters.
    #[error("there is no place for {0}")]
    NoPlace(ListenerId),
    /// No step before has made it.
    #[error("{0} has not listened before")]
    NeverListened(ListenerId),
    /// All its descriptors are closed.
    #[error("{0} is closed")]
    Closed(ListenerId),
    /// It was shut down.
    #[error("{0} does not listen any more")]
    DoesNotListen(ListenerId),
    /// The group is full.
    #[error("{MOST_IN_GROUP} listeners listen, and a group has no more")]
    GroupIsFull,
    /// It has many descriptors.
    #[error("{0} has {MOST_DESCRIPTORS} descriptors, and no listener has more")]
    ManyDescriptors(ListenerId),
    /// The second line has no hash for it.
    #[error("there is no {0}: the line `clients` has a number for each client")]
    NoClient(ClientId),
    /// The model leaves it out.
    #[error("what a kernel does with that segment is not in the model, since {0} has {1}")]
    NotInModel(ClientId, Has),
    /// Nothing would come of waiting.
    #[error("there is no timer to wait for")]
    NoTimer,
    /// It has waited for long.
    #[error("it would wait longer than {} s in all", LONGEST / 1000)]
    TooLong,
}

/// What a client has that is sent a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Has {
    /// Nothing.
    #[error("no connection")]
    Nothing,
    /// A child that has sent or received no FIN.
    #[error("a child")]
    Child,
    /// One that has.
    #[error("a child that has ended")]
    EndedChild,
}

impl Model {
    /// Whether the model knows what a step does now: its sockets are there, and it is nothing
    /// that the model leaves out.
    pub fn allows(&self, step: &Step) -> bool {
        self.refusal(step).is_none()
    }

    /// Why the step cannot be taken now, if that is so.
    pub fn refusal(&self, step: &Step) -> Option<Refusal> {
        match *step {
            Step::Set(_) => None,
            Step::Listen { listener, .. } => match self.listeners.get(listener.0) {
                None => Some(Refusal::NoPlace(listener)),
                Some(Some(_)) => Some(Refusal::Exists(listener)),
                Some(None) => self.is_group_full(),
            },
            Step::ListenAgain { listener, .. } => match self.open(listener) {
                Err(why) => Some(why),
                Ok(_) if self.listens(listener) => None,
                Ok(_) => self.is_group_full(),
            },
            Step::Duplicate { listener } => match self.open(listener) {
                Err(why) => Some(why),
                Ok(socket) => (socket.descriptors >= MOST_DESCRIPTORS)
                    .then_some(Refusal::ManyDescriptors(listener)),
            },
            Step::Close { listener } | Step::Accept { listener } => self.open(listener).err(),
            // `inet_shutdown()` of a socket in TCP_CLOSE marks it, and so all children that it has
            // when it listens again: they send a FIN, or receive nothing.
            Step::Shutdown { listener, .. }
            | Step::SelectIndex { listener, .. }
            | Step::SelectByHash { listener } => match self.open(listener) {
                Err(why) => Some(why),
                Ok(_) => (!self.listens(listener)).then_some(Refusal::DoesNotListen(listener)),
            },
            Step::Send { client, segment } => self.refuses_segment(client, segment),
            Step::Wait if self.next_timer().is_none() => Some(Refusal::NoTimer),
            Step::Wait => (self.now >= LONGEST).then_some(Refusal::TooLong),
        }
    }

    fn open(&self, listener: ListenerId) -> Result<&Listener, Refusal> {
        match self.socket(listener) {
            None => Err(Refusal::NeverListened(listener)),
            Some(socket) if socket.descriptors == 0 => Err(Refusal::Closed(listener)),
            Some(socket) => Ok(socket),
        }
    }

    fn is_group_full(&self) -> Option<Refusal> {
        (self.queues().len() >= MOST_IN_GROUP).then_some(Refusal::GroupIsFull)
    }

    fn refuses_segment(&self, client: ClientId, segment: Segment) -> Option<Refusal> {
        let Some(known) = self.clients.get(client.0) else {
            return Some(Refusal::NoClient(client));
        };
        let is_syn_with_other_number = segment == Segment::SynInWindow;
        let is_fast_open = matches!(segment, Segment::FastOpenSyn(_));
        let (has, is_in_model) = match &known.connection {
            Connection::Nothing => (Has::Nothing, !is_syn_with_other_number),
            Connection::Request(_) => return None,
            Connection::Child(child) => match child.state {
                ChildState::SynRecv => (Has::Child, !is_syn_with_other_number && !is_fast_open),
                // Not every release answers an ACK of what was never sent (`tcp_ack()`).
                ChildState::Established => {
                    let other = [Segment::SynInWindow, Segment::AckOfNothing];
                    (Has::Child, !other.contains(&segment) && !is_fast_open)
                }
                ChildState::CloseWait => (Has::EndedChild, segment == Segment::Reset),
                ChildState::FinWait1 | ChildState::Close => (Has::EndedChild, false),
            },
        };
        (!is_in_model).then_some(Refusal::NotInModel(client, has))
    }
}
