//! `sockmig matrix` on bad days: whatever happens to one machine, the others go on.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use harness::fault_injection;
use nix::sys::signal::Signal;

use crate::kernels::Kernels;
use crate::matrix::{document, ends, matrix};
use crate::support::{Ended, mark, run, signal, sockmig, until_within};
use crate::{Needs, PROGRAM, Test};

pub const TESTS: &[Test] = &[
    ("broken/killed_from_outside", Needs::Two, killed_from_outside),
    ("broken/nothing_outlives_a_killed_sockmig", Needs::Machine, nothing_outlives_sockmig),
    ("broken/ctrl_c_shows_what_there_was", Needs::Two, ctrl_c_shows_what_there_was),
    ("broken/sigterm_shows_what_there_was", Needs::Two, sigterm_shows_what_there_was),
    ("broken/killed_keeps_what_is_complete", Needs::Two, killed_keeps_what_is_complete),
    ("broken/enough_have_failed", Needs::Two, enough_have_failed),
    ("broken/too_little_memory", Needs::Two, too_little_memory),
    ("broken/what_is_no_kernel", Needs::Elf, what_is_no_kernel),
    ("broken/a_port_that_sends_garbage", Needs::Kernel, a_port_that_sends_garbage),
    ("broken/no_room_for_a_machine", Needs::Kernel, no_room_for_a_machine),
    ("broken/an_out_directory_that_cannot_be", Needs::Machine, an_out_directory_that_cannot_be),
];

/// Many enough that a machine still runs when its first capture is here.
const MANY: [&str; 4] = ["quiz1", "quiz2", "wake-up", "accept-queue"];

/// Waits until a case has ended on this kernel.
fn a_case_ended(out: &Path, kernel: &str) {
    let (limit, pause) = (Duration::from_secs(180), Duration::from_millis(10));
    until_within(limit, pause, "a capture", || {
        let entries = fs::read_dir(out.join(kernel)).ok()?;
        let mut names = entries.flatten().map(|entry| entry.file_name());
        names.any(|name| name.to_string_lossy().ends_with(".pcapng")).then_some(())
    });
}

fn end(child: Child) -> Ended {
    child.wait_with_output().expect("waited for").into()
}

