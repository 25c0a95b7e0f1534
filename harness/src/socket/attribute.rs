//! Socket options of a listener that its connections inherit.

use std::os::fd::AsFd;

use crate::error::{Context, Error, Result, errno_name};
use crate::net::family::Family;
use crate::net::sockopt;
use crate::socket::{Recorded, set_recorded};

/// A socket option that a connection has from its listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute {
    /// Its name in the C library.
    pub name: &'static str,
    level: i32,
    option: i32,
    /// Two values that differ, and are not the usual ones if that can be.
    values: [i32; 2],
}

/// Every attribute that a listener of `family` has, in an order in which none changes one
/// that was set before.
pub fn all(family: Family) -> Vec<Attribute> {
    const SOCKET: i32 = libc::SOL_SOCKET;
    const TCP: i32 = libc::IPPROTO_TCP;
    let ip = match family {
        Family::V4 | Family::V4Mapped => [
            ("IP_TOS", libc::IPPROTO_IP, libc::IP_TOS, [0x10, 0x20]),
            ("IP_TTL", libc::IPPROTO_IP, libc::IP_TTL, [33, 44]),
        ],
        Family::V6 => [
            ("IPV6_TCLASS", libc::IPPROTO_IPV6, libc::IPV6_TCLASS, [0x10, 0x20]),
            ("IPV6_UNICAST_HOPS", libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, [33, 44]),
        ],
    };
    let others = [
        ("SO_MARK", SOCKET, libc::SO_MARK, [77, 88]),
        // Behind IP_TOS, which sets it.
        ("SO_PRIORITY", SOCKET, libc::SO_PRIORITY, [4, 5]),
        ("SO_KEEPALIVE", SOCKET, libc::SO_KEEPALIVE, [1, 0]),
        ("SO_OOBINLINE", SOCKET, libc::SO_OOBINLINE, [1, 0]),
        ("SO_RCVBUF", SOCKET, libc::SO_RCVBUF, [50_000, 100_000]),
        ("SO_SNDBUF", SOCKET, libc::SO_SNDBUF, [50_000, 100_000]),
        ("TCP_NODELAY", TCP, libc::TCP_NODELAY, [1, 0]),
        ("TCP_KEEPIDLE", TCP, libc::TCP_KEEPIDLE, [100, 200]),
        ("TCP_KEEPINTVL", TCP, libc::TCP_KEEPINTVL, [10, 20]),
        ("TCP_KEEPCNT", TCP, libc::TCP_KEEPCNT, [3, 5]),
        ("TCP_USER_TIMEOUT", TCP, libc::TCP_USER_TIMEOUT, [10_000, 20_000]),
        ("TCP_SYNCNT", TCP, libc::TCP_SYNCNT, [3, 4]),
        ("TCP_LINGER2", TCP, libc::TCP_LINGER2, [30, 40]),
        ("TCP_NOTSENT_LOWAT", TCP, libc::TCP_NOTSENT_LOWAT, [10_000, 20_000]),
    ];
    ip.into_iter()
        .chain(others)
        .map(|(name, level, option, values)| Attribute { name, level, option, values })
        .collect()
}

/// The attribute with this name, which a listener of `family` has.
///
/// # Panics
/// There is none.
pub fn named(family: Family, name: &str) -> Attribute {
    let found = all(family).into_iter().find(|attribute| attribute.name == name);
    found.expect("an attribute's name")
}

impl Attribute {
    /// Sets the first or the second of the two values.
    pub fn set(&self, socket: &impl Recorded, which: usize) -> Result<()> {
        let value = self.values[which];
        let set = |socket: &_| sockopt::set_number(socket, self.level, self.option, value);
        set_recorded(socket, self.name, value, set)
            .call(|| format!("setsockopt({}, {value})", self.name))
    }

    /// What the kernel returns for the first or the second value: buffers are twice as large
    /// as asked for, to have room for its own bookkeeping (socket(7)).
    pub fn shown(&self, which: usize) -> i64 {
        let doubled = self.level == libc::SOL_SOCKET
            && matches!(self.option, libc::SO_RCVBUF | libc::SO_SNDBUF);
        i64::from(self.values[which]) * if doubled { 2 } else { 1 }
    }

    /// The value that the kernel returns, which may be another than was set.
    pub fn get(&self, fd: impl AsFd) -> Result<i64> {
        let value = sockopt::number(fd, self.level, self.option)
            .call(|| format!("getsockopt({})", self.name))?;
        Ok(value.into())
    }
}

/// Sets `TCP_CONGESTION`; the kernel may not have the algorithm.
pub fn set_congestion(socket: &impl Recorded, algorithm: &[u8; 4]) -> Result<()> {
    set_recorded(socket, "TCP_CONGESTION", algorithm.escape_ascii(), |socket| {
        sockopt::set_name(socket, libc::IPPROTO_TCP, libc::TCP_CONGESTION, algorithm)
    })
    .call(|| "setsockopt(TCP_CONGESTION)".into())
}

/// The name of the socket's congestion control (`TCP_CONGESTION`).
pub fn congestion(fd: impl AsFd) -> Result<String> {
    let bytes = sockopt::bytes(fd, libc::IPPROTO_TCP, libc::TCP_CONGESTION)
        .call(|| "getsockopt(TCP_CONGESTION)".into())?;
    Ok(String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned())
}

/// Has a listener save the SYNs of its connections (`TCP_SAVE_SYN`): 1 from the IP header
/// on, 2 from the link's header on.
pub fn save_syn(socket: &impl Recorded, from: i32) -> Result<()> {
    set_recorded(socket, "TCP_SAVE_SYN", from, |socket| {
        sockopt::set_number(socket, libc::IPPROTO_TCP, libc::TCP_SAVE_SYN, from)
    })
    .call(|| format!("setsockopt(TCP_SAVE_SYN, {from})"))
}

