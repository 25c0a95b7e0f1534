//! Programs of groups, which choose before the hash does (`net/core/sock_reuseport.c`,
//! `net/core/filter.c`).

use std::collections::BTreeMap;

use crate::step::ListenerId;

/// A program of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// A classic one that returns this index.
    Index(u32),
    /// One in eBPF.
    Steps {
        /// `BPF_SK_REUSEPORT_SELECT_OR_MIGRATE`: it is asked where something migrates to, too.
        migrates: bool,
        /// What it does. After the last step it passes.
        steps: Vec<ProgramStep>,
    },
}

/// A step of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProgramStep {
    /// The steps, if the condition holds.
    When(ProgramCondition, Vec<Self>),
    /// It ends: the listener that was selected gets the connection, the hash's if none was.
    Pass,
    /// It ends: nobody gets it.
    Drop,
}

/// When a part of a program runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProgramCondition {
    /// A connection looks for another listener.
    Migrating,
    /// A segment looks for a listener.
    New,
    /// What looks for another listener is this.
    MigratingIs(Migrating),
    /// There is no packet.
    NoPacket,
    /// `bpf_sk_select_reuseport()` finds a member of the group at an index of an array.
    Selected {
        /// Which array.
        array: u32,
        /// The index.
        index: u32,
    },
}

/// What migrates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Migrating {
    /// A request.
    Request,
    /// A child whose handshake is complete.
    Child,
    /// A child whose handshake is not.
    FastOpenChild,
    /// A child that is over.
    EndedChild,
}

/// For what a program is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Call {
    /// Nothing for a segment that looks for a listener.
    pub(super) migrating: Option<Migrating>,
    pub(super) has_packet: bool,
}

/// What a program decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    Selects(ListenerId),
    /// The hash decides.
    Passes,
    Drops,
}

/// `struct reuseport_array`: listeners by array and index.
pub(super) type Arrays = BTreeMap<(u32, u32), ListenerId>;
