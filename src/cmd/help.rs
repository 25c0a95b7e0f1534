//! `--help` and `--version`, which are output like any other.

use std::io::{self, Write};

use crate::exit::Exit;
use crate::output::fold::folded;
use crate::output::stderr;
use crate::output::stdout::{self, Stdout};
use crate::style::Style;

/// Shows what clap has made of it.
pub fn show(help: &clap::Error) -> Exit {
    let text = help.render();
    let text = match Style::of(&io::stdout()).has_colour() {
        true => text.ansi().to_string(),
        false => text.to_string(),
    };
    let text = match stdout::known_width() {
        Some(width) => text.lines().map(|line| folded(line, width) + "\n").collect(),
        None => text,
    };
    let mut stdout = Stdout::exact();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Exit::Expected,
        Err(e) => {
            stderr::complain(&e);
            Exit::Unavailable
        }
    }
}
