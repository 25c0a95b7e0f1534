//! The TCP listeners of this network namespace, and its handshakes in flight, by sock_diag.
//!
//! The kernel chooses what it returns: listeners alone, then requests alone. Connections,
//! however many there are, stay in the kernel.

use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr as NetlinkAddress};
use nix::errno::Errno;
use nix::net::if_::if_indextoname;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Result};

/// Room for what the kernel sends at a time, which is at most 32 KiB.
const REPLY_BYTES: usize = 64 * 1024;

/// `NLMSG_ERROR` and `NLMSG_DONE` of `linux/netlink.h`, `SOCK_DIAG_BY_FAMILY` of
/// `linux/sock_diag.h`.
const ERROR: u16 = 2;
const DONE: u16 = 3;
const BY_FAMILY: u16 = 20;

/// The length of `struct nlmsghdr`, and of `struct inet_diag_msg`.
const HEADER: usize = 16;
const MESSAGE: usize = 72;

/// Attributes of `linux/inet_diag.h`; `ULP_NAME` is in the one for the ULP.
const SKV6ONLY: u16 = 11;
const MARK: u16 = 15;
const MD5SIG: u16 = 18;
const ULP_INFO: u16 = 19;
const ULP_NAME: u16 = 1;

/// The type of a socket, as its address shows it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum SocketFamily {
    /// AF_INET.
    Inet,
    /// AF_INET6.
    Inet6,
}

/// A network device that sockets are bound to.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Device {
    /// Its number in its network namespace.
    pub index: u32,
    /// Its name there; none where the device has gone.
    pub name: Option<String>,
}

/// A listener, as sock_diag shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerEntry {
    /// AF_INET, or AF_INET6.
    pub family: SocketFamily,
    /// The address that it is bound to; an IPv4-mapped one stays one.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// `IPV6_V6ONLY`; never of an AF_INET socket.
    pub v6_only: bool,
    /// The device that it is bound to, if it is (`SO_BINDTODEVICE`).
    pub device: Option<Device>,
    /// Who made it, or was given it, as this user namespace calls that user.
    pub uid: u32,
    /// The inode, by which `/proc/PID/fd` shows it.
    pub inode: u64,
    /// The number that no other socket of this kernel has.
    pub cookie: u64,
    /// Children that wait for `accept`.
    pub waiting: u32,
    /// The backlog that `listen` was given.
    pub backlog: u32,
    /// Whether it is a listener of Multipath TCP; none where this user is not shown it.
    pub multipath: Option<bool>,
    /// Whether it has keys for TCP's MD5 signatures; none where this user is not shown it.
    pub md5_keys: Option<bool>,
}

/// To which local address and port handshakes in flight are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RequestAddress {
    /// The family of the listener that has them.
    pub family: SocketFamily,
    /// The address that the clients connect to.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// The device of the listener that has them, by its number; 0 if it is bound to none.
    pub device: u32,
}

/// Every TCP listener of this process's network namespace, once, by address and cookie.
///
/// # Errors
/// The kernel has no sock_diag for TCP, or its answer cannot be read.
pub fn listeners() -> Result<Vec<ListenerEntry>> {
    let mut found: Vec<ListenerEntry> = Vec::new();
    dump(&StateFlags::LISTEN, |family, message| {
        found.push(ListenerEntry::parse(family, message)?);
        Some(())
    })?;
    // While listeners open and close, the kernel may show one twice.
    let mut shown = HashSet::new();
    found.retain(|listener| shown.insert(listener.cookie));
    name_devices(&mut found);
    found.sort_by_key(|l| (l.port, l.family, l.address, l.cookie));
    Ok(found)
}

/// How many handshakes are in flight, by local address.
///
/// # Errors
/// As [`listeners`].
pub fn requests() -> Result<Vec<(RequestAddress, u32)>> {
    let mut counts: BTreeMap<RequestAddress, u32> = BTreeMap::new();
    dump(&StateFlags::SYN_RECV, |family, message| {
        let (address, port, device) = local(family, message)?;
        *counts.entry(RequestAddress { family, address, port, device }).or_default() += 1;
        Some(())
    })?;
    Ok(counts.into_iter().collect())
}

fn name_devices(listeners: &mut [ListenerEntry]) {
    let mut names: BTreeMap<u32, Option<String>> = BTreeMap::new();
    for device in listeners.iter_mut().filter_map(|listener| listener.device.as_mut()) {
        let name = names.entry(device.index).or_insert_with(|| {
            let name = if_indextoname(device.index).ok();
            name.map(|name| name.to_string_lossy().into_owned())
        });
        device.name.clone_from(name);
    }
}

