//! The page of documents, against its snapshot and its promises.

use std::collections::BTreeSet;
use std::path::PathBuf;

use harness::trace::Line;
use harness::trace::observation::Value;

use scenarios::judge::builtin::builtin;

use crate::fixture::markup;
use crate::fixture::matrix::{
    documents, error, everything, fail, kernel, known, large, matrix, pass, quizzes, retried, run,
    skip,
};
use crate::fixture::run;
use crate::html::combine::{Combined, Part};
use crate::html::mark;
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

/// The page's body. It is read without the script, whose words are no markup.
fn body(page: &str) -> &str {
    let from = page.find("<body>").expect("a body");
    let to = page.rfind("<script>").expect("a script");
    &page[from + "<body>".len()..to]
}

/// A run and a matrix of one kernel on one page.
fn small() -> String {
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
    of(vec![
        ("run.json", Document::Run(Box::new(real))),
        ("matrix.json", Document::Matrix(Box::new(matrix(ids.into(), vec![old])))),
    ])
}

/// What a mechanism's markup is, to the letter; the other tests look at what it says.
#[test]
fn a_mechanism() {
    let page = small();
    let from = page.find("<details class=mechanism id=\"mechanism:quiz2\">").expect("quiz2");
    let to = page[from..].find("<details class=mechanism id=\"mechanism:wake-up\">");
    insta::assert_snapshot!(page[from..from + to.expect("wake-up")].replace("><", ">\n<"));
}

#[test]
fn the_sections_are_in_order_and_every_link_leads_somewhere() {
    let page = small();
    let body = markup::parse(body(&page));
    let sections = [
        ("the-answer", "The answer"),
        ("the-deviations", "Not as expected"),
        ("the-matrix", "Kernels × cases"),
        ("the-bugs", "Known bugs"),
        ("the-warnings", "Warnings"),
        ("the-environment", "Environment"),
        ("the-cases", "Every case"),
    ];
    let headings = body.all("h2");
    let found = headings.iter().map(|h2| (h2.attribute("id").unwrap_or(""), h2.text()));
    assert!(found.eq(sections.map(|(id, text)| (id, text.to_owned()))));
    let links = body.first("nav").all("a");
    let found = links.iter().map(|a| (a.attribute("href").unwrap_or(""), a.text()));
    assert!(
        found.eq(sections
            .map(|(id, text)| (format!("#{id}"), text.to_owned()))
            .iter()
            .map(|(href, text)| (href.as_str(), text.clone())))
    );

    let all = body.everything();
    let ids: Vec<&str> = all.iter().filter_map(|element| element.attribute("id")).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "an id is there twice");
    for place in body.all("a").into_iter().filter_map(|a| a.attribute("href")) {
        match place.strip_prefix('#') {
            Some(id) => assert!(ids.contains(&id), "{place} leads nowhere"),
            None => assert!(
                place.starts_with("https://git.kernel.org/torvalds/c/")
                    || place.starts_with("https://www.cve.org/CVERecord?id=CVE-")
                    || place == "captures/quiz1-v4-off.pcapng",
                "{place}"
            ),
        }
    }
    for labelled in all.iter().filter_map(|element| element.attribute("aria-labelledby")) {
        assert!(ids.contains(&labelled), "{labelled} is no label");
    }
}

#[test]
fn the_head_of_the_page_sums_up() {
    let page = small();
    let body = markup::parse(body(&page));
    let header = body.first("header");
    assert_eq!(
        header.first("p.sum").text(),
        "2 kernels: 2 completed. 8 cases, 10 results: ✗ 2 FAIL ! 1 error ○ 1 not run \
         ◆ 2 known bug ✓ 3 ok – 1 skip "
    );
    assert_eq!(
        header.first("p.f").text(),
        "2 results are not as they must be. The kernels show 2 known bugs. Their logs complain. \
         In 1 result the laboratory broke. 1 case was not run. "
    );
    let footer = body.first("footer").text();
    for source in ["run.json (", "matrix.json ("] {
        assert!(footer.contains(source), "{footer}");
    }
}

