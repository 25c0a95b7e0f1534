//! Kernels and cases: the whole at a glance, and each mechanism's cases.

use maud::{Markup, html};

use crate::html::contents::Page;
use crate::html::digest::{Case, Mechanism};
use crate::html::mark;
use crate::output::word::Word;

/// From this number of columns on, their names stand upright.
const UPRIGHT: usize = 5;

/// So do they if one of them is longer than this.
const LONG: usize = 24;

/// The overview and its legend.
pub fn matrix(page: &Page<'_>) -> Markup {
    html! {
        section aria-labelledby="the-matrix" {
            h2 id="the-matrix" tabindex="-1" { "Kernels × cases" }
            (legend(page))
            (scrolled("Kernels and mechanisms", &html! {
                table class="grid" {
                    caption class="vh" { "Results of the cases of each mechanism on each kernel" }
                    (head(page, "mechanism"))
                    tbody {
                        @for mechanism in &page.mechanisms {
                            tr {
                                th scope="row" {
                                    a href={ "#" (mechanism_id(mechanism)) } { (mechanism.name) }
                                }
                                @for column in 0..page.combined.columns.len() {
                                    (mark::counted(
                                        &mechanism.tally(column),
                                        &format!("#{}", mechanism_id(mechanism)),
                                    ))
                                }
                            }
                        }
                    }
                }
            }))
        }
    }
}

/// A mechanism's cases on each kernel.
pub fn cases(page: &Page<'_>, mechanism: &Mechanism<'_>) -> Markup {
    scrolled(
        &format!("Kernels and cases of {}", mechanism.name),
        &html! {
            table class="grid" {
                caption class="vh" { "Results of each case of " (mechanism.name) " on each kernel" }
                (head(page, "case"))
                tbody {
                    @for case in &mechanism.cases {
                        tr {
                            th scope="row" { a href={ "#" (case.name) } { (short(case, mechanism)) } }
                            @for column in 0..page.combined.columns.len() {
                                (mark::counted(&case.tally(column), &format!("#{}", case.name)))
                            }
                        }
                    }
                }
            }
        },
    )
}

/// A case's settings on each kernel.
pub fn settings(page: &Page<'_>, case: &Case<'_>) -> Markup {
    scrolled(
        &format!("Kernels and settings of {}", case.name),
        &html! {
            table class="grid" {
                caption class="vh" { "The result of " (case.name) " in each setting on each kernel" }
                (head(page, "setting"))
                tbody {
                    @for setting in &case.settings {
                        tr {
                            th scope="row" {
                                @if setting.name.is_empty() { "the only one" } @else { (setting.name) }
                            }
                            @for cell in &setting.cells {
                                (mark::single(*cell, case.name))
                            }
                        }
                    }
                }
            }
        },
    )
}

/// The place of a mechanism on the page.
pub fn mechanism_id(mechanism: &Mechanism<'_>) -> String {
    format!("mechanism:{}", mechanism.name)
}

/// Without the mechanism that stands above it.
fn short<'d>(case: &Case<'d>, mechanism: &Mechanism<'_>) -> &'d str {
    case.name
        .strip_prefix(mechanism.name)
        .and_then(|rest| rest.strip_prefix('/'))
        .unwrap_or(case.name)
}

/// What is wider than the page scrolls by itself, by keyboard too.
pub fn scrolled(label: &str, inner: &Markup) -> Markup {
    html! { div class="scroll" role="region" tabindex="0" aria-label=(label) { (inner) } }
}

fn head(page: &Page<'_>, corner: &str) -> Markup {
    let kernels = &page.combined.found.kernels;
    let long = kernels.iter().any(|kernel| kernel.name.chars().count() > LONG);
    let upright = long || kernels.len() >= UPRIGHT;
    html! {
        thead {
            tr class=[upright.then_some("upright")] {
                th scope="col" { (corner) }
                @for kernel in kernels {
                    th scope="col" { span { (kernel.name) } }
                }
            }
        }
    }
}

fn legend(page: &Page<'_>) -> Markup {
    html! {
        dl class="legend" {
            @for word in Word::WORST_FIRST.into_iter().rev().filter(|word| page.occurs(*word)) {
                div { dt { (mark::chip(word)) } dd { (mark::meaning(word)) } }
            }
            @if page.all.flaky() > 0 {
                div { dt { (mark::FLAKY) } dd { (mark::FLAKY_MEANING) } }
            }
            div {
                dt { "3/12" }
                dd { "3 of 12 cases have this result; the rest have a result listed before it" }
            }
            div { dt { "empty" } dd { "not asked for in that document" } }
        }
    }
}
