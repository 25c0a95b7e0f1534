//! What became different, case by case.

use rstest::rstest;
use scenarios::judge::Verdict;

use crate::cmd::diff::compare::{Meaning, Missing, compare, meaning};
use crate::cmd::diff::{exit, show};
use crate::exit::Exit;
use crate::fixture::matrix as made;
use crate::output::document::{Complaint, MachineEnd, MatrixDocument};
use crate::output::matrix::markdown::markdown;
use crate::output::read::{Document, parse};
use crate::output::word::Word;
use crate::style::Style;

use Meaning::{Fix, NoLongerSaid, NowSaid, Otherwise, Regression};

/// Every pair of words: a row for what was, a column for what is.
#[test]
fn every_pair_of_words_has_its_meaning() {
    let words = [Word::Ok, Word::Known, Word::Skip, Word::NotRun, Word::Error, Word::Fail];
    let (regr, fix, lost) = (Some(Regression), Some(Fix), Some(NoLongerSaid));
    let (said, other) = (Some(NowSaid), Some(Otherwise));
    let table = [
        //          ok     known  skip   not run error  fail
        (Word::Ok, [None, regr, lost, lost, regr, regr]),
        (Word::Known, [fix, None, lost, lost, regr, regr]),
        (Word::Skip, [said, said, None, other, regr, regr]),
        (Word::NotRun, [said, said, other, None, regr, regr]),
        (Word::Error, [fix, said, other, other, None, regr]),
        (Word::Fail, [fix, other, lost, lost, other, None]),
    ];
    for (before, row) in table {
        for (after, expected) in words.into_iter().zip(row) {
            assert_eq!(meaning(before, after), expected, "{before:?} -> {after:?}");
        }
    }
}

fn one(name: &str, verdicts: &[(&str, Verdict)]) -> MatrixDocument {
    let ids: Vec<String> = verdicts.iter().map(|(id, _)| (*id).to_owned()).collect();
    let kernel =
        made::kernel(name, MachineEnd::Completed, &ids, |at, _| Some(verdicts[at].1.clone()));
    made::matrix(ids, vec![kernel])
}

#[test]
fn a_case_is_as_bad_as_its_worst_round() {
    let rounds = |verdicts: Vec<Verdict>| {
        let mut kernel = made::kernel("6.1", MachineEnd::Completed, &[], |_, _| None);
        let cases = (1..).zip(verdicts).map(|(round, v)| made::case("quiz1/v4/on", round, v));
        kernel.run = Some(made::run(cases.collect(), 2));
        made::matrix(vec!["quiz1/v4/on".into()], vec![kernel])
    };
    let before = rounds(vec![made::pass(), made::pass()]);
    let after = rounds(vec![made::pass(), made::fail("EAGAIN")]);
    assert_eq!(compare(&before, &after).count(Regression), 1);
    assert_eq!(compare(&after, &before).count(Fix), 1);
    assert_eq!(compare(&after, &after).cases, []);
}

#[test]
fn two_kernels_are_compared_whatever_they_are_called() {
    let before = one("6.1.174-1", &[("wake-up/v4", made::known())]);
    let after = one("6.1.176-1", &[("wake-up/v4", made::pass())]);
    let difference = compare(&before, &after);
    assert_eq!((difference.count(Fix), difference.count(Regression)), (1, 0));
    assert_eq!(difference.cases[0].kernel, "6.1.174-1 -> 6.1.176-1");
}

#[test]
fn a_failure_that_is_another_one_is_told() {
    let before = one("6.1", &[("quiz1", made::fail("EAGAIN"))]);
    let after = one("6.1", &[("quiz1", made::fail("ECONNRESET"))]);
    assert_eq!(compare(&before, &after).count(Otherwise), 1);
    assert_eq!(compare(&before, &before).count(Otherwise), 0);
}

/// What a kernel did is compared, not what is said of it.
#[test]
fn a_known_bug_in_other_words_is_the_same_and_with_other_facts_is_not() {
    let told = |words: &str, seen: &str| {
        let Verdict::KnownBug { mut bug, version, .. } = made::known() else {
            panic!("no known bug")
        };
        bug.reason = words.into();
        let Verdict::Fail { mismatches } = made::fail(seen) else { panic!("no failure") };
        one("6.1", &[("wake-up/v4", Verdict::KnownBug { bug, version, mismatches })])
    };
    let otherwise = |before, after| compare(&before, &after).count(Otherwise);
    assert_eq!(otherwise(told("B sleeps on.", "EAGAIN"), told("B is not woken.", "EAGAIN")), 0);
    assert_eq!(otherwise(told("B sleeps on.", "EAGAIN"), told("B sleeps on.", "ECONNRESET")), 1);
}

#[test]
fn a_run_is_a_matrix_of_its_kernel() {
    let cases = vec![made::case("quiz1", 1, made::pass()), made::case("quiz1", 2, made::pass())];
    let run = made::run(cases, 2);
    let json = serde_json::to_vec(&run).expect("JSON");
    let document = parse(&json).expect("a document");
    assert_eq!(document, Document::Run(Box::new(run)));
    let matrix = document.into_matrix();
    assert_eq!(matrix.cases, ["quiz1"]);
    assert_eq!(matrix.kernels[0].name, "6.x-example");
}

