//! What the kernel says about itself: counters, queues, socket states.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::{SysconfVar, sysconf};

use crate::error::{Context, Error, Result};
use crate::net::family::Family;
use crate::net::sockopt::{self, ReadOption};

/// Where the counters of the group `Tcp` are.
pub(crate) const SNMP: &str = "/proc/net/snmp";

/// Where the counters of the groups `TcpExt` and `MPTcpExt` are.
pub(crate) const NETSTAT: &str = "/proc/net/netstat";

/// Where the kernel says how many sockets there are.
pub(crate) const SOCKSTAT: &str = "/proc/net/sockstat";

/// The network namespace's protocol counters at one moment, by their kernel names
/// (`TCPMigrateReqSuccess`, `OutRsts`, ...).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters(Arc<BTreeMap<String, i64>>);

impl Counters {
    /// Reads the `Tcp` group of `/proc/net/snmp` and the groups `TcpExt` and, where the kernel
    /// has it, `MPTcpExt` of `/proc/net/netstat`. They count this network namespace alone.
    pub fn read() -> Result<Self> {
        Self::parse(&read(SNMP)?, &read(NETSTAT)?)
    }

    /// As [`Counters::read`], of what [`SNMP`] and [`NETSTAT`] say.
    pub(crate) fn parse(snmp: &str, netstat: &str) -> Result<Self> {
        let mut counters = Self::default();
        for (file, text, group) in [(SNMP, snmp, "Tcp:"), (NETSTAT, netstat, "TcpExt:")] {
            counters.add_group(text, group).ok_or_else(|| Error::unreadable(file, text))?;
        }
        let _has_multipath = counters.add_group(netstat, "MPTcpExt:").is_some();
        Ok(counters)
    }

    /// A group is two lines: its names, and their values.
    fn add_group(&mut self, text: &str, group: &str) -> Option<()> {
        let mut lines = text.lines().filter_map(|line| line.strip_prefix(group));
        let (names, values) = (lines.next()?, lines.next()?);
        let counters = Arc::make_mut(&mut self.0);
        for (name, value) in names.split_whitespace().zip(values.split_whitespace()) {
            counters.insert(name.to_owned(), value.parse().ok()?);
        }
        Some(())
    }

    /// A counter's value; `None` when this kernel has no such counter.
    pub fn get(&self, name: &str) -> Option<i64> {
        self.0.get(name).copied()
    }

    /// By how much a counter has grown since `earlier`; `None` when this kernel has none.
    pub fn grown(&self, earlier: &Self, name: &str) -> Option<i64> {
        Some(self.get(name)? - earlier.get(name).unwrap_or(0))
    }
}

/// A listener's queues, as `ss -ltn` would show them (`TCP_INFO` on the listener).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queue {
    /// Children that wait for `accept` (`tcpi_unacked`).
    pub waiting: u32,
    /// The backlog that `listen` was given (`tcpi_sacked`).
    pub backlog: u32,
}

impl fmt::Display for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.waiting, self.backlog)
    }
}

impl Queue {
    /// Asks the kernel for the queue of the listening socket `fd`.
    pub fn of(fd: impl AsFd) -> Result<Self> {
        let info = tcp_info(fd)?;
        Ok(Self { waiting: info.tcpi_unacked, backlog: info.tcpi_sacked })
    }
}

/// What the two ends of a connection agreed on in the handshake, as `TCP_INFO` shows it:
/// options, window scales, and the maximum segment size that this end announced.
///
/// A connection that was handed over must have what any other connection between the
/// same ends has.
pub fn negotiated(fd: impl AsFd) -> Result<String> {
    let info = tcp_info(fd)?;
    let options = [(1, "timestamps"), (2, "sack"), (4, "wscale"), (8, "ecn")];
    let agreed: Vec<&str> = options
        .iter()
        .filter(|(bit, _)| info.tcpi_options & bit != 0)
        .map(|(_, name)| *name)
        .collect();
    let (scales, mss) = (scales_of(&info), info.tcpi_advmss);
    Ok(format!("{}, scales {scales:#04x}, mss {mss}", agreed.join(" ")))
}

