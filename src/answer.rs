//! `sockmig` alone: what this kernel does, and what to do about it, in plain words.

use std::fmt::Write as _;
use std::io::{self, Write};

use harness::kernel::Migration;
use scenarios::catalogue;
use scenarios::engine::{Ending, Outcome, Plan};
use scenarios::judge::Verdict;
use scenarios::report::wrap;
use scenarios::requirement;

use crate::consumer::{Consumer, End, Finished, Run};
use crate::exit::Exit;
use crate::output::Stdout;
use crate::progress::Progress;
use crate::run::{Listeners, execute};
use crate::style::Style;

/// Width of the answer.
const COLUMNS: usize = 78;

/// Runs everything and answers.
pub fn answer() -> Exit {
    let style = Style::of(&io::stdout());
    let mut listeners = Listeners::default();
    listeners.add(Answer::new(Stdout::new(), style, Progress::on_stderr()));
    match execute(catalogue::all(), Plan::default(), &mut listeners) {
        Ok(totals) => listeners.exit(&totals, false),
        Err(exit) => exit,
    }
}

/// Gathers verdicts, and writes the answer at the end.
pub struct Answer<W> {
    to: W,
    style: Style,
    progress: Progress,
    verdicts: Vec<(String, Verdict)>,
}

impl<W: Write> Answer<W> {
    /// Writes to `to`.
    pub fn new(to: W, style: Style, progress: Progress) -> Self {
        Self { to, style, progress, verdicts: vec![] }
    }
}

impl<W: Write> Consumer for Answer<W> {
    fn begin(&mut self, run: &Run) -> io::Result<()> {
        self.progress.begin(run.selection.len());
        Ok(())
    }

    fn started(&mut self, id: &str) {
        self.progress.started(id);
    }

    fn finished(&mut self, _: &Run, finished: &Finished<'_>) -> io::Result<()> {
        let Outcome { id, verdict, .. } = finished.outcome;
        self.progress.finished(id);
        self.verdicts.push((id.clone(), verdict.clone()));
        Ok(())
    }

    fn end(&mut self, run: &Run, end: &End<'_>) -> io::Result<()> {
        self.progress.end();
        let text = Text { run, verdicts: &self.verdicts, style: self.style }.whole(end);
        self.to.write_all(text.as_bytes())?;
        self.to.flush()
    }
}

/// What came of the cases of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    AsExpected,
    KnownBug,
    Deviates(String),
    NotChecked(String),
}

struct Text<'r> {
    run: &'r Run,
    verdicts: &'r [(String, Verdict)],
    style: Style,
}

