//! The page: one HTML file that needs nothing else. Pure.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::escape;
use crate::html::combine::Combined;
use crate::html::contents::{Limits, Links, Page};
use crate::html::digest::digest;
use crate::html::plainer::plainer;
use crate::html::{case, environment, explored, mark, summary, table};
use crate::ladder::svg;
use crate::output::matrix::findings::{self, findings};
use crate::output::word::{Tally, Word};

/// The page's colours and shapes.
const STYLE: &str = include_str!("page.css");

/// Folds, filters, and opens what a link leads to. The page is whole without it.
const SCRIPT: &str = include_str!("page.js");

/// From the most that is useful down to the least.
const LIMITS: [Limits; 4] = [
    Limits { ladders: 8, pairs: 3, captures: 60 },
    Limits { ladders: 4, pairs: 2, captures: 20 },
    Limits { ladders: 3, pairs: 1, captures: 6 },
    Limits { ladders: 1, pairs: 0, captures: 1 },
];

/// A page that is larger than this, in bytes, is made again with tighter limits.
const LARGE: usize = 4_700_000;

/// The page about what was found.
pub fn page(combined: &Combined, links: Links<'_>) -> String {
    let mechanisms = digest(combined);
    let mut all = Tally::default();
    for column in 0..combined.columns.len() {
        mechanisms.iter().for_each(|mechanism| all.add(&mechanism.tally(column)));
    }
    let findings = findings(&combined.found);
    let [limits, tighter @ ..] = LIMITS;
    let mut page = Page { combined, mechanisms, findings, all, links, limits };
    let mut text = page.whole().into_string();
    for tighter in tighter {
        if text.len() <= LARGE {
            break;
        }
        page.limits = tighter;
        text = page.whole().into_string();
    }
    escape::markup(text)
}

