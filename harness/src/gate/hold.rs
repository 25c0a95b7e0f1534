//! A gate for the clients of a load, each of which is held for a while of its own.

use super::nftables::Rule;
use super::segments::Whose;
use crate::error::Result;
use crate::net::family::PORT;

/// The mark (`SO_MARK`) of clients whose segments after the SYN a [`Hold`] drops.
pub const HELD_MARK: u32 = 1;

/// A closed gate for clients that carry [`HELD_MARK`]. A client clears the mark itself, and its
/// next retransmission passes: so each decides for how long it is held. Dropping the value
/// opens the gate.
///
/// Always a rule of nftables, since it must not end with any listener.
pub struct Hold(Rule);

impl Hold {
    /// Closes it.
    ///
    /// # Errors
    /// The kernel has no nftables, or refuses.
    pub fn close() -> Result<Self> {
        Rule::set(PORT, Whose::Mark(HELD_MARK)).map(Self)
    }

    /// Opens it and says how many segments it dropped.
    ///
    /// # Errors
    /// As [`super::Gate::open`].
    pub fn open(self) -> Result<u64> {
        self.0.lift()
    }
}
