//! The placeholders that every server's file may use, and where.

use std::collections::BTreeSet;

use super::ServerFile;

/// Known from the start on.
pub(super) const ALWAYS: [&str; 10] = [
    "port",
    "directory",
    "log",
    "workers",
    "processors",
    "half-processors",
    "uid",
    "program",
    "python",
    "here",
];

/// Known when something has been started.
pub(super) const RUNNING: [&str; 2] = ["main", "generation"];

/// Of a process of the server.
pub(super) const PROCESS: [&str; 1] = ["pid"];

/// A placeholder of every file that a file may give a value of its own.
pub(super) const CAN_BE_SET: &str = "workers";

/// The placeholders of the file's own.
pub(super) fn own(file: &ServerFile) -> BTreeSet<&str> {
    file.values.keys().chain(file.paths.keys()).map(String::as_str).collect()
}
