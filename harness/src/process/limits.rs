//! What a user is allowed to have: descriptors, and memory.

use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use crate::error::{Context, Result};

/// The exit code of a process that has got no memory when it needed some.
pub const OUT_OF_MEMORY: i32 = 69;

/// As many descriptors as a thousand labs at a time need, and their matrix.
const DESCRIPTORS: rlim_t = 1 << 16;

/// The stack that Linux gives a process, in bytes.
const STACK: rlim_t = 8 << 20;

/// Meets the limits that a shell sets in a way that can be reported: descriptors as many as the
/// user may have, though not millions of them; a file that becomes too large is an error of the
/// call that writes it; and a process without memory ends with [`OUT_OF_MEMORY`].
///
/// Programs that are started have their signals as ever.
pub fn prepare() {
    // What is refused here is met later, and reported there.
    let _ = raise(Resource::RLIMIT_NOFILE, DESCRIPTORS);
    let _ = raise(Resource::RLIMIT_STACK, STACK);
    catch(Signal::SIGXFSZ, do_nothing);
    catch(Signal::SIGABRT, end_without_memory);
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
