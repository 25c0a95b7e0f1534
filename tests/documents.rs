//! `sockmig diff` and `sockmig merge`, with good documents and with bad ones.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use harness::fault_injection;
use rstest::rstest;
use serde_json::{Value, json};
use support::{Ended, run, sockmig};

/// A directory with documents in it.
struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a directory") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, document: &Value) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, document.to_string()).expect("written");
        path
    }
}

/// What `sockmig run` really writes, so that these tests know nothing of a lab's machine.
fn real_run() -> &'static Value {
    static REAL: OnceLock<Value> = OnceLock::new();
    REAL.get_or_init(|| {
        let ended = run(&mut sockmig(&["run", "quiz1/v4", "--format", "json"]));
        serde_json::from_str(&ended.stdout).expect("JSON")
    })
}

/// A run of quiz 1 with these verdicts, with migration off and on.
fn run_document(release: &str, verdicts: [&str; 2]) -> Value {
    let mut document = real_run().clone();
    document["environment"]["kernel"]["release"] = release.into();
    for (case, verdict) in document["cases"].as_array_mut().expect("cases").iter_mut().zip(verdicts)
    {
        case["verdict"] = verdict.into();
        match verdict {
            "skip" | "error" => case["reason"] = "because".into(),
            "fail" => {
                case["mismatches"] =
                    json!([{ "what": "accept(B)", "expected": ["C"], "actual": "EAGAIN" }]);
            }
            _ => {}
        }
    }
    document
}

/// A matrix of kernels that all have these verdicts.
fn matrix_document(shard: Option<&str>, kernels: &[&str], verdicts: [&str; 2]) -> Value {
    let kernel = |name: &&str| {
        json!({
            "name": name, "fate": { "fate": "completed" }, "run": run_document(name, verdicts),
        })
    };
    let mut document = json!({
        "schema": 1, "sockmig": env!("CARGO_PKG_VERSION"), "took_ms": 1, "complete": true,
        "cases": ["quiz1/v4/off", "quiz1/v4/on"],
        "kernels": kernels.iter().map(kernel).collect::<Vec<_>>(),
    });
    if let Some(shard) = shard {
        document["shard"] = shard.into();
    }
    document
}

fn diff(before: &Path, after: &Path) -> Ended {
    run(sockmig(&["diff"]).arg(before).arg(after))
}

fn merge(parts: &[&Path], arguments: &[&str]) -> Ended {
    let mut command = sockmig(&["merge"]);
    run(command.args(parts).args(arguments).env_remove("GITHUB_STEP_SUMMARY"))
}

/// One sentence on stderr, no panic.
fn says(ended: &Ended, code: i32, words: &str) {
    assert_eq!(ended.code, Some(code), "{ended}");
    assert!(ended.stderr.contains(words), "`{words}` is not said: {ended}");
    assert_eq!(ended.stderr.lines().count(), 1, "one sentence: {ended}");
    assert!(!ended.stderr.contains("panicked"), "{ended}");
}

#[test]
fn what_run_writes_diff_reads() {
    let place = Place::new();
    let out = place.path("out");
    let ended = run(sockmig(&["run", "quiz1/v4", "--out"]).arg(&out));
    assert_eq!(ended.code, Some(0), "{ended}");
    let found = out.join("run.json");
    let ended = diff(&found, &found);
    assert_eq!(ended.code, Some(0), "{ended}");
    assert_eq!(ended.stdout, "0 regressions, 0 fixes; 2 as before\n");
    says(&merge(&[&found], &[]), 69, "only matrices can be put together");
}

#[test]
fn a_document_from_before_programs_is_read() {
    let place = Place::new();
    let mut old = real_run().clone();
    let kernel = old["environment"]["kernel"].as_object_mut().expect("a kernel");
    for later in ["programs", "may_load_programs", "machine_is_ours"] {
        kernel.remove(later).expect("what a kernel is asked today");
    }
    let old = place.write("old.json", &old);
    let ended = diff(&old, &old);
    assert_eq!(ended.code, Some(0), "{ended}");
}

