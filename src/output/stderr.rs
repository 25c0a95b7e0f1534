//! What is said on standard error. It may be closed, full, or read by nobody any more: what is
//! said there never ends a command, and never changes its result.

use std::fmt::Display;
use std::io::{self, Write};

/// Says a sentence, with the name of the command before it.
pub fn complain(sentence: &dyn Display) {
    line(&format_args!("sockmig: {sentence}"));
}

/// Says a line, in one piece: other processes may write to the same file.
pub fn line(text: &dyn Display) {
    write(format!("{text}\n").as_bytes());
}

/// Passes bytes on as they are.
pub fn write(bytes: &[u8]) {
    let mut to = io::stderr();
    let _ = to.write_all(bytes).and_then(|()| to.flush());
}
