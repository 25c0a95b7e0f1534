//! What `sockmig doctor` has found out.

use scenarios::report::wrap;

use crate::style::Style;

/// How much stands before what was found.
const BESIDE: usize = 19;
const EMPTY: &str = "                  ";

/// One thing that was looked at.
pub struct Finding {
    what: &'static str,
    good: bool,
    found: String,
    /// What it costs, and what helps; empty when all is well.
    advice: String,
}

impl Finding {
    pub fn good(what: &'static str, found: impl Into<String>) -> Self {
        Self { what, good: true, found: found.into(), advice: String::new() }
    }

    pub fn bad(what: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { what, good: false, found: found.into(), advice: advice.into() }
    }

    /// In so many columns: what was found and what helps stand next to what was looked at.
    pub fn shown(&self, style: Style, width: usize) -> String {
        let word = if self.good { style.green("ok") } else { style.yellow("--") };
        let columns = width.saturating_sub(BESIDE).max(20);
        let mut shown = format!("{word}  {:<14}", self.what);
        for (at, line) in
            wrap(&self.found, columns).iter().chain(&wrap(&self.advice, columns)).enumerate()
        {
            let beside = if at == 0 { "" } else { EMPTY };
            shown.push_str(&format!("{beside} {line}\n"));
        }
        shown
    }
}