/// The scale of the windows that the other end announces, and in the upper half of those that this
/// one does: two bit-fields of a byte, the first of which is the upper half on a big-endian machine.
fn scales_of(info: &libc::tcp_info) -> u8 {
    let both = info.tcpi_snd_rcv_wscale;
    if cfg!(target_endian = "big") { both.rotate_left(4) } else { both }
}

/// How large the segments of the connection `fd` may be.
pub fn segment_size(fd: impl AsFd) -> Result<u32> {
    Ok(tcp_info(fd)?.tcpi_snd_mss)
}

/// How many segments of the connection `fd`, its SYN+ACK included, were sent again.
pub fn retransmissions(fd: impl AsFd) -> Result<u32> {
    Ok(tcp_info(fd)?.tcpi_total_retrans)
}

/// The smoothed round-trip time of the connection `fd` in microseconds; 0 when none was
/// measured yet.
pub fn round_trip_time(fd: impl AsFd) -> Result<u32> {
    Ok(tcp_info(fd)?.tcpi_rtt)
}

/// Reads a file of `/proc` that the kernel writes as one record: where it has given less than there
/// is room for, that was all.
pub(crate) fn read(file: &str) -> Result<String> {
    read_until(file, |got| got < BUFFER)
}

/// Whether a read of this length was the last one of `/proc/net/tcp` or `tcp6`.
///
/// The kernel gathers lines in a page, and returns when the next one does not fit. To a reader
/// who comes again at the end it answers only after a walk through all its buckets, of which
/// a machine has some hundred thousand.
pub(crate) fn is_end_of_table(got: usize) -> bool {
    got + LINE <= PAGE
}

/// Reads `/proc/net/tcp` or `tcp6`.
fn read_table(file: &str) -> Result<String> {
    read_until(file, is_end_of_table)
}

/// Reads a file until a read has got so many bytes that it was the last one.
fn read_until(file: &str, is_end: impl Fn(usize) -> bool) -> Result<String> {
    let context = || format!("read({file})");
    let mut opened = fs::File::open(file).call(context)?;
    let (mut text, mut part) = (vec![], [0; BUFFER]);
    loop {
        let got = opened.read(&mut part).call(context)?;
        text.extend_from_slice(&part[..got]);
        if is_end(got) {
            return String::from_utf8(text).map_err(|e| Error::unreadable(file, e.to_string()));
        }
    }
}

/// More than a read of `/proc` gives as a rule, in bytes.
const BUFFER: usize = 2 * PAGE;

/// The smallest page that Linux has, in bytes.
const PAGE: usize = 4096;

/// More than any line of `/proc/net/tcp` or `tcp6` has, in bytes.
const LINE: usize = 512;

// SAFETY: a struct of integers, for which all bytes are values; and the kernel writes it only.
unsafe impl ReadOption for libc::tcp_info {
    const LEVEL: i32 = libc::IPPROTO_TCP;
    const NAME: i32 = libc::TCP_INFO;
}

fn tcp_info(fd: impl AsFd) -> Result<libc::tcp_info> {
    let mut info = sockopt::zeroed();
    sockopt::read(fd, &mut info).call(|| "getsockopt(TCP_INFO)".into())?;
    Ok(info)
}

/// The state of a TCP socket, by its name and number in `/proc/net/tcp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the kernel's own names")]
pub enum State {
    Established = 1,
    SynSent,
    SynRecv,
    FinWait1,
    FinWait2,
    TimeWait,
    Close,
    CloseWait,
    LastAck,
    Listen,
    Closing,
    NewSynRecv,
}

