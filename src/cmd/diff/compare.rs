//! Two matrices, and what became different. Pure.

use std::collections::BTreeMap;
use std::fmt;

use scenarios::judge::Verdict;
use serde::Serialize;

use crate::output::document::{Blame, KernelDocument, MatrixDocument};
use crate::output::word::{Word, words};

/// What a difference means. In the order in which they are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Meaning {
    /// Worse than before. Only these make the exit code 1.
    Regression,
    /// There was a verdict about the kernel, and there no longer is.
    NoLongerSaid,
    /// Better than before.
    Fix,
    /// There is a verdict about the kernel where there was none, and it is not worse.
    NowSaid,
    /// Different, neither better nor worse.
    Otherwise,
    /// Only the second document has it.
    New,
    /// Only the first document has it.
    Gone,
}

impl Meaning {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Regression,
        Self::NoLongerSaid,
        Self::Fix,
        Self::NowSaid,
        Self::Otherwise,
        Self::New,
        Self::Gone,
    ];

    /// What stands above them.
    pub fn heading(self) -> &'static str {
        match self {
            Self::Regression => "Regressions",
            Self::NoLongerSaid => "No longer said",
            Self::Fix => "Fixes",
            Self::NowSaid => "Said now",
            Self::Otherwise => "Changed otherwise",
            Self::New => "New",
            Self::Gone => "Gone",
        }
    }
}

/// A case on a kernel that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What it means.
    pub meaning: Meaning,
    /// The kernel; both, if kernels of different names were compared.
    pub kernel: String,
    /// The case.
    pub id: String,
    /// Its result before; nothing if it is new.
    pub before: Option<Word>,
    /// Its result now; nothing if it is gone.
    pub after: Option<Word>,
    /// Why it is so now: the deviation, the known bug, the reason of a skip.
    pub detail: Option<String>,
}

/// A kernel as a whole that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KernelChange {
    /// What it means.
    pub meaning: Meaning,
    /// The kernel.
    pub kernel: String,
    /// In a sentence's part: `completed -> panicked: why`.
    pub what: String,
}

/// Everything that differs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Kernels as wholes.
    pub kernels: Vec<KernelChange>,
    /// Cases.
    pub cases: Vec<Change>,
    /// How many cells have the same result.
    pub same: usize,
    /// How many cells of the second document have no verdict.
    pub not_run: usize,
    /// How many cells both documents have.
    pub compared: usize,
}

/// What the second document does not say, though it could be asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Verdicts that there were, and are no more: skipped or not run.
    NoLongerSaid(usize),
    /// Cases and kernels that only the first document has.
    Gone(usize),
    /// Cases that were selected and have no verdict.
    NotRun(usize),
    /// The documents have nothing in common.
    NothingCompared,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLongerSaid(count) => write!(f, "{count} no longer said"),
            Self::Gone(count) => write!(f, "{count} gone"),
            Self::NotRun(count) => write!(f, "{count} not run"),
            Self::NothingCompared => f.write_str("nothing that both documents have"),
        }
    }
}

impl Difference {
    /// What keeps the second document from being an answer, for who is strict.
    pub fn missing(&self) -> Vec<Missing> {
        let counted = [
            (self.count(Meaning::NoLongerSaid), Missing::NoLongerSaid as fn(usize) -> Missing),
            (self.count(Meaning::Gone), Missing::Gone),
            (self.not_run, Missing::NotRun),
        ];
        let some = counted.into_iter().filter(|(count, _)| *count > 0);
        let nothing = (self.compared == 0).then_some(Missing::NothingCompared);
        some.map(|(count, missing)| missing(count)).chain(nothing).collect()
    }

    /// How many differences mean this, kernels' and cases'.
    pub fn count(&self, meaning: Meaning) -> usize {
        let kernels = self.kernels.iter().filter(|change| change.meaning == meaning).count();
        kernels + self.cases.iter().filter(|change| change.meaning == meaning).count()
    }
}

/// What it means that the result of a case was `before` and is now `after`; nothing if it is
/// the same.
pub fn meaning(before: Word, after: Word) -> Option<Meaning> {
    use Word::{Error, Fail, Known, NotRun, Ok, Skip};
    Some(match (before, after) {
        (Ok, Ok)
        | (Known, Known)
        | (Fail, Fail)
        | (Error, Error)
        | (Skip, Skip)
        | (NotRun, NotRun) => return None,
        (Skip | NotRun | Ok | Known | Error, Fail)
        | (Skip | NotRun | Ok | Known, Error)
        | (Ok, Known) => Meaning::Regression,
        (Known | Fail | Error, Ok) => Meaning::Fix,
        (Ok | Known | Fail, Skip | NotRun) => Meaning::NoLongerSaid,
        (Skip | NotRun, Ok | Known) | (Error, Known) => Meaning::NowSaid,
        (Fail, Known | Error) | (Error | Skip | NotRun, Skip | NotRun) => Meaning::Otherwise,
    })
}

/// Compares two matrices, kernel by kernel. If each has just one kernel they are compared
/// whatever they are called: that is how two kernels are compared.
pub fn compare(before: &MatrixDocument, after: &MatrixDocument) -> Difference {
    let mut difference = Difference::default();
    if let ([one], [other]) = (before.kernels.as_slice(), after.kernels.as_slice()) {
        let name = match one.name == other.name {
            true => one.name.clone(),
            false => format!("{} -> {}", one.name, other.name),
        };
        difference.pair(&name, (before, one), (after, other));
        return difference;
    }
    let find = |matrix: &'_ MatrixDocument, name: &str| {
        matrix.kernels.iter().position(|kernel| kernel.name == name)
    };
    for one in &before.kernels {
        match find(after, &one.name) {
            Some(at) => difference.pair(&one.name, (before, one), (after, &after.kernels[at])),
            None => difference.whole(Meaning::Gone, one),
        }
    }
    for other in after.kernels.iter().filter(|kernel| find(before, &kernel.name).is_none()) {
        difference.whole(Meaning::New, other);
    }
    difference
}

