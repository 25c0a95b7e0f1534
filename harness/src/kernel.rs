//! The kernel that runs: which one it is, what it offers, and what it says of itself.

pub mod configuration;
pub mod disk;
pub mod log;
pub mod memory;
mod probe;
pub mod taint;
mod version;

pub use crate::process::users::{SECOND_UID, is_root};
pub(crate) use probe::upstream_version;
pub use probe::{Kernel, Migration, processors};
pub use version::Version;
