//! What the kernel still has of programs and maps that were made here.
//!
//! Other programs of the machine come and go; those of a lab have a name that nothing else
//! has, with the number of the lab's network namespace in it.

use std::fmt;
use std::os::unix::fs::MetadataExt;

use super::syscall::{NAME_BYTES, Name, ObjectKind, name_of, next_id, reuseport_program};
use crate::error::{Context, Result};
use crate::refusal::Refusal;

const NAMESPACE: &str = "/proc/self/ns/net";

/// The name of every program and map that this lab makes.
///
/// # Errors
/// The number of the network namespace cannot be read.
pub fn name() -> Result<String> {
    let inode = std::fs::metadata(NAMESPACE).call(|| format!("stat({NAMESPACE})"))?.ino();
    Ok(format!("sockmig{:08x}", inode as u32))
}

pub(super) fn kernel_name() -> Result<Name> {
    let mut bytes = Name::default();
    let name = name()?;
    let len = name.len().min(NAME_BYTES - 1);
    bytes[..len].copy_from_slice(&name.as_bytes()[..len]);
    Ok(bytes)
}

/// How many programs and maps the kernel has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Left {
    /// Programs.
    pub programs: usize,
    /// Maps.
    pub maps: usize,
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.programs, self.maps) {
            (0, 0) => f.write_str("none"),
            (programs, maps) => write!(f, "{programs} programs, {maps} maps"),
        }
    }
}

/// How many of this lab's there are.
///
/// # Errors
/// EPERM without CAP_SYS_ADMIN in the first user namespace.
pub fn left() -> Result<Left> {
    left_of(&name()?)
}

/// How many there are of the lab that called its own `name`.
///
/// # Errors
/// As [`left`].
pub fn left_of(name: &str) -> Result<Left> {
    Ok(Left { programs: count(ObjectKind::Program, name)?, maps: count(ObjectKind::Map, name)? })
}

fn count(kind: ObjectKind, name: &str) -> Result<usize> {
    let (mut found, mut id) = (0, 0);
    while let Some(next) = next_id(kind, id).call(|| format!("bpf({kind:?}: next id, {id})"))? {
        let its = name_of(kind, next).call(|| format!("bpf({kind:?}: name of {next})"))?;
        let its = its.unwrap_or_default();
        found += usize::from(its.split(|byte| *byte == 0).next() == Some(name.as_bytes()));
        id = next;
    }
    Ok(found)
}

/// The programs of type `SK_REUSEPORT` that the whole machine has loaded: ids and names.
///
/// # Errors
/// As [`left`].
pub(crate) fn reuseport_programs() -> Result<Vec<(u32, String)>, Refusal> {
    let (mut found, mut id) = (Vec::new(), 0);
    while let Some(next) = next_id(ObjectKind::Program, id)? {
        if let Some((true, name)) = reuseport_program(next)? {
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            found.push((next, String::from_utf8_lossy(name).into_owned()));
        }
        id = next;
    }
    Ok(found)
}
