//! Servers that others wrote, each described by a file, and how they run in a lab: with
//! configurations that are made there, in a directory that only the lab sees.

mod conditions;
mod naming;
mod processes;
mod reloading;
mod running;
mod shipped;

use crate::failure::Result;
use crate::server_file::{Definition, KnownEffect};
use crate::strategy::{ListenerEffect, Server, ServerEnv, ServerKind, Strategy};

pub(crate) use naming::{generated, names};
pub(crate) use shipped::{SHIPPED, strategies};

/// The strategy that a file describes.
pub(crate) fn strategy(definition: Definition) -> Strategy {
    let file = &definition.file;
    Strategy {
        id: definition.id.clone(),
        does: file.does.clone(),
        effect: match file.listeners {
            KnownEffect::Observe => ListenerEffect::Observed,
            KnownEffect::Stay => ListenerEffect::StayOpen,
            KnownEffect::Close => ListenerEffect::Close,
            KnownEffect::CloseWhenIdle => ListenerEffect::CloseWhenIdle,
            KnownEffect::CloseAndMigrate => ListenerEffect::CloseAndProgramMigrates,
            KnownEffect::CloseLeavingNobody => ListenerEffect::CloseLeavingNobody,
        },
        takes: file.takes(),
        most: file.rate,
        server: ServerKind::Foreign(Box::new(definition)),
    }
}

/// Starts a server in this lab.
pub(crate) fn start(definition: &Definition, env: &ServerEnv) -> Result<Box<dyn Server>> {
    Ok(Box::new(running::RunningServer::start(definition, env)?))
}
