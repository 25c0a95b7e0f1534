//! Two results of a case beside each other, the lines that differ marked.

use maud::{Markup, html};
use similar::{Algorithm, DiffOp, capture_diff_slices};

use crate::document::MatrixDocument;
use crate::matrix::cell::Word;
use crate::report::digest::{Case, Outcome};
use crate::report::{mark, table};

/// Lines that are alike are shown so far around those that are not.
const CONTEXT: usize = 3;

/// Rows of a comparison; the captures have the rest.
const ROWS: usize = 80;

/// Two results to compare, by their places among the case's, and what each is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// The usual one.
    pub one: usize,
    /// The one that is told by its differences.
    pub other: usize,
}

/// What is worth comparing: a bug with a kernel that is well, migration off with on (or a program), and
/// then whatever else differs in one setting; `most` pairs.
pub fn pairs(case: &Case<'_>, most: usize) -> Vec<Pair> {
    let mut pairs: Vec<Pair> = vec![];
    let has_trace = |outcome: &Outcome<'_>| !outcome.lines.is_empty();
    for (other, outcome) in case.results.iter().enumerate() {
        let one = case.results.iter().enumerate().position(|(at, known)| {
            at != other && has_trace(known) && is_worth_it(case, known, outcome, at < other)
        });
        let Some(one) = one.filter(|_| has_trace(outcome)) else { continue };
        if pairs.len() < most {
            pairs.push(Pair { one, other });
        }
    }
    pairs
}

fn is_worth_it(case: &Case<'_>, one: &Outcome<'_>, other: &Outcome<'_>, earlier: bool) -> bool {
    let settings = |outcome: &Outcome<'_>| -> Vec<&str> {
        outcome.places.iter().map(|place| case.settings[place.setting].name).collect()
    };
    let (mine, theirs) = (settings(one), settings(other));
    let well = one.word == Word::Ok;
    let same_setting = mine.iter().any(|name| theirs.contains(name));
    if other.word != Word::Ok {
        return well && same_setting;
    }
    let off_and_on = mine.iter().any(|name| {
        let family = name.strip_suffix("off");
        family.is_some_and(|family| theirs.iter().any(|t| t.starts_with(family) && t != name))
    });
    well && (off_and_on || earlier && same_setting)
}

/// A row of a comparison.
enum Row<'t> {
    Both(&'t str),
    Differ(Option<&'t str>, Option<&'t str>),
    Left(usize),
}

fn rows<'t>(one: &[&'t str], other: &[&'t str]) -> Vec<Row<'t>> {
    let mut rows = vec![];
    for op in capture_diff_slices(Algorithm::Patience, one, other) {
        match op {
            DiffOp::Equal { old_index, len, .. } => {
                let end = old_index + len;
                let first = old_index == 0;
                let last = end == one.len();
                let before = if first { 0 } else { CONTEXT };
                let after = if last { 0 } else { CONTEXT };
                if len <= before + after + 1 {
                    rows.extend(one[old_index..end].iter().map(|line| Row::Both(line)));
                } else {
                    rows.extend(one[old_index..old_index + before].iter().map(|l| Row::Both(l)));
                    rows.push(Row::Left(len - before - after));
                    rows.extend(one[end - after..end].iter().map(|line| Row::Both(line)));
                }
            }
            op => {
                let (old, new) = (op.old_range(), op.new_range());
                for at in 0..old.len().max(new.len()) {
                    let get = |lines: &[&'t str], range: &std::ops::Range<usize>| {
                        range.clone().nth(at).map(|at| lines[at])
                    };
                    rows.push(Row::Differ(get(one, &old), get(other, &new)));
                }
            }
        }
    }
    rows
}

/// The comparison, folded.
pub fn table(case: &Case<'_>, pair: &Pair, found: &MatrixDocument) -> Markup {
    let outcomes = [&case.results[pair.one], &case.results[pair.other]];
    let lines = outcomes
        .map(|outcome| outcome.lines.iter().map(|line| line.what.as_str()).collect::<Vec<_>>());
    let rows = rows(&lines[0], &lines[1]);
    let titles = [pair.one, pair.other].map(|at| title(case, at, found));
    html! {
        details class="beside" {
            summary {
                "Side by side: " (titles[0]) " | " (titles[1])
            }
            @if !rows.iter().any(|row| matches!(row, Row::Differ(..))) {
                p { "The wire and the acts are alike; calls and counters differ." }
            } @else {
                (table::scrolled(&format!("Side by side, {}", case.name), &html! {
                    table class="pair" {
                        thead {
                            tr {
                                th scope="col" { (titles[0]) }
                                th scope="col" { span class="vh" { "differs" } }
                                th scope="col" { (titles[1]) }
                            }
                        }
                        tbody { @for row in rows.iter().take(ROWS) { (shown(row)) } }
                    }
                }))
                @if rows.len() > ROWS {
                    p class="aside" { (rows.len() - ROWS) " rows more; the captures have them." }
                }
            }
        }
    }
}

fn shown(row: &Row<'_>) -> Markup {
    html! {
        @match row {
            Row::Both(line) => tr { td { (line) } td {} td { (line) } },
            Row::Left(count) => tr class="left" { td colspan="3" { "… " (count) " alike …" } },
            Row::Differ(one, other) => tr class="differ" {
                td { (one.unwrap_or("")) }
                td { "≠" }
                td { (other.unwrap_or("")) }
            },
        }
    }
}

/// `ok, v4/off, 6.1.176-1`.
fn title(case: &Case<'_>, at: usize, found: &MatrixDocument) -> String {
    let outcome = &case.results[at];
    let Some(place) = outcome.places.first() else { return String::new() };
    let setting = case.settings[place.setting].name;
    let setting = if setting.is_empty() { String::new() } else { format!("{setting} on ") };
    let kernel = &found.kernels[place.column].name;
    format!("{} {} {setting}{kernel}", mark::sign(outcome.word), mark::spoken(outcome.word))
}
