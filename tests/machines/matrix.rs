//! `sockmig matrix` on good days.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::kernels::Kernels;
use crate::support::schema::Validator;
use crate::support::{Ended, run, sockmig};
use crate::{Needs, Test};

pub const TESTS: &[Test] = &[
    ("matrix/a_known_bug_here_and_fixed_there", Needs::Edge, a_known_bug_here_and_fixed_there),
    ("matrix/everything_that_was_asked_for_is_kept", Needs::Two, everything_is_kept),
    (
        "matrix/the_same_verdicts_with_all_run_options",
        Needs::Machine,
        the_same_with_all_run_options,
    ),
    ("matrix/shards_make_the_whole", Needs::Two, shards_make_the_whole),
    ("matrix/two_at_once_on_one_cache", Needs::Two, two_at_once_on_one_cache),
    ("matrix/a_kernel_of_ones_own", Needs::Elf, a_kernel_of_ones_own),
    ("matrix/the_table_in_the_documents", Needs::Two, the_table_in_the_documents),
    ("matrix/without_qemu", Needs::Kernel, without_qemu),
    ("matrix/kvm_that_runs_nothing", Needs::DeadKvm, kvm_that_runs_nothing),
];

/// `sockmig matrix` in the emulator, on these kernels.
pub fn matrix(kernels: &[&str], rest: &[&str]) -> Command {
    let mut command = sockmig(&["matrix", "--accel", "tcg"]);
    for kernel in kernels {
        command.args(["--kernel", kernel]);
    }
    command.args(rest).env_remove("GITHUB_STEP_SUMMARY");
    command
}

/// A `matrix.json`.
pub fn document(path: &Path) -> Value {
    let text = fs::read_to_string(path).expect("matrix.json");
    let document = serde_json::from_str(&text).expect("JSON");
    Validator::of("matrix").check(&document);
    document
}

/// How each kernel's machine ended, by name.
pub fn ends(document: &Value) -> BTreeMap<&str, &str> {
    let kernels = document["kernels"].as_array().expect("kernels").iter();
    kernels.map(|kernel| (text(&kernel["name"]), text(&kernel["end"]["how"]))).collect()
}

/// Every verdict, by kernel and case.
fn verdicts(document: &Value) -> BTreeMap<(&str, &str), &str> {
    let kernels = document["kernels"].as_array().expect("kernels").iter();
    let of_kernel = |kernel| {
        let kernel: &Value = kernel;
        let cases = kernel["run"]["cases"].as_array().expect("cases").iter();
        cases.map(|case| ((text(&kernel["name"]), text(&case["id"])), text(&case["verdict"])))
    };
    kernels.flat_map(of_kernel).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

/// What the table says of a kernel, which may be in several parts.
fn rows<'a>(ended: &'a Ended, kernel: &str) -> Vec<&'a str> {
    let beginning = format!("{kernel} ");
    let lines = ended.stdout.lines().filter(|line| line.starts_with(&beginning));
    // One line reports its end, and in how many seconds that was.
    let rows: Vec<_> = lines.filter(|line| !line.ends_with(" s")).collect();
    assert!(!rows.is_empty(), "no row of {kernel}: {ended}");
    rows
}

/// A user's own list, which is about one of the cases that show the bug.
const OWN_LIST: &str = r#"
[[bug]]
id = "our-listener-sleeps"
title = "A listener of ours is not woken"
cause = "A listener of ours is not woken."
fixed_by = ["a patch of ours"]
fixed_in = ["6.1.175", "6.12.86", "7.1"]

[[bug.case]]
id = "wake-up/epoll/v4"
observed = { "the waiter" = "asleep" }
"#;

fn a_known_bug_here_and_fixed_there(kernels: &Kernels) {
    let edge @ [bad, good] = kernels.edge().expect("it is needed");
    let place = tempfile::tempdir().expect("a directory");
    let (out, list) = (place.path().join("out"), place.path().join("own.toml"));
    fs::write(&list, OWN_LIST).expect("written");
    let mut command = matrix(&edge, &["quiz1", "quiz2", "wake-up"]);
    let ended = run(command.arg("--out").arg(&out).arg("--known").arg(&list));
    assert_eq!(ended.code, Some(0), "a known bug is expected: {ended}");
    assert!(rows(&ended, bad).concat().contains("KNOWN"), "{ended}");
    assert!(!rows(&ended, good).concat().contains("KNOWN"), "{ended}");
    assert!(ended.stdout.contains("fixed by  3864c6ba1e04"), "{ended}");

    let document = document(&out.join("matrix.json"));
    let verdicts = verdicts(&document);
    assert_eq!(verdicts.len(), 2 * document["cases"].as_array().expect("cases").len());
    for ((kernel, id), verdict) in &verdicts {
        let bug = *verdict == "known-bug";
        assert!(bug || *verdict == "pass", "{kernel} {id}: {verdict}");
        assert!(!bug || (*kernel == bad && id.starts_with("wake-up")), "{kernel} {id}");
    }
    assert_eq!(verdicts[&(bad, "quiz1/v4/on")], "pass");

    // The guest has judged by the user's list as well, which comes first.
    let cases = document["kernels"][0]["run"]["cases"].as_array().expect("cases");
    let bug = |id: &str| {
        let case = cases.iter().find(|case| case["id"] == id).expect("it ran");
        (text(&case["bug"]), case["listed_in"].as_str())
    };
    assert_eq!(bug("wake-up/epoll/v4"), ("our-listener-sleeps", list.to_str()));
    assert_eq!(bug("wake-up/epoll/v6"), ("lost-wake-up", None));
    for words in ["fixed by  `a patch of ours`", "A listener of ours is not woken."] {
        assert!(ended.stdout.contains(words), "`{words}`: {ended}");
    }
}

