//! Which cases a command line asks for.

use scenarios::case::Selected;
use scenarios::catalogue::{self, NoSuchId};

use crate::output::stderr;

<<<<<<< HEAD
/// The cases whose ids start with one of `prefixes`, as [`selected`] finds them. Where there are
/// none because an option's value stood apart from it (`--trace plain`), says how it is meant:
/// `values` are an option with its values, if it was given.
///
/// # Errors
/// As [`selected`].
pub fn selected_beside(
    prefixes: &[String],
    given: bool,
    option: &str,
    values: &[&str],
) -> Result<Vec<Selected>, NoSuchId> {
    selected(prefixes).inspect_err(|unknown| {
        if given && values.contains(&unknown.prefix.as_str()) {
            let value = &unknown.prefix;
            stderr::complain(&format_args!("{option} {value} is written {option}={value}"));
        }
    })
}

=======
>>>>>>> main
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
