//! Where an explanation is written to: paragraphs after their labels.

use std::collections::BTreeSet;
use std::io::{self, Write};

use scenarios::report::wrap;

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
    pub to: Stdout,
    /// With colours or without.
    pub style: Style,
    /// What was told already, each with its label: what cases share is told once.
    told: BTreeSet<(&'static str, String)>,
}

impl Page {
    /// An empty page.
    pub fn new(style: Style) -> Self {
        Self { to: Stdout::new(), style, told: BTreeSet::new() }
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
}
