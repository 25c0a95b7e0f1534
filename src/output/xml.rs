//! JUnit's XML as Jenkins' xUnit plugin has its schema (`junit-10.xsd`), which is stricter than
//! most readers are.

use std::io;

use quick_junit::Report;

use crate::escape;

/// What is wrong or missing, in the attribute `type`: a known bug and a skip are both
/// `skipped`, and only this tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultType {
    /// The kernel deviates.
    Deviation,
    /// The laboratory broke, or a machine did.
    Laboratory,
    /// The case says nothing about the kernel.
    Skip,
    /// The kernel has a bug that is known.
    KnownBug,
    /// It was selected, and has no verdict.
    NotRun,
}

impl ResultType {
    /// As the attribute has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Deviation => "deviation",
            Self::Laboratory => "laboratory",
            Self::Skip => "skip",
            Self::KnownBug => "known-bug",
            Self::NotRun => "not-run",
        }
    }
}

/// The whole report as text.
///
/// # Errors
/// What `quick_junit` cannot write.
pub fn xml(report: &Report) -> io::Result<String> {
    let text = report.to_string().map_err(io::Error::other)?;
    Ok(escape::markup(without_skipped(&text, report.skipped)))
}

/// The schema lets `testsuite` count what was skipped, and not `testsuites`.
fn without_skipped(text: &str, skipped: usize) -> String {
    let Some(begin) = text.find("<testsuites ") else { return text.to_owned() };
    // Within an attribute a `>` is written as `&gt;`, and a quotation mark as `&quot;`.
    let end = text[begin..].find('>').map_or(text.len(), |at| begin + at);
    let tag = text[begin..end].replacen(&format!(" skipped=\"{skipped}\""), "", 1);
    format!("{}{tag}{}", &text[..begin], &text[end..])
}
