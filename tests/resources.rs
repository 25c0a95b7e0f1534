//! The command where something runs out: processes, descriptors, memory, room for files, or
//! somebody to read what it says.

mod support;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use harness::fault_injection::{self, with_limit};
use nix::sys::resource::Resource;
use nix::sys::signal::Signal;
use nix::unistd::geteuid;
use rstest::rstest;
use serial_test::serial;
use support::{Ended, run, sockmig};

/// Cases that every kernel passes, with more than one process for some of them.
const CASES: [&str; 3] = ["run", "quiz1", "quiz2"];

/// All cases of the command: in three families, and both settings.
const PASSED: &str = "12 passed, 0 failed, 0 skipped, 0 known bugs, 0 errors";

/// Whether a run that lacked something did what it could: all of it, or nothing, for a reason
/// that it says in a sentence.
fn did_what_it_could(ended: &Ended, limit: &str) {
    assert!(!ended.stderr.contains("panicked"), "{ended}");
    match ended.code {
        Some(0) => assert!(ended.stdout.contains(PASSED), "{ended}"),
        Some(69) => assert!(ended.stderr.contains(limit), "`{limit}` is not said: {ended}"),
        _ => panic!("neither done nor refused: {ended}"),
    }
}

/// What is said on standard error, and what not.
#[rstest]
#[case(&["run", "nosuch"], 4)]
#[case(&["list", "nosuch"], 4)]
#[case(&["explain", "nosuch"], 4)]
#[case(&["reload", "nosuch"], 4)]
#[case(&["reload", "--kernel", "nosuch"], 69)]
#[case(&["kernels", "fetch", "nosuch"], 2)]
#[case(&["matrix", "--kernel", "nosuch"], 2)]
#[case(&["matrix", "--kernel", "nosuch", "--bisect"], 125)]
#[case(&["vm-run", "--kernel", "nosuch", "--", "/bin/true"], 69)]
#[case(&["report", "/nowhere/run.json"], 69)]
#[case(&["diff", "/nowhere/a.json", "/nowhere/b.json"], 69)]
#[case(&["merge", "/nowhere/a.json"], 69)]
#[case(&["no-such-command"], 2)]
#[case(&["run", "quiz1/v4/off", "--junit", "/nowhere/junit.xml"], 69)]
fn what_cannot_be_said_changes_nothing(#[case] arguments: &[&str], #[case] code: i32) {
    let cache = tempfile::tempdir().expect("a directory");
    let command = || {
        let mut command = sockmig(arguments);
        command.env("SOCKMIG_CACHE", cache.path());
        command
    };
    let said = run(&mut command());
    assert_eq!(said.code, Some(code), "{said}");
    assert!(!said.stderr.is_empty(), "{said}");
    let full = File::options().write(true).open("/dev/full").expect("/dev/full");
    assert_eq!(run(command().stderr(full)).code, Some(code), "it is full");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    assert_eq!(run(command().stderr(writer)).code, Some(code), "nobody reads it");
}

/// A copy of the program that every user can run.
fn for_everybody(place: &Path) -> std::path::PathBuf {
    let copy = place.join("sockmig");
    fs::copy(env!("CARGO_BIN_EXE_sockmig"), &copy).expect("copied");
    let everybody = || fs::Permissions::from_mode(0o755);
    fs::set_permissions(place, everybody()).expect("permissions");
    fs::set_permissions(&copy, everybody()).expect("permissions");
    copy
}

/// The user who has nothing and does nothing.
const NOBODY: u32 = 65534;

/// How many threads a user has.
fn threads_of(user: u32) -> u64 {
    let statuses = fs::read_dir("/proc").expect("/proc").flatten();
    let statuses = statuses.filter_map(|e| fs::read_to_string(e.path().join("status")).ok());
    let number = |status: &str, field: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    let theirs = statuses.filter(|status| number(status, "Uid:") == Some(user.into()));
    theirs.filter_map(|status| number(&status, "Threads:")).sum()
}

/// The program, of a user who may have so many processes more than there are now. Who uses it is
/// to be alone with that user: the kernel counts the processes of all.
fn with_processes(place: &Path, more: u64) -> Command {
    let mut command = Command::new(for_everybody(place));
    command.current_dir("/");
    let mut user = geteuid().as_raw();
    if user == 0 {
        // Root may have as many as there are.
        user = NOBODY;
        command.uid(user).gid(user);
    }
    let most = threads_of(user) + more;
    with_limit(&mut command, Resource::RLIMIT_NPROC, most, most);
    command
}

#[rstest]
#[serial(processes_of_the_user)]
fn where_few_processes_may_be_had_fewer_labs_run(#[values(1, 3, 6, 12, 24, 48)] more: u64) {
    let place = tempfile::tempdir().expect("a directory");
    let mut command = with_processes(place.path(), more);
    command.args(CASES).args(["--jobs", "40"]);
    let ended = run(&mut command);
    did_what_it_could(&ended, "processes and threads are limited by ulimit -u");
    if more >= 24 {
        assert_eq!(ended.code, Some(0), "{ended}");
    }
}

