//! Socket options and calls that no crate wraps, and the classic BPF programs that some of
//! them take.

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

use crate::error::returned_zero;

/// A C type that is the value of one socket option, whose kernel writes it.
///
/// # Safety
/// All bytes are a value of the type, which rules out references, `bool` and enums; and the
/// kernel uses nothing in the value of this option as an address.
pub(crate) unsafe trait ReadOption: Copy {
    /// The level of the option (`SOL_SOCKET`, `IPPROTO_TCP`, ...).
    const LEVEL: i32;
    /// The option's number.
    const NAME: i32;
}

/// A C type that is the value of one socket option, whose kernel reads it.
///
/// # Safety
/// The type has no padding, whose bytes would be read uninitialised; and the kernel uses
/// nothing in the value of this option as an address.
pub(crate) unsafe trait WriteOption: Copy {
    /// The level of the option (`SOL_SOCKET`, `IPPROTO_TCP`, ...).
    const LEVEL: i32;
    /// The option's number.
    const NAME: i32;
}

/// A value whose bytes are all zero, to be read into.
pub(crate) fn zeroed<T: ReadOption>() -> T {
    // SAFETY: all bytes are a value of the type.
    unsafe { std::mem::zeroed() }
}

/// Reads an option into `value`, as much of it as this kernel has, and says how many bytes
/// these are. What an option asks for is in `value` before.
pub(crate) fn read<T: ReadOption>(fd: impl AsFd, value: &mut T) -> io::Result<usize> {
    // SAFETY: all bytes are a value of the type, and none of them an address.
    unsafe { get(fd, T::LEVEL, T::NAME, std::slice::from_mut(value)) }
}

/// Sets an option.
pub(crate) fn write<T: WriteOption>(fd: impl AsFd, value: &T) -> io::Result<()> {
    // SAFETY: the type has no padding, and no address in it.
    unsafe { set(fd, T::LEVEL, T::NAME, value) }
}

/// Sets an option whose value is a number.
pub(crate) fn set_number(fd: impl AsFd, level: i32, name: i32, number: i32) -> io::Result<()> {
    // SAFETY: a number has no padding, and no option has an address in four bytes.
    unsafe { set(fd, level, name, &number) }
}

/// The length of the longest name that an option can be set to, a zero at its end included.
const NAME_BYTES: usize = libc::IFNAMSIZ;

/// Sets an option whose value is a name of at most [`NAME_BYTES`] bytes.
///
/// # Errors
/// `InvalidInput` for a longer one, and what the kernel refuses.
pub(crate) fn set_name(fd: impl AsFd, level: i32, name: i32, value: &[u8]) -> io::Result<()> {
    let mut padded = [0; NAME_BYTES];
    let Some(start) = padded.get_mut(..value.len()) else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("a name of {} bytes, where {NAME_BYTES} are the most", value.len()),
        ));
    };
    start.copy_from_slice(value);
    // SAFETY: bytes have no padding. Options whose value has an address that the kernel
    // writes to are longer (`struct xdp_umem_reg` is the shortest).
    unsafe { set(fd, level, name, &padded) }
}

/// # Safety
/// `T` has no padding, and whatever the kernel takes for an address in it is one of memory
/// that it may read.
unsafe fn set<T: Copy>(fd: impl AsFd, level: i32, name: i32, value: &T) -> io::Result<()> {
    // SAFETY: `value` is readable for its size, and the kernel copies it; the rest is the
    // caller's.
    let done = unsafe {
        libc::setsockopt(
            fd.as_fd().as_raw_fd(),
            level,
            name,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as u32,
        )
    };
    returned_zero(done)
}

