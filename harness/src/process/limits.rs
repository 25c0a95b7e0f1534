//! What a user is allowed to have: descriptors, and memory.

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, rlim_t, setrlimit};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use crate::error::{Context, Result};

/// The exit code of a process that has got no memory when it needed some.
pub const OUT_OF_MEMORY: i32 = 69;

/// As many descriptors as a thousand labs at a time need, and their matrix.
const DESCRIPTORS: rlim_t = 1 << 16;

/// The stack that Linux gives a process, in bytes.
const STACK: rlim_t = 8 << 20;

/// The stack that this program needs, in bytes. With a quarter less it has done everything; what
/// is not optimized takes more.
const LEAST_STACK: rlim_t = if cfg!(debug_assertions) { 512 << 10 } else { 128 << 10 };

/// The stack is smaller than what this program needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the stack may have {} KiB, and {} KiB are needed: ulimit -s limits it",
    bytes >> 10,
    LEAST_STACK >> 10
)]
pub struct SmallStack {
    /// How large it may become.
    pub bytes: u64,
}

/// Meets the limits that a shell sets in a way that can be reported: descriptors as many as the
/// user may have, though not millions of them; a file that becomes too large is an error of the
/// call that writes it; and a process without memory ends with [`OUT_OF_MEMORY`].
///
/// Programs that are started have their signals as ever.
///
/// # Errors
/// The stack is too small for this program to go on.
pub fn prepare() -> std::result::Result<(), SmallStack> {
    // What is refused here is met later, and reported there.
    let _ = raise(Resource::RLIMIT_NOFILE, DESCRIPTORS);
    let _ = raise(Resource::RLIMIT_STACK, STACK);
    catch(Signal::SIGXFSZ, do_nothing);
    catch(Signal::SIGABRT, end_without_memory);
    if getrlimit(Resource::RLIMIT_AS).is_ok_and(|(now, _)| now != RLIM_INFINITY) {
        share_memory_among_threads();
    }
    match getrlimit(Resource::RLIMIT_STACK) {
        Ok((bytes, _)) if bytes < LEAST_STACK => Err(SmallStack { bytes }),
        _ => Ok(()),
    }
}

/// Has all threads take memory from the same place, where there are few addresses: the C library
/// would keep 64 MiB of them for each thread.
fn share_memory_among_threads() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it sets a number of the C library's.
    let _ = unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}

/// Lets this process have as many descriptors as the user may.
///
/// # Errors
/// The kernel refuses.
pub fn use_every_descriptor() -> Result<()> {
    raise(Resource::RLIMIT_NOFILE, rlim_t::MAX)
}

fn raise(limit: Resource, enough: rlim_t) -> Result<()> {
    let (now, most) = getrlimit(limit).call(|| format!("getrlimit({limit:?})"))?;
    let new = most.min(enough).max(now);
    setrlimit(limit, new, most).call(|| format!("setrlimit({limit:?}, {new})"))
}

fn catch(signal: Signal, handler: extern "C" fn(i32)) {
    let handler = SigHandler::Handler(handler);
    let action = SigAction::new(handler, SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: both handlers are async-signal-safe: nothing, or write(2) and _exit(2).
    let _ = unsafe { sigaction(signal, &action) };
}

extern "C" fn do_nothing(_: i32) {}

/// Rust has said how much it could not have, on standard error, before it aborts.
extern "C" fn end_without_memory(_: i32) {
    const ADVICE: &str = "sockmig: there is too little memory for it: ulimit -v, ulimit -s and \
                          the memory.max of its control group limit what it may have\n";
    // SAFETY: system calls; the buffer is a static, and has this length.
    unsafe {
        libc::write(2, ADVICE.as_ptr().cast(), ADVICE.len());
        libc::_exit(OUT_OF_MEMORY);
    }
}