/// Asks for all TCP sockets in `states`, and hands each message to `take`, which returns
/// nothing if it cannot read it.
fn dump(
    states: &StateFlags,
    mut take: impl FnMut(SocketFamily, &[u8]) -> Option<()>,
) -> Result<()> {
    for family in [SocketFamily::Inet, SocketFamily::Inet6] {
        let mut socket = open()?;
        socket.send(&request(family, states), 0).call(|| "send(NETLINK_SOCK_DIAG)".into())?;
        let mut reply = Vec::with_capacity(REPLY_BYTES);
        loop {
            reply.clear();
            receive(&mut socket, &mut reply)?;
            if read_messages(&reply, |message| take(family, message))? {
                break;
            }
        }
    }
    Ok(())
}

fn open() -> Result<Socket> {
    let mut socket =
        Socket::new(NETLINK_SOCK_DIAG).call(|| "socket(AF_NETLINK, NETLINK_SOCK_DIAG)".into())?;
    socket.bind_auto().call(|| "bind(NETLINK_SOCK_DIAG)".into())?;
    socket.connect(&NetlinkAddress::new(0, 0)).call(|| "connect(NETLINK_SOCK_DIAG)".into())?;
    Ok(socket)
}

fn receive(socket: &mut Socket, reply: &mut Vec<u8>) -> Result<()> {
    loop {
        match socket.recv(reply, 0) {
            Err(e) if e.raw_os_error() == Some(Errno::EINTR as i32) => {}
            received => return received.map(drop).call(|| "recv(NETLINK_SOCK_DIAG)".into()),
        }
    }
}