impl State {
    fn from_number(number: u8) -> Option<Self> {
        use State::*;
        let all = [
            Established,
            SynSent,
            SynRecv,
            FinWait1,
            FinWait2,
            TimeWait,
            Close,
            CloseWait,
            LastAck,
            Listen,
            Closing,
            NewSynRecv,
        ];
        all.into_iter().find(|state| *state as u8 == number)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Established => "ESTABLISHED",
            Self::SynSent => "SYN_SENT",
            Self::SynRecv => "SYN_RECV",
            Self::FinWait1 => "FIN_WAIT1",
            Self::FinWait2 => "FIN_WAIT2",
            Self::TimeWait => "TIME_WAIT",
            Self::Close => "CLOSE",
            Self::CloseWait => "CLOSE_WAIT",
            Self::LastAck => "LAST_ACK",
            Self::Listen => "LISTEN",
            Self::Closing => "CLOSING",
            Self::NewSynRecv => "NEW_SYN_RECV",
        })
    }
}

/// A line of `/proc/net/tcp` or `/proc/net/tcp6`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketLine {
    /// The local end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// Its state. The kernel shows a request in NEW_SYN_RECV as [`State::SynRecv`].
    pub state: State,
    /// Bytes that wait to be read; for a listener, children that wait for `accept`.
    pub waiting: u32,
    /// The socket's inode; 0 for what is no socket, such as a request.
    pub inode: u64,
}

/// Every TCP socket and request of this network namespace that belongs to `family`'s
/// sockets: those of AF_INET, or those of AF_INET6, IPv4-mapped ones included.
///
/// # Errors
/// `/proc/net/tcp` or `tcp6` cannot be read.
pub fn sockets(family: Family) -> Result<Vec<SocketLine>> {
    let file = match family {
        Family::V4 => "/proc/net/tcp",
        Family::V6 | Family::V4Mapped => "/proc/net/tcp6",
    };
    let text = read_table(file)?;
    text.lines()
        .skip(1)
        .map(|line| {
            SocketLine::parse(line)
                .ok_or_else(|| Error::unreadable("a line of /proc/net/tcp", line))
        })
        .collect()
}

impl SocketLine {
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split_whitespace().skip(1);
        let local = parse_address(fields.next()?)?;
        let remote = parse_address(fields.next()?)?;
        let state = State::from_number(u8::from_str_radix(fields.next()?, 16).ok()?)?;
        let (_, waiting) = fields.next()?.split_once(':')?;
        let waiting = u32::from_str_radix(waiting, 16).ok()?;
        // Between them: the timer, retransmissions, the user, a timeout.
        let inode = fields.nth(4)?.parse().ok()?;
        Some(Self { local, remote, state, waiting, inode })
    }
}

/// `0100007F:0050`: the address in words of host byte order, the port as a number.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let hex = address.get(at * 8..at * 8 + 8)?;
        Some(u32::from_str_radix(hex, 16).ok()?.to_ne_bytes())
    };
    let ip: IpAddr = match address.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let mut bytes = [0; 16];
            for (at, part) in bytes.chunks_mut(4).enumerate() {
                part.copy_from_slice(&word(at)?);
            }
            Ipv6Addr::from(bytes).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip.to_canonical(), port))
}

/// Sockets of this network namespace that have not been freed, of every family
/// (`sockets: used`), by what [`SOCKSTAT`] says.
///
/// A socket that is closed and still counted is one that somebody holds a reference to:
/// after everything is closed, this is how a leaked child or listener shows.
pub(crate) fn sockets_in_use(sockstat: &str) -> Result<i64> {
    number_after("sockets: used ", sockstat, SOCKSTAT)
}

/// What all TCP sockets of this kernel have charged for segments in their queues, in bytes
/// (`mem` of `/proc/net/sockstat`). It is counted in pages, and each CPU may have up to a
/// mebibyte that is not counted yet.
pub fn tcp_memory() -> Result<i64> {
    Ok(sockstat_of_tcp("mem")? * page_bytes()?)
}

