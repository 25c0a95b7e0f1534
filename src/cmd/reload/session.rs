//! What every measurement needs: labs and a kernel to begin with, and somewhere to report
//! it in the end.

use std::io::Write;

use anyhow::Result;
use harness::chain_in_words;
use harness::kernel::Kernel;
use harness::process::Labs;
use harness::process::interrupt;
use scenarios::advice;
use scenarios::engine;

use crate::cli::{ReloadArguments, ReloadFormat};
use crate::cmd::reload::refusal::Refusal;
use crate::exit::Exit;
use crate::output::file::{self, OutDirectory};
use crate::output::stderr;
use crate::output::stdout::Stdout;

/// A measurement's beginning and end.
pub struct Session {
    /// Where to measure.
    pub labs: Labs,
    /// The kernel, as probed in a lab.
    pub kernel: Kernel,
    out: Option<OutDirectory>,
    stdout: Stdout,
    terminal: bool,
    mute: bool,
    written: Vec<Result<()>>,
}

impl Session {
    /// Catches Ctrl-C, makes the directory for results, and asks a lab for the kernel.
    ///
    /// # Errors
    /// Why nothing can be measured.
    pub fn open(arguments: &ReloadArguments) -> Result<Self, Refusal> {
        let out = arguments.out.as_deref().map(OutDirectory::open).transpose();
        let out = out.map_err(|e| Refusal::new(Exit::Unavailable, chain_in_words(e.as_ref())))?;
        interrupt::catch()
            .map_err(|e| format!("cannot catch Ctrl-C: {}", advice::refusal(&e)))
            .map_err(|why| Refusal::new(Exit::Unavailable, why))?;
        let labs = Labs::default();
        let kernel = engine::probe(&labs).map_err(|broken| Refusal::of(&broken))?;
        let terminal = arguments.format == ReloadFormat::Terminal;
        Ok(Self {
            labs,
            kernel,
            out,
            stdout: if terminal { Stdout::new() } else { Stdout::exact() },
            terminal,
            mute: false,
            written: vec![],
        })
    }

    /// Says something to people.
    pub fn say(&mut self, text: &str) {
        if self.terminal {
            self.print(text);
        }
    }

    /// Shows the result: to people as `text`, to programs as `json`.
    pub fn show(&mut self, text: &str, json: impl FnOnce() -> String) {
        match self.terminal {
            true => self.print(text),
            false => self.print(&json()),
        }
    }

    fn print(&mut self, text: &str) {
        if self.mute {
            return;
        }
        let stdout = &mut self.stdout;
        let said = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
        // What cannot be said once is not tried again, nor shown twice.
        self.mute |= said.is_err();
        self.written.push(said.map_err(Into::into));
    }

    /// Keeps a file where results are wanted.
    pub fn keep(&mut self, name: &str, text: impl FnOnce() -> String) {
        if let Some(out) = &self.out {
            self.written.push(file::write_whole(&out.file(name), text().as_bytes()));
        }
    }

    /// Reports what could not be written; says whether there was anything.
    pub fn close(self) -> bool {
        let mut failed = false;
        for error in self.written.into_iter().filter_map(Result::err) {
            stderr::complain_of(&error);
            failed = true;
        }
        failed
    }
}
