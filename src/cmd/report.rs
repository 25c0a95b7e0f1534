//! `sockmig report`: documents as one HTML page.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::cli::ReportArguments;
use crate::exit::Exit;
use crate::html::combine::{Combined, Part};
use crate::html::{capture, page};
use crate::output::file;
use crate::output::read::{Shown, read_shown};
use crate::output::stderr;
use crate::output::stdout::Stdout;

/// As a file's name it means what is not a file.
const STANDARD_OUTPUT: &str = "-";

/// Does what the command line asks for.
pub fn report(arguments: &ReportArguments) -> Exit {
    if let Some(taken) = taken_twice(arguments) {
        stderr::complain(&taken);
        return Exit::Usage;
    }
    match reported(arguments) {
        Ok(()) => Exit::Expected,
        Err(e) => {
            stderr::complain_of(&e);
            Exit::Unavailable
        }
    }
}

/// What is wrong with the files' names: a document is not to be written over, nor reported
/// twice.
fn taken_twice(arguments: &ReportArguments) -> Option<String> {
    let real = |path: &Path| path.canonicalize().ok();
    let mut known: Vec<PathBuf> = vec![];
    for path in &arguments.documents {
        let Some(document) = real(path) else { continue };
        let name = path.display();
        if real(&arguments.out).is_some_and(|out| out == document) {
            return Some(format!(
                "{name} is a document and would be written over: choose another -o"
            ));
        }
        if known.contains(&document) {
            return Some(format!("{name} is given twice"));
        }
        known.push(document);
    }
    None
}

fn reported(arguments: &ReportArguments) -> anyhow::Result<()> {
    let (mut parts, mut explored) = (vec![], vec![]);
    let mut unreadable = vec![];
    // All are looked at, so that all are complained of.
    for path in &arguments.documents {
        match read_shown(path) {
            Ok(Shown::Cases(document)) => parts.push(Part { path: path.clone(), document }),
            Ok(Shown::Explored(document)) => explored.push((path.clone(), *document)),
            Err(e) => unreadable.push(e),
        }
    }
    if let Some(last) = unreadable.pop() {
        unreadable.iter().for_each(stderr::complain_of);
        return Err(last);
    }
    let combined = Combined::of(parts).with_explored(explored);
    let place = capture::directory(&arguments.out);
    let links = |source: usize, capture: &str| {
        let document = &combined.sources[source].path;
        capture::find(document, capture).and_then(|file| capture::link(&place, &file))
    };
    let page = page::page(&combined, &links);
    if arguments.out == Path::new(STANDARD_OUTPUT) {
        let mut stdout = Stdout::exact();
        return Ok(stdout.write_all(page.as_bytes()).and_then(|()| stdout.flush())?);
    }
    file::write_whole(&arguments.out, page.as_bytes())?;
    let mut stdout = Stdout::new();
    let out = arguments.out.display();
    let written = writeln!(stdout, "{out}: {}", totals(&combined, page.len()));
    Ok(written.and_then(|()| stdout.flush())?)
}

fn totals(combined: &Combined, bytes: usize) -> String {
    let (kernels, cases) = (combined.found.kernels.len(), combined.found.cases.len());
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let (more, others) = (plural(kernels), plural(cases));
    let size = format!("{} kB", bytes.div_ceil(1000));
    let histories: u64 = combined.explored.iter().map(|(_, each)| each.histories).sum();
    match (combined.explored.is_empty(), combined.sources.is_empty()) {
        (true, _) => format!("{kernels} kernel{more}, {cases} case{others}, {size}"),
        (false, true) => format!("{histories} histories, {size}"),
        (false, false) => {
            format!("{kernels} kernel{more}, {cases} case{others}, {histories} histories, {size}")
        }
    }
}
