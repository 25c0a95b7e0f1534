//! How a word looks on the page: a sign, a colour's class, and always the word itself for
//! those who hear the page.

use maud::{Markup, html};
use scenarios::report::Retried;

use crate::html::digest::Cell;
use crate::output::document::MatrixDocument;
use crate::output::matrix::findings;
use crate::output::word::{Tally, Word};

/// The sign. No two are alike, so that none needs its colour.
pub fn sign(word: Word) -> &'static str {
    match word {
        Word::Ok => "✓",
        Word::Known => "◆",
        Word::Fail => "✗",
        Word::Error => "!",
        Word::Skip => "–",
        Word::NotRun => "○",
    }
}

/// The class that colours it.
pub fn class(word: Word) -> &'static str {
    match word {
        Word::Ok => "o",
        Word::Known => "k",
        Word::Fail => "f",
        Word::Error => "e",
        Word::Skip => "p",
        Word::NotRun => "n",
    }
}

/// As sentences have it; `KNOWN` stands out by its colour here.
pub fn spoken(word: Word) -> &'static str {
    match word {
        Word::Known => "known bug",
        other => other.spoken(),
    }
}

/// What the legend says: it has no "below".
pub fn meaning(word: Word) -> &'static str {
    match word {
        Word::Ok => "as it must be",
        Word::Known => "the kernel deviates as it is known to",
        Word::Fail => "the kernel deviates",
        Word::Error => "the laboratory broke; nothing was learned about the kernel",
        Word::Skip => "the case can say nothing about this kernel",
        Word::NotRun => "asked for, and without a verdict",
    }
}

/// The sign of a flaky case, next to that of its word.
pub const FLAKY: &str = "↻";

/// The class that colours it.
const FLAKY_CLASS: &str = "s";

/// What the legend says of it.
pub const FLAKY_MEANING: &str = "a case failed in a slow lab, and did not when it was tried again";

/// The sign and the word, for a result that is flaky, or was only tried more than once.
pub fn retried(retried: &Retried<'_>) -> Markup {
    html! { span class={ "chip " (FLAKY_CLASS) } { (FLAKY) " " (retried.word()) } }
}

/// The sign in a cell.
fn flaky(is: bool) -> Markup {
    html! { @if is { " " b { (FLAKY) } span class="vh" { " flaky" } } }
}

/// A sign and its word.
pub fn chip(word: Word) -> Markup {
    html! { span class={ "chip " (class(word)) } { (sign(word)) " " (spoken(word)) } }
}

/// `✓ 500  ◆ 21`, every word with its count.
pub fn chips(tally: &Tally) -> Markup {
    html! {
        span class="chips" {
            @for word in Word::WORST_FIRST {
                @if tally.of(word) > 0 {
                    span class={ "chip " (class(word)) } {
                        (sign(word)) " " (tally.of(word)) span class="vh" { " " (spoken(word)) }
                    }
                    " "
                }
            }
            @if tally.flaky() > 0 {
                span class={ "chip " (FLAKY_CLASS) } {
                    (FLAKY) " " (tally.flaky()) span class="vh" { " flaky" }
                }
            }
        }
    }
}

/// A cell that counts cases: the worst word, and how many are as bad. `to` is where more is
/// shown.
pub fn counted(tally: &Tally, to: &str) -> Markup {
    let Some(worst) = tally.worst() else {
        return html! { td { span class="vh" { "not asked" } } };
    };
    let (count, total) = (tally.of(worst), tally.total());
    html! {
        td class=(class(worst)) {
            a href=(to) {
                b { (sign(worst)) } span class="vh" { " " (spoken(worst)) }
                @if total > 1 {
                    " " (count) @if count < total { "/" (total) }
                }
                (flaky(tally.flaky() > 0))
            }
        }
    }
}

/// A cell of one run: its word, and the number of its result.
pub fn single(cell: Cell, case: &str) -> Markup {
    match cell {
        Cell::NotAsked => html! { td { span class="vh" { "not asked" } } },
        Cell::NotRun => html! { td class="n" { "○" span class="vh" { " not run" } } },
        Cell::Result { at, word, flaky: is_flaky } => html! {
            td class=(class(word)) {
                a href={ "#" (case) ":" (at + 1) } {
                    b { (sign(word)) } span class="vh" { " " (spoken(word)) ", result" } " " (at + 1)
                    (flaky(is_flaky))
                }
            }
        },
    }
}

/// A longer name is broken where it must be.
const UNBROKEN: usize = 24;

/// Kernels by name, none of which is broken at its hyphens.
pub fn names(found: &MatrixDocument, kernels: &[usize]) -> Markup {
    let names = findings::names(found, kernels);
    html! {
        @for (at, name) in names.split(", ").enumerate() {
            @if at > 0 { ", " }
            @if name.len() > UNBROKEN { (name) } @else { span class="name" { (name) } }
        }
    }
}
