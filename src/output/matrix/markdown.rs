//! A matrix as Markdown, short: for a pull request, and for GitHub's summary of a job.

use std::fmt::Write as _;

use scenarios::judge::NamedBug;

use crate::escape::{self, fenced, html};
use crate::output::document::MatrixDocument;
use crate::output::matrix::findings::{self, Findings, Group, RetriedCase, Wrong, names};
use crate::output::matrix::grid::columns;
use crate::output::matrix::text::place;
use crate::output::word::{self, FLAKY_MARK, FLAKY_MEANING, Tally, Word};

/// Columns of a table that still fit a page.
const COLUMNS: usize = 12;

/// Failures that are shown one by one; a page is no log.
const LISTED: usize = 20;

/// Characters of one text that are shown; a pull request's comment has 65,536 in all.
const CHARACTERS: usize = 1200;

/// Places that are named.
const PLACES: usize = 8;

/// The page.
pub fn markdown(found: &MatrixDocument) -> String {
    let findings = findings::findings(found);
    let mut text = String::from("## sockmig: TCP connections when a listener closes\n\n");
    table(&mut text, found);
    wrong(&mut text, found, &findings);
    retried(
        &mut text,
        found,
        "Flaky: failed in a slow lab, and not when tried again",
        &findings.flaky,
    );
    retried(&mut text, found, "Tried again after a slow lab", &findings.retried);
    bugs(&mut text, found, &findings);
    ends(&mut text, &findings);
    complaints(&mut text, found, &findings);
    groups(
        &mut text,
        found,
        "Fixes that these kernels have and their versions have not",
        &findings.fixes,
    );
    groups(
        &mut text,
        found,
        "Kernels whose base is not known: only the facts tell their bugs",
        &findings.bases,
    );
    groups(&mut text, found, "Skipped", &findings.skips);
    groups(&mut text, found, "Missing in guests", &findings.missing);
    groups(&mut text, found, "Final ACKs were held by", &findings.gates);
    text
}

/// The beginning and the end of a long text, whole lines of both.
fn shortened(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    let mut budget = CHARACTERS;
    let mut take = |line: &&str| {
        let fits = line.len() < budget;
        budget = budget.saturating_sub(line.len() + 1);
        fits
    };
    let (mut first, mut last) = (0, 0);
    while first + last < lines.len() {
        // What runs it again stands at the end, and so does a console's panic.
        let from_end = last <= first;
        let line = if from_end { &lines[lines.len() - 1 - last] } else { &lines[first] };
        if !take(line) {
            break;
        }
        *if from_end { &mut last } else { &mut first } += 1;
    }
    let left = lines.len() - first - last;
    if left == 0 {
        return lines.join("\n");
    }
    let gap = format!("... {left} lines are left out ...");
    [&lines[..first], &[&gap], &lines[lines.len() - last..]].concat().join("\n")
}

fn symbol(word: Word) -> &'static str {
    match word {
        Word::Ok => "✅",
        Word::Fail => "❌",
        Word::Error => "💥",
        Word::Known => "🐛",
        Word::Skip => "⏭️",
        Word::NotRun => "⬜",
    }
}

fn cell_text(tally: &Tally) -> String {
    match tally.worst() {
        Some(Word::NotRun) if tally.of(Word::NotRun) == tally.total() => "⬜ not run".into(),
        Some(worst) => format!("{} {}", symbol(worst), escape::markdown(&tally.cell())),
        None => String::new(),
    }
}