fn why() -> String {
    "because".into()
}

#[rstest]
#[case(MachineEnd::Completed, MachineEnd::Panicked { why: why() }, Regression)]
#[case(MachineEnd::Completed, MachineEnd::Hung { why: why() }, Regression)]
#[case(MachineEnd::CannotFetch { why: why() }, MachineEnd::NeverBooted { why: why() }, Regression)]
#[case(MachineEnd::Hung { why: why() }, MachineEnd::Panicked { why: why() }, Regression)]
#[case(MachineEnd::Completed, MachineEnd::CannotFetch { why: why() }, NoLongerSaid)]
#[case(MachineEnd::Completed, MachineEnd::Interrupted, NoLongerSaid)]
#[case(MachineEnd::CannotFetch { why: why() }, MachineEnd::Completed, NowSaid)]
#[case(MachineEnd::Died { why: why() }, MachineEnd::Completed, Fix)]
#[case(MachineEnd::Panicked { why: why() }, MachineEnd::Completed, Fix)]
#[case(MachineEnd::Panicked { why: why() }, MachineEnd::Hung { why: why() }, Otherwise)]
#[case(MachineEnd::Panicked { why: why() }, MachineEnd::CannotFetch { why: why() }, Otherwise)]
fn a_machine_that_ends_otherwise_is_told(
    #[case] before: MachineEnd,
    #[case] after: MachineEnd,
    #[case] meant: Meaning,
) {
    let of = |end| made::matrix(vec![], vec![made::kernel("6.1", end, &[], |_, _| None)]);
    let difference = compare(&of(before), &of(after));
    let meanings: Vec<Meaning> = difference.kernels.iter().map(|change| change.meaning).collect();
    assert_eq!(meanings, [meant]);
}

/// One of every meaning, of cases and of kernels.
fn before_and_after() -> (MatrixDocument, MatrixDocument) {
    let ids = made::quizzes();
    let mut before = made::everything(&ids);
    let mut after = made::everything(&ids);
    let of = |matrix: &mut MatrixDocument, name: &str, verdict: fn(usize) -> Verdict| {
        let at = matrix.kernels.iter().position(|kernel| kernel.name == name).expect("a kernel");
        matrix.kernels[at] =
            made::kernel(name, MachineEnd::Completed, &made::quizzes(), |at, _| Some(verdict(at)));
        at
    };
    let worse = |at| match at {
        0 | 2 => made::fail("EAGAIN"),
        1 => made::known(),
        3 => made::skip(),
        4 => made::error(),
        _ => made::pass(),
    };
    of(&mut before, "6.1.176-1", |_| made::pass());
    of(&mut after, "6.1.176-1", worse);
    of(&mut before, "7.0.4-1", |_| made::pass());
    let at = of(&mut after, "7.0.4-1", worse);
    after.kernels[at].complaints =
        vec![Complaint { during: "booting".into(), text: "BUG: <|> a\nCall Trace:".into() }];
    of(&mut after, "6.1.174-1", |_| made::pass());
    of(&mut after, "6.12.86-1", |at| if at == 2 { made::fail("EAGAIN") } else { made::pass() });
    of(&mut after, "5.10.100-1", |_| made::pass());
    of(&mut after, "6.18.27-1", |_| made::pass());
    before.cases.push("gone/v4".into());
    after.cases.push("fresh/v4".into());
    after.kernels.retain(|kernel| kernel.name != "odd.bin");
    after
        .kernels
        .push(made::kernel("7.4-1", MachineEnd::Completed, &ids, |_, _| Some(made::pass())));
    (before, after)
}

