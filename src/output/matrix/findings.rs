//! What a matrix has to say in addition to its table; things that are alike are shown once.

use std::collections::BTreeMap;

use harness::kernel::Kernel;
use scenarios::judge::{Mismatch, NamedBug, SkipReason, Verdict, VersionSays};
use scenarios::report::Retried;

use crate::output::document::{
    CaseDocument, Complaint, KernelDocument, MachineDocument, MatrixDocument,
};
use crate::output::fixes::Fixes;
use crate::output::word::{self, Tally};

/// Everything that wants an explanation. Kernels are shown by their place in the document,
/// in its order.
#[derive(Debug, Default)]
pub struct Findings<'d> {
    /// Machines that did not just complete.
    pub ends: Vec<&'d KernelDocument>,
    /// Failures and errors: the same case that goes wrong alike is one of them.
    pub wrong: Vec<Wrong<'d>>,
    /// Cases that failed in a discarded try, and not in the last one.
    pub flaky: Vec<RetriedCase<'d>>,
    /// Other cases that were tried more than once.
    pub retried: Vec<RetriedCase<'d>>,
    /// Known bugs.
    pub bugs: Vec<Bug<'d>>,
    /// Fixes that kernels have and their versions have not: the bug, and where it was not seen.
    pub fixes: Vec<Group<String>>,
    /// Kernels whose base is not known, by the reason.
    pub bases: Vec<Group<String>>,
    /// What the kernels' logs complained of: the first line, and where.
    pub complaints: Vec<(&'d str, Vec<(usize, &'d Complaint)>)>,
    /// Skips by their reason.
    pub skips: Vec<Group<&'d SkipReason>>,
    /// What guests had to do without.
    pub missing: Vec<Group<&'d str>>,
    /// How machines were run: engine and clock.
    pub machines: Vec<Group<String>>,
    /// What held the final ACKs.
    pub gates: Vec<Group<String>>,
    /// Machines that had to be started again, and how often.
    pub restarts: Vec<(usize, u32)>,
}

/// Something said of several kernels.
#[derive(Debug, PartialEq, Eq)]
pub struct Group<T> {
    /// What.
    pub what: T,
    /// Of which kernels.
    pub kernels: Vec<usize>,
    /// In which cases, if it is about cases.
    pub ids: Vec<String>,
}

/// A case that did not come out as it must.
#[derive(Debug)]
pub struct Wrong<'d> {
    /// The first run of the case with it.
    pub case: &'d CaseDocument,
    /// In what it deviates; nothing for an error.
    pub mismatches: &'d [Mismatch],
    /// Why the laboratory broke, for an error.
    pub broken: Option<&'d str>,
    /// The kernels, and in how many rounds of how many.
    pub kernels: Vec<(usize, u32, u32)>,
}

/// A case that was tried more than once.
#[derive(Debug)]
pub struct RetriedCase<'d> {
    /// On which kernel.
    pub kernel: usize,
    /// The case's id, and which round if there are several.
    pub title: String,
    /// How often, and what was seen.
    pub retried: Retried<'d>,
}

/// A known bug.
#[derive(Debug)]
pub struct Bug<'d> {
    /// What is wrong, and what fixes it.
    pub bug: &'d NamedBug,
    /// The kernels that have it.
    pub kernels: Vec<usize>,
    /// Those of them whose version says nothing of it.
    pub cannot_tell: Vec<usize>,
    /// The cases that show it.
    pub ids: Vec<&'d str>,
}