#[test]
fn the_answers_are_those_of_each_kernel() {
    let page = small();
    let body = markup::parse(body(&page));
    let answers = body.all("article.answer");
    let kernels: Vec<String> = answers.iter().map(|answer| answer.first("h3").text()).collect();
    assert_eq!(kernels, ["6.x-example", "6.1.174-1"]);
    for answer in &answers {
        assert_eq!(
            answer.texts("h4"),
            ["migration off the default", "migration on net.ipv4.tcp_migrate_req = 1"]
        );
    }
    let says = |at: usize| answers[at].texts("li");
    assert_eq!(
        says(0)[..2],
        [
            "DEVIATES from every healthy kernel: TCPMigrateReqFailure; see sockmig run \
             quiz1/v4/off",
            "(not checked: no such case was run)",
        ]
    );
    assert!(says(0)[4].starts_with("but does not wake that listener"), "{:?}", says(0));
    assert_eq!(says(1)[2], "has a known bug: see sockmig run quiz1/");
    assert!(says(1)[5].starts_with("Do not rely on net.ipv4.tcp_migrate_req"), "{:?}", says(1));
    assert_eq!(answers[1].first("summary").text(), "What to do");
}

/// Every table but those of the environment and of cases: what is in its cells.
#[test]
fn the_tables_say_what_was_found() {
    let page = small();
    let body = markup::parse(body(&page));
    assert_eq!(
        body.first("table.deviations").rows(),
        [
            "case | kernels | in | expected | actual",
            "✗ FAIL quiz1/v4/off | 6.x-example | TCPMigrateReqFailure | 0 or no such counter | 1",
            "the wire of C | S > C  R. 1:1(0) ack 12 | S > C  R. 1:1(0) ack 1",
            "✗ FAIL listener/queue-length/v6 | 6.x-example | the case's course | to reach its end \
             | three children in A's accept queue: not within 10000 ms",
            "! error quiz2/v4/on | 6.x-example | hung: killed after 30 s",
        ]
    );
    assert_eq!(
        body.first("table.grid").rows(),
        [
            "mechanism | 6.x-example | 6.1.174-1",
            "quiz1 | ✗ FAIL | ◆ known bug 1/2",
            "quiz2 | ! error | not asked",
            "wake-up | ◆ known bug | ○ not run",
            "listener | ✗ FAIL | not asked",
            "bind | – skip | not asked",
            "sysctl | ✓ ok 2 | not asked",
        ]
    );
    let legend = body.first("dl.legend").texts("dt");
    let words = ["– skip", "✓ ok", "◆ known bug", "○ not run", "! error", "✗ FAIL"];
    assert_eq!(legend[..6], words);
    assert_eq!(legend[6..], ["3/12", "empty"]);
    let [kernels, runs] = &body.all("table.list")[1..3] else { panic!("two tables") };
    assert_eq!(
        kernels.rows()[1..],
        ["6.x-example", "6.1.174-1"].map(|kernel| format!(
            "{kernel} | 6.12.43Debian, from uname -v | 6.x-example x86_64#1 SMP Debian 6.12.43-1 | yes | yes | yes | \
             yes | yes | yes | yes | yes"
        ))
    );
    assert_eq!(
        runs.rows(),
        [
            "kernel | machine | clock | machine ended | final ACKs held by | tcp_migrate_req | tainted \
             | as | rounds | took",
            "6.x-example | this one, no guest | real | completed | nftables | 0 | 0 | root | 1 | \
             0.9 s",
            "6.1.174-1 | QEMU, TCG | virtual | completed | nftables | 0 | 0 | root | 1 | 0.9 s",
        ]
    );
}

