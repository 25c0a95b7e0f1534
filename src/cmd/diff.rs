//! `sockmig diff`: what became different between two documents.

pub mod case;
pub mod compare;
pub mod show;
#[cfg(test)]
mod tests;

use std::io::Write;

use crate::cli::{DiffArguments, DiffFormat};
use crate::cmd::diff::compare::{Meaning, compare};
use crate::exit::Exit;
use crate::output::read::read;
use crate::output::stderr;
use crate::output::stdout::Stdout;
use crate::style::Style;

/// Does what the command line asks for.
pub fn diff(arguments: &DiffArguments) -> Exit {
    match compared(arguments) {
        Ok(exit) => exit,
        Err(e) => {
            stderr::complain(&format_args!("{e:#}"));
            Exit::Unavailable
        }
    }
}

fn compared(arguments: &DiffArguments) -> anyhow::Result<Exit> {
    let after = match &arguments.after {
        Some(after) if arguments.case.is_empty() => after,
        _ => return print(&case::compared(arguments)?).map(|()| Exit::Expected),
    };
    // Both are looked at, so that both are complained of.
    let (before, after) = match (read(&arguments.before), read(after)) {
        (Ok(before), Ok(after)) => (before.into_matrix(), after.into_matrix()),
        (Err(one), Err(other)) => {
            stderr::complain(&format_args!("{one:#}"));
            return Err(other);
        }
        (Err(e), _) | (_, Err(e)) => return Err(e),
    };
    let difference = compare(&before, &after);
    let text = match arguments.format {
        DiffFormat::Terminal => show::terminal(&difference, Style::of(&std::io::stdout())),
        DiffFormat::Markdown => show::markdown(&difference),
        DiffFormat::Json => show::json(&difference)?,
        DiffFormat::Svg => {
            stderr::complain(&"--format svg draws ladders: say of which case, with --case ID");
            return Ok(Exit::Usage);
        }
    };
    print(&text)?;
    Ok(match difference.count(Meaning::Regression) {
        0 => Exit::Expected,
        _ => Exit::Deviates,
    })
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = Stdout::new();
    Ok(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())?)
}
