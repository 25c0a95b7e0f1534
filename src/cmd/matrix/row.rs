//! One kernel of a matrix: booted, and booted again after a case that ended it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use harness::kernel::taint::Taint;
use scenarios::case::Selected;
use scenarios::engine::{self, Ending, FailureCount, Observed, Outcome};
use scenarios::judge::{Mismatch, Verdict};
use vm::machine::end::{EarlyEnd, EndReason};
use vm::machine::host::{Host, NotUp};
use vm::machine::running::CONSOLE;

use crate::machine::guest::Task;
use crate::machine::session::{self, Report};
use crate::machine::user_list::UserList;
use crate::output::consumer::{End, Run};
use crate::output::document::{
    CaseDocument, Complaint, KernelDocument, MachineArchitecture, MachineDocument, MachineEnd,
    RunDocument, milliseconds,
};
use crate::output::file::OutDirectory;
use crate::output::matrix::event::Stage;
use crate::output::totals::Totals;

/// A kernel that ends again and again is not started more often.
const RESTARTS: u32 = 20;

/// One that has hung is started once more, for the cases that are left. If it hangs again, each
/// time would be a long wait for nothing.
const HANGS: u32 = 2;

/// How cases are run in a guest.
#[derive(Debug, Clone, Copy)]
pub struct RunOptions {
    /// How many at a time.
    pub jobs: usize,
    /// When a case hangs, by the guest's clock.
    pub deadline: Option<Duration>,
    /// Every case has a kernel of its own.
    pub fresh: bool,
    /// The traces of cases that passed are kept, too. Those of one kernel take some 100 MB.
    pub every_trace: bool,
}

/// What a row reports while it is filled.
pub enum RowEvent {
    /// What is being done.
    Stage(Stage),
    /// A case ended.
    Finished(Box<Outcome>),
    /// Something could not be written.
    WriteError(anyhow::Error),
}

/// A row while it is filled.
pub struct KernelRow<'r> {
    options: RunOptions,
    known: Option<&'r UserList>,
    out: Option<&'r OutDirectory>,
    /// Those of the whole matrix.
    failures: &'r FailureCount,
    report: &'r dyn Fn(RowEvent),
    found: Found,
    /// Cases that were not run yet, in order.
    left: Vec<Selected>,
}

/// What was found so far.
#[derive(Default)]
struct Found {
    run: Option<Run>,
    cases: Vec<CaseDocument>,
    totals: Totals,
    complaints: Vec<Complaint>,
    missing: Vec<String>,
    end: Option<(MachineEnd, String)>,
    boot: Option<Duration>,
    restarts: u32,
    hangs: u32,
}

impl<'r> KernelRow<'r> {
    /// An empty row.
    pub fn new(
        selection: Vec<Selected>,
        options: RunOptions,
        known: Option<&'r UserList>,
        out: Option<&'r OutDirectory>,
        failures: &'r FailureCount,
        report: &'r dyn Fn(RowEvent),
    ) -> Self {
        Self { options, known, out, failures, report, found: Found::default(), left: selection }
    }

    /// Runs the cases on machines of `host`'s, until none is left or there is no point in
    /// going on.
    pub fn fill(mut self, name: &str, host: &Host) -> KernelDocument {
        let started = Instant::now();
        let all = self.left.len();
        (self.report)(RowEvent::Stage(Stage::Booting));
        while !self.left.is_empty() && self.go_on(host) {}
        self.document(name, host, started.elapsed(), all)
    }

    /// Boots once and runs what is left. Says whether another machine may do more.
    fn go_on(&mut self, host: &Host) -> bool {
        if self.failures.is_reached() {
            self.settle((MachineEnd::EnoughFailed, String::new()));
            return false;
        }
        let booted = match self.options.fresh {
            true => host.restore(),
            false => host.boot(),
        };
        let machine = match booted {
            Ok((machine, up)) => {
                self.found.boot.get_or_insert(up.took);
                if self.found.missing.is_empty() {
                    self.found.missing = up.missing;
                }
                self.found.missing.extend(up.first.map(|end| format!("its first start: {end}")));
                machine
            }
            Err(not_up) => {
                self.settle(end_of_boot(not_up));
                self.keep(host);
                return false;
            }
        };
        let ids = match self.options.fresh {
            true => vec![self.left[0].id()],
            false => self.left.iter().map(Selected::id).collect(),
        };
        let RunOptions { jobs, deadline, .. } = self.options;
        let named = self.left.iter().filter(|one| one.named).map(Selected::id).collect();
        let task = Task::Cases { ids, named, jobs, deadline, known: self.known.cloned() };
        let mut running: Vec<String> = Vec::new();
        let silence = self.silence();
        let end = session::run(machine, &task, silence, |said| self.hear(said, &mut running));
        self.keep_console(host, &end);
        match end {
            session::End::Done => self.options.fresh,
            session::End::Stopped => {
                self.settle((MachineEnd::EnoughFailed, String::new()));
                false
            }
            session::End::NoLab(why) => {
                self.settle((MachineEnd::CannotBoot { why }, String::new()));
                false
            }
            session::End::EndedEarly(end) => self.outlive(*end, &running),
        }
    }

