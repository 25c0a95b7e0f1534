//! The wire of a result, with the laboratory's acts: its ladder.

use std::cmp::Reverse;

use maud::{Markup, PreEscaped, html};
use scenarios::report::wrong_lines;

use crate::html::digest::{Case, Outcome};
use crate::html::table;
use crate::ladder::rung::{Ladder, Mark};
use crate::ladder::svg;
use crate::output::word::Word;

/// Rungs that are drawn; the capture has the rest.
const RUNGS: usize = 48;

/// The ladder of a result if it says something: of the first that is well in a setting, and
/// of those that are not well; of `most` results of the case.
pub fn shown(case: &Case<'_>, at: usize, most: usize) -> Markup {
    let outcome = &case.results[at];
    if outcome.lines.is_empty() || outcome.word == Word::Skip {
        return PreEscaped(String::new());
    }
    if !is_drawn(case, at, most) {
        return html! {
            p class="aside" { "Its packets are not drawn again here; the capture has them." }
        };
    }
    let mut ladder = whole(outcome);
    let first = ladder.rungs.iter().position(|rung| rung.mark == Mark::Wrong);
    let before = first.map_or(0, |first| first.saturating_sub(RUNGS / 2));
    ladder.rungs.drain(..before);
    let more = ladder.rungs.len().saturating_sub(RUNGS);
    ladder.rungs.truncate(RUNGS);
    let title = format!("The packets of {}, result {}", case.name, at + 1);
    html! {
        h6 { "What the wire shows" }
        @if before > 0 { p class="aside" { (before) " lines before are left out." } }
        (table::scrolled(&title, &svg::drawn(&ladder, &title)))
        @if more > 0 { p class="aside" { (more) " lines more; the capture has them." } }
    }
}

/// All of a result's ladder, what is wrong marked.
pub fn whole(outcome: &Outcome<'_>) -> Ladder {
    Ladder::new(outcome.lines, &wrong_lines(outcome.first.verdict.mismatches()))
}

/// The models, and of the others the worst first.
fn is_drawn(case: &Case<'_>, at: usize, most: usize) -> bool {
    let candidate = |at: &usize| {
        let word = case.results[*at].word;
        word != Word::Skip && (word != Word::Ok || case.model_of(*at).is_none())
    };
    let mut drawn: Vec<usize> = (0..case.results.len()).filter(candidate).collect();
    drawn.sort_by_key(|at| {
        let word = case.results[*at].word;
        (word != Word::Ok, Reverse(word))
    });
    drawn.iter().take(most).any(|drawn| *drawn == at)
}
