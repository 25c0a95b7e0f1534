//! The address families in which a case runs.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};
use socket2::{Domain, Protocol, Socket, Type};

/// The port of every listener, as in the talk.
pub const PORT: u16 = 80;

/// How listeners and clients address each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// AF_INET sockets, 127.0.0.1.
    V4,
    /// AF_INET6 sockets, ::1.
    V6,
    /// AF_INET6 sockets, ::ffff:127.0.0.1; IPv4 on the wire.
    V4Mapped,
}

impl Family {
    /// All three.
    pub const ALL: &'static [Self] = &[Self::V4, Self::V6, Self::V4Mapped];

    /// The address of both ends.
    pub fn loopback(self) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::LOCALHOST.into(),
            Self::V6 => Ipv6Addr::LOCALHOST.into(),
            Self::V4Mapped => Ipv4Addr::LOCALHOST.to_ipv6_mapped().into(),
        }
    }

    /// Where the listeners listen.
    pub fn server(self) -> SocketAddr {
        SocketAddr::new(self.loopback(), PORT)
    }

    pub(crate) fn domain(self) -> Domain {
        match self {
            Self::V4 => Domain::IPV4,
            Self::V6 | Self::V4Mapped => Domain::IPV6,
        }
    }

    /// Whether the kernel must have IPv6.
    pub fn needs_ipv6(self) -> bool {
        self != Self::V4
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::V4 => "v4",
            Self::V6 => "v6",
            Self::V4Mapped => "v4-mapped",
        })
    }
}

/// A socket for TCP.
pub(crate) fn tcp_socket(family: Family) -> io::Result<Socket> {
    Socket::new(family.domain(), Type::STREAM, Some(Protocol::TCP))
}