/// The size of this kernel's pages, in bytes: 4096, or on some machines up to 64 KiB.
pub fn page_bytes() -> Result<i64> {
    let size = sysconf(SysconfVar::PAGE_SIZE).call(|| "sysconf(_SC_PAGESIZE)".into())?;
    let size = size.and_then(|size| u32::try_from(size).ok());
    size.map(i64::from).ok_or_else(|| Error::unreadable("sysconf(_SC_PAGESIZE)", "no size"))
}

/// TCP sockets of this kernel, in whichever network namespace, that have not been freed
/// (`alloc` of `/proc/net/sockstat`).
pub fn tcp_sockets() -> Result<i64> {
    sockstat_of_tcp("alloc")
}

/// TCP sockets of this kernel, in any network namespace, that no process has open any more and
/// whose connection has not ended (`orphan` of `/proc/net/sockstat`). The kernel shows 0 where
/// it counts less.
pub fn orphans() -> Result<i64> {
    sockstat_of_tcp("orphan")
}

/// The number after `name` in the line `TCP: inuse 1 orphan 0 tw 0 alloc 19 mem 291`.
fn sockstat_of_tcp(name: &str) -> Result<i64> {
    let file = SOCKSTAT;
    let text = read(file)?;
    let line = text.lines().find(|line| line.starts_with("TCP: "));
    let mut words = line.unwrap_or_default().split_whitespace().skip_while(|word| *word != name);
    let number = words.nth(1).and_then(|number| number.parse().ok());
    number.ok_or_else(|| Error::unreadable(file, &text))
}

/// What the kernel has allocated for itself and cannot give back for the asking
/// (`SUnreclaim` of `/proc/meminfo`), in bytes.
pub fn unreclaimable_memory() -> Result<i64> {
    Ok(meminfo("SUnreclaim:")? * 1024)
}

/// What sockets, requests and packets of this kernel take as objects of their slabs, in bytes;
/// of sockets and requests those of TCP over IPv4. The bytes of packets that are longer than
/// a header lie elsewhere. Nothing where `/proc/slabinfo` is not there, or not for this user.
///
/// The kernel counts the free objects of the slab that each CPU is using, too, so that some
/// dozens may be none.
pub fn socket_slabs() -> Option<i64> {
    parse_slabs(&fs::read_to_string("/proc/slabinfo").ok()?)
}

/// A line: the name of the objects, how many there are, how many fit, and the bytes of one.
fn parse_slabs(text: &str) -> Option<i64> {
    const SLABS: [&str; 4] = ["TCP", "request_sock_TCP", "skbuff_head_cache", "skbuff_small_head"];
    let bytes = |line: &str| -> Option<i64> {
        let mut words = line.split_whitespace();
        SLABS.contains(&words.next()?).then_some(())?;
        let count: i64 = words.next()?.parse().ok()?;
        Some(count * words.nth(1)?.parse::<i64>().ok()?)
    };
    text.starts_with("slabinfo").then(|| text.lines().filter_map(bytes).sum())
}

/// The machine's memory, and what of it can be had, in bytes.
pub fn memory() -> Result<(i64, i64)> {
    Ok((meminfo("MemTotal:")? * 1024, meminfo("MemAvailable:")? * 1024))
}

/// The number that follows `name` at the beginning of a line of `text`, which `file` says.
fn number_after(name: &str, text: &str, file: &str) -> Result<i64> {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
        .ok_or_else(|| Error::unreadable(file, text))
}

/// A number of `/proc/meminfo`, in kibibytes.
fn meminfo(name: &str) -> Result<i64> {
    let file = "/proc/meminfo";
    number_after(name, &read(file)?, file)
}

/// For how long the main thread of this process has not slept: it had a processor, or waited
/// for one (the first numbers of `/proc/self/schedstat`). None where the kernel does not count
/// it.
pub fn awake() -> Duration {
    let text = read("/proc/self/schedstat").unwrap_or_default();
    let numbers = text.split_whitespace().take(2);
    Duration::from_nanos(numbers.filter_map(|number| number.parse::<u64>().ok()).sum())
}

