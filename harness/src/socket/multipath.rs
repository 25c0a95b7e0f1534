//! Multipath TCP (RFC 8684): sockets of that protocol.

use std::fmt;
use std::io;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use socket2::{Protocol, Socket, Type};

use crate::capture::Recorder;
use crate::error::{Context, Result};
use crate::net::family::Family;
use crate::net::sysctl;
use crate::refusal::Refusal;
use crate::socket::{Child, Listener, Stream};
use crate::trace::{Act, Actor};

/// Whether Multipath TCP is there for those who ask for it. Range 0 to 1, default 1, per network
/// namespace; Linux 5.6.
pub const ENABLED: &str = "net.mptcp.enabled";

fn socket(family: Family) -> io::Result<Socket> {
    Socket::new(family.domain(), Type::STREAM, Some(Protocol::from(libc::IPPROTO_MPTCP)))
}

/// Why there is no Multipath TCP: what `socket` says, and what of the setting [`ENABLED`]
/// there is, by which the claim can be checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

impl From<String> for NoMultipath {
    fn from(words: String) -> Self {
        Self::Words(words)
    }
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

/// Whether this kernel has Multipath TCP in a family.
pub(crate) fn probe(family: Family) -> Result<(), NoMultipath> {
    socket(family)
        .map(drop)
        .map_err(|e| NoMultipath::Refused { socket: e.into(), enabled: sysctl::read(ENABLED).ok() })
}

impl Listener {
    /// As [`crate::lab::Lab::socket`], of Multipath TCP.
    ///
    /// # Errors
    /// The kernel has none, or no more sockets.
    pub(crate) fn multipath(name: &str, family: Family, recorder: Recorder) -> Result<Self> {
        let socket =
            socket(family).call(|| format!("socket({family}, IPPROTO_MPTCP) for {name}"))?;
        recorder.record(|| Act::OpenMultipath { socket: Actor::Listener(name.to_owned()) });
        Ok(Self::of(name, socket, family, recorder))
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
}