#[test]
fn a_soft_limit_of_descriptors_is_raised() {
    let mut command = sockmig(&CASES);
    command.args(["--jobs", "40"]);
    with_limit(&mut command, Resource::RLIMIT_NOFILE, 12, 1024);
    let ended = run(&mut command);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended}");
    assert!(ended.stdout.contains(PASSED), "{ended}");
}

#[rstest]
fn where_few_descriptors_may_be_had_fewer_labs_run(#[values(4, 6, 8, 12, 20, 40)] most: u64) {
    let mut command = sockmig(&CASES);
    command.args(["--jobs", "40"]);
    with_limit(&mut command, Resource::RLIMIT_NOFILE, most, most);
    let ended = run(&mut command);
    did_what_it_could(&ended, "open files are limited by ulimit -n");
    if most >= 40 {
        assert_eq!(ended.code, Some(0), "{ended}");
    }
}

#[rstest]
fn where_little_memory_may_be_had_it_is_told(#[values(20, 40, 80, 160)] more: u64) {
    let size = fs::metadata(env!("CARGO_BIN_EXE_sockmig")).expect("the program").len();
    let mut command = sockmig(&CASES);
    let most = size + (more << 20);
    with_limit(&mut command, Resource::RLIMIT_AS, most, most);
    did_what_it_could(&run(&mut command), "ulimit -v");
}

#[rstest]
fn where_little_stack_may_be_had_it_is_told(#[values(64, 128, 1024)] kib: u64) {
    let mut command = sockmig(&CASES);
    with_limit(&mut command, Resource::RLIMIT_STACK, kib << 10, kib << 10);
    did_what_it_could(&run(&mut command), "ulimit -s");
}

/// What explores, and what races, where there is room for few of something: it does what it is asked
/// for, with fewer labs, or says in a sentence what there is too little of.
fn explores_as_it_can(mut command: Command, limit: &str) {
    let ended = run(&mut command);
    assert!(!ended.stderr.contains("panicked"), "{ended}");
    match ended.code {
        Some(0) if ended.stdout.contains("\"histories\"") => {
            let document: serde_json::Value =
                serde_json::from_str(&ended.stdout).expect("a document");
            let played = ["histories", "too_slow"].map(|key| document[key].as_u64().expect(key));
            assert_eq!(played.iter().sum::<u64>(), EXPLORED, "some were left out: {ended}");
        }
        // Nothing was raced if there is one processor alone.
        Some(0 | 4) => {}
        Some(69) => {
            assert!(ended.stderr.contains(limit), "`{limit}` is not said: {ended}");
            assert_eq!(ended.stderr.trim_end().lines().count(), 1, "{ended}");
        }
        _ => panic!("neither done nor refused: {ended}"),
    }
}

/// How many histories are explored; every fifth of them waits for timers.
const EXPLORED: u64 = 40;

const EXPLORES: [&str; 11] = [
    "explore",
    "--count",
    "40",
    "--seed",
    "7",
    "--wait-every",
    "5",
    "--jobs",
    "8",
    "--format",
    "json",
];

const RACES: [&str; 4] = ["race", "accept/accept", "--time", "1"];

#[rstest]
fn where_few_descriptors_may_be_had_fewer_explore(
    #[values(&EXPLORES[..], &RACES[..])] arguments: &[&str],
    #[values(6, 12, 20, 32, 64, 96, 160)] most: u64,
) {
    let mut command = sockmig(arguments);
    with_limit(&mut command, Resource::RLIMIT_NOFILE, most, most);
    explores_as_it_can(command, "open files are limited by ulimit -n");
}

#[rstest]
#[serial(processes_of_the_user)]
fn where_few_processes_may_be_had_fewer_explore(
    #[values(&EXPLORES[..], &RACES[..])] arguments: &[&str],
    #[values(1, 3, 5, 8, 16, 40)] more: u64,
) {
    let place = tempfile::tempdir().expect("a directory");
    let mut command = with_processes(place.path(), more);
    command.args(arguments);
    explores_as_it_can(command, "processes and threads are limited by ulimit -u");
}

#[rstest]
fn where_little_memory_may_be_had_many_jobs_are_fewer(#[values(40, 60, 120, 200)] more: u64) {
    let size = fs::metadata(env!("CARGO_BIN_EXE_sockmig")).expect("the program").len();
    let mut command = sockmig(&CASES);
    command.args(["--jobs", "64"]);
    let most = size + (more << 20);
    with_limit(&mut command, Resource::RLIMIT_AS, most, most);
    let ended = run(&mut command);
    did_what_it_could(&ended, "ulimit -v");
    assert!(!ended.stderr.contains("ulimit -u"), "there are processes enough: {ended}");
    if more >= 60 {
        assert_eq!(ended.code, Some(0), "{ended}");
    }
}

#[test]
fn a_stack_that_is_too_small_is_refused_in_a_sentence() {
    for arguments in [&["list"][..], &["run", "quiz1"], &["explore"], &["--help"]] {
        let mut command = sockmig(arguments);
        with_limit(&mut command, Resource::RLIMIT_STACK, 64 << 10, 64 << 10);
        let ended = run(&mut command);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(69), ""), "{ended}");
        let why = "sockmig: the stack may have 64 KiB, and ";
        assert!(ended.stderr.starts_with(why), "{ended}");
        assert_eq!(ended.stderr.lines().count(), 1, "{ended}");
    }
}

