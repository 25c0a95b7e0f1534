//! A mechanism's cases, and the results of each.

use harness::trace::observation::Value;
use maud::{Markup, PreEscaped, html};
use scenarios::catalogue;
use scenarios::judge::{Mismatch, Verdict};
use scenarios::report::{self, Retried};

use crate::html::contents::Page;
use crate::html::digest::{Case, Mechanism, Outcome, Place};
use crate::html::{comparison, ladder, mark, table};
use crate::output::document::CaseDocument;
use crate::output::word::Tally;

/// Everything about a mechanism, folded.
pub fn mechanism(page: &Page<'_>, mechanism: &Mechanism<'_>) -> Markup {
    let mut all = Tally::default();
    (0..page.combined.columns.len()).for_each(|column| all.add(&mechanism.tally(column)));
    html! {
        details class="mechanism" id=(table::mechanism_id(mechanism)) {
            summary {
                h3 { (mechanism.name) }
                @if let Some(about) = mechanism.about { span class="about" { (plain(about)) } }
                (mark::chips(&all))
            }
            (table::cases(page, mechanism))
            @for case in &mechanism.cases { (one(page, case)) }
        }
    }
}

/// The catalogue's words are Markdown's.
fn plain(about: &str) -> String {
    about.replace(['`', '*'], "")
}

fn one(page: &Page<'_>, case: &Case<'_>) -> Markup {
    let mut all = Tally::default();
    (0..page.combined.columns.len()).for_each(|column| all.add(&case.tally(column)));
    let pairs = comparison::pairs(case, page.limits.pairs);
    html! {
        details class="case" id=(case.name) {
            summary { h4 { (case.name) } (mark::chips(&all)) }
            p class="here" { a href={ "#" (case.name) } { "link to this case" } }
            @match case.description.filter(|case| !case.does.is_empty()) {
                None => p { "No document says what it does." },
                Some(case) => dl class="claims" {
                    dt { "does" } dd { (case.does) }
                    dt { "must" } dd { (case.must) }
                    dt { "source" } dd { (case.source) }
                },
            }
            (table::settings(page, case))
            div class="results" {
                @for (at, outcome) in case.results.iter().enumerate() {
                    (result(page, case, at, outcome))
                }
            }
            @for pair in &pairs { (comparison::table(case, pair, &page.combined.found)) }
        }
    }
}

fn result(page: &Page<'_>, case: &Case<'_>, at: usize, outcome: &Outcome<'_>) -> Markup {
    let number = at + 1;
    html! {
        section class={ "result " (mark::class(outcome.word)) } id={ (case.name) ":" (number) }
            tabindex="-1" aria-label={ (case.name) ", result " (number) } {
            h5 { (mark::chip(outcome.word)) " Result " (number) }
            p class="places" { (places(page, case, outcome)) }
            (said(outcome.first))
            (retried(page, case, outcome))
            (facts(case, at))
            (ladder::shown(case, at, page.limits.ladders))
            (captures(page, case, outcome))
            (again(page, case, outcome))
        }
    }
}

/// `v4/off v6/off on all 4 kernels`, settings with the same kernels together.
fn places(page: &Page<'_>, case: &Case<'_>, outcome: &Outcome<'_>) -> Markup {
    let mut groups: Vec<(Vec<&str>, Vec<usize>)> = vec![];
    for (index, setting) in case.settings.iter().enumerate() {
        let here = outcome.places.iter().filter(|place| place.setting == index);
        let columns: Vec<usize> = here.map(|place| place.column).collect();
        match groups.iter_mut().find(|(_, known)| *known == columns) {
            _ if columns.is_empty() => {}
            Some((settings, _)) => settings.push(setting.name),
            None => groups.push((vec![setting.name], columns)),
        }
    }
    let found = &page.combined.found;
    let seldom = outcome.places.iter().filter(|place| place.rounds.0 != place.rounds.1);
    html! {
        @for (at, (settings, columns)) in groups.iter().enumerate() {
            @if at > 0 { br; }
            @if !settings.iter().all(|name| name.is_empty()) {
                b { (settings.join(", ")) } " on "
            }
            (mark::names(found, columns))
        }
        @for place in seldom.take(20) {
            br; (setting_of(case, place)) " " (found.kernels[place.column].name)
            ": in " (place.rounds.0) " of " (place.rounds.1) " rounds"
        }
    }
}

fn setting_of<'d>(case: &Case<'d>, place: &Place<'_>) -> &'d str {
    case.settings[place.setting].name
}

