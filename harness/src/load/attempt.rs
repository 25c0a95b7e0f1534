//! One attempt of a client, its outcome, and the record of all attempts.

use std::io;
use std::time::Duration;

use nix::errno::Errno;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How an attempt ended. Exactly one of these.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// A whole answer came, and its end.
    Answered,
    /// ECONNREFUSED: there was no listener.
    Refused,
    /// ECONNRESET before `connect` was over.
    ResetConnecting,
    /// ECONNRESET between `connect` and the answer's first byte.
    ResetWaiting,
    /// ECONNRESET within the answer.
    ResetAnswering,
    /// The end of the stream without an answer, or within it.
    Closed,
    /// Something else was answered than a good answer.
    WrongAnswer,
    /// The client gave up before it was connected.
    TimedOutConnecting,
    /// The client gave up while it waited for the answer.
    TimedOutWaiting,
    /// The laboratory failed: no port, no descriptor, no route. Says nothing about the
    /// server.
    Laboratory,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Answered,
        Self::Refused,
        Self::ResetConnecting,
        Self::ResetWaiting,
        Self::ResetAnswering,
        Self::Closed,
        Self::WrongAnswer,
        Self::TimedOutConnecting,
        Self::TimedOutWaiting,
        Self::Laboratory,
    ];

    /// Whether a client got no answer, and the laboratory is not to blame.
    pub fn is_loss(self) -> bool {
        !matches!(self, Self::Answered | Self::Laboratory)
    }

    /// In words, for a table.
    pub fn words(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::ResetConnecting => "reset while connecting",
            Self::ResetWaiting => "reset before the answer",
            Self::ResetAnswering => "reset within the answer",
            Self::Closed => "closed without an answer",
            Self::WrongAnswer => "answered with an error",
            Self::TimedOutConnecting => "timed out connecting",
            Self::TimedOutWaiting => "timed out waiting",
            Self::Laboratory => "laboratory's failure",
        }
    }

    /// The outcome of an attempt whose `connect` failed with this error.
    pub(super) fn of_connect(error: &io::Error) -> Self {
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ECONNREFUSED) => Self::Refused,
            Some(Errno::ECONNRESET) => Self::ResetConnecting,
            Some(Errno::ETIMEDOUT) => Self::TimedOutConnecting,
            _ => Self::Laboratory,
        }
    }

    /// The outcome of an attempt whose `send` or `recv` failed with this error.
    pub(super) fn of_transfer(error: &io::Error, has_first_byte: bool) -> Self {
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ECONNRESET | Errno::EPIPE) if has_first_byte => Self::ResetAnswering,
            Some(Errno::ECONNRESET | Errno::EPIPE) => Self::ResetWaiting,
            Some(Errno::ETIMEDOUT) => Self::TimedOutWaiting,
            _ => Self::Laboratory,
        }
    }
}

/// A client's attempt. Times are since the load's epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// When `connect` was called.
    pub started: Duration,
    /// When it was over, with success.
    pub connected: Option<Duration>,
    /// When the answer's first byte came.
    pub answered: Option<Duration>,
    /// When the outcome was known.
    pub ended: Duration,
    /// How it ended. Nothing only while it is under way.
    pub outcome: Option<Outcome>,
    /// Whether it was held.
    pub held: bool,
}

/// What a load found.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// Every attempt, in the order of their starts.
    pub attempts: Vec<Attempt>,
    /// Why attempts ended in [`Outcome::Laboratory`], a sentence each; only the first few.
    pub lab_errors: Vec<String>,
    /// How late attempts started, compared with the schedule: in microseconds, one for each.
    pub lags_us: Vec<u32>,
    /// Processor time of the thread that drove the load.
    pub processor: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(Errno::ECONNREFUSED, Outcome::Refused)]
    #[case(Errno::ECONNRESET, Outcome::ResetConnecting)]
    #[case(Errno::ETIMEDOUT, Outcome::TimedOutConnecting)]
    #[case(Errno::EADDRNOTAVAIL, Outcome::Laboratory)]
    #[case(Errno::ENETUNREACH, Outcome::Laboratory)]
    #[case(Errno::EMFILE, Outcome::Laboratory)]
    fn what_is_missing_in_the_laboratory_is_no_loss(
        #[case] errno: Errno,
        #[case] outcome: Outcome,
    ) {
        assert_eq!(Outcome::of_connect(&errno.into()), outcome);
        assert_eq!(outcome.is_loss(), outcome != Outcome::Laboratory);
    }

    #[test]
    fn the_outcome_of_a_reset_depends_on_what_came_before() {
        let reset = io::Error::from(Errno::ECONNRESET);
        assert_eq!(Outcome::of_transfer(&reset, false), Outcome::ResetWaiting);
        assert_eq!(Outcome::of_transfer(&reset, true), Outcome::ResetAnswering);
    }
}
