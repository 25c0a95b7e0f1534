//! Threads, which a user may have too many of already.

use std::fs;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle, Scope, ScopedJoinHandle};

use nix::errno::Errno;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};

use crate::error::{Context, Result};

/// Starts a thread, as `std::thread::spawn` does where there is room for it.
///
/// # Errors
/// There is no room.
pub fn spawn<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>> {
    check_room()?;
    let (begin, begun) = channel();
    let work = telling(begin, work);
    let thread = Builder::new().stack_size(STACK).spawn(work).map_err(answer).made(clone)?;
    until_it_runs(&begun);
    Ok(thread)
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
    let (begin, begun) = channel();
    let work = telling(begin, work);
    let thread = Builder::new().stack_size(STACK).spawn_scoped(scope, work);
    let thread = thread.map_err(answer).made(clone)?;
    until_it_runs(&begun);
    Ok(thread)
}

/// Rust's own, whatever the environment says (`RUST_MIN_STACK`). In bytes.
const STACK: usize = 2 << 20;

/// Memory that must be there for more than a thread's stack: Rust gives it a second one, for
/// signals, and ends the program where that cannot be had. Those that run already may want some.
const ROOM: usize = 16 << 20;

fn check_room() -> Result<()> {
    let mut room: Vec<u8> = Vec::new();
    room.try_reserve_exact(ROOM)
        .map_err(|_| Errno::ENOMEM)
        .made(|| format!("mmap({ROOM}), before clone(CLONE_THREAD)"))
}

/// The C library says that there are too many threads where there are no addresses for a stack, too.
fn answer(refused: io::Error) -> io::Error {
    let Ok((limit, _)) = getrlimit(Resource::RLIMIT_AS) else { return refused };
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    match most_addresses(&status) {
        Some(most) if limit != RLIM_INFINITY && had_no_addresses(most, limit) => {
            Errno::ENOMEM.into()
        }
        _ => refused,
    }
}

/// How many bytes of addresses this process has had at most, by its `/proc/self/status`. What it
/// has now says less: another thread may have given some back since.
fn most_addresses(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

/// Whether a process that has had so many bytes of addresses at most may have been refused a
/// thread's memory for this limit.
fn had_no_addresses(most: u64, limit: u64) -> bool {
    most + (STACK + ROOM) as u64 > limit
}

/// The work of a thread that says when it runs.
fn telling<T>(begin: Sender<()>, work: impl FnOnce() -> T) -> impl FnOnce() -> T {
    move || {
        // Nobody listens when the one who started it has ended.
        let _ = begin.send(());
        work()
    }
}

/// Waits until a thread has its second stack, so that the next one is not started on room that
/// this one is about to take.
fn until_it_runs(begun: &Receiver<()>) {
    // It has ended, which is as good.
    let _ = begun.recv();
}

fn clone() -> String {
    "clone(CLONE_THREAD)".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_had_addresses() {
        let status = fs::read_to_string("/proc/self/status").expect("a status");
        let most = most_addresses(&status).expect("VmPeak");
        assert!(most > STACK as u64, "{status}");
        assert_eq!(
            most_addresses("Name:\tx\nVmPeak:\t    2048 kB\nVmSize:\t 1 kB\n"),
            Some(2 << 20)
        );
        assert_eq!(most_addresses("Name:\tx\n"), None);
    }

    #[test]
    fn only_who_was_near_the_limit_had_no_addresses() {
        let limit = 100 << 20;
        assert!(!had_no_addresses(10 << 20, limit));
        assert!(had_no_addresses(limit - (1 << 20), limit));
        assert!(had_no_addresses(limit, limit));
    }
}
