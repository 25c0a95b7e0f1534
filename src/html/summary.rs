//! What the page says in sentences: the answer, what deviates, known bugs, warnings.

use maud::{Markup, PreEscaped, html};
use scenarios::judge::NamedBug;
use scenarios::judge::builtin::builtin;
use scenarios::judge::known;

use crate::html::contents::Page;
use crate::html::digest::split;
use crate::html::{mark, table};
use crate::output::document::KernelDocument;
use crate::output::matrix::findings::{Bug, Group, RetriedCase, Wrong};
use crate::output::plain::Plain;
use crate::output::word::{self, Word};

/// Deviations that are shown before the tables; more are folded.
const FIRST: usize = 8;

/// The most that are shown one by one; the tables lead to all.
const LISTED: usize = 60;

/// What the kernels do, in plain words; kernels of which the same is to be said together.
pub fn answers(page: &Page<'_>) -> Markup {
    let mut answers: Vec<(Plain, Vec<usize>)> = vec![];
    for (column, kernel) in page.combined.found.kernels.iter().enumerate() {
        let Some(run) = &kernel.run else { continue };
        // The environment has the setting. Of a guest it says nothing, since it is the
        // guest's own.
        let plain = Plain {
            off_here: "",
            on_here: "",
            ..Plain::of(&run.environment, &page.verdicts(column))
        };
        match answers.iter_mut().find(|(known, _)| *known == plain) {
            Some((_, columns)) => columns.push(column),
            None => answers.push((plain, vec![column])),
        }
    }
    html! {
        section aria-labelledby="the-answer" {
            h2 id="the-answer" tabindex="-1" { "The answer" }
            p {
                "When a listener of an " code { "SO_REUSEPORT" } " group closes, as at a server's "
                "reload, and other listeners on the same port stay:"
            }
            div class="answers" {
                @for (plain, columns) in &answers { (answer(page, plain, columns)) }
            }
            @if answers.is_empty() { p { "No kernel came as far as its first case." } }
        }
    }
}

fn answer(page: &Page<'_>, plain: &Plain, columns: &[usize]) -> Markup {
    html! {
        article class="answer" {
            h3 { (mark::names(&page.combined.found, columns)) }
            h4 { "migration off " span class="aside" { "the default" } }
            ul { @for sentence in &plain.off { li { (sentence) } } }
            h4 { "migration on " span class="aside" { code { "net.ipv4.tcp_migrate_req = 1" } } }
            ul { @for sentence in &plain.on { li { (sentence) } } }
            details {
                summary { "What to do" }
                ul { @for advice in &plain.advice { li { (code_of(advice)) } } }
            }
        }
    }
}

/// A sentence whose parts between backquotes are code.
fn code_of(sentence: &str) -> Markup {
    let parts = sentence.split('`').enumerate();
    html! { @for (at, part) in parts { @if at % 2 == 1 { code { (part) } } @else { (part) } } }
}

/// What is not as it must be: first of all, and with what was expected.
pub fn deviations(page: &Page<'_>) -> Markup {
    let wrong = &page.findings.wrong;
    if wrong.is_empty() {
        return PreEscaped(String::new());
    }
    html! {
        section aria-labelledby="the-deviations" {
            h2 id="the-deviations" tabindex="-1" { "Not as expected" }
            (deviations_table(page, "Deviations", &wrong[..wrong.len().min(FIRST)]))
            @if wrong.len() > FIRST {
                details {
                    summary { (wrong.len() - FIRST) " more" }
                    (deviations_table(page, "More deviations", &wrong[FIRST..wrong.len().min(LISTED)]))
                    @if wrong.len() > LISTED {
                        p { "And " (wrong.len() - LISTED) " more, which the tables below lead to." }
                    }
                }
            }
        }
    }
}

fn deviations_table(page: &Page<'_>, label: &str, wrong: &[Wrong<'_>]) -> Markup {
    table::scrolled(
        label,
        &html! {
            table class="list deviations" {
                thead {
                    tr {
                        th scope="col" { "case" } th scope="col" { "kernels" }
                        th scope="col" { "in" } th scope="col" { "expected" }
                        th scope="col" { "actual" }
                    }
                }
                tbody { @for wrong in wrong { (deviation(page, wrong)) } }
            }
        },
    )
}

fn deviation(page: &Page<'_>, wrong: &Wrong<'_>) -> Markup {
    let (name, _) = split(&wrong.case.id);
    let rows = wrong.mismatches.len().max(1);
    html! {
        tr {
            th scope="row" rowspan=(rows) {
                (mark::chip(Word::of(&wrong.case.verdict))) " "
                a href={ "#" (name) } { (wrong.case.id) }
            }
            td rowspan=(rows) { (wrong.where_it_is(&page.combined.found)) }
            @match wrong.mismatches.first() {
                Some(mismatch) => {
                    td { (mismatch.what) }
                    td { pre { (mismatch.expected.join("\nor ")) } }
                    td { pre { (mismatch.actual) } }
                }
                None => td colspan="3" { (wrong.broken.unwrap_or_default()) },
            }
        }
        @for mismatch in wrong.mismatches.iter().skip(1) {
            tr {
                td { (mismatch.what) }
                td { pre { (mismatch.expected.join("\nor ")) } }
                td { pre { (mismatch.actual) } }
            }
        }
    }
}

