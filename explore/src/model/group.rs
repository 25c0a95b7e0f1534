//! Groups: who is in them, and whom the hash selects (`net/core/sock_reuseport.c`).

use crate::model::seen::Counter;
use crate::model::state::{Group, Model, SLOTS, Slot};
use crate::step::ListenerId;

impl Group {
    /// `reuseport_select_sock_by_hash()`: `reciprocal_scale()` of the hash.
    fn by_hash(&self, slot: Slot) -> Option<ListenerId> {
        self.socks.get(usize::from(slot) * self.socks.len() / SLOTS).copied()
    }

    /// `__reuseport_detach_sock()`: the last member takes the place of the one that leaves.
    fn remove(&mut self, listener: ListenerId) {
        if let Some(index) = self.socks.iter().position(|member| *member == listener) {
            self.socks.swap_remove(index);
        }
    }

    /// `__reuseport_detach_closed_sock()`: the closed members stand from the end of `socks[]`
    /// on, the last one to close first.
    fn remove_closed(&mut self, listener: ListenerId) {
        if let Some(index) = self.closed.iter().position(|member| *member == listener) {
            self.closed.swap_remove(index);
        }
    }
}

impl Model {
    /// The listener that a SYN reaches: `reuseport_select_sock()`.
    pub(super) fn select(&self, slot: Slot) -> Option<ListenerId> {
        // All listeners of a history have one address, so that those that listen are one group.
        let group = self.groups.iter().find(|group| !group.socks.is_empty())?;
        let by_program = group.program.and_then(|index| group.socks.get(index as usize).copied());
        by_program.or_else(|| group.by_hash(slot))
    }

    /// `reuseport_migrate_sock()`: the listener that a child or a request of `from` goes to. A
    /// classic program is not asked.
    pub(super) fn migrate(&mut self, from: ListenerId, slot: Slot) -> Option<ListenerId> {
        self.socket(from)?.group?;
        let target = self.target(from, slot);
        if target.is_none() {
            self.count(Counter::MigrateReqFailure);
        }
        target
    }

    /// The same, without counting.
    pub(super) fn target(&self, from: ListenerId, slot: Slot) -> Option<ListenerId> {
        let group = self.socket(from)?.group?;
        if self.migrate_req { self.groups[group].by_hash(slot) } else { None }
    }

    /// `inet_reuseport_add_sock()` at `listen`: into the group of those that listen, or into
    /// one of its own.
    pub(super) fn join_group(&mut self, listener: ListenerId) {
        let listening = self.groups.iter().position(|group| !group.socks.is_empty());
        let own = self.listener(listener).group;
        let group = match (listening, own) {
            (Some(group), _) => group,
            // `reuseport_resurrect()` without a group: nothing of the old one comes with it.
            (None, Some(old)) if !self.groups[old].closed.is_empty() => self.new_group(),
            (None, Some(old)) => old,
            (None, None) => self.new_group(),
        };
        if let Some(old) = own {
            self.groups[old].remove_closed(listener);
        }
        self.groups[group].socks.push(listener);
        self.listener(listener).group = Some(group);
    }

    fn new_group(&mut self) -> usize {
        self.groups.push(Group::default());
        self.groups.len() - 1
    }

    /// `reuseport_stop_listen_sock()`: where requests can migrate, the group keeps it as a
    /// closed member; else it leaves.
    pub(super) fn stop_listening_in_group(&mut self, listener: ListenerId) {
        let Some(group) = self.listener(listener).group else { return };
        self.groups[group].remove(listener);
        if self.migrate_req {
            self.groups[group].closed.push(listener);
        } else {
            self.listener(listener).group = None;
        }
    }
}