impl Page<'_> {
    fn whole(&self) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    // Whatever a document's words try: nothing is fetched, nothing is sent.
                    meta http-equiv="Content-Security-Policy"
                        content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";
                    meta name="generator" content={ "sockmig " (env!("CARGO_PKG_VERSION")) };
                    title { "sockmig: " (self.subject()) }
                    style { (PreEscaped(STYLE)) (PreEscaped(svg::STYLE)) }
                }
                body {
                    a class="skip" href="#the-results" { "To the results" }
                    (self.header())
                    main id="the-results" tabindex="-1" {
                        @if self.has_kernels() {
                            (summary::answers(self))
                            (summary::deviations(self))
                            (table::matrix(self))
                            (summary::bugs(self))
                            (summary::warnings(self))
                        }
                        (explored::explored(&self.combined.explored))
                        @if self.has_kernels() {
                            (environment::environment(self))
                            (self.cases())
                        }
                    }
                    (self.footer())
                    script { (PreEscaped(SCRIPT)) }
                }
            }
        }
    }

    /// Whether cases were run, besides what was explored.
    fn has_kernels(&self) -> bool {
        !self.combined.found.kernels.is_empty() || self.combined.explored.is_empty()
    }

    /// The kernel, or how many.
    fn subject(&self) -> String {
        match (self.combined.found.kernels.as_slice(), self.combined.explored.as_slice()) {
            ([one], _) => one.name.clone(),
            ([], [(_, one)]) => one.kernel.clone(),
            ([], many @ [_, ..]) => format!("{} kernels", many.len()),
            (many, _) => format!("{} kernels", many.len()),
        }
    }

    fn header(&self) -> Markup {
        let found = &self.combined.found;
        html! {
            header {
                p class="brand" { "sockmig" }
                h1 { "What Linux does with TCP connections when a listener closes" }
                @if self.has_kernels() {
                    p class="sum" {
                        (findings::kernels_line(found)) ". "
                        (found.cases.len()) " cases, " (self.all.total()) " results: " (mark::chips(&self.all))
                    }
                    (self.verdict())
                }
                (explored::verdict(&self.combined.explored))
                nav aria-label="Sections" {
                  @if self.has_kernels() {
                    a href="#the-answer" { "The answer" }
                    @if !self.findings.wrong.is_empty() { a href="#the-deviations" { "Not as expected" } }
                    a href="#the-matrix" { "Kernels × cases" }
                    @if !self.findings.bugs.is_empty() { a href="#the-bugs" { "Known bugs" } }
                    @if summary::has_warnings(self) { a href="#the-warnings" { "Warnings" } }
                  }
                  @if !self.combined.explored.is_empty() {
                    a href="#the-histories" { "Histories" }
                  }
                  @if self.has_kernels() {
                    a href="#the-environment" { "Environment" }
                    a href="#the-cases" { "Every case" }
                  }
                }
            }
        }
    }

    /// The one sentence for those who read no more.
    fn verdict(&self) -> Markup {
        let (failed, broken) = (self.all.of(Word::Fail), self.all.of(Word::Error));
        let (bugs, not_run) = (self.findings.bugs.len(), self.all.of(Word::NotRun));
        let complaints = self.findings.complaints.len();
        let ends = self.findings.ends.len();
        let class = match () {
            () if failed + complaints > 0 => "f",
            () if broken + ends + not_run > 0 => "e",
            () if bugs > 0 => "k",
            () if self.all.of(Word::Ok) > 0 => "o",
            () => "p",
        };
        let several = |count: usize, one: &str, more: &str| {
            format!("{count} {}", if count == 1 { one } else { more })
        };
        html! {
            p class={ "verdict " (class) } {
                @if failed > 0 {
                    strong { (several(failed, "result is", "results are")) " not as they must be. " }
                } @else if self.all.of(Word::Ok) + self.all.of(Word::Known) == 0 {
                    strong { "Nothing was learned about any kernel. " }
                } @else {
                    strong { "No unknown deviation. " }
                }
                @if bugs > 0 {
                    "The kernels show " (several(bugs, "known bug", "known bugs")) ". "
                }
                @if complaints > 0 { "Their logs complain. " }
                @if broken > 0 { "In " (several(broken, "result", "results")) " the laboratory broke. " }
                @if ends > 0 { (several(ends, "machine", "machines")) " did not complete. " }
                @if not_run > 0 { (several(not_run, "case was", "cases were")) " not run. " }
                @if !self.combined.found.complete { "It was interrupted: this is not everything. " }
            }
        }
    }

    fn cases(&self) -> Markup {
        html! {
            section aria-labelledby="the-cases" {
                h2 id="the-cases" tabindex="-1" { "Every case" }
                p {
                    "A case is shown once: what it does, what must happen, and each different result "
                    "with its settings and kernels. "
                    "Off and on are " code { "net.ipv4.tcp_migrate_req" } "."
                }
                @if self.limits != LIMITS[0] {
                    p class="aside" {
                        "There is much to show: so that the page stays small, at most "
                        (self.limits.ladders) " of a case's results are drawn, and "
                        (self.limits.pairs) " compared."
                    }
                }
                div id="the-filters" hidden {}
                @for mechanism in &self.mechanisms {
                    (plainer(&case::mechanism(self, mechanism)))
                }
            }
        }
    }

    fn footer(&self) -> Markup {
        html! {
            footer {
                p {
                    "Written by sockmig " (env!("CARGO_PKG_VERSION")) " from "
                    @for (at, source) in self.combined.sources.iter().enumerate() {
                        @if at > 0 { ", " }
                        code { (source.path.display()) }
                        " (" (source.kind) " by sockmig " (source.sockmig) ", "
                        (format!("{:.1}", source.took_ms as f64 / 1000.0)) " s"
                        @if let Some(shard) = &source.shard { ", only shard " (shard) }
                        @if !source.complete { ", interrupted" }
                        ")"
                    }
                    @for (at, (path, _)) in self.combined.explored.iter().enumerate() {
                        @if at > 0 || !self.combined.sources.is_empty() { ", " }
                        code { (path.display()) } " (explore)"
                    }
                    "."
                }
            }
        }
    }
}
