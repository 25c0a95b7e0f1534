//! TCP's authentication option (RFC 5925), whose keys a listener must have for the handshakes
//! of its clients, and which the kernel copies to their children. Since Linux 6.7, with
//! CONFIG_TCP_AO.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;

use nix::errno::Errno;

use crate::error::{Context, Result};
use crate::layout::bit_field;
use crate::net::family::Family;
use crate::net::sockopt::{self, ReadOption, WriteOption};
use crate::socket::{Client, Listener, set_recorded};

/// The kind of the TCP option, and the length of its payload: two ids, and 12 bytes of code.
pub const OPTION: (u8, u8) = (29, 14);

/// A key, by the kernel's words a master key tuple.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The id in what is sent with it, and in what comes. The other end has them as well.
    pub id: u8,
    /// At most 80 bytes.
    pub secret: &'static [u8],
}

/// Of `linux/tcp.h`; the libc crate does not have them for every target.
const TCP_AO_ADD_KEY: i32 = 38;
const TCP_AO_INFO: i32 = 40;
const TCP_AO_GET_KEYS: i32 = 41;

const MAX_KEY_BYTES: usize = 80;

/// `struct tcp_ao_add` of `linux/tcp.h`.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Add {
    address: libc::sockaddr_storage,
    algorithm: [u8; 64],
    interface: i32,
    /// Whether it is to be used at once; and reserved bits.
    flags: u32,
    reserved: u16,
    prefix_len: u8,
    send_id: u8,
    receive_id: u8,
    /// 0 for the usual 12 bytes.
    code_len: u8,
    key_flags: u8,
    key_len: u8,
    key: [u8; MAX_KEY_BYTES],
}

const _: () = assert!(size_of::<Add>() == 128 + 64 + 2 * 4 + 2 + 6 + MAX_KEY_BYTES);

// SAFETY: a struct of integers, whose sum is its size, so that it has no padding; and the
// kernel copies addresses of the network from it, none of memory.
unsafe impl WriteOption for Add {
    const LEVEL: i32 = libc::IPPROTO_TCP;
    const NAME: i32 = TCP_AO_ADD_KEY;
}

/// `struct tcp_ao_info_opt`.
#[repr(C, align(8))]
#[derive(Clone, Copy, Default)]
struct Info {
    flags: u32,
    reserved: u16,
    /// The id of the key that is sent with, and of the one that is asked for.
    current: u8,
    next: u8,
    counters: [u64; 5],
}

const _: () = assert!(size_of::<Info>() == 8 + 5 * 8);

// SAFETY: a struct of integers, whose sum is its size, so that it has no padding; and the
// kernel takes none of them for an address.
unsafe impl WriteOption for Info {
    const LEVEL: i32 = libc::IPPROTO_TCP;
    const NAME: i32 = TCP_AO_INFO;
}

// SAFETY: as above.
unsafe impl ReadOption for Info {
    const LEVEL: i32 = libc::IPPROTO_TCP;
    const NAME: i32 = TCP_AO_INFO;
}

/// `ao_required` and `accept_icmps`, the third and the fifth bit-field of [`Info::flags`].
const REQUIRED: u32 = bit_field(2, u32::BITS);
const ACCEPT_ICMPS: u32 = bit_field(4, u32::BITS);

/// `struct tcp_ao_getsockopt`.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Got {
    address: libc::sockaddr_storage,
    algorithm: [u8; 64],
    key: [u8; MAX_KEY_BYTES],
    count: u32,
    flags: u16,
    send_id: u8,
    receive_id: u8,
    prefix_len: u8,
    code_len: u8,
    key_flags: u8,
    key_len: u8,
    interface: i32,
    good: u64,
    bad: u64,
}

const _: () = assert!(size_of::<Got>() == 128 + 64 + MAX_KEY_BYTES + 4 + 2 + 6 + 4 + 2 * 8);

// SAFETY: a struct of integers, for which all bytes are values; and the kernel takes none of
// them for an address of memory.
unsafe impl ReadOption for Got {
    const LEVEL: i32 = libc::IPPROTO_TCP;
    const NAME: i32 = TCP_AO_GET_KEYS;
}

/// `get_all`, the third bit-field of [`Got::flags`]: every key, of any peer.
const ALL: u16 = bit_field(2, u16::BITS) as u16;

impl Listener {
    /// Adds a key of TCP-AO for clients at `peer`: what goes there is signed with it, and
    /// nothing is taken from there that is not signed with one of the socket's keys.
    pub fn authenticate(&self, peer: IpAddr, key: Key) -> Result<()> {
        set_recorded(self, "TCP_AO_ADD_KEY", key.id, |socket| add(socket, peer, key))
            .call(|| format!("setsockopt({}, TCP_AO_ADD_KEY, {})", self.name(), key.id))
    }

    /// Drops segments of all clients that are not signed, and accepts ICMP errors: both are off
    /// otherwise.
    pub fn authenticate_everybody(&self) -> Result<()> {
        let info = Info { flags: REQUIRED | ACCEPT_ICMPS, ..Info::default() };
        let set = |socket: &Self| sockopt::write(socket, &info);
        set_recorded(self, "TCP_AO_INFO", "required, accept_icmps", set)
            .call(|| format!("setsockopt({}, TCP_AO_INFO, required, accept_icmps)", self.name()))
    }
}

impl Client {
    /// Adds a key of TCP-AO for the server's address.
    pub fn authenticate(&self, key: Key) -> Result<()> {
        let peer = self.local.ip();
        set_recorded(self, "TCP_AO_ADD_KEY", key.id, |socket| add(socket, peer, key))
            .call(|| format!("setsockopt({}, TCP_AO_ADD_KEY, {})", self.name(), key.id))
    }
}

