//! `sockmig list`: the cases without running them.

use std::io::{self, Write};

use scenarios::case::{Need, Selected};
use scenarios::catalogue::NoSuchId;

use crate::cmd::select::selected;
use crate::exit::Exit;
use crate::output::fold::entry;
use crate::output::stderr;
use crate::output::stdout::{self, Stdout};

/// Columns that an id gets.
const ID_COLUMNS: usize = 40;

/// One id a line, and what the case does.
pub fn list(prefixes: &[String]) -> Exit {
    written(selected(prefixes), |selection, to| {
        // A line for each where nobody knows how wide one may be: a program reads it.
        let width = stdout::known_width().unwrap_or(usize::MAX);
        selection.iter().try_for_each(|selected| {
            let does = selected.case.does.split_inclusive(';').next().unwrap_or_default();
            let does = does.trim_end_matches(';');
            let apart = selected.case.needs.iter().any(Need::is_to_be_named);
            let note = if apart { " (runs only by name)" } else { "" };
            let does = format!("{does}{note}");
            write!(to, "{}", entry(&selected.id(), ID_COLUMNS + 1, &does, width))
        })
    })
}

fn written(
    selection: Result<Vec<Selected>, NoSuchId>,
    write: impl FnOnce(&[Selected], &mut Stdout) -> io::Result<()>,
) -> Exit {
    let selection = match selection {
        Ok(selection) => selection,
        Err(unknown) => {
            stderr::complain(&unknown);
            return Exit::NothingRan;
        }
    };
    let mut to = Stdout::new();
    match write(&selection, &mut to).and_then(|()| to.flush()) {
        Ok(()) => Exit::Expected,
        Err(e) => {
            stderr::complain(&e);
            Exit::Unavailable
        }
    }
}
