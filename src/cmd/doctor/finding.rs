//! What `sockmig doctor` has found out.

use crate::style::Style;

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

    pub fn shown(&self, style: Style) -> String {
        let word = if self.good { style.green("ok") } else { style.yellow("--") };
        let mut shown = format!("{word}  {:<14} {}\n", self.what, self.found);
        if !self.advice.is_empty() {
            shown.push_str(&format!("    {:<14} {}\n", "", self.advice));
        }
        shown
    }
}
