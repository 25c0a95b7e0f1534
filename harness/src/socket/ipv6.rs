//! Whether there is IPv6.

use std::fmt;
use std::fs;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::net::family::{Family, tcp_socket};
use crate::net::sysctl;
use crate::refusal::Refusal;

/// Whether `lo` has no IPv6. Range 0 to 1, default that of the first network namespace or 0.
pub const DISABLED: &str = "net.ipv6.conf.lo.disable_ipv6";

/// Why there is no IPv6.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum NoIpv6 {
    /// `socket(AF_INET6)` was refused.
    Socket {
        /// The kernel's answer.
        socket: Refusal,
        /// It was told to be without, when it was booted.
        disabled_at_boot: bool,
    },
    /// `lo` does not have `::1`.
    Address {
        /// The value of [`DISABLED`]; nothing where it does not exist.
        disabled: Option<String>,
    },
    /// In words, as an older sockmig wrote them.
    Words(String),
}

impl fmt::Display for NoIpv6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket { socket, .. } => write!(f, "socket(AF_INET6) is {socket}"),
            Self::Address { disabled } => {
                let disabled = disabled.as_deref().unwrap_or("not there");
                write!(f, "lo does not have ::1, {DISABLED} is {disabled}")
            }
            Self::Words(words) => f.write_str(words),
        }
    }
}

impl From<String> for NoIpv6 {
    fn from(words: String) -> Self {
        Self::Words(words)
    }
}

/// Whether the lab of this process has IPv6.
pub(crate) fn probe() -> Result<(), NoIpv6> {
    if let Err(refused) = tcp_socket(Family::V6) {
        return Err(NoIpv6::Socket {
            socket: refused.into(),
            disabled_at_boot: disabled_at_boot(),
        });
    }
    let addresses = fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    match addresses.lines().any(|line| line.ends_with(" lo")) {
        true => Ok(()),
        false => Err(NoIpv6::Address { disabled: sysctl::read(DISABLED).ok() }),
    }
}

/// `ipv6.disable=1`, on the kernel's command line or where a module was given it.
fn disabled_at_boot() -> bool {
    let parameter = fs::read_to_string("/sys/module/ipv6/parameters/disable");
    let line = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    parameter.is_ok_and(|value| value.trim() == "1")
        || line.split_whitespace().any(|word| word == "ipv6.disable=1")
}