    /// A machine of one case's own has nothing to say unless it died.
    fn keep_console(&self, host: &Host, end: &session::End) {
        if !self.options.fresh || matches!(end, session::End::EndedEarly(_)) {
            self.keep(host);
        }
    }

    fn keep(&self, host: &Host) {
        let Some(out) = self.out else { return };
        let printed = std::fs::read(host.directory().join(CONSOLE)).unwrap_or_default();
        if let Err(e) = out.keep_console(&printed) {
            (self.report)(RowEvent::WriteError(e));
        }
    }

    /// How long nothing may be heard of a guest while these cases run: it kills a case that
    /// hangs, and says so. Of a kernel that has hung before, nobody waits as long again.
    fn silence(&self) -> impl Fn(&[String]) -> Duration + use<> {
        let deadlines: BTreeMap<String, Duration> =
            self.left.iter().map(|one| (one.id(), engine::default_deadline(one))).collect();
        let (given, has_hung) = (self.options.deadline, self.found.hangs > 0);
        move |running| {
            let known = running.iter().filter_map(|id| deadlines.get(id)).max();
            let longest = known.or(deadlines.values().max()).copied().unwrap_or_default();
            // In a guest deadlines are three times as long, since it knows that it is slow.
            let usual = given.unwrap_or(longest * 3) + Duration::from_secs(30);
            if has_hung { (usual / 4).max(Duration::from_secs(30)) } else { usual }
        }
    }

