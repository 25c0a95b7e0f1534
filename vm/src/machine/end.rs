//! Why a machine ended before its work was done, worked out from what was noticed and from
//! what its console printed.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use harness::process::child_server::Signal;
use harness::process::frame;

use crate::machine::console::{KernelReport, last_lines};

/// A machine that ended early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EarlyEnd {
    /// Why.
    pub reason: EndReason,
    /// The last lines of its console.
    pub console: String,
}

/// Why a machine ended. `Display` says it in a sentence, or shows the kernel's own line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndReason {
    /// The suite was never reached.
    NeverBooted(NeverBooted),
    /// The kernel panicked, while the suite ran.
    Panicked {
        /// The kernel's own line about it.
        line: String,
    },
    /// The guest had no memory left.
    OutOfMemory {
        /// The kernel's own line about it.
        line: String,
    },
    /// The guest sent nothing for too long.
    Hung {
        /// How long it sent nothing.
        silence: Duration,
    },
    /// It was killed from outside, or its emulator crashed.
    Died(Died),
    /// What came through the port cannot be read.
    Garbage(Garbage),
    /// Ctrl-C.
    Interrupted,
}

/// Why the suite was never reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NeverBooted {
    /// The kernel panicked.
    Panicked {
        /// The kernel's own line about it.
        line: String,
    },
    /// The suite was not up in time.
    TookTooLong {
        /// How long it had.
        waited: Duration,
    },
    /// The machine's process ended.
    Ended {
        /// How.
        process: ProcessEnd,
        /// Its console printed something before.
        printed: bool,
    },
}

/// What ended while the suite ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Died {
    /// The machine's process.
    Machine(ProcessEnd),
    /// The guest's suite, without a result.
    Suite {
        /// As the guest reports it.
        exit_code: i32,
    },
    /// The port cannot be read any more.
    PortLost(String),
}

/// What came through the port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Garbage {
    /// Something that sockmig does not send.
    NotAMessage(frame::Garbage),
    /// A message whose content cannot be read.
    UnreadableMessage {
        /// The tag of its frame.
        tag: u8,
        /// The first of its bytes, escaped.
        beginning: String,
    },
}

/// How a machine's process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessEnd {
    /// Nothing if the system would not say.
    pub status: Option<ExitStatus>,
    /// What it wrote to its standard error.
    pub stderr: String,
}

impl ProcessEnd {
    /// Whether the program ended itself by `abort()`.
    fn has_aborted(&self) -> bool {
        self.status.is_some_and(|status| status.signal() == Some(Signal::SIGABRT as i32))
    }
}

/// What was noticed of a machine that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Noticed {
    /// The port was closed: the process is gone.
    End(ProcessEnd),
    /// Nothing came for this long.
    Silence(Duration),
    /// Something came that is not sockmig's.
    Garbage(frame::Garbage),
    /// The port cannot be read any more.
    PortLost(String),
    /// Ctrl-C.
    Interrupted,
}

impl EarlyEnd {
    /// Works out why a machine ended. `ready` says whether its suite was ever reached,
    /// `console` is all that its console printed.
    pub fn find_out(noticed: Noticed, ready: bool, console: &str) -> Self {
        let KernelReport { panic, out_of_memory, .. } = KernelReport::of(console);
        let reason = match (noticed, panic, out_of_memory) {
            (Noticed::Interrupted, ..) => EndReason::Interrupted,
            (Noticed::Garbage(what), ..) => EndReason::Garbage(Garbage::NotAMessage(what)),
            (Noticed::PortLost(why), ..) => EndReason::Died(Died::PortLost(why)),
            (Noticed::End(_) | Noticed::Silence(_), Some(_), Some(line)) => {
                EndReason::OutOfMemory { line }
            }
            (Noticed::Silence(_), None, Some(line)) if ready => EndReason::OutOfMemory { line },
            (Noticed::End(_) | Noticed::Silence(_), Some(line), None) if ready => {
                EndReason::Panicked { line }
            }
            (Noticed::End(_) | Noticed::Silence(_), Some(line), None) => {
                EndReason::NeverBooted(NeverBooted::Panicked { line })
            }
            (Noticed::Silence(silence), None, _) if ready => EndReason::Hung { silence },
            (Noticed::Silence(waited), None, _) => {
                EndReason::NeverBooted(NeverBooted::TookTooLong { waited })
            }
            (Noticed::End(process), None, _) if ready => EndReason::Died(Died::Machine(process)),
            (Noticed::End(process), None, _) => {
                let printed = !console.trim().is_empty();
                EndReason::NeverBooted(NeverBooted::Ended { process, printed })
            }
        };
        Self { reason, console: last_lines(console) }
    }

