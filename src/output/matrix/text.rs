//! A matrix in words: the table, its legend, everything that wants an explanation, and
//! the totals. A pure function of the document.

use std::fmt::Write as _;

use scenarios::judge::NamedBug;
use scenarios::report::wrap;

use crate::output::document::MatrixDocument;
use crate::output::matrix::findings::{self, Findings, Group, RetriedCase, Wrong, names};
use crate::output::matrix::grid::{Cell, Grid, grid};
use crate::output::word::{FLAKY_MARK, FLAKY_MEANING, Tally, Word, coloured};
use crate::style::Style;

/// No table is laid out for less.
pub const NARROWEST: usize = 80;

/// How wide sentences run, whatever the terminal.
const SENTENCE: usize = 100;

/// The whole text about a matrix, for a terminal of `width` columns.
pub fn text(found: &MatrixDocument, style: Style, width: usize) -> String {
    let sentence = width.min(SENTENCE);
    let grid = grid(found, width.max(NARROWEST));
    let findings = findings::findings(found);
    let mut page = Page { found, style, width: sentence, text: String::new() };
    page.table(&grid);
    page.legend(&grid);
    page.ends(&findings);
    page.wrong(&findings);
    page.retried("Flaky: failed in a slow lab, and not when tried again", &findings.flaky);
    page.retried("Tried again after a slow lab", &findings.retried);
    page.bugs(&findings);
    page.complaints(&findings);
    page.groups("Fixes that these kernels have and their versions have not", &findings.fixes);
    page.groups("Kernels whose base is not known: only the facts tell their bugs", &findings.bases);
    page.groups("Skipped", &findings.skips);
    page.groups("Missing in guests", &findings.missing);
    page.machines(&findings);
    page.totals(&grid);
    page.text
}

struct Page<'d> {
    found: &'d MatrixDocument,
    style: Style,
    width: usize,
    text: String,
}