/// Cases that were tried more than once, and what the discarded tries saw.
fn retried(page: &Page<'_>, heading: &str, cases: &[RetriedCase<'_>]) -> Markup {
    html! {
        @if !cases.is_empty() {
            h3 { (heading) }
            ul {
                @for RetriedCase { kernel, title, retried } in cases.iter().take(LISTED) {
                    li {
                        (mark::retried(retried)) " " (title) " on "
                        (mark::names(&page.combined.found, &[*kernel])) ": " (retried.often())
                        ul { @for line in retried.tries() { li { (line) } } }
                    }
                }
            }
            @if cases.len() > LISTED {
                p { "And " (cases.len() - LISTED) " more, which the tables below lead to." }
            }
        }
    }
}

/// Known bugs, and which kernel has which.
pub fn bugs(page: &Page<'_>) -> Markup {
    let by_version = by_version(page);
    if page.findings.bugs.is_empty() && by_version.is_empty() {
        return PreEscaped(String::new());
    }
    html! {
        section aria-labelledby="the-bugs" {
            h2 id="the-bugs" tabindex="-1" { "Known bugs" }
            ol class="bugs" {
                @for (at, bug) in page.findings.bugs.iter().enumerate() {
                    li id=[bug_id(&page.findings.bugs[..at], bug)] { (told_bug(page, bug)) }
                }
            }
            @if !by_version.is_empty() {
                h3 { "Known by their versions, not shown by any case" }
                ul {
                    @for (bug, kernels) in &by_version {
                        li {
                            (code_of(&bug.to_string())) " "
                            (releases(bug, "in Linux ", "."))
                            " " span class="aside" { (mark::names(&page.combined.found, kernels)) }
                        }
                    }
                }
            }
        }
    }
}

/// The bugs that no case can show, and the kernels whose base has them.
fn by_version(page: &Page<'_>) -> Vec<(NamedBug, Vec<usize>)> {
    let mut bugs: Vec<(NamedBug, Vec<usize>)> = vec![];
    for (at, kernel) in page.combined.found.kernels.iter().enumerate() {
        let Some(run) = &kernel.run else { continue };
        for bug in builtin().only_by_version(&run.environment.kernel.base).map(known::Bug::named) {
            match bugs.iter_mut().find(|(known, _)| *known == bug) {
                Some((_, kernels)) => kernels.push(at),
                None => bugs.push((bug, vec![at])),
            }
        }
    }
    bugs
}

fn told_bug(page: &Page<'_>, bug: &Bug<'_>) -> Markup {
    let mut cases: Vec<&str> = vec![];
    for (case, _) in bug.ids.iter().map(|id| split(id)) {
        if !cases.contains(&case) {
            cases.push(case);
        }
    }
    let found = &page.combined.found;
    let free: Vec<usize> =
        (0..found.kernels.len()).filter(|at| is_free(&found.kernels[*at], bug)).collect();
    html! {
        p class="bug" { (code_of(&bug.bug.reason)) }
        dl class="claims" {
            @match &bug.bug.fix {
                Some(fix) => { dt { "fixed by" } dd { (commits(fix)) } },
                None => { dt { "fix" } dd { "no fix known" } },
            }
            @if listed(bug.bug).is_some() { dt { "in Linux" } dd { (releases(bug.bug, "", "")) } }
            @if let Some(cve) = &bug.bug.cve { dt { "see" } dd { (vulnerability(cve)) } }
            @if let Some(file) = &bug.bug.listed_in { dt { "listed in" } dd { (file) } }
            dt { "on" }
            dd { (mark::names(found, &bug.kernels)) }
            @if !bug.cannot_tell.is_empty() {
                dt { "version cannot tell" }
                dd { (mark::names(found, &bug.cannot_tell)) }
            }
            @if !free.is_empty() {
                dt { "not on" }
                dd { (mark::names(found, &free)) }
            }
            dt { "seen in" }
            dd {
                @for (at, case) in cases.iter().enumerate() {
                    @if at > 0 { ", " }
                    a href={ "#" (case) } { (case) }
                }
            }
        }
    }
}

/// The place of a bug on the page; none in documents that are older than its name. Documents may
/// say different things of one bug: then it is the first of them.
fn bug_id(before: &[Bug<'_>], bug: &Bug<'_>) -> Option<String> {
    let id = &bug.bug.id;
    let is_first = !before.iter().any(|other| other.bug.id == *id);
    (is_first && !id.is_empty()).then(|| format!("bug:{id}"))
}

/// What sockmig's own list says of a bug.
fn listed(bug: &NamedBug) -> Option<&'static known::Bug> {
    let is_ours = bug.listed_in.is_none();
    builtin().bugs.iter().find(|known| is_ours && known.id == bug.id)
}

