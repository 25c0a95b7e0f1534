//! eBPF programs of type `sk_reuseport` that the machine has loaded.
//!
//! The kernel does not show which group a program is attached to, and shows classic programs
//! nowhere. So what can be known is whether there may be one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bpf;
use crate::refusal::Refusal;

/// A program that may choose listeners of some group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReuseportProgram {
    /// Its id, as bpftool shows it.
    pub id: u32,
    /// Its name: at most 15 bytes, perhaps empty.
    pub name: String,
}

/// Every program of type `sk_reuseport`, attached or not, of the whole machine.
///
/// # Errors
/// EPERM without CAP_SYS_ADMIN in the first user namespace; EINVAL or ENOSYS where the kernel
/// has no eBPF.
pub fn loaded() -> Result<Vec<ReuseportProgram>, Refusal> {
    let found = bpf::reuseport_programs()?;
    Ok(found.into_iter().map(|(id, name)| ReuseportProgram { id, name }).collect())
}
