//! Which way of reloading a server loses how many connections.
//!
//! An [`errand`] is what one lab does: it runs a server by one [`strategy`], under load, and
//! reloads it several times with migration off and on in turns, behind something that makes
//! handshakes last (a [`window`]). [`account`] gives every attempt to the reload that it
//! belongs to, [`oracle`] says what each close must cost without migration, and a [`row`]
//! is what many errands of one strategy come to.

pub mod account;
pub mod close_cost;
pub mod errand;
pub mod estimate;
mod foreign;
mod loading;
pub mod oracle;
mod own;
pub mod row;
mod steering;
pub mod stopped;
pub mod strategy;
pub mod window;