fn table(text: &mut String, found: &MatrixDocument) {
    let deepest = found.cases.iter().map(|id| id.split('/').count()).max().unwrap_or(1);
    let mut depths = (1..=deepest).rev().map(|depth| columns(&found.cases, depth));
    let columns =
        depths.find(|columns| columns.len() <= COLUMNS).unwrap_or_else(|| columns(&found.cases, 1));
    let heads: Vec<String> = columns.iter().map(|c| escape::markdown(&c.path.join("/"))).collect();
    let _ = writeln!(text, "| kernel | machine | {} |", heads.join(" | "));
    let _ = writeln!(text, "|---|---|{}", "---|".repeat(columns.len()));
    let mut all = Tally::default();
    for kernel in &found.kernels {
        let row = word::row(kernel, &found.cases);
        let cells = columns.iter().map(|column| {
            let tally: Tally = column.cases.iter().map(|case| row[*case]).collect();
            all.add(&tally);
            cell_text(&tally)
        });
        let cells = cells.collect::<Vec<_>>().join(" | ");
        let (name, end) = (escape::markdown(&kernel.name), kernel.end.word());
        let end = if kernel.end.why().is_some() { format!("**{end}**") } else { end.into() };
        let _ = writeln!(text, "| {name} | {end} | {cells} |");
    }
    let legend = Word::WORST_FIRST.into_iter().rev().filter(|word| all.of(*word) > 0);
    let legend = legend.map(|word| {
        let meaning = word.meaning().split(';').next().unwrap_or_default();
        match word {
            Word::NotRun => format!("{} not run", symbol(word)),
            _ => format!("{} {}: {meaning}", symbol(word), word.text()),
        }
    });
    let flaky = (all.flaky() > 0).then(|| {
        let meaning = FLAKY_MEANING.split(';').next().unwrap_or_default();
        format!("{}: {meaning}", escape::markdown(FLAKY_MARK))
    });
    let legend = legend.chain(flaky).collect::<Vec<_>>().join(" · ");
    let (kernels, cells) = (findings::kernels_line(found), findings::cells_line(&all));
    let seconds = found.took_ms as f64 / 1000.0;
    let _ = writeln!(text, "\n{legend}\n\n{kernels}; {cells}; {seconds:.1} s");
    if let Some(shard) = &found.shard {
        let _ = writeln!(text, "\n**Only shard {} of the kernels.**", escape::markdown(shard));
    }
    if !found.complete {
        let _ = writeln!(text, "\n**Interrupted: this is not everything.**");
    }
}

fn wrong(text: &mut String, found: &MatrixDocument, findings: &Findings<'_>) {
    if findings.wrong.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n### Not as expected\n");
    for wrong in findings.wrong.iter().take(LISTED) {
        one_wrong(text, found, wrong);
    }
    if let Some(more) = findings.wrong.len().checked_sub(LISTED).filter(|more| *more > 0) {
        let _ = writeln!(text, "\n... and {more} more; `matrix.json` has them all.");
    }
}

fn one_wrong(text: &mut String, found: &MatrixDocument, wrong: &Wrong<'_>) {
    let (word, id) = (wrong.word(), html(&wrong.case.id));
    let symbol = symbol(Word::of(&wrong.case.verdict));
    let place = html(&wrong.where_it_is(found));
    let _ = writeln!(text, "<details><summary>{symbol} {word} {id} on {place}</summary>\n");
    let mut block = String::new();
    if !wrong.case.does.is_empty() {
        let _ = writeln!(block, "does      {}", wrong.case.does);
        let _ = writeln!(block, "must      {}", wrong.case.must);
    }
    if let Some(broken) = wrong.broken {
        let _ = writeln!(block, "error     {broken}");
    }
    for mismatch in wrong.mismatches {
        let _ = writeln!(block, "in        {}", mismatch.what);
        let _ = writeln!(block, "expected  {}", mismatch.expected.join(" or "));
        let _ = writeln!(block, "actual    {}", mismatch.actual);
    }
    let _ = writeln!(block, "again     {}", wrong.again(found));
    let _ = writeln!(text, "{}\n</details>\n", fenced(&shortened(&block)));
}

