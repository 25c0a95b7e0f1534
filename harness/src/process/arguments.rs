//! What a process was started with.

use std::env;
use std::io::{self, Write};
use std::process::exit;

/// The arguments as text, the program's name first. One that is not text is not meant for sockmig
/// itself, and has its strange bytes replaced.
pub fn as_text() -> impl DoubleEndedIterator<Item = String> {
    env::args_os().map(|argument| argument.to_string_lossy().into_owned())
}

/// Ends a process that somebody else started with an argument of sockmig's own.
pub(crate) fn refuse(argument: &str) -> ! {
    let _ = writeln!(io::stderr(), "{argument} is for sockmig's own use; see sockmig --help");
    exit(2)
}
