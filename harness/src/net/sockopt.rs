//! Socket options and calls that no crate wraps, and the classic BPF programs that some of them take.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd};

use libc::sock_filter;
use libc::{
    BPF_ABS, BPF_ALU, BPF_AND, BPF_B, BPF_H, BPF_JA, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET,
    BPF_W,
};
use nix::errno::Errno;
use socket2::SockAddr;

/// Sets an option to a plain C value.
pub(crate) fn set<T: Copy>(fd: impl AsFd, level: i32, name: i32, value: &T) -> io::Result<()> {
    // SAFETY: `value` is readable for its size; the kernel copies it.
    let done = unsafe {
        libc::setsockopt(
            fd.as_fd().as_raw_fd(),
            level,
            name,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as u32,
        )
    };
    Errno::result(done).map(drop).map_err(io::Error::from)
}

/// An address as options have it whose values tell of a peer; its port is 0, for any.
pub(crate) fn address(of: IpAddr) -> libc::sockaddr_storage {
    let peer = SockAddr::from(SocketAddr::new(of, 0));
    // SAFETY: all-zero bytes are a valid sockaddr_storage.
    let mut address: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    // SAFETY: both are a sockaddr_storage at least as long as the address.
    unsafe {
        std::ptr::copy_nonoverlapping(
            peer.as_ptr().cast::<u8>(),
            (&raw mut address).cast::<u8>(),
            peer.len() as usize,
        );
    }
    address
}

/// Reads an option into a buffer of plain C values, and says how many bytes there are.
pub(crate) fn get<T: Copy>(
    fd: impl AsFd,
    level: i32,
    name: i32,
    into: &mut [T],
) -> io::Result<usize> {
    let mut len = size_of_val(into) as u32;
    // SAFETY: the buffer has the length that is said; the callers' values may be any bytes.
    let got = unsafe {
        libc::getsockopt(
            fd.as_fd().as_raw_fd(),
            level,
            name,
            into.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    Errno::result(got)?;
    Ok(len as usize)
}

/// Reads an option that is an array of numbers, as many as `into` has room for, and says
/// how many there are.
pub(crate) fn numbers(fd: impl AsFd, level: i32, name: i32, into: &mut [u32]) -> io::Result<usize> {
    Ok(get(fd, level, name, into)? / size_of::<u32>())
}

/// Reads an option of at most 256 bytes.
pub(crate) fn bytes(fd: impl AsFd, level: i32, name: i32) -> io::Result<Vec<u8>> {
    let mut into = vec![0_u8; 256];
    let len = get(fd, level, name, &mut into)?;
    into.truncate(len);
    Ok(into)
}

/// `SO_ATTACH_REUSEPORT_CBPF`: from now on the socket's group gives every connection to
/// its member at `index`; where there is none, to the one that the hash says.
pub(crate) fn select_index(fd: impl AsFd, index: u32) -> io::Result<()> {
    let mut program = [op(BPF_RET | BPF_K, index)];
    let program = libc::sock_fprog { len: 1, filter: program.as_mut_ptr() };
    set(fd, libc::SOL_SOCKET, libc::SO_ATTACH_REUSEPORT_CBPF, &program)
}

/// `SO_DETACH_REUSEPORT_BPF`, of any kind of program.
pub(crate) fn select_by_hash(fd: impl AsFd) -> io::Result<()> {
    set(fd, libc::SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, &0)
}

/// Of `asm-generic/socket.h`; the libc crate has it not for every target.
const SO_DETACH_REUSEPORT_BPF: i32 = 68;

/// `SO_ATTACH_FILTER`: from now on the socket gets only what `program` lets through.
pub(crate) fn attach_filter(fd: impl AsFd, program: &mut [sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    set(fd, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
}

/// `SO_DETACH_FILTER`.
pub(crate) fn detach_filter(fd: impl AsFd) -> io::Result<()> {
    set(fd, libc::SOL_SOCKET, libc::SO_DETACH_FILTER, &0)
}

/// `connect` to AF_UNSPEC: a listener stops listening, a connection is reset.
pub(crate) fn disconnect(fd: impl AsFd) -> io::Result<()> {
    let nowhere =
        libc::sockaddr { sa_family: libc::AF_UNSPEC as libc::sa_family_t, sa_data: [0; 14] };
    let len = size_of::<libc::sockaddr>() as libc::socklen_t;
    // SAFETY: the address is a sockaddr and its length is said.
    let done = unsafe { libc::connect(fd.as_fd().as_raw_fd(), &raw const nowhere, len) };
    Errno::result(done).map(drop).map_err(io::Error::from)
}

/// Closes a descriptor by `close_range`, which is given it alone.
pub(crate) fn close_range(descriptor: OwnedFd) -> io::Result<()> {
    let number = descriptor.into_raw_fd() as libc::c_uint;
    // SAFETY: the descriptor is nobody's any more.
    let done = unsafe { libc::syscall(libc::SYS_close_range, number, number, 0) };
    Errno::result(done).map(drop).map_err(io::Error::from)
}

const fn op(code: u32, k: u32) -> sock_filter {
    sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

/// Loads a byte of the packet; like the other loads, from a `libc::SKF_*` offset if that is
/// added.
pub(crate) const fn load_byte(offset: u32) -> sock_filter {
    op(BPF_LD | BPF_B | BPF_ABS, offset)
}

/// Loads two bytes, big-endian.
pub(crate) const fn load_half(offset: u32) -> sock_filter {
    op(BPF_LD | BPF_H | BPF_ABS, offset)
}

/// Loads four bytes, big-endian.
pub(crate) const fn load_word(offset: u32) -> sock_filter {
    op(BPF_LD | BPF_W | BPF_ABS, offset)
}

/// Keeps only the bits of `mask`.
pub(crate) const fn and(mask: u32) -> sock_filter {
    op(BPF_ALU | BPF_AND | BPF_K, mask)
}

/// Skips so many instructions unless what was loaded is `value`.
pub(crate) const fn unless_equal(value: u32, skipped: u8) -> sock_filter {
    sock_filter { code: (BPF_JMP | BPF_JEQ | BPF_K) as u16, jt: 0, jf: skipped, k: value }
}

/// Ends: the packet is dropped.
pub(crate) const DROP: sock_filter = op(BPF_RET | BPF_K, 0);

/// Ends: the whole packet passes.
pub(crate) const PASS: sock_filter = op(BPF_RET | BPF_K, u32::MAX);

/// Skips so many instructions.
pub(crate) const fn skip(instructions: u32) -> sock_filter {
    op(BPF_JMP | BPF_JA, instructions)
}