/// Sockets that this process has open, by its descriptors.
///
/// What the kernel counts beyond these was closed and is still held by somebody.
pub fn open_sockets() -> Result<i64> {
    let directory = "/proc/self/fd";
    let descriptors = fs::read_dir(directory).call(|| format!("readdir({directory})"))?;
    let sockets = descriptors.flatten().filter(|descriptor| {
        fs::read_link(descriptor.path())
            .is_ok_and(|target| target.to_string_lossy().starts_with("socket:"))
    });
    Ok(sockets.count() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    /// As little-endian machines write addresses, and as big-endian ones do.
    #[rstest]
    #[case(["0100007F:0050", "7F000001:0050"], "127.0.0.1:80")]
    #[case(
        ["00000000000000000000000001000000:0050", "00000000000000000000000000000001:0050"],
        "[::1]:80"
    )]
    #[case(
        ["0000000000000000FFFF00000100007F:9C40", "00000000000000000000FFFF7F000001:9C40"],
        "127.0.0.1:40000"
    )]
    fn layout_of_addresses_in_proc_net_tcp(#[case] texts: [&str; 2], #[case] address: &str) {
        let text = texts[usize::from(cfg!(target_endian = "big"))];
        assert_eq!(parse_address(text), address.parse().ok());
    }

    #[test]
    fn layout_of_window_scales_is_two_halves_of_a_byte() {
        let mut info: libc::tcp_info = sockopt::zeroed();
        let (send, receive) = (7, 10);
        let upper_first = cfg!(target_endian = "big");
        info.tcpi_snd_rcv_wscale =
            if upper_first { send << 4 | receive } else { receive << 4 | send };
        assert_eq!(scales_of(&info), 0xa7);
    }

    #[test]
    fn a_request_in_flight() {
        let line = "   1: 0100007F:0050 0100007F:9C40 03 00000000:00000000 01:00000063 00000000     0        0 0 1 0000000000000000";
        let socket = SocketLine::parse(line).expect("a socket");
        assert_eq!(socket.state, State::SynRecv);
        assert_eq!((socket.remote.port(), socket.inode), (40000, 0));
    }

    #[test]
    fn a_listener_has_an_inode() {
        let line = "   0: 00000000:0050 00000000:0000 0A 00000000:00000003 00:00000000 00000000     0        0 1734733 1 0000000000000000 100 0 0 10 0";
        let socket = SocketLine::parse(line).expect("a socket");
        assert_eq!((socket.state, socket.waiting, socket.inode), (State::Listen, 3, 1_734_733));
    }

    #[test]
    fn slabs_of_sockets_are_added_up() {
        let text = "slabinfo - version: 2.1\n# name <active_objs> <num_objs> <objsize> ...\n\
                    TCPv6 7 13 2560 12 8 : tunables 0 0 0\n\
                    TCP 3 13 2432 13 8 : tunables 0 0 0\n\
                    request_sock_TCP 2 26 304 13 1 : tunables 0 0 0\n";
        assert_eq!(parse_slabs(text), Some(3 * 2432 + 2 * 304));
        assert_eq!(parse_slabs(""), None);
    }

    #[test]
    fn counters_grow() {
        let read = |value: i64| {
            let mut counters = Counters::default();
            let text =
                format!("IpExt: X\nIpExt: 9\nTcpExt: A TCPMigrateReqSuccess\nTcpExt: 1 {value}\n");
            counters.add_group(&text, "TcpExt:").expect("a group");
            counters
        };
        assert_eq!(read(5).grown(&read(3), "TCPMigrateReqSuccess"), Some(2));
        assert_eq!(read(5).grown(&read(3), "TCPMigrateReqFailure"), None);
    }
}
