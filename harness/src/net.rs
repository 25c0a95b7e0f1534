//! What the kernel's network is configured and observed through: addresses, options, settings,
//! segments, and the files in which it shows sockets and counters.

pub mod draft;
pub mod family;
pub(crate) mod io_uring;
pub(crate) mod kept_file;
pub(crate) mod md5;
pub mod multipath;
pub(crate) mod network;
pub(crate) mod path_manager;
pub mod scm_rights;
pub mod segment;
pub mod segment_counts;
pub(crate) mod sockopt;
pub mod sysctl;
pub mod witness;
