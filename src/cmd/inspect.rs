//! `sockmig inspect`: the listeners of this machine, and what a close of each would do now.

mod advice;
mod check;
pub mod document;
mod grouping;
mod known;
mod look;
mod prometheus;
mod surprise;
mod target;
#[cfg(test)]
mod tests;
mod text;
mod turn_on;
mod watch;
mod words;

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use harness::essential::Essential;
use harness::host::users;

use crate::cli::{InspectArguments, InspectFormat};
use crate::cmd::inspect::document::InspectDocument;
use crate::cmd::inspect::target::{NoTargets, Targets};
use crate::exit::Exit;
use crate::output::stderr;
use crate::output::stdout::{Stdout, text_width};
use crate::style::Style;

/// Does what the command line asks for.
pub fn inspect(arguments: &InspectArguments) -> ExitCode {
    match inspected(arguments) {
        Ok(exit) => exit,
        Err(Refusal { why, .. }) if arguments.check => {
            check::report(check::unknown(&why), &mut Stdout::unfolded()).into()
        }
        Err(Refusal { why, exit }) => {
            stderr::complain(&why);
            exit.into()
        }
    }
}

/// Whether a command line that cannot be read is one of a check.
pub fn is_check(arguments: impl Iterator<Item = String>) -> bool {
    let arguments: Vec<String> = arguments.skip(1).collect();
    let has = |wanted: &str| arguments.iter().any(|argument| argument == wanted);
    arguments.first().is_some_and(|first| first == "inspect") && has("--check")
}

/// What such a check ends with. Its 2 would be critical.
pub fn unknown_usage() -> ExitCode {
    check::report(check::unknown("the command line is wrong"), &mut Stdout::unfolded()).into()
}

/// Why nothing was looked at.
struct Refusal {
    why: String,
    exit: Exit,
}

impl Refusal {
    fn unavailable(why: &dyn fmt::Display) -> Self {
        Self { why: why.to_string(), exit: Exit::Unavailable }
    }
}

fn inspected(arguments: &InspectArguments) -> Result<ExitCode, Refusal> {
    if arguments.watch.is_some() && arguments.format == InspectFormat::Prometheus {
        let why = "--watch cannot be shown as prometheus: have it scraped again and again instead";
        return Err(Refusal { why: why.into(), exit: Exit::Usage });
    }
    if !Essential::Proc.is_there() {
        return Err(Refusal::unavailable(&Essential::Proc));
    }
    let targets = Targets::of(arguments).map_err(|none| match none {
        NoTargets::Named(why) => Refusal { why, exit: Exit::Usage },
        NoTargets::Forbidden(why) => Refusal { why, exit: Exit::Unavailable },
        NoTargets::Unreadable(why) => Refusal::unavailable(&why),
    })?;
    if let Some(every) = arguments.watch {
        // A line is an event, in a log as well.
        let watched = watch::watch(arguments, targets, every, &mut Stdout::unfolded());
        return watched.map(ExitCode::from).map_err(|why| Refusal::unavailable(&why));
    }
    let found = look::look(&targets).map_err(|why| Refusal::unavailable(&why))?;
    if let (true, Some(unseen)) =
        (found.namespaces.is_empty(), found.not_visible.namespaces.first())
    {
        return Err(Refusal::unavailable(&words::cannot_look(unseen)));
    }
    if arguments.check {
        return Ok(check::report(check::line(&found), &mut Stdout::unfolded()).into());
    }
    let shown = match arguments.format {
        InspectFormat::Text => {
            text::text(&found, &users::names(), text_width(), Style::of(&io::stdout()))
        }
        InspectFormat::Json => json(&found),
        InspectFormat::Prometheus => prometheus::metrics(&found),
    };
    let mut to = match arguments.format {
        InspectFormat::Text => Stdout::new(),
        InspectFormat::Json | InspectFormat::Prometheus => Stdout::unfolded(),
    };
    let written = to.write_all(shown.as_bytes()).and_then(|()| to.flush());
    written.map(|()| Exit::Expected.into()).map_err(|why| Refusal::unavailable(&why))
}

fn json(found: &InspectDocument) -> String {
    let text = serde_json::to_string_pretty(found).expect("a document can be written as JSON");
    text + "\n"
}
