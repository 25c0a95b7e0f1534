//! `sockmig explain`: the teaching page of a case.

use std::collections::BTreeSet;
use std::io::{self, Write};

use harness::process::interrupt;
use harness::process::{Broken, Labs};
use scenarios::advice;
use scenarios::case::{Case, Migration, Need, Selected};
use scenarios::engine::{self, Outcome, RunPlan};
use scenarios::judge::Verdict;
use scenarios::judge::expectation::Acceptable;
use scenarios::known::{self, Known, KnownKind};
use scenarios::lesson;
use scenarios::report::{self, Retried, wrap, wrong_lines};

use crate::cli::ExplainArguments;
use crate::cmd::select::selected;
use crate::exit::Exit;
use crate::ladder::rung::Ladder;
use crate::ladder::side::{Pair, Side};
use crate::ladder::text;
use crate::output::stderr;
use crate::output::stdout::{self, Stdout};
use crate::output::word::Word;
use crate::style::Style;

/// How wide sentences run after their labels, in a terminal of 80 columns and in the narrowest.
const COLUMNS: usize = 68;
const NARROWEST: usize = 20;

/// How wide the labels are.
const LABELS: usize = 12;

/// Does what the command line asks for.
pub fn explain(arguments: &ExplainArguments) -> Exit {
    let selection = match selected(std::slice::from_ref(&arguments.id)) {
        // Who wants to read about a case has not asked for a warning in the kernel's log.
        Ok(selection) => {
            selection.into_iter().map(|one| Selected { named: false, ..one }).collect::<Vec<_>>()
        }
        Err(unknown) => {
            stderr::complain(&unknown);
            return Exit::NothingRan;
        }
    };
    let style = Style::of(&io::stdout());
    let mut page = Page { to: Stdout::new(), style, told: BTreeSet::new() };
    match page.whole(&selection, !arguments.no_run).and_then(|exit| {
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

struct Page {
    to: Stdout,
    style: Style,
    /// What was told of cases above, each with its label: what they share is told once.
    told: BTreeSet<(&'static str, String)>,
}

impl Page {
    fn whole(&mut self, selection: &[Selected], run: bool) -> io::Result<Exit> {
        let mut cases: Vec<&'static Case> = Vec::new();
        for selected in selection {
            if cases.last().is_none_or(|case| case.name != selected.case.name) {
                cases.push(selected.case);
            }
        }
        for (index, case) in cases.iter().enumerate() {
            if index > 0 {
                writeln!(self.to)?;
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
        let name = self.style.bold(case.name);
        writeln!(self.to, "{name}")?;
        let lesson = lesson::about(case);
        if let Some(talk) = lesson.and_then(|lesson| lesson.talk.as_deref()) {
            self.once("talk", talk)?;
        }
        self.label("does", case.does)?;
        self.label("must", case.must)?;
        self.label("source", &case.sources())?;
        for (name, does) in lesson::functions(case) {
            if let Some(does) = does {
                self.once("kernel", &format!("{name}() {does}."))?;
            }
        }
        let needs: Vec<&str> = needs(case).into_iter().map(described).collect();
        if !needs.is_empty() {
            self.label("needs", &needs.join("; "))?;
        }
        if let Some(lesson) = lesson {
            self.once("since", &lesson.since)?;
        }
        let about = |known: &&Known| case.selected().any(|selected| known.names(&selected.id()));
        for known in known::all().iter().filter(about) {
            let kernels: Vec<String> = known.kernels.iter().map(ToString::to_string).collect();
            let (label, fix) = match (known.kind, &known.fix) {
                (KnownKind::History, _) => ("history", String::new()),
                (KnownKind::Bug, Some(fix)) => ("bug", format!(" Fixed by {fix}.")),
                (KnownKind::Bug, None) => ("bug", " No fix is known.".to_owned()),
            };
            let text = format!("Linux {}: {}{fix}", kernels.join(", "), known.reason);
            self.once(label, &text)?;
        }
        if let Some(lesson) = lesson {
            self.once("do", &lesson.advice)?;
        }
        Ok(())
    }

    /// A paragraph after its label, unless another case has had it.
    fn once(&mut self, label: &'static str, text: &str) -> io::Result<()> {
        match self.told.insert((label, text.to_owned())) {
            true => self.label(label, text),
            false => Ok(()),
        }
    }

    /// A paragraph after its label.
    fn label(&mut self, label: &str, text: &str) -> io::Result<()> {
        let mut label = label;
        let columns = stdout::text_width().saturating_sub(LABELS).clamp(NARROWEST, COLUMNS);
        for line in wrap(text, columns) {
            writeln!(self.to, "{}", format!("  {label:<9} {line}").trim_end())?;
            label = "";
        }
        Ok(())
    }

    /// What must be observed, where nothing is run.
    fn expected(&mut self, shown: &[Selected]) -> io::Result<()> {
        for selected in shown {
            let setting = migration(selected);
            writeln!(self.to, "\n  {} ({setting}) must observe:", selected.id())?;
            let must = selected.expectation();
            // Counters that the case does not name are many and say little.
            let still = |acceptable: &Acceptable| *acceptable == Acceptable::StandsStill;
            for (name, acceptable) in must.facts.iter().filter(|(_, is)| !still(is)) {
                writeln!(self.to, "    {name}: {acceptable}")?;
            }
            let others = must.facts.iter().filter(|(_, is)| still(is)).count();
            if others > 0 {
                writeln!(
                    self.to,
                    "    every other counter ({others}): {}",
                    Acceptable::StandsStill
                )?;
            }
            for wire in &must.wires {
                writeln!(self.to, "    the wire of {}:", wire.actor)?;
                for line in wire.text.lines().map(str::trim).filter(|line| !line.is_empty()) {
                    let indent = if line.starts_with(['*', '~']) { "" } else { "  " };
                    writeln!(self.to, "      {indent}{line}")?;
                }
            }
            writeln!(self.to, "  See it: sockmig run {} --trace", selected.id())?;
        }
        Ok(())
    }

    /// Runs a case and shows what was seen; what must be seen, where it cannot be run.
    fn seen(&mut self, shown: &[Selected]) -> io::Result<Exit> {
        let outcomes = match ran(shown) {
            Ok(outcomes) => outcomes,
            Err(Broken::Interrupted) => return Ok(Exit::Interrupted),
            Err(broken) => {
                self.label("seen", "nothing, since there can be no laboratory here:")?;
                self.label("", &advice::no_lab(&broken))?;
                return self.expected(shown).map(|()| Exit::Expected);
            }
        };
        writeln!(self.to)?;
        for (selected, outcome) in shown.iter().zip(&outcomes) {
            if outcome.seen.trace.events.is_empty() {
                let (why, id) =
                    (outcome.verdict.reason().unwrap_or("nothing".into()), selected.id());
                self.label("seen", &format!("{id}: {}: {why}", outcome.verdict.word()))?;
            }
        }
        for outcome in &outcomes {
            if let Some(retried) = Retried::of(&outcome.verdict, &outcome.discarded) {
                self.label(retried.word(), &format!("{}: {}", outcome.id, retried.often()))?;
                for line in retried.tries() {
                    self.label("", &line)?;
                }
            }
        }
        let sides: Vec<Side> = shown
            .iter()
            .zip(&outcomes)
            .filter(|(_, outcome)| !outcome.seen.trace.events.is_empty())
            .map(|(selected, outcome)| side(selected, outcome))
            .collect();
        let drawn = self.drawn(sides);
        self.to.write_all(drawn.as_bytes())?;
        for (selected, outcome) in shown.iter().zip(&outcomes) {
            self.facts(selected, outcome)?;
        }
        let ids: Vec<String> = shown.iter().map(Selected::id).collect();
        writeln!(self.to, "\n  Again: sockmig run {} --trace", ids.join(" "))?;
        let deviates = |outcome: &Outcome| matches!(outcome.verdict, Verdict::Fail { .. });
        Ok(if outcomes.iter().any(deviates) { Exit::Deviates } else { Exit::Expected })
    }

    /// Two ladders next to each other, what differs marked; else one below the other.
    fn drawn(&self, sides: Vec<Side>) -> String {
        match <[Side; 2]>::try_from(sides) {
            Ok([off, on]) => Pair::new(off, on).text(stdout::width(), self.style),
            Err(sides) => {
                let (width, style) = (stdout::text_width(), self.style);
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
        writeln!(self.to, "\n  {} ({}) observed:", selected.id(), migration(selected))?;
        for line in
            report::witnesses(&selected.expectation(), outcome, outcome.verdict.mismatches())
        {
            writeln!(self.to, "    {line}")?;
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
fn ran(shown: &[Selected]) -> Result<Vec<Outcome>, Broken> {
    interrupt::catch()
        .map_err(|e| Broken::Setup(format!("cannot catch Ctrl-C: {}", report::refusal(&e))))?;
    let labs = Labs::default();
    let kernel = engine::probe(&labs)?;
    let plan = RunPlan { jobs: 1, ..RunPlan::default() };
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
        Need::Ao => "TCP's authentication option (CONFIG_TCP_AO)",
        Need::SockDiag => "sockets that netlink lists (CONFIG_INET_DIAG)",
        Need::Destroy => "sockets that netlink destroys (CONFIG_INET_DIAG_DESTROY)",
        Need::ExplicitOnly => {
            "to be named, as it triggers a warning or a leak on kernels with a known bug"
        }
        Need::Multipath => "Multipath TCP (CONFIG_MPTCP)",
        Need::Programs => "eBPF programs",
        Need::IoUring => "io_uring (CONFIG_IO_URING), not turned off",
        Need::SecondUid => "a second user: root, or a second mapped uid",
        Need::Ipv6 => "IPv6",
        Need::OwnMachine => "a machine of its own, as in the matrix",
    }
}
