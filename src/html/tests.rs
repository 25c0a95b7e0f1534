//! The page of documents, against its snapshot and its promises.

use std::path::PathBuf;

use harness::observation::Value;

use crate::fixture::matrix::{
    case, documents, error, everything, fail, kernel, known, matrix, pass, quizzes, run, skip,
};
use crate::fixture::run;
use crate::html::combine::{Combined, Part};
use crate::html::page::page;
use crate::output::document::{Complaint, KernelDocument, MachineEnd, MatrixDocument};
use crate::output::read::Document;

/// What a document may say and a page must not do.
const HOSTILE: &str = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;";

fn of(parts: Vec<(&str, Document)>) -> String {
    let parts = parts
        .into_iter()
        .map(|(path, document)| Part { path: PathBuf::from(path), document })
        .collect();
    page(&Combined::of(parts), &|_, capture| Some(format!("captures/{capture}")))
}

fn of_matrix(matrix: MatrixDocument) -> String {
    of(vec![("matrix.json", Document::Matrix(Box::new(matrix)))])
}

/// The page's body, an element a line.
fn body(page: &str) -> String {
    let from = page.find("<body>").expect("a body");
    let to = page.rfind("<script>").expect("a script");
    page[from..to].replace("><", ">\n<")
}

#[test]
fn a_small_page() {
    let mut cases = documents(&run::outcomes());
    cases[2].capture = Some("quiz1-v4-off.pcapng".into());
    let real = run(cases, 1);
    let ids = ["quiz1/v4/off", "quiz1/v4/on", "wake-up/epoll/v4"].map(str::to_owned);
    let mut old = kernel("6.1.174-1", MachineEnd::Completed, &ids, |at, _| match at {
        0 => Some(pass()),
        1 => Some(known()),
        _ => None,
    });
    old.complaints = vec![Complaint { during: ids[0].clone(), text: "WARNING: f\n g".into() }];
    let page = of(vec![
        ("run.json", Document::Run(Box::new(real))),
        ("matrix.json", Document::Matrix(Box::new(matrix(ids.into(), vec![old])))),
    ]);
    insta::assert_snapshot!(body(&page));
}

#[test]
fn a_page_has_every_end_and_every_verdict() {
    let page = of_matrix(everything(&quizzes()));
    for end in ["panicked", "cannot fetch", "never booted", "out of memory", "hung", "garbage"] {
        assert!(page.contains(&format!("! {end}</span>")), "{end} is not shown");
    }
    for word in ["✗ FAIL", "! error", "? stale", "◆ known bug", "✓ ok", "– skip", "○ not run"]
    {
        assert!(page.contains(&format!("{word}</span></dt>")), "{word} is not in the legend");
    }
    assert!(page.contains("3864c6ba1e04"), "a bug's fix is not shown");
    assert!(page.contains("sockmig matrix --kernel 6.12.85-1 quiz1/v4/off --out DIR"));
}

/// Every text of every field.
fn hostile() -> MatrixDocument {
    let text = || HOSTILE.to_owned();
    let ids: Vec<String> = vec![format!("{HOSTILE}/v4/off"), text(), format!("a b/{HOSTILE}/v6")];
    let verdicts = [fail(HOSTILE), known(), skip(), error()];
    let mut kernels: Vec<KernelDocument> = vec![];
    for (at, verdict) in verdicts.into_iter().enumerate() {
        let mut kernel =
            kernel(&format!("{at}{HOSTILE}"), MachineEnd::Died { why: text() }, &ids, |_, _| {
                Some(verdict.clone())
            });
        kernel.console = text();
        kernel.missing = vec![text()];
        kernel.complaints = vec![Complaint { during: text(), text: text() }];
        let run = kernel.run.as_mut().expect("a run");
        run.environment.kernel.release = text();
        run.environment.kernel.build = text();
        run.environment.migrate_req = Some(text());
        for case in &mut run.cases {
            (case.does, case.must, case.source) = (text(), text(), text());
            case.facts.insert(text(), Value::Text(text()));
            case.trace = vec![
                format!(" 0.000001  {HOSTILE} > S  S 0:0(0)  win 1"),
                format!(" 0.000002  -- {HOSTILE} --"),
            ];
        }
        kernels.push(kernel);
    }
    matrix(ids, kernels)
}