impl Difference {
    fn whole(&mut self, meaning: Meaning, kernel: &KernelDocument) {
        let tally = words(kernel).into_values().collect::<crate::output::word::Tally>();
        let what = format!("{}, {}", kernel.end.word(), tally.brief());
        self.kernels.push(KernelChange { meaning, kernel: kernel.name.clone(), what });
    }

    fn pair(
        &mut self,
        name: &str,
        (first, before): (&MatrixDocument, &KernelDocument),
        (second, after): (&MatrixDocument, &KernelDocument),
    ) {
        self.ends(name, before, after);
        let (old, new) = (cells(first, before), cells(second, after));
        // In the order of the second document, after it what is gone.
        let gone = first.cases.iter().filter(|id| !new.contains_key(id.as_str()));
        for id in second.cases.iter().chain(gone) {
            let (was, is) = (old.get(id.as_str()).copied(), new.get(id.as_str()).copied());
            self.not_run += usize::from(is == Some(Word::NotRun));
            self.compared += usize::from(was.is_some() && is.is_some());
            let detail = is.and_then(|word| detail(after, id, word));
            let meaning = match (was, is) {
                (Some(was), Some(is)) => meaning(was, is).or_else(|| {
                    let differs = match is {
                        Word::Fail => self::detail(before, id, was) != detail,
                        // A bug may be told in other words than it was.
                        Word::Known => seen(before, id, was) != seen(after, id, is),
                        _ => false,
                    };
                    differs.then_some(Meaning::Otherwise)
                }),
                (None, Some(_)) => Some(Meaning::New),
                (Some(_), None) => Some(Meaning::Gone),
                (None, None) => continue,
            };
            let Some(meaning) = meaning else {
                self.same += 1;
                continue;
            };
            let (kernel, id) = (name.to_owned(), id.clone());
            self.cases.push(Change { meaning, kernel, id, before: was, after: is, detail });
        }
    }

    fn ends(&mut self, name: &str, before: &KernelDocument, after: &KernelDocument) {
        let mut say = |meaning, what| {
            self.kernels.push(KernelChange { meaning, kernel: name.to_owned(), what });
        };
        let why = after.end.why().map_or(String::new(), |why| format!(": {why}"));
        let what = format!("{} -> {}{why}", before.end.word(), after.end.word());
        // A machine that ends as it did may give another reason: that is no difference.
        if before.end.word() != after.end.word() {
            let wrong = |blame| matches!(blame, Blame::Kernel | Blame::Laboratory);
            let (was, is) = (before.end.counts_as(), after.end.counts_as());
            say(
                match (wrong(was), wrong(is)) {
                    (false, true) => Meaning::Regression,
                    (true, false) if is == Blame::Nobody => Meaning::Fix,
                    (false, false) if was == Blame::Nobody => Meaning::NoLongerSaid,
                    (false, false) if is == Blame::Nobody => Meaning::NowSaid,
                    // A panic says more against a kernel than a machine that was lost.
                    (true, true) if is == Blame::Kernel => Meaning::Regression,
                    _ => Meaning::Otherwise,
                },
                what,
            );
        }
        let first = |kernel: &KernelDocument| {
            let complaint = kernel.complaints.first()?;
            Some(complaint.text.lines().next().unwrap_or_default().to_owned())
        };
        match (first(before), first(after)) {
            (None, Some(line)) => {
                say(Meaning::Regression, format!("its log complains now: {line}"));
            }
            (Some(line), None) if after.end.counts_as() == Blame::Nobody => {
                say(Meaning::Fix, format!("its log no longer complains: {line}"));
            }
            _ => {}
        }
    }
}

/// Every selected case of a kernel.
fn cells<'d>(matrix: &'d MatrixDocument, kernel: &'d KernelDocument) -> BTreeMap<&'d str, Word> {
    let mut cells: BTreeMap<&str, Word> =
        matrix.cases.iter().map(|id| (id.as_str(), Word::NotRun)).collect();
    cells.extend(words(kernel));
    cells
}

/// The verdict of a case, from the first round that has this word.
fn verdict<'d>(kernel: &'d KernelDocument, id: &str, word: Word) -> Option<&'d Verdict> {
    let mut verdicts = kernel.run.iter().flat_map(|run| &run.cases).filter(|case| case.id == id);
    verdicts.find_map(|case| (Word::of(&case.verdict) == word).then_some(&case.verdict))
}

/// In what a case deviates: each fact with its value.
fn seen<'d>(kernel: &'d KernelDocument, id: &str, word: Word) -> Vec<(&'d str, &'d str)> {
    let mismatches = verdict(kernel, id, word).map_or(&[][..], Verdict::mismatches);
    mismatches.iter().map(|fact| (fact.what.as_str(), fact.actual.as_str())).collect()
}

/// Why a case has its word.
fn detail(kernel: &KernelDocument, id: &str, word: Word) -> Option<String> {
    match verdict(kernel, id, word)? {
        Verdict::Pass { .. } => None,
        Verdict::Fail { mismatches } => {
            let sentences = mismatches.iter().map(|mismatch| {
                let expected = mismatch.expected.join(" or ");
                format!("{}: expected {expected}, actual {}", mismatch.what, mismatch.actual)
            });
            Some(sentences.collect::<Vec<_>>().join("; "))
        }
        Verdict::Skip { reason } => Some(reason.to_string()),
        Verdict::Error { reason } => Some(reason.clone()),
        Verdict::KnownBug { bug, .. } => Some(bug.to_string()),
    }
}
