//! What is made of a matrix, against snapshots.

use std::collections::BTreeSet;

use proptest::prelude::*;
use quick_junit::{Report, TestCaseStatus};
use rstest::rstest;

use crate::fixture::{junit_rules, markup, matrix as made, run};
use crate::output::buffer::Buffer;
use crate::output::document::{Complaint, KernelDocument, MachineEnd, MatrixDocument};
use crate::output::matrix::event::{MatrixConsumer, Stage};
use crate::output::matrix::grid::grid;
use crate::output::matrix::junit::junit;
use crate::output::matrix::live::Live;
use crate::output::matrix::markdown::markdown;
use crate::output::matrix::table::Table;
use crate::output::matrix::text::text;
use crate::output::word::Tally;
use crate::style::Style;

fn narrow(found: &MatrixDocument) -> String {
    text(found, Style::PLAIN, 80)
}

/// No line of the table may be longer; what is to be copied may.
fn fits(text: &str, width: usize) {
    let table = text.lines().take_while(|line| !line.starts_with("Machines"));
    let long = table.filter(|line| line.chars().count() > width);
    assert_eq!(long.collect::<Vec<_>>(), Vec::<&str>::new());
}

/// The whole text, once.
#[test]
fn a_matrix_in_words() {
    let text = narrow(&made::everything(&made::quizzes()));
    fits(&text, 80);
    insta::assert_snapshot!(text);
}

/// The rest of the text is the same, whatever the width of the terminal and of the table.
#[rstest]
#[case::quizzes_wide("quizzes-140", &made::quizzes(), 140)]
#[case::many_narrow("many-80", &made::many(), 80)]
#[case::many_wide("many-140", &made::many(), 140)]
fn a_table(#[case] name: &str, #[case] ids: &[String], #[case] width: usize) {
    let text = text(&made::everything(ids), Style::PLAIN, width);
    fits(&text, width);
    let (table, rest) = text.split_once("\nMachines").expect("machines did not complete");
    insta::assert_snapshot!(format!("table-{name}"), table);
    let rest: Vec<&str> = rest.split_whitespace().collect();
    for heading in ["Not as expected:", "Known bugs:", "Complaints in", "How they were run:"] {
        assert!(rest.join(" ").contains(heading), "{heading} is missing: {text}");
    }
}

