//! Programs that `sockmig script` prints of cases: each sees on this kernel what its case saw.
//!
//! A program of one case of each mechanism is played. Where there is no Python, or this kernel or
//! who runs the tests cannot run the case, the test is ignored, and its name says why.

mod support;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use libtest_mimic::{Arguments, Failed, Trial};
use support::{Ended, run, sockmig};

/// At least one case of each mechanism, and of each way in which a program does what a lab does.
const CASES: [&str; 34] = [
    "quiz1/v4/on",
    "quiz2/v6/on",
    "accept-queue/dup2/v4/on",
    "accept-queue/close-range/v6/on",
    "attributes/saved-syn/v4",
    "attributes/filter-of-the-target/v4",
    "bind/option-on-both/v4",
    "bind/other-uid/v4",
    "bind/uid-of-the-socket/v6",
    "bind/given-away/v4",
    "destroy/child/v4",
    "destroy/listener/v6/on",
    "ebpf/attach/without-the-option/v4",
    "ebpf/close/select/v4/on",
    "ebpf/close/pass/v4/on",
    "ebpf/final-ack/pass/v6/on",
    "ebpf/timer/pass/v4-mapped/on",
    "fast-open/accept-queue/v4/on",
    "handoff/killed/v4/on",
    "handshake/ack/v4-mapped/on",
    "listener/queue-length/v4",
    "membership/wildcards/v4",
    "membership/given-away/v4",
    "membership/two-ports/v4",
    "mptcp/plain-child/v4/on",
    "order/leaving/v4/on",
    "substitute/draining/v4/on",
    "syncookies/target/v4/on",
    "sysctl/probe",
    "sysctl/set-before-the-close/v4",
    "timer/no-target",
    "timer/chain/v4",
    "wake-up/epoll/v4",
    "wake-up/accept/v6",
];

/// Mechanisms of which no case can be printed, or only while nothing else runs on the machine.
const NOT_PRINTED: [&str; 6] = ["accounting", "ao", "group", "growth", "md5", "passing"];

fn has_python() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join("python3").is_file())
}

/// The program of a case, or why there is none here.
fn printed(id: &str) -> Result<String, Ended> {
    let printed = run(&mut sockmig(&["script", id]));
    if printed.code == Some(0) { Ok(printed.stdout) } else { Err(printed) }
}

fn is_skipped(id: &str) -> bool {
    run(&mut sockmig(&["run", id])).code == Some(4)
}

fn sees_what_its_case_saw(id: &str, program: &str) -> Result<(), Failed> {
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(program.as_bytes())?;
    play(id, file.path())
}

fn play(id: &str, program: &Path) -> Result<(), Failed> {
    let played = Command::new("python3").arg(program).stdin(Stdio::null()).output()?;
    let shown = String::from_utf8_lossy(&played.stdout);
    let complaints = String::from_utf8_lossy(&played.stderr);
    if !played.status.success() || !shown.contains("0 acts were not as expected") {
        return Err(format!("{id}: {shown}{complaints}").into());
    }
    Ok(())
}

/// Whoever adds a mechanism says here whether its cases can be printed.
fn every_mechanism_is_tried() -> Result<(), Failed> {
    let mechanism = |id: &str| id.split('/').next().unwrap_or(id).to_owned();
    let listed = run(&mut sockmig(&["list"]));
    let all: BTreeSet<String> = listed.stdout.lines().map(mechanism).collect();
    let tried: BTreeSet<String> = CASES.into_iter().chain(NOT_PRINTED).map(mechanism).collect();
    assert_eq!(all, tried);
    Ok(())
}

/// One of a case, which is ignored where it cannot be played.
fn trial(id: &'static str, has_python: bool) -> Trial {
    if !has_python {
        return Trial::test(format!("{id} (no python3 in PATH)"), || Ok(()))
            .with_ignored_flag(true);
    }
    match printed(id) {
        Ok(program) => Trial::test(id, move || sees_what_its_case_saw(id, &program)),
        // This kernel, or who runs the tests, cannot run the case.
        Err(ended) if ended.code == Some(4) && is_skipped(id) => {
            let why = ended.stderr.trim().trim_start_matches("sockmig: ").to_owned();
            Trial::test(format!("{id} ({why})"), || Ok(())).with_ignored_flag(true)
        }
        Err(ended) => Trial::test(id, move || Err(ended.to_string().into())),
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let has_python = has_python();
    let wanted = |id: &&&str| arguments.filter.as_ref().is_none_or(|words| id.contains(words));
    let mut trials: Vec<Trial> =
        CASES.iter().filter(wanted).map(|id| trial(id, has_python)).collect();
    trials.push(Trial::test("every_mechanism_is_tried", every_mechanism_is_tried));
    libtest_mimic::run(&arguments, trials).exit_code()
}
