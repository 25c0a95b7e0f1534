//! What can go wrong in the laboratory, named by the call that failed.

use std::io;
use std::time::Duration;

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use crate::essential::Essential;

/// A result of the laboratory.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Of what this user, or this machine, has no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// Processes and threads (`EAGAIN` of `clone(2)`).
    Processes,
    /// Open files (`EMFILE`, `ENFILE`).
    Descriptors,
    /// Memory, or addresses for it (`ENOMEM`).
    Memory,
    /// Namespaces (`ENOSPC` of `unshare(2)`).
    Namespaces,
}

impl Resource {
    /// What is lacking where any call at all is refused with this answer.
    pub fn lacking(answer: &io::Error) -> Option<Self> {
        match Errno::from_raw(answer.raw_os_error()?) {
            Errno::EMFILE | Errno::ENFILE => Some(Self::Descriptors),
            Errno::ENOMEM => Some(Self::Memory),
            _ => None,
        }
    }

    /// What may be the limit, in a sentence.
    pub fn limits(self) -> &'static str {
        match self {
            Self::Processes => {
                "processes and threads are limited by ulimit -u, by pids.max of the control group, \
                 and by kernel.threads-max"
            }
            Self::Descriptors => "open files are limited by ulimit -n and fs.file-max",
            Self::Memory => "memory is limited by ulimit -v and by memory.max of the control group",
            Self::Namespaces => "namespaces are limited by the sysctls user.max_*_namespaces",
        }
    }

    /// What is lacking where a process, a thread or a namespace is refused with this answer.
    pub fn lacking_for_more(answer: &io::Error) -> Option<Self> {
        match Errno::from_raw(answer.raw_os_error()?) {
            Errno::EAGAIN => Some(Self::Processes),
            Errno::ENOSPC | Errno::EUSERS => Some(Self::Namespaces),
            _ => Self::lacking(answer),
        }
    }
}

/// Why the laboratory could not do what a case asked of it.
///
/// [`Error::NeverHappened`] and [`Error::Tested`] say something about the kernel under
/// test; every other variant means that the laboratory itself broke.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call, or a request to the kernel, was refused.
    #[error("{call}: {}", in_words(source))]
    Call {
        /// The call with its arguments, as a reader would write it.
        call: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A call of the conversation under test was refused where it had to succeed.
    #[error("{call}: {}", in_words(source))]
    Tested {
        /// The call with its arguments.
        call: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// There is no room for one more process, thread or namespace. There may be when fewer labs
    /// run at a time.
    #[error("{call}: {}", in_words(source))]
    Exhausted {
        /// What there is no more of.
        of: Resource,
        /// The call with its arguments.
        call: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// An event that had to come did not come before its deadline.
    #[error("{what}: not within {} ms{}", waited.as_millis(), if *shortened {
        ", shorter than usual, since such waits were in vain before"
    } else {
        ""
    })]
    NeverHappened {
        /// The event, named as the case names it.
        what: String,
        /// How long was waited.
        waited: Duration,
        /// That is shorter than usual, since such waits were in vain before.
        shortened: bool,
    },
    /// The capture has holes, so that silence on the wire proves nothing.
    #[error("the capture lost {lost} packets: its buffer was full")]
    CaptureLost {
        /// Packets that the buffer had no room for.
        lost: u32,
    },
    /// The laboratory let the moment pass in which something had to be done. Nothing was
    /// learned; another try may do better.
    #[error("the laboratory was too slow: {what}")]
    TooSlow {
        /// What came too early for it.
        what: String,
    },
    /// A case observed two facts of one name, one of which nobody would have seen.
    #[error("`{fact}` was observed twice: give each fact a name of its own")]
    ObservedTwice {
        /// Their name.
        fact: String,
    },
    /// The kernel was built without something that every case needs.
    #[error("{0}")]
    Missing(Essential),
    /// The kernel, or the other half of the laboratory, said something unreadable.
    #[error("cannot read {what}: {got}")]
    Unreadable {
        /// What was read.
        what: String,
        /// What was there.
        got: String,
    },
}