/// The first release of each line that has the bug, and that has the fix.
fn releases(bug: &NamedBug, before: &str, after: &str) -> Markup {
    html! { @if let Some(known) = listed(bug) { (before) (known.releases) (after) } }
}

/// A number of the list of vulnerabilities; a link if it is one.
fn vulnerability(cve: &str) -> Markup {
    let is_number = cve.strip_prefix("CVE-").is_some_and(|number| {
        number.chars().all(|letter| letter.is_ascii_digit() || letter == '-')
    });
    html! {
        @if is_number {
            a href={ "https://www.cve.org/CVERecord?id=" (cve) } { (cve) }
        } @else { (cve) }
    }
}

/// Whether the cases that show a bug elsewhere are well here.
fn is_free(kernel: &KernelDocument, bug: &Bug<'_>) -> bool {
    let words = word::words(kernel);
    let mut here = bug.ids.iter().filter_map(|id| words.get(id)).peekable();
    here.peek().is_some() && here.all(|word| *word == Word::Ok)
}

/// Commits of Linux, each a link if its hash is known.
fn commits(fix: &str) -> Markup {
    html! { @for (at, fix) in fix.split(", ").enumerate() { @if at > 0 { ", " } (commit(fix)) } }
}

/// A commit of Linux; a link if it is one.
fn commit(fix: &str) -> Markup {
    let is_hash = fix.len() >= 7 && fix.chars().all(|c| c.is_ascii_hexdigit());
    html! {
        @if is_hash {
            a href={ "https://git.kernel.org/torvalds/c/" (fix) } { code { (fix) } }
        } @else { (fix) }
    }
}

/// Whether there is anything to warn of.
pub fn has_warnings(page: &Page<'_>) -> bool {
    let findings = &page.findings;
    !(findings.complaints.is_empty()
        && findings.ends.is_empty()
        && findings.flaky.is_empty()
        && findings.retried.is_empty()
        && findings.fixes.is_empty()
        && findings.missing.is_empty()
        && findings.restarts.is_empty()
        && findings.skips.is_empty())
}

/// What the kernels' logs complained of, machines that did not complete, and what says less
/// than it could.
pub fn warnings(page: &Page<'_>) -> Markup {
    if !has_warnings(page) {
        return PreEscaped(String::new());
    }
    let (found, findings) = (&page.combined.found, &page.findings);
    html! {
        section aria-labelledby="the-warnings" {
            h2 id="the-warnings" tabindex="-1" { "Warnings" }
            @if !findings.complaints.is_empty() {
                h3 { "What the kernels' logs complained of" }
                @for (line, places) in &findings.complaints {
                    details {
                        summary {
                            span class="chip f" { "✗ complaint" } " " code { (line) } " on "
                            (mark::names(found, &places.iter().map(|(at, _)| *at).collect::<Vec<_>>()))
                        }
                        @for (at, complaint) in places {
                            h4 { (found.kernels[*at].name) ", during " (complaint.during) }
                            pre class="log" tabindex="0" { (complaint.text) }
                        }
                    }
                }
            }
            @if !findings.ends.is_empty() {
                h3 { "Machines that did not complete" }
                @for kernel in &findings.ends { (ended(kernel)) }
            }
            @if !findings.restarts.is_empty() {
                p {
                    "Started again, to go on after a case that had ended the machine: "
                    @for (i, (at, times)) in findings.restarts.iter().enumerate() {
                        @if i > 0 { ", " } (found.kernels[*at].name) " (" (times) " times)"
                    }
                    "."
                }
            }
            (retried(page, "Flaky: failed in a slow lab, and not when tried again", &findings.flaky))
            (retried(page, "Tried again after a slow lab", &findings.retried))
            (groups(page, "Fixes that these kernels have and their versions have not", &findings.fixes))
            (groups(page, "Missing in guests", &findings.missing))
            (groups(page, "Skipped", &findings.skips))
        }
    }
}

fn ended(kernel: &KernelDocument) -> Markup {
    let line = html! {
        span class="chip e" { "! " (kernel.end.word()) } " " strong { (kernel.name) } ": "
        (kernel.end.why().unwrap_or_default())
    };
    html! {
        @if kernel.console.is_empty() {
            p { (line) }
        } @else {
            details {
                summary { (line) }
                pre class="log" tabindex="0" { (kernel.console) }
            }
        }
    }
}

fn groups<T: ToString>(page: &Page<'_>, heading: &str, groups: &[Group<T>]) -> Markup {
    if groups.is_empty() {
        return PreEscaped(String::new());
    }
    html! {
        h3 { (heading) }
        ul {
            @for group in groups {
                li {
                    (code_of(&group.what.to_string())) " "
                    span class="aside" {
                        @match group.ids.as_slice() {
                            [] => {},
                            [one] => { (one) ", " },
                            many => { (many.len()) " cases, " },
                        }
                        (mark::names(&page.combined.found, &group.kernels))
                    }
                }
            }
        }
    }
}
