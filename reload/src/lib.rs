//! Which way of reloading a server loses how many connections.
//!
//! A [`job`] is what one lab does: it runs a server by one [`strategy`] of the [`catalogue`],
//! under load, and reloads it several times with migration off and on in turns, while a
//! [`window`] makes handshakes take their time. [`account`] gives every attempt to the reload
//! that it belongs to, [`oracle`] computes what each close must cost without migration, and a
//! [`row`] sums up all jobs of one strategy.

// What panics where there is no room for it, or nobody to read it.
#![cfg_attr(
    not(test),
    warn(clippy::disallowed_methods, clippy::print_stderr, clippy::print_stdout)
)]

pub mod account;
pub mod catalogue;
pub mod cause;
pub mod close_cost;
pub mod counters;
pub mod estimate;
pub mod failure;
pub mod job;
mod lab_work;
mod loading;
pub mod oracle;
mod own;
pub mod row;
pub mod server_file;
mod servers;
pub mod stopped;
pub mod strategy;
pub mod window;

pub use lab_work::lab_work;
