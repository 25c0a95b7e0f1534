//! What each running kernel is at, on a terminal, while it goes on.

use std::collections::BTreeMap;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::escape;
use crate::output::matrix::event::Stage;
use crate::output::word::{CaseResult, Tally};

/// A line for each running kernel at the bottom of the terminal; nothing where there is no
/// terminal.
pub struct Live {
    bars: MultiProgress,
    running: BTreeMap<usize, Running>,
    names: Vec<String>,
    cases: usize,
}

struct Running {
    bar: ProgressBar,
    stage: Stage,
    tally: Tally,
}

impl Live {
    /// Shown on stderr if that is a terminal.
    pub fn on_stderr() -> Self {
        Self::to(ProgressDrawTarget::stderr_with_hz(10))
    }

    /// Never shown.
    #[cfg(test)]
    pub fn hidden() -> Self {
        Self::to(ProgressDrawTarget::hidden())
    }

    fn to(target: ProgressDrawTarget) -> Self {
        let bars = MultiProgress::with_draw_target(target);
        Self { bars, running: BTreeMap::new(), names: vec![], cases: 0 }
    }

    /// These kernels will come, with this number of cases on each.
    pub fn begin(&mut self, names: &[String], cases: usize) {
        self.names = names.iter().map(|name| escape::line(name).into_owned()).collect();
        self.cases = cases;
    }

    /// A kernel has reached a stage.
    pub fn stage(&mut self, kernel: usize, stage: &Stage) {
        let place = self.running.range(..kernel).count();
        let bars = &self.bars;
        let running = self.running.entry(kernel).or_insert_with(|| {
            let bar = bars.insert(place, ProgressBar::no_length());
            bar.set_style(ProgressStyle::with_template("{wide_msg}").expect("a fixed template"));
            Running { bar, stage: stage.clone(), tally: Tally::default() }
        });
        running.stage = stage.clone();
        self.show(kernel);
    }

    /// A case has ended on a kernel.
    pub fn finished(&mut self, kernel: usize, result: CaseResult) {
        if let Some(running) = self.running.get_mut(&kernel) {
            running.tally.count(result);
            self.show(kernel);
        }
    }

    /// A kernel's line goes away.
    pub fn ended(&mut self, kernel: usize) {
        if let Some(running) = self.running.remove(&kernel) {
            running.bar.finish_and_clear();
            self.bars.remove(&running.bar);
        }
    }

    /// Prints something else meanwhile.
    pub fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bars.suspend(print)
    }

    /// Takes every line away.
    pub fn end(&mut self) {
        let kernels: Vec<usize> = self.running.keys().copied().collect();
        kernels.into_iter().for_each(|kernel| self.ended(kernel));
    }

    fn show(&self, kernel: usize) {
        let Some(Running { bar, stage, tally }) = self.running.get(&kernel) else { return };
        let name = self.names.get(kernel).map_or("", String::as_str);
        let width = self.names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        bar.set_message(format!("{name:<width$}  {}", message(stage, tally, self.cases)));
    }
}

/// The stage, and how far the cases are once there are some.
fn message(stage: &Stage, tally: &Tally, cases: usize) -> String {
    let stage = match stage {
        Stage::Fetching(how_far) if how_far.is_empty() => "fetching".into(),
        Stage::Fetching(how_far) => format!("fetching {how_far}"),
        Stage::Preparing => "unpacking".into(),
        Stage::Booting => "booting".into(),
        Stage::Running { id } => format!("running {id}"),
        Stage::Restarting => "starting again".into(),
    };
    match tally.total() {
        0 => stage,
        done => format!("{done} of {cases} ({})  {stage}", tally.brief()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::word::Word;
    use rstest::rstest;

    #[rstest]
    #[case(Stage::Fetching("12 of 26 MB".into()), &[], "fetching 12 of 26 MB")]
    #[case(Stage::Fetching(String::new()), &[], "fetching")]
    #[case(Stage::Preparing, &[], "unpacking")]
    #[case(Stage::Booting, &[], "booting")]
    #[case(Stage::Running { id: "quiz1/v4/on".into() }, &[Word::Ok, Word::Fail],
        "2 of 12 (1 FAIL, 1 ok)  running quiz1/v4/on")]
    #[case(Stage::Restarting, &[Word::Error], "1 of 12 (1 error)  starting again")]
    fn a_line_says_the_stage_and_how_far(
        #[case] stage: Stage,
        #[case] words: &[Word],
        #[case] line: &str,
    ) {
        assert_eq!(message(&stage, &words.iter().copied().collect(), 12), line);
    }

    #[test]
    fn lines_come_and_go_in_any_order() {
        let mut live = Live::hidden();
        live.begin(&["a".into(), "b".into()], 2);
        live.finished(1, Word::Ok.into());
        live.stage(1, &Stage::Booting);
        live.stage(0, &Stage::Preparing);
        live.finished(1, Word::Ok.into());
        live.ended(1);
        live.ended(1);
        live.end();
        assert!(live.running.is_empty());
    }
}
