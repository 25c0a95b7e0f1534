//! Which segments a gate drops: those with ACK set, and SYN and RST clear.

use std::net::IpAddr;

/// Offset of the flags in a TCP header.
pub(super) const FLAGS_OFFSET: u32 = 13;
/// The flags that are looked at.
pub(super) const SYN_RST_ACK: u8 = 0x16;
/// What they are in a segment that is dropped.
pub(super) const ACK: u8 = 0x10;

/// Whose final ACKs a gate drops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Every client's.
    Everyone,
    /// The client that sends from this port.
    Port(u16),
    /// Clients that send from this address.
    Address(IpAddr),
    /// Clients whose socket carries this `SO_MARK`.
    Mark(u32),
}
