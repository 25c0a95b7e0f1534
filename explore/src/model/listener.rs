//! What is done to listeners: `listen`, `shutdown`, `close` (`net/ipv4/inet_connection_sock.c`).

use harness::trace::Direction;

use crate::model::program::Program;
use crate::model::state::{Listener, ListenerOptions, ListenerState, Model};
use crate::step::ListenerId;

impl Model {
    /// A new socket listens.
    pub(super) fn listen(&mut self, listener: ListenerId, backlog: u32, options: ListenerOptions) {
        if self.listeners.len() <= listener.0 {
            self.listeners.resize(listener.0 + 1, None);
        }
        let ListenerOptions { reuse_port, defer_accept, fast_open_most } = options;
        self.listeners[listener.0] = Some(Listener {
            state: ListenerState::Listen,
            descriptors: 1,
            reuse_port,
            group: None,
            backlog,
            accept_queue: vec![],
            qlen: 0,
            young: 0,
            defer_accept,
            fast_open_most,
            fast_open_qlen: 0,
        });
        self.join_group(listener);
    }

    /// `inet_csk_listen_start()` again. Requests that it had before stay its own, and counted. Its Fast
    /// Open children are not counted any more, though each of them will be counted off.
    pub(super) fn listen_again(&mut self, listener: ListenerId, backlog: u32) {
        let socket = self.listener(listener);
        socket.backlog = backlog;
        if socket.state == ListenerState::Listen {
            return;
        }
        socket.state = ListenerState::Listen;
        socket.fast_open_qlen = 0;
        self.join_group(listener);
    }

    /// `inet_shutdown()`: of a listener only the direction that receives matters.
    pub(super) fn shut_down(&mut self, listener: ListenerId, how: Direction) {
        if how.ends_listening() {
            self.stop_listening(listener);
        } else if !self.listener(listener).accept_queue.is_empty() {
            // `sk_state_change()` wakes who waits, for whatever there is.
            self.wake(listener);
        }
    }

    /// A descriptor is closed; with the last one, the listener.
    pub(super) fn close(&mut self, listener: ListenerId) {
        let socket = self.listener(listener);
        socket.descriptors -= 1;
        if socket.descriptors == 0 && self.listens(listener) {
            self.stop_listening(listener);
        }
    }

    /// `inet_csk_listen_stop()`: each child in the accept queue moves to another listener of the
    /// group, whatever its backlog, or is reset. Nothing happens to requests: they stay with
    /// this listener until a segment or a timer looks at them.
    pub(super) fn stop_listening(&mut self, listener: ListenerId) {
        // The kernel stores the state last; no step sees the time between.
        self.listener(listener).state = ListenerState::Close;
        self.stop_listening_in_group(listener);
        for client in std::mem::take(&mut self.listener(listener).accept_queue) {
            match self.migrate(listener, client, false) {
                Some(target) => self.move_child(client, target),
                None => self.abort_child(client),
            }
        }
    }

    /// `SO_ATTACH_REUSEPORT_CBPF`.
    pub(super) fn select_index(&mut self, listener: ListenerId, index: u32) {
        if let Some(group) = self.listener(listener).group {
            self.groups[group].program = Some(Program::Index(index));
        }
    }

    /// `SO_DETACH_REUSEPORT_BPF`.
    pub(super) fn select_by_hash(&mut self, listener: ListenerId) {
        let group = self.listener(listener).group;
        let program = group.and_then(|group| self.groups[group].program.take());
        if program.is_none() {
            self.refuse("ENOENT");
        }
    }
}
