//! Handshakes in flight whose listener has closed, and whose client sends something.

mod kept;
mod resets;
mod segments;
mod targets;
mod timestamps;

use crate::prefix::{Prefix, case_files};

pub(super) const PREFIX: Prefix = Prefix {
    id: "handshake",
    about: "what each kind of segment does to a handshake in flight whose listener has closed",
    files: case_files![segments, resets, timestamps, targets, kept],
};
