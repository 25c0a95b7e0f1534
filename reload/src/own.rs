//! Our own strategies: ways of reloading the workers of this project.

mod steering;
mod workers;

use std::time::Duration;

use harness::process::worker::CloseMode;

use self::workers::{How, Workers};
use crate::strategy::{ListenerEffect, Strategy, StrategyNeed};

/// Ours.
pub(crate) fn strategies() -> Vec<Strategy> {
    let own = |id, does, effect, start| Strategy {
        id,
        does,
        effect,
        takes: Duration::ZERO,
        most: None,
        needs: StrategyNeed::Nothing,
        start,
    };
    vec![
        own(
            "own/naive",
            "New workers make listeners of their own; then the old ones close theirs.",
            ListenerEffect::Close,
            |env| Workers::start(env, How::Replace(CloseMode::AtOnce)),
        ),
        own(
            "own/drain",
            "As own/naive, but the old workers accept until EAGAIN before they close.",
            ListenerEffect::Close,
            |env| Workers::start(env, How::Replace(CloseMode::AfterDraining)),
        ),
        own(
            "own/passing",
            "New workers fetch the listeners from the old ones, by SCM_RIGHTS.",
            ListenerEffect::StayOpen,
            |env| Workers::start(env, How::Pass),
        ),
        own(
            "own/exec",
            "Each worker finishes what it has accepted, and execs the new program, which \
             inherits the listener.",
            ListenerEffect::StayOpen,
            |env| Workers::start(env, How::Exec),
        ),
        own(
            "own/shared",
            "One listener, held by a parent; old and new workers inherit it.",
            ListenerEffect::StayOpen,
            |env| Workers::start(env, How::Share),
        ),
        own(
            "own/restart",
            "The old workers close and end; only then new ones start.",
            ListenerEffect::CloseLeavingNobody,
            |env| Workers::start(env, How::Restart),
        ),
        Strategy {
            needs: StrategyNeed::Programs,
            ..own(
                "own/ebpf-drain",
                "A program gives new clients to new workers; the old ones wait until no request \
                 of theirs is left, accept until EAGAIN, and close.",
                ListenerEffect::CloseWhenIdle,
                |env| Workers::start(env, How::Steer(CloseMode::AfterDraining)),
            )
        },
        Strategy {
            needs: StrategyNeed::Migration,
            ..own(
                "own/ebpf-migrate",
                "A program gives new clients, and whatever migrates, to new workers; the old \
                 ones close at once.",
                ListenerEffect::CloseAndProgramMigrates,
                |env| Workers::start(env, How::Steer(CloseMode::AtOnce)),
            )
        },
    ]
}
