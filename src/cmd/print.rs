//! What is printed as it is, for programs.

use std::io::Write;

use crate::exit::Exit;
use crate::output::stderr;
use crate::output::stdout::Stdout;

/// Prints a text exactly.
pub fn exactly(text: &[u8]) -> Exit {
    let mut stdout = Stdout::exact();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Ok(()) => Exit::Expected,
        Err(e) => {
            stderr::complain(&e);
            Exit::Unavailable
        }
    }
}
