//! Why clients were lost where listeners close and others of their group are there to migrate to.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a client was lost that could have migrated.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum LossCause {
    /// The server had accepted it, and closed it.
    Server,
    /// It found no target, since that closed, too: `TCPMigrateReqFailure` counts it.
    MigrationFailed,
    /// `tcp_v4_rcv()` saw the listener in TCP_LISTEN, and `inet_csk_reqsk_queue_add()` did not any
    /// more: its child was reset. No counter of migration grows. `sockmig race` calls it
    /// `child-forgotten`.
    ChildForgotten,
    /// A queue was full, or the child could not be made: `ListenDrops` counts it.
    Dropped,
    /// None of these.
    Unexplained,
}

/// What is known of the clients that were lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Losses {
    /// All.
    pub(crate) lost: u64,
    /// Those that the server had accepted, and closed.
    pub(crate) by_server: u64,
    /// Those that were reset before the answer.
    pub(crate) reset: u64,
    /// Those of them that were reset when listeners closed.
    pub(crate) reset_at_close: u64,
    /// Those that gave up.
    pub(crate) timed_out: u64,
    /// `TCPMigrateReqFailure`.
    pub(crate) failed: u64,
    /// `ListenDrops`.
    pub(crate) dropped: u64,
}

impl Losses {
    /// Each is of one cause: what a counter tells of comes first.
    pub(crate) fn causes(self) -> BTreeMap<LossCause, u64> {
        let server = self.by_server.min(self.lost);
        let mut left = self.lost - server;
        let mut take = |most: u64| {
            let taken = most.min(left);
            left -= taken;
            taken
        };
        // Which of those that the server closed were reset, nothing tells.
        let failed = take(self.failed.min(self.reset));
        let explained = server.min(self.reset_at_close) + failed;
        let forgotten = take(self.reset_at_close.saturating_sub(explained));
        let dropped = take(self.dropped.min(self.timed_out));
        let causes = [
            (LossCause::Server, server),
            (LossCause::MigrationFailed, failed),
            (LossCause::ChildForgotten, forgotten),
            (LossCause::Dropped, dropped),
            (LossCause::Unexplained, left),
        ];
        causes.into_iter().filter(|(_, count)| *count > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use LossCause::{ChildForgotten, Dropped, MigrationFailed, Server, Unexplained};
    use rstest::rstest;

    const NONE: Losses = Losses {
        lost: 0,
        by_server: 0,
        reset: 0,
        reset_at_close: 0,
        timed_out: 0,
        failed: 0,
        dropped: 0,
    };

    #[rstest]
    #[case::none(NONE, &[])]
    #[case::none_though_something_failed(Losses { failed: 3, dropped: 2, ..NONE }, &[])]
    #[case::one(Losses { lost: 1, reset: 1, reset_at_close: 1, ..NONE }, &[(ChildForgotten, 1)])]
    #[case::at_another_time(Losses { lost: 1, reset: 1, ..NONE }, &[(Unexplained, 1)])]
    #[case::counted(
        Losses { lost: 3, reset: 3, reset_at_close: 3, failed: 1, ..NONE },
        &[(MigrationFailed, 1), (ChildForgotten, 2)]
    )]
    #[case::by_the_server(
        Losses { lost: 4, by_server: 3, reset: 4, reset_at_close: 4, ..NONE },
        &[(Server, 3), (ChildForgotten, 1)]
    )]
    #[case::refused(Losses { lost: 2, ..NONE }, &[(Unexplained, 2)])]
    #[case::refused_and_failed(Losses { lost: 2, failed: 9, ..NONE }, &[(Unexplained, 2)])]
    #[case::gave_up(Losses { lost: 2, timed_out: 2, ..NONE }, &[(Unexplained, 2)])]
    #[case::dropped(
        Losses { lost: 3, timed_out: 3, dropped: 2, ..NONE },
        &[(Dropped, 2), (Unexplained, 1)]
    )]
    #[case::everything(
        Losses {
            lost: 10,
            by_server: 2,
            reset: 6,
            reset_at_close: 5,
            timed_out: 2,
            failed: 1,
            dropped: 1,
        },
        &[(Server, 2), (MigrationFailed, 1), (ChildForgotten, 2), (Dropped, 1), (Unexplained, 4)]
    )]
    fn each_loss_has_one_cause(#[case] losses: Losses, #[case] expected: &[(LossCause, u64)]) {
        let causes = losses.causes();
        assert_eq!(causes, expected.iter().copied().collect(), "{losses:?}");
        assert_eq!(causes.values().sum::<u64>(), losses.lost, "{losses:?}");
    }
}
