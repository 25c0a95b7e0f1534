//! Groups: who is in them, and whom the hash selects (`net/core/sock_reuseport.c`).

use crate::model::program::{Call, Decision, Migrating, Program};
use crate::model::seen::Counter;
use crate::model::state::{ChildState, Client, Connection, Group, Model};
use crate::step::{ClientId, ListenerId};

impl Group {
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
    pub(super) fn select(&mut self, client: ClientId) -> Option<ListenerId> {
        match self.selecting_group() {
            None => self.listener_without_group(),
            Some((_, Decision::Selects(chosen))) => Some(chosen),
            Some((_, Decision::Drops)) => None,
            Some((group, Decision::Passes)) => self.by_hash(group, client),
        }
    }

    /// As [`Model::select`], where the hash is known.
    pub(super) fn would_select(&self, client: ClientId) -> Option<ListenerId> {
        match self.selecting_group() {
            None => self.listener_without_group(),
            Some((_, Decision::Selects(chosen))) => Some(chosen),
            Some((_, Decision::Drops)) => None,
            Some((group, Decision::Passes)) => self.would_be_by_hash(group, client),
        }
    }

    /// The group of the listeners, and what its program decides.
    fn selecting_group(&self) -> Option<(usize, Decision)> {
        // All listeners have one address, so that those that listen are one group.
        let group = self.groups.iter().position(|group| !group.socks.is_empty())?;
        let Group { socks, program, .. } = &self.groups[group];
        let decision = match program {
            None => Decision::Passes,
            Some(Program::Index(index)) => {
                socks.get(*index as usize).copied().map_or(Decision::Passes, Decision::Selects)
            }
            Some(Program::Steps { steps, .. }) => {
                self.run_program(group, steps, Call { migrating: None, has_packet: true })
            }
        };
        Some((group, decision))
    }

    /// One without `SO_REUSEPORT`.
    fn listener_without_group(&self) -> Option<ListenerId> {
        (0..self.listeners.len()).map(ListenerId).find(|listener| self.listens(*listener))
    }

    /// `reuseport_select_sock_by_hash()`: `reciprocal_scale()` of the hash. Where the hash is known only
    /// in part, more than one member is possible: first the one that the record of a case speaks for
    /// (`likely`), and the others when [`Model::choose`] says so.
    fn by_hash(&mut self, group: usize, client: ClientId) -> Option<ListenerId> {
        let socks = &self.groups[group].socks;
        let of = socks.len();
        if of == 0 {
            return None;
        }
        let Client { hash, likely, .. } = self.clients[client.0];
        let (first, last) = hash.members(of);
        self.hash_has_decided |= last > first;
        let likely = likely.and_then(|likely| socks.iter().position(|member| *member == likely));
        let likely = likely.filter(|index| (first..=last).contains(index)).unwrap_or(first);
        let index = match self.choose(last - first + 1) {
            0 => likely,
            other if first + other - 1 < likely => first + other - 1,
            other => first + other,
        };
        self.client(client).hash = hash.of_member(index, of);
        self.groups[group].socks.get(index).copied()
    }

    fn would_be_by_hash(&self, group: usize, client: ClientId) -> Option<ListenerId> {
        let socks = &self.groups[group].socks;
        let (first, _) = self.clients[client.0].hash.members(socks.len());
        socks.get(first).copied()
    }

    /// One of some possibilities, if there is more than one.
    pub(super) fn choose(&mut self, of: usize) -> usize {
        if of > 1 { self.choices.choose(of) } else { 0 }
    }

    /// `reuseport_migrate_sock()`: the listener that a child or a request of `from` goes to. Only
    /// a program that was made for it is asked; without one, the setting decides whether anything
    /// migrates.
    ///
    /// There is none, and nothing counts that, if `from` left its group when it stopped listening
    /// ([`Model::stop_listening_in_group`]): migration was off then.
    pub(super) fn migrate(
        &mut self,
        from: ListenerId,
        client: ClientId,
        has_packet: bool,
    ) -> Option<ListenerId> {
        let group = self.socket(from)?.group?;
        let target = match self.decides_on_migration(group, client, has_packet) {
            Decision::Selects(target) => Some(target),
            Decision::Passes => self.by_hash(group, client),
            Decision::Drops => None,
        };
        if target.is_none() {
            self.count(Counter::MigrateReqFailure);
        }
        target
    }

    /// The same where the hash is known, without counting.
    pub(super) fn would_migrate(&self, from: ListenerId, client: ClientId) -> Option<ListenerId> {
        let group = self.socket(from)?.group?;
        match self.decides_on_migration(group, client, true) {
            Decision::Selects(target) => Some(target),
            Decision::Passes => self.would_be_by_hash(group, client),
            Decision::Drops => None,
        }
    }

    fn decides_on_migration(&self, group: usize, client: ClientId, has_packet: bool) -> Decision {
        let Group { socks, program, .. } = &self.groups[group];
        match program {
            _ if socks.is_empty() => Decision::Drops,
            Some(Program::Steps { migrates: true, steps }) => {
                let migrating = match &self.clients[client.0].connection {
                    Connection::Nothing | Connection::Request(_) => Migrating::Request,
                    Connection::Child(child) => match child.state {
                        ChildState::SynRecv => Migrating::FastOpenChild,
                        ChildState::Established => Migrating::Child,
                        ChildState::CloseWait | ChildState::FinWait1 | ChildState::Close => {
                            Migrating::EndedChild
                        }
                    },
                };
                let call = Call { migrating: Some(migrating), has_packet };
                self.run_program(group, steps, call)
            }
            _ if self.migrate_req => Decision::Passes,
            _ => Decision::Drops,
        }
    }

    /// `inet_reuseport_add_sock()` at `listen`: into the group of those that listen, or into
    /// one of its own.
    pub(super) fn join_group(&mut self, listener: ListenerId) {
        if !self.listener(listener).reuse_port {
            return;
        }
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
        // `bpf_sk_reuseport_detach()`.
        self.arrays.retain(|_, member| *member != listener);
        let program = &self.groups[group].program;
        let asks = matches!(program, Some(Program::Steps { migrates: true, .. }));
        if self.migrate_req || asks {
            self.groups[group].closed.push(listener);
        } else {
            self.listener(listener).group = None;
        }
    }
}
