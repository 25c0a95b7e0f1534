//! Two results of a case next to each other, the lines that differ marked.

use maud::{Markup, html};

use crate::html::digest::{Case, Outcome};
use crate::html::{ladder, mark, table};
use crate::ladder::side::{self, Side};
use crate::ladder::svg;
use crate::output::document::MatrixDocument;
use crate::output::word::Word;

/// Rungs of a comparison that are drawn; the captures have the rest.
const RUNGS: usize = 48;

/// Two results to compare, by their places among the case's, and what each is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// The usual one.
    pub one: usize,
    /// The one that is shown by its differences.
    pub other: usize,
}

/// What is worth comparing: a bug with a kernel that is well, migration off with on (or a
/// program), and then whatever else differs in one setting; `most` pairs.
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

/// The comparison, folded: as `sockmig diff --case` shows it.
pub fn table(case: &Case<'_>, pair: &Pair, found: &MatrixDocument) -> Markup {
    let [left, right] = [pair.one, pair.other]
        .map(|at| Side { title: title(case, at, found), ladder: ladder::whole(&case.results[at]) });
    let heading = format!("Side by side: {} | {}", left.title, right.title);
    // Other cases have results of the same names.
    let label = format!("{}, {heading}", case.name);
    let mut ladders = side::Pair::new(left, right);
    let differing = ladders.differing();
    let (before, after) = ladders.keep(RUNGS);
    html! {
        details class="compared" {
            summary { (heading) }
            @if differing == 0 {
                p { "The wire and the acts are alike; calls and counters differ." }
            } @else {
                @if before > 0 { p class="aside" { (before) " lines before are left out." } }
                (table::scrolled(&label, &svg::pair(&ladders, &label)))
                @if after > 0 { p class="aside" { (after) " lines more; the captures have them." } }
            }
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
