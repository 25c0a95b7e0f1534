//! Why a process got no namespaces of its own.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::refusal::Refusal;

/// Why a process got no namespaces of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoNamespaces {
    /// What was to be done.
    pub step: NamespaceStep,
    /// The kernel's answer.
    pub why: Refusal,
}

/// A step on the way into namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NamespaceStep {
    /// Making them.
    Make,
    /// Making this user root in the new user namespace, by `uid_map` and `gid_map`.
    MapUser,
}

impl fmt::Display for NoNamespaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.why.fmt(f)
    }
}
