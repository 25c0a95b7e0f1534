//! Descriptors in messages of UNIX sockets (`SCM_RIGHTS`), with every knob that the
//! kernel's rules are about in reach.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use libc::{MSG_CMSG_CLOEXEC, MSG_CTRUNC, MSG_DONTWAIT, MSG_PEEK, SCM_RIGHTS, SOL_SOCKET};
use nix::errno::Errno;

use crate::error::{Context, Result};
use crate::net::sockopt;

/// What a `recvmsg` returned.
#[derive(Debug)]
pub struct Message {
    /// Its data.
    pub bytes: Vec<u8>,
    /// The descriptors that were installed in this process.
    pub descriptors: Vec<OwnedFd>,
    /// MSG_CTRUNC: there were more than there was room for.
    pub truncated: bool,
}

/// How to receive.
#[derive(Debug, Clone, Copy)]
pub struct Receive {
    /// How many bytes of data there is room for.
    pub bytes: usize,
    /// How many bytes of control messages there is room for.
    pub control: usize,
    /// Whether everything stays in the queue (MSG_PEEK).
    pub peek: bool,
    /// Whether what is received is closed by exec (MSG_CMSG_CLOEXEC).
    pub close_on_exec: bool,
}

impl Receive {
    /// Room for anything that one message can have.
    pub const ALL: Self = Self { bytes: 256, control: 2048, peek: false, close_on_exec: true };
}

/// How many bytes a control message with this number of descriptors needs at least.
pub fn exact_room(descriptors: usize) -> usize {
    // SAFETY: an addition.
    unsafe { libc::CMSG_LEN(bytes_of(descriptors)) as usize }
}

/// As [`exact_room`], rounded up as CMSG_SPACE does and programs usually do.
pub fn usual_room(descriptors: usize) -> usize {
    // SAFETY: an addition.
    unsafe { libc::CMSG_SPACE(bytes_of(descriptors)) as usize }
}

fn bytes_of(descriptors: usize) -> u32 {
    (descriptors * size_of::<RawFd>()) as u32
}

/// Whether this kernel has sockets that descriptors can be sent through.
///
/// # Errors
/// EAFNOSUPPORT where it is built without.
pub(crate) fn probe() -> io::Result<()> {
    socket2::Socket::pair(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
    Ok(())
}

/// Sends data with the numbers of descriptors, none of which has to be open, and says how
/// many bytes of data the kernel took.
///
/// # Errors
/// As the kernel refuses.
pub fn send(socket: impl AsFd, bytes: &[u8], descriptors: &[RawFd]) -> io::Result<usize> {
    let mut control = vec![0_u64; usual_room(descriptors.len()).div_ceil(size_of::<u64>())];
    let mut data = iovec(bytes.as_ptr().cast_mut(), bytes.len());
    let mut message = message(&mut data);
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = usual_room(descriptors.len());
    // SAFETY: the control buffer has room for one message with all the descriptors, and is
    // aligned as its header.
    let sent = unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = SOL_SOCKET;
        (*header).cmsg_type = SCM_RIGHTS;
        (*header).cmsg_len = exact_room(descriptors.len());
        let numbers = libc::CMSG_DATA(header).cast::<RawFd>();
        std::ptr::copy_nonoverlapping(descriptors.as_ptr(), numbers, descriptors.len());
        libc::sendmsg(socket.as_fd().as_raw_fd(), &raw const message, MSG_DONTWAIT)
    };
    Ok(Errno::result(sent)? as usize)
}

/// Receives without waiting.
///
/// # Errors
/// As the kernel refuses; EAGAIN when there is nothing.
pub fn receive(socket: impl AsFd, how: Receive) -> io::Result<Message> {
    let mut bytes = vec![0_u8; how.bytes];
    let mut control = vec![0_u64; how.control.div_ceil(size_of::<u64>())];
    let mut data = iovec(bytes.as_mut_ptr(), bytes.len());
    let mut message = message(&mut data);
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = how.control;
    let flags = MSG_DONTWAIT
        | if how.peek { MSG_PEEK } else { 0 }
        | if how.close_on_exec { MSG_CMSG_CLOEXEC } else { 0 };
    // SAFETY: both buffers have the lengths that are said.
    let got = unsafe { libc::recvmsg(socket.as_fd().as_raw_fd(), &raw mut message, flags) };
    bytes.truncate(Errno::result(got)? as usize);
    let mut descriptors = vec![];
    // SAFETY: the kernel wrote whole control messages, and what SCM_RIGHTS brings are
    // descriptors that it opened just now for this process.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(&raw const message);
        while !header.is_null() {
            if ((*header).cmsg_level, (*header).cmsg_type) == (SOL_SOCKET, SCM_RIGHTS) {
                let numbers = libc::CMSG_DATA(header).cast::<RawFd>();
                let count = ((*header).cmsg_len - exact_room(0)) / size_of::<RawFd>();
                for at in 0..count {
                    descriptors.push(OwnedFd::from_raw_fd(numbers.add(at).read_unaligned()));
                }
            }
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
    }
    Ok(Message { bytes, descriptors, truncated: message.msg_flags & MSG_CTRUNC != 0 })
}

fn iovec(base: *mut u8, len: usize) -> libc::iovec {
    libc::iovec { iov_base: base.cast(), iov_len: len }
}

fn message(data: &mut libc::iovec) -> libc::msghdr {
    // SAFETY: a msghdr is lengths, flags and raw pointers: zeros are values of all of them.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = data;
    message.msg_iovlen = 1;
    message
}

/// `SO_PASSRIGHTS` of newer kernels; the libc crate has no name for it yet.
const SO_PASSRIGHTS: i32 = 83;

/// Has a socket refuse descriptors.
///
/// # Errors
/// ENOPROTOOPT before Linux 6.16.
pub fn refuse(socket: impl AsFd) -> io::Result<()> {
    sockopt::set_number(socket, SOL_SOCKET, SO_PASSRIGHTS, 0)
}

/// Whether exec closes a descriptor.
pub fn closed_by_exec(descriptor: BorrowedFd<'_>) -> Result<bool> {
    use nix::fcntl::{FcntlArg, FdFlag, fcntl};
    let flags = fcntl(descriptor, FcntlArg::F_GETFD).call(|| "fcntl(F_GETFD)".into())?;
    Ok(FdFlag::from_bits_truncate(flags).contains(FdFlag::FD_CLOEXEC))
}

/// What a UNIX socket says to `SO_REUSEPORT`.
///
/// # Errors
/// There can be no UNIX socket.
pub fn reuse_port_of_unix_socket() -> Result<std::io::Result<()>> {
    let unix = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)
        .call(|| "socket(AF_UNIX)".into())?;
    Ok(unix.set_reuse_port(true))
}
