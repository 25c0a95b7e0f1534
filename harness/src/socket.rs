//! The sockets of a case, by the names that the talk gives them.
//!
//! A socket of a lab records in the lab's trace what is done to it, by itself.

pub mod ao;
pub mod attribute;
pub mod bind_spec;
mod child;
mod client;
mod datagram;
pub mod diag;
pub mod ipv6;
mod listener;
pub mod multipath;
mod stream;
mod unix_pair;
pub mod wire_client;

pub use child::Child;
pub use client::Client;
pub use datagram::Datagram;
pub use listener::{BACKLOG, Listener, NO_WAKE_UP_MS};
pub use stream::{Received, Recorded, Stream};
pub use unix_pair::{Message, UnixPair};

pub(crate) use stream::set_recorded;
