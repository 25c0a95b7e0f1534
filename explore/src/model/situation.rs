//! In which situation a step is taken, for saying what was met.

use crate::model::seen::{Answer, CallResult, Seen};
use crate::model::state::{ChildState, Connection, Listener, ListenerState, Model, Place};
use crate::step::{ClientId, ListenerId, Step};

impl Model {
    /// A step and the situation in which it is taken, in a few words; call it before the step.
    pub fn situation(&self, step: &Step) -> String {
        let of = match *step {
            Step::Send { client, .. } => self.of_client(client),
            Step::Shutdown { listener, .. }
            | Step::Close { listener }
            | Step::Accept { listener }
            | Step::ListenAgain { listener, .. } => self.of_listener(listener),
            Step::Set(_)
            | Step::Listen { .. }
            | Step::Duplicate { .. }
            | Step::SelectIndex { .. }
            | Step::SelectByHash { .. } => self.of_group().to_owned(),
            Step::Wait => {
                let fires = self.next_timer().map(|(client, _)| self.of_client(client));
                fires.unwrap_or_default()
            }
        };
        format!("{}: {of}", step.word())
    }

    fn of_group(&self) -> &'static str {
        match self.members().len() {
            0 => "nobody listens",
            1 => "one listens",
            _ => "several listen",
        }
    }

    fn of_listener(&self, listener: ListenerId) -> String {
        let Some(socket) = self.socket(listener) else { return String::new() };
        if socket.state == ListenerState::Close {
            return "it does not listen".to_owned();
        }
        if socket.descriptors > 1 {
            return "it has another descriptor".to_owned();
        }
        let children = if socket.accept_queue.is_empty() { "no children" } else { "children" };
        let requests = if socket.qlen == 0 { "no requests" } else { "requests" };
        let others = if self.members().len() > 1 { "others listen" } else { "no other listens" };
        format!("{children}, {requests}, {others}")
    }

    fn of_client(&self, client: ClientId) -> String {
        let id = client;
        let Some(client) = self.clients.get(client.0) else { return String::new() };
        let room = |listener: ListenerId| {
            let socket = self.socket(listener);
            let full = socket.is_some_and(Listener::accept_queue_is_full);
            let requests_full = socket.is_some_and(Listener::request_queue_is_full);
            match (full, requests_full) {
                (false, false) => "with room",
                (true, false) => "whose accept queue is full",
                (false, true) => "whose queue of requests is full",
                (true, true) => "whose queues are full",
            }
        };
        match &client.connection {
            Connection::Nothing => match self.would_select(id) {
                None => "no connection, nobody listens".to_owned(),
                Some(listener) => format!("no connection, a listener {}", room(listener)),
            },
            Connection::Request(request) => {
                let is_new = if request.num_timeout == 0 { "young request" } else { "old request" };
                if self.listens(request.listener) {
                    return format!("{is_new} of a listener {}", room(request.listener));
                }
                match self.would_migrate(request.listener, id) {
                    Some(target) => format!("{is_new} that migrates to one {}", room(target)),
                    None => format!("{is_new} without a target"),
                }
            }
            Connection::Child(child) => {
                let state = match child.state {
                    ChildState::SynRecv => "SYN_RECV",
                    ChildState::Established => "ESTABLISHED",
                    ChildState::CloseWait => "CLOSE_WAIT",
                    ChildState::FinWait1 => "FIN_WAIT1",
                    ChildState::Close => "CLOSE",
                };
                let place = if child.place == Place::Accepted { "accepted" } else { "queued" };
                format!("{place} child in {state}")
            }
        }
    }
}

/// A situation and what came of it, in a line.
pub fn met_in(situation: &str, seen: &Seen) -> String {
    format!("{situation} -> {}", seen.outline())
}

impl Seen {
    /// What came of a step, without numbers and names.
    fn outline(&self) -> String {
        let result = match &self.result {
            CallResult::Done => "ok",
            CallResult::Refused(errno) => errno,
            CallResult::Accepted { .. } => "a connection",
        };
        let mut parts = vec![result.to_owned()];
        let answer = |answer: &Answer| match answer {
            Answer::SynAck { .. } => "SYN+ACK",
            Answer::SynAckAgain { .. } => "SYN+ACK again",
            Answer::Reset { .. } => "reset",
            Answer::Refusal { .. } => "refusal",
            Answer::Abort { .. } => "abort",
            Answer::Ack { .. } => "ACK",
            Answer::Other { .. } => "something else",
        };
        let mut answers: Vec<&str> = self.answers.iter().map(|(_, each)| answer(each)).collect();
        answers.sort_unstable();
        answers.dedup();
        parts.extend(answers.into_iter().map(str::to_owned));
        parts.extend(self.counters.keys().map(ToString::to_string));
        parts.join(", ")
    }
}
