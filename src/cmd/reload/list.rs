//! `sockmig reload --list`: the strategies, without measuring them.

use std::io::Write;

use reload::catalogue;
use reload::strategy::{OwnNeed, ServerKind, Strategy};
use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::ReloadFormat;
use crate::cmd::print;
use crate::cmd::reload::refusal::Refusal;
use crate::exit::Exit;
use crate::output::fold;
use crate::output::stdout::{self, Stdout};

/// Columns that an id gets, and a line.
const ID_COLUMNS: usize = 22;
const COLUMNS: usize = 95;

/// The version of the document.
const VERSION: u32 = 1;

/// `sockmig reload --list --format json`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StrategiesDocument {
    /// The version of the form of this document.
    schema: u32,
    strategies: Vec<StrategyDocument>,
}

/// A strategy that can be measured.
#[derive(Debug, Serialize, JsonSchema)]
struct StrategyDocument {
    /// Its name.
    strategy: String,
    /// What is done at a reload.
    does: String,
    /// What it needs of the kernel: `nothing`, `programs`, which root can load, or `migration`, which
    /// takes the same and Linux 5.14.
    needs: &'static str,
    /// The programs of which one has to be installed.
    programs: Vec<String>,
}

impl StrategyDocument {
    fn of(strategy: &Strategy) -> Self {
        let (needs, programs) = match &strategy.server {
            ServerKind::Own { needs: OwnNeed::Nothing, .. } => ("nothing", vec![]),
            ServerKind::Own { needs: OwnNeed::Programs, .. } => ("programs", vec![]),
            ServerKind::Own { needs: OwnNeed::Migration, .. } => ("migration", vec![]),
            ServerKind::Foreign(server) => {
                let names = server.file.program_names();
                ("nothing", names.iter().map(ToString::to_string).collect())
            }
        };
        let (strategy, does) = (strategy.id.to_string(), strategy.does.to_string());
        Self { strategy, does, needs, programs }
    }
}

/// Every strategy with what it does, and what it needs.
pub(super) fn list(prefixes: &[String], format: ReloadFormat) -> Result<Exit, Refusal> {
    let selection = catalogue::select(prefixes);
    let selection = selection.map_err(|unknown| Refusal::new(Exit::NothingRan, unknown))?;
    if format == ReloadFormat::Json {
        let strategies = selection.iter().map(StrategyDocument::of).collect();
        let document = StrategiesDocument { schema: VERSION, strategies };
        let json = serde_json::to_string_pretty(&document).expect("it can be written as JSON");
        return Ok(print::exactly((json + "\n").as_bytes()));
    }
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