#[test]
fn a_regression_is_exit_code_1() {
    let place = Place::new();
    let good = place.write("good.json", &run_document("6.1-good", ["pass", "skip"]));
    let bad = place.write("bad.json", &run_document("6.1-bad", ["fail", "pass"]));
    let ended = diff(&good, &bad);
    assert_eq!(ended.code, Some(1), "{ended}");
    assert!(ended.stdout.contains("ok -> FAIL on 6.1-good -> 6.1-bad"), "{ended}");
    assert_eq!(diff(&bad, &good).code, Some(0));

    let ended = run(sockmig(&["diff", "--format", "json"]).arg(&good).arg(&bad));
    let document: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!(document["regressions"], 1, "{document}");
    let ended = run(sockmig(&["diff", "--format", "markdown"]).arg(&good).arg(&bad));
    assert!(ended.stdout.contains("<details open><summary>Regressions (1)"), "{ended}");
}

#[test]
fn a_run_is_compared_with_a_matrix_of_one_kernel() {
    let place = Place::new();
    let one = place.write("run.json", &run_document("6.1-here", ["pass", "pass"]));
    let other = place.write("matrix.json", &matrix_document(None, &["6.1-1"], ["pass", "error"]));
    let ended = diff(&one, &other);
    assert_eq!(ended.code, Some(1), "{ended}");
    assert!(ended.stdout.contains("ok -> error on 6.1-here -> 6.1-1"), "{ended}");
}

#[rstest]
#[case::empty("", "is empty")]
#[case::cut_off(r#"{"schema": 1, "sockmig": "0.1"#, "is cut off")]
#[case::no_json("PK\u{3}\u{4}", "is not JSON")]
#[case::other_json(r#"{"name": "x"}"#, "is JSON, and no document of sockmig")]
#[case::newer(
    r#"{"schema": 3, "sockmig": "3.0.0", "suites": 1}"#,
    concat!(
        "written by sockmig 3.0.0 in version 3 of the documents, and this sockmig ",
        env!("CARGO_PKG_VERSION"),
        " reads them up to version 2"
    )
)]
#[case::damaged(r#"{"schema": 1, "sockmig": "0.1.0", "kernels": 3}"#, "is a damaged document")]
fn what_cannot_be_read_is_said(#[case] text: &str, #[case] words: &str) {
    let place = Place::new();
    let good = place.write("good.json", &matrix_document(None, &["6.1-1"], ["pass", "pass"]));
    let bad = place.path("bad.json");
    fs::write(&bad, text).expect("written");
    let (first, second) = (diff(&bad, &good), diff(&good, &bad));
    for ended in [first, second, merge(&[&good, &bad], &[])] {
        says(&ended, 69, words);
        assert!(ended.stderr.contains("bad.json"), "{ended}");
    }
    let ended = diff(&bad, &bad);
    assert_eq!((ended.code, ended.stderr.lines().count()), (Some(69), 2), "one each: {ended}");
}

#[test]
fn what_is_not_there_is_said() {
    let place = Place::new();
    let good = place.write("good.json", &matrix_document(None, &["6.1-1"], ["pass", "pass"]));
    says(&diff(&good, &place.path("missing.json")), 69, "missing.json: No such file");
    says(&diff(&good, place.directory.path()), 69, "Is a directory");
    assert_eq!(run(&mut sockmig(&["merge"])).code, Some(2), "parts are needed");
    assert_eq!(run(sockmig(&["diff"]).arg(&good)).code, Some(2), "two are needed");
}