#[test]
fn nothing_in_a_document_becomes_markup() {
    let page = of(vec![(HOSTILE, Document::Matrix(Box::new(hostile())))]);
    assert_eq!(page.matches("<script").count(), 1, "a document's script is in the page");
    assert_eq!(page.matches("<img").count(), 0, "a document's image is in the page");
    let tail = page.rfind("<script>").expect("the page's own");
    assert!(!page[tail..].contains("alert"), "a document reaches into the script");
    assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;"), "its words are not told");
}

/// Fifteen kernels and 550 cases, of which every fifth comes to something else on every
/// kernel, with as many facts and segments as real ones have.
fn large() -> MatrixDocument {
    let ids: Vec<String> = (0..92)
        .flat_map(|at| {
            let settings = ["v4/off", "v4/on", "v6/off", "v6/on", "v4-mapped/off", "v4-mapped/on"];
            settings.map(|setting| format!("mechanism-{}/case-{at}/{setting}", at / 5))
        })
        .collect();
    let kernels = (0..15).map(|number| {
        let name = format!("6.{number}.{number}44-1");
        let cases = ids.iter().enumerate().map(|(at, id)| {
            let own = if at % 5 == 0 { number } else { 0 };
            let verdict = if at % 20 == 0 { fail(&format!("EAGAIN {own}")) } else { pass() };
            let mut case = case(id, 1, verdict);
            case.facts = (0..25)
                .map(|fact| (format!("what was seen {fact}"), Value::Number(fact * own)))
                .collect();
            case.trace = (0..30)
                .map(|line| format!(" 0.0000{line:02}  C > S  P. {line}:{own}(0) ack 1  win 512"))
                .collect();
            case
        });
        let cases = cases.collect();
        KernelDocument {
            run: Some(run(cases, 1)),
            ..kernel(&name, MachineEnd::Completed, &[], |_, _| None)
        }
    });
    let kernels = kernels.collect();
    matrix(ids, kernels)
}

#[test]
fn fifteen_kernels_and_550_cases_stay_under_5_megabytes() {
    let large = large();
    assert_eq!(large.cases.len(), 552);
    let page = of_matrix(large);
    assert!(page.len() < 5_000_000, "{} bytes", page.len());
    for id in ["case-0", "case-91"] {
        assert!(page.contains(id), "{id} is not on the page");
    }
}

/// What GitHub takes as a comment, in characters.
const COMMENT: usize = 65_536;

#[test]
fn a_pull_request_can_show_the_largest_matrix_and_its_differences() {
    let mut before = large();
    for case in
        before.kernels.iter_mut().flat_map(|kernel| &mut kernel.run).flat_map(|run| &mut run.cases)
    {
        case.verdict = pass();
    }
    let after = large();
    let page = crate::output::matrix::markdown::markdown(&after);
    assert!(page.chars().count() < COMMENT, "{} characters", page.chars().count());
    let page =
        crate::cmd::diff::show::markdown(&crate::cmd::diff::compare::compare(&before, &after));
    assert!(page.contains("Regressions (420)"), "{page}");
    assert!(page.chars().count() < COMMENT, "{} characters", page.chars().count());
}

#[test]
fn what_is_alike_is_told_once() {
    let ids = quizzes();
    let kernels = ["6.1", "6.2"];
    let kernels =
        kernels.map(|name| kernel(name, MachineEnd::Completed, &ids, |_, _| Some(pass())));
    let page = of_matrix(matrix(ids, kernels.into()));
    assert_eq!(page.matches("class=\"result o\"").count(), 2, "one for each quiz");
    assert_eq!(page.matches("A accepts nothing and is closed.").count(), 2, "once a case");
}

#[test]
fn a_document_without_anything_makes_a_page_too() {
    let page = of_matrix(matrix(vec![], vec![]));
    assert!(page.contains("Nothing was learned about any kernel."), "{}", body(&page));
}