#[test]
fn differences_for_people() {
    let (before, after) = before_and_after();
    let difference = compare(&before, &after);
    for meaning in Meaning::ALL {
        assert!(difference.count(meaning) > 0, "nothing means {meaning:?}");
    }
    let text = show::terminal(&difference, false, Style::PLAIN, 80);
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn differences_for_a_pull_request() {
    let (before, after) = before_and_after();
    insta::assert_snapshot!(show::markdown(&compare(&before, &after), false));
}

#[test]
fn differences_for_programs() {
    let before = one("6.1", &[("quiz1", made::pass()), ("quiz2", made::pass())]);
    let after = one("6.1", &[("quiz1", made::fail("EAGAIN")), ("quiz2", made::pass())]);
    insta::assert_snapshot!(show::json(&compare(&before, &after)).expect("JSON"));
}

#[test]
fn no_difference_is_one_line() {
    let matrix = made::everything(&made::quizzes());
    let text = show::terminal(&compare(&matrix, &matrix), false, Style::PLAIN, 80);
    assert_eq!(text, "0 regressions, 0 fixes; 168 as before\n");
}

#[test]
fn what_is_no_longer_said_by_many_cases_is_counted() {
    let ids = made::many();
    let of = |end, verdict: fn() -> Option<Verdict>| {
        made::matrix(ids.clone(), vec![made::kernel("6.1", end, &ids, |_, _| verdict())])
    };
    let before = of(MachineEnd::Completed, || Some(made::pass()));
    let after = of(MachineEnd::CannotFetch { why: why() }, || None);
    let text = show::terminal(&compare(&before, &after), false, Style::PLAIN, 80);
    assert!(text.contains("380 cases: 120 accept-queue, 36 back-off"), "{text}");
    assert!(text.lines().count() < 12, "{text}");
    let broken = of(MachineEnd::Completed, || Some(made::error()));
    let text = show::terminal(&compare(&before, &broken), false, Style::PLAIN, 80);
    assert!(text.contains("select-or-migrate/case-30/v4-mapped"), "bad news have names: {text}");
}

/// What GitHub takes as a comment, in characters.
const COMMENT: usize = 65_536;

#[test]
fn a_pull_request_can_show_the_largest_matrix_and_its_differences() {
    let mut before = made::large();
    for case in
        before.kernels.iter_mut().flat_map(|kernel| &mut kernel.run).flat_map(|run| &mut run.cases)
    {
        case.verdict = made::pass();
    }
    let after = made::large();
    let page = markdown(&after);
    assert!(page.chars().count() < COMMENT, "{} characters", page.chars().count());
    let page = show::markdown(&compare(&before, &after), false);
    assert!(page.contains("Regressions (420)"), "{page}");
    assert!(page.chars().count() < COMMENT, "{} characters", page.chars().count());
}

#[test]
fn a_renamed_case_of_an_old_document_is_the_same_case() {
    let read = |id: &str| {
        let found = one("6.1", &[(id, made::pass())]);
        let text = serde_json::to_vec(&found).expect("written");
        parse(&text).expect("read").into_matrix()
    };
    let (before, after) = (read("syncookies/heir/v4/on"), read("syncookies/target/v4/on"));
    assert_eq!(before.cases, after.cases);
    let difference = compare(&before, &after);
    assert_eq!((difference.same, difference.cases), (1, vec![]));
}

/// What there was, and is not there any more.
#[rstest]
#[case::as_before(|_: &mut MatrixDocument| {}, &[])]
#[case::a_kernel_is_gone(|m: &mut MatrixDocument| drop(m.kernels.pop()), &[Missing::Gone(1)])]
#[case::a_case_is_gone(
    |m: &mut MatrixDocument| {
        m.cases.pop();
        m.kernels.iter_mut().flat_map(|k| &mut k.run).for_each(|run| drop(run.cases.pop()));
    },
    &[Missing::Gone(2)]
)]
#[case::not_run(
    |m: &mut MatrixDocument| m.kernels[0].run.as_mut().expect("a run").cases.clear(),
    &[Missing::NoLongerSaid(2), Missing::NotRun(2)]
)]
#[case::skipped(
    |m: &mut MatrixDocument| m.kernels[0].run.as_mut().expect("a run").cases[0].verdict = made::skip(),
    &[Missing::NoLongerSaid(1)]
)]
#[case::everything(
    |m: &mut MatrixDocument| (m.kernels, m.cases) = (vec![], vec![]),
    &[Missing::Gone(2), Missing::NothingCompared]
)]
fn who_is_strict_misses_what_is_not_said(
    #[case] take_away: fn(&mut MatrixDocument),
    #[case] missing: &[Missing],
) {
    let ids = ["quiz1/v4/off", "quiz1/v4/on"].map(str::to_owned);
    let kernel =
        |name: &str| made::kernel(name, MachineEnd::Completed, &ids, |_, _| Some(made::pass()));
    let before = made::matrix(ids.clone().into(), vec![kernel("6.1"), kernel("6.2")]);
    let mut after = before.clone();
    take_away(&mut after);
    let difference = compare(&before, &after);
    assert_eq!(difference.missing(), missing);
    assert_eq!(exit(&difference, false), Exit::Expected, "it is no regression");
    let strictly = if missing.is_empty() { Exit::Expected } else { Exit::Deviates };
    assert_eq!(exit(&difference, true), strictly);
    for text in
        [show::terminal(&difference, true, Style::PLAIN, 80), show::markdown(&difference, true)]
    {
        assert_eq!(text.contains("--strict"), !missing.is_empty(), "{text}");
        for missing in missing {
            let joined = text.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(joined.contains(&missing.to_string()), "{missing}: {text}");
        }
    }
}

/// What was not run before either is a hole all the same.
#[test]
fn a_hole_stays_a_hole() {
    let ids = ["quiz1/v4/off".to_owned()];
    let kernel = made::kernel("6.1", MachineEnd::Completed, &ids, |_, _| None);
    let empty = made::matrix(ids.into(), vec![kernel]);
    let difference = compare(&empty, &empty);
    assert_eq!(difference.missing(), [Missing::NotRun(1)]);
}
