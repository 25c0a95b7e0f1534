//! The behaviours of socket migration, and what a correct kernel does in each.
//!
//! A [`case::Case`] does something in a lab and observes; [`judge::judge`] compares the
//! observation with the case's [`expectation::Expectation`] and with what
//! `expectations.toml` knows about the running kernel. [`catalogue`] lists the cases, whose
//! files are where their ids say; [`engine`] runs them.

pub mod case;
mod cases;
pub mod catalogue;
pub mod engine;
pub mod expectation;
pub mod judge;
pub mod known;
pub mod lesson;
pub mod prefix;
pub mod report;
pub mod requirement;
#[cfg(test)]
mod rows;
mod steps;
