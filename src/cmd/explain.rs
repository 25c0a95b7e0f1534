//! `sockmig explain`: the teaching page of a case, and of what else can be explained.

mod lookup;
mod page;
mod subject;

use std::io::{self, Write};

use harness::process::interrupt;
use harness::process::{Broken, Labs};
use scenarios::advice;
use scenarios::case::{Case, Migration, Need, Selected};
use scenarios::engine::{self, Outcome, RunPlan};
use scenarios::judge::KnownList;
use scenarios::judge::Verdict;
use scenarios::judge::expectation::Acceptable;
use scenarios::judge::known::CaseFacts;
use scenarios::lesson;
use scenarios::report::{self, wrong_lines};

use crate::cli::ExplainArguments;
use crate::cmd::explain::lookup::{Subject, lookup};
use crate::cmd::explain::page::Page;
use crate::cmd::known;
use crate::exit::Exit;
use crate::ladder::rung::Ladder;
use crate::ladder::side::{Pair, Side};
use crate::ladder::text;
use crate::output::stderr;
use crate::output::stdout;
use crate::output::word::Word;
use crate::style::Style;

/// Does what the command line asks for.
pub fn explain(arguments: &ExplainArguments) -> Exit {
    let known = match known::list(&arguments.known) {
        Ok(known) => known,
        Err(exit) => return exit,
    };
    let subject = match lookup(&arguments.id, known) {
        Ok(subject) => subject,
        Err(unknown) => {
            stderr::complain(&unknown);
            return Exit::NothingRan;
        }
    };
    let mut page = Page::new(Style::of(&io::stdout()));
    let explained = match subject {
        Subject::Cases(cases) => {
            // Who wants to read about a case has not asked for a warning in the kernel's log.
            let cases: Vec<Selected> =
                cases.into_iter().map(|one| Selected { named: false, ..one }).collect();
            CasePages { page: &mut page, known }.whole(&cases, !arguments.no_run)
        }
        other => explain_other(&mut page, &other).map(|()| Exit::Expected),
    };
    match explained.and_then(|exit| {
        page.to.flush()?;
        Ok(exit)
    }) {
        Ok(exit) => exit,
        Err(e) => {
            stderr::complain(&e);
            Exit::Unavailable
        }
    }
}

/// What is no case.
fn explain_other(page: &mut Page, subject: &Subject<'_>) -> io::Result<()> {
    match subject {
        Subject::Cases(_) => Ok(()),
        Subject::Bugs(bugs) => {
            for (index, bug) in bugs.iter().enumerate() {
                if index > 0 {
                    writeln!(page.to)?;
                }
                subject::bug(page, bug)?;
            }
            Ok(())
        }
        Subject::Commit { hash, bugs, cases } => subject::commit(page, hash, bugs, cases),
        Subject::Function { name, does, cases } => subject::function(page, name, *does, cases),
        Subject::Topic(topic) => subject::topic(page, topic),
        Subject::Server { name, strategies } => subject::server(page, name, strategies),
    }
}

/// The pages of cases, one after the other.
struct CasePages<'p> {
    page: &'p mut Page,
    known: &'static KnownList,
}