/// # Safety
/// All bytes are a value of `T`, and the kernel finds no address in `into` that it would
/// write to.
unsafe fn get<T: Copy>(fd: impl AsFd, level: i32, name: i32, into: &mut [T]) -> io::Result<usize> {
    let mut len = size_of_val(into) as u32;
    // SAFETY: the kernel writes no more than `len` bytes, which the buffer has; the rest is
    // the caller's.
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

/// Reads an option that is a number.
pub(crate) fn number(fd: impl AsFd, level: i32, name: i32) -> io::Result<u32> {
    numbers::<1>(fd, level, name).map(|[number]| number)
}

/// Reads an option that is an array of numbers; those that this kernel does not have are 0.
pub(crate) fn numbers<const N: usize>(
    fd: impl AsFd,
    level: i32,
    name: i32,
) -> io::Result<[u32; N]> {
    let mut into = [0; N];
    // SAFETY: all bytes are numbers, and zeros are the address of nothing.
    unsafe { get(fd, level, name, &mut into) }?;
    Ok(into)
}

/// Reads an option of at most 256 bytes.
pub(crate) fn bytes(fd: impl AsFd, level: i32, name: i32) -> io::Result<Vec<u8>> {
    let mut into = vec![0_u8; 256];
    // SAFETY: all bytes are bytes, and zeros are the address of nothing.
    let len = unsafe { get(fd, level, name, &mut into) }?;
    into.truncate(len);
    Ok(into)
}

/// How many instructions the socket's classic filter has; 0 where there is none.
///
/// # Errors
/// EACCES where the filter is an eBPF program.
pub(crate) fn filter_length(fd: impl AsFd) -> io::Result<usize> {
    // Asked for no instructions, the kernel answers how many there are.
    let mut none: [u8; 0] = [];
    // SAFETY: the kernel writes nothing.
    unsafe { get(fd, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &mut none) }
}

/// An address as it stands in options for one peer; its port is 0, for any.
pub(crate) fn address(of: IpAddr) -> libc::sockaddr_storage {
    let peer = SockAddr::from(SocketAddr::new(of, 0));
    // SAFETY: a sockaddr_storage is integers, for which zeros are values.
    let mut address: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    let len = (peer.len() as usize).min(size_of::<libc::sockaddr_storage>());
    // SAFETY: `peer` has `len` bytes, and `address` has room for them.
    unsafe {
        std::ptr::copy_nonoverlapping(
            peer.as_ptr().cast::<u8>(),
            (&raw mut address).cast::<u8>(),
            len,
        );
    }
    address
}

/// `SO_ATTACH_REUSEPORT_CBPF`: from now on the socket's group gives every connection to
/// its member at `index`; where there is none, to the one that the hash selects.
pub(crate) fn select_index(fd: impl AsFd, index: u32) -> io::Result<()> {
    set_program(fd, libc::SO_ATTACH_REUSEPORT_CBPF, &[op(BPF_RET | BPF_K, index)])
}

/// `SO_DETACH_REUSEPORT_BPF`, of any kind of program.
pub(crate) fn select_by_hash(fd: impl AsFd) -> io::Result<()> {
    set_number(fd, libc::SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, 0)
}

/// Of `asm-generic/socket.h`; the libc crate does not have it for every target.
const SO_DETACH_REUSEPORT_BPF: i32 = 68;

/// `SO_ATTACH_FILTER`: from now on the socket gets only what `program` lets through.
pub(crate) fn attach_filter(fd: impl AsFd, program: &[sock_filter]) -> io::Result<()> {
    set_program(fd, libc::SO_ATTACH_FILTER, program)
}

/// `struct sock_fprog` of `linux/filter.h`, with its padding as a part of the length.
#[repr(C)]
#[derive(Clone, Copy)]
struct Program {
    len: usize,
    filter: *const sock_filter,
}

const _: () = assert!(size_of::<Program>() == size_of::<libc::sock_fprog>());

fn set_program(fd: impl AsFd, option: i32, program: &[sock_filter]) -> io::Result<()> {
    let Ok(len) = u16::try_from(program.len()) else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("a program of {} instructions", program.len()),
        ));
    };
    // The kernel reads the first two bytes.
    let mut bytes = [0; size_of::<usize>()];
    bytes[..2].copy_from_slice(&len.to_ne_bytes());
    let program = Program { len: usize::from_ne_bytes(bytes), filter: program.as_ptr() };
    // SAFETY: two words have no padding between them; the kernel reads the
    // instructions, whose number is the length.
    unsafe { set(fd, libc::SOL_SOCKET, option, &program) }
}

/// `SO_DETACH_FILTER`.
pub(crate) fn detach_filter(fd: impl AsFd) -> io::Result<()> {
    set_number(fd, libc::SOL_SOCKET, libc::SO_DETACH_FILTER, 0)
}

/// `listen`.
pub(crate) fn listen(fd: impl AsFd, backlog: i32) -> io::Result<()> {
    // SAFETY: the call is given no address.
    returned_zero(unsafe { libc::listen(fd.as_fd().as_raw_fd(), backlog) })
}