impl Text<'_> {
    fn whole(&self, end: &End<'_>) -> String {
        let mut text = format!("{}\n\n", self.style.bold(&self.run.environment.kernel.to_string()));
        text.push_str(
            "When a listener of an SO_REUSEPORT group closes, as at a server's reload, and other\n\
             listeners on the same port stay, this kernel\n\n",
        );
        text.push_str(&self.off());
        text.push_str(&self.on());
        let _ = writeln!(text, "\n{}", self.style.bold("What to do"));
        for advice in self.advice() {
            text.push_str(&item(&advice));
        }
        text.push_str(&self.deviations());
        text.push_str(&self.known_bugs());
        text.push_str(&self.not_checked(end));
        let (totals, took) = (end.totals, end.took.as_secs_f64());
        let _ = writeln!(text, "\n{} cases: {totals}; {took:.2} s", totals.finished());
        text.push_str(
            "`sockmig run quiz1 quiz2 --trace` shows the packets, `sockmig run` every case.\n",
        );
        text
    }

    fn off(&self) -> String {
        let here = self.here("0", " and this machine's value");
        let mut text = format!("  with net.ipv4.tcp_migrate_req = 0 (the default{here})\n");
        text.push_str(&self.sentence(
            "quiz1/",
            "/off",
            "resets connections that wait in the accept queue: the client gets ECONNRESET",
        ));
        text.push_str(&self.sentence(
            "quiz2/",
            "/off",
            "drops handshakes in flight: the client is reset when it sends",
        ));
        text
    }

    fn on(&self) -> String {
        let here = self.here("1", " (this machine's value)");
        let mut text = format!("  with net.ipv4.tcp_migrate_req = 1{here}\n");
        match self.run.environment.kernel.migration() {
            Migration::Works => {}
            Migration::SysctlOnly => {
                text.push_str(&bullet("does just the same: the sysctl is there and does nothing"));
                return text;
            }
            Migration::Absent => {
                text.push_str(&bullet("cannot be asked to: it has no such sysctl"));
                return text;
            }
        }
        text.push_str(&self.sentence(
            "quiz1/",
            "/on",
            "hands connections in the accept queue to another listener; the client notices nothing",
        ));
        text.push_str(&self.sentence(
            "quiz2/",
            "/on",
            "completes handshakes in flight on another listener",
        ));
        if self.found("wake-up", "") == Found::KnownBug {
            text.push_str(&bullet(
                "but does not wake that listener: a server that waits in epoll, poll or accept \
                 leaves the connection lying until the next one comes (known bug, fixed by \
                 3864c6ba1e04)",
            ));
        } else {
            text.push_str(&self.sentence(
                "wake-up",
                "",
                "wakes that listener if it waits in epoll, poll or accept",
            ));
        }
        text
    }

    fn here(&self, value: &str, words: &'static str) -> &'static str {
        if self.run.environment.migrate_req.as_deref() == Some(value) { words } else { "" }
    }

    fn sentence(&self, prefix: &str, suffix: &str, as_expected: &str) -> String {
        bullet(&match self.found(prefix, suffix) {
            Found::AsExpected => as_expected.to_owned(),
            Found::KnownBug => format!("has a known bug: see sockmig run {prefix}"),
            Found::Deviates(how) => format!("DEVIATES from every healthy kernel: {how}"),
            Found::NotChecked(why) => format!("(not checked: {why})"),
        })
    }

    /// The worst verdict of the cases between `prefix` and `suffix` speaks for all.
    fn found(&self, prefix: &str, suffix: &str) -> Found {
        let of_kind = || {
            let of_kind = self.verdicts.iter();
            of_kind.filter(|(id, _)| id.starts_with(prefix) && id.ends_with(suffix))
        };
        for (id, verdict) in of_kind() {
            if let Verdict::Fail { mismatches } = verdict {
                let wrong = mismatches.first().map_or("", |mismatch| mismatch.what.as_str());
                return Found::Deviates(format!("{wrong}; see sockmig run {id}"));
            }
        }
        for (_, verdict) in of_kind() {
            if let Verdict::KnownBug { .. } = verdict {
                return Found::KnownBug;
            }
        }
        if of_kind().any(|(_, verdict)| matches!(verdict, Verdict::Pass { .. })) {
            return Found::AsExpected;
        }
        Found::NotChecked(match of_kind().next() {
            Some((_, Verdict::Skip { reason } | Verdict::Error { reason })) => {
                reason.lines().next().unwrap_or_default().to_owned()
            }
            _ => "the run was interrupted".into(),
        })
    }

    fn advice(&self) -> Vec<String> {
        let keep_open = match self.run.environment.kernel.migration() {
            Migration::Works => {
                "Where listeners of one port are set up differently, do not close them while \
                 they have connections: pass them on to the new server (SCM_RIGHTS, inherited \
                 descriptors), or choose the heir with an eBPF program of type \
                 sk_reuseport/migrate."
            }
            Migration::SysctlOnly | Migration::Absent => {
                "Do not close a listener that has connections: pass it on to the new server \
                 (SCM_RIGHTS, inherited descriptors)."
            }
        };
        let draining = "Accepting until EAGAIN before the close saves connections in the accept \
             queue and not the handshakes in flight.";
        let on = self.run.environment.migrate_req.as_deref() == Some("1");
        let migrates = self.found("quiz1/", "/on") == Found::AsExpected;
        let wakes = !matches!(self.found("wake-up", ""), Found::KnownBug);
        let first = match self.run.environment.kernel.migration() {
            Migration::Works if migrates && !wakes => {
                "Update to a kernel that has 3864c6ba1e04 before you rely on \
                 net.ipv4.tcp_migrate_req = 1; until then connections can stall instead of \
                 being reset."
            }
            Migration::Works if migrates && on => {
                "Nothing, if every listener of a port is set up alike: tcp_migrate_req is 1 \
                 here. It belongs to a network namespace, so that every container has its own."
            }
            Migration::Works if migrates => {
                "If a server here closes listeners at a reload and all listeners of its port are \
                 set up alike, let the kernel hand connections over: \
                 `sysctl -w net.ipv4.tcp_migrate_req=1`. The setting belongs to a network \
                 namespace, so that every container has its own."
            }
            Migration::Works => {
                "Do not rely on net.ipv4.tcp_migrate_req here before the above is \
                 understood."
            }
            Migration::SysctlOnly | Migration::Absent => {
                "This kernel cannot hand connections over; Linux 5.14 and later can."
            }
        };
        [first, keep_open, draining].map(str::to_owned).into()
    }

    fn deviations(&self) -> String {
        let mut text = String::new();
        for (id, verdict) in self.verdicts {
            if let Verdict::Fail { mismatches } = verdict {
                let wrong: Vec<&str> = mismatches.iter().map(|m| m.what.as_str()).collect();
                text.push_str(&item(&format!("{id}: {}", wrong.join(", "))));
            }
        }
        match text.is_empty() {
            true => text,
            false => format!("\n{}\n{text}", self.style.red("Deviations")),
        }
    }

    /// The bugs that this kernel is known for, each once. The lost wake-up is told above.
    fn known_bugs(&self) -> String {
        let mut told: Vec<&str> = Vec::new();
        let mut text = String::new();
        for (id, verdict) in self.verdicts {
            let Verdict::KnownBug { reason, fix, .. } = verdict else { continue };
            if told.contains(&reason.as_str()) || id.starts_with("wake-up/") {
                continue;
            }
            told.push(reason);
            let fix = match fix {
                Some(fix) => format!("Fixed by {fix}."),
                None => "No fix is known.".into(),
            };
            let case = self.case(id);
            text.push_str(&item(&format!("{reason} {fix} (sockmig explain {case})")));
        }
        match text.is_empty() {
            true => text,
            false => format!("\n{}\n{text}", self.style.bold("Known bugs of this kernel")),
        }
    }

    /// The case's name without its setting.
    fn case<'i>(&self, id: &'i str) -> &'i str {
        let selected = self.run.selection.iter().find(|selected| selected.id() == *id);
        selected.map_or(id, |selected| &id[..selected.case.name.len()])
    }

    /// What was not checked, by reason.
    fn not_checked(&self, end: &End<'_>) -> String {
        let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
        for (id, verdict) in self.verdicts {
            if let Verdict::Skip { reason } | Verdict::Error { reason } = verdict {
                let reason = match requirement::is_about_patience(reason) {
                    true => "long timers; sockmig run --long waits for them",
                    false => reason,
                };
                match reasons.iter_mut().find(|(known, _)| *known == reason) {
                    Some((_, ids)) => ids.push(id),
                    None => reasons.push((reason, vec![id])),
                }
            }
        }
        let mut text = String::new();
        for (reason, ids) in reasons {
            let more = match ids.len() {
                1 => String::new(),
                count => format!(" and {} more", count - 1),
            };
            let reason = reason.trim_end_matches('.');
            text.push_str(&item(&format!("{}{more}: {reason}", ids[0])));
        }
        match end.ending {
            Ending::Complete => {}
            Ending::Interrupted { not_run } => {
                text.push_str(&item(&format!("{not_run} cases: interrupted")));
            }
            Ending::NoLab { why, not_run } => {
                text.push_str(&item(&format!("{not_run} cases: {why}")));
            }
        }
        match text.is_empty() {
            true => text,
            false => format!("\n{}\n{text}", self.style.bold("Not checked")),
        }
    }
}

fn bullet(text: &str) -> String {
    indented(text, "    - ", "      ")
}

fn item(text: &str) -> String {
    indented(text, "  - ", "    ")
}

fn indented(text: &str, first: &str, others: &str) -> String {
    let mut indent = first;
    let mut shown = String::new();
    for line in wrap(text, COLUMNS - first.len()) {
        let _ = writeln!(shown, "{indent}{line}");
        indent = others;
    }
    shown
}
