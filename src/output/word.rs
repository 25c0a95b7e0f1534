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
    /// As it must be, where a known bug was expected.
    Stale,
    /// Selected, and without a verdict.
    NotRun,
    /// The laboratory broke.
    Error,
    /// The kernel deviates.
    Fail,
}

impl Word {
    /// All of them, the worst first.
    pub const WORST_FIRST: [Self; 7] =
        [Self::Fail, Self::Error, Self::NotRun, Self::Stale, Self::Known, Self::Ok, Self::Skip];

    /// The word of a verdict.
    pub fn of(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Pass { stale: None } => Self::Ok,
            Verdict::Pass { stale: Some(_) } => Self::Stale,
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
            Self::Stale => "stale",
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
            Self::Stale => "as it must be, though a known bug was expected",
            Self::NotRun => "not run",
            Self::Error => "the laboratory broke; nothing was learned about the kernel",
            Self::Fail => "the kernel deviates; shown below",
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}

/// The word of every case that has a verdict on a kernel, by its id.
pub fn words(kernel: &KernelDocument) -> BTreeMap<&str, Word> {
    let mut words = BTreeMap::new();
    for case in kernel.run.iter().flat_map(|run| &run.cases) {
        let word = Word::of(&case.verdict);
        let worst = words.entry(case.id.as_str()).or_insert(word);
        *worst = word.max(*worst);
    }
    words
}

/// The word of each of `cases` on a kernel.
pub fn row(kernel: &KernelDocument, cases: &[String]) -> Vec<Word> {
    let words = words(kernel);
    cases.iter().map(|id| words.get(id.as_str()).copied().unwrap_or(Word::NotRun)).collect()
}

/// Colours a word by its meaning, which the word itself also says.
pub fn coloured(style: Style, word: Word, text: &str) -> String {
    match word {
        Word::Ok => style.green(text),
        Word::Fail | Word::Error => style.red(text),
        Word::Known | Word::Stale | Word::NotRun => style.yellow(text),
        Word::Skip => text.to_owned(),
    }
}

/// How many cases have which word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally([usize; 7]);

impl Tally {
    /// Counts a word.
    pub fn count(&mut self, word: Word) {
        self.0[word.index()] += 1;
    }

    /// Counts another tally's words too.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }

    /// How many have this word.
    pub fn of(&self, word: Word) -> usize {
        self.0[word.index()]
    }

    /// How many there are.
    pub fn total(&self) -> usize {
        self.0.iter().sum()
    }

    /// The worst word among them; none if there is none.
    pub fn worst(&self) -> Option<Word> {
        Word::WORST_FIRST.into_iter().find(|word| self.of(*word) > 0)
    }

    /// `ok 12`; `FAIL 1/12` when the other eleven are better; `ok` for a single case.
    pub fn cell(&self) -> String {
        let Some(worst) = self.worst() else { return String::new() };
        let (word, count, total) = (worst.text(), self.of(worst), self.total());
        match (worst, count, total) {
            (_, _, 1) => word.into(),
            // Nothing was run: a count would look like a result.
            (Word::NotRun, _, _) if count == total => word.into(),
            _ if count == total => format!("{word} {total}"),
            _ => format!("{word} {count}/{total}"),
        }
    }

    /// Every word that occurs, with its count: `1 FAIL, 3 KNOWN, 8 ok`.
    pub fn brief(&self) -> String {
        let occur = Word::WORST_FIRST.into_iter().filter(|word| self.of(*word) > 0);
        let counted = occur.map(|word| format!("{} {}", self.of(word), word.spoken()));
        let counted = counted.collect::<Vec<_>>().join(", ");
        if counted.is_empty() { "no cases".into() } else { counted }
    }
}

impl FromIterator<Word> for Tally {
    fn from_iter<I: IntoIterator<Item = Word>>(words: I) -> Self {
        let mut tally = Self::default();
        words.into_iter().for_each(|word| tally.count(word));
        tally
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
    #[case(&[(Word::Known, 7), (Word::Stale, 5)], "stale 5/12")]
    fn a_cell_says_the_worst(#[case] counts: &[(Word, usize)], #[case] cell: &str) {
        let words = counts.iter().flat_map(|(word, count)| std::iter::repeat_n(*word, *count));
        assert_eq!(words.collect::<Tally>().cell(), cell);
    }

    #[test]
    fn the_order_of_the_words_is_the_order_of_their_list() {
        assert!(Word::WORST_FIRST.is_sorted_by(|a, b| a > b));
    }
}
