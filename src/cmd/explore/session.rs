//! What `explore` and `replay` show, and what they keep.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use explore::history::History;
use explore::run::Total;

use crate::cli::ExploreFormat;
use crate::cmd::explore::document::{FindingDocument, Kept};
use crate::cmd::explore::words;
use crate::exit::Exit;
use crate::output::file::{self, OutDirectory};
use crate::output::stderr;
use crate::output::stdout::Stdout;

/// The directory that was named, if one was. The error is an exit code whose reason has been reported.
pub(in crate::cmd) fn named(path: Option<&Path>) -> Result<Option<OutDirectory>, Exit> {
    path.map(OutDirectory::open).transpose().map_err(|e| {
        stderr::complain_of(&e);
        Exit::Unavailable
    })
}

/// What is shown and kept.
pub(super) struct Session {
    format: ExploreFormat,
    /// Where histories are kept, once one was.
    out: Option<OutDirectory>,
    /// Whether histories are kept as files, too.
    pub(super) keeps_files: bool,
    /// Where each disagreement so far was kept.
    pub(super) kept: Vec<Kept>,
    pub(super) write_failed: bool,
}

impl Session {
    pub(super) fn new(format: ExploreFormat, out: Option<OutDirectory>) -> Self {
        Self { format, out, keeps_files: true, kept: vec![], write_failed: false }
    }

    fn written(&mut self, written: io::Result<()>) {
        if let Err(e) = written {
            stderr::complain(&e);
            self.write_failed = true;
        }
    }

    /// Shows a text to people.
    pub(super) fn say(&mut self, text: &str) {
        if self.format == ExploreFormat::Terminal {
            let mut to = Stdout::new();
            let written = to.write_all(text.as_bytes()).and_then(|()| to.flush());
            self.written(written);
        }
    }

    /// Writes a document for programs.
    pub(super) fn document(&mut self, json: impl FnOnce() -> String) {
        if self.format == ExploreFormat::Json {
            let mut to = Stdout::exact();
            let written = writeln!(to, "{}", json()).and_then(|()| to.flush());
            self.written(written);
        }
    }

    /// Keeps the histories that were found since the last call, and shows them: what comes
    /// later may be the kernel's panic.
    pub(super) fn keep_new(&mut self, total: &Total) {
        for finding in total.findings.iter().skip(self.kept.len()) {
            let kept = self.keep(&finding.number.to_string(), &finding.history);
            let document = FindingDocument::of(finding, &total.disagreements, kept.clone());
            self.found(&words::disagreement(&document));
            self.kept.push(kept);
        }
    }

    /// Shows to people what was found, wherever its document goes.
    pub(super) fn found(&mut self, text: &str) {
        match self.format {
            ExploreFormat::Terminal => self.say(text),
            ExploreFormat::Json => stderr::line(&text),
        }
    }

    /// Keeps a history, if that is wanted and can be done.
    pub(super) fn keep(&mut self, name: &str, history: &History) -> Kept {
        if !self.keeps_files {
            return None;
        }
        let mut write = || -> anyhow::Result<PathBuf> {
            let directory = OutDirectory::or_temporary(&mut self.out)?;
            let path = directory.file(&format!("{name}.history"));
            file::write_whole(&path, history.to_string().as_bytes())?;
            Ok(path)
        };
        let written = write();
        written
            .map_err(|e| {
                stderr::complain_of(&e);
                self.write_failed = true;
            })
            .ok()
    }
}
