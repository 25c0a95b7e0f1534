//! `sockmig vm-run`: a program in a guest is as it is here.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command};

use crate::kernels::Kernels;
use crate::play;
use crate::support::{Ended, interrupt, mark, run, sockmig};
use crate::{Needs, Test};

pub const TESTS: &[Test] = &[
    ("vm_run/exit_codes_are_the_programs", Needs::Machine, exit_codes_are_the_programs),
    ("vm_run/output_is_exact_and_apart", Needs::Machine, output_is_exact_and_apart),
    ("vm_run/a_program_finds_what_it_finds_here", Needs::Machine, a_program_finds_what_it_finds),
    ("vm_run/modules_come_when_they_are_needed", Needs::Modules, modules_come_when_needed),
    ("vm_run/what_cannot_run_is_refused", Needs::Kernel, what_cannot_run_is_refused),
    ("vm_run/a_panic_ends_with_the_console", Needs::Machine, a_panic_ends_with_the_console),
    ("vm_run/silence_is_not_waited_out", Needs::Machine, silence_is_not_waited_out),
    ("vm_run/garbage_on_the_port_is_shown", Needs::Machine, garbage_on_the_port_is_shown),
    ("vm_run/a_machine_killed_from_outside", Needs::Machine, a_machine_killed_from_outside),
    ("vm_run/what_is_left_running_ends", Needs::Machine, what_is_left_running_ends),
    ("vm_run/interrupted", Needs::Machine, interrupted),
    ("vm_run/of_several_kernels_it_says_which", Needs::Two, of_several_it_says_which),
];

/// `sockmig vm-run` on this kernel, the program playing `part`.
fn vm_run(kernel: &str, options: &[&str], part: &[&str]) -> Command {
    let mut command = sockmig(&["vm-run", "--accel", "tcg", "--kernel", kernel]);
    // Cargo has set it for this test; what follows from it is tried by itself.
    command.args(options).args(play::command(part)).env_remove("CARGO_MANIFEST_DIR");
    command
}

fn says(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code, Some(code), "{ended}");
    for words in words {
        assert!(ended.stderr.contains(words), "`{words}` is not said: {ended}");
    }
    assert!(!ended.stderr.contains("panicked at"), "{ended}");
}

fn exit_codes_are_the_programs(kernels: &Kernels) {
    for (part, code) in [
        (&["exit", "0"][..], 0),
        (&["exit", "1"], 1),
        (&["exit", "3"], 3),
        (&["panic"], 101),
        (&["segfault"], 139),
    ] {
        let ended = run(&mut vm_run(kernels.newest(), &[], part));
        assert_eq!(ended.code, Some(code), "{part:?}: {ended}");
        let silent = part != ["panic"];
        assert_eq!(ended.stderr.is_empty(), silent, "{part:?}: {ended}");
    }
}

fn output_is_exact_and_apart(kernels: &Kernels) {
    let output = vm_run(kernels.newest(), &[], &["write-much"]).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(output.stdout == play::much(), "{} bytes came", output.stdout.len());
    assert_eq!(output.stderr, b"this is the other one\nit ends here\n");
}

fn what_is_left_running_ends(kernels: &Kernels) {
    let ended =
        run(&mut vm_run(kernels.newest(), &["--silence", "60"], &["leave-something-running"]));
    assert_eq!((ended.code, &*ended.stderr), (Some(5), ""), "{ended}");
    assert!(ended.stdout.contains("something is left\n"), "{ended}");
}

fn modules_come_when_needed(kernels: &Kernels) {
    let kernel = kernels.with_modules().expect("it is needed");
    let ended = run(&mut vm_run(kernel, &[], &["need-a-module"]));
    assert_eq!(ended.stdout, "false, Ok(()), true\n", "{ended}");
}

fn a_program_finds_what_it_finds(kernels: &Kernels) {
    let place = tempfile::tempdir().expect("a directory");
    let [here, package, shared] = ["here", "package", "shared"].map(|name| place.path().join(name));
    for directory in [&here, &package, &shared.join("target"), &shared.join("deep/er")] {
        fs::create_dir_all(directory).expect("mkdir");
    }
    for (path, text) in [
        (package.join("Cargo.toml"), "[package]"),
        (shared.join("deep/er/file"), "deep"),
        (shared.join("target/file"), "built"),
        (here.join("file"), "not shared"),
    ] {
        fs::write(path, text).expect("written");
    }
    let shown =
        run(vm_run(kernels.newest(), &[], &["show-what-is-here", "two words", "", "--flag=\"x\""])
            .current_dir(&here)
            .env("RUST_OF_THE_TEST", "so it is")
            .env("CARGO_MANIFEST_DIR", &package));
    let expected = format!(
        "arguments [\"two words\", \"\", \"--flag=\\\"x\\\"\"]\ndirectory {}\n\
         variable Ok(\"so it is\")\ncargo Ok({package:?})\n",
        here.display()
    );
    assert_eq!((shown.code, &*shown.stdout, &*shown.stderr), (Some(0), &*expected, ""));

    let files = [
        package.join("Cargo.toml"),
        shared.join("deep/er/file"),
        shared.join("target/file"),
        here.join("file"),
    ]
    .map(|path| path.display().to_string());
    let mut part = vec!["read"];
    part.extend(files.iter().map(String::as_str));
    // By another path than the shared one is reached by.
    let around = here.join("../shared").display().to_string();
    let read = run(vm_run(kernels.newest(), &["--share", &around], &part)
        .current_dir(&here)
        .env("CARGO_MANIFEST_DIR", &package));
    let found: Vec<_> = read.stdout.lines().map(|line| line.split_once(": ")).collect();
    let found: Vec<_> = found.into_iter().map(|pair| pair.expect("a pair").1).collect();
    assert_eq!(
        found,
        ["Ok(\"[package]\")", "Ok(\"deep\")", "Err(NotFound)", "Err(NotFound)"],
        "{read}"
    );
}