fn retried(text: &mut String, found: &MatrixDocument, heading: &str, cases: &[RetriedCase<'_>]) {
    if cases.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n### {heading}\n");
    for RetriedCase { kernel, title, retried } in cases.iter().take(LISTED) {
        let kernel = html(&found.kernels[*kernel].name);
        let (title, often) = (html(title), html(&retried.often()));
        let _ = writeln!(text, "<details><summary>🔁 {title} on {kernel}: {often}</summary>\n");
        let tries = shortened(&retried.tries().join("\n"));
        let _ = writeln!(text, "{}\n</details>\n", fenced(&tries));
    }
    if let Some(more) = cases.len().checked_sub(LISTED).filter(|more| *more > 0) {
        let _ = writeln!(text, "\n... and {more} more; `matrix.json` has them all.");
    }
}

fn bugs(text: &mut String, found: &MatrixDocument, findings: &Findings<'_>) {
    if findings.bugs.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n### Known bugs\n");
    let _ = writeln!(text, "| bug | fix | kernels | cases |\n|---|---|---|---|");
    for bug in findings.bugs.iter().take(LISTED) {
        let NamedBug { reason, fix, cve, listed_in, .. } = bug.bug;
        let fix =
            fix.as_ref().map_or("no fix known".into(), |fix| escape::code(fix.trim_matches('`')));
        let cve = cve.as_ref().map_or(String::new(), |cve| format!(" ({})", escape::markdown(cve)));
        let fix = format!("{fix}{cve}");
        let listed = listed_in.as_ref().map_or(String::new(), |file| format!(" Listed in {file}."));
        let cannot_tell = match bug.cannot_tell.as_slice() {
            [] => String::new(),
            kernels => format!(" (the version cannot tell: {})", names(found, kernels)),
        };
        let reason = escape::markdown(&format!("{reason}{listed}"));
        let kernels = escape::markdown(&format!("{}{cannot_tell}", names(found, &bug.kernels)));
        let cases = match bug.ids.as_slice() {
            [one] => escape::markdown(one),
            many => many.len().to_string(),
        };
        let _ = writeln!(text, "| {reason} | {fix} | {kernels} | {cases} |");
    }
}

fn ends(text: &mut String, findings: &Findings<'_>) {
    if findings.ends.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n### Machines that did not complete\n");
    for kernel in findings.ends.iter().take(LISTED) {
        let (name, end) = (&kernel.name, kernel.end.word());
        let why = kernel.end.why().unwrap_or_default();
        if kernel.console.is_empty() {
            let _ = writeln!(
                text,
                "- {} **{end}**: {}\n",
                escape::markdown(name),
                escape::markdown(why)
            );
            continue;
        }
        let _ = writeln!(
            text,
            "<details><summary>{} <b>{end}</b>: {}</summary>\n",
            html(name),
            html(why)
        );
        let _ = writeln!(text, "{}\n</details>\n", fenced(&shortened(&kernel.console)));
    }
}

fn complaints(text: &mut String, found: &MatrixDocument, findings: &Findings<'_>) {
    if findings.complaints.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n### Complaints in the kernels' logs\n");
    for (line, places) in findings.complaints.iter().take(LISTED) {
        let more = places.len().saturating_sub(PLACES);
        let more = if more > 0 { format!(", and {more} times more") } else { String::new() };
        let places = places.iter().take(PLACES).map(|(at, complaint)| {
            let name = escape::markdown(&found.kernels[*at].name);
            format!("{name} during {}", escape::markdown(&complaint.during))
        });
        let places = places.collect::<Vec<_>>().join(", ");
        let _ = writeln!(text, "- {}: {places}{more}", escape::markdown(line));
    }
}

fn groups<T: ToString>(
    text: &mut String,
    found: &MatrixDocument,
    heading: &str,
    groups: &[Group<T>],
) {
    if groups.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n<details><summary>{heading}</summary>\n");
    for group in groups.iter().take(LISTED) {
        let _ = writeln!(
            text,
            "- {}: {}",
            escape::markdown(&place(found, group)),
            escape::markdown(&group.what.to_string())
        );
    }
    let _ = writeln!(text, "\n</details>");
}
