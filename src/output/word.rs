//! The result of a case on a kernel, in a word; and words counted.

use std::collections::BTreeMap;

use scenarios::judge::Verdict;
use serde::Serialize;

use crate::output::document::KernelDocument;
use crate::style::Style;

/// The result of a case, its worst round. In the order in which one hides another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Word {
    /// It says nothing about this kernel.
    Skip,
    /// As expected.
    Ok,
    /// The kernel deviates as it is known to.
    Known,
    /// Selected, and without a verdict.
    NotRun,
    /// The laboratory broke.
    Error,
    /// The kernel deviates.
    Fail,
}

impl Word {
    /// All of them, the worst first.
    pub const WORST_FIRST: [Self; 6] =
        [Self::Fail, Self::Error, Self::NotRun, Self::Known, Self::Ok, Self::Skip];

    /// The word of a verdict.
    pub fn of(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Pass { .. } => Self::Ok,
            Verdict::Fail { .. } => Self::Fail,
            Verdict::Skip { .. } => Self::Skip,
            Verdict::KnownBug { .. } => Self::Known,
            Verdict::Error { .. } => Self::Error,
        }
    }

    /// As a cell shows it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Ok => "ok",
            Self::Known => "KNOWN",
            Self::NotRun => "-",
            Self::Error => "error",
            Self::Fail => "FAIL",
        }
    }

    /// As a sentence has it.
    pub fn spoken(self) -> &'static str {
        match self {
            Self::NotRun => "not run",
            other => other.text(),
        }
    }

    /// What the legend says.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Skip => "says nothing about this kernel; the reason is below",
            Self::Ok => "as it must be",
            Self::Known => "a known bug of this kernel; shown below",
            Self::NotRun => "not run",
            Self::Error => "the laboratory broke; nothing was learned about the kernel",
            Self::Fail => "the kernel deviates; shown below",
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}

/// The result of a case on a kernel, all its rounds together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CaseResult {
    /// Its worst word.
    pub word: Word,
    /// Some round failed in a discarded try, and not in the last one.
    pub flaky: bool,
}

impl From<Word> for CaseResult {
    /// Of a case that is not flaky.
    fn from(word: Word) -> Self {
        Self { word, flaky: false }
    }
}

/// The result of every case that has a verdict on a kernel, by its id.
pub fn results(kernel: &KernelDocument) -> BTreeMap<&str, CaseResult> {
    let mut results = BTreeMap::new();
    for case in kernel.run.iter().flat_map(|run| &run.cases) {
        let word = Word::of(&case.verdict);
        let known = results.entry(case.id.as_str()).or_insert(CaseResult::from(word));
        known.word = word.max(known.word);
        known.flaky |= case.is_flaky();
    }
    results
}

/// The word of every case that has a verdict on a kernel, by its id.
pub fn words(kernel: &KernelDocument) -> BTreeMap<&str, Word> {
    results(kernel).into_iter().map(|(id, result)| (id, result.word)).collect()
}

/// The result of each of `cases` on a kernel.
pub fn row(kernel: &KernelDocument, cases: &[String]) -> Vec<CaseResult> {
    let results = results(kernel);
    let not_run = CaseResult::from(Word::NotRun);
    cases.iter().map(|id| results.get(id.as_str()).copied().unwrap_or(not_run)).collect()
}

/// Colours a word by its meaning, which the word itself also says.
pub fn coloured(style: Style, word: Word, text: &str) -> String {
    match word {
        Word::Ok => style.green(text),
        Word::Fail | Word::Error => style.red(text),
        Word::Known | Word::NotRun => style.yellow(text),
        Word::Skip => text.to_owned(),
    }
}

/// How a cell of a table marks that one of its cases is flaky.
pub const FLAKY_MARK: &str = "*";

/// What a legend says of that mark.
pub const FLAKY_MEANING: &str =
    "a case failed in a slow lab, and did not when it was tried again; shown below";

/// How many cases have which word, and how many of them are flaky.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    words: [usize; 6],
    flaky: usize,
}

impl Tally {
    /// Counts a result.
    pub fn count(&mut self, result: CaseResult) {
        self.words[result.word.index()] += 1;
        self.flaky += usize::from(result.flaky);
    }

