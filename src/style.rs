//! Colour, where a terminal wants it.

use std::env;
use std::io::IsTerminal;

const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31;1m";
const YELLOW: &str = "\x1b[33m";
const BOLD: &str = "\x1b[1m";
const END: &str = "\x1b[0m";

/// Every sequence that a text of ours can have for its colours.
pub const CODES: [&str; 5] = [GREEN, RED, YELLOW, BOLD, END];

/// Whether to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    colour: bool,
}

impl Style {
    /// No colour.
    pub const PLAIN: Self = Self { colour: false };

    /// Colour.
    #[cfg(test)]
    pub const COLOUR: Self = Self { colour: true };

    /// Colour if `stream` is a terminal that has it, and `NO_COLOR` is not set.
    pub fn of(stream: &impl IsTerminal) -> Self {
        let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self { colour: stream.is_terminal() && !refused && !dumb }
    }

    /// Good news.
    pub fn green(self, text: &str) -> String {
        self.wrap(GREEN, text)
    }

    /// Bad news.
    pub fn red(self, text: &str) -> String {
        self.wrap(RED, text)
    }

    /// Neither.
    pub fn yellow(self, text: &str) -> String {
        self.wrap(YELLOW, text)
    }

    /// A heading.
    pub fn bold(self, text: &str) -> String {
        self.wrap(BOLD, text)
    }

    /// Whether there is any.
    pub fn has_colour(self) -> bool {
        self.colour
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.colour { format!("{code}{text}{END}") } else { text.to_owned() }
    }
}
