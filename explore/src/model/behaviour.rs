//! In what kernels differ: bugs that some have, each as a way in which the model goes wrong, too.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A bug of some kernels that the model can have, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelBug {
    /// `inet_csk_listen_stop()` does not wake who waits for the target.
    LostWakeUp,
    /// `tcp_check_req()` counts a request that is reset off the target.
    ResetRequestOffTargetCount,
    /// `reqsk_timer_handler()` counts a request that it drops off the target once more.
    OldRequestCountedTwice,
    /// A RST in the window that has not the exact number ends a request.
    InexactResetEndsRequest,
    /// A Fast Open child that moves is not counted by the target, but is when it is complete.
    FastOpenCountNotMoved,
    /// A child that is made while its listener closes has from it that it is shut down.
    ChildShutDown,
}

impl ModelBug {
    /// All.
    pub const ALL: [Self; 6] = [
        Self::LostWakeUp,
        Self::ResetRequestOffTargetCount,
        Self::OldRequestCountedTwice,
        Self::InexactResetEndsRequest,
        Self::FastOpenCountNotMoved,
        Self::ChildShutDown,
    ];

    /// Its id in the list of known bugs.
    pub fn id(self) -> &'static str {
        match self {
            Self::LostWakeUp => "lost-wake-up",
            Self::ResetRequestOffTargetCount => "reset-request-off-target-count",
            Self::OldRequestCountedTwice => "old-request-counted-twice",
            Self::InexactResetEndsRequest => "inexact-reset-ends-request",
            Self::FastOpenCountNotMoved => "fast-open-count-not-moved",
            Self::ChildShutDown => "child-shut-down",
        }
    }

    /// It shows only where two things happen at the same time, so that no history shows it.
    pub fn needs_two_processors(self) -> bool {
        match self {
            Self::ChildShutDown => true,
            Self::LostWakeUp
            | Self::ResetRequestOffTargetCount
            | Self::OldRequestCountedTwice
            | Self::InexactResetEndsRequest
            | Self::FastOpenCountNotMoved => false,
        }
    }
}

impl fmt::Display for ModelBug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}
