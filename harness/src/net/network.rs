//! Interfaces of the network namespace that the calling thread is in, set up by rtnetlink.

use std::fs;
use std::io;
use std::mem::ManuallyDrop;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use rtnetlink::packet_route::route::{RouteScope, RouteType};
use rtnetlink::{AddressMessageBuilder, Handle, LinkUnspec, RouteMessageBuilder};

use crate::error::{Context, Error, Result};

/// Interfaces, addresses and routes, by rtnetlink.
pub(crate) struct Network {
    /// Left to the end of the process: a netlink socket that was closed is counted until
    /// an RCU grace period is over, and would pass for one that leaked.
    runtime: ManuallyDrop<tokio::runtime::Runtime>,
    handle: ManuallyDrop<Handle>,
}

impl Network {
    /// Connects to the kernel, in this thread's network namespace.
    pub(crate) fn open() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .call(|| "start the runtime for rtnetlink".into())?;
        let handle = runtime.block_on(async {
            let (connection, handle, _) =
                rtnetlink::new_connection().call(|| "socket(AF_NETLINK, NETLINK_ROUTE)".into())?;
            tokio::spawn(connection);
            Ok::<_, Error>(handle)
        })?;
        Ok(Self { runtime: ManuallyDrop::new(runtime), handle: ManuallyDrop::new(handle) })
    }

    /// Sets an interface up.
    pub(crate) fn up(&self, name: &str) -> Result<()> {
        let up = LinkUnspec::new_with_index(index(name)?).up().build();
        self.ask(&format!("set {name} up"), self.handle.link().set(up).execute())
    }

    /// Sets how many packets may wait in an interface's queue.
    pub(crate) fn queue(&self, name: &str, packets: u32) -> Result<()> {
        let longer = LinkUnspec::new_with_index(index(name)?).txqueuelen(packets).build();
        let what = format!("set {name} txqueuelen {packets}");
        self.ask(&what, self.handle.link().set(longer).execute())
    }

    /// Gives an interface an address; others with the same prefix are reached through it.
    pub(crate) fn address(&self, name: &str, address: Ipv4Addr, prefix: u8) -> Result<()> {
        let message = AddressMessageBuilder::<Ipv4Addr>::new()
            .index(index(name)?)
            .address(address, prefix)
            .build();
        let mut request = self.handle.address().add(0, address.into(), prefix);
        *request.message_mut() = message;
        self.ask(&format!("add {address}/{prefix} to {name}"), request.execute())
    }

    /// Has packets to `prefix` bits of `addresses` leave through an interface. What leaves
    /// through `lo` to an address that no interface has is dropped when it comes in again.
    pub(crate) fn route(&self, name: &str, addresses: Ipv4Addr, prefix: u8) -> Result<()> {
        let message = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(addresses, prefix)
            .output_interface(index(name)?)
            .scope(RouteScope::Link)
            .build();
        let what = format!("add a route to {addresses}/{prefix} through {name}");
        self.ask(&what, self.handle.route().add(message).execute())
    }

    /// Makes `prefix` bits of `addresses` this namespace's own, though no interface has them.
    pub(crate) fn local_v6(&self, name: &str, addresses: Ipv6Addr, prefix: u8) -> Result<()> {
        let message = RouteMessageBuilder::<Ipv6Addr>::new()
            .destination_prefix(addresses, prefix)
            .output_interface(index(name)?)
            .table_id(libc::RT_TABLE_LOCAL.into())
            .kind(RouteType::Local)
            .build();
        let what = format!("add the local route {addresses}/{prefix} through {name}");
        self.ask(&what, self.handle.route().add(message).execute())
    }

    fn ask(
        &self,
        what: &str,
        request: impl Future<Output = Result<(), rtnetlink::Error>>,
    ) -> Result<()> {
        self.runtime.block_on(request).map_err(|e| Error::Call {
            call: format!("rtnetlink: {what}"),
            source: io::Error::other(e.to_string()),
        })
    }
}

/// Sets `lo` up, which a network namespace begins with. By ioctl: netlink costs ten times as much,
/// and every lab does it.
pub(crate) fn set_loopback_up() -> Result<()> {
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)
        .call(|| "socket(AF_INET, SOCK_DGRAM)".into())?;
    let mut ifr_name = [0; libc::IFNAMSIZ];
    ifr_name[..2].copy_from_slice(&[b'l', b'o'].map(|letter| letter as libc::c_char));
    let flags = libc::__c_anonymous_ifr_ifru { ifru_flags: libc::IFF_UP as libc::c_short };
    let up = libc::ifreq { ifr_name, ifr_ifru: flags };
    // SAFETY: the request is of the kind that this ioctl takes, and its name ends with NUL.
    let set = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const up) };
    Errno::result(set).map(drop).call(|| "ioctl(SIOCSIFFLAGS, lo, IFF_UP)".into())
}

fn index(name: &str) -> Result<u32> {
    nix::net::if_::if_nametoindex(name).call(|| format!("if_nametoindex({name})"))
}

/// How many packets an interface had no room for, in either direction, by
/// `/proc/net/dev` of this thread's network namespace.
pub(crate) fn dropped(name: &str) -> Result<u64> {
    let file = "/proc/thread-self/net/dev";
    let text = fs::read_to_string(file).call(|| format!("read({file})"))?;
    parse_dropped(&text, name).ok_or_else(|| Error::unreadable(format!("{name} in {file}"), text))
}

/// After the name: eight columns of what was received, the fourth of them `drop`, and eight
/// of what was sent.
fn parse_dropped(text: &str, name: &str) -> Option<u64> {
    let of = |line: &str| -> Option<u64> {
        let (interface, numbers) = line.split_once(':')?;
        (interface.trim() == name).then_some(())?;
        let numbers: Vec<u64> =
            numbers.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
        Some(numbers.get(3)? + numbers.get(11)?)
    };
    text.lines().find_map(of)
}

#[cfg(test)]
mod tests {
    use super::parse_dropped;

    #[test]
    fn drops_of_both_directions_are_counted() {
        let text = "Inter-|   Receive  |  Transmit\n face |bytes ...\n    lo: 1 2 3 4 5 6 7 8 9 10 \
                    11 12 13 14 15 16\n  near:9 9 9 20 9 9 9 9 9 9 9 300 9 9 9 9\n";
        assert_eq!(parse_dropped(text, "near"), Some(320));
        assert_eq!(parse_dropped(text, "lo"), Some(16));
        assert_eq!(parse_dropped(text, "far"), None);
    }
}