fn request(family: SocketFamily, states: &StateFlags) -> Vec<u8> {
    let (family, any): (u8, IpAddr) = match family {
        SocketFamily::Inet => (AF_INET, Ipv4Addr::UNSPECIFIED.into()),
        SocketFamily::Inet6 => (AF_INET6, Ipv6Addr::UNSPECIFIED.into()),
    };
    let wanted = InetRequest {
        family,
        protocol: IPPROTO_TCP,
        // Keys and the ULP come with it.
        extensions: ExtensionFlags::INFO,
        states: states.clone(),
        socket_id: SocketId {
            source_port: 0,
            destination_port: 0,
            source_address: any,
            destination_address: any,
            interface_id: 0,
            cookie: [0xff; 8],
        },
    };
    let asked = SockDiagMessage::InetRequest(wanted);
    let mut message = NetlinkMessage::new(Default::default(), asked.into());
    message.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// Reads what the kernel has sent at a time, and says whether the last message was in it.
fn read_messages(reply: &[u8], mut take: impl FnMut(&[u8]) -> Option<()>) -> Result<bool> {
    let unreadable = |what: &str| Error::unreadable("an answer of sock_diag", what);
    let mut rest = reply;
    while rest.len() >= HEADER {
        let len = number32(rest, 0).map_or(0, |len| len as usize);
        let message = rest.get(HEADER..len).ok_or_else(|| unreadable("a message is cut off"))?;
        match number16(rest, 4) {
            Some(DONE) => return Ok(true),
            Some(ERROR) => return refused(message).map(|()| true),
            Some(BY_FAMILY) => {
                take(message).ok_or_else(|| unreadable("a socket that is shown otherwise"))?;
            }
            _ => {}
        }
        rest = rest.get(aligned(len)..).unwrap_or_default();
    }
    Ok(false)
}

/// The errno that an error has, which is 0 in an acknowledgement.
fn refused(message: &[u8]) -> Result<()> {
    let errno = number32(message, 0).map_or(0, |number| -number.cast_signed());
    let source = match errno {
        0 => return Ok(()),
        errno => std::io::Error::from_raw_os_error(errno),
    };
    Err(source).call(|| "SOCK_DIAG_BY_FAMILY(TCP)".into())
}

impl ListenerEntry {
    fn parse(family: SocketFamily, message: &[u8]) -> Option<Self> {
        let (address, port, device) = local(family, message)?;
        let shown: Vec<(u16, &[u8])> = attributes(message.get(MESSAGE..)?).collect();
        let value = |wanted| shown.iter().find(|(kind, _)| *kind == wanted).map(|(_, v)| *v);
        // The kernel shows the mark, keys and, before Linux 6.15, the ULP to those who have
        // CAP_NET_ADMIN; the mark always.
        let shows_all = value(MARK).is_some();
        let ulp = value(ULP_INFO).and_then(|ulp| {
            attributes(ulp).find(|(kind, _)| *kind == ULP_NAME).map(|(_, name)| name)
        });
        let multipath = match ulp {
            Some(name) => Some(name.starts_with(b"mptcp")),
            None => shows_all.then_some(false),
        };
        Some(Self {
            family,
            address,
            port,
            v6_only: value(SKV6ONLY).is_some_and(|value| value.first() == Some(&1)),
            device: (device != 0).then_some(Device { index: device, name: None }),
            uid: number32(message, 64)?,
            inode: number32(message, 68)?.into(),
            cookie: u64::from(number32(message, 44)?) | u64::from(number32(message, 48)?) << 32,
            waiting: number32(message, 56)?,
            backlog: number32(message, 60)?,
            multipath,
            md5_keys: shows_all.then_some(value(MD5SIG).is_some()),
        })
    }
}

/// The local end of a socket, and its device's number.
fn local(family: SocketFamily, message: &[u8]) -> Option<(IpAddr, u16, u32)> {
    let port = u16::from_be_bytes(message.get(4..6)?.try_into().ok()?);
    let address = match family {
        SocketFamily::Inet => {
            let bytes: [u8; 4] = message.get(8..12)?.try_into().ok()?;
            IpAddr::from(bytes)
        }
        SocketFamily::Inet6 => {
            let bytes: [u8; 16] = message.get(8..24)?.try_into().ok()?;
            IpAddr::from(bytes)
        }
    };
    Some((address, port, number32(message, 40)?))
}

/// Attributes of netlink: a length, a type, and as many bytes.
fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    /// Flags of the type (`NLA_TYPE_MASK`).
    const TYPE: u16 = 0x3fff;
    std::iter::from_fn(move || {
        let len = usize::from(number16(rest, 0)?);
        let kind = number16(rest, 2)? & TYPE;
        let value = rest.get(4..len)?;
        rest = rest.get(aligned(len)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn aligned(len: usize) -> usize {
    len.next_multiple_of(4)
}

fn number16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn number32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::of_kernel::{constant, place, size};

    #[test]
    fn layout_of_a_socket_that_is_shown() {
        assert_eq!(HEADER, size("struct nlmsghdr"));
        assert_eq!(MESSAGE, size("struct inet_diag_msg"));
        let mut message = vec![0_u8; MESSAGE];
        let mut put = |member: &str, bytes: &[u8]| {
            let (at, len) = place("struct inet_diag_msg", member);
            message[at..at + bytes.len()].copy_from_slice(bytes);
            assert!(bytes.len() <= len, "{member}");
        };
        put("id.idiag_sport", &80_u16.to_be_bytes());
        put("id.idiag_src", &[127, 0, 0, 1]);
        put("id.idiag_if", &3_u32.to_ne_bytes());
        // Two words, the lower one first on every machine.
        put("id.idiag_cookie", &[7_u32, 9].map(u32::to_ne_bytes).concat());
        put("idiag_rqueue", &11_u32.to_ne_bytes());
        put("idiag_wqueue", &13_u32.to_ne_bytes());
        put("idiag_uid", &17_u32.to_ne_bytes());
        put("idiag_inode", &19_u32.to_ne_bytes());
        let shown = ListenerEntry::parse(SocketFamily::Inet, &message).expect("a listener");
        let wanted = ListenerEntry {
            family: SocketFamily::Inet,
            address: Ipv4Addr::LOCALHOST.into(),
            port: 80,
            v6_only: false,
            device: Some(Device { index: 3, name: None }),
            uid: 17,
            inode: 19,
            cookie: 9 << 32 | 7,
            waiting: 11,
            backlog: 13,
            multipath: None,
            md5_keys: None,
        };
        assert_eq!(shown, wanted);
    }

    #[test]
    fn layout_of_netlink_s_numbers() {
        for (ours, name) in [
            (ERROR, "NLMSG_ERROR"),
            (DONE, "NLMSG_DONE"),
            (BY_FAMILY, "SOCK_DIAG_BY_FAMILY"),
            (SKV6ONLY, "INET_DIAG_SKV6ONLY"),
            (MARK, "INET_DIAG_MARK"),
            (MD5SIG, "INET_DIAG_MD5SIG"),
            (ULP_INFO, "INET_DIAG_ULP_INFO"),
            (ULP_NAME, "INET_ULP_INFO_NAME"),
        ] {
            assert_eq!(i64::from(ours), constant(name), "{name}");
        }
    }
}
