//! The behaviours of socket migration, and what a correct kernel does in each.
//!
//! A [`case::Case`] does something in a lab and observes; [`judge::judge`] compares the
//! observation with the case's [`judge::expectation::Expectation`] and with what
//! `data/known-bugs.toml` knows about the running kernel. [`catalogue`] lists the cases,
//! one file per mechanism; [`engine`] runs them.

mod accept_queue;
mod accounting;
mod again;
mod ao;
mod attributes;
mod back_off;
mod bind;
pub mod case;
pub mod catalogue;
mod child_state;
mod copy;
mod destroy;
mod ebpf;
pub mod engine;
mod fast_open;
mod fast_open_child;
mod freed;
mod group;
mod growth;
mod handoff;
mod handshake;
mod heir;
pub mod judge;
pub mod lesson;
mod listener;
mod md5;
mod membership;
mod mptcp;
mod mptcp_token;
mod order;
mod owner;
mod passing;
mod quiz;
pub mod report;
mod request;
#[cfg(test)]
mod rows;
mod signed;
mod statistics;
mod substitute;
mod syncookies;
mod sysctl;
mod timer;
mod wake_up;

pub use judge::{expectation, known, requirement};