fn everything_is_kept(kernels: &Kernels) {
    let two = kernels.two();
    let place = tempfile::tempdir().expect("a directory");
    let at = |name: &str| place.path().join(name);
    let out = at("out");
    let stale = out.join(two[0]).join("bind-v4.pcapng");
    fs::create_dir_all(stale.parent().expect("a parent")).expect("mkdir");
    fs::write(&stale, "of an earlier run").expect("written");
    let ended = run(matrix(&two, &["quiz1/v6"])
        .arg("--out")
        .arg(&out)
        .arg("--junit")
        .arg(at("junit.xml"))
        .arg("--markdown")
        .arg(at("page.md"))
        .env("GITHUB_STEP_SUMMARY", at("summary.md")));
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended}");
    assert!(!stale.exists(), "it would pass for a capture of this run");

    let document = document(&out.join("matrix.json"));
    assert_eq!(document["complete"], true);
    assert_eq!(document["cases"], serde_json::json!(["quiz1/v6/off", "quiz1/v6/on"]));
    for (kernel, name) in document["kernels"].as_array().expect("kernels").iter().zip(two) {
        assert_eq!(text(&kernel["name"]), name, "in the order of the command line");
        assert_eq!(kernel["machine"]["engine"], "QEMU, TCG");
        assert_eq!(kernel["machine"]["clock"], "virtual");
        let release = text(&kernel["run"]["environment"]["kernel"]["release"]).to_owned();
        let line: Vec<_> = name.splitn(3, '.').take(2).collect();
        assert!(release.starts_with(&line.join(".")), "{name} says that it is {release}");
        let cases = kernel["run"]["cases"].as_array().expect("cases").iter();
        // What was skipped, for want of migration, has sent nothing.
        let ran: Vec<&Value> = cases.filter(|case| case["verdict"] != "skip").collect();
        assert!(ran.iter().any(|case| case["id"] == "quiz1/v6/off"), "{name}: {ended}");
        for case in ran {
            let capture = fs::read(text(&case["capture"])).expect("a capture");
            assert!(capture.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]), "not pcapng");
        }
        assert!(out.join(name).join("console.log").is_file(), "{name} has a console");
    }
    let read = |name: &str| fs::read_to_string(at(name)).expect(name);
    let junit = read("junit.xml");
    assert!(junit.contains("quiz1/v6/on") && junit.contains(two[1]), "{junit}");
    let page = read("page.md");
    assert!(page.contains(two[0]) && page.contains("quiz1"), "{page}");
    assert!(read("summary.md").contains(&page), "GitHub's summary gets the page as well");
}

fn the_same_with_all_run_options(kernels: &Kernels) {
    let place = tempfile::tempdir().expect("a directory");
    let found = |name: &str, options: &[&str]| {
        let out = place.path().join(name);
        let cases = ["quiz1/v4", "quiz2/v4", "wake-up/epoll/v4", "wake-up/accept/v4"];
        let mut command = matrix(&[kernels.newest()], &cases);
        let ended = run(command.args(options).arg("--out").arg(&out));
        assert_eq!(ended.code, Some(0), "{options:?}: {ended}");
        document(&out.join("matrix.json"))
    };
    let plain = found("plain", &[]);
    let fresh = found("fresh", &["--fresh"]);
    let real = found("real", &["--clock", "real"]);
    assert_eq!(fresh["kernels"][0]["machine"]["fresh"], true);
    assert_eq!(real["kernels"][0]["machine"]["clock"], "real");
    assert!(verdicts(&plain).len() > 5);
    assert_eq!(verdicts(&plain), verdicts(&fresh));
    assert_eq!(verdicts(&plain), verdicts(&real));
}