fn add(socket: impl AsFd, peer: IpAddr, key: Key) -> io::Result<()> {
    let mut algorithm = [0; 64];
    let name = b"hmac(sha1)";
    algorithm[..name.len()].copy_from_slice(name);
    let mut padded = [0; MAX_KEY_BYTES];
    padded[..key.secret.len()].copy_from_slice(key.secret);
    let add = Add {
        address: sockopt::address(peer),
        algorithm,
        interface: 0,
        flags: 0,
        reserved: 0,
        prefix_len: if peer.to_canonical().is_ipv4() { 32 } else { 128 },
        send_id: key.id,
        receive_id: key.id,
        code_len: 0,
        key_flags: 0,
        key_len: key.secret.len() as u8,
        key: padded,
    };
    sockopt::write(socket, &add)
}

/// The keys of a connection, in words: `sends with 1, asks for 1, of 2 keys`; and what is on
/// by [`Listener::authenticate_everybody`].
///
/// # Errors
/// The kernel refuses.
pub fn keys(socket: impl AsFd) -> Result<String> {
    let mut info = Info::default();
    match sockopt::read(&socket, &mut info) {
        Err(e) if e.raw_os_error() == Some(Errno::ENOENT as i32) => return Ok("none".into()),
        got => got.call(|| "getsockopt(TCP_AO_INFO)".into())?,
    };
    let mut asked = Got { flags: ALL, count: 1, ..sockopt::zeroed() };
    sockopt::read(&socket, &mut asked).call(|| "getsockopt(TCP_AO_GET_KEYS)".into())?;
    let keys = match asked.count {
        1 => "1 key".to_owned(),
        many => format!("{many} keys"),
    };
    let Info { flags, current, next, .. } = info;
    let mut words = format!("sends with {current}, asks for {next}, of {keys}");
    for (flag, word) in [(REQUIRED, "required"), (ACCEPT_ICMPS, "accept_icmps")] {
        if flags & flag != 0 {
            words = format!("{words}, {word}");
        }
    }
    Ok(words)
}

/// Whether this kernel takes a key.
///
/// # Errors
/// ENOPROTOOPT where it does not have the option, ENOENT where it does not have the algorithm.
pub(crate) fn probe() -> Result<()> {
    let listener = Listener::unrecorded("a listener to try", Family::V4)?;
    listener.authenticate(Family::V4.loopback(), Key { id: 1, secret: b"key" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::of_kernel::{assert_members, bit, constant, offset, size};
    use std::mem::offset_of;

    #[test]
    fn layout_of_keys_and_what_is_asked_for() {
        assert_eq!(size_of::<Add>(), size("struct tcp_ao_add"));
        assert_members!(Add, "struct tcp_ao_add", {
            address: "addr", algorithm: "alg_name", interface: "ifindex", reserved: "reserved2",
            prefix_len: "prefix", send_id: "sndid", receive_id: "rcvid", code_len: "maclen",
            key_flags: "keyflags", key_len: "keylen", key: "key",
        });
        assert_eq!(bit("struct tcp_ao_add", "set_current").0, offset_of!(Add, flags));

        assert_eq!(size_of::<Info>(), size("struct tcp_ao_info_opt"));
        assert_members!(Info, "struct tcp_ao_info_opt", {
            reserved: "reserved2", current: "current_key", next: "rnext",
        });
        assert_eq!(offset_of!(Info, counters), offset("struct tcp_ao_info_opt", "pkt_good"));

        assert_eq!(size_of::<Got>(), size("struct tcp_ao_getsockopt"));
        assert_members!(Got, "struct tcp_ao_getsockopt", {
            address: "addr", algorithm: "alg_name", key: "key", count: "nkeys", send_id: "sndid",
            receive_id: "rcvid", prefix_len: "prefix", code_len: "maclen", key_flags: "keyflags",
            key_len: "keylen", interface: "ifindex", good: "pkt_good", bad: "pkt_bad",
        });
    }

    #[test]
    fn layout_of_flags_is_the_compiler_s() {
        let (at, required) = bit("struct tcp_ao_info_opt", "ao_required");
        assert_eq!((at, required), (offset_of!(Info, flags), REQUIRED));
        let (at, accept_icmps) = bit("struct tcp_ao_info_opt", "accept_icmps");
        assert_eq!((at, accept_icmps), (offset_of!(Info, flags), ACCEPT_ICMPS));
        let (at, all) = bit("struct tcp_ao_getsockopt", "get_all");
        assert_eq!((at, all), (offset_of!(Got, flags), u32::from(ALL)));
        // The fields are the first ones, and so are in the first byte on every machine.
        assert_eq!(REQUIRED.to_ne_bytes()[1..], [0; 3]);
        assert_eq!(ACCEPT_ICMPS.to_ne_bytes()[1..], [0; 3]);
        assert_eq!(ALL.to_ne_bytes()[1..], [0; 1]);
    }

    #[test]
    fn layout_of_the_options_numbers() {
        assert_eq!(i64::from(TCP_AO_ADD_KEY), constant("TCP_AO_ADD_KEY"));
        assert_eq!(i64::from(TCP_AO_INFO), constant("TCP_AO_INFO"));
        assert_eq!(i64::from(TCP_AO_GET_KEYS), constant("TCP_AO_GET_KEYS"));
        assert_eq!(MAX_KEY_BYTES as i64, constant("TCP_AO_MAXKEYLEN"));
    }
}