#[test]
fn bugs_and_warnings_say_where() {
    let page = small();
    let body = markup::parse(body(&page));
    let bugs = body.first("ol.bugs").all("li");
    let fixed = "https://git.kernel.org/torvalds/c/3864c6ba1e04";
    let listed = builtin().bugs.iter().find(|bug| bug.id == "lost-wake-up").expect("the bug");
    let in_linux = listed.releases.to_string();
    let cve = "https://www.cve.org/CVERecord?id=CVE-2026-46015";
    for (bug, says, links) in [
        (
            &bugs[0],
            vec!["3864c6ba1e04", &*in_linux, "CVE-2026-46015", "6.x-example", "wake-up/epoll"],
            vec![fixed, cve, "#wake-up/epoll"],
        ),
        (&bugs[1], vec!["3864c6ba1e04", &*in_linux, "6.1.174-1", "quiz1"], vec![fixed, "#quiz1"]),
    ] {
        assert_eq!(bug.texts("dd"), says);
        let there: Vec<_> = bug.all("a").iter().filter_map(|a| a.attribute("href")).collect();
        assert_eq!(there, links);
    }
    let ids: Vec<_> = bugs.iter().map(|bug| bug.attribute("id")).collect();
    assert_eq!(ids, [Some("bug:lost-wake-up"), None], "a name is there once");
    let warnings = body
        .all("section")
        .into_iter()
        .find(|section| section.attribute("aria-labelledby") == Some("the-warnings"));
    let warnings = warnings.expect("warnings");
    assert_eq!(
        warnings.texts("h3"),
        [
            "What the kernels' logs complained of",
            "Fixes that these kernels have and their versions have not",
            "Skipped"
        ]
    );
    assert_eq!(warnings.first("summary").text(), "✗ complaint WARNING: f on 6.1.174-1");
    assert_eq!(warnings.texts("h4"), ["6.1.174-1, during quiz1/v4/off"]);
    assert_eq!(warnings.first("pre.log").text(), "WARNING: f\n g");
    assert_eq!(
        warnings.texts("li"),
        [
            "A listener's TCP MD5 keys are freed when it closes (fixed by 9e472d9e84b1) 6.x-example",
            "a second user is needed bind/other-uid/v4, 6.x-example",
        ]
    );
}

#[test]
fn a_case_says_each_result_once_with_its_witnesses() {
    let page = small();
    let body = markup::parse(body(&page));
    let quiz1 = body.with_id("quiz1");
    assert_eq!(
        quiz1.first("dl.claims").texts("dd"),
        [
            "A accepts nothing and is closed.",
            "B must get the connection.",
            "inet_csk_listen_stop()"
        ]
    );
    assert_eq!(
        quiz1.first("table.grid").rows(),
        [
            "setting | 6.x-example | 6.1.174-1",
            "v4/off | ✗ FAIL, result 1 | ✓ ok, result 2",
            "v4/on | not asked | ◆ known bug, result 3",
        ]
    );
    let results = quiz1.all("section.result");
    let heads: Vec<String> = results
        .iter()
        .map(|result| format!("{}: {}", result.first("h5").text(), result.first("p.places").text()))
        .collect();
    assert_eq!(
        heads,
        [
            "✗ FAIL Result 1: v4/off on 6.x-example",
            "✓ ok Result 2: v4/off on 6.1.174-1",
            "◆ known bug Result 3: v4/on on 6.1.174-1",
        ]
    );
    let again: Vec<String> = results.iter().map(|result| result.first("p.again").text()).collect();
    assert_eq!(
        again,
        [
            "again: sockmig run quiz1/v4/off --trace --out DIR",
            "again: sockmig matrix --kernel 6.1.174-1 quiz1/v4/off --out DIR",
            "again: sockmig matrix --kernel 6.1.174-1 quiz1/v4/on --out DIR",
        ]
    );
    let wrong = results[0];
    assert_eq!(
        wrong.first("table.wrong").rows(),
        [
            "in | expected | actual",
            "TCPMigrateReqFailure | 0 or no such counter | 1",
            "the wire of C | S > C  R. 1:1(0) ack 12 | S > C  R. 1:1(0) ack 1",
        ]
    );
    let facts = wrong.first("table.facts").rows();
    assert!(facts.contains(&"TCPMigrateReqFailure (wrong) | ✗ 1".to_owned()), "{facts:?}");
    assert!(facts.contains(&"recv(C) | ECONNRESET".to_owned()), "{facts:?}");
    assert_eq!(
        (facts.len(), &*wrong.first("p.aside").text()),
        (11, "13 counters that did not move")
    );
    assert_eq!(wrong.first("details.captures").texts("a"), ["6.x-example v4/off"]);
    assert!(
        results[2].texts("p").contains(
            &"A listener that waits is not woken for a child that migrates to it. Fixed by \
          3864c6ba1e04."
                .to_owned()
        )
    );
    // Each result has its ladder, and one that differs is compared.
    for (at, result) in results.iter().enumerate() {
        let title = result.first("svg.ladder").first("title").text();
        assert_eq!(title, format!("The packets of quiz1, result {}", at + 1));
    }
    let comparison = quiz1.all("details.compared");
    assert_eq!(comparison.len(), 1);
    assert_eq!(
        comparison[0].first("summary").text(),
        "Side by side: ✓ ok v4/off on 6.1.174-1 | ✗ FAIL v4/off on 6.x-example"
    );
    assert_eq!(comparison[0].first("svg").all("g").len(), 4, "two ladders, each below its title");
    // What a document does not say about a case is said to be missing.
    assert!(body.with_id("quiz2").texts("p").contains(&"No document says what it does.".into()));
}

