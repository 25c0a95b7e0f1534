//! Threads, which a user may have too many of already.

use std::thread::{Builder, JoinHandle, Scope, ScopedJoinHandle};

use nix::errno::Errno;

use crate::error::{Context, Result};

/// Starts a thread, as `std::thread::spawn` does where there is room for it.
///
/// # Errors
/// There is no room.
pub fn spawn<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>> {
    check_room()?;
    Builder::new().stack_size(STACK).spawn(work).made(clone)
}

/// Starts a thread of a scope, as `Scope::spawn` does where there is room for it.
///
/// # Errors
/// There is no room.
pub fn spawn_scoped<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>> {
    check_room()?;
    Builder::new().stack_size(STACK).spawn_scoped(scope, work).made(clone)
}

/// Rust's own, whatever the environment says (`RUST_MIN_STACK`). In bytes.
const STACK: usize = 2 << 20;

/// Memory that must be there for more than a thread's stack: Rust gives it a second one, for
/// signals, and ends the program where that cannot be had. More than one may start at once.
const ROOM: usize = 16 << 20;

fn check_room() -> Result<()> {
    let mut room: Vec<u8> = Vec::new();
    room.try_reserve_exact(ROOM)
        .map_err(|_| Errno::ENOMEM)
        .made(|| format!("mmap({ROOM}), before clone(CLONE_THREAD)"))
}

fn clone() -> String {
    "clone(CLONE_THREAD)".into()
}