/// Gathers them.
pub fn findings(found: &MatrixDocument) -> Findings<'_> {
    let mut findings = Findings::default();
    for (at, kernel) in found.kernels.iter().enumerate() {
        if kernel.end.why().is_some() {
            findings.ends.push(kernel);
        }
        for complaint in &kernel.complaints {
            let line = complaint.text.lines().next().unwrap_or_default();
            let alike = findings.complaints.iter_mut().find(|(first_line, _)| *first_line == line);
            match alike {
                Some((_, places)) => places.push((at, complaint)),
                None => findings.complaints.push((line, vec![(at, complaint)])),
            }
        }
        for what in &kernel.missing {
            note(&mut findings.missing, what.as_str(), at, None);
        }
        if let Some(machine) = &kernel.machine {
            let fresh = if machine.fresh { ", a fresh kernel for each case" } else { "" };
            let how = format!("{}, {} clock{fresh}", machine.what(), machine.clock);
            note(&mut findings.machines, how, at, None);
            if machine.restarts > 0 {
                findings.restarts.push((at, machine.restarts));
            }
        }
        let Some(run) = &kernel.run else { continue };
        let probed = &run.environment.kernel;
        note(&mut findings.gates, gate(probed), at, None);
        if probed.base.version().is_none() {
            note(&mut findings.bases, probed.base.to_string(), at, None);
        }
        for bug in run.cases.iter().map(|case| &case.verdict).collect::<Fixes>().all() {
            note(&mut findings.fixes, bug.with_fix(), at, None);
        }
        for case in &run.cases {
            findings.note_case(at, case, run.rounds);
        }
    }
    findings
}

impl<'d> Findings<'d> {
    fn note_case(&mut self, at: usize, case: &'d CaseDocument, rounds: u32) {
        if let Some(retried) = Retried::of(&case.verdict, &case.discarded) {
            let title = match rounds {
                1 => case.id.clone(),
                _ => format!("{} run {}", case.id, case.round),
            };
            let among = if retried.is_flaky() { &mut self.flaky } else { &mut self.retried };
            among.push(RetriedCase { kernel: at, title, retried });
        }
        match &case.verdict {
            Verdict::Pass { .. } => {}
            Verdict::Skip { reason } => note(&mut self.skips, reason, at, Some(&case.id)),
            Verdict::KnownBug { bug, version, .. } => self.note_bug(at, case, bug, *version),
            Verdict::Fail { mismatches } => self.note_wrong(at, case, mismatches, None, rounds),
            Verdict::Error { reason } => self.note_wrong(at, case, &[], Some(reason), rounds),
        }
    }

    fn note_bug(
        &mut self,
        at: usize,
        case: &'d CaseDocument,
        named: &'d NamedBug,
        version: VersionSays,
    ) {
        let alike = self.bugs.iter().position(|bug| bug.bug == named).unwrap_or_else(|| {
            let (kernels, cannot_tell, ids) = (vec![], vec![], vec![]);
            self.bugs.push(Bug { bug: named, kernels, cannot_tell, ids });
            self.bugs.len() - 1
        });
        let bug = &mut self.bugs[alike];
        if !bug.kernels.contains(&at) {
            bug.kernels.push(at);
        }
        if version == VersionSays::CannotTell && !bug.cannot_tell.contains(&at) {
            bug.cannot_tell.push(at);
        }
        if !bug.ids.contains(&case.id.as_str()) {
            bug.ids.push(&case.id);
        }
    }

    fn note_wrong(
        &mut self,
        at: usize,
        case: &'d CaseDocument,
        mismatches: &'d [Mismatch],
        broken: Option<&'d str>,
        rounds: u32,
    ) {
        let alike = self.wrong.iter_mut().find(|wrong| {
            wrong.case.id == case.id
                && wrong.broken == broken
                && same_deviation(wrong.mismatches, mismatches)
        });
        match alike {
            Some(wrong) => match wrong.kernels.last_mut() {
                Some((last, times, _)) if *last == at => *times += 1,
                _ => wrong.kernels.push((at, 1, rounds)),
            },
            None => {
                self.wrong.push(Wrong { case, mismatches, broken, kernels: vec![(at, 1, rounds)] });
            }
        }
    }
}

/// What holds the final ACKs in the labs of a kernel.
pub fn gate(kernel: &Kernel) -> String {
    kernel.gate.as_ref().map_or_else(|_| "nothing".into(), ToString::to_string)
}

