//! The cases: a file, or a folder of files, for each first part of an id.
//!
//! The path of a file is the beginning of the ids in it: `handshake/segments.rs` has cases
//! called `handshake/...`. To add a case, write it in the file where its id belongs; to add a
//! file, name it in the `mod.rs` of its folder.

mod accept_queue;
mod accounting;
mod ao;
mod attributes;
mod bind;
mod destroy;
mod ebpf;
mod fast_open;
mod group;
mod growth;
mod handoff;
mod handshake;
mod listener;
mod md5;
mod membership;
mod mptcp;
mod order;
mod passing;
mod quiz1;
mod quiz2;
mod substitute;
mod syncookies;
mod sysctl;
mod timer;
mod wake_up;

use crate::prefix::Prefix;

/// Every first part of an id, in the order in which cases are listed.
pub(crate) const PREFIXES: &[Prefix] = &[
    quiz1::PREFIX,
    quiz2::PREFIX,
    accept_queue::PREFIX,
    wake_up::PREFIX,
    handshake::PREFIX,
    timer::PREFIX,
    syncookies::PREFIX,
    fast_open::PREFIX,
    destroy::PREFIX,
    md5::PREFIX,
    ao::PREFIX,
    mptcp::PREFIX,
    attributes::PREFIX,
    listener::PREFIX,
    group::PREFIX,
    membership::PREFIX,
    order::PREFIX,
    growth::PREFIX,
    bind::PREFIX,
    sysctl::PREFIX,
    handoff::PREFIX,
    substitute::PREFIX,
    passing::PREFIX,
    accounting::PREFIX,
    ebpf::PREFIX,
];
