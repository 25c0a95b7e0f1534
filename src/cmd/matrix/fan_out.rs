//! Everybody who listens to a matrix, and the files that are made of it at its end.

#[cfg(test)]
mod tests;

use std::env;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use scenarios::engine::Outcome;

use crate::exit::Exit;
use crate::output::document::{KernelDocument, MatrixDocument};
use crate::output::file;
use crate::output::matrix::event::{Matrix, MatrixConsumer, Stage};
use crate::output::matrix::junit::junit;
use crate::output::matrix::markdown::markdown;
use crate::output::stderr;

/// The document as JSON.
pub fn json(found: &MatrixDocument) -> io::Result<String> {
    let mut text = serde_json::to_string_pretty(found)?;
    text.push('\n');
    Ok(text)
}

/// Which files are to be made of a matrix.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// The document itself.
    pub json: Option<PathBuf>,
    /// JUnit's XML.
    pub junit: Option<PathBuf>,
    /// A page of Markdown.
    pub markdown: Option<PathBuf>,
    /// A file that the page is added to.
    pub summary: Option<PathBuf>,
}

impl Files {
    /// The summary of a GitHub job, where there is one.
    pub fn github_summary() -> Option<PathBuf> {
        env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()).map(PathBuf::from)
    }

    /// Whether they can be written, as far as that can be known beforehand. Nothing is written.
    ///
    /// # Errors
    /// The first that cannot.
    pub fn check(&self) -> Result<()> {
        let whole = [&self.json, &self.junit, &self.markdown];
        whole.into_iter().flatten().try_for_each(|path| file::check(path))?;
        self.summary.as_deref().map_or(Ok(()), |path| summary(path).map(drop))
    }

    /// Writes them, each whole or not at all. A file that cannot be written does not keep
    /// the others from it.
    pub fn write(&self, found: &MatrixDocument) -> Vec<anyhow::Error> {
        let written = self.write_whole(found).into_iter().chain([self.append(found)]);
        written.filter_map(Result::err).collect()
    }

    /// Writes those that are made anew each time.
    fn write_whole(&self, found: &MatrixDocument) -> [Result<()>; 3] {
        let one = |path: &Option<PathBuf>, text: &dyn Fn() -> io::Result<String>| match path {
            None => Ok(()),
            Some(path) => file::write_whole(path, text()?.as_bytes()),
        };
        [
            one(&self.json, &|| json(found)),
            one(&self.junit, &|| junit(found)),
            one(&self.markdown, &|| Ok(markdown(found))),
        ]
    }

    /// Those that can be written again and again.
    fn made_anew(&self) -> Self {
        let one = |path: &Option<PathBuf>| path.clone().filter(|path| file::is_made_anew(path));
        Self {
            json: one(&self.json),
            junit: one(&self.junit),
            markdown: one(&self.markdown),
            summary: None,
        }
    }

    fn append(&self, found: &MatrixDocument) -> Result<()> {
        let Some(path) = &self.summary else { return Ok(()) };
        // In one piece: other steps may add to it too.
        let text = format!("{}\n", markdown(found));
        summary(path)?.write_all(text.as_bytes()).with_context(|| cannot_write(path))
    }
}

fn summary(path: &Path) -> Result<File> {
    let file = OpenOptions::new().append(true).create(true).open(path);
    file.with_context(|| cannot_write(path))
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write {}", path.display())
}

/// Passes everything on to those who listen. What cannot be written is shown, and spoils
/// nothing else.
#[derive(Default)]
pub struct FanOut {
    consumers: Vec<Box<dyn MatrixConsumer>>,
    files: Files,
    write_failed: bool,
}

impl FanOut {
    /// Listens for nobody yet, and writes `files` at the end.
    pub fn new(files: Files) -> Self {
        Self { files, ..Self::default() }
    }

    /// One more who listens.
    pub fn add(&mut self, consumer: impl MatrixConsumer + 'static) {
        self.consumers.push(Box::new(consumer));
    }

    /// Before the first kernel.
    pub fn begin(&mut self, matrix: &Matrix) {
        self.report(|consumer| consumer.begin(matrix));
    }

    /// Something is being done for a kernel.
    pub fn stage(&mut self, kernel: usize, stage: &Stage) {
        self.report(|consumer| consumer.stage(kernel, stage));
    }

    /// A case has ended on a kernel.
    pub fn finished(&mut self, kernel: usize, outcome: &Outcome) {
        self.report(|consumer| consumer.finished(kernel, outcome));
    }

    /// Nothing more will be done for a kernel.
    pub fn ended(&mut self, kernel: usize, found: &KernelDocument) {
        self.report(|consumer| consumer.ended(kernel, found));
    }

    /// After a kernel that is not the last one: the files are written, so that what was found
    /// is there even if this program is killed. What cannot be written is reported at the end.
    pub fn so_far(&mut self, found: &MatrixDocument) {
        let _ = self.files.made_anew().write_whole(found);
    }

    /// After the last kernel: the files are written.
    pub fn end(&mut self, matrix: &Matrix, found: &MatrixDocument) {
        for error in self.files.write(found) {
            self.write_error(&error);
        }
        self.report(|consumer| consumer.end(matrix, found));
    }

    /// Reports what could not be written or kept.
    pub fn write_error(&mut self, error: &anyhow::Error) {
        stderr::complain_of(error);
        self.write_failed = true;
    }

    /// The exit code; `named` are the kernels that were asked for by name.
    pub fn exit(&self, found: &MatrixDocument, named: &[String], deny_flaky: bool) -> Exit {
        Exit::of_matrix(found, named, deny_flaky).unless_write_failed(self.write_failed)
    }

    /// A consumer that cannot write is reported and not asked again; the others go on.
    fn report(&mut self, mut what: impl FnMut(&mut dyn MatrixConsumer) -> io::Result<()>) {
        let mut failed = Vec::new();
        self.consumers.retain_mut(|consumer| match what(consumer.as_mut()) {
            Ok(()) => true,
            Err(e) => {
                failed.push(e);
                false
            }
        });
        for e in failed {
            self.write_error(&anyhow::Error::new(e));
        }
    }
}
