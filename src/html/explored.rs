//! What histories that nobody wrote showed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use maud::{Markup, PreEscaped, html};

use crate::html::table;
use crate::output::read::{Explored, Left, Panic};

/// The one sentence about them for those who read no more.
pub fn verdict(explored: &[(PathBuf, Explored)]) -> Markup {
    if explored.is_empty() {
        return PreEscaped(String::new());
    }
    let wrong: usize = explored.iter().map(|(_, each)| each.disagreements.len()).sum();
    let left: usize = explored.iter().map(|(_, each)| each.left.len()).sum();
    let histories: u64 = explored.iter().map(|(_, each)| each.histories).sum();
    let panicked = explored.iter().filter(|(_, each)| each.panic.is_some()).count();
    let class = match (wrong + left + panicked, histories) {
        (1.., _) => "f",
        (0, 0) => "p",
        (0, _) => "o",
    };
    html! {
        p class={ "verdict " (class) } {
            @if panicked > 0 { strong { "The kernel panicked at a history that nobody wrote. " } }
            @if wrong > 0 {
                strong { "Kernel and model differ in " (wrong) @if wrong == 1 { " way" } @else { " ways" } }
                ", in " (histories) " histories that nobody wrote. "
            } @else if histories == 0 {
                "No history that nobody wrote was played in time. "
            } @else if panicked == 0 {
                "In " (histories) " histories that nobody wrote, kernel and model agree. "
            }
            @if left > 0 { strong { "Something was left after histories. " } }
        }
    }
}

/// The section about them: what was played, what was met of the model, and each disagreement.
pub fn explored(explored: &[(PathBuf, Explored)]) -> Markup {
    if explored.is_empty() {
        return PreEscaped(String::new());
    }
    html! {
        section aria-labelledby="the-histories" {
            h2 id="the-histories" tabindex="-1" { "Histories nobody wrote" }
            p {
                "Lists of acts that were made up, and a model of the kernel that says what must be seen "
                "of each."
            }
            @for (_, each) in explored { (kernel(each)) }
        }
    }
}

fn kernel(explored: &Explored) -> Markup {
    let Explored { histories, steps, too_slow, seconds, seed, known_bugs, .. } = explored;
    html! {
        h3 { (explored.kernel) }
        p {
            (histories) " histories with " (steps) " acts from number " (seed) " on, in "
            (format!("{seconds:.0} s")) @if explored.interrupted { ", until it was interrupted" } ". "
            @if *too_slow > 0 {
                (too_slow) " more were too slow for the kernel's timers, and say nothing. "
            }
            @if known_bugs.is_empty() {
                "The model had no known bug."
            } @else {
                "The model had this kernel's known bugs: " (known_bugs.join(", ")) "."
            }
        }
        @for Left { first, last, sockets } in &explored.left {
            p class="f" {
                (sockets) " sockets or requests were left after histories " (first) " to " (last) "."
            }
        }
        @if let Some(Panic { line, history }) = &explored.panic {
            p class="f" { "The kernel panicked: " code { (line) } }
            @match history {
                Some(history) => pre { (history) },
                None => p { "It did not at any of the histories that were begun last, played again." },
            }
        } @else if explored.disagreements.is_empty() {
            p { "The kernel did what the model says." }
        }
        @for each in &explored.disagreements {
            details open {
                summary { code { (each.signature) } " (met " (each.times) " times)" }
                pre { (each.history) }
                p { "At " code { (each.step) } ":" }
                ul {
                    @for difference in &each.differences {
                        li {
                            (difference.of) ": the model says " code { (difference.model) }
                            ", the kernel " code { (difference.kernel) }
                        }
                    }
                }
            }
        }
        @if explored.panic.is_none() { (coverage(explored)) }
    }
}

/// Of each kind of act, how many of the model's situations were met.
fn coverage(explored: &Explored) -> Markup {
    let mut acts: BTreeMap<&str, (usize, Vec<&str>)> = BTreeMap::new();
    for situation in &explored.met {
        acts.entry(split(situation).0).or_default().0 += 1;
    }
    for situation in &explored.not_met {
        let (act, rest) = split(situation);
        acts.entry(act).or_default().1.push(rest);
    }
    let (met, not_met) = (explored.met.len(), explored.not_met.len());
    html! {
        details {
            summary {
                "Met " (met) " of the " (met + not_met)
                " situations that acts of these histories can have, with what came of them"
            }
            (table::scrolled("Situations of the model that were met", &html! {
                table class="list" {
                    caption { "Situations in which each act was taken, and what came of it." }
                    thead {
                        tr {
                            th scope="col" { "act" }
                            th scope="col" { "met" }
                            th scope="col" { "not met" }
                        }
                    }
                    tbody {
                        @for (act, (met, not_met)) in &acts {
                            tr {
                                th scope="row" { code { (act) } }
                                td { (met) }
                                td {
                                    (not_met.len())
                                    @if !not_met.is_empty() {
                                        ul { @for situation in not_met { li { (situation) } } }
                                    }
                                }
                            }
                        }
                    }
                }
            }))
        }
    }
}

/// The act of a situation, and the rest.
fn split(situation: &str) -> (&str, &str) {
    situation.split_once(": ").unwrap_or((situation, ""))
}
