//! How a machine ended, found out from its last words.

use std::time::Duration;

use crate::console::{last_lines, line_with};

/// What was noticed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The port was closed: the machine is off.
    End,
    /// Nothing came for so long.
    Silence(Duration),
    /// Something came that is not sockmig's.
    Garbage(String),
    /// The port cannot be read any more.
    Lost(String),
    /// Ctrl-C.
    Interrupted,
}

/// The end of a machine before its work was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Death {
    /// Of what.
    pub kind: Kind,
    /// A sentence about it, or the kernel's own line.
    pub why: String,
    /// The last lines of its console.
    pub console: String,
}

/// Of what a machine died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The suite was never reached.
    NeverBooted,
    /// The kernel panicked.
    Panicked,
    /// The guest had no memory left.
    OutOfMemory,
    /// Nothing was heard for too long.
    Hung,
    /// It was killed from outside, or its emulator crashed.
    Died,
    /// What came through the port was not sockmig's.
    Garbage,
    /// Ctrl-C.
    Interrupted,
}

const PANIC: &str = "Kernel panic - not syncing: ";
const NO_MEMORY: [&str; 3] =
    ["System is deadlocked on memory", "Out of memory and no killable", "Out of memory: "];

impl Death {
    /// Finds out why a machine is no more. `ready` says whether its suite was ever
    /// reached, `status` how its process ended.
    pub fn find_out(cause: Cause, ready: bool, status: &str, console: &str) -> Self {
        let no_memory = || no_memory(console);
        let (kind, why) = match (cause, line_with(console, PANIC)) {
            (Cause::Interrupted, _) => (Kind::Interrupted, "interrupted".into()),
            (Cause::Garbage(what), _) => (Kind::Garbage, what),
            (Cause::End | Cause::Silence(_), Some(panic)) => match no_memory() {
                Some(line) => (Kind::OutOfMemory, line),
                None if ready => (Kind::Panicked, panic),
                None => (Kind::NeverBooted, panic),
            },
            (Cause::Silence(waited), None) => {
                let seconds = waited.as_secs_f64().round();
                match (ready, no_memory()) {
                    (true, Some(line)) => (Kind::OutOfMemory, line),
                    (true, None) => (Kind::Hung, format!("nothing was heard for {seconds} s")),
                    (false, _) => (Kind::NeverBooted, format!("not up within {seconds} s")),
                }
            }
            (Cause::End, None) if ready => (Kind::Died, format!("the machine ended ({status})")),
            (Cause::End, None) => {
                let hint = match console.trim() {
                    "" => " before its console said anything; --memory may be too small for it",
                    _ => "",
                };
                (Kind::NeverBooted, format!("the machine ended{hint} ({status})"))
            }
            (Cause::Lost(why), _) => (Kind::Died, format!("its port cannot be read: {why}")),
        };
        Self { kind, why, console: last_lines(console) }
    }

    /// The end of a suite that did not come to its own, by `how` as the guest says.
    pub fn of_suite(how: &str, console: &str) -> Self {
        let (kind, why) = match no_memory(console) {
            Some(line) => (Kind::OutOfMemory, line),
            None => (Kind::Died, format!("the guest's suite ended ({how})")),
        };
        Self { kind, why, console: last_lines(console) }
    }
}

fn no_memory(console: &str) -> Option<String> {
    NO_MEMORY.iter().find_map(|words| line_with(console, words))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[test]
    fn a_suite_without_memory_was_not_just_killed() {
        let killed = "[ 9.0] Out of memory: Killed process 31 (init) total-vm:9kB\n";
        assert_eq!(Death::of_suite("137", killed).kind, Kind::OutOfMemory);
        assert_eq!(Death::of_suite("139", "").kind, Kind::Died);
    }

    const PANICKED: &str = "[    2.1] BUG: kernel NULL pointer dereference\n\
                            [    2.2] Kernel panic - not syncing: Fatal exception in interrupt\n\
                            [    2.3] Rebooting in 1 seconds..\n";
    const FULL: &str = "Kernel panic - not syncing: System is deadlocked on memory\n";

    #[rstest]
    #[case(Cause::End, true, PANICKED, Kind::Panicked, "Fatal exception in interrupt")]
    #[case(Cause::End, false, PANICKED, Kind::NeverBooted, "Fatal exception in interrupt")]
    #[case(Cause::End, true, FULL, Kind::OutOfMemory, "deadlocked on memory")]
    #[case(Cause::End, true, "", Kind::Died, "signal: 9")]
    #[case(Cause::End, false, "", Kind::NeverBooted, "--memory may be too small for it (signal: 9")]
    #[case(Cause::End, false, "Linux", Kind::NeverBooted, "the machine ended (signal: 9")]
    #[case(Cause::Silence(Duration::from_secs(60)), true, "", Kind::Hung, "for 60 s")]
    #[case(
        Cause::Silence(Duration::from_millis(59_998)),
        false,
        "",
        Kind::NeverBooted,
        "within 60 s"
    )]
    #[case(Cause::Silence(Duration::from_secs(60)), true, PANICKED, Kind::Panicked, "Fatal")]
    #[case(Cause::Garbage("login:".into()), true, "", Kind::Garbage, "login:")]
    #[case(Cause::Interrupted, true, PANICKED, Kind::Interrupted, "interrupted")]
    fn the_last_words_tell(
        #[case] cause: Cause,
        #[case] ready: bool,
        #[case] console: &str,
        #[case] kind: Kind,
        #[case] why: &str,
    ) {
        let death = Death::find_out(cause, ready, "signal: 9 (SIGKILL)", console);
        assert_eq!(death.kind, kind);
        assert!(death.why.contains(why), "{}", death.why);
        assert_eq!(death.console, last_lines(console));
    }
}
