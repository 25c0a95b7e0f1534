//! `sockmig diff`: what became different between two documents.

pub mod case;
pub mod compare;
pub mod show;
#[cfg(test)]
mod tests;

use std::io::Write;

use crate::cli::{DiffArguments, DiffFormat};
use crate::cmd::diff::compare::{Difference, Meaning, compare};
use crate::escape;
use crate::exit::Exit;
use crate::output::read::read;
use crate::output::stderr;
use crate::output::stdout::{self, Stdout};
use crate::style::Style;

/// Does what the command line asks for.
pub fn diff(arguments: &DiffArguments) -> Exit {
    match compared(arguments) {
        Ok(exit) => exit,
        Err(e) => {
            stderr::complain_of(&e);
            Exit::Unavailable
        }
    }
}

fn compared(arguments: &DiffArguments) -> anyhow::Result<Exit> {
    let after = match &arguments.after {
        Some(after) if arguments.case.is_empty() => after,
        _ => {
            let text = case::compared(arguments)?;
            return print(&text, arguments.format).map(|()| Exit::Expected);
        }
    };
    // Both are looked at, so that both are complained of.
    let (before, after) = match (read(&arguments.before), read(after)) {
        (Ok(before), Ok(after)) => (before.into_matrix(), after.into_matrix()),
        (Err(one), Err(other)) => {
            stderr::complain_of(&one);
            return Err(other);
        }
        (Err(e), _) | (_, Err(e)) => return Err(e),
    };
    let difference = compare(&before, &after);
    let text = match arguments.format {
        DiffFormat::Terminal => {
            let (style, width) = (Style::of(&std::io::stdout()), stdout::text_width());
            show::terminal(&difference, arguments.strict, style, width)
        }
        DiffFormat::Markdown => show::markdown(&difference, arguments.strict),
        DiffFormat::Json => show::json(&difference)?,
        DiffFormat::Svg => {
            stderr::complain(&"--format svg draws ladders: say of which case, with --case ID");
            return Ok(Exit::Usage);
        }
    };
    print(&text, arguments.format)?;
    Ok(exit(&difference, arguments.strict))
}

/// What it ends with. Strictly, what a document no longer says counts as a regression, too.
fn exit(difference: &Difference, strict: bool) -> Exit {
    let regressions = difference.count(Meaning::Regression);
    match regressions > 0 || strict && !difference.missing().is_empty() {
        true => Exit::Deviates,
        false => Exit::Expected,
    }
}

fn print(text: &str, format: DiffFormat) -> anyhow::Result<()> {
    let mut stdout = match format {
        DiffFormat::Terminal => Stdout::new(),
        DiffFormat::Markdown => Stdout::unfolded(),
        DiffFormat::Json | DiffFormat::Svg => Stdout::exact(),
    };
    let text = match format {
        DiffFormat::Json => escape::json(text.to_owned()),
        DiffFormat::Svg => escape::markup(text.to_owned()),
        DiffFormat::Terminal | DiffFormat::Markdown => text.to_owned(),
    };
    Ok(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())?)
}