fn shards_make_the_whole(kernels: &Kernels) {
    let two = kernels.two();
    let place = tempfile::tempdir().expect("a directory");
    let matrix_in = |name: &str, rest: &[&str]| {
        let out = place.path().join(name);
        let mut command = matrix(&two, &["quiz1/v4", "wake-up"]);
        let ended = run(command.args(rest).arg("--out").arg(&out));
        assert_eq!(ended.code, Some(0), "{rest:?}: {ended}");
        (ended, out.join("matrix.json"))
    };
    let (whole, whole_json) = matrix_in("whole", &[]);
    let (_, first) = matrix_in("first", &["--shard", "1/2"]);
    let (_, second) = matrix_in("second", &["--shard", "2/2"]);
    assert_eq!(ends(&document(&first)), BTreeMap::from([(two[0], "completed")]));
    assert_eq!(ends(&document(&second)), BTreeMap::from([(two[1], "completed")]));

    let merged_json = place.path().join("merged.json");
    let merge = |parts: &[&Path]| {
        let mut command = sockmig(&["merge"]);
        run(command.args(parts).arg("--out").arg(&merged_json).env_remove("GITHUB_STEP_SUMMARY"))
    };
    let merged = merge(&[&first, &second]);
    assert_eq!(merged.code, Some(0), "{merged}");
    for kernel in two {
        assert_eq!(rows(&merged, kernel), rows(&whole, kernel));
    }
    assert_eq!(verdicts(&document(&merged_json)), verdicts(&document(&whole_json)));
    let differences = run(sockmig(&["diff"]).arg(&whole_json).arg(&merged_json));
    assert_eq!(differences.code, Some(0), "{differences}");
    let one = merge(&[&first]);
    assert_eq!(one.code, Some(69), "a shard is missing: {one}");
}

fn two_at_once_on_one_cache(kernels: &Kernels) {
    let start = || matrix(&kernels.two(), &["--jobs", "1", "quiz1/v4"]).spawn().expect("spawned");
    let ended: [Ended; 2] = [start(), start()].map(|child| {
        let output = child.wait_with_output().expect("waited for");
        output.into()
    });
    for ended in ended {
        assert_eq!(ended.code, Some(0), "{ended}");
    }
}

fn a_kernel_of_ones_own(kernels: &Kernels) {
    let place = tempfile::tempdir().expect("a directory");
    let built = kernels.vmlinux().expect("it is needed");
    let own = place.path().join("vmlinux");
    fs::copy(built, &own).expect("copied");
    let out = place.path().join("out");
    // Without its modules quiz 2 is held by something else than nftables.
    let ended = run(matrix(&[&own.display().to_string()], &["quiz1/v4", "quiz2/v4/on"])
        .arg("--out")
        .arg(&out)
        .env("SOCKMIG_CACHE", place.path().join("cache")));
    assert_eq!(ended.code, Some(0), "{ended}");
    let document = document(&out.join("matrix.json"));
    assert_eq!(verdicts(&document).len(), 3, "{ended}");
    assert_eq!(ends(&document).into_values().collect::<Vec<_>>(), ["completed"]);
}

/// What a page shows of kernels is what they show today.
fn the_table_in_the_documents(kernels: &Kernels) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/kernels.md");
    let page = fs::read_to_string(page).expect("the page");
    let begin = page.find("<!-- measured: sockmig matrix quiz1 quiz2 wake-up -->");
    let table = page[begin.expect("a table")..].split("```").nth(1).expect("a block");
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let two = kernels.two();
    let shown = |kernel: &str| table.lines().map(words).find(|words| words[..1] == [kernel]);
    let ended = run(&mut matrix(&two, &["quiz1", "quiz2", "wake-up"]));
    assert_eq!(ended.code, Some(0), "{ended}");
    for kernel in two {
        // Where the table is broken into parts depends on its width.
        let found: Vec<_> =
            rows(&ended, kernel).into_iter().flat_map(|row| words(row).split_off(1)).collect();
        let cells = shown(kernel).expect("the page has a row").split_off(1);
        let is_there = found.windows(cells.len()).any(|part| part == cells);
        assert!(is_there, "{kernel} is not {cells:?}: {ended}");
    }
}

fn without_qemu(kernels: &Kernels) {
    let place = tempfile::tempdir().expect("a directory");
    let ended = run(matrix(&[kernels.newest()], &["quiz1/v4"]).env("PATH", place.path()));
    assert_eq!(ended.code, Some(69), "{ended}");
    let sentence = "qemu-system-x86_64 is not installed: apt install qemu-system-x86";
    let row = format!("{} cannot boot: {sentence}", kernels.newest());
    assert!(ended.stdout.contains(&row), "{ended}");

    let doctor = run(sockmig(&["doctor"]).env("PATH", place.path()));
    assert!(doctor.stdout.contains("apt install qemu-system-x86"), "{doctor}");
}

fn kvm_that_runs_nothing(kernels: &Kernels) {
    let place = tempfile::tempdir().expect("a directory");
    let found = |name: &str, accel: &str, code| {
        let out = place.path().join(name);
        let arguments = ["matrix", "--accel", accel, "--kernel", kernels.newest(), "quiz1/v4"];
        let ended = run(sockmig(&arguments).arg("--out").arg(&out));
        assert_eq!(ended.code, Some(code), "{ended}");
        document(&out.join("matrix.json"))
    };
    let insisted = found("kvm", "kvm", 69);
    assert_eq!(ends(&insisted), BTreeMap::from([(kernels.newest(), "never-booted")]));
    let fell_back = found("auto", "auto", 0);
    assert_eq!(fell_back["kernels"][0]["machine"]["engine"], "QEMU, TCG");
}
