//! SIGINT and the like: caught once, seen by every thread that waits.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, Ordering};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::time::{TimeSpec, TimeValLike};
use nix::unistd::pipe2;

static CAUGHT: AtomicBool = AtomicBool::new(false);
/// When the first was caught, in nanoseconds of the monotonic clock; 0 before.
static FIRST: AtomicI64 = AtomicI64::new(0);
/// Within this time another is the same wish: `timeout` sends two.
const ONE_WISH_NS: i64 = 1_000_000_000;
/// The pipe's write end for the handler, which may touch nothing but atomics.
static WRITE_END: AtomicI32 = AtomicI32::new(-1);
static PIPE: OnceLock<(OwnedFd, OwnedFd)> = OnceLock::new();

/// Catches SIGINT, SIGTERM and SIGHUP from now on; one that comes more than a second after the
/// first kills as usual, and the labs die with their parent. A signal that whoever started this program has it ignore, as
/// `nohup` does, stays ignored.
///
/// # Errors
/// The pipe or the handlers cannot be made.
pub fn catch() -> io::Result<()> {
    if PIPE.get().is_some() {
        return Ok(());
    }
    let (read, write) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
    WRITE_END.store(write.as_raw_fd(), Ordering::Release);
    let _ = PIPE.set((read, write));
    let action = SigAction::new(SigHandler::Handler(handle), SaFlags::empty(), SigSet::empty());
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        if is_ignored(signal)? {
            continue;
        }
        // SAFETY: the handler is async-signal-safe: atomics, clock_gettime(2), signal(2), raise(3)
        // and write(2).
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(())
}

/// Whether this program was started so that a signal does nothing to it.
fn is_ignored(signal: Signal) -> io::Result<bool> {
    let mut now = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: without a new action, the call only fills in the present one.
    let now = unsafe {
        Errno::result(libc::sigaction(signal as i32, std::ptr::null(), now.as_mut_ptr()))?;
        now.assume_init()
    };
    Ok(now.sa_sigaction == libc::SIG_IGN)
}

extern "C" fn handle(signal: i32) {
    let now = monotonic_ns();
    let first = FIRST.compare_exchange(0, now, Ordering::AcqRel, Ordering::Acquire);
    if first.is_err_and(|first| now - first > ONE_WISH_NS) {
        // SAFETY: both are async-signal-safe. The signal arrives when this handler is left.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
            libc::raise(signal);
        }
        return;
    }
    CAUGHT.store(true, Ordering::Release);
    let fd = WRITE_END.load(Ordering::Acquire);
    // SAFETY: one byte of a static; the pipe is never closed and never blocks.
    unsafe { libc::write(fd, c"!".as_ptr().cast(), 1) };
}

/// The monotonic clock, read as a signal handler may.
fn monotonic_ns() -> i64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call fills in what it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    TimeSpec::from(now).num_nanoseconds()
}

/// Whether an interruption was caught.
pub fn caught() -> bool {
    CAUGHT.load(Ordering::Acquire)
}

/// Readable once, and for good, when an interruption was caught. `None` before [`catch`].
pub fn announced() -> Option<BorrowedFd<'static>> {
    PIPE.get().map(|(read, _)| read.as_fd())
}
