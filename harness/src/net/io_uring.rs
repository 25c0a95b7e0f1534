//! Closing a descriptor without `close(2)`: through a ring that the kernel works off.

use std::io;
use std::os::fd::{IntoRawFd, OwnedFd};

use io_uring::{IoUring, Probe, opcode, types};
use nix::errno::Errno;

/// Closes a descriptor (`IORING_OP_CLOSE`), and returns when the kernel says that it is done.
///
/// # Errors
/// There can be no ring, or the kernel refuses; the descriptor is lost even so.
pub(crate) fn close(descriptor: OwnedFd) -> io::Result<()> {
    let mut ring = IoUring::new(1)?;
    let entry = opcode::Close::new(types::Fd(descriptor.into_raw_fd())).build();
    // SAFETY: the entry refers to no memory, and nothing else owns the descriptor any more.
    unsafe { ring.submission().push(&entry) }.map_err(io::Error::other)?;
    ring.submit_and_wait(1)?;
    let done = ring.completion().next().ok_or(io::ErrorKind::UnexpectedEof)?;
    Errno::result(done.result()).map(drop).map_err(|_| io::Error::from_raw_os_error(-done.result()))
}

/// Whether this kernel has rings that close descriptors.
///
/// # Errors
/// ENOSYS where it is built without rings, EPERM where they are turned off
/// (`kernel.io_uring_disabled`), and EINVAL or EOPNOTSUPP before Linux 5.6, whose rings cannot
/// close.
pub(crate) fn probe() -> io::Result<()> {
    let ring = IoUring::new(1)?;
    let mut known = Probe::new();
    ring.submitter().register_probe(&mut known)?;
    match known.is_supported(opcode::Close::CODE) {
        true => Ok(()),
        false => Err(Errno::EOPNOTSUPP.into()),
    }
}
