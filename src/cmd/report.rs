//! `sockmig report`: documents as one HTML page.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::cli::ReportArguments;
use crate::exit::Exit;
use crate::html::combine::{Combined, Part};
use crate::html::{capture, page};
use crate::output::file;
use crate::output::read::read;
use crate::output::stderr;
use crate::output::stdout::Stdout;

/// Does what the command line asks for.
pub fn report(arguments: &ReportArguments) -> Exit {
    if let Some(taken) = taken_twice(arguments) {
        stderr::complain(&taken);
        return Exit::Usage;
    }
    match reported(arguments) {
        Ok(()) => Exit::Expected,
        Err(e) => {
            stderr::complain(&format_args!("{e:#}"));
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
    let mut parts = vec![];
    let mut unreadable = vec![];
    // All are looked at, so that all are complained of.
    for path in &arguments.documents {
        match read(path) {
            Ok(document) => parts.push(Part { path: path.clone(), document }),
            Err(e) => unreadable.push(e),
        }
    }
    if let Some(last) = unreadable.pop() {
        unreadable.iter().for_each(|e| stderr::complain(&format_args!("{e:#}")));
        return Err(last);
    }
    let combined = Combined::of(parts);
    let place = capture::directory(&arguments.out);
    let links = |source: usize, capture: &str| {
        let document = &combined.sources[source].path;
        capture::find(document, capture).and_then(|file| capture::link(&place, &file))
    };
    let page = page::page(&combined, &links);
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
    format!("{kernels} kernel{more}, {cases} case{others}, {} kB", bytes.div_ceil(1000))
}