/// `ioctl(FIONBIO)`: whether calls on the socket wait. It is one call, and `fcntl` would be two.
pub(crate) fn set_nonblocking(fd: impl AsFd, nonblocking: bool) -> io::Result<()> {
    let mut value = libc::c_int::from(nonblocking);
    // SAFETY: the kernel reads the number that the address is of.
    let done = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::FIONBIO as _, &raw mut value) };
    returned_zero(done)
}

/// `connect` to AF_UNSPEC: a listener stops listening, a connection is reset.
pub(crate) fn disconnect(fd: impl AsFd) -> io::Result<()> {
    let nowhere =
        libc::sockaddr { sa_family: libc::AF_UNSPEC as libc::sa_family_t, sa_data: [0; 14] };
    let len = size_of::<libc::sockaddr>() as libc::socklen_t;
    // SAFETY: the address is a sockaddr and its length is said.
    let done = unsafe { libc::connect(fd.as_fd().as_raw_fd(), &raw const nowhere, len) };
    returned_zero(done)
}

/// Closes a descriptor by `close_range`, which is given it alone.
pub(crate) fn close_range(descriptor: OwnedFd) -> io::Result<()> {
    let number = descriptor.into_raw_fd() as libc::c_uint;
    // SAFETY: nothing else owns the descriptor any more.
    let done = unsafe { libc::syscall(libc::SYS_close_range, number, number, 0) };
    Errno::result(done).map(drop).map_err(io::Error::from)
}

/// Whether this kernel has `close_range`: it is given descriptors that nobody can have open.
///
/// # Errors
/// ENOSYS before Linux 5.9, or what a filter of system calls answers.
pub(crate) fn probe_close_range() -> io::Result<()> {
    let beyond = libc::c_uint::MAX;
    // SAFETY: a descriptor's number is an int, and this one is greater than any.
    let done = unsafe { libc::syscall(libc::SYS_close_range, beyond, beyond, 0) };
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

/// Skips this number of instructions unless what was loaded is `value`.
pub(crate) const fn unless_equal(value: u32, skipped: u8) -> sock_filter {
    sock_filter { code: (BPF_JMP | BPF_JEQ | BPF_K) as u16, jt: 0, jf: skipped, k: value }
}

/// Ends: the packet is dropped.
pub(crate) const DROP: sock_filter = op(BPF_RET | BPF_K, 0);

/// Ends: the whole packet passes.
pub(crate) const PASS: sock_filter = op(BPF_RET | BPF_K, u32::MAX);

/// Skips this number of instructions.
pub(crate) const fn skip(instructions: u32) -> sock_filter {
    op(BPF_JMP | BPF_JA, instructions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::{Domain, Socket, Type};

    fn socket() -> Socket {
        Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket")
    }

    #[test]
    fn a_name_that_is_too_long_is_refused() {
        let set = |name: &[u8]| set_name(socket(), libc::IPPROTO_TCP, libc::TCP_CONGESTION, name);
        set(b"reno").expect("an algorithm that every kernel has");
        let refused = set(&[b'a'; NAME_BYTES + 1]).expect_err("too long");
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(refused.to_string(), "a name of 17 bytes, where 16 are the most");
    }

    #[test]
    fn a_program_that_is_too_long_is_refused() {
        let program = vec![PASS; usize::from(u16::MAX) + 1];
        let refused = attach_filter(socket(), &program).expect_err("too long");
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn an_option_that_is_shorter_than_the_room_for_it_leaves_zeros() {
        let [kind, none] = numbers(socket(), libc::SOL_SOCKET, libc::SO_TYPE).expect("a type");
        assert_eq!((kind, none), (libc::SOCK_STREAM as u32, 0));
    }

    #[test]
    fn layout_of_programs_and_options() {
        use crate::layout::of_kernel::{assert_members, constant, size};
        assert_eq!(size_of::<sock_filter>(), size("struct sock_filter"));
        assert_members!(sock_filter, "struct sock_filter", {
            code: "code", jt: "jt", jf: "jf", k: "k",
        });
        // Its length is at its beginning on every machine.
        assert_eq!(std::mem::offset_of!(libc::sock_fprog, len), 0);
        assert_eq!(
            std::mem::offset_of!(Program, filter),
            std::mem::offset_of!(libc::sock_fprog, filter)
        );
        assert_eq!(i64::from(SO_DETACH_REUSEPORT_BPF), constant("SO_DETACH_REUSEPORT_BPF"));
    }
}
