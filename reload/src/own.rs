//! Our own strategies: ways of reloading the workers of this project.

mod steering;
mod workers;

use std::time::Duration;

use harness::process::worker::CloseMode;

use self::workers::{How, Workers};
use crate::failure::Result;
use crate::strategy::{ListenerEffect, OwnNeed, OwnStart, Server, ServerEnv, ServerKind, Strategy};

/// Ours.
pub(crate) fn strategies() -> Vec<Strategy> {
    let own = |id, does, effect, start| strategy(id, does, effect, OwnNeed::Nothing, start);
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
        strategy(
            "own/ebpf-drain",
            "A program gives new clients to new workers; the old ones wait until no request of \
             theirs is left, accept until EAGAIN, and close.",
            ListenerEffect::CloseWhenIdle,
            OwnNeed::Programs,
            |env| Workers::start(env, How::Steer(CloseMode::AfterDraining)),
        ),
        strategy(
            "own/ebpf-migrate",
            "A program gives new clients, and whatever migrates, to new workers; the old ones \
             close at once.",
            ListenerEffect::CloseAndProgramMigrates,
            OwnNeed::Migration,
            |env| Workers::start(env, How::Steer(CloseMode::AtOnce)),
        ),
    ]
}

fn strategy(
    id: &str,
    does: &str,
    effect: ListenerEffect,
    needs: OwnNeed,
    start: fn(&ServerEnv) -> Result<Box<dyn Server>>,
) -> Strategy {
    Strategy {
        id: id.to_owned(),
        does: does.to_owned(),
        effect,
        takes: Duration::ZERO,
        most: None,
        server: ServerKind::Own { needs, start: OwnStart(start) },
    }
}
