//! Documents whose every text is hostile, through every command that reads documents and in every
//! format: nothing of it reaches a terminal, a page or a CI system as anything but text.

#[path = "../src/fixture/junit_rules.rs"]
mod junit_rules;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde_json::{Value, json};
use support::{Ended, run, sockmig};

/// What it may be: colours and a title for a terminal, a bell, lines of our own and of CI
/// systems, a table's bars, code, a script, letters that turn round, and much of it.
fn hostile() -> String {
    let mut text = "\u{1b}[31m\u{1b}]0;title\u{7}\n::error::faked\nok    quiz1/v4/on\r\n##[error]x\
        |`a`|</script><script>alert(1)</script><img src=x>&amp;\u{202e}gnp\u{200b}\u{9b}2J\u{fffe}\
        ```\n</details>@someone #1 "
        .to_owned();
    text.push_str(&"long ".repeat(400));
    text
}

/// A step into a document.
type Path_ = Vec<String>;

/// The hostile text for a place: cases and kernels have as many, and a case has the same
/// wherever it is named.
fn hostile_at(path: &[String]) -> String {
    let number = path.iter().rev().find(|step| step.parse::<u32>().is_ok());
    hostile() + number.map_or("", String::as_str)
}

/// Every string of a document, by the path to it.
fn strings(value: &Value, path: &mut Path_, found: &mut Vec<Path_>) {
    match value {
        Value::String(_) => found.push(path.clone()),
        Value::Array(elements) => {
            for (at, element) in elements.iter().enumerate() {
                path.push(at.to_string());
                strings(element, path, found);
                path.pop();
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                path.push(name.clone());
                strings(field, path, found);
                path.pop();
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn at<'v>(value: &'v mut Value, path: &[String]) -> &'v mut Value {
    path.iter().fold(value, |value, step| match value {
        Value::Array(elements) => &mut elements[step.parse::<usize>().expect("an index")],
        other => &mut other[step.as_str()],
    })
}

/// A run with one case of every verdict, and a matrix of it with everything that a kernel's
/// row can have.
fn documents() -> [Value; 2] {
    let ended = run(&mut sockmig(&["run", "quiz1/v4", "--format", "json"]));
    let mut run: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    let cases = run["cases"].as_array_mut().expect("cases");
    let mismatches = json!([{ "what": "accept(B)", "expected": ["C", "D"], "actual": "EAGAIN" }]);
    let template = cases[0].clone();
    for (id, verdict) in [
        ("fails", json!({ "verdict": "fail", "mismatches": mismatches })),
        (
            "known",
            json!({
                "verdict": "known-bug", "reason": "a bug", "fix": "abc", "mismatches": mismatches,
            }),
        ),
        ("skips", json!({ "verdict": "skip", "reason": "because" })),
        ("breaks", json!({ "verdict": "error", "reason": "because" })),
        (
            "flaky",
            json!({
                "verdict": "pass", "tries": 3,
                "discarded": [{ "why": "too-slow", "what": "late" },
                              { "why": "failed", "mismatches": mismatches }],
            }),
        ),
    ] {
        let mut case = template.clone();
        case["id"] = format!("{id}/v4/on").into();
        for (name, field) in verdict.as_object().expect("fields") {
            case[name] = field.clone();
        }
        cases.push(case);
    }
    let ids: Vec<Value> = cases.iter().map(|case| case["id"].clone()).collect();
    let matrix = json!({
        "schema": 2, "sockmig": env!("CARGO_PKG_VERSION"), "took_ms": 1, "complete": true,
        "cases": ids, "shard": "1/1",
        "kernels": [{
            "name": "6.1", "fate": { "fate": "died", "why": "because" }, "run": run,
            "console": "the end", "lacks": ["veth"],
            "complaints": [{ "during": "quiz1/v4/off", "text": "WARNING" }],
            "machine": {
                "engine": "QEMU, TCG", "clock": "real", "fresh": false, "boot_ms": 1,
                "took_ms": 1, "restarts": 1,
            },
        }, { "name": "6.2", "fate": { "fate": "completed" }, "run": run }],
    });
    [run, matrix]
}

/// No character that does something, but for line breaks; no line that a CI system obeys.
#[track_caller]
fn is_harmless(text: &str, what: &str) {
    let raw = |c: char| {
        c.is_control() && c != '\n'
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{fffe}')
    };
    if let Some(c) = text.chars().find(|c| raw(*c)) {
        panic!("{what}: {c:?} is raw");
    }
    for line in text.lines() {
        assert!(!line.trim_start().starts_with("::"), "{what}: {line}");
        assert!(!line.contains("##["), "{what}: {line}");
    }
}

#[track_caller]
fn said(ended: &Ended, what: &str) {
    assert!(matches!(ended.code, Some(0 | 1 | 4 | 69)), "{what}: {ended}");
    assert!(!ended.stderr.contains("panicked at"), "{what}: {ended}");
    is_harmless(&ended.stdout, what);
    is_harmless(&ended.stderr, what);
}

fn write(place: &Path, name: &str, document: &Value) -> String {
    let path = place.join(name);
    fs::write(&path, document.to_string()).expect("written");
    path.to_str().expect("a path").to_owned()
}

/// Strings of one kind: at the same place of any case of a verdict, or of any kernel.
fn kind(document: &Value, path: &[String]) -> String {
    let case = path.iter().position(|step| step == "cases");
    let verdict = case.and_then(|at| path.get(..at + 2)).map(|case| {
        let case = case.iter().fold(document, |value, step| match value {
            Value::Array(elements) => &elements[step.parse::<usize>().expect("an index")],
            other => &other[step.as_str()],
        });
        case["verdict"].as_str().unwrap_or_default()
    });
    let names = path.iter().filter(|step| step.parse::<u32>().is_err());
    // Facts have names of their own, all of one kind.
    let names: Vec<&str> = names.map(String::as_str).take_while(|name| *name != "facts").collect();
    format!("{} {}", verdict.unwrap_or_default(), names.join("."))
}

/// The documents with everything hostile that is read with it, and what is not read makes an
/// error without anything raw.
fn all_hostile(place: &Path) -> [Value; 2] {
    documents().map(|document| {
        let mut found = vec![];
        strings(&document, &mut vec![], &mut found);
        let mut kinds = BTreeMap::new();
        let mut all = document.clone();
        for path in found {
            let kind = kind(&document, &path);
            let is_read = *kinds.entry(kind.clone()).or_insert_with(|| {
                let mut one = document.clone();
                *at(&mut one, &path) = hostile_at(&path).into();
                let file = write(place, "one.json", &one);
                let ended = run(&mut sockmig(&["diff", &file, &file]));
                said(&ended, &kind);
                let is_read = ended.code != Some(69);
                let lines = ended.stderr.trim_end().lines().count();
                assert!(is_read || lines == 2, "one sentence for each: {kind}: {ended}");
                is_read
            });
            if is_read {
                *at(&mut all, &path) = hostile_at(&path).into();
            }
        }
        let free = kinds.values().filter(|is_read| **is_read).count();
        assert!(free > 30 && free < kinds.len(), "{free} of {} kinds are text", kinds.len());
        all
    })
}

#[test]
fn nothing_that_a_document_says_is_more_than_text() {
    let place = tempfile::tempdir().expect("a directory");
    let place = place.path();
    let [run_document, matrix] = all_hostile(place);
    let hostile_runs = [write(place, "run.json", &run_document), write(place, "m.json", &matrix)];
    let [good, _] = documents();
    let good = write(place, "good.json", &good);
    for document in &hostile_runs {
        for format in ["terminal", "markdown", "json"] {
            for pair in [[document, &good], [&good, document], [document, document]] {
                let arguments = ["diff", "--strict", "--format", format];
                let ended = run(sockmig(&arguments).args(pair));
                said(&ended, &format!("diff --format {format}"));
                is_markdown(&ended.stdout, format);
            }
        }
    }
    // The ids as they are read: what is one line has no break in it.
    let id = matrix["cases"][0].as_str().expect("an id").to_owned();
    let read = |c: char| match c.is_control() || "\u{202e}\u{200b}\u{fffe}".contains(c) {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    let id: String = id.chars().map(read).collect();
    for format in ["terminal", "markdown", "json", "svg"] {
        let arguments = ["diff", "--format", format, "--case", &id, &hostile_runs[0]];
        let ended = run(sockmig(&arguments).arg(&hostile_runs[0]));
        said(&ended, &format!("diff --case --format {format}"));
        is_markdown(&ended.stdout, format);
        // Elsewhere it is text: a terminal's, a string of JSON, and code in Markdown.
        assert!(format != "svg" || !ended.stdout.contains("<script>"), "{format}");
    }
    let [junit, page, summary, out] =
        ["junit.xml", "page.md", "summary.md", "merged.json"].map(|name| place.join(name));
    // What is of no shard; one whose number is none is refused, in a sentence.
    said(&run(&mut sockmig(&["merge", &hostile_runs[1]])), "merge of a shard");
    let mut whole = matrix;
    whole["shard"] = Value::Null;
    let mut merge = sockmig(&["merge", &write(place, "whole.json", &whole)]);
    merge.arg("--junit").arg(&junit).arg("--markdown").arg(&page).arg("--out").arg(&out);
    let ended = run(merge.env("GITHUB_STEP_SUMMARY", &summary));
    said(&ended, "merge");
    let text = |path: &Path| fs::read_to_string(path).expect("written");
    for path in [&page, &summary] {
        is_harmless(&text(path), "Markdown");
        is_markdown(&text(path), "markdown");
    }
    assert_eq!(junit_rules::check(&text(&junit)), Ok(()));
    let merged: Value = serde_json::from_str(&text(&out)).expect("JSON");
    assert_eq!(merged["kernels"].as_array().map(Vec::len), Some(2));

    let html = place.join("report.html");
    let mut report = sockmig(&["report", "-o"]);
    let ended = run(report.arg(&html).args(&hostile_runs));
    said(&ended, "report");
    is_harmless(&text(&html), "HTML");
    assert_eq!(text(&html).matches("<script").count(), 1, "the page's own");
    assert_eq!(text(&html).matches("<img").count(), 0);
}

/// What opens is closed, and what is a table has as many bars in each row as in its head.
#[track_caller]
fn is_markdown(text: &str, format: &str) {
    if format != "markdown" {
        return;
    }
    // Within a fence everything is text.
    let mut fence: Option<String> = None;
    let mut plain = vec![];
    for line in text.lines() {
        let ticks: String = line.chars().take_while(|c| *c == '`').collect();
        match &fence {
            Some(open) if line == open => fence = None,
            Some(_) => {}
            None if ticks.len() >= 3 => fence = Some(ticks),
            None => plain.push(line),
        }
    }
    assert_eq!(fence, None, "a fence is open: {text}");
    let joined = plain.join("\n");
    assert_eq!(
        joined.matches("<details").count(),
        joined.matches("</details>").count(),
        "{joined}"
    );
    assert!(!joined.contains("<script") && !joined.contains("<img"), "{joined}");
    let bars = |line: &str| line.replace(r"\|", "").matches('|').count();
    for rows in plain.split(|line| !line.starts_with('|')).filter(|rows| !rows.is_empty()) {
        let counts: BTreeSet<usize> = rows.iter().map(|row| bars(row)).collect();
        assert_eq!(counts.len(), 1, "a row has other cells: {rows:?}");
    }
}

/// What a user types is shown as it is typed, and does nothing either.
#[test]
fn nothing_that_a_user_types_is_more_than_text() {
    let text = "\u{1b}[31m\u{7}\n::error::faked\r##[error]\u{202e}";
    let missing = format!("missing/{text}");
    let place = tempfile::tempdir().expect("a directory");
    for arguments in [
        &[text][..],
        &["run", text],
        &["run", "quiz1", "--jobs", text],
        &["run", "quiz1", "--format", text],
        &["run", "quiz1/v4/off", "--out", &missing],
        &["run", "quiz1/v4/off", "--junit", &missing, "--markdown", text],
        &["run", "quiz1/v4/off", "--known", text],
        &["list", text],
        &["explain", text],
        &["inspect", "--netns", text],
        &["inspect", "--pid", text],
        &["inspect", "--check", "--netns", text],
        &["known", "check", text],
        &["diff", text, text],
        &["diff", "--case", text, text],
        &["merge", text],
        &["report", text],
        &["report", text, "-o", text],
        &["matrix", "--kernel", text],
        &["matrix", text, "--kernel", "6.12"],
        &["matrix", "--shard", text],
        &["matrix", "--kernel", "6.12", "--modules", text],
        &["vm-run", "--kernel", text, "--", text],
        &["vm-run", "--kernel", "6.12", "--", text],
        &["vm-run", "--share", text, "--", "/bin/true"],
        &["kernels", "fetch", text],
        &["kernels", "list", text],
        &["reload", text],
        &["reload", "--show", text],
        &["reload", "--server", text, "--check"],
        &["reload", "--start", text, "--reload", text],
        &["reload", "--workers", text],
        &["reload", "--kernel", text],
    ] {
        let mut command = sockmig(arguments);
        command.current_dir(&place).env("SOCKMIG_CACHE", place.path().join("cache"));
        let ended = run(&mut command);
        assert_ne!(ended.code, Some(0), "{arguments:?}: {ended}");
        assert!(!ended.stderr.contains("panicked"), "{ended}");
        assert!(!(ended.stderr.is_empty() && ended.stdout.is_empty()), "{ended}");
        is_harmless(&ended.stdout, &format!("{arguments:?}"));
        is_harmless(&ended.stderr, &format!("{arguments:?}"));
    }
}

/// Nor is what stands in the environment.
#[test]
fn nothing_in_the_environment_is_more_than_text() {
    let text = "\u{1b}[31m\u{7}\n::error::faked\r##[error]\u{202e}";
    let names = ["SOCKMIG_GATE", "SOCKMIG_CACHE", "KSFT_MACHINE_SLOW", "SOCKMIG_X", "COLUMNS"];
    for name in names.into_iter().chain(["TMPDIR", "TERM", "PATH", "GITHUB_STEP_SUMMARY"]) {
        for arguments in [&["run", "quiz1/v4/off"][..], &["kernels", "list"], &["doctor"]] {
            let place = tempfile::tempdir().expect("a directory");
            let ended = run(sockmig(arguments).env(name, text).current_dir(&place));
            assert!(matches!(ended.code, Some(0 | 4 | 69)), "{name}: {ended}");
            assert!(!ended.stderr.contains("panicked"), "{name}: {ended}");
            is_harmless(&ended.stdout, name);
            is_harmless(&ended.stderr, name);
        }
    }
}

/// Nor does a command begin where a narrow terminal breaks a line.
#[test]
fn no_command_begins_where_a_line_is_broken() {
    let words = "word ::error::faked ##[error] ".repeat(20);
    for arguments in [&["run", &words][..], &["explain", &words], &["known", "check", &words]] {
        for width in [1, 5, 13, 20, 34, 40] {
            let ended = run(sockmig(arguments).env("COLUMNS", width.to_string()));
            is_harmless(&ended.stdout, &format!("{arguments:?}"));
            is_harmless(&ended.stderr, &format!("{arguments:?}"));
        }
    }
}

/// Nor need it be text at all.
#[test]
fn an_argument_that_is_no_text_is_refused_in_a_sentence() {
    let place = tempfile::tempdir().expect("a directory");
    let strange = OsStr::from_bytes(b"\xff\xfe.json");
    for arguments in [
        &[][..],
        &["run"],
        &["list"],
        &["run", "quiz1", "--jobs"],
        &["explain"],
        &["known", "check"],
        &["diff", "a.json"],
        &["diff", "--case", "quiz1"],
        &["merge"],
        &["report"],
        &["matrix", "--kernel"],
        &["matrix", "--bisect", "--kernel"],
        &["vm-run", "--kernel", "6.12", "--"],
        &["reload"],
        &["reload", "--server"],
        &["inspect", "--netns"],
        &["inspect", "--check", "--netns"],
    ] {
        let mut command = sockmig(arguments);
        let ended = run(command.arg(strange).current_dir(&place));
        let code = ended.code;
        assert!(matches!(code, Some(2 | 3 | 4 | 69 | 125 | 129)), "{arguments:?}: {ended}");
        assert!(!ended.stderr.contains("panicked"), "{arguments:?}: {ended}");
    }
    let page = OsStr::from_bytes(b"\xff.html");
    let document = run(&mut sockmig(&["run", "quiz1/v4/off", "--format", "json"])).stdout;
    fs::write(place.path().join("run.json"), document).expect("written");
    let mut report = sockmig(&["report", "run.json", "-o"]);
    let ended = run(report.arg(page).current_dir(&place));
    assert_eq!(ended.code, Some(0), "{ended}");
    assert!(place.path().join(page).is_file());
}

/// Arguments that mean something to processes of sockmig's own.
#[test]
fn nobody_else_starts_sockmigs_own_processes() {
    for arguments in [
        &["__lab"][..],
        &["__lab", "x", "y"],
        &["__worker"],
        &["__worker", "{}"],
        &["__guest"],
        &["__guest", "sockmig"],
    ] {
        let ended = run(&mut sockmig(arguments));
        let said = format!("{} is for sockmig's own use; see sockmig --help\n", arguments[0]);
        let expected = (Some(2), String::new(), said);
        assert_eq!((ended.code, ended.stdout, ended.stderr), expected, "{arguments:?}");
    }
}