    /// The end of a machine whose suite ended without a result, by `exit_code` as the guest
    /// reports it: for want of memory, if the console says so.
    pub fn of_suite(exit_code: i32, console: &str) -> Self {
        let reason = match KernelReport::of(console).out_of_memory {
            Some(line) => EndReason::OutOfMemory { line },
            None => EndReason::Died(Died::Suite { exit_code }),
        };
        Self { reason, console: last_lines(console) }
    }

    /// The end of a machine that is given up because a message of it cannot be read.
    pub fn of_unreadable_message(frame: &frame::Frame) -> Self {
        let beginning = frame.payload.escape_ascii().take(60).map(char::from).collect();
        let garbage = Garbage::UnreadableMessage { tag: frame.tag, beginning };
        Self { reason: EndReason::Garbage(garbage), console: String::new() }
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeverBooted(why) => why.fmt(f),
            Self::Panicked { line } | Self::OutOfMemory { line } => f.write_str(line),
            Self::Hung { silence } => write!(f, "nothing was heard for {} s", seconds(*silence)),
            Self::Died(what) => what.fmt(f),
            Self::Garbage(what) => what.fmt(f),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl fmt::Display for NeverBooted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked { line } => f.write_str(line),
            Self::TookTooLong { waited } => write!(f, "not up within {} s", seconds(*waited)),
            Self::Ended { process, printed: true } => write!(f, "the machine ended ({process})"),
            // Nothing that the guest has not would make the emulator do that.
            Self::Ended { process, printed: false } if process.has_aborted() => {
                write!(f, "the emulator gave up before the console said anything ({process})")
            }
            Self::Ended { process, printed: false } => write!(
                f,
                "the machine ended before its console said anything; --memory may be too small \
                 for it ({process})"
            ),
        }
    }
}

impl fmt::Display for Died {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Machine(process) => write!(f, "the machine ended ({process})"),
            Self::Suite { exit_code } => {
                write!(f, "the guest's suite ended (exit code {exit_code})")
            }
            Self::PortLost(why) => write!(f, "its port cannot be read: {why}"),
        }
    }
}

impl fmt::Display for Garbage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAMessage(what) => what.fmt(f),
            Self::UnreadableMessage { tag, beginning } => {
                write!(f, "a message of kind {tag} that cannot be read: {beginning}")
            }
        }
    }
}

