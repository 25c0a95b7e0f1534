//! What is explained besides cases: bugs, commits, functions, settings, servers.

use std::io;

use harness::kernel::Base;
use harness::kernel::identity::Identity;
use reload::strategy::{ListenerEffect, Strategy};
use scenarios::case::Case;
use scenarios::judge::VersionSays;
use scenarios::judge::known::{self, Bug, Commit};
use scenarios::lesson::Topic;

use crate::cmd::explain::page::Page;

/// How many cases are named where many are meant.
const NAMED: usize = 12;

/// A known bug: what it is, who brought and fixed it, and whether this kernel has it.
pub fn bug(page: &mut Page, bug: &Bug) -> io::Result<()> {
    page.title(&bug.id)?;
    page.label("bug", &format!("{}.", bug.title))?;
    page.label("cause", &bug.cause)?;
    let releases = &bug.releases;
    let versions = |versions: &[harness::kernel::Version]| {
        versions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    page.label("brought", &by(&bug.brought_by, "in Linux", &versions(&releases.from)))?;
    let fixed = match (&*bug.fixed_by, &*releases.until) {
        ([], []) => "no fix is known".to_owned(),
        (commits, until) => by(commits, "first in Linux", &versions(until)),
    };
    page.label("fixed", &fixed)?;
    if !releases.not_known.is_empty() {
        let lines = versions(&releases.not_known);
        page.label("", &format!("not known of Linux {lines}"))?;
    }
    if let Some(cve) = &bug.cve {
        page.label("cve", cve)?;
    }
    if let Some(link) = &bug.link {
        page.label("link", link)?;
    }
    if let Some(file) = &bug.listed_in {
        page.label("listed in", file)?;
    }
    page.label("here", &here(bug))?;
    let race = format!("sockmig race {}", bug.pairs.join(" "));
    match (bug.cases.is_empty(), bug.pairs.is_empty()) {
        (true, true) => {
            page.label("shown by", "no case: it is known by the kernel's version alone")
        }
        (true, false) => page.label("shown by", &format!("no case, and by {race}")),
        (false, _) => {
            let ids: Vec<&str> = bug.cases.iter().map(|facts| &facts.id[..]).collect();
            page.label("shown by", &ids.join(", "))
        }
    }
}

/// Commits, and the releases that had them first.
fn by(commits: &[Commit], first: &str, versions: &str) -> String {
    match (commits.is_empty(), versions.is_empty()) {
        (true, true) => "not known".into(),
        (true, false) => format!("{first} {versions}"),
        (false, true) => format!("by {}", known::joined(commits)),
        (false, false) => format!("by {}, {first} {versions}", known::joined(commits)),
    }
}

/// What the running kernel's version says of a bug.
fn here(bug: &Bug) -> String {
    let base = match Identity::running() {
        Ok(identity) => identity.base(),
        Err(e) => return format!("not known: {e}"),
    };
    let says = bug.releases.say(&base);
    match (&base, says) {
        (_, Some(VersionSays::HasIt)) => format!("kernels of this version have it (base {base})"),
        (Base::Known { .. }, None) => {
            format!("kernels of this version do not have it (base {base})")
        }
        (_, Some(VersionSays::CannotTell) | None) => {
            format!("the version of this kernel cannot tell (base {base})")
        }
    }
}

/// A commit: the bugs that it brought or fixed, and the cases that name it.
pub fn commit(
    page: &mut Page,
    hash: &str,
    bugs: &[&Bug],
    cases: &[&'static Case],
) -> io::Result<()> {
    page.title(&format!("commit {hash}"))?;
    for bug in bugs {
        let is = |commits: &[Commit]| commits.iter().any(|commit| commit.is(hash));
        let label = if is(&bug.fixed_by) { "fixes" } else { "brought" };
        page.label(label, &format!("{}: {} (sockmig explain {})", bug.id, bug.title, bug.id))?;
    }
    if !cases.is_empty() {
        page.label("source of", &names(cases))?;
    }
    page.label("link", &format!("https://git.kernel.org/torvalds/c/{hash}"))
}

/// A function of the kernel.
pub fn function(
    page: &mut Page,
    name: &str,
    does: Option<&str>,
    cases: &[&'static Case],
) -> io::Result<()> {
    page.title(&format!("{name}()"))?;
    if let Some(does) = does {
        page.label("kernel", &format!("{name}() {does}."))?;
    }
    page.label("source of", &names(cases))
}

/// A setting, a counter, an option.
pub fn topic(page: &mut Page, topic: &Topic) -> io::Result<()> {
    page.title(&topic.names.join(", "))?;
    page.label("is", &topic.says)?;
    page.label("cases", &topic.cases.join(", "))?;
    page.label("see", &format!("sockmig explain {}", topic.cases[0]))
}

/// A server: what becomes of its listeners when it is reloaded.
pub fn server(page: &mut Page, name: &str, strategies: &[Strategy]) -> io::Result<()> {
    page.title(name)?;
    for strategy in strategies {
        page.label(
            "reload",
            &format!("{}: {} {}", strategy.id, strategy.does, loses(strategy.effect)),
        )?;
    }
    page.label("measure", &format!("sockmig reload {name}"))?;
    page.label("see", "sockmig explain handoff, sockmig explain quiz1, sockmig explain quiz2")
}

/// What connections a way of reloading may lose, by what it does to listeners.
fn loses(effect: ListenerEffect) -> &'static str {
    match effect {
        ListenerEffect::StayOpen => "No listener closes, so that no connection is lost.",
        ListenerEffect::Close => {
            "Connections of the listeners that close are lost, unless tcp_migrate_req is 1."
        }
        ListenerEffect::CloseWhenIdle => "Listeners close when nothing is left to be lost.",
        ListenerEffect::CloseAndProgramMigrates => {
            "Connections of the listeners that close migrate, whatever tcp_migrate_req is."
        }
        ListenerEffect::CloseLeavingNobody => {
            "Connections are lost, even if tcp_migrate_req is 1: no other listener is there."
        }
        ListenerEffect::Observed => "Whether listeners close shows only when it is reloaded.",
    }
}

fn names(cases: &[&'static Case]) -> String {
    let named = cases.iter().take(NAMED).map(|case| case.name).collect::<Vec<_>>().join(", ");
    match cases.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named}, and {more} more"),
    }
}
