//! Load: clients that come at a fixed rate, whatever happens to those before them, and the
//! outcome of each.
//!
//! The load is *open*: its schedule does not wait for the server. One thread drives it. Each
//! attempt has an address and port of its own that are used once, so that no port is ever
//! short, and ends in exactly one [`Outcome`].

mod attempt;
mod clients;
mod connection;
mod control;
pub mod delay_line;
mod driver;
mod exchange;
pub mod flood;
pub mod listener_monitor;

pub use attempt::{Attempt, Outcome, Record};
pub use clients::{Held, Load};
pub use control::LoadControl;
pub use exchange::Exchange;
