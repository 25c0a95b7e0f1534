//! In what kernels differ: bugs that some have, each as a way in which the model goes wrong, too.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A bug of some kernels that the model can have, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelBug {
    /// `inet_csk_listen_stop()` does not wake who waits for the target to which it moves a child.
    LostWakeUp,
    /// `tcp_check_req()` ends a request of a closed listener at a reset, and counts it off the
    /// target, which has never counted it: the target's count becomes -1. It stays in the closed
    /// listener's count.
    ResetRequestOffTargetCount,
    /// `reqsk_timer_handler()` drops a request of a closed listener that is too old, and counts it off
    /// the target twice: once for the clone, which is right, and once for the request itself, which
    /// the closed listener has counted. The target's count becomes -1.
    OldRequestCountedTwice,
    /// `tcp_check_req()` ends a request at a RST whose number is in the window, though it is not the
    /// number that is expected.
    InexactResetEndsRequest,
    /// `inet_csk_listen_stop()` moves a Fast Open child whose handshake is not complete, and the
    /// target does not count it. When the handshake is complete, the target's count is lowered all
    /// the same: it becomes -1, and the target takes one child too many.
    FastOpenCountNotMoved,
    /// `sk_clone_lock()` copies `sk_shutdown` of a listener that is in the middle of `close`: the child
    /// is shut down before anybody has it.
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
