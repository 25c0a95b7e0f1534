//! What is said on standard error. It may be closed, full, or read by nobody any more: what is
//! said there never ends a command, and never changes its result.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, Write};

use harness::chain_in_words;

use crate::escape::ForPeople;
use crate::output::fold::folded;
use crate::output::stdout::width_of;

/// Says a sentence, with the name of the command before it.
pub fn complain(sentence: &dyn Display) {
    line(&format_args!("sockmig: {sentence}"));
}

/// Says an error and what it came from, with the name of the command before it.
pub fn complain_of(error: &anyhow::Error) {
    complain(&chain_in_words(error.as_ref()));
}

/// Says a line, in one piece: other processes may write to the same file. What it quotes of
/// documents and of users is escaped, and lines that are wider than the terminal are broken.
pub fn line(text: &dyn Display) {
    write(shown(&format!("{text}\n")).as_bytes());
}

/// Lines as people are shown them.
pub fn shown(lines: &str) -> String {
    let lines: Cow<'_, str> = match width_of(&io::stderr()) {
        Some(width) => lines.lines().map(|line| folded(line, width) + "\n").collect(),
        None => lines.into(),
    };
    // Escaped last: a word may only now be the first of a line.
    ForPeople::new(false).shown(&lines)
}

/// Passes bytes on as they are.
pub fn write(bytes: &[u8]) {
    let mut to = io::stderr();
    let _ = to.write_all(bytes).and_then(|()| to.flush());
}