/// The SYN that a connection's listener saved (`TCP_SAVED_SYN`); once, then nothing.
pub fn saved_syn(fd: impl AsFd) -> Result<Vec<u8>> {
    sockopt::bytes(fd, libc::IPPROTO_TCP, libc::TCP_SAVED_SYN)
        .call(|| "getsockopt(TCP_SAVED_SYN)".into())
}

/// Limits the time between retransmissions, in milliseconds (`TCP_RTO_MAX_MS`).
///
/// # Errors
/// ENOPROTOOPT before Linux 6.15.
pub fn limit_rto(socket: &impl Recorded, milliseconds: i32) -> std::io::Result<()> {
    // Of `linux/tcp.h`; the libc crate does not have it.
    const TCP_RTO_MAX_MS: i32 = 44;
    set_recorded(socket, "TCP_RTO_MAX_MS", milliseconds, |socket| {
        sockopt::set_number(socket, libc::IPPROTO_TCP, TCP_RTO_MAX_MS, milliseconds)
    })
}

/// The largest window that a connection may announce, in bytes (`TCP_WINDOW_CLAMP`).
pub fn window_clamp(fd: impl AsFd) -> Result<u32> {
    let clamp = sockopt::number(fd, libc::IPPROTO_TCP, libc::TCP_WINDOW_CLAMP)
        .call(|| "getsockopt(TCP_WINDOW_CLAMP)".into())?;
    Ok(clamp)
}

/// The options in the IPv4 header of everything that a connection sends (`IP_OPTIONS`);
/// empty if there are none.
pub fn ip_options(fd: impl AsFd) -> Result<Vec<u8>> {
    sockopt::bytes(fd, libc::IPPROTO_IP, libc::IP_OPTIONS).call(|| "getsockopt(IP_OPTIONS)".into())
}

/// Has a listener save the hop limits with which its connections' SYNs arrived
/// (`IPV6_RECVHOPLIMIT`).
pub fn save_hop_limit(socket: &impl Recorded) -> Result<()> {
    set_recorded(socket, "IPV6_RECVHOPLIMIT", 1, |socket| {
        sockopt::set_number(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVHOPLIMIT, 1)
    })
    .call(|| "setsockopt(IPV6_RECVHOPLIMIT, 1)".into())
}

/// The hop limit of a connection's SYN, if its listener saved it (`IPV6_2292PKTOPTIONS`);
/// else the one for multicasts.
///
/// # Errors
/// The kernel returns no hop limit.
pub fn saved_hop_limit(fd: impl AsFd) -> Result<i32> {
    // A control message: its length and two numbers come first.
    const HEADER: usize = size_of::<libc::cmsghdr>();
    let call = || "getsockopt(IPV6_2292PKTOPTIONS)".to_owned();
    let message = sockopt::bytes(fd, libc::IPPROTO_IPV6, libc::IPV6_2292PKTOPTIONS).call(call)?;
    let hops = message.get(HEADER..HEADER + 4).and_then(|bytes| bytes.try_into().ok());
    let hops = hops.ok_or_else(|| Error::unreadable(call(), "no hop limit"))?;
    Ok(i32::from_ne_bytes(hops))
}

/// Has a listener wait for data for some seconds (`TCP_DEFER_ACCEPT`).
pub fn defer_accept(socket: &impl Recorded, seconds: i32) -> Result<()> {
    set_recorded(socket, "TCP_DEFER_ACCEPT", seconds, |socket| {
        sockopt::set_number(socket, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, seconds)
    })
    .call(|| format!("setsockopt(TCP_DEFER_ACCEPT, {seconds})"))
}

/// Has a listener preferred by what happens on `cpu` (`SO_INCOMING_CPU`).
pub fn incoming_cpu(socket: &impl Recorded, cpu: i32) -> Result<()> {
    set_recorded(socket, "SO_INCOMING_CPU", cpu, |socket| {
        sockopt::set_number(socket, libc::SOL_SOCKET, libc::SO_INCOMING_CPU, cpu)
    })
    .call(|| format!("setsockopt(SO_INCOMING_CPU, {cpu})"))
}

/// The device that the socket is bound to (`SO_BINDTODEVICE`); empty if it is to none.
pub fn device(fd: impl AsFd) -> Result<String> {
    let bytes = sockopt::bytes(fd, libc::SOL_SOCKET, libc::SO_BINDTODEVICE)
        .call(|| "getsockopt(SO_BINDTODEVICE)".into())?;
    Ok(String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned())
}

/// The CPU that a lab runs on, all of it.
pub fn this_cpu() -> Result<i32> {
    nix::sched::sched_getcpu().map(|cpu| cpu as i32).call(|| "sched_getcpu()".into())
}

/// What went wrong with a socket (`SO_ERROR`), by its errno: reported once, then `none`.
pub fn error(fd: impl AsFd) -> Result<String> {
    let error = sockopt::number(fd, libc::SOL_SOCKET, libc::SO_ERROR)
        .call(|| "getsockopt(SO_ERROR)".into())?;
    Ok(match error as i32 {
        0 => "none".to_owned(),
        error => errno_name(&std::io::Error::from_raw_os_error(error)),
    })
}

/// The number that no other socket of this kernel has (`SO_COOKIE`).
pub fn cookie(fd: impl AsFd) -> Result<u64> {
    let call = || "getsockopt(SO_COOKIE)".to_owned();
    let bytes = sockopt::bytes(fd, libc::SOL_SOCKET, libc::SO_COOKIE).call(call)?;
    let bytes: [u8; 8] = bytes.try_into().map_err(|_| Error::unreadable(call(), "no cookie"))?;
    Ok(u64::from_ne_bytes(bytes))
}
