//! Multipath TCP (RFC 8684): sockets of that protocol.

use std::io;

use socket2::{Protocol, Socket, Type};

use crate::capture::Recorder;
use crate::error::{Context, Result, errno_name};
use crate::net::family::Family;
use crate::net::sysctl;
use crate::socket::{Child, Listener, Stream};

/// Whether Multipath TCP is there for those who ask for it. Range 0 to 1, default 1, per network
/// namespace; Linux 5.6.
pub const ENABLED: &str = "net.mptcp.enabled";

fn socket(family: Family) -> io::Result<Socket> {
    Socket::new(family.domain(), Type::STREAM, Some(Protocol::from(libc::IPPROTO_MPTCP)))
}

/// Whether this kernel has Multipath TCP; else what `socket` says, and what of the setting
/// [`ENABLED`] there is, by which the claim can be checked.
pub(crate) fn probe() -> Result<(), String> {
    socket(Family::V4).map(drop).map_err(|e| {
        let enabled = sysctl::read(ENABLED).unwrap_or_else(|_| "not there".into());
        format!("socket(IPPROTO_MPTCP) is {}, {ENABLED} is {enabled}", errno_name(&e))
    })
}

impl Listener {
    /// As [`crate::lab::Lab::socket`], of Multipath TCP.
    ///
    /// # Errors
    /// The kernel has none, or no more sockets.
    pub(crate) fn multipath(name: &str, family: Family, recorder: Recorder) -> Result<Self> {
        let socket =
            socket(family).call(|| format!("socket({family}, IPPROTO_MPTCP) for {name}"))?;
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
