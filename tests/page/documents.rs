//! Documents to make pages of: real ones, and real ones with what seldom happens put in.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use harness::trace::Line;
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

/// What a page must show and not run.
pub const HOSTILE: &str = "<script>document.title='taken'</script>\"'&<img src=x onerror=alert(1)>";

/// Runs the command; it must succeed.
fn sockmig(arguments: &[&str]) {
    let ended = Command::new(env!("CARGO_BIN_EXE_sockmig")).args(arguments).output();
    let ended = ended.expect("the command can be started");
    // 1: this machine's kernel deviates, which is not this program's matter.
    let fine = ended.status.code().is_some_and(|code| code <= 1);
    assert!(fine, "{arguments:?}: {}", String::from_utf8_lossy(&ended.stderr));
}

/// A directory with `run/run.json` of every case, made once for all tests of this program.
pub fn every_case() -> &'static Path {
    static PLACE: OnceLock<PathBuf> = OnceLock::new();
    PLACE.get_or_init(|| {
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("every-case");
        // What an earlier run of the tests has left.
        let _ = std::fs::remove_dir_all(&place);
        std::fs::create_dir_all(&place).expect("a directory");
        run_into(&place, &[]);
        place
    })
}

/// What was recorded of a case.
#[derive(Deserialize)]
pub struct Case {
    pub id: String,
    pub trace: Vec<Line>,
}

/// The records of every case, read once for all tests of this program.
pub fn traces() -> &'static [Case] {
    #[derive(Deserialize)]
    struct Run {
        cases: Vec<Case>,
    }
    static CASES: OnceLock<Vec<Case>> = OnceLock::new();
    CASES.get_or_init(|| {
        let document = std::fs::read(every_case().join("run/run.json")).expect("run.json");
        let run: Run = serde_json::from_slice(&document).expect("a document of sockmig");
        run.cases
    })
}

/// A directory with `run.json` of these cases, and their captures.
pub fn run(ids: &[&str]) -> TempDir {
    let place = tempfile::tempdir().expect("a directory");
    run_into(place.path(), ids);
    place
}

fn run_into(place: &Path, ids: &[&str]) {
    let out = place.join("run");
    let out = out.to_str().expect("a path");
    sockmig(&[&["run", "--out", out], ids].concat());
}

/// The page of documents in a directory.
pub fn page(place: &Path, documents: &[&str]) -> PathBuf {
    let page = place.join("report.html");
    let documents: Vec<String> =
        documents.iter().map(|name| place.join(name).display().to_string()).collect();
    let mut arguments = vec!["report", "-o", page.to_str().expect("a path")];
    arguments.extend(documents.iter().map(String::as_str));
    sockmig(&arguments);
    page
}

fn read(file: &Path) -> Value {
    let text = std::fs::read(file).expect("a document");
    serde_json::from_slice(&text).expect("JSON")
}

/// As a kernel's row of a matrix.
fn kernel(name: &str, run: &Value) -> Value {
    json!({
        "name": name,
        "fate": { "fate": "completed" },
        "machine": {
            "engine": "QEMU, TCG", "clock": "virtual", "fresh": false,
            "boot_ms": 2100, "took_ms": 9000, "restarts": 0,
        },
        "run": run,
    })
}

fn matrix(run: &Value, kernels: &[Value]) -> Value {
    let cases: Vec<&Value> =
        run["cases"].as_array().expect("cases").iter().map(|case| &case["id"]).collect();
    json!({
        "schema": 1, "sockmig": run["sockmig"], "cases": cases, "took_ms": 61_234,
        "complete": true, "kernels": kernels,
    })
}

/// In addition to the run, a matrix with everything that can go wrong, and with hostile words.
pub fn put_everything_wrong(place: &Path) {
    let run = read(&place.join("run/run.json"));
    let mut bad = run.clone();
    for (at, case) in bad["cases"].as_array_mut().expect("cases").iter_mut().enumerate() {
        let verdict = match at % 5 {
            0 => json!({ "verdict": "fail", "mismatches": [
                { "what": "the wire of C", "expected": ["S > C  R. 1:1(0)", "nothing"],
                  "actual": HOSTILE, "trace_line": 5 },
            ]}),
            1 => json!({ "verdict": "error", "reason": "hung: killed after 30 s" }),
            2 => json!({ "verdict": "known-bug", "reason": "A bug of old.", "fix": "3864c6ba1e04",
                         "mismatches": [] }),
            3 => json!({ "verdict": "skip", "reason": HOSTILE }),
            _ => json!({ "verdict": "pass", "stale": "expected and not seen: A bug of old." }),
        };
        let case = case.as_object_mut().expect("a case");
        case.extend(verdict.as_object().expect("a verdict").clone());
    }
    let mut complaining = kernel("6.12.85-1", &bad);
    complaining["complaints"] = json!([{
        "during": "quiz1/v4/on",
        "text": format!("WARNING: CPU: 0 PID: 1 at {HOSTILE}\nCall Trace:\n f+0x1/0x2"),
    }]);
    complaining["lacks"] = json!(["the module nf_tables: no such file"]);
    let mut panicked = kernel(
        "a-kernel-with-a-name-that-is-really-long-and-has-no-blanks-at-all.bin",
        &Value::Null,
    );
    panicked["fate"] = json!({ "fate": "panicked", "why": "Kernel panic - not syncing" });
    panicked["console"] = json!("BUG: kernel NULL pointer dereference\nRIP: 0010:f+0x1/0x2");
    panicked.as_object_mut().expect("a kernel").remove("run");
    let whole = matrix(&run, &[kernel("6.12.86-1", &run), complaining, panicked]);
    let name = place.join("matrix.json");
    std::fs::write(name, whole.to_string()).expect("written");
}

/// In addition to the run, a matrix of fifteen kernels of which each did what this one did; the
/// first with a deviation in every tenth case.
pub fn put_fifteen_kernels(place: &Path) {
    let run = read(&place.join("run/run.json"));
    let mut deviating = run.clone();
    for case in deviating["cases"].as_array_mut().expect("cases").iter_mut().step_by(10) {
        case["verdict"] = json!("fail");
        case["mismatches"] = json!([
            { "what": "accept(B)", "expected": ["C's connection"], "actual": "EAGAIN" },
        ]);
    }
    // Fifteen times as much is put together as text: building it would take longer than all else.
    let well = run.to_string();
    let deviating = deviating.to_string();
    let place_of = |at: usize| format!("the run of kernel {at}");
    let kernels = (0..15).map(|at| kernel(&format!("6.{at}.1{at}4-1"), &json!(place_of(at))));
    let whole = matrix(&run, &kernels.collect::<Vec<_>>()).to_string();
    let mut rest = whole.as_str();
    let mut file = File::create(place.join("fifteen.json")).expect("a file");
    let mut write = |text: &str| file.write_all(text.as_bytes()).expect("written");
    for at in 0..15 {
        let (before, after) = rest.split_once(&format!("\"{}\"", place_of(at))).expect("a place");
        write(before);
        write(if at == 0 { &deviating } else { &well });
        rest = after;
    }
    write(rest);
}
