//! What must be observed, what was, and what follows from comparing the two.

pub mod builtin;
pub mod compare;
pub mod complaints;
pub mod expectation;
pub mod known;
pub mod known_file;
pub mod releases;
pub mod skip;
mod skip_written;
pub mod verdict;
pub mod wire;

pub use compare::judge;
pub use complaints::Complaints;
pub use known::KnownList;
pub use releases::VersionSays;
pub use skip::SkipReason;
pub use verdict::{Mismatch, NamedBug, Verdict};
