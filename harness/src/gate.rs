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
//! | opens | on request | on request, and when the listener closes: the request's next listener has no filter |

mod choice;
mod closed;
mod filter;
mod hold;
mod nftables;
mod probe;
mod segments;

pub use crate::trace::GateKind;
pub use choice::{CHOICE, chosen};
pub use closed::Gate;
pub use hold::{HELD_MARK, Hold};
pub use probe::{NoGate, probe, probe_nftables};
pub use segments::Whose;
