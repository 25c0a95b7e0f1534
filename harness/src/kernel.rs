//! The kernel that runs: which one it is, what it offers, and what it says of itself.

pub mod base;
pub mod configuration;
pub mod coverage;
pub mod disk;
pub mod identity;
pub mod log;
pub mod memory;
mod probe;
pub(crate) mod refused_memory;
mod release;
pub mod taint;
pub mod tick;
mod version;

pub use crate::process::users::{SECOND_UID, is_root};
pub use base::Base;
pub use probe::{Kernel, Migration, processors};
pub use version::Version;