#[test]
fn a_page_has_every_end_and_every_verdict() {
    let page = of_matrix(everything(&quizzes()));
    for end in ["panicked", "cannot fetch", "never booted", "out of memory", "hung", "garbage"] {
        assert!(page.contains(&format!("! {end}</span>")), "{end} is not shown");
    }
    for word in ["✗ FAIL", "! error", "◆ known bug", "✓ ok", "– skip", "○ not run"] {
        assert!(page.contains(&format!("{word}</span></dt>")), "{word} is not in the legend");
    }
    assert!(page.contains("3864c6ba1e04"), "a bug's fix is not shown");
    assert!(page.contains("sockmig matrix --kernel 6.12.85-1 quiz1/v4/off --out DIR"));
}

/// A line of a trace, as it is shown.
fn line(text: &str) -> Line {
    text.parse().expect("a line of a trace")
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
                line(&format!(" 0.000001  {HOSTILE} > S  S 0:0(0)  win 1")),
                line(&format!(" 0.000002  -- {HOSTILE} --")),
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
    assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;"), "its words are not shown");
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
    markup::parse(body(&page));
}

#[test]
fn the_page_marks_what_is_flaky_and_tells_what_was_seen() {
    let page = of_matrix(retried());
    let body = markup::parse(body(&page));
    let first_try = "try 1 failed: accept(B): expected C's connection, actual EAGAIN";
    let result = body.with_id("quiz1:1");
    assert!(
        result.text().contains("↻ flaky") && result.text().contains(first_try),
        "{}",
        result.text()
    );
    let warnings = body
        .all("section")
        .into_iter()
        .find(|section| section.attribute("aria-labelledby") == Some("the-warnings"));
    let warnings = warnings.expect("warnings").text();
    for text in ["↻ flaky quiz1/v4/off", "↻ retried quiz1/v4/on", first_try] {
        assert!(warnings.contains(text), "{text}: {warnings}");
    }
    let marked: Vec<String> =
        body.texts("td").into_iter().filter(|cell| cell.contains('↻')).collect();
    assert_eq!(marked.len(), 3, "of the mechanism, of the case, of the setting: {marked:?}");
    assert!(body.first("dl.legend").text().contains(mark::FLAKY_MEANING));
}
