//! The laboratory: the only place that touches the kernel's raw interfaces.
//!
//! A *lab* is a fresh network namespace in a process of its own, with `lo` up and its
//! wire captured from before the first SYN. [`process`] starts one and reads what it
//! returns, and [`lab::Lab`] is what a case works with: listeners, clients, a [`gate`],
//! sysctls and witnesses. Everything that is done to a socket of a lab is an [`trace::Act`]
//! of its trace: the sockets record themselves.
//!
//! A [`guest`] is a virtual machine whose first process is this program; it reads its
//! kernel's log with [`kernel::log`].
//!
//! [`host`] is no laboratory: it looks at the machine as it is, and only reads.
//!
//! Nothing here judges. A case observes; `scenarios` compares.

// What panics where there is no room for it, or nobody to read it.
#![cfg_attr(
    not(test),
    warn(clippy::disallowed_methods, clippy::print_stderr, clippy::print_stdout)
)]

pub mod bpf;
pub mod capture;
mod error;
pub mod essential;
#[cfg(feature = "fault-injection")]
pub mod fault_injection;
pub mod gate;
pub mod guest;
pub mod host;
pub mod json;
pub mod kernel;
pub mod lab;
mod layout;
pub mod load;
pub mod net;
pub mod process;
pub mod refusal;
pub mod socket;
pub mod trace;
pub mod wait;

pub use capture::Capture;
pub use error::{Context, Error, Resource, Result, chain_in_words, errno_name, in_words};
pub use net::family::{Family, PORT};
pub use nix::errno::Errno;
