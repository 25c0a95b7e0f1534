//! `sockmig matrix --bisect`: what was found on one kernel, as `git bisect run` wants it.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use scenarios::judge::Verdict;

use crate::cli::Sought;
use crate::exit::Exit;
use crate::output::document::MatrixDocument;
use crate::output::stderr;

/// The option, as a command line has it that cannot be read.
const OPTION: &str = "--bisect";

/// The exit code for one kernel, and the sentence that says why.
///
/// Unlike in a matrix, a known bug counts as a deviation: it may be just what is looked
/// for. What does not answer the question, as a machine that never boots, cannot be tested.
pub fn judged(found: &MatrixDocument, sought: Sought) -> (Exit, String) {
    let runs = || found.kernels.iter().filter_map(|kernel| kernel.run.as_ref());
    let verdicts = || runs().flat_map(|run| run.cases.iter());
    let known = verdicts().find(|case| matches!(case.verdict, Verdict::KnownBug { .. }));
    let failed = verdicts().find(|case| matches!(case.verdict, Verdict::Fail { .. }));
    let (deviates, why) = match (Exit::of_matrix(found, &[], false), failed.or(known)) {
        (Exit::Interrupted, _) => return (Exit::Interrupted, "interrupted".into()),
        (Exit::Deviates, Some(case)) => (true, format!("{} deviates", case.id)),
        (Exit::Deviates, None) => (true, "the kernel panics or complains".into()),
        (_, Some(case)) => (true, format!("{} has a known bug", case.id)),
        (Exit::Expected, None) => (false, "everything is as it must be".into()),
        (_, None) => return (Exit::CannotTest, format!("cannot be tested: {}", untested(found))),
    };
    let exit = if deviates == (sought == Sought::Bug) { Exit::Deviates } else { Exit::Expected };
    (exit, why)
}

/// Why nothing was learned.
fn untested(found: &MatrixDocument) -> String {
    let kernel = found.kernels.first();
    let why = kernel.and_then(|kernel| {
        let end = kernel.end.why().map(|why| format!("{}: {why}", kernel.end.word()));
        let cases = kernel.run.iter().flat_map(|run| &run.cases);
        end.or_else(|| cases.filter_map(|case| case.verdict.reason()).next().map(Cow::into_owned))
    });
    why.unwrap_or_else(|| "no case ended".into())
}

/// Reports `git bisect run`, and people.
pub fn report((exit, why): (Exit, String), sought: Sought) -> Exit {
    let meaning = match (exit, sought) {
        (Exit::Expected, Sought::Bug) => "good",
        (Exit::Deviates, Sought::Bug) => "bad",
        (Exit::Expected, Sought::Fix) => "not fixed",
        (Exit::Deviates, Sought::Fix) => "fixed",
        (Exit::CannotTest, _) => "skip",
        _ => "the bisection is given up",
    };
    stderr::complain(&format_args!("bisect: {meaning} (exit code {}): {why}", exit as u8));
    exit
}

/// What a command line that is wrong ends with: among git's codes, 2 would be a bad commit.
pub fn of_usage(arguments: impl Iterator<Item = String>) -> Exit {
    let bisects = |argument: String| argument == OPTION || argument.starts_with("--bisect=");
    if arguments.into_iter().any(bisects) { Exit::GiveUp } else { Exit::Usage }
}
