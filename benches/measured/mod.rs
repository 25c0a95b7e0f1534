//! What programs cost.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{Usage, UsageWho, getrusage};

/// What one run of something cost.
#[derive(Clone, Copy)]
pub struct Cost {
    /// By the clock on the wall, which others on the same machine slow down.
    pub wall: Duration,
    /// By the processors.
    pub cpu: Duration,
}

/// Runs a command, which must succeed.
pub fn cost(command: &mut Command) -> Cost {
    let (before, started) = (cpu(), Instant::now());
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    let wall = started.elapsed();
    let status = status.expect("it can be started");
    assert!(status.success(), "{command:?}: {status}");
    Cost { wall, cpu: cpu() - before }
}

/// What all children have used that have ended.
fn cpu() -> Duration {
    let used = getrusage(UsageWho::RUSAGE_CHILDREN).expect("getrusage(RUSAGE_CHILDREN)");
    let part = |of: fn(&Usage) -> nix::sys::time::TimeVal| {
        let time = of(&used);
        Duration::from_micros((time.tv_sec() * 1_000_000 + time.tv_usec()).unsigned_abs())
    };
    part(Usage::user_time) + part(Usage::system_time)
}

/// The median of each of the two.
pub fn median(costs: &[Cost]) -> Cost {
    let middle = |of: fn(&Cost) -> Duration| {
        let mut all: Vec<Duration> = costs.iter().map(of).collect();
        all.sort();
        all[all.len() / 2]
    };
    Cost { wall: middle(|cost| cost.wall), cpu: middle(|cost| cost.cpu) }
}
