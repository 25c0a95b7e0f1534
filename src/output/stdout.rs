//! stdout, which may be closed or a terminal of any width.

use std::env;
use std::io::{self, Write};

use crate::escape::ForPeople;
use crate::style::Style;

/// stdout for a consumer. A reader that has gone away (`| head -1`) is not an error; other
/// errors say that it was stdout that could not be written.
///
/// What is for people is escaped on its way, whoever wrote it.
pub struct Stdout {
    gone: bool,
    people: Option<ForPeople>,
}

impl Stdout {
    /// The process's stdout, for people.
    pub fn new() -> Self {
        let colour = Style::of(&io::stdout()).has_colour();
        Self { gone: false, people: Some(ForPeople::new(colour)) }
    }

    /// The same for programs: exactly what is written.
    pub fn exact() -> Self {
        Self { gone: false, people: None }
    }

    fn unless_gone<T>(&mut self, instead: T, result: io::Result<T>) -> io::Result<T> {
        match result {
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => {
                self.gone = true;
                Ok(instead)
            }
            Err(e) => {
                Err(io::Error::new(e.kind(), format!("cannot write to standard output: {e}")))
            }
            written => written,
        }
    }
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.gone {
            return Ok(bytes.len());
        }
        let written = match &mut self.people {
            Some(people) => {
                let shown = people.shown(&String::from_utf8_lossy(bytes));
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
        let flushed = io::stdout().flush();
        self.unless_gone((), flushed)
    }
}

/// How many columns stdout has: a terminal's; else what COLUMNS says; else 100.
pub fn width() -> usize {
    let terminal = terminal_size::terminal_size_of(io::stdout());
    let terminal = terminal.map(|(terminal_size::Width(columns), _)| usize::from(columns));
    let by_environment = || env::var("COLUMNS").ok()?.parse().ok();
    terminal.or_else(by_environment).filter(|columns| *columns > 0).unwrap_or(100)
}

/// How wide text is to be: 80 columns, or the terminal if that is narrower.
pub fn text_width() -> usize {
    width().min(80)
}
