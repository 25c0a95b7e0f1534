//! Which tests run at the same time: two machines at most, those of another `cargo test` in
//! this checkout among them.
//!
//! The locks are those of serial_test, through the function that `#[file_serial]` expands to.
//! The attribute itself is for libtest's tests, and these are none: libtest cannot find out at
//! run time what is missing here, ignore a test and say why, and a guest could not run its
//! binary as a program with a part to play. Nor can the attribute take a path that only cargo
//! knows; in the directory for temporary files, other users' locks would be in the way.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use serial_test::fs_serial_core;

/// A file to lock for each machine that may run. Whoever locks both takes them in this order,
/// so that none waits for another that waits for it.
const MACHINES: [&str; 2] = [
    concat!(env!("CARGO_TARGET_TMPDIR"), "/machine-1"),
    concat!(env!("CARGO_TARGET_TMPDIR"), "/machine-2"),
];

/// How many machines may run.
pub const COUNT: usize = MACHINES.len();

thread_local! {
    /// The machine of this thread's tests. There are as many threads as machines, so that no
    /// test waits while a machine is free.
    static OWN: usize = {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        THREADS.fetch_add(1, Ordering::Relaxed) % COUNT
    };
    /// What runs once everything is locked: the locks take functions without an environment.
    static TEST: Cell<Option<Box<dyn FnOnce()>>> = const { Cell::new(None) };
}

/// Runs a test that boots this many machines at a time, when they may run.
pub fn with_machines(count: usize, test: impl FnOnce() + 'static) {
    TEST.set(Some(Box::new(test)));
    match count {
        1 => locked(OWN.with(|own| *own), run),
        _ => locked(0, || locked(1, run)),
    }
}

fn locked(machine: usize, run: fn()) {
    fs_serial_core(vec!["machine"], Some(MACHINES[machine]), run);
}

fn run() {
    let test = TEST.take().expect("set before anything was locked");
    test();
}