#[test]
fn parts_are_put_together() {
    let place = Place::new();
    let one = place.write("1.json", &matrix_document(Some("1/2"), &["6.1-1"], ["pass", "skip"]));
    let two = place.write("2.json", &matrix_document(Some("2/2"), &["6.2-1"], ["pass", "pass"]));
    let path = |name: &str| place.path(name).to_str().expect("a name").to_owned();
    let (out, page, xml) = (path("whole.json"), path("page.md"), path("junit.xml"));
    let files = ["--out", &out, "--markdown", &page, "--junit", &xml];
    let ended = merge(&[&one, &two], &files);
    assert_eq!(ended.code, Some(0), "{ended}");
    assert!(ended.stdout.contains("2 kernels: 2 completed; 4 cells: 3 ok, 1 skip"), "{ended}");
    let read = |path: &str| fs::read_to_string(path).expect("written");
    let whole: Value = serde_json::from_str(&read(&out)).expect("JSON");
    assert_eq!(whole["kernels"].as_array().map(Vec::len), Some(2));
    assert!(whole.get("shard").is_none(), "it is the whole: {whole}");
    assert!(read(&page).starts_with("## sockmig"));
    assert!(read(&xml).contains("<testsuites"));
    assert_eq!(diff(Path::new(&out), Path::new(&out)).code, Some(0));

    let ended = merge(&[&two], &files);
    says(&ended, 69, "shard 1/2 is missing");
    assert!(ended.stdout.contains("Only shard 2/2 of the kernels."), "{ended}");
    let bad = place.write("3.json", &matrix_document(Some("1/2"), &["6.1-1"], ["fail", "pass"]));
    assert_eq!(merge(&[&bad, &two], &[]).code, Some(1), "a kernel deviates");
    says(&merge(&[&one, &bad], &[]), 69, "the kernel 6.1-1 is in");
}

#[test]
fn the_summary_of_a_job_is_added_to() {
    let place = Place::new();
    let one = place.write("1.json", &matrix_document(None, &["6.1-1"], ["pass", "pass"]));
    let summary = place.path("summary.md");
    fs::write(&summary, "What was there.\n").expect("written");
    for times in 1..=2 {
        let mut command = sockmig(&["merge"]);
        let ended = run(command.arg(&one).env("GITHUB_STEP_SUMMARY", &summary));
        assert_eq!(ended.code, Some(0), "{ended}");
        let text = fs::read_to_string(&summary).expect("there");
        assert!(text.starts_with("What was there.\n## sockmig"), "{text}");
        assert_eq!(text.matches("## sockmig").count(), times);
    }
    let mut command = sockmig(&["merge"]);
    let ended = run(command.arg(&one).env("GITHUB_STEP_SUMMARY", place.path("missing/x")));
    says(&ended, 69, "cannot write");
}

#[test]
fn the_table_survives_files_that_cannot_be_written() {
    let place = Place::new();
    let one = place.write("1.json", &matrix_document(None, &["6.1-1"], ["pass", "pass"]));
    let full = place.path("full");
    fs::create_dir(&full).expect("mkdir");
    for argument in ["--out", "--markdown", "--junit"] {
        let mut command = sockmig(&["merge"]);
        command.arg(&one).arg(argument).arg(full.join("file")).env_remove("GITHUB_STEP_SUMMARY");
        fault_injection::with_full_disk(&mut command, &full);
        let ended = run(&mut command);
        says(&ended, 69, "No space left on device");
        assert!(ended.stdout.contains("1 kernel: 1 completed"), "{ended}");
        assert_eq!(fs::read_dir(&full).expect("a directory").count(), 0, "nothing is left");

        let missing = place.path("missing/file");
        let missing = missing.to_str().expect("a name");
        let ended = merge(&[&one], &[argument, missing]);
        says(&ended, 69, "cannot write");
        assert!(ended.stdout.contains("1 kernel: 1 completed"), "{ended}");
    }
}

#[test]
fn a_table_is_as_wide_as_it_is_told() {
    let place = Place::new();
    let one = place.write("1.json", &matrix_document(None, &["6.1-1"], ["pass", "pass"]));
    for columns in ["", "0", "-1", "wide", "80", "99999999999999999999999", "10000"] {
        let mut command = sockmig(&["merge"]);
        let ended = run(command.arg(&one).env("COLUMNS", columns));
        assert_eq!(ended.code, Some(0), "{ended}");
        assert!(!ended.stdout.contains('\x1b'), "no colour where there is no terminal: {ended}");
    }
}