/// What was printed, without the breaks that a table's width makes.
fn flat(ended: &Ended) -> String {
    ended.stdout.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn killed_from_outside(kernels: &Kernels) {
    let two @ [victim, other] = kernels.two();
    let place = tempfile::tempdir().expect("a directory");
    let out = place.path().join("out");
    let mut command = matrix(&two, &MANY);
    let marked = mark(command.arg("--out").arg(&out));
    let child = command.spawn().expect("spawned");
    a_case_ended(&out, victim);
    let machine = marked.processes().into_iter().find(|process| process.is_machine_of(victim));
    assert!(machine.expect("its machine").kill());
    let ended = end(child);
    assert_eq!(ended.code, Some(69), "{ended}");
    let document = document(&out.join("matrix.json"));
    assert_eq!(ends(&document), BTreeMap::from([(victim, "died"), (other, "completed")]));
    assert!(ended.stdout.contains(&format!("{victim} died: the machine ended (signal: 9")));
    let ran = document["kernels"][0]["run"]["cases"].as_array().expect("cases");
    assert!(ran.iter().any(|case| case["verdict"] == "pass"), "what was found is kept: {ended}");
    marked.assert_gone();
}

fn nothing_outlives_sockmig(kernels: &Kernels) {
    let place = tempfile::tempdir().expect("a directory");
    let (out, temporary) = (place.path().join("out"), place.path().join("tmp"));
    fs::create_dir(&temporary).expect("mkdir");
    let mut command = matrix(&[kernels.newest()], &MANY);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let marked = mark(command.arg("--out").arg(&out).env("TMPDIR", &temporary));
    let mut child = command.spawn().expect("spawned");
    a_case_ended(&out, kernels.newest());
    child.kill().expect("killed");
    child.wait().expect("waited for");
    marked.assert_gone();
    let left = || fs::read_dir(&temporary).expect("it is there").count();
    assert_eq!(left(), 0, "what was in it is of no use to anybody");
}

fn ctrl_c_shows_what_there_was(kernels: &Kernels) {
    interrupted_shows_what_there_was(kernels, &[Signal::SIGINT]);
}

/// As `timeout` ends what takes too long: it signals the process, and then the whole group.
fn sigterm_shows_what_there_was(kernels: &Kernels) {
    interrupted_shows_what_there_was(kernels, &[Signal::SIGTERM, Signal::SIGTERM]);
}

fn interrupted_shows_what_there_was(kernels: &Kernels, by: &[Signal]) {
    let two = kernels.two();
    let place = tempfile::tempdir().expect("a directory");
    let (out, temporary) = (place.path().join("out"), place.path().join("tmp"));
    fs::create_dir(&temporary).expect("mkdir");
    let mut command = matrix(&two, &MANY);
    let junit = place.path().join("junit.xml");
    command.arg("--junit").arg(&junit);
    let marked = mark(command.arg("--out").arg(&out).env("TMPDIR", &temporary));
    let child = command.spawn().expect("spawned");
    a_case_ended(&out, two[0]);
    for by in by {
        assert!(signal(*by, child.id()), "{by} could not be sent");
    }
    let ended = end(child);
    assert_eq!(ended.code, Some(130), "{ended}");
    let document = document(&out.join("matrix.json"));
    assert_eq!(document["complete"], false);
    assert_eq!(ends(&document)[two[0]], "interrupted");
    let ran = document["kernels"][0]["run"]["cases"].as_array().expect("cases").len();
    let tests = document["cases"].as_array().expect("cases").len();
    let junit = fs::read_to_string(&junit).expect("JUnit's XML");
    assert!(
        ran > 0 && junit.contains(&format!("name=\"{}\" tests=\"{}\"", two[0], tests + 1)),
        "{junit}"
    );
    assert!(junit.contains("type=\"not-run\""), "{junit}");
    for words in [&format!("{}  interrupted", two[0]), " ok", "Interrupted: this is not everything"]
    {
        assert!(ended.stdout.contains(words), "`{words}`: {ended}");
    }
    assert!(!ended.stdout.contains("error"), "nothing broke: {ended}");
    marked.assert_gone();
    assert_eq!(fs::read_dir(&temporary).expect("it is there").count(), 0, "nothing is left");
}

/// Nobody can do anything about SIGKILL: what was complete before is there.
fn killed_keeps_what_is_complete(kernels: &Kernels) {
    let [first, second] = kernels.two();
    let place = tempfile::tempdir().expect("a directory");
    let out = place.path().join("out");
    let mut command = matrix(&[first, second], &["--jobs", "1", "quiz1/v4", "wake-up"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let marked = mark(command.arg("--out").arg(&out).env("TMPDIR", place.path()));
    let mut child = command.spawn().expect("spawned");
    let file = out.join("matrix.json");
    let (limit, pause) = (Duration::from_secs(180), Duration::from_millis(10));
    until_within(limit, pause, "the first kernel's results", || file.exists().then_some(()));
    child.kill().expect("killed");
    child.wait().expect("waited for");
    marked.assert_gone();
    let document = document(&file);
    assert_eq!(document["complete"], false);
    assert_eq!(ends(&document), BTreeMap::from([(first, "completed")]));
}

/// A case that is killed too early counts; nothing is begun after it, on no kernel.
fn enough_have_failed(kernels: &Kernels) {
    // An old one has no migration, and skips the case.
    let [second, first] = kernels.two();
    let two = [first, second];
    let place = tempfile::tempdir().expect("a directory");
    let (out, junit) = (place.path().join("out"), place.path().join("junit.xml"));
    // They wait for three seconds.
    let line = ["--jobs", "1", "--deadline", "1", "--fail-fast", "timer/chain"];
    let mut command = matrix(&two, &line);
    let ended = run(command.arg("--out").arg(&out).arg("--junit").arg(&junit));
    assert_eq!(ended.code, Some(69), "{ended}");
    let document = document(&out.join("matrix.json"));
    let stopped = BTreeMap::from([(first, "enough-failed"), (second, "enough-failed")]);
    assert_eq!(ends(&document), stopped);
    let run = &document["kernels"][0]["run"];
    assert_eq!(run["totals"]["errors"], 1, "{run:#}");
    assert_eq!(run["totals"]["enough_failed"], true, "{run:#}");
    assert!(run["totals"]["not_run"].as_u64().is_some_and(|count| count > 0), "{run:#}");
    assert!(document["kernels"][1]["run"].is_null(), "{document:#}");
    assert!(flat(&ended).contains("stopped: enough cases have failed (--max-fail)"), "{ended}");
    let junit = fs::read_to_string(junit).expect("JUnit's XML");
    assert!(junit.contains("not run: stopped"), "{junit}");
}

fn too_little_memory(kernels: &Kernels) {
    let two = kernels.two();
    let place = tempfile::tempdir().expect("a directory");
    let out = place.path().join("out");
    let mut command = matrix(&two, &["--memory", "64", "quiz1/v4"]);
    let ended = run(command.arg("--out").arg(&out));
    assert_eq!(ended.code, Some(69), "{ended}");
    let document = document(&out.join("matrix.json"));
    let ends = ends(&document);
    assert_eq!(ends.len(), 2, "{ended}");
    // The archive has the whole program, twice while it is unpacked.
    let program = fs::metadata(env!("CARGO_BIN_EXE_sockmig")).expect("it is there").len();
    if program > 16 << 20 {
        assert_eq!(ends, two.map(|kernel| (kernel, "cannot-boot")).into(), "{ended}");
        let words = "64 MiB of memory are too little for the guest's files, which take";
        assert!(flat(&ended).contains(words), "`{words}`: {ended}");
        assert!(flat(&ended).contains("give it more with --memory"), "{ended}");
        return;
    }
    for (kernel, end) in ends {
        assert!(["never-booted", "out-of-memory"].contains(&end), "{kernel}: {ended}");
    }
}

fn what_is_no_kernel(kernels: &Kernels) {
    let place = tempfile::tempdir().expect("a directory");
    let write = |name: &str, bytes: &[u8]| {
        fs::write(place.path().join(name), bytes).expect("written");
    };
    let mut header = [0; 0x300];
    header[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    header[0x1f4..0x1f8].copy_from_slice(&100_000_u32.to_le_bytes());
    header[0x202..0x208].copy_from_slice(b"HdrS\x0f\x02");
    header[0x236] = 1;
    write("bzImage", &header);
    write("empty", b"");
    let mut riscv = [0; 0x300];
    riscv[0x30..0x35].copy_from_slice(b"RISCV");
    write("Image", &riscv);
    let vmlinux = fs::read(kernels.vmlinux().expect("it is needed")).expect("read");
    write("vmlinux", &vmlinux[..vmlinux.len() / 2]);
    fs::create_dir(place.path().join("directory")).expect("mkdir");
    let own = env!("CARGO_BIN_EXE_sockmig");
    let broken = [
        ("./bzImage", "is truncated: 768 bytes of at least"),
        ("./empty", "is not a kernel"),
        ("./Image", "is a kernel for riscv"),
        ("./vmlinux", "is truncated"),
        ("./directory", "is a directory"),
        ("./missing", "cannot be read: No such file"),
        (own, "is not a kernel"),
    ];
    let names: Vec<_> = broken.iter().map(|(name, _)| *name).chain([kernels.newest()]).collect();
    let out = place.path().join("out");
    let ended = run(matrix(&names, &["quiz1/v4"]).current_dir(&place).arg("--out").arg(&out));
    assert_eq!(ended.code, Some(69), "{ended}");
    for (name, words) in broken {
        let sentence = format!("{name} cannot boot: {name} {words}");
        assert!(flat(&ended).contains(&sentence), "`{sentence}`: {ended}");
        let mut alone = sockmig(&["vm-run", "--kernel", name, "--", own, "list"]);
        let alone = run(alone.current_dir(&place));
        assert_eq!((alone.code, alone.stderr.lines().count()), (Some(69), 1), "{alone}");
        assert!(alone.stderr.contains(words), "`{words}`: {alone}");
    }
    let document = document(&out.join("matrix.json"));
    let ends = ends(&document);
    assert_eq!((ends.len(), ends[kernels.newest()]), (8, "completed"), "{ended}");
}

/// In place of QEMU, a program that prints something else than messages.
fn a_port_that_sends_garbage(kernels: &Kernels) {
    use std::os::unix::fs::PermissionsExt;
    let place = tempfile::tempdir().expect("a directory");
    let impostor = place.path().join(PROGRAM);
    fs::write(&impostor, "#!/bin/sh\necho 'Debian GNU/Linux 12 localhost'\nread never\n")
        .expect("written");
    fs::set_permissions(&impostor, fs::Permissions::from_mode(0o755)).expect("chmod");
    let out = place.path().join("out");
    let mut command = matrix(&[kernels.newest()], &["quiz1/v4"]);
    let ended = run(command.arg("--out").arg(&out).env("PATH", place.path()));
    assert_eq!(ended.code, Some(69), "{ended}");
    assert_eq!(ends(&document(&out.join("matrix.json")))[kernels.newest()], "garbage");
    let words = "not a message of sockmig's: Debian GNU/Linux 12 localhost";
    assert!(ended.stdout.contains(words), "{ended}");
}

fn no_room_for_a_machine(kernels: &Kernels) {
    let place = tempfile::tempdir().expect("a directory");
    let mut command = matrix(&[kernels.newest()], &["quiz1/v4"]);
    fault_injection::with_full_disk(command.env("TMPDIR", place.path()), place.path());
    let ended = run(&mut command);
    assert_eq!(ended.code, Some(69), "{ended}");
    for words in ["cannot boot", "No space left on device", "set TMPDIR"] {
        assert!(ended.stdout.contains(words), "`{words}`: {ended}");
    }
}

fn an_out_directory_that_cannot_be(kernels: &Kernels) {
    let place = tempfile::tempdir().expect("a directory");
    let full = place.path().join("full");
    fs::create_dir(&full).expect("mkdir");
    let mut command = matrix(&[kernels.newest()], &["quiz1/v4"]);
    fault_injection::with_full_disk(command.arg("--out").arg(&full), &full);
    let ended = run(&mut command);
    assert_eq!(ended.code, Some(69), "{ended}");
    assert!(ended.stderr.contains("No space left on device"), "{ended}");
    assert!(ended.stdout.contains("2 ok"), "the verdicts are lost: {ended}");
}
