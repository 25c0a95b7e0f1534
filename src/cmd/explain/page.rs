//! Where an explanation is written to: paragraphs after their labels.

use std::io::{self, Write};

use scenarios::report::wrap;

use crate::output::stdout::Stdout;
use crate::style::Style;

/// How wide sentences run after their labels.
const COLUMNS: usize = 68;

/// An explanation on standard output.
pub struct Page {
    /// Where it goes.
    pub to: Stdout,
    /// With colours or without.
    pub style: Style,
}

impl Page {
    /// What is explained.
    pub fn title(&mut self, title: &str) -> io::Result<()> {
        let title = self.style.bold(title);
        writeln!(self.to, "{title}")
    }

    /// A paragraph after its label.
    pub fn label(&mut self, label: &str, text: &str) -> io::Result<()> {
        let mut label = label;
        for line in wrap(text, COLUMNS) {
            writeln!(self.to, "{}", format!("  {label:<9} {line}").trim_end())?;
            label = "";
        }
        Ok(())
    }
}
