//! `sockmig explore --kernel` and `sockmig replay --kernel`: the same command, in a guest.

use std::path::Path;

use crate::cli::{ExploreArguments, ReplayArguments, VmRunArguments};
use crate::machine::same_command::in_guest;

/// What a guest needs for a dozen labs, in MiB.
const MEMORY: u32 = 512;

/// In a machine whose clock leaps over idle time, every so-manieth history waits.
const WAIT_EVERY: u64 = 4;

/// How this command, which was `called` so, is run in a guest, if it is to be. The first history is
/// that of `seed`.
pub(super) fn exploring(
    arguments: &ExploreArguments,
    called: impl Iterator<Item = String>,
    seed: u64,
) -> Option<VmRunArguments> {
    let mut guest = in_guest(&arguments.other, without_out(called), None, MEMORY)?;
    if arguments.seed.is_none() {
        guest.command.extend(["--seed".to_owned(), seed.to_string()]);
    }
    // What the guest keeps would be gone with it.
    guest.command.push("--keeps-nothing".to_owned());
    if arguments.wait_every.is_none() {
        guest.command.extend(["--wait-every".to_owned(), WAIT_EVERY.to_string()]);
    }
    Some(guest)
}

/// Without the directory, which is the host's.
fn without_out(called: impl Iterator<Item = String>) -> impl Iterator<Item = String> {
    let mut is_value = false;
    called.filter(move |argument| {
        let is_out = !is_value && (argument == "--out" || argument.starts_with("--out="));
        let is_left = !is_out && !is_value;
        is_value = is_out && argument == "--out";
        is_left
    })
}

/// The same of a replay, or why not.
pub(super) fn replaying(
    arguments: &ReplayArguments,
    called: impl Iterator<Item = String>,
) -> Result<Option<VmRunArguments>, String> {
    let Some(mut guest) = in_guest(&arguments.other, called, None, MEMORY) else {
        return Ok(None);
    };
    let Some(file) = &arguments.file else { return Ok(Some(guest)) };
    let shown = file.display();
    if file.as_os_str() == "-" {
        return Err("a machine cannot read standard input: name a file".to_owned());
    }
    let whole = file
        .canonicalize()
        .map_err(|e| format!("{shown}: cannot open it: {}", harness::in_words(&e)))?;
    let Some(path) = whole.to_str() else {
        return Err(format!("{shown}: a machine needs a path in UTF-8"));
    };
    let named = file.to_string_lossy();
    for argument in guest.command.iter_mut().filter(|argument| **argument == named) {
        path.clone_into(argument);
    }
    guest.share = vec![Path::new(path).to_owned()];
    Ok(Some(guest))
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
        let called = "sockmig explore --kernel 6.12 --out DIR --count 7";
        let called: Vec<String> = called.split(' ').map(str::to_owned).collect();
        let parsed = Arguments::try_parse_from(&called).expect("a command line");
        let Some(Command::Explore(arguments)) = parsed.command else { panic!("{called:?}") };
        let guest = exploring(&arguments, called.into_iter(), 3).expect("another kernel");
        let wanted = "explore --count 7 --seed 3 --keeps-nothing --wait-every 4";
        assert_eq!(guest.command[1..].join(" "), wanted);
        assert_eq!(guest.machine.kernel, ["6.12"]);
        // What a guest is shown must not start another guest.
        let inner = Arguments::try_parse_from(&guest.command).expect("a command line");
        let Some(Command::Explore(inner)) = inner.command else { panic!("{:?}", guest.command) };
        assert_eq!(inner.other.kernel, None);
    }

    fn replay(called: &[String]) -> Result<Option<VmRunArguments>, String> {
        let parsed = Arguments::try_parse_from(called).expect("a command line");
        let Some(Command::Replay(arguments)) = parsed.command else { panic!("{called:?}") };
        replaying(&arguments, called.iter().cloned())
    }

    #[test]
    fn a_guest_reads_the_same_file() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let called = line(&["sockmig", "replay", "--kernel=6.12", file]);
        let guest = replay(&called).expect("it is there").expect("another kernel");
        assert_eq!(guest.command[1..], ["replay", file]);
        assert_eq!(guest.share, [Path::new(file)]);
        let refused = replay(&line(&["sockmig", "replay", "--kernel=6.12", "-"]));
        assert_eq!(
            refused.expect_err("no file"),
            "a machine cannot read standard input: name a file"
        );
    }
}