impl Page<'_> {
    fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    /// A paragraph whose later lines stand under the first one's text.
    fn say(&mut self, label: &str, text: &str) {
        let indent = " ".repeat(label.chars().count());
        let columns = self.width.saturating_sub(indent.len()).max(20);
        let lines = wrap(text, columns);
        for (at, line) in lines.iter().enumerate() {
            self.line(&format!("{}{line}", if at == 0 { label } else { &indent }));
        }
        if lines.is_empty() {
            self.line(label);
        }
    }

    fn heading(&mut self, text: &str) {
        let heading = self.style.bold(&format!("{text}:"));
        self.line(&format!("\n{heading}"));
    }

    fn table(&mut self, grid: &Grid) {
        for (at, block) in grid.blocks.iter().enumerate() {
            if at > 0 {
                self.line("");
            }
            for line in &block.head {
                self.line(&self.style.bold(line));
            }
            for row in &block.rows {
                let cells: Vec<String> = row.iter().map(|cell| self.cell(cell)).collect();
                self.line(&cells.join("  "));
            }
        }
    }

    fn cell(&self, cell: &Cell) -> String {
        let padding = " ".repeat(cell.width.saturating_sub(cell.text.chars().count()));
        let worst = cell.tally.as_ref().and_then(Tally::worst);
        let text = match worst {
            Some(word) => coloured(self.style, word, &cell.text),
            None => cell.text.clone(),
        };
        text + &padding
    }

    /// Every word that occurs.
    fn legend(&mut self, grid: &Grid) {
        self.line("");
        for word in Word::WORST_FIRST.into_iter().rev().filter(|word| grid.all.of(*word) > 0) {
            self.say(&format!("  {:<6} ", word.text()), word.meaning());
        }
        if grid.all.flaky() > 0 {
            self.say(&format!("  {FLAKY_MARK:<6} "), FLAKY_MEANING);
        }
        if grid.counts {
            let what = "n of m cases have this result; the rest have a result listed above";
            self.say("  n/m    ", what);
        }
    }

    /// Machines that did not complete, with the end of their consoles.
    fn ends(&mut self, findings: &Findings<'_>) {
        if findings.ends.is_empty() {
            return;
        }
        self.heading("Machines that did not complete");
        for kernel in &findings.ends {
            let why = kernel.end.why().unwrap_or_default();
            self.say(&format!("  {} ", kernel.name), &format!("{}: {why}", kernel.end.word()));
            for line in kernel.console.lines() {
                self.line(&format!("    | {line}"));
            }
        }
    }

    fn wrong(&mut self, findings: &Findings<'_>) {
        if findings.wrong.is_empty() {
            return;
        }
        self.heading("Not as expected");
        for (at, wrong) in findings.wrong.iter().enumerate() {
            if at > 0 {
                self.line("");
            }
            self.one_wrong(wrong);
        }
    }

    fn one_wrong(&mut self, wrong: &Wrong<'_>) {
        let word = coloured(self.style, Word::of(&wrong.case.verdict), wrong.word());
        self.line(&format!("  {word} {}", wrong.case.id));
        self.say("    on        ", &wrong.where_it_is(self.found));
        if let Some(broken) = wrong.broken {
            self.say("    error     ", broken);
        }
        for mismatch in wrong.mismatches {
            self.say("    in        ", &mismatch.what);
            self.say("    expected  ", &mismatch.expected.join(" or "));
            self.say("    actual    ", &mismatch.actual);
        }
        if let Some(capture) = &wrong.case.capture {
            self.line(&format!("    capture   {capture}"));
        }
        // Not wrapped: it is to be copied.
        self.line(&format!("    again     {}", wrong.again(self.found)));
    }

    fn retried(&mut self, heading: &str, cases: &[RetriedCase<'_>]) {
        if cases.is_empty() {
            return;
        }
        self.heading(heading);
        for RetriedCase { kernel, title, retried } in cases {
            let kernel = &self.found.kernels[*kernel].name;
            self.say("  ", &format!("{title} on {kernel}: {}", retried.often()));
            for line in retried.tries() {
                self.say("    ", &line);
            }
        }
    }

    fn bugs(&mut self, findings: &Findings<'_>) {
        if findings.bugs.is_empty() {
            return;
        }
        self.heading("Known bugs");
        for bug in &findings.bugs {
            let NamedBug { reason, fix, cve, listed_in, .. } = bug.bug;
            self.say("  ", reason);
            match fix {
                Some(fix) => self.say("    fixed by  ", fix),
                None => self.say("    ", "no fix known"),
            }
            if let Some(cve) = cve {
                self.say("    see       ", cve);
            }
            if let Some(file) = listed_in {
                self.say("    listed in ", file);
            }
            self.say("    on        ", &names(self.found, &bug.kernels));
            if !bug.cannot_tell.is_empty() {
                let names = names(self.found, &bug.cannot_tell);
                self.say("    not told  ", &format!("by the version of {names}"));
            }
            self.say("    in        ", &bug.ids.join(" "));
        }
    }

    fn complaints(&mut self, findings: &Findings<'_>) {
        if findings.complaints.is_empty() {
            return;
        }
        self.heading("Complaints in the kernels' logs");
        for (line, places) in &findings.complaints {
            self.line(&format!("  {line}"));
            for (at, complaint) in places {
                let kernel = &self.found.kernels[*at].name;
                self.say("    ", &format!("{kernel}, during {}", complaint.during));
            }
        }
    }

    fn groups<T: ToString>(&mut self, heading: &str, groups: &[Group<T>]) {
        if groups.is_empty() {
            return;
        }
        self.heading(heading);
        for group in groups {
            self.say("  ", &group.what.to_string());
            self.say("    ", &place(self.found, group));
        }
    }

    fn machines(&mut self, findings: &Findings<'_>) {
        if findings.machines.is_empty() {
            return;
        }
        self.heading("How they were run");
        for group in &findings.machines {
            self.say("  ", &format!("{}: {}", group.what, names(self.found, &group.kernels)));
        }
        for group in &findings.gates {
            let names = names(self.found, &group.kernels);
            self.say("  ", &format!("final ACKs held by {}: {names}", group.what));
        }
        for (at, times) in &findings.restarts {
            let times = if *times == 1 { "once".into() } else { format!("{times} times") };
            let kernel = &self.found.kernels[*at].name;
            self.say("  ", &format!("{kernel} was started again {times}, to go on after an end"));
        }
    }

    fn totals(&mut self, grid: &Grid) {
        let found = self.found;
        self.line("");
        if let Some(shard) = &found.shard {
            self.line(&format!("Only shard {shard} of the kernels."));
        }
        if !found.complete {
            self.line("Interrupted: this is not everything.");
        }
        let seconds = std::time::Duration::from_millis(found.took_ms).as_secs_f64();
        let mut last = findings::kernels_line(found);
        let _ = write!(last, "; {}; {seconds:.1} s", findings::cells_line(&grid.all));
        self.say("", &last);
    }
}

/// Which kernels, and how many cases.
pub fn place<T>(found: &MatrixDocument, group: &Group<T>) -> String {
    let names = names(found, &group.kernels);
    match group.ids.as_slice() {
        [] => names,
        [one] => format!("{one} on {names}"),
        many => format!("{} cases on {names}", many.len()),
    }
}
