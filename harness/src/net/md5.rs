//! TCP's MD5 signatures (RFC 2385), which the kernel checks before it looks for a
//! listener to migrate to.

use std::io;
use std::os::fd::AsFd;

use crate::net::family::Family;
use crate::net::sockopt::{self, WriteOption};

/// `struct tcp_md5sig` of `linux/tcp.h`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Signature {
    address: libc::sockaddr_storage,
    flags: u8,
    prefix_len: u8,
    key_len: u16,
    interface: i32,
    key: [u8; libc::TCP_MD5SIG_MAXKEYLEN],
}

const _: () = assert!(size_of::<Signature>() == 136 + libc::TCP_MD5SIG_MAXKEYLEN);

// SAFETY: the sum of its fields is its size, so that it has no padding; and the kernel copies
// addresses of the network from it, none of memory.
unsafe impl WriteOption for Signature {
    const LEVEL: i32 = libc::IPPROTO_TCP;
    const NAME: i32 = libc::TCP_MD5SIG;
}

/// Makes `socket` sign what it sends to the loopback address, and take nothing from there
/// that is not signed with `key`.
pub(crate) fn sign(socket: impl AsFd, family: Family, key: &[u8]) -> io::Result<()> {
    let address = sockopt::address(family.loopback());
    let mut padded = [0; libc::TCP_MD5SIG_MAXKEYLEN];
    padded[..key.len()].copy_from_slice(key);
    let key_len = key.len() as u16;
    let signature =
        Signature { address, flags: 0, prefix_len: 0, key_len, interface: 0, key: padded };
    sockopt::write(socket, &signature)
}

#[cfg(test)]
mod tests {
    use super::Signature;
    use crate::layout::of_kernel::{assert_members, size};

    #[test]
    fn layout_of_a_signature() {
        assert_eq!(size_of::<Signature>(), size("struct tcp_md5sig"));
        assert_members!(Signature, "struct tcp_md5sig", {
            address: "tcpm_addr",
            flags: "tcpm_flags",
            prefix_len: "tcpm_prefixlen",
            key_len: "tcpm_keylen",
            interface: "tcpm_ifindex",
            key: "tcpm_key",
        });
    }
}
