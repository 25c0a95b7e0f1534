//! Settings of this network namespace, under `/proc/sys`.

use std::fs;
use std::io;
use std::path::PathBuf;

use crate::error::{Context, Result};

/// The setting that all of this is about. Range 0 to 1, default 0, per network namespace;
/// Linux 5.14.
pub const MIGRATE_REQ: &str = "net.ipv4.tcp_migrate_req";

/// 0: never answer a SYN with a cookie; 1: if the queue of requests is full; 2: always.
pub const SYNCOOKIES: &str = "net.ipv4.tcp_syncookies";

/// Ports below this are for CAP_NET_BIND_SERVICE.
pub const FIRST_UNPRIVILEGED_PORT: &str = "net.ipv4.ip_unprivileged_port_start";

/// Where a setting lives: dots become slashes.
pub fn path(name: &str) -> PathBuf {
    PathBuf::from("/proc/sys").join(name.replace('.', "/"))
}

/// Reads a setting, without its line end.
///
/// # Errors
/// This kernel has no such setting, or /proc is not there.
pub fn read(name: &str) -> Result<String> {
    fs::read_to_string(path(name))
        .map(|value| value.trim_end().to_owned())
        .call(|| format!("read sysctl {name}"))
}

/// Sets a setting of this lab's own network namespace.
///
/// # Errors
/// The kernel refuses the value, or has no such setting.
pub fn write(name: &str, value: &str) -> Result<()> {
    try_write(name, value).call(|| format!("write sysctl {name}={value}"))
}

/// As [`write()`], for callers that need the refusal itself.
///
/// # Errors
/// As the kernel refuses.
pub fn try_write(name: &str, value: &str) -> io::Result<()> {
    fs::write(path(name), value)
}