impl fmt::Display for ProcessEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.status {
            Some(status) => status.fmt(f)?,
            None => f.write_str("nobody knows how")?,
        }
        match self.stderr.as_str() {
            "" => Ok(()),
            stderr => write!(f, "; it said: {stderr}"),
        }
    }
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64().round()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[test]
    fn a_suite_without_memory_was_not_just_killed() {
        let killed = "[ 9.0] Out of memory: Killed process 31 (init) total-vm:9kB\n";
        let line = "Out of memory: Killed process 31 (init) total-vm:9kB".into();
        assert_eq!(EarlyEnd::of_suite(137, killed).reason, EndReason::OutOfMemory { line });
        let crashed = EarlyEnd::of_suite(139, "").reason;
        assert_eq!(crashed, EndReason::Died(Died::Suite { exit_code: 139 }));
        assert_eq!(crashed.to_string(), "the guest's suite ended (exit code 139)");
    }

    const PANICKED: &str = "[    2.1] BUG: kernel NULL pointer dereference\n\
                            [    2.2] Kernel panic - not syncing: Fatal exception in interrupt\n\
                            [    2.3] Rebooting in 1 seconds..\n";
    const PANIC: &str = "Kernel panic - not syncing: Fatal exception in interrupt";
    const FULL: &str = "Kernel panic - not syncing: System is deadlocked on memory\n";

    fn process() -> ProcessEnd {
        ProcessEnd { status: Some(ExitStatus::from_raw(9)), stderr: String::new() }
    }

    fn never_booted(printed: bool) -> EndReason {
        EndReason::NeverBooted(NeverBooted::Ended { process: process(), printed })
    }

    fn silence(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[rstest]
    #[case(Noticed::End(process()), true, PANICKED, EndReason::Panicked { line: PANIC.into() })]
    #[case(
        Noticed::End(process()),
        false,
        PANICKED,
        EndReason::NeverBooted(NeverBooted::Panicked { line: PANIC.into() })
    )]
    #[case(
        Noticed::End(process()),
        true,
        FULL,
        EndReason::OutOfMemory { line: FULL.trim_end().into() }
    )]
    #[case(Noticed::End(process()), true, "", EndReason::Died(Died::Machine(process())))]
    #[case(Noticed::End(process()), false, "", never_booted(false))]
    #[case(Noticed::End(process()), false, "Linux", never_booted(true))]
    #[case(
        Noticed::Silence(silence(60_000)),
        true,
        "",
        EndReason::Hung { silence: silence(60_000) }
    )]
    #[case(
        Noticed::Silence(silence(59_998)),
        false,
        "",
        EndReason::NeverBooted(NeverBooted::TookTooLong { waited: silence(59_998) })
    )]
    #[case(
        Noticed::Silence(silence(60_000)),
        true,
        PANICKED,
        EndReason::Panicked { line: PANIC.into() }
    )]
    #[case(
        Noticed::Garbage(frame::Garbage("login:".into())),
        true,
        "",
        EndReason::Garbage(Garbage::NotAMessage(frame::Garbage("login:".into())))
    )]
    #[case(Noticed::Interrupted, true, PANICKED, EndReason::Interrupted)]
    fn the_console_says_why(
        #[case] noticed: Noticed,
        #[case] ready: bool,
        #[case] console: &str,
        #[case] reason: EndReason,
    ) {
        let end = EarlyEnd::find_out(noticed, ready, console);
        assert_eq!(end, EarlyEnd { reason, console: last_lines(console) });
    }

    #[rstest]
    #[case(never_booted(true), "the machine ended (signal: 9 (SIGKILL))")]
    #[case(
        never_booted(false),
        "the machine ended before its console said anything; --memory may be too small for it \
         (signal: 9 (SIGKILL))"
    )]
    #[case(
        EndReason::NeverBooted(NeverBooted::Ended {
            process: ProcessEnd {
                status: Some(ExitStatus::from_raw(6)),
                stderr: "qemu_thread_create: Resource temporarily unavailable".into(),
            },
            printed: false,
        }),
        "the emulator gave up before the console said anything (signal: 6 (SIGABRT); it said: \
         qemu_thread_create: Resource temporarily unavailable)"
    )]
    #[case(
        EndReason::NeverBooted(NeverBooted::TookTooLong { waited: silence(59_998) }),
        "not up within 60 s"
    )]
    #[case(EndReason::Hung { silence: silence(60_000) }, "nothing was heard for 60 s")]
    #[case(
        EndReason::Died(Died::Machine(ProcessEnd { stderr: "no KVM".into(), ..process() })),
        "the machine ended (signal: 9 (SIGKILL); it said: no KVM)"
    )]
    #[case(
        EndReason::Garbage(Garbage::NotAMessage(frame::Garbage("login:".into()))),
        "not a message of sockmig's: login:"
    )]
    #[case(EndReason::Interrupted, "interrupted")]
    fn sentences(#[case] reason: EndReason, #[case] sentence: &str) {
        assert_eq!(reason.to_string(), sentence);
    }

    #[test]
    fn a_message_that_cannot_be_read_is_shown() {
        let frame = frame::Frame { tag: b'?', payload: vec![b'{', 0xff] };
        let end = EarlyEnd::of_unreadable_message(&frame);
        assert_eq!(end.reason.to_string(), r"a message of kind 63 that cannot be read: {\xff");
    }
}
