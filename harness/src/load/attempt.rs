//! One attempt of a client, and what can become of it.

use std::io;
use std::time::Duration;

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

/// What became of an attempt. Exactly one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// A whole answer came, and its end.
    Answered,
    /// ECONNREFUSED: nobody listened.
    Refused,
    /// ECONNRESET before `connect` was over.
    ResetConnecting,
    /// ECONNRESET between `connect` and the answer's first byte.
    ResetWaiting,
    /// ECONNRESET within the answer.
    ResetAnswering,
    /// The end of the stream without an answer, or within it.
    Closed,
    /// Something else than `200` was answered.
    WrongAnswer,
    /// The client lost its patience before it was connected.
    TimedOutConnecting,
    /// The client lost its patience while it waited for the answer.
    TimedOutWaiting,
    /// The laboratory could not do its part: no port, no descriptor, no route. Says nothing
    /// about the server.
    Laboratory,
}

impl Fate {
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

    /// What an error of `connect` makes of an attempt.
    pub(super) fn of_connect(error: &io::Error) -> Self {
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ECONNREFUSED) => Self::Refused,
            Some(Errno::ECONNRESET) => Self::ResetConnecting,
            Some(Errno::ETIMEDOUT) => Self::TimedOutConnecting,
            _ => Self::Laboratory,
        }
    }

    /// What an error of `send` or `recv` makes of it.
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
    /// When the fate was known.
    pub ended: Duration,
    /// What became of it. Nothing only while it is under way.
    pub fate: Option<Fate>,
    /// Whether it was held.
    pub held: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(Errno::ECONNREFUSED, Fate::Refused)]
    #[case(Errno::ECONNRESET, Fate::ResetConnecting)]
    #[case(Errno::ETIMEDOUT, Fate::TimedOutConnecting)]
    #[case(Errno::EADDRNOTAVAIL, Fate::Laboratory)]
    #[case(Errno::ENETUNREACH, Fate::Laboratory)]
    #[case(Errno::EMFILE, Fate::Laboratory)]
    fn what_the_laboratory_lacks_is_no_loss(#[case] errno: Errno, #[case] fate: Fate) {
        assert_eq!(Fate::of_connect(&errno.into()), fate);
        assert_eq!(fate.is_loss(), fate != Fate::Laboratory);
    }

    #[test]
    fn a_reset_is_told_by_what_came_before() {
        let reset = io::Error::from(Errno::ECONNRESET);
        assert_eq!(Fate::of_transfer(&reset, false), Fate::ResetWaiting);
        assert_eq!(Fate::of_transfer(&reset, true), Fate::ResetAnswering);
    }
}