/// Rust would give the threads of a program as little as it is told to.
#[test]
fn no_variable_makes_stacks_too_small() {
    let ended = run(sockmig(&CASES).env("RUST_MIN_STACK", "1"));
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended}");
}

#[test]
fn a_file_that_may_not_grow_is_told_and_nothing_of_it_is_left() {
    let place = tempfile::tempdir().expect("a directory");
    let mut command = sockmig(&CASES);
    command.arg("--out").arg(place.path());
    with_limit(&mut command, Resource::RLIMIT_FSIZE, 100, 100);
    let ended = run(&mut command);
    assert_eq!(ended.code, Some(69), "{ended}");
    assert!(ended.stderr.contains("File too large"), "{ended}");
    assert!(ended.stdout.contains(PASSED), "the verdicts are lost: {ended}");
    let left: Vec<_> = fs::read_dir(place.path()).expect("a directory").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[rstest]
fn where_few_files_can_be_made_the_verdicts_are_not_lost(#[values(0, 1, 5)] files: u32) {
    let place = tempfile::tempdir().expect("a directory");
    let mut command = sockmig(&CASES);
    command.arg("--out").arg(place.path());
    fault_injection::with_few_inodes(&mut command, place.path(), files);
    let ended = run(&mut command);
    assert_eq!(ended.code, Some(69), "{ended}");
    assert!(ended.stderr.contains("No space left on device"), "{ended}");
    assert!(ended.stdout.contains(PASSED), "the verdicts are lost: {ended}");
}

/// A kernel that nobody can unpack, and that is booted as it is.
fn bzimage() -> Vec<u8> {
    let mut image = vec![0; 2048];
    let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    // Setup sectors, magic numbers, protocol, the release, 64 bits, and where the payload is.
    put(0x1f1, &[1]);
    put(0x1fe, &[0x55, 0xaa]);
    put(0x202, b"HdrS\x0f\x02");
    put(0x20e, &[0, 1]);
    put(0x236, &[1]);
    put(0x24c, &[16]);
    put(0x300, b"6.12.0-small (root@build) #1\0");
    image
}

#[rstest]
fn a_cache_where_few_files_can_be_made_is_told(#[values(0, 1, 2, 3, 5)] files: u32) {
    let place = tempfile::tempdir().expect("a directory");
    let (image, cache) = (place.path().join("bzImage"), place.path().join("cache"));
    fs::write(&image, bzimage()).expect("written");
    fs::create_dir(&cache).expect("mkdir");
    let mut command = sockmig(&["vm-run", "--kernel"]);
    command.arg(&image).args(["--", env!("CARGO_BIN_EXE_sockmig")]).env("SOCKMIG_CACHE", &cache);
    fault_injection::with_few_inodes(&mut command, &cache, files);
    let ended = run(&mut command);
    assert_eq!(ended.code, Some(69), "{ended}");
    let advice = "no space left in";
    let is_told = ended.stderr.contains(advice) && ended.stderr.contains("SOCKMIG_CACHE");
    assert!(is_told, "`{advice}` is not said: {ended}");
    assert_eq!(ended.stderr.lines().count(), 1, "{ended}");
}

#[test]
fn a_program_that_was_removed_still_runs_its_workers() {
    let place = tempfile::tempdir().expect("a directory");
    let copy = for_everybody(place.path());
    let mut command = Command::new("sh");
    let script = r#"exec 9<"$0"; rm "$0"; exec /proc/self/fd/9 "$@""#;
    command.args(["-c", script]).arg(&copy).args(["run", "handoff", "passing", "quiz1"]);
    let ended = run(&mut command);
    assert!(!copy.exists());
    assert_eq!(ended.code, Some(0), "{ended}");
    assert!(ended.stdout.contains("0 failed") && ended.stdout.contains("0 errors"), "{ended}");
}

#[rstest]
fn a_signal_that_is_ignored_stays_ignored(
    #[values(Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM)] signal: Signal,
) {
    const IGNORED: &[Signal] = &[Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM];
    let mut command = sockmig(&CASES);
    command.args(["--repeat", "3", "--format", "ktap", "--jobs", "1"]);
    fault_injection::with_ignored(&mut command, IGNORED);
    let mut child = command.spawn().expect("spawned");
    let mut output = BufReader::new(child.stdout.take().expect("stdout"));
    let mut text = String::new();
    // It listens to signals before it says a word of the first case.
    while !text.contains("ok 1 ") {
        assert_ne!(output.read_line(&mut text).expect("read"), 0, "{text}");
    }
    assert!(support::signal(signal, child.id()), "it is gone");
    output.read_to_string(&mut text).expect("read");
    assert_eq!(child.wait().expect("waited for").code(), Some(0), "{text}");
    assert!(text.contains("pass:36 fail:0"), "{text}");
}