    /// Notes what a machine reports. Says whether it is to go on.
    fn hear(&mut self, report: Report, running: &mut Vec<String>) -> ControlFlow<()> {
        match report {
            Report::Environment(environment) => {
                let RunOptions { jobs, .. } = self.options;
                self.found.run.get_or_insert_with(|| Run {
                    environment: *environment,
                    selection: self.left.clone(),
                    rounds: 1,
                    jobs,
                });
            }
            Report::Started(id) => {
                running.push(id.clone());
                (self.report)(RowEvent::Stage(Stage::Running { id }));
            }
            Report::Finished(outcome) => {
                running.retain(|id| *id != outcome.id);
                self.take(*outcome);
            }
            Report::Complaint(complaint) => self.found.complaints.push(complaint),
        }
        match self.failures.is_reached() && !self.left.is_empty() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    /// Notes the outcome of a case.
    fn take(&mut self, outcome: Outcome) {
        let selected = self.left.iter().find(|selected| selected.id() == outcome.id).copied();
        self.left.retain(|selected| selected.id() != outcome.id);
        let kept = match self.out.filter(|_| !outcome.pcapng.is_empty()) {
            None => Ok(None),
            Some(out) => out.keep_capture(&outcome.id, &outcome.pcapng).map(Some),
        };
        let capture = kept.unwrap_or_else(|e| {
            (self.report)(RowEvent::WriteError(e));
            None
        });
        self.found.totals.count(&outcome.verdict, &outcome.discarded);
        self.failures.count(&outcome.verdict);
        let capture = capture.map(|path| path.display().to_string());
        let case = selected.map(|selected| selected.case);
        let has_passed = matches!(outcome.verdict, Verdict::Pass { .. });
        self.found.cases.push(match has_passed && !self.options.every_trace {
            true => CaseDocument::without_trace(&outcome, case, capture),
            false => CaseDocument::of(&outcome, case, capture),
        });
        (self.report)(RowEvent::Finished(Box::new(outcome)));
    }

    /// A machine has ended while cases ran. Says whether to start another.
    fn outlive(&mut self, end: EarlyEnd, running: &[String]) -> bool {
        let EarlyEnd { reason, console } = end;
        match running {
            // Nobody knows who it was: each of them alone will show it.
            [_, _, ..] => self.options.jobs = 1,
            [id] if reason != EndReason::Interrupted => self.take(ended_by(id, &reason)),
            _ => {}
        }
        self.found.hangs += u32::from(matches!(reason, EndReason::Hung { .. }));
        let goes_on = match reason {
            EndReason::Panicked { .. } | EndReason::OutOfMemory { .. } | EndReason::Hung { .. } => {
                self.found.hangs < HANGS
            }
            EndReason::NeverBooted(_)
            | EndReason::Died(_)
            | EndReason::Garbage(_)
            | EndReason::Interrupted => false,
        };
        let suspects = running.to_vec();
        self.settle((end_of(&reason), console));
        self.left.sort_by_key(|selected| !suspects.contains(&selected.id()));
        if !goes_on || running.is_empty() || self.found.restarts == RESTARTS {
            return false;
        }
        self.found.restarts += 1;
        (self.report)(RowEvent::Stage(Stage::Restarting));
        true
    }

    /// The first end of a kernel's machines is the one that is reported.
    fn settle(&mut self, end: (MachineEnd, String)) {
        self.found.end.get_or_insert(end);
    }

    fn document(self, name: &str, host: &Host, took: Duration, all: usize) -> KernelDocument {
        let Self { options, found, left, failures, .. } = self;
        let Found {
            run,
            cases,
            mut totals,
            complaints,
            missing,
            end: machine_end,
            boot,
            restarts,
            ..
        } = found;
        let (machine_end, console) = machine_end.unwrap_or((MachineEnd::Completed, String::new()));
        let not_run = left.len();
        let ending = match machine_end {
            MachineEnd::Interrupted => Ending::Interrupted { not_run },
            _ if not_run > 0 && failures.is_reached() => Ending::EnoughFailed { not_run },
            _ if not_run > 0 && not_run < all => {
                Ending::NoLab { why: "the machine ended".into(), not_run }
            }
            _ => Ending::Complete,
        };
        totals.end(&ending);
        // What tainted it is shown as a complaint, with the case that did it.
        let end = End { ending: &ending, totals: &totals, took, tainted: Taint::default() };
        KernelDocument {
            name: name.to_owned(),
            end: machine_end,
            machine: boot.map(|boot| MachineDocument {
                engine: host.engine().to_owned(),
                architecture: MachineArchitecture::Known(host.architecture()),
                clock: host.clock().name().to_owned(),
                fresh: options.fresh,
                boot_ms: milliseconds(boot),
                took_ms: milliseconds(took),
                restarts,
            }),
            complaints,
            missing,
            console,
            run: run.map(|run| RunDocument::of(&run, &end, cases)),
        }
    }
}

/// The outcome of a case that its kernel did not survive.
fn ended_by(id: &str, reason: &EndReason) -> Outcome {
    let verdict = match reason {
        EndReason::Panicked { line } => Verdict::Fail {
            mismatches: vec![Mismatch {
                what: "the kernel".into(),
                expected: vec!["to go on".into()],
                actual: line.to_owned(),
                trace_line: None,
            }],
        },
        _ => Verdict::Error { reason: format!("the machine was lost while it ran: {reason}") },
    };
    Outcome {
        id: id.to_owned(),
        round: 1,
        verdict,
        discarded: vec![],
        seen: Observed::default(),
        pcapng: vec![],
        took: Duration::ZERO,
    }
}

fn end_of(reason: &EndReason) -> MachineEnd {
    let why = reason.to_string();
    match reason {
        EndReason::NeverBooted(_) => MachineEnd::NeverBooted { why },
        EndReason::Panicked { .. } => MachineEnd::Panicked { why },
        EndReason::OutOfMemory { .. } => MachineEnd::OutOfMemory { why },
        EndReason::Hung { .. } => MachineEnd::Hung { why },
        EndReason::Died(_) => MachineEnd::Died { why },
        EndReason::Garbage(_) => MachineEnd::Garbage { why },
        EndReason::Interrupted => MachineEnd::Interrupted,
    }
}

fn end_of_boot(not_up: NotUp) -> (MachineEnd, String) {
    match not_up {
        NotUp::EndedEarly(end) => (end_of(&end.reason), end.console),
        other => (MachineEnd::CannotBoot { why: other.to_string() }, String::new()),
    }
}
