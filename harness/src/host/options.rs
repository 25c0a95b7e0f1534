//! Socket options of another process's listener, read through a second descriptor of it
//! (`pidfd_getfd`), which is closed at once.
//!
//! While it is open, the listener is: if its process closes it meanwhile, it listens a few
//! microseconds longer.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::stat::fstat;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::host::holders::HeldDescriptor;
use crate::host::listeners::SocketFamily;
use crate::net::sockopt;
use crate::refusal::Refusal;

const SOCKET: i32 = libc::SOL_SOCKET;
const TCP: i32 = libc::IPPROTO_TCP;

/// The options that are numbers, by their names in the C library: those that a connection has
/// from its listener, and those that say when the listener makes one.
const NUMBERS: [(&str, i32, i32); 22] = [
    ("SO_INCOMING_CPU", SOCKET, libc::SO_INCOMING_CPU),
    ("SO_KEEPALIVE", SOCKET, libc::SO_KEEPALIVE),
    ("SO_MARK", SOCKET, libc::SO_MARK),
    ("SO_OOBINLINE", SOCKET, libc::SO_OOBINLINE),
    ("SO_RCVBUF", SOCKET, libc::SO_RCVBUF),
    ("SO_RCVLOWAT", SOCKET, libc::SO_RCVLOWAT),
    ("SO_REUSEPORT", SOCKET, libc::SO_REUSEPORT),
    ("SO_SNDBUF", SOCKET, libc::SO_SNDBUF),
    ("TCP_DEFER_ACCEPT", TCP, libc::TCP_DEFER_ACCEPT),
    ("TCP_FASTOPEN", TCP, libc::TCP_FASTOPEN),
    ("TCP_KEEPCNT", TCP, libc::TCP_KEEPCNT),
    ("TCP_KEEPIDLE", TCP, libc::TCP_KEEPIDLE),
    ("TCP_KEEPINTVL", TCP, libc::TCP_KEEPINTVL),
    ("TCP_LINGER2", TCP, libc::TCP_LINGER2),
    ("TCP_MAXSEG", TCP, libc::TCP_MAXSEG),
    ("TCP_NODELAY", TCP, libc::TCP_NODELAY),
    ("TCP_NOTSENT_LOWAT", TCP, libc::TCP_NOTSENT_LOWAT),
    ("TCP_SAVE_SYN", TCP, libc::TCP_SAVE_SYN),
    ("TCP_SYNCNT", TCP, libc::TCP_SYNCNT),
    ("TCP_USER_TIMEOUT", TCP, libc::TCP_USER_TIMEOUT),
    ("TCP_WINDOW_CLAMP", TCP, libc::TCP_WINDOW_CLAMP),
    ("SO_PROTOCOL", SOCKET, libc::SO_PROTOCOL),
];

const IPV4: [(&str, i32, i32); 3] = [
    ("IP_TOS", libc::IPPROTO_IP, libc::IP_TOS),
    ("IP_TRANSPARENT", libc::IPPROTO_IP, libc::IP_TRANSPARENT),
    ("IP_TTL", libc::IPPROTO_IP, libc::IP_TTL),
];

const IPV6: [(&str, i32, i32); 3] = [
    ("IPV6_TCLASS", libc::IPPROTO_IPV6, libc::IPV6_TCLASS),
    ("IPV6_TRANSPARENT", libc::IPPROTO_IPV6, libc::IPV6_TRANSPARENT),
    ("IPV6_UNICAST_HOPS", libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS),
];

/// The name under which the filter of a listener is shown, by how it is attached.
pub const FILTER: &str = "SO_ATTACH_FILTER";

/// What a listener's options are, by their names; those that this kernel has.
#[derive(
    Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct ListenerOptions(pub BTreeMap<String, String>);

impl ListenerOptions {
    /// The value of an option; none where it is not known.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Reads the options of the listener with this inode, by a descriptor of a process that
    /// has it open.
    ///
    /// # Errors
    /// This user may not (EPERM), the kernel cannot (ENOSYS before Linux 5.6), or the process
    /// or its descriptor has gone.
    pub fn read(held: HeldDescriptor, inode: u64, family: SocketFamily) -> Result<Self, Refusal> {
        let socket = second_descriptor(held)?;
        // The number may be another file's by now.
        if fstat(&socket).map_err(Refusal::of)?.st_ino != inode as libc::ino_t {
            return Err(Refusal::of(Errno::EBADF));
        }
        Ok(Self::of(&socket, family))
    }

    fn of(socket: &OwnedFd, family: SocketFamily) -> Self {
        let ip = match family {
            SocketFamily::Inet => IPV4,
            SocketFamily::Inet6 => IPV6,
        };
        let mut values = BTreeMap::new();
        for (name, level, option) in NUMBERS.into_iter().chain(ip) {
            if let Ok(number) = sockopt::number(socket, level, option) {
                values.insert(name.to_owned(), number.cast_signed().to_string());
            }
        }
        if let Ok([on, seconds]) = sockopt::numbers(socket, SOCKET, libc::SO_LINGER) {
            let shown = if on == 0 { "off".to_owned() } else { format!("{seconds} s") };
            values.insert("SO_LINGER".into(), shown);
        }
        if let Ok(name) = sockopt::bytes(socket, TCP, libc::TCP_CONGESTION) {
            let name = String::from_utf8_lossy(&name).trim_end_matches('\0').to_owned();
            values.insert("TCP_CONGESTION".into(), name);
        }
        let filter = match sockopt::filter_length(socket) {
            Ok(0) => Some("none".to_owned()),
            Ok(length) => Some(format!("{length} instructions")),
            Err(e) if e.raw_os_error() == Some(libc::EACCES) => Some("eBPF".to_owned()),
            Err(_) => None,
        };
        values.extend(filter.map(|filter| (FILTER.to_owned(), filter)));
        Self(values)
    }
}

/// `pidfd_open` and `pidfd_getfd`. The second process's descriptor is not touched.
fn second_descriptor(held: HeldDescriptor) -> Result<OwnedFd, Refusal> {
    // SAFETY: a system call with integers.
    let process = opened(unsafe { libc::syscall(libc::SYS_pidfd_open, held.pid, 0) })?;
    let (process, number): (RawFd, RawFd) = (process.as_fd().as_raw_fd(), held.number);
    // SAFETY: a system call with integers.
    opened(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process, number, 0) })
}

fn opened(returned: libc::c_long) -> Result<OwnedFd, Refusal> {
    let descriptor = Errno::result(returned).map_err(Refusal::of)? as RawFd;
    // SAFETY: the kernel has just opened it for this caller.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}
