//! Where a listener listens, by what the kernel distinguishes groups: family, address, device,
//! and whether it is for IPv6 alone.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::net::family::Family;
use crate::net::sockopt;
use crate::socket::Listener;

/// What a listener is bound to. The port is always the lab's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BindSpec {
    /// Whose kind of socket; the address may be another than this family's own.
    pub family: Family,
    /// The local address.
    pub address: IpAddr,
    /// `IPV6_V6ONLY`.
    pub v6_only: bool,
    /// `SO_BINDTODEVICE`, to `lo`.
    pub on_lo: bool,
}

impl BindSpec {
    /// Where the family's listeners usually are: at its loopback address.
    pub fn usual(family: Family) -> Self {
        Self { family, address: family.loopback(), v6_only: false, on_lo: false }
    }

    /// At every address, for an AF_INET6 socket those of IPv4 included.
    pub fn any(family: Family) -> Self {
        let address = match family {
            Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Family::V6 | Family::V4Mapped => Ipv6Addr::UNSPECIFIED.into(),
        };
        Self { address, ..Self::usual(family) }
    }

    /// At an address next to the usual one.
    pub fn neighbour(family: Family) -> Self {
        let second = Ipv4Addr::new(127, 0, 0, 2);
        let address = match family {
            Family::V4 => second.into(),
            Family::V6 => Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 2).into(),
            Family::V4Mapped => second.to_ipv6_mapped().into(),
        };
        Self { address, ..Self::usual(family) }
    }

    /// The same, for IPv6 alone.
    #[must_use]
    pub fn v6_only(self) -> Self {
        Self { v6_only: true, ..self }
    }

    /// The same, on `lo` alone.
    #[must_use]
    pub fn on_lo(self) -> Self {
        Self { on_lo: true, ..self }
    }

    /// Binds a fresh socket of the family there, with `SO_REUSEPORT`.
    pub(crate) fn bind(&self, listener: &Listener) -> io::Result<()> {
        const IPV6: i32 = libc::IPPROTO_IPV6;
        listener.reuse_port()?;
        if self.family != Family::V4 {
            let only = i32::from(self.v6_only);
            listener.set("IPV6_V6ONLY", only, |socket| {
                sockopt::set_number(socket, IPV6, libc::IPV6_V6ONLY, only)
            })?;
            // No interface has the address next to ::1.
            listener.set("IPV6_FREEBIND", 1, |socket| {
                sockopt::set_number(socket, IPV6, libc::IPV6_FREEBIND, 1)
            })?;
        }
        if self.on_lo {
            listener.set("SO_BINDTODEVICE", "lo", |socket| {
                sockopt::set_name(socket, libc::SOL_SOCKET, libc::SO_BINDTODEVICE, b"lo")
            })?;
        }
        listener.bind_to(self.address)
    }
}
