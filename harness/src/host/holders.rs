//! Which processes have a socket open, by `/proc/PID/fd`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File};
use std::os::fd::RawFd;

use nix::fcntl::readlinkat;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Context, Result};
use crate::host::service::Service;

/// A process that has a listener open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HolderProcess {
    /// Its id.
    pub pid: u32,
    /// What it calls itself (`/proc/PID/comm`): any bytes that it likes.
    pub name: String,
    /// Its effective user.
    pub uid: Option<u32>,
    /// Its unit or container.
    pub service: Option<Service>,
}

/// A descriptor of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldDescriptor {
    /// Whose it is.
    pub pid: u32,
    /// Its number there.
    pub number: RawFd,
}

/// Who has which sockets open.
#[derive(Debug, Default)]
pub struct Holders {
    /// The processes that have one of the sockets open.
    pub processes: BTreeMap<u32, HolderProcess>,
    /// The descriptors of each socket, by its inode.
    pub descriptors: HashMap<u64, Vec<HeldDescriptor>>,
    /// How many processes there are whose descriptors this user may not see.
    pub hidden: usize,
}

impl Holders {
    /// Looks for these inodes among the descriptors of all processes.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub fn of(inodes: &HashSet<u64>) -> Result<Self> {
        let mut found = Self::default();
        if inodes.is_empty() {
            return Ok(found);
        }
        for pid in pids()? {
            let Ok(numbers) = descriptors(pid) else {
                found.hidden += usize::from(fs::exists(format!("/proc/{pid}")).unwrap_or(false));
                continue;
            };
            let of_process = numbers.into_iter().filter(|(_, inode)| inodes.contains(inode));
            let mut has_one = false;
            for (number, inode) in of_process {
                found.descriptors.entry(inode).or_default().push(HeldDescriptor { pid, number });
                has_one = true;
            }
            if has_one {
                found.processes.insert(pid, HolderProcess::read(pid));
            }
        }
        Ok(found)
    }
}

impl HolderProcess {
    fn read(pid: u32) -> Self {
        let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let name = String::from_utf8_lossy(&read("comm")).trim_end_matches('\n').to_owned();
        let status = String::from_utf8_lossy(&read("status")).into_owned();
        // The real, the effective, the saved and the file system's.
        let users = status.lines().find_map(|line| line.strip_prefix("Uid:"));
        let uid = users.and_then(|users| users.split_whitespace().nth(1)?.parse().ok());
        Self { pid, name, uid, service: Service::of(pid) }
    }
}

/// The processes that there are.
///
/// # Errors
/// `/proc` cannot be read.
pub(crate) fn pids() -> Result<Vec<u32>> {
    let entries = fs::read_dir("/proc").call(|| "readdir(/proc)".into())?;
    let names = entries.flatten().map(|entry| entry.file_name());
    let mut pids: Vec<u32> = names.filter_map(|name| name.to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    Ok(pids)
}

/// The sockets that a process has open: the descriptors' numbers, and inodes.
fn descriptors(pid: u32) -> std::io::Result<Vec<(RawFd, u64)>> {
    let path = format!("/proc/{pid}/fd");
    let directory = File::open(&path)?;
    let mut sockets = Vec::new();
    for entry in fs::read_dir(&path)? {
        let name = entry?.file_name();
        // What is closed meanwhile is no socket.
        let Ok(target) = readlinkat(&directory, name.as_os_str()) else { continue };
        let inode = target.to_str().and_then(|target| {
            target.strip_prefix("socket:[")?.strip_suffix(']')?.parse::<u64>().ok()
        });
        let number = name.to_str().and_then(|name| name.parse().ok());
        sockets.extend(number.zip(inode));
    }
    Ok(sockets)
}