/// Whether two runs deviate alike. The line of the trace where they do so may differ.
fn same_deviation(one: &[Mismatch], other: &[Mismatch]) -> bool {
    let compared = |mismatch: &Mismatch| {
        (mismatch.what.clone(), mismatch.expected.clone(), mismatch.actual.clone())
    };
    one.iter().map(compared).eq(other.iter().map(compared))
}

fn note<T: PartialEq>(groups: &mut Vec<Group<T>>, what: T, kernel: usize, id: Option<&String>) {
    let at = groups.iter().position(|group| group.what == what).unwrap_or_else(|| {
        groups.push(Group { what, kernels: vec![], ids: vec![] });
        groups.len() - 1
    });
    let group = &mut groups[at];
    if !group.kernels.contains(&kernel) {
        group.kernels.push(kernel);
    }
    if let Some(id) = id
        && !group.ids.contains(id)
    {
        group.ids.push(id.clone());
    }
}

/// Kernels by name; `all 13 kernels` when it is all of several.
pub fn names(found: &MatrixDocument, kernels: &[usize]) -> String {
    match found.kernels.len() {
        all if all > 2 && kernels.len() == all => format!("all {all} kernels"),
        _ => {
            let names: Vec<&str> = kernels.iter().map(|at| &*found.kernels[*at].name).collect();
            names.join(", ")
        }
    }
}

impl Wrong<'_> {
    /// `FAIL` or `error`.
    pub fn word(&self) -> &'static str {
        word::Word::of(&self.case.verdict).text()
    }

    /// The kernels, and how often on each if not in every round.
    pub fn where_it_is(&self, found: &MatrixDocument) -> String {
        if self.kernels.iter().all(|(_, times, rounds)| times == rounds) {
            let kernels: Vec<usize> = self.kernels.iter().map(|(at, ..)| *at).collect();
            return names(found, &kernels);
        }
        let often = self.kernels.iter().map(|(at, times, rounds)| {
            format!("{} ({times} of {rounds} rounds)", found.kernels[*at].name)
        });
        often.collect::<Vec<_>>().join(", ")
    }

    /// The command that runs it again.
    pub fn again(&self, found: &MatrixDocument) -> String {
        // A kernel without a machine is that of the computer itself.
        let here = |at: &usize| found.kernels[*at].machine.is_none();
        if self.kernels.iter().any(|(at, ..)| here(at)) {
            return format!("sockmig run {} --trace --out DIR", shell_word(&self.case.id));
        }
        let mut command = "sockmig matrix".to_owned();
        for (at, ..) in &self.kernels {
            command += &format!(" --kernel {}", shell_word(&found.kernels[*at].name));
        }
        let machines =
            self.kernels.iter().filter_map(|(at, ..)| found.kernels[*at].machine.as_ref());
        let options = machines.map(MachineDocument::option_for_guests).max().unwrap_or_default();
        format!("{command}{options} {}", self.case.id)
    }
}

/// A word of a command: a file's name may need quotes.
pub fn shell_word(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-+~:/=@,".contains(c);
    if !name.is_empty() && name.chars().all(plain) {
        return name.to_owned();
    }
    format!("'{}'", name.replace('\'', r"'\''"))
}

/// `13 kernels: 11 completed, 1 panicked, 1 cannot fetch`.
pub fn kernels_line(found: &MatrixDocument) -> String {
    let mut counts: BTreeMap<(bool, &str), usize> = BTreeMap::new();
    for kernel in &found.kernels {
        *counts.entry((kernel.end.why().is_some(), kernel.end.word())).or_default() += 1;
    }
    let counted = counts.iter().map(|((_, word), count)| format!("{count} {word}"));
    let counted = counted.collect::<Vec<_>>().join(", ");
    let plural = if found.kernels.len() == 1 { "" } else { "s" };
    format!("{} kernel{plural}: {counted}", found.kernels.len())
}

/// `156 cells: 3 FAIL, 140 ok, 13 skip`.
pub fn cells_line(all: &Tally) -> String {
    let plural = if all.total() == 1 { "" } else { "s" };
    format!("{} cell{plural}: {}", all.total(), all.brief())
}
