//! The behaviours of socket migration, and what a correct kernel does in each.
//!
//! A [`case::Case`] does something in a lab and observes; [`judge::judge`] compares the
//! observation with the case's [`judge::expectation::Expectation`] and with what
//! `data/known-bugs.toml` knows about the running kernel. [`catalogue`] lists the cases, whose
//! files are where their ids say; [`engine`] runs them.

// What panics where there is no room for it, or nobody to read it.
#![cfg_attr(
    not(test),
    warn(clippy::disallowed_methods, clippy::print_stderr, clippy::print_stdout)
)]

pub mod advice;
pub mod case;
mod cases;
pub mod catalogue;
pub mod document;
pub mod engine;
pub mod judge;
pub mod lesson;
#[cfg(test)]
mod page;
pub mod prefix;
pub mod report;
mod steps;

pub use engine::requirement;
pub use judge::{expectation, known};
