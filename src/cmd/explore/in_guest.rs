//! `sockmig explore --kernel` and `sockmig replay --kernel`: the same command, in a guest.

use std::path::{Path, PathBuf};

use harness::process::subprocess::THIS_PROGRAM;

use crate::cli::{AccelChoice, ExploreArguments, MachineArguments, VmRunArguments};

/// What a guest needs for a dozen labs, in MiB.
const MEMORY: u32 = 512;

/// How long a guest may be silent: it says how far it is every ten seconds of its clock, but
/// reductions of histories that wait take their time.
const SILENCE: u32 = 7200;

/// In a machine whose clock leaps over idle time, every so-manieth history waits.
const WAIT_EVERY: u64 = 4;

/// How this command, which was `called` so, is run in a guest.
pub(super) fn exploring(
    arguments: &ExploreArguments,
    kernel: &str,
    called: impl Iterator<Item = String>,
) -> VmRunArguments {
    let mut command = without_kernel(called);
    if arguments.wait_every.is_none() {
        command.extend(["--wait-every".to_owned(), WAIT_EVERY.to_string()]);
    }
    vm_run_arguments(kernel, command, vec![])
}

/// The same of a replay, or why not.
pub(super) fn replaying(
    file: &Path,
    kernel: &str,
    called: impl Iterator<Item = String>,
) -> Result<VmRunArguments, String> {
    let shown = file.display();
    if file.as_os_str() == "-" {
        return Err("a machine cannot read standard input: name a file".to_owned());
    }
    let whole = file.canonicalize().map_err(|e| format!("{shown}: cannot open it: {e}"))?;
    let Some(path) = whole.to_str() else {
        return Err(format!("{shown}: a machine needs a path in UTF-8"));
    };
    let named = file.to_string_lossy();
    let command = without_kernel(called)
        .into_iter()
        .map(|argument| if argument == named { path.to_owned() } else { argument })
        .collect();
    Ok(vm_run_arguments(kernel, command, vec![whole.clone()]))
}

fn vm_run_arguments(kernel: &str, rest: Vec<String>, share: Vec<PathBuf>) -> VmRunArguments {
    let machine = MachineArguments {
        kernel: vec![kernel.to_owned()],
        arch: None,
        guest_binary: None,
        modules: None,
        accel: AccelChoice::Auto,
        clock: None,
        memory: MEMORY,
    };
    let command = [THIS_PROGRAM.to_owned()].into_iter().chain(rest).collect();
    VmRunArguments { machine, share, silence: SILENCE, command }
}

/// The arguments, without the program's name and the kernel.
fn without_kernel(called: impl Iterator<Item = String>) -> Vec<String> {
    let mut left = Vec::new();
    let mut is_kernel = false;
    for argument in called.skip(1) {
        if is_kernel {
            is_kernel = false;
        } else if argument == "--kernel" {
            is_kernel = true;
        } else if !argument.starts_with("--kernel=") {
            left.push(argument);
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Arguments, Command};
    use clap::Parser;

    fn line(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_guest_gets_the_same_arguments_but_the_kernel() {
        let called = line(&["sockmig", "explore", "--kernel", "6.12", "--count", "7"]);
        let parsed = Arguments::try_parse_from(&called).expect("a command line");
        let Some(Command::Explore(arguments)) = parsed.command else { panic!("{called:?}") };
        let guest = exploring(&arguments, "6.12", called.into_iter());
        assert_eq!(guest.command[1..], ["explore", "--count", "7", "--wait-every", "4"]);
        assert_eq!(guest.machine.kernel, ["6.12"]);
        // What a guest is shown must not start another guest.
        let inner = Arguments::try_parse_from(&guest.command).expect("a command line");
        let Some(Command::Explore(inner)) = inner.command else { panic!("{:?}", guest.command) };
        assert_eq!(inner.kernel, None);
    }

    #[test]
    fn a_guest_reads_the_same_file() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let called = line(&["sockmig", "replay", "--kernel=6.12", file]);
        let guest = replaying(Path::new(file), "6.12", called.into_iter()).expect("it is there");
        assert_eq!(guest.command[1..], ["replay", file]);
        assert_eq!(guest.share, [PathBuf::from(file)]);
        let refused = replaying(Path::new("-"), "6.12", line(&["sockmig"]).into_iter());
        assert_eq!(
            refused.expect_err("no file"),
            "a machine cannot read standard input: name a file"
        );
    }
}
