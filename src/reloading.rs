//! `sockmig reload`: which way of reloading loses how many connections, on this kernel.

mod answer;
mod document;
mod measure;
mod plan;
mod plot;
mod table;
#[cfg(test)]
mod tests;

use std::io::{self, Write};

use anyhow::Result;
use harness::interrupt;
use harness::process::{Broken, Labs};
use reload::strategy;
use scenarios::{engine, report};

use self::document::ReloadDocument;
use self::measure::Measured;
use self::plan::Plan;
use crate::cli::{ReloadArguments, ReloadFormat};
use crate::consumer::Environment;
use crate::exit::Exit;
use crate::output::{self, OutDirectory, Stdout};
use crate::progress::Progress;
use crate::style::Style;

/// Does what the command line asks for.
pub fn reload(arguments: &ReloadArguments) -> Exit {
    match measure_and_tell(arguments) {
        Ok(exit) => exit,
        Err(Refusal { why, exit }) => {
            if !why.is_empty() {
                eprintln!("sockmig: {why}");
            }
            exit
        }
    }
}

/// Why nothing was measured.
struct Refusal {
    why: String,
    exit: Exit,
}

impl Refusal {
    fn new(exit: Exit, why: impl Into<String>) -> Self {
        Self { why: why.into(), exit }
    }

    fn of(broken: &Broken) -> Self {
        match broken {
            Broken::Interrupted => Self::new(Exit::Interrupted, ""),
            other => Self::new(Exit::Unavailable, report::no_lab(other)),
        }
    }
}

fn measure_and_tell(arguments: &ReloadArguments) -> Result<Exit, Refusal> {
    let selection = strategy::select(&plan::wanted(arguments))
        .map_err(|unknown| Refusal::new(Exit::NothingRan, unknown))?;
    plan::check(arguments).map_err(|why| Refusal::new(Exit::Usage, why))?;
    let out = arguments.out.as_deref().map(OutDirectory::open).transpose();
    let out = out.map_err(|e| Refusal::new(Exit::Unavailable, format!("{e:#}")))?;
    interrupt::catch()
        .map_err(|e| Refusal::new(Exit::Unavailable, format!("cannot catch Ctrl-C: {e}")))?;
    let labs = Labs::default();
    let kernel = engine::probe(&labs).map_err(|broken| Refusal::of(&broken))?;
    let window = measure::window(&labs, arguments).map_err(|broken| match broken {
        Ok(broken) => Refusal::of(&broken),
        Err(why) => Refusal::new(Exit::Unavailable, why),
    })?;
    let plan = Plan::new(arguments, selection, window, &kernel);
    if plan.strategies.is_empty() {
        let why: Vec<String> = plan.skipped.iter().map(ToString::to_string).collect();
        return Err(Refusal::new(Exit::NothingRan, why.join("; ")));
    }
    let environment = Environment::read(kernel);
    let mut stdout = Stdout::new();
    let terminal = arguments.format == ReloadFormat::Terminal;
    let mut say = |text: &str| stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    let mut written: Vec<Result<()>> = Vec::new();
    if terminal {
        written.push(say(&table::heading(&plan, &environment)).map_err(Into::into));
    }
    let measured = measure::measure(&labs, &plan, &mut Progress::on_stderr());
    let document = ReloadDocument::of(&plan, environment, &measured);
    let shown = match terminal {
        true => answer::text(&document, output::width(), Style::of(&io::stdout())),
        false => document.json(),
    };
    written.push(say(&shown).map_err(Into::into));
    if let Some(out) = &out {
        written.extend(keep(out, &document, &measured));
    }
    let mut troubled = false;
    for trouble in written.into_iter().filter_map(Result::err) {
        eprintln!("sockmig: {trouble:#}");
        troubled = true;
    }
    Ok(document.exit().unless_troubled(troubled))
}

/// Keeps everything in files.
fn keep(out: &OutDirectory, document: &ReloadDocument, measured: &Measured) -> Vec<Result<()>> {
    [
        ("reload.json", document.json()),
        ("losses.svg", plot::losses(&measured.rows)),
        ("latency.svg", plot::latencies(&measured.rows)),
    ]
    .into_iter()
    .map(|(name, text)| output::write_whole(&out.file(name), text.as_bytes()))
    .collect()
}