/// Where it took more than one try, and what the discarded ones saw.
fn retried(page: &Page<'_>, case: &Case<'_>, outcome: &Outcome<'_>) -> Markup {
    let retries = outcome
        .places
        .iter()
        .filter_map(|place| Some((place, Retried::of(&place.run.verdict, &place.run.discarded)?)));
    html! {
        @for (place, retried) in retries {
            div class="retried" {
                p {
                    (mark::retried(&retried)) " "
                    (setting_of(case, place)) " on "
                    (page.combined.found.kernels[place.column].name) ": " (retried.often())
                }
                ul { @for line in retried.tries() { li { (line) } } }
            }
        }
    }
}

/// What the verdict says: the bug, the deviations, the reason.
fn said(run: &CaseDocument) -> Markup {
    match &run.verdict {
        Verdict::Pass { has_fix } => html! {
            @for bug in has_fix { p { "Has the fix, although its version has not. " (bug.with_fix()) } }
        },
        Verdict::Skip { reason } => html! { p { "Skipped: " (reason) } },
        Verdict::Error { reason } => html! {
            p { "The laboratory broke; nothing was learned about the kernel: " }
            pre { (reason) }
        },
        Verdict::Fail { mismatches } => deviations(mismatches),
        Verdict::KnownBug { bug, version, mismatches } => html! {
            p { (bug.shown(*version)) }
            (deviations(mismatches))
        },
    }
}

fn deviations(mismatches: &[Mismatch]) -> Markup {
    if mismatches.is_empty() {
        return PreEscaped(String::new());
    }
    html! {
        table class="list wrong" {
            thead {
                tr { th scope="col" { "in" } th scope="col" { "expected" } th scope="col" { "actual" } }
            }
            tbody {
                @for mismatch in mismatches {
                    tr {
                        th scope="row" { (mismatch.what) }
                        td { pre { (mismatch.expected.join("\nor ")) } }
                        td { pre { (mismatch.actual) } }
                    }
                }
            }
        }
    }
}

/// The witness next to the wire: calls, counters, queues, socket states. As in a terminal,
/// without counters that did not move; and of a result with the same word as an
/// earlier one in its settings, only what differs.
fn facts(case: &Case<'_>, at: usize) -> Markup {
    let run = case.results[at].first;
    let mismatches: &[Mismatch] = match &run.verdict {
        Verdict::Fail { mismatches } | Verdict::KnownBug { mismatches, .. } => mismatches,
        _ => &[],
    };
    let is_wrong = |name: &str| mismatches.iter().any(|mismatch| mismatch.what == *name);
    let model = case.model_of(at);
    let must = catalogue::find(&run.id).map(|selected| selected.expectation());
    let is_told = |name: &String, value: &Value| match model {
        Some(model) => case.results[model].first.facts.get(name) != Some(value),
        None => !must.as_ref().is_some_and(|must| must.is_idle(name, value)),
    };
    let shown: Vec<(&String, &Value)> =
        run.facts.iter().filter(|(name, value)| is_wrong(name) || is_told(name, value)).collect();
    if run.facts.is_empty() || matches!(run.verdict, Verdict::Skip { .. }) {
        return PreEscaped(String::new());
    }
    let others = run.facts.len() - shown.len();
    html! {
        h6 { "What the calls and counters say" }
        table class="facts" {
            @for (name, value) in shown {
                tr class=[is_wrong(name).then_some("f")] {
                    th scope="row" { (name) @if is_wrong(name) { span class="vh" { " (wrong)" } } }
                    td { @if is_wrong(name) { "✗ " } (value) }
                }
            }
        }
        @match model {
            Some(model) => p class="aside" { "all else as in result " (model + 1) },
            None => @if let Some(others) = report::not_moved(others) { p class="aside" { (others) } },
        }
    }
}

fn captures(page: &Page<'_>, case: &Case<'_>, outcome: &Outcome<'_>) -> Markup {
    let link = |place: &Place<'_>| {
        let capture = place.run.capture.as_deref()?;
        (page.links)(page.combined.columns[place.column].source, capture)
    };
    let links: Vec<(&Place<'_>, String)> =
        outcome.places.iter().filter_map(|place| Some((place, link(place)?))).collect();
    if links.is_empty() {
        return PreEscaped(String::new());
    }
    html! {
        details class="captures" {
            summary { (links.len()) @if links.len() == 1 { " capture" } @else { " captures" } }
            ul {
                @for (place, link) in links.iter().take(page.limits.captures) {
                    li {
                        a href=(link) {
                            (page.combined.found.kernels[place.column].name) " "
                            (case.settings[place.setting].name)
                        }
                    }
                }
            }
        }
    }
}

/// The command that runs the result's first place again.
fn again(page: &Page<'_>, case: &Case<'_>, outcome: &Outcome<'_>) -> Markup {
    let Some(place) = outcome.places.first() else { return PreEscaped(String::new()) };

    let command = page.again(place.column, case.settings[place.setting].id);
    html! { p class="again" { "again: " code { (command) } } }
}