impl CasePages<'_> {
    fn whole(&mut self, selection: &[Selected], run: bool) -> io::Result<Exit> {
        let mut cases: Vec<&'static Case> = Vec::new();
        for selected in selection {
            if cases.last().is_none_or(|case| case.name != selected.case.name) {
                cases.push(selected.case);
            }
        }
        for (index, case) in cases.iter().enumerate() {
            if index > 0 {
                writeln!(self.page.to)?;
            }
            self.show_case(case)?;
            let shown: Vec<Selected> =
                selection.iter().filter(|one| one.case.name == case.name).copied().collect();
            let shown = of_one_family(&shown);
            match (run, &cases[..]) {
                (true, [_]) => return self.seen(&shown),
                _ => self.expected(&shown)?,
            }
        }
        Ok(Exit::Expected)
    }

    /// What can be said without running it.
    fn show_case(&mut self, case: &'static Case) -> io::Result<()> {
        self.page.title(case.name)?;
        let lesson = lesson::about(case);
        if let Some(talk) = lesson.and_then(|lesson| lesson.talk.as_deref()) {
            self.page.once("talk", talk)?;
        }
        self.page.label("does", case.does)?;
        self.page.label("must", case.must)?;
        self.page.label("source", &case.sources())?;
        for (name, does) in lesson::functions(case) {
            if let Some(does) = does {
                self.page.once("kernel", &format!("{name}() {does}."))?;
            }
        }
        let needs: Vec<&str> = needs(case).into_iter().map(described).collect();
        if !needs.is_empty() {
            self.page.label("needs", &needs.join("; "))?;
        }
        if let Some(lesson) = lesson {
            self.page.once("since", &lesson.since)?;
        }
        let is_about = |facts: &CaseFacts| case.selected().any(|one| facts.names(&one.id()));
        for bug in self.known.bugs.iter().filter(|bug| bug.cases.iter().any(is_about)) {
            let named = bug.named();
            let text = format!("Linux {}: {named} (sockmig explain {})", bug.releases, bug.id);
            self.page.once("bug", &text)?;
        }
        let history = self.known.history.iter();
        for history in history.filter(|history| history.cases.iter().any(is_about)) {
            let text = format!("Linux {}: {}", history.releases, history.reason);
            self.page.once("history", &text)?;
        }
        if let Some(lesson) = lesson {
            self.page.once("do", &lesson.advice)?;
        }
        Ok(())
    }

    /// What must be observed, where nothing is run.
    fn expected(&mut self, shown: &[Selected]) -> io::Result<()> {
        for selected in shown {
            let setting = migration(selected);
            writeln!(self.page.to, "\n  {} ({setting}) must observe:", selected.id())?;
            let must = selected.expectation();
            // Counters that the case does not name are many and say little.
            let still = |acceptable: &Acceptable| *acceptable == Acceptable::StandsStill;
            for (name, acceptable) in must.facts.iter().filter(|(_, is)| !still(is)) {
                writeln!(self.page.to, "    {name}: {acceptable}")?;
            }
            let others = must.facts.iter().filter(|(_, is)| still(is)).count();
            if others > 0 {
                writeln!(
                    self.page.to,
                    "    every other counter ({others}): {}",
                    Acceptable::StandsStill
                )?;
            }
            for wire in &must.wires {
                writeln!(self.page.to, "    the wire of {}:", wire.actor)?;
                for line in wire.text.lines().map(str::trim).filter(|line| !line.is_empty()) {
                    let indent = if line.starts_with(['*', '~']) { "" } else { "  " };
                    writeln!(self.page.to, "      {indent}{line}")?;
                }
            }
            writeln!(self.page.to, "  See it: sockmig run {} --trace", selected.id())?;
        }
        Ok(())
    }

    /// Runs a case and shows what was seen; what must be seen, where it cannot be run.
    fn seen(&mut self, shown: &[Selected]) -> io::Result<Exit> {
        let outcomes = match ran(shown, self.known) {
            Ok(outcomes) => outcomes,
            Err(Broken::Interrupted) => return Ok(Exit::Interrupted),
            Err(broken) => {
                self.page.label("seen", "nothing, since there can be no laboratory here:")?;
                self.page.label("", &advice::no_lab(&broken))?;
                return self.expected(shown).map(|()| Exit::Expected);
            }
        };
        writeln!(self.page.to)?;
        for (selected, outcome) in shown.iter().zip(&outcomes) {
            if outcome.seen.trace.events.is_empty() {
                let (why, id) =
                    (outcome.verdict.reason().unwrap_or("nothing".into()), selected.id());
                self.page.label("seen", &format!("{id}: {}: {why}", outcome.verdict.word()))?;
            }
        }
        for outcome in &outcomes {
            self.page.tries(outcome)?;
        }
        let sides: Vec<Side> = shown
            .iter()
            .zip(&outcomes)
            .filter(|(_, outcome)| !outcome.seen.trace.events.is_empty())
            .map(|(selected, outcome)| side(selected, outcome))
            .collect();
        let drawn = self.drawn(sides);
        self.page.to.write_all(drawn.as_bytes())?;
        for (selected, outcome) in shown.iter().zip(&outcomes) {
            self.facts(selected, outcome)?;
        }
        let ids: Vec<String> = shown.iter().map(Selected::id).collect();
        writeln!(self.page.to, "\n  Again: sockmig run {} --trace", ids.join(" "))?;
        let deviates = |outcome: &Outcome| matches!(outcome.verdict, Verdict::Fail { .. });
        Ok(if outcomes.iter().any(deviates) { Exit::Deviates } else { Exit::Expected })
    }

    /// Two ladders next to each other, what differs marked; else one below the other.
    fn drawn(&self, sides: Vec<Side>) -> String {
        match <[Side; 2]>::try_from(sides) {
            Ok([off, on]) => Pair::new(off, on).text(stdout::width(), self.page.style),
            Err(sides) => {
                let (width, style) = (stdout::text_width(), self.page.style);
                let one = |side: &Side| {
                    let ladder = text::drawn(&side.ladder, width, style);
                    format!("{}\n{ladder}", style.bold(&side.title))
                };
                sides.iter().map(one).collect::<Vec<_>>().join("\n")
            }
        }
    }

    /// What was observed next to the wire, and what of it is wrong.
    fn facts(&mut self, selected: &Selected, outcome: &Outcome) -> io::Result<()> {
        let facts = &outcome.seen.observation.facts;
        if facts.is_empty() {
            return Ok(());
        }
        writeln!(self.page.to, "\n  {} ({}) observed:", selected.id(), migration(selected))?;
        for line in
            report::witnesses(&selected.expectation(), outcome, outcome.verdict.mismatches())
        {
            writeln!(self.page.to, "    {line}")?;
        }
        Ok(())
    }
}

