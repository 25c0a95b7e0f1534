//! A closed gate of either kind.

use super::choice::chosen;
use super::filter::Filter;
use super::nftables::Rule;
use super::segments::Whose;
use crate::error::Result;
use crate::net::family::PORT;
use crate::socket::Listener;
use crate::trace::GateKind;

/// A closed gate. Dropping the value opens it.
pub struct Gate(Mechanism);

enum Mechanism {
    Rule(Rule),
    Filter(Filter),
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
            None => Self::close_as(GateKind::Nftables, listener, whose)
                .or_else(|_| Self::close_as(GateKind::Filter, listener, whose)),
        }
    }

    /// As [`Gate::close`], with a gate of this kind.
    ///
    /// # Errors
    /// As [`Gate::close`].
    pub fn close_as(kind: GateKind, listener: &Listener, whose: Whose) -> Result<Self> {
        Ok(Self(match kind {
            GateKind::Nftables => Mechanism::Rule(Rule::set(PORT, whose)?),
            GateKind::Filter => Mechanism::Filter(Filter::set(listener, whose)?),
        }))
    }

    /// How this one is made.
    pub fn kind(&self) -> GateKind {
        match self.0 {
            Mechanism::Rule(_) => GateKind::Nftables,
            Mechanism::Filter(_) => GateKind::Filter,
        }
    }

    /// Opens the gate and says how many packets it dropped.
    ///
    /// # Errors
    /// The kernel refuses a change, or shows no counter.
    pub fn open(self) -> Result<u64> {
        match self.0 {
            Mechanism::Rule(rule) => rule.lift(),
            Mechanism::Filter(filter) => filter.lift(),
        }
    }

    /// How many packets a filter has dropped so far. `None` for a rule, whose counter is
    /// read when it is lifted.
    ///
    /// # Errors
    /// The kernel shows no counter.
    pub fn dropped_by_filter(&self) -> Result<Option<u64>> {
        match &self.0 {
            Mechanism::Rule(_) => Ok(None),
            Mechanism::Filter(filter) => filter.dropped().map(Some),
        }
    }

    /// Gives up the hold that a filter has on its listener, which is about to close.
    pub(crate) fn let_listener_go(&mut self) -> Result<()> {
        match &mut self.0 {
            Mechanism::Rule(_) => Ok(()),
            Mechanism::Filter(filter) => filter.let_listener_go(),
        }
    }

    /// Whether the gate has ended with its listener.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(&self.0, Mechanism::Filter(filter) if filter.is_gone())
    }
}
