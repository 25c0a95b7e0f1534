//! The machine as it is, and not a lab: its listeners, whose they are, and how they are set.
//!
//! Everything here only reads. Nothing is sent to a network, no setting is changed, and a
//! socket of another process is held for the few calls that read its options.

pub mod clock;
pub mod holders;
pub mod kernel;
pub mod listeners;
pub mod modules;
pub mod namespace;
pub mod options;
pub mod programs;
pub mod service;
pub mod users;