    /// Counts another tally's words too.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.words.iter_mut().zip(other.words) {
            *mine += theirs;
        }
        self.flaky += other.flaky;
    }

    /// How many have this word.
    pub fn of(&self, word: Word) -> usize {
        self.words[word.index()]
    }

    /// How many are flaky, whatever their words.
    pub fn flaky(&self) -> usize {
        self.flaky
    }

    /// How many there are.
    pub fn total(&self) -> usize {
        self.words.iter().sum()
    }

    /// The worst word among them; none if there is none.
    pub fn worst(&self) -> Option<Word> {
        Word::WORST_FIRST.into_iter().find(|word| self.of(*word) > 0)
    }

    /// `ok 12`; `FAIL 1/12` when the other eleven are better; `ok` for a single case. With a
    /// [mark](FLAKY_MARK) behind the word if one of them is flaky.
    pub fn cell(&self) -> String {
        let Some(worst) = self.worst() else { return String::new() };
        let (count, total) = (self.of(worst), self.total());
        let mark = if self.flaky > 0 { FLAKY_MARK } else { "" };
        let word = format!("{}{mark}", worst.text());
        match (worst, count, total) {
            (_, _, 1) => word,
            // Nothing was run: a count would look like a result.
            (Word::NotRun, _, _) if count == total => word,
            _ if count == total => format!("{word} {total}"),
            _ => format!("{word} {count}/{total}"),
        }
    }

    /// Every word that occurs, with its count, and how many are flaky: `1 FAIL, 3 KNOWN, 8 ok;
    /// 1 flaky`.
    pub fn brief(&self) -> String {
        let occur = Word::WORST_FIRST.into_iter().filter(|word| self.of(*word) > 0);
        let counted = occur.map(|word| format!("{} {}", self.of(word), word.spoken()));
        let counted = counted.collect::<Vec<_>>().join(", ");
        let counted = if counted.is_empty() { "no cases".into() } else { counted };
        if self.flaky > 0 { format!("{counted}; {} flaky", self.flaky) } else { counted }
    }
}

impl FromIterator<CaseResult> for Tally {
    fn from_iter<I: IntoIterator<Item = CaseResult>>(results: I) -> Self {
        let mut tally = Self::default();
        results.into_iter().for_each(|result| tally.count(result));
        tally
    }
}

impl FromIterator<Word> for Tally {
    fn from_iter<I: IntoIterator<Item = Word>>(words: I) -> Self {
        words.into_iter().map(CaseResult::from).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(&[], "")]
    #[case(&[(Word::Ok, 1)], "ok")]
    #[case(&[(Word::Ok, 12)], "ok 12")]
    #[case(&[(Word::Ok, 9), (Word::Skip, 3)], "ok 9/12")]
    #[case(&[(Word::Ok, 9), (Word::Known, 3)], "KNOWN 3/12")]
    #[case(&[(Word::Known, 11), (Word::Fail, 1)], "FAIL 1/12")]
    #[case(&[(Word::Known, 10), (Word::Error, 2)], "error 2/12")]
    #[case(&[(Word::Error, 2), (Word::Fail, 1)], "FAIL 1/3")]
    #[case(&[(Word::Skip, 12)], "skip 12")]
    #[case(&[(Word::NotRun, 12)], "-")]
    #[case(&[(Word::NotRun, 7), (Word::Ok, 5)], "- 7/12")]
    #[case(&[(Word::Known, 7), (Word::Ok, 5)], "KNOWN 7/12")]
    fn a_cell_says_the_worst(#[case] counts: &[(Word, usize)], #[case] cell: &str) {
        let words = counts.iter().flat_map(|(word, count)| std::iter::repeat_n(*word, *count));
        assert_eq!(words.collect::<Tally>().cell(), cell);
    }

    #[test]
    fn a_cell_and_a_count_say_what_is_flaky() {
        let flaky = |word| CaseResult { word, flaky: true };
        assert_eq!([flaky(Word::Ok)].into_iter().collect::<Tally>().cell(), "ok*");
        let several = [Word::Ok.into(), flaky(Word::Ok), Word::Fail.into()];
        let tally: Tally = several.into_iter().collect();
        assert_eq!((&*tally.cell(), &*tally.brief()), ("FAIL* 1/3", "1 FAIL, 2 ok; 1 flaky"));
    }

    #[test]
    fn the_order_of_the_words_is_the_order_of_their_list() {
        assert!(Word::WORST_FIRST.is_sorted_by(|a, b| a > b));
    }
}
