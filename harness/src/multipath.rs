//! Multipath TCP (RFC 8684): sockets of that protocol, and the option by which a handshake
//! asks for it.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;

use serde::{Deserialize, Serialize};
use socket2::{Protocol, Socket, Type};

use crate::error::{Context, Result};
use crate::family::Family;
use crate::refusal::Refusal;
use crate::segment::MULTIPATH;
use crate::socket::{Child, Listener, Stream};
use crate::wire_client::Draft;
use crate::{option, sysctl};

/// Whether Multipath TCP is there for those who ask for it. Range 0 to 1, default 1, per network
/// namespace; Linux 5.6.
pub const ENABLED: &str = "net.mptcp.enabled";

/// The first byte of MP_CAPABLE: its subtype is 0, the version of the protocol 1.
const VERSION: u8 = 1;
/// The second byte: no checksums, and keys are hashed by SHA-256.
const SHA256: u8 = 1;

fn socket(family: Family) -> io::Result<Socket> {
    Socket::new(family.domain(), Type::STREAM, Some(Protocol::from(libc::IPPROTO_MPTCP)))
}

/// Why there is no Multipath TCP: what `socket` says, and what of the setting [`ENABLED`]
/// there is, by which the claim can be checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum NoMultipath {
    /// `socket(IPPROTO_MPTCP)` was refused.
    Refused {
        /// The kernel's answer.
        socket: Refusal,
        /// The value of the setting; nothing where it does not exist.
        enabled: Option<String>,
    },
    /// In words, as an older sockmig wrote them.
    Words(String),
}

impl fmt::Display for NoMultipath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { socket, enabled } => {
                let enabled = enabled.as_deref().unwrap_or("not there");
                write!(f, "socket(IPPROTO_MPTCP) is {socket}, {ENABLED} is {enabled}")
            }
            Self::Words(words) => f.write_str(words),
        }
    }
}

/// Whether this kernel has Multipath TCP.
pub(crate) fn probe() -> Result<(), NoMultipath> {
    socket(Family::V4)
        .map(drop)
        .map_err(|e| NoMultipath::Refused { socket: e.into(), enabled: sysctl::read(ENABLED).ok() })
}

impl Listener {
    /// As [`Listener::bare`], of Multipath TCP.
    ///
    /// # Errors
    /// The kernel has none, or no more sockets.
    pub fn multipath(name: &str, family: Family) -> Result<Self> {
        let socket =
            socket(family).call(|| format!("socket({family}, IPPROTO_MPTCP) for {name}"))?;
        Ok(Self::adopted(name, OwnedFd::from(socket), family))
    }
}

impl Child {
    /// Which protocol the connection is of (`SO_PROTOCOL`): `TCP`, `MPTCP`, or a number.
    ///
    /// # Errors
    /// `getsockopt` fails.
    pub fn protocol(&self) -> Result<String> {
        let called = || format!("getsockopt({}, SO_PROTOCOL)", self.label());
        Ok(match self.socket().protocol().call(called)?.map(i32::from) {
            Some(libc::IPPROTO_TCP) => "TCP".into(),
            Some(libc::IPPROTO_MPTCP) => "MPTCP".into(),
            other => format!("{other:?}"),
        })
    }

    /// Resets the connection (`connect` to AF_UNSPEC), whichever protocol it is of.
    /// `SO_LINGER` does not have a close of Multipath TCP reset before Linux 7.1.
    ///
    /// # Errors
    /// `connect` fails.
    pub fn abort(&self) -> Result<()> {
        option::disconnect(self.socket()).call(|| format!("connect({}, AF_UNSPEC)", self.label()))
    }
}

impl Draft {
    /// With MP_CAPABLE: a SYN's has no keys, what ends the handshake has the client's and the
    /// server's, and the length of its data if it has any.
    #[must_use]
    pub fn mp_capable(self, keys: &[u64], data: Option<u16>) -> Self {
        let mut value = vec![VERSION, SHA256];
        value.extend(keys.iter().flat_map(|key| key.to_be_bytes()));
        value.extend(data.iter().flat_map(|len| len.to_be_bytes()));
        self.option(MULTIPATH, &value)
    }
}