#[test]
fn two_runs_of_a_case_stand_next_to_each_other() {
    let place = Place::new();
    let one = place.write("one.json", real_run());
    let mut other = run_document("7.99-other", ["pass", "fail"]);
    let trace = other["cases"][0]["trace"].as_array_mut().expect("a trace");
    trace.retain(|line| !line.as_str().is_some_and(|line| line.contains("  R. 1:1(0)")));
    let other = place.write("other.json", &other);
    let diff = |arguments: &[&str], paths: &[&Path]| {
        run(sockmig(&["diff"]).args(arguments).args(paths).env("COLUMNS", "120"))
    };

    let settings = diff(&["--case", "quiz1/v4"], &[&one]);
    assert_eq!(settings.code, Some(0), "{settings}");
    // Where there is no migration, nothing was seen on the other side.
    let migrates = real_run()["cases"][1]["verdict"] == "pass";
    let received = if migrates { "recv(C): ECONNRESET; `Hi`" } else { ": skip" };
    for part in ["quiz1/v4/off on", "quiz1/v4/on on", "* |<----", received] {
        assert!(settings.stdout.contains(part), "{part}: {settings}");
    }
    let kernels = diff(&["--case", "quiz1/v4/off"], &[&one, &other]);
    assert_eq!(kernels.code, Some(0), "{kernels}");
    assert!(kernels.stdout.contains("1 line differs, marked by *"), "{kernels}");
    let same = diff(&["--case", "quiz1/v4/off"], &[&one, &one]);
    assert!(same.stdout.ends_with("no line differs\n"), "{same}");

    let json = diff(&["--case", "quiz1/v4", "--format", "json"], &[&one]);
    let json: Value = serde_json::from_str(&json.stdout).expect("JSON");
    let columns = if migrates { json!(["A", "B"]) } else { json!(["S"]) };
    assert_eq!(json["sides"][1]["ladder"]["columns"], columns);
    let svg = diff(&["--case", "quiz1/v4", "--format", "svg"], &[&one]);
    assert!(svg.stdout.starts_with("<svg ") && svg.stdout.contains("<style>"), "{svg}");
    let markdown = diff(&["--case", "quiz1/v4", "--format", "markdown"], &[&one]);
    assert!(markdown.stdout.starts_with("## sockmig: quiz1/v4/off on"), "{markdown}");
}

#[rstest]
#[case::too_many(&["--case", "quiz1"], 2, 69, "of `quiz1` there are 4 runs: quiz1/v4/off on")]
#[case::none(&["--case", "quiz1/v6"], 1, 69, "no run of `quiz1/v6` is in the documents")]
#[case::one(&["--case", "quiz1/v4/on"], 1, 69, "of `quiz1/v4/on` there is 1 run")]
#[case::no_such_kernel(&["--case", "quiz1/v4", "--kernel", "2.6"], 1, 69, "no run of `quiz1/v4`")]
#[case::kernel_without_case(&["--kernel", "6.1"], 2, 2, "--case")]
#[case::svg_without_case(&["--format", "svg"], 2, 2, "say of which case, with --case ID")]
#[case::one_document_without_case(&[], 1, 2, "AFTER.json")]
fn what_cannot_stand_side_by_side(
    #[case] arguments: &[&str],
    #[case] documents: usize,
    #[case] code: i32,
    #[case] why: &str,
) {
    let place = Place::new();
    let path = place.write("one.json", real_run());
    let ended = run(sockmig(&["diff"]).args(arguments).args(vec![&path; documents]));
    assert_eq!(ended.code, Some(code), "{ended}");
    assert!(ended.stderr.contains(why), "{ended}");
    assert_eq!(ended.stdout, "", "{ended}");
}

#[test]
fn a_page_goes_to_standard_output_if_asked() {
    let place = Place::new();
    let document = place.write("run.json", real_run());
    let ended = run(sockmig(&["report", "-o", "-"]).arg(&document).current_dir(&place.directory));
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended}");
    assert!(ended.stdout.starts_with("<!DOCTYPE html>") && ended.stdout.ends_with("</html>"));
    assert_eq!(fs::read_dir(&place.directory).expect("a directory").count(), 1, "no file");
}