#[test]
fn no_id_is_cut_however_narrow_the_terminal() {
    let long = "a-mechanism-whose-name-is-longer-than-any-terminal-that-anyone-would-ever-want-to-\
                open";
    let ids: Vec<String> = vec![format!("{long}/v4"), format!("{long}/v6"), "quiz1".into()];
    for width in [0, 1, 80, 1000] {
        let text = text(&made::everything(&ids), Style::PLAIN, width);
        assert!(text.contains(long), "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn every_case_is_in_one_column_and_every_line_fits(
        ids in proptest::collection::btree_set("[a-c]{1,12}(/[a-z]{1,12}){0,2}", 1..60),
        width in 80..200usize,
    ) {
        let ids: Vec<String> = ids.into_iter().collect();
        let found = made::everything(&ids);
        fits(&text(&found, Style::PLAIN, width), width);
        let grid = grid(&found, width);
        let counted: usize = grid.blocks.iter().map(|block| {
            let cells = block.rows[0].iter().filter_map(|cell| cell.tally.as_ref());
            cells.map(Tally::total).sum::<usize>()
        }).sum();
        prop_assert_eq!(counted, ids.len());
        prop_assert_eq!(grid.all.total(), ids.len() * found.kernels.len());
    }
}

#[test]
fn a_table_of_nothing_is_a_table() {
    let text = narrow(&made::matrix(vec![], vec![]));
    assert!(text.ends_with("0 kernels: ; 0 cells: no cases; 61.2 s\n"), "{text}");
    markdown(&made::matrix(vec![], vec![]));
}

#[test]
fn what_fails_in_some_rounds_says_in_how_many() {
    let cases = [made::pass(), made::fail("EAGAIN"), made::fail("EAGAIN"), made::pass()];
    let cases = (1..).zip(cases).map(|(round, verdict)| made::case("quiz1/v4/on", round, verdict));
    let mut kernel = made::kernel("6.1", MachineEnd::Completed, &[], |_, _| None);
    kernel.run = Some(made::run(cases.collect(), 4));
    let text = narrow(&made::matrix(vec!["quiz1/v4/on".into()], vec![kernel]));
    assert!(text.contains("on        6.1 (2 of 4 rounds)"), "{text}");
    assert!(text.contains("1 cell: 1 FAIL;"), "a case is as bad as its worst round: {text}");
}

#[test]
fn names_that_a_shell_would_read_are_quoted() {
    let kernel =
        made::kernel("it's a vmlinux", MachineEnd::Completed, &made::quizzes(), |at, _| {
            (at == 0).then(|| made::fail("EAGAIN"))
        });
    let text = narrow(&made::matrix(made::quizzes(), vec![kernel]));
    let again = r"again     sockmig matrix --kernel 'it'\''s a vmlinux' quiz1/v4/off";
    assert!(text.contains(again), "{text}");
}

#[test]
fn colour_says_nothing_that_words_do_not() {
    let found = made::everything(&made::quizzes());
    let mut coloured = text(&found, Style::COLOUR, 100);
    assert!(coloured.contains('\x1b'));
    while let Some(from) = coloured.find('\x1b') {
        let to = coloured[from..].find('m').expect("the end of a colour") + from;
        coloured.replace_range(from..=to, "");
    }
    // Headings are padded inside their colour, and only there.
    let trimmed = |text: &str| text.lines().map(|l| l.trim_end().to_owned()).collect::<Vec<_>>();
    assert_eq!(trimmed(&coloured), trimmed(&text(&found, Style::PLAIN, 100)));
}

#[test]
fn rows_come_as_their_kernels_end() {
    let bytes = Buffer::default();
    let mut table = Table::new(bytes.clone(), Style::PLAIN, 80, Live::hidden());
    let matrix = made::beginning();
    let outcomes = run::outcomes();
    let ids: Vec<String> = outcomes.iter().map(|outcome| outcome.id.clone()).collect();
    let why = "the mirror has it no more".into();
    let gone = made::kernel("6.16.12-1", MachineEnd::CannotFetch { why }, &ids, |_, _| None);
    let mut ran = made::kernel("6.1.174-1", MachineEnd::Completed, &[], |_, _| None);
    ran.run = Some(made::run(made::documents(&outcomes), 1));
    table.begin(&matrix).expect("begin");
    table.stage(1, &Stage::Fetching("12 of 26 MB".into())).expect("stage");
    table.stage(0, &Stage::Booting).expect("stage");
    table.ended(1, &gone).expect("ended");
    for outcome in &outcomes {
        table.stage(0, &Stage::Running { id: outcome.id.clone() }).expect("stage");
        table.finished(0, outcome).expect("finished");
    }
    table.ended(0, &ran).expect("ended");
    let mut found = made::matrix(ids, vec![ran, gone]);
    found.shard = matrix.shard.clone();
    table.end(&matrix, &found).expect("end");
    insta::assert_snapshot!(bytes.text());
}

#[test]
fn markdown_is_short() {
    let text = markdown(&made::everything(&made::quizzes()));
    let table = text.lines().filter(|line| line.starts_with('|'));
    let bars = table.map(|line| line.matches('|').count() - line.matches("\\|").count());
    assert_eq!(bars.take(16).collect::<std::collections::BTreeSet<_>>().len(), 1, "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn markdown_of_many_cases_has_a_column_for_each_mechanism() {
    let text = markdown(&made::everything(&made::many()));
    let head = text.lines().find(|line| line.starts_with("| kernel")).expect("a table");
    assert!(head.contains("| quiz1 | quiz2 | accept-queue |"), "{head}");
    assert_eq!(text.matches("<details").count(), text.matches("</details>").count());
}

#[test]
fn junit_of_a_kernel_that_fails_and_complains() {
    let ids = ["quiz1/v4/off", "quiz1/v4/on"].map(str::to_owned);
    let mut kernel = made::kernel("6.1.174-1", MachineEnd::Completed, &ids, |at, _| {
        Some(if at == 0 { made::fail("EAGAIN") } else { made::known() })
    });
    let text = "WARNING: f\nCall Trace:\n g".into();
    kernel.complaints = vec![Complaint { during: ids[1].clone(), text }];
    let xml = junit(&made::matrix(ids.into(), vec![kernel])).expect("XML");
    insta::assert_snapshot!(xml);
}

#[test]
fn junit_has_a_suite_for_each_kernel() {
    let found = made::everything(&made::quizzes());
    let xml = junit(&found).expect("XML");
    let report = Report::deserialize_from_str(&xml).expect("it parses");
    assert_eq!(report.test_suites.len(), found.kernels.len());
    let boot = |name: &str| {
        let suite = report.test_suites.iter().find(|suite| suite.name.as_str() == name);
        let suite = suite.expect("a suite");
        let boot = &suite.test_cases[0];
        assert_eq!(boot.name.as_str(), "boot");
        (suite.test_cases.len(), format!("{:?}", boot.status))
    };
    for (kernel, cases, status) in [
        ("5.10.100-1", 13, "Success"),
        ("6.1.176-1", 14, "Success"),
        ("6.16.12-1", 1, "Skipped"),
        ("odd.bin", 13, "kind: Error"),
        ("6.17.13-1", 13, "kind: Error"),
        ("6.18.27-1", 13, "kind: Failure"),
        ("6.19.11-1", 13, "kind: Error"),
        ("7.0.4-1", 13, "kind: Error"),
        ("7.1.2-1", 13, "kind: Error"),
        ("7.2.1-1", 13, "kind: Error"),
        ("7.3~rc1-1", 13, "Skipped"),
    ] {
        let (count, said) = boot(kernel);
        assert_eq!(count, cases, "{kernel}");
        assert!(said.contains(status), "{kernel}: {said}");
    }
    let document = markup::parse(&xml);
    for (suite, kernel) in document.all("testsuite").iter().zip(&found.kernels) {
        assert_eq!(suite.attribute("name"), Some(&*kernel.name));
        let cases = suite.all("testcase");
        assert_eq!(suite.attribute("tests"), Some(&*cases.len().to_string()));
        let of_suite: Vec<_> = cases.iter().filter_map(|case| case.attribute("name")).collect();
        if of_suite.len() > 1 {
            let ids = of_suite.iter().filter(|name| name.contains('/'));
            assert!(ids.eq(found.cases.iter()), "{of_suite:?}");
        }
        // A name with points would be a package of its own.
        let class = format!("sockmig.{}.", kernel.name.replace('.', "_"));
        for case in &cases {
            let found = case.attribute("classname").unwrap_or_default();
            assert!(found.starts_with(&class), "{found} does not start with {class}");
        }
        for (element, counted) in
            [("failure", "failures"), ("error", "errors"), ("skipped", "skipped")]
        {
            let count = suite.all(element).len().to_string();
            assert_eq!(suite.attribute(counted), Some(&*count), "{counted} of {}", kernel.name);
        }
    }
    let message = |kernel: &str, case: &str| {
        let suites = document.all("testsuite");
        let suite = suites.iter().find(|suite| suite.attribute("name") == Some(kernel));
        let cases = suite.expect("a suite").all("testcase");
        let case = cases.iter().find(|known| known.attribute("name") == Some(case));
        let what = case.expect("a case").everything();
        what[0].attribute("message").unwrap_or_default().to_owned()
    };
    for (kernel, case, says) in [
        (
            "5.10.100-1",
            "quiz1/v4/on",
            "there is no tcp_migrate_req: migration came with 5.14, this is 5.10.100",
        ),
        (
            "6.1.174-1",
            "quiz1/v6/on",
            "known bug: A listener that waits is not woken for a child that migrates to it. Fixed by 3864c6ba1e04.",
        ),
        ("6.1.176-1", "kernel log", "WARNING: CPU: 0 PID: 1 at net/core/sock.c:1 f+0x1"),
        ("6.12.85-1", "quiz1/v4/off", "the kernel deviates in: accept(B)"),
        ("6.12.86-1", "quiz1/v4/on", "hung: killed after 30 s"),
        ("6.16.12-1", "boot", "cannot fetch: the mirror has it no more"),
        ("odd.bin", "boot", "cannot boot: no kernel: a PNG image"),
        ("6.18.27-1", "boot", "panicked: Kernel panic - not syncing: Fatal exception"),
        ("7.0.4-1", "boot", "hung: nothing was heard for 60 s, in a case"),
    ] {
        assert_eq!(message(kernel, case), says, "{case} on {kernel}");
    }
    // The counts in front are those of the cases after.
    let cases = || report.test_suites.iter().flat_map(|suite| &suite.test_cases);
    let failures = cases().filter(|case| format!("{:?}", case.status).contains("kind: Failure"));
    let skipped = cases().filter(|case| matches!(case.status, TestCaseStatus::Skipped { .. }));
    assert_eq!((report.tests, report.failures), (cases().count(), failures.count()));
    let sums = report.test_suites.iter().map(|suite| suite.skipped).sum::<usize>();
    assert_eq!(sums, skipped.count());
    assert_eq!(report.failures, 5, "three failures, a panic, a complaint");
    assert_eq!(report.errors, 7, "an error, and six machines");
}

#[test]
fn junit_survives_what_a_console_may_print() {
    let end = MachineEnd::Hung { why: "\u{1}\u{1b}[31m]]> & <no>".into() };
    let mut kernel = made::kernel("6.1", end, &made::quizzes(), |_, _| None);
    kernel.console = "\0\u{8}]]></system-out>\u{fffe}".into();
    let xml = junit(&made::matrix(made::quizzes(), vec![kernel])).expect("XML");
    Report::deserialize_from_str(&xml).expect("it parses");
    assert_eq!(junit_rules::check(&xml), Ok(()));
}

/// Whoever counts what a matrix says tells these apart without reading messages.
#[test]
fn junit_has_a_type_for_each_reason() {
    let xml = junit(&made::everything(&made::quizzes())).expect("XML");
    assert_eq!(junit_rules::check(&xml), Ok(()));
    assert_eq!(junit_rules::check(&junit(&made::retried()).expect("XML")), Ok(()));
    let document = markup::parse(&xml);
    let types = |name: &str| -> BTreeSet<String> {
        let all = document.all(name);
        all.iter().map(|one| one.attribute("type").expect("a type").to_owned()).collect()
    };
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(types("skipped"), set(&["known-bug", "not-run", "skip"]));
    assert_eq!(types("failure"), set(&["deviation"]));
    assert_eq!(types("error"), set(&["laboratory"]));
}

#[test]
fn a_kernel_of_schema_1_is_read() {
    let text = serde_json::json!({
        "name": "6.1",
        "fate": { "fate": "out-of-memory", "why": "Out of memory: Killed process 7" },
        "lacks": ["the module veth"],
    });
    let read: KernelDocument = serde_json::from_value(text).expect("of schema 1");
    let why = "Out of memory: Killed process 7".into();
    assert_eq!(read.end, MachineEnd::OutOfMemory { why });
    assert_eq!(read.missing, ["the module veth"]);
    let written = serde_json::json!({
        "name": "6.1",
        "end": { "how": "out-of-memory", "why": "Out of memory: Killed process 7" },
        "missing": ["the module veth"],
    });
    assert_eq!(serde_json::to_value(&read).expect("written"), written);
    assert_eq!(serde_json::from_value::<KernelDocument>(written).expect("of schema 2"), read);
}

#[test]
fn an_end_that_needs_a_reason_has_one() {
    let without = serde_json::json!({ "name": "6.1", "end": { "how": "hung" } });
    let refused = serde_json::from_value::<KernelDocument>(without).expect_err("no reason");
    assert!(refused.to_string().starts_with("missing field `why`"), "{refused}");
}

const FAILED: &str = "try 1 failed: accept(B): expected C's connection, actual EAGAIN";

#[test]
fn what_is_flaky_is_marked_explained_and_told() {
    let found = made::retried();
    let text = narrow(&found);
    assert!(text.contains("ok*") && text.contains("\n  *      a case failed in a slow"), "{text}");
    let flaky = format!(
        "Flaky: failed in a slow lab, and not when tried again:\n  quiz1/v4/off on 6.12.85-1: \
         failed in 1 of 3 tries, in a slow lab\n    {FAILED}\n    try 2 was too slow"
    );
    assert!(text.contains(&flaky), "{text}");
    let retried = "Tried again after a slow lab:\n  quiz1/v4/on on 6.12.85-1: 2 tries, the first";
    assert!(text.contains(retried), "{text}");
    assert!(text.contains("3 cells: 3 ok; 1 flaky;"), "{text}");

    let page = markdown(&found);
    assert!(page.contains(r"✅ ok\*") && page.contains(FAILED), "{page}");
    assert!(page.contains("🔁 quiz1/v4/off on 6.12.85-1: failed in 1 of 3 tries"), "{page}");

    let xml = junit(&found).expect("XML");
    let report = Report::deserialize_from_str(&xml).expect("it parses");
    let flaky_runs = |name: &str| {
        let mut cases = report.test_suites[0].test_cases.iter();
        let case = cases.find(|case| case.name.as_str() == name).expect("the case");
        let TestCaseStatus::Success { flaky_runs } = &case.status else { panic!("it passed") };
        (flaky_runs.len(), case.system_out.is_some())
    };
    let counts = ["quiz1/v4/off", "quiz1/v4/on", "quiz2/v4/off"].map(flaky_runs);
    assert_eq!(counts, [(1, true), (0, true), (0, false)]);
}

#[test]
fn a_row_counts_what_is_flaky() {
    let to = Buffer::default();
    let mut table = Table::new(to.clone(), Style::PLAIN, 80, Live::hidden());
    table.begin(&made::beginning()).expect("written");
    let mut found = made::retried();
    let cases = made::beginning().selection;
    for (case, selected) in
        found.kernels[0].run.as_mut().expect("it ran").cases.iter_mut().zip(cases)
    {
        case.id = selected.id();
    }
    table.ended(0, &found.kernels[0]).expect("written");
    assert!(to.text().contains("3 ok; 1 flaky"), "{}", to.text());
}
