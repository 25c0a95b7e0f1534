//! Whether a kernel offers what gates are made of.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::choice::{CHOICE, chosen};
use super::filter::Filter;
use super::nftables::Rule;
use super::segments::Whose;
use crate::error::Result;
use crate::net::family::Family;
use crate::refusal::Refusal;
use crate::socket::Listener;
use crate::trace::GateKind;

/// Whether this network namespace's kernel offers nftables' `inet` family.
///
/// # Errors
/// As the kernel answers: `EPROTONOSUPPORT`, `EOPNOTSUPP`, `EINVAL` without it.
pub fn probe_nftables() -> Result<()> {
    Rule::set(1, Whose::Everyone)?.lift().map(drop)
}

/// Why labs on a kernel have no gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum NoGate {
    /// There is neither kind.
    Neither {
        /// Why there is no rule of nftables.
        rule: Refusal,
        /// Why there is no filter.
        filter: Refusal,
    },
    /// [`CHOICE`] asks for a kind that does not exist here.
    Chosen {
        /// The kind.
        chosen: GateKind,
        /// Why there is none.
        why: Refusal,
    },
    /// In words, as an older sockmig wrote them.
    Words(String),
}

impl From<String> for NoGate {
    fn from(words: String) -> Self {
        Self::Words(words)
    }
}

impl fmt::Display for NoGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Neither { rule, filter } => write!(f, "{rule}; {filter}"),
            Self::Chosen { why, .. } => {
                write!(f, "{CHOICE} asks for a gate that this kernel does not have: {why}")
            }
            Self::Words(words) => f.write_str(words),
        }
    }
}

/// Which kind of gate labs on this kernel have, if any.
///
/// # Errors
/// [`CHOICE`] is unreadable.
pub fn probe(nftables: &Result<(), Refusal>) -> Result<Result<GateKind, NoGate>> {
    let filter = || {
        let listener = Listener::unrecorded("a listener to try", Family::V4)?;
        Filter::set(&listener, Whose::Everyone)?.lift()
    };
    let filter = || filter().map(|_| GateKind::Filter).map_err(Refusal::from);
    let rule = || nftables.clone().map(|()| GateKind::Nftables);
    Ok(match chosen()? {
        Some(chosen @ GateKind::Nftables) => rule().map_err(|why| NoGate::Chosen { chosen, why }),
        Some(chosen @ GateKind::Filter) => filter().map_err(|why| NoGate::Chosen { chosen, why }),
        None => rule().or_else(|rule| filter().map_err(|filter| NoGate::Neither { rule, filter })),
    })
}