#[test]
fn a_flaky_case_can_be_denied_when_parts_are_put_together() {
    let place = Place::new();
    let mut matrix = matrix_document(None, &["6.1"], ["pass", "pass"]);
    let quiet = place.write("quiet.json", &matrix);
    assert_eq!(merge(&[&quiet], &["--deny-flaky"]).code, Some(0));
    let case = &mut matrix["kernels"][0]["run"]["cases"][0];
    case["tries"] = 2.into();
    case["discarded"] = json!([{ "why": "too-slow", "what": "the wire was late" }]);
    let slow = place.write("slow.json", &matrix);
    assert_eq!(merge(&[&slow], &["--deny-flaky"]).code, Some(0), "it never failed");
    let mismatch = json!({ "what": "accept(B)", "expected": ["C"], "actual": "EAGAIN" });
    matrix["kernels"][0]["run"]["cases"][0]["discarded"] =
        json!([{ "why": "failed", "mismatches": [mismatch] }]);
    let flaky = place.write("flaky.json", &matrix);
    assert_eq!(merge(&[&flaky], &[]).code, Some(0));
    let denied = merge(&[&flaky], &["--deny-flaky"]);
    assert_eq!(denied.code, Some(1), "{denied}");
    assert!(denied.stdout.contains("Flaky"), "{denied}");
}

/// What is no document and never ends is left after its beginning.
#[test]
fn what_never_ends_is_no_document() {
    says(&merge(&[Path::new("/dev/zero")], &[]), 69, "is not JSON");
}

#[test]
fn a_shard_without_a_kernel_says_so() {
    let this = env!("CARGO_BIN_EXE_sockmig");
    let ended = run(&mut sockmig(&["matrix", "quiz1/v4", "--kernel", this, "--shard", "2/2"]));
    says(&ended, 4, "of 1 kernel shard 2/2 has none");
}

#[test]
fn no_result_is_in_the_place_of_another() {
    let place = Place::new();
    let out = place.path("results");
    for (command, name) in [("run", "run.json"), ("matrix", "matrix.json")] {
        for option in ["--junit", "--markdown"] {
            let file = out.join(name);
            let mut line = sockmig(&[command, "quiz1/v4/off", "--out"]);
            line.arg(&out).arg(option).arg(&file);
            if command == "matrix" {
                line.args(["--kernel", env!("CARGO_BIN_EXE_sockmig")]);
            }
            let ended = run(&mut line);
            says(&ended, 2, &format!("{name} is the file of --out and of {option}"));
            assert!(!file.exists(), "{ended}");
        }
    }
}

#[test]
fn no_part_is_written_over() {
    let place = Place::new();
    let matrix = matrix_document(None, &["6.1"], ["pass", "pass"]);
    let part = place.write("part.json", &matrix);
    let before = fs::read(&part).expect("a part");
    for option in ["--out", "--junit", "--markdown"] {
        let ended = merge(&[&part], &[option, part.to_str().expect("a path")]);
        says(&ended, 2, &format!("would be written over: choose another file for {option}"));
    }
    assert_eq!(fs::read(&part).expect("a part"), before);
    let ended = merge(&[&part], &["--junit", "/x/same", "--markdown", "/x/same"]);
    says(&ended, 2, "/x/same is the file of --junit and of --markdown");
    let ended = merge(&[&part], &["--out", "-"]);
    assert_eq!(ended.code, Some(2), "{ended}");
    assert!(ended.stderr.contains("standard output has the results anyway"), "{ended}");
}

/// As editors and shells of other systems write them.
#[test]
fn a_document_may_begin_with_a_mark_and_may_not_be_in_utf_16() {
    let place = Place::new();
    let text = real_run().to_string();
    let (marked, wide) = (place.path("marked.json"), place.path("wide.json"));
    let text = format!("\u{feff}{text}");
    fs::write(&marked, &text).expect("written");
    let words = text.encode_utf16().flat_map(u16::to_le_bytes);
    fs::write(&wide, words.collect::<Vec<u8>>()).expect("written");
    assert_eq!(diff(&marked, &marked).code, Some(0));
    says(&merge(&[&wide], &[]), 69, "is text in UTF-16: write it in UTF-8");
}