/// A case in both settings of migration is one lesson, in another family the same.
fn of_one_family(shown: &[Selected]) -> Vec<Selected> {
    let family = shown.first().map(|selected| selected.setting.family);
    let its = shown.iter().filter(|selected| Some(selected.setting.family) == family);
    its.copied().collect()
}

/// Runs cases, one after the other.
fn ran(shown: &[Selected], known: &'static KnownList) -> Result<Vec<Outcome>, Broken> {
    interrupt::catch()
        .map_err(|e| Broken::Setup(format!("cannot catch Ctrl-C: {}", advice::refusal(&e))))?;
    let labs = Labs::default();
    let kernel = engine::probe(&labs)?;
    let plan = RunPlan { jobs: 1, known, ..RunPlan::default() };
    let outcomes =
        shown.iter().map(|selected| engine::run_once(&labs, &kernel, selected, 1, plan)).collect();
    labs.wait();
    outcomes
}

fn side(selected: &Selected, outcome: &Outcome) -> Side {
    let lines = outcome.seen.trace.lines();
    let wrong = wrong_lines(outcome.verdict.mismatches());
    let word = Word::of(&outcome.verdict).spoken();
    let title = format!("{} ({}): {word}", selected.id(), migration(selected));
    Side { title, ladder: Ladder::new(&lines, &wrong) }
}

fn migration(selected: &Selected) -> &'static str {
    match selected.setting.migration {
        Migration::Off => "tcp_migrate_req = 0",
        Migration::On => "tcp_migrate_req = 1",
    }
}

/// What a case needs in any of its settings.
fn needs(case: &'static Case) -> Vec<Need> {
    let mut needs = Vec::new();
    for need in case.selected().flat_map(|selected| selected.needs()) {
        if !needs.contains(&need) {
            needs.push(need);
        }
    }
    needs
}

fn described(need: Need) -> &'static str {
    match need {
        Need::Migration => "Linux 5.14, which has migration",
        Need::Gate => "nftables, or a filter on a listener, to hold the final ACK",
        Need::Md5 => "TCP's MD5 signatures (CONFIG_TCP_MD5SIG)",
        Need::Ao => {
            "TCP's authentication option (CONFIG_TCP_AO) with HMAC-SHA1 (CONFIG_CRYPTO_SHA1)"
        }
        Need::SockDiag => "sockets that netlink lists (CONFIG_INET_DIAG)",
        Need::Destroy => "sockets that netlink destroys (CONFIG_INET_DIAG_DESTROY)",
        Need::ExplicitOnly => {
            "to be named, as it triggers a warning or a leak on kernels with a known bug"
        }
        Need::LongWork => "to be named, as it takes a processor up to half a minute",
        Need::Multipath => "Multipath TCP (CONFIG_MPTCP, and CONFIG_MPTCP_IPV6 over IPv6)",
        Need::SynCookies => "SYN cookies (CONFIG_SYN_COOKIES)",
        Need::Settings => "a /proc/sys that can be written",
        Need::UnixSockets => "UNIX sockets (CONFIG_UNIX)",
        Need::CloseRange => "Linux 5.9, which has close_range",
        Need::Programs => "eBPF programs",
        Need::IoUring => "io_uring (CONFIG_IO_URING), not turned off",
        Need::RefusedMemory => "a kernel that can be refused memory (CONFIG_FAILSLAB)",
        Need::SecondUid => "a second user: root, or a second mapped uid",
        Need::Ipv6 => "IPv6",
        Need::OwnMachine => "a machine of its own, as in the matrix",
    }
}
