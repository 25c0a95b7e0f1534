//! Where an explanation is written to: paragraphs after their labels.

use std::collections::BTreeSet;
use std::io::{self, Write};

use scenarios::engine::Outcome;
use scenarios::report::{Retried, wrap};

use crate::output::stdout::{self, Stdout};
use crate::style::Style;

/// How wide sentences run after their labels, in a terminal of 80 columns and in the narrowest.
const COLUMNS: usize = 68;
const NARROWEST: usize = 20;

/// How wide the labels are.
const LABELS: usize = 12;

/// An explanation on standard output.
pub struct Page {
    /// Where it goes.
    pub to: Box<dyn Write>,
    /// With colours or without.
    pub style: Style,
    /// What was told already, each with its label: what cases share is told once.
    told: BTreeSet<(&'static str, String)>,
}

impl Page {
    /// An empty page.
    pub fn new(style: Style) -> Self {
        Self::on(Box::new(Stdout::new()), style)
    }

    fn on(to: Box<dyn Write>, style: Style) -> Self {
        Self { to, style, told: BTreeSet::new() }
    }

    /// A paragraph after its label, unless another case has had it.
    pub fn once(&mut self, label: &'static str, text: &str) -> io::Result<()> {
        match self.told.insert((label, text.to_owned())) {
            true => self.label(label, text),
            false => Ok(()),
        }
    }

    /// What is explained.
    pub fn title(&mut self, title: &str) -> io::Result<()> {
        let title = self.style.bold(title);
        writeln!(self.to, "{title}")
    }

    /// A paragraph after its label.
    pub fn label(&mut self, label: &str, text: &str) -> io::Result<()> {
        let mut label = label;
        let columns = stdout::text_width().saturating_sub(LABELS).clamp(NARROWEST, COLUMNS);
        for line in wrap(text, columns) {
            writeln!(self.to, "{}", format!("  {label:<9} {line}").trim_end())?;
            label = "";
        }
        Ok(())
    }

    /// How often a case was tried, and what the tries before the last saw; nothing of one that was
    /// tried once.
    pub fn tries(&mut self, outcome: &Outcome) -> io::Result<()> {
        let Some(retried) = Retried::of(&outcome.verdict, &outcome.discarded) else {
            return Ok(());
        };
        self.label(retried.word(), &format!("{}: {}", outcome.id, retried.often()))?;
        retried.tries().iter().try_for_each(|line| self.label("", line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::run;
    use crate::output::buffer::Buffer;

    #[test]
    fn what_discarded_tries_saw_is_told() {
        let told = |outcome: &Outcome| {
            let buffer = Buffer::default();
            let mut page = Page::on(Box::new(buffer.clone()), Style::PLAIN);
            page.tries(outcome).expect("written");
            buffer.text()
        };
        let flaky = run::flaky();
        let text = told(&flaky);
        assert!(text.starts_with(&format!("  flaky     {}: failed in ", flaky.id)), "{text}");
        let tries = text.matches("  try ").count();
        assert_eq!(tries, flaky.discarded.len(), "a line for each: {text}");
        assert_eq!(told(&Outcome { discarded: vec![], ..flaky }), "");
    }
}
