//! `--show`, `--check` and `--server new`: servers' files, without running anything.

use std::fmt::Write as _;
use std::io::Write;

use reload::catalogue;
use reload::server_file::{Definition, EXAMPLE, fault};
use reload::strategy::{self, ServerKind, Strategy};

use crate::cli::ReloadArguments;
use crate::cmd::reload::list;
use crate::cmd::reload::refusal::Refusal;
use crate::cmd::reload::server::Described;
use crate::exit::Exit;
use crate::output::stdout::Stdout;

/// Why a strategy has no file.
const NO_FILE: &str = "\
It has no file: its workers are part of sockmig, which has them close, drain and hand over
their listeners by calls that no command or signal stands for.
";

/// Prints the example.
pub(super) fn example() -> Result<Exit, Refusal> {
    print(EXAMPLE, Stdout::unfolded())
}

/// Prints servers' files, and what they generate.
pub(super) fn show(
    servers: &[Described],
    selection: &[Strategy],
    arguments: &ReloadArguments,
) -> Result<Exit, Refusal> {
    let mut text = String::new();
    for server in servers {
        text.push_str(&shown(&server.definition, server.text.as_deref(), arguments.workers));
    }
    for strategy in selection {
        match &strategy.server {
            ServerKind::Own { .. } => {
                let _ = write!(text, "{}\n{NO_FILE}", list::entry(strategy));
            }
            ServerKind::Foreign(definition) => {
                let file = catalogue::text(&strategy.id);
                text.push_str(&shown(definition, file, arguments.workers));
            }
        }
    }
    print(&text, Stdout::unfolded())
}

fn shown(definition: &Definition, text: Option<&str>, workers: u32) -> String {
    let mut shown = String::new();
    if let Some(text) = text {
        let _ = writeln!(shown, "# {}", definition.id);
        shown.push_str(text);
    }
    let [before, after] = catalogue::generated(definition, workers);
    for (name, text) in &before {
        let _ = write!(shown, "\n# {name}, generated with --workers {workers}\n{text}");
    }
    let changed = after.iter().zip(&before).filter(|(after, before)| after != before);
    for ((name, text), _) in changed {
        let _ = write!(shown, "\n# {name}, generated for a reload\n{text}");
    }
    shown.push('\n');
    shown
}

/// Says that nothing is wrong with servers' files, or what this machine has not.
pub(super) fn check(servers: &[Described]) -> Result<Exit, Refusal> {
    let mut text = String::new();
    let mut exit = Exit::Expected;
    for Described { name, definition, .. } in servers {
        match strategy::unmet_without_lab(definition) {
            Some(unmet) => {
                exit = Exit::NothingRan;
                let _ = writeln!(text, "{name}: it cannot be measured here: {unmet}");
            }
            None => {
                let _ = writeln!(text, "{name}: nothing is wrong");
            }
        }
        let left: Vec<String> =
            fault::left_alone(&definition.file).iter().map(|word| format!("{{{word}}}")).collect();
        if !left.is_empty() {
            let _ = writeln!(
                text,
                "{name}: in [files], these stand for nothing and are left alone: {}",
                left.join(", ")
            );
        }
    }
    print(&text, Stdout::new()).map(|_| exit)
}

fn print(text: &str, mut stdout: Stdout) -> Result<Exit, Refusal> {
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    written.map_err(|e| Refusal::new(Exit::Unavailable, e.to_string()))?;
    Ok(Exit::Expected)
}
