//! `sockmig reload --list`: the strategies, without measuring them.

use std::io::Write;

use reload::catalogue;
use reload::strategy::{OwnNeed, ServerKind, Strategy};

use crate::cmd::reload::refusal::Refusal;
use crate::exit::Exit;
use crate::output::fold;
use crate::output::stdout::{self, Stdout};

/// Columns that an id gets, and a line.
const ID_COLUMNS: usize = 22;
const COLUMNS: usize = 95;

/// Every strategy with what it does, and what it needs.
pub(super) fn list(prefixes: &[String]) -> Result<Exit, Refusal> {
    let selection = catalogue::select(prefixes);
    let selection = selection.map_err(|unknown| Refusal::new(Exit::NothingRan, unknown))?;
    let text: String = selection.iter().map(entry).collect();
    let mut stdout = Stdout::new();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    written.map_err(|e| Refusal::new(Exit::Unavailable, e.to_string()))?;
    Ok(Exit::Expected)
}

/// A line or two about a strategy.
pub(super) fn entry(strategy: &Strategy) -> String {
    let needs = match &strategy.server {
        ServerKind::Own { needs: OwnNeed::Nothing, .. } => String::new(),
        ServerKind::Own { needs: OwnNeed::Programs, .. } => " Needs eBPF: root.".into(),
        ServerKind::Own { needs: OwnNeed::Migration, .. } => {
            " Needs eBPF: root, and Linux 5.14.".into()
        }
        ServerKind::Foreign(server) => {
            let names = server.file.program_names().join(" or ");
            format!(" Needs {names}: {}.", server.file.install)
        }
    };
    let width = stdout::known_width().map_or(COLUMNS, |width| width.min(COLUMNS));
    fold::entry(&strategy.id, ID_COLUMNS, &format!("{}{needs}", strategy.does), width)
}
