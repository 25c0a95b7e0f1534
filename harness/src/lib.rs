//! The laboratory: the only place that touches the kernel's raw interfaces.
//!
//! A *lab* is a fresh network namespace in a process of its own, with `lo` up and its
//! wire captured from before the first SYN. [`process`] starts one and reads what it
//! returns, [`inside`] makes this process one, and [`lab::Lab`] is what a case works
//! with: listeners, clients, a [`gate`], [`sysctl`]s, and [`witness`]es.
//!
//! A [`guest`] is a virtual machine whose first process is this program; it reads its
//! kernel's log with [`kernel_log`].
//!
//! Nothing here judges. A case observes; `scenarios` compares.

pub mod ao;
pub mod attribute;
pub mod bpf;
mod capture;
pub mod child_server;
pub mod configuration;
pub mod delay_line;
pub mod diag;
mod error;
mod family;
pub mod flood;
pub mod frame;
pub mod gate;
pub mod guest;
#[cfg(feature = "hardship")]
pub mod hardship;
pub mod inside;
pub mod interrupt;
pub mod kernel;
pub mod kernel_log;
pub mod lab;
pub mod listener_monitor;
pub mod load;
mod md5;
pub mod memory;
pub mod multipath;
mod network;
pub mod observation;
mod option;
mod packets;
pub mod passing;
pub mod place;
pub mod process;
pub mod refusal;
pub mod segment;
pub mod socket;
pub mod space;
pub mod subprocess;
pub mod sysctl;
pub mod taint;
pub mod trace;
pub mod users;
pub mod wait;
pub mod waiter;
pub mod watch;
pub mod wire_client;
pub mod witness;

pub use capture::Capture;
pub use error::{Context, Error, Result, errno_name};
pub use family::{Family, PORT};
pub use nix::errno::Errno;
pub use process::worker;
