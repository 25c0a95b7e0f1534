//! Which cases a command line asks for.

use scenarios::case::Selected;
use scenarios::catalogue::{self, NoSuchId};

use crate::output::stderr;

/// The cases whose ids start with one of `prefixes`. Says on stderr which of them have other
/// names now.
///
/// # Errors
/// The first prefix that no id starts with, and none did before.
pub fn selected(prefixes: &[String]) -> Result<Vec<Selected>, NoSuchId> {
    for prefix in prefixes {
        if let Some(now) = catalogue::renamed(prefix) {
            stderr::complain(&format_args!("{prefix} is called {now} now"));
        }
    }
    catalogue::select(prefixes)
}