fn what_cannot_run_is_refused(kernels: &Kernels) {
    let place = tempfile::tempdir().expect("a directory");
    let script = place.path().join("script");
    fs::write(&script, "#!/bin/sh\n").expect("written");
    let linked = if Path::new("/bin/ls").exists() { "/bin/ls" } else { "/usr/bin/env" };
    let refused = |options: &[&str], program: &str| {
        let mut command = sockmig(&["vm-run", "--kernel", kernels.newest()]);
        let ended = run(command.args(options).args(["--", program]).current_dir(&place));
        assert_eq!(ended.stderr.lines().count(), 1, "one sentence: {ended}");
        ended
    };
    says(&refused(&[], "./missing"), 69, &["./missing cannot be read: No such file"]);
    says(&refused(&[], "../missing"), 69, &["../missing: No such file"]);
    says(&refused(&[], "/"), 69, &["/ is not a program"]);
    says(&refused(&[], "./script"), 69, &["./script is not a program for x86_64"]);
    says(&refused(&[], linked), 69, &["is linked dynamically", "crt-static"]);
    let own = env!("CARGO_BIN_EXE_sockmig");
    says(&refused(&["--share", "./missing"], own), 69, &["cannot share ./missing: No such file"]);
}

fn a_panic_ends_with_the_console(kernels: &Kernels) {
    let ended = run(&mut vm_run(kernels.newest(), &[], &["crash-the-kernel"]));
    says(
        &ended,
        69,
        &[
            &format!("{}: Kernel panic - not syncing: sysrq triggered crash", kernels.newest()),
            "the console's last lines:\n",
            "] Kernel panic - not syncing: sysrq triggered crash\n[",
        ],
    );
}

fn silence_is_not_waited_out(kernels: &Kernels) {
    let ended = run(&mut vm_run(kernels.newest(), &["--silence", "2"], &["linger"]));
    says(&ended, 69, &["nothing was heard for 2 s"]);
    assert_eq!(ended.stdout, "here I am\n");
}

fn garbage_on_the_port_is_shown(kernels: &Kernels) {
    let ended = run(&mut vm_run(kernels.newest(), &[], &["garble"]));
    says(&ended, 69, &["not a message of sockmig's: localhost login: "]);
}

/// Waits until the program has said that it is there.
fn lingers(child: &mut Child) {
    let mut line = String::new();
    let stdout = child.stdout.as_mut().expect("stdout");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    assert_eq!(line, "here I am\n");
}

fn end(mut child: Child) -> Ended {
    let mut stderr = String::new();
    child.stderr.take().expect("stderr").read_to_string(&mut stderr).expect("text");
    let code = child.wait().expect("waited for").code();
    Ended { code, stdout: String::new(), stderr }
}

fn a_machine_killed_from_outside(kernels: &Kernels) {
    let mut command = vm_run(kernels.newest(), &[], &["linger"]);
    let marked = mark(&mut command);
    let mut child = command.spawn().expect("spawned");
    lingers(&mut child);
    let machines = marked.processes().into_iter();
    let machine = machines.into_iter().find(|process| process.is_machine_of(kernels.newest()));
    assert!(machine.expect("a machine").kill());
    let ended = end(child);
    says(&ended, 69, &[&format!("{}: the machine ended (signal: 9", kernels.newest())]);
    marked.assert_gone();
}

fn interrupted(kernels: &Kernels) {
    let mut command = vm_run(kernels.newest(), &[], &["linger"]);
    let marked = mark(&mut command);
    let mut child = command.spawn().expect("spawned");
    lingers(&mut child);
    interrupt(&child);
    says(&end(child), 130, &["interrupted"]);
    marked.assert_gone();
}

fn of_several_it_says_which(kernels: &Kernels) {
    let [older, newer] = kernels.two();
    let ended = run(&mut vm_run(older, &["--kernel", newer], &["exit", "3"]));
    let said =
        format!("sockmig: of 2 kernels the newest is booted, {newer}; --kernel names another\n");
    assert_eq!((ended.code, &*ended.stderr), (Some(3), &*said), "{ended}");
}