impl Error {
    /// Shorthand for [`Error::Unreadable`].
    pub fn unreadable(what: impl Into<String>, got: impl Into<String>) -> Self {
        Self::Unreadable { what: what.into(), got: got.into() }
    }

    /// What there was too little of, if that is what went wrong.
    pub fn lacks(&self) -> Option<Resource> {
        match self {
            Self::Exhausted { of, .. } => Some(*of),
            Self::Call { source, .. } => Resource::lacking(source),
            // How many files a process may have open is nothing that a case asks.
            Self::Tested { source, .. } => {
                Resource::lacking(source).filter(|lacking| *lacking == Resource::Descriptors)
            }
            _ => None,
        }
    }

    /// Whether the kernel under test, and not the laboratory, is what went wrong.
    pub fn blames_the_kernel(&self) -> bool {
        matches!(self, Self::NeverHappened { .. } | Self::Tested { .. }) && self.lacks().is_none()
    }
}

/// Names the failing call.
pub trait Context<T> {
    /// Turns a failure into [`Error::Call`], with the call that `describe` writes.
    fn call(self, describe: impl FnOnce() -> String) -> Result<T>;

    /// As [`Context::call`], for a call that makes a process, a thread or a namespace: where
    /// there are too many of them, it is [`Error::Exhausted`].
    fn made(self, describe: impl FnOnce() -> String) -> Result<T>;

    /// As [`Context::call`], for a call of the conversation under test.
    fn tested(self, describe: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<io::Error>> Context<T> for std::result::Result<T, E> {
    fn call(self, describe: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|e| Error::Call { call: describe(), source: e.into() })
    }

    fn made(self, describe: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|e| {
            let (call, source) = (describe(), e.into());
            match Resource::lacking_for_more(&source) {
                Some(of) => Error::Exhausted { of, call, source },
                None => Error::Call { call, source },
            }
        })
    }

    fn tested(self, describe: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|e| Error::Tested { call: describe(), source: e.into() })
    }
}

/// What a call says that returns 0, or -1 with an errno: with another number, a kernel says
/// something that no program asks for.
///
/// # Errors
/// The errno, or the number.
pub(crate) fn returned_zero(returned: i32) -> io::Result<()> {
    match returned {
        0 => Ok(()),
        // It may be one that has no name outside of the kernel, such as ENOTSUPP.
        -1 => Err(io::Error::last_os_error()),
        number => Err(io::Error::other(format!("returned {number}, where 0 is the only success"))),
    }
}

/// What the system answered, in its own words alone: Rust adds the errno's number. Whatever shows an
/// [`io::Error`] to people shows this.
pub fn in_words(error: &io::Error) -> String {
    let text = error.to_string();
    let number = error.raw_os_error().map(|raw| format!(" (os error {raw})"));
    match number.and_then(|number| text.strip_suffix(&number).map(str::to_owned)) {
        Some(words) => words,
        None => text,
    }
}

/// An error and what it came from, the last after the others.
pub fn chain_in_words(error: &(dyn std::error::Error + 'static)) -> String {
    let mut words = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        words.push(match error.downcast_ref::<io::Error>() {
            Some(answer) => in_words(answer),
            None => error.to_string(),
        });
        next = error.source();
    }
    words.join(": ")
}

/// An errno by its name: `EAGAIN`, or its number where it has no name here.
pub fn errno_name(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(
        || error.to_string(),
        |raw| match Errno::from_raw(raw) {
            Errno::UnknownErrno => format!("errno {raw}"),
            known => format!("{known:?}"),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_no_number() {
        let refused = || io::Error::from(Errno::ENOENT);
        assert_eq!(in_words(&refused()), "No such file or directory");
        assert_eq!(in_words(&io::Error::other("it is (os error 2)")), "it is (os error 2)");
        let call = Err::<(), _>(refused()).call(|| "open(/x)".into()).expect_err("refused");
        assert_eq!(call.to_string(), "open(/x): No such file or directory");
    }

    #[test]
    fn what_an_error_came_from_has_none_either() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot write /x")]
        struct NotWritten(#[source] io::Error);
        let error = NotWritten(Errno::ENOSPC.into());
        assert_eq!(chain_in_words(&error), "cannot write /x: No space left on device");
    }
}
