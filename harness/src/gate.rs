//! The gate: while it is closed, the final ACKs of clients are dropped before their
//! listener sees them.
//!
//! The request then stays in NEW_SYN_RECV although the client believes itself connected,
//! which is the talk's second quiz. There are two ways to make a gate, since some kernels
//! come without nftables:
//!
//! | | an nftables rule | a filter on the listener |
//! |---|---|---|
//! | drops | at the network layer, for every listener of the port | when the listener is about to see the segment |
//! | counts | by the rule's counter | by the listener's count of drops |
//! | opens | when told to | when told to, and when the listener closes: the request's next listener has no filter |

mod filter;
mod nftables;

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::net::family::{Family, PORT};
use crate::refusal::Refusal;
use crate::socket::Listener;

/// The environment variable that chooses the kind of gate: `nftables` or `filter`. Labs
/// inherit it.
pub const CHOICE: &str = "SOCKMIG_GATE";

/// Offset of the flags in a TCP header, and the three that matter.
const FLAGS_OFFSET: u32 = 13;
const SYN_RST_ACK: u8 = 0x16;
const ACK: u8 = 0x10;

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

pub use crate::trace::GateKind as Kind;

/// The kind that the environment asks for, if it does.
///
/// # Errors
/// [`CHOICE`] is neither of the two.
pub fn chosen() -> Result<Option<Kind>> {
    match std::env::var(CHOICE).as_deref() {
        Err(std::env::VarError::NotPresent) | Ok("") => Ok(None),
        Ok("nftables") => Ok(Some(Kind::Nftables)),
        Ok("filter") => Ok(Some(Kind::Filter)),
        other => Err(Error::unreadable(
            format!("{CHOICE}, which may be `nftables` or `filter`"),
            format!("{other:?}"),
        )),
    }
}

/// A closed gate. Dropping the value opens it.
pub struct Gate(Means);

enum Means {
    Rule(nftables::Rule),
    Filter(filter::Filter),
}

impl Gate {
    /// Closes a gate in front of `listener`: segments to it with ACK set, and SYN and RST
    /// clear, are dropped. nftables is preferred, since it does not end with the listener.
    ///
    /// # Errors
    /// The kernel refuses. There can be one gate at a time.
    pub fn close(listener: &Listener, whose: Whose) -> Result<Self> {
        match chosen()? {
            Some(kind) => Self::close_as(kind, listener, whose),
            None => Self::close_as(Kind::Nftables, listener, whose)
                .or_else(|_| Self::close_as(Kind::Filter, listener, whose)),
        }
    }

    /// As [`Gate::close`], with a gate of this kind.
    ///
    /// # Errors
    /// As [`Gate::close`].
    pub fn close_as(kind: Kind, listener: &Listener, whose: Whose) -> Result<Self> {
        Ok(Self(match kind {
            Kind::Nftables => Means::Rule(nftables::Rule::set(PORT, whose)?),
            Kind::Filter => Means::Filter(filter::Filter::set(listener, whose)?),
        }))
    }

    /// How this one is made.
    pub fn kind(&self) -> Kind {
        match self.0 {
            Means::Rule(_) => Kind::Nftables,
            Means::Filter(_) => Kind::Filter,
        }
    }

    /// Opens the gate and says how many packets it dropped.
    ///
    /// # Errors
    /// The kernel refuses a change, or shows no counter.
    pub fn open(self) -> Result<u64> {
        match self.0 {
            Means::Rule(rule) => rule.lift(),
            Means::Filter(filter) => filter.lift(),
        }
    }

    /// How many packets a filter has dropped so far. `None` for a rule, whose counter is
    /// read when it is lifted.
    ///
    /// # Errors
    /// The kernel shows no counter.
    pub fn dropped_by_filter(&self) -> Result<Option<u64>> {
        match &self.0 {
            Means::Rule(_) => Ok(None),
            Means::Filter(filter) => filter.dropped().map(Some),
        }
    }

    /// Gives up the hold that a filter has on its listener, which is about to close.
    pub(crate) fn let_listener_go(&mut self) -> Result<()> {
        match &mut self.0 {
            Means::Rule(_) => Ok(()),
            Means::Filter(filter) => filter.let_listener_go(),
        }
    }

    /// Whether the gate has ended with its listener.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(&self.0, Means::Filter(filter) if filter.is_gone())
    }
}

/// Whether this network namespace's kernel offers nftables' `inet` family.
///
/// # Errors
/// As the kernel answers: `EPROTONOSUPPORT`, `EOPNOTSUPP`, `EINVAL` without it.
pub fn probe_nftables() -> Result<()> {
    nftables::Rule::set(1, Whose::Everyone)?.lift().map(drop)
}

/// Why labs on a kernel have no gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum NoGate {
    /// There is neither kind.
    Neither {
        /// Why there is no rule of nftables.
        rule: Refusal,
        /// Why there is no filter.
        filter: Refusal,
    },
    /// [`CHOICE`] asks for a kind that there is not.
    Chosen {
        /// The kind.
        chosen: Kind,
        /// Why there is none.
        why: Refusal,
    },
    /// In words, as an older sockmig wrote them.
    Words(String),
}

impl fmt::Display for NoGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Neither { rule, filter } => write!(f, "{rule}; {filter}"),
            Self::Chosen { why, .. } => write!(f, "{CHOICE} asks for what there is not: {why}"),
            Self::Words(words) => f.write_str(words),
        }
    }
}

/// Which kind of gate labs on this kernel have, if any.
///
/// # Errors
/// [`CHOICE`] is unreadable.
pub fn probe(nftables: &Result<(), Refusal>) -> Result<Result<Kind, NoGate>> {
    let filter = || {
        let listener = Listener::unrecorded("a listener to try", Family::V4)?;
        filter::Filter::set(&listener, Whose::Everyone)?.lift()
    };
    let filter = || filter().map(|_| Kind::Filter).map_err(Refusal::from);
    let rule = || nftables.clone().map(|()| Kind::Nftables);
    Ok(match chosen()? {
        Some(chosen @ Kind::Nftables) => rule().map_err(|why| NoGate::Chosen { chosen, why }),
        Some(chosen @ Kind::Filter) => filter().map_err(|why| NoGate::Chosen { chosen, why }),
        None => rule().or_else(|rule| filter().map_err(|filter| NoGate::Neither { rule, filter })),
    })
}

/// A closed gate for clients that carry [`crate::load::HELD_MARK`]. They clear the mark
/// themselves, and their next retransmission passes: so each of them is held for as long as
/// it likes, and the server learns of it late. Dropping the value opens the gate.
///
/// Always a rule of nftables, since it must not end with any listener.
pub struct Hold(nftables::Rule);

impl Hold {
    /// Closes it.
    ///
    /// # Errors
    /// The kernel has no nftables, or refuses.
    pub fn close() -> Result<Self> {
        nftables::Rule::set(PORT, Whose::Mark(crate::load::HELD_MARK)).map(Self)
    }

    /// Opens it and says how many segments it dropped.
    ///
    /// # Errors
    /// As [`Gate::open`].
    pub fn open(self) -> Result<u64> {
        self.0.lift()
    }
}
