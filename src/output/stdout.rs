//! stdout, which may be closed or a terminal of any width.

use std::env;
use std::io::{self, Write};
use std::os::fd::AsFd;

use harness::in_words;

use crate::escape::ForPeople;
use crate::output::fold::folded;
use crate::style::Style;

/// stdout for a consumer. A reader that has gone away (`| head -1`) is not an error; other
/// errors say that it was stdout that could not be written.
///
/// What is for people is escaped on its way, whoever wrote it, and lines that are wider than the
/// terminal are broken between words.
pub struct Stdout {
    gone: bool,
    people: Option<ForPeople>,
    /// Where lines are broken.
    width: Option<usize>,
    /// The line that has not ended.
    line: String,
}

impl Stdout {
    /// The process's stdout, for people.
    pub fn new() -> Self {
        Self::with(Some(people()), known_width())
    }

    /// The same for people and programs: what is a line stays one.
    pub fn unfolded() -> Self {
        Self::with(Some(people()), None)
    }

    /// The same for programs: exactly what is written.
    pub fn exact() -> Self {
        Self::with(None, None)
    }

    fn with(people: Option<ForPeople>, width: Option<usize>) -> Self {
        Self { gone: false, people, width, line: String::new() }
    }

    fn unless_gone<T>(&mut self, instead: T, result: io::Result<T>) -> io::Result<T> {
        match result {
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => {
                self.gone = true;
                Ok(instead)
            }
            Err(e) => Err(io::Error::new(
                e.kind(),
                format!("cannot write to standard output: {}", in_words(&e)),
            )),
            written => written,
        }
    }

    /// Of what is written, as much as can be broken into lines.
    fn whole_lines(&mut self, piece: &str) -> String {
        let Some(width) = self.width else { return piece.to_owned() };
        self.line.push_str(piece);
        let Some(end) = self.line.rfind('\n') else { return String::new() };
        let rest = self.line.split_off(end + 1);
        let lines = std::mem::replace(&mut self.line, rest);
        lines.lines().map(|line| folded(line, width) + "\n").collect()
    }

    /// What has been written of a line that has not ended.
    fn begun_line(&mut self) -> String {
        let line = std::mem::take(&mut self.line);
        let folded = self.width.map_or_else(String::new, |width| folded(&line, width));
        self.people.as_mut().map_or_else(String::new, |people| people.shown(&folded))
    }
}

fn people() -> ForPeople {
    ForPeople::new(Style::of(&io::stdout()).has_colour())
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.gone {
            return Ok(bytes.len());
        }
        let lines = match &self.people {
            Some(_) => self.whole_lines(&String::from_utf8_lossy(bytes)),
            None => String::new(),
        };
        let written = match &mut self.people {
            Some(people) => {
                // Escaped last: a word may only now be the first of a line.
                let shown = people.shown(&lines);
                io::stdout().write_all(shown.as_bytes()).map(|()| bytes.len())
            }
            None => io::stdout().write(bytes),
        };
        self.unless_gone(bytes.len(), written)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.gone {
            return Ok(());
        }
        let begun = self.begun_line();
        let flushed = io::stdout().write_all(begun.as_bytes()).and_then(|()| io::stdout().flush());
        self.unless_gone((), flushed)
    }
}

impl Drop for Stdout {
    /// Whoever did not flush has nobody to tell an error.
    fn drop(&mut self) {
        if !self.line.is_empty() {
            let _ = self.flush();
        }
    }
}

/// How many columns stdout has, if that is known: a terminal's; else what COLUMNS says.
pub fn known_width() -> Option<usize> {
    width_of(&io::stdout())
}

/// The same for any stream.
pub fn width_of(stream: &impl AsFd) -> Option<usize> {
    let terminal = terminal_size::terminal_size_of(stream);
    let terminal = terminal.map(|(terminal_size::Width(columns), _)| usize::from(columns));
    let by_environment = || env::var("COLUMNS").ok()?.parse().ok();
    terminal.or_else(by_environment).filter(|columns| *columns > 0)
}

/// How many columns stdout has, or 100 if nobody knows.
pub fn width() -> usize {
    known_width().unwrap_or(100)
}

/// How wide text is to be: 80 columns, or the terminal if that is narrower.
pub fn text_width() -> usize {
    width().min(80)
}
