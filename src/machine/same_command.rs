//! A command that otherwise asks the running kernel, in a guest: this program, with the same
//! arguments except those that say which guest.

use harness::process::subprocess::THIS_PROGRAM;

use crate::cli::{AccelChoice, ClockChoice, MachineArguments, OtherKernel, VmRunArguments};

/// The options of [`OtherKernel`].
const OTHER_KERNEL: [&str; 2] = ["--kernel", "--guest-binary"];

/// How long a guest may be silent, in seconds: as long as a measurement takes, or the reduction of
/// a history that waits, and more.
const SILENCE: u32 = 7200;

/// How the command that was `called` so, with the program's name, is run in a guest; `None` if it
/// is to ask the running kernel. `memory` is in MiB.
pub fn in_guest(
    other: &OtherKernel,
    called: impl Iterator<Item = String>,
    clock: Option<ClockChoice>,
    memory: u32,
) -> Option<VmRunArguments> {
    let kernel = other.kernel.clone()?;
    let machine = MachineArguments {
        kernel: vec![kernel],
        arch: None,
        guest_binary: other.guest_binary.clone(),
        modules: None,
        accel: AccelChoice::Auto,
        clock,
        memory,
        processors: 1,
    };
    let command = [THIS_PROGRAM.to_owned()].into_iter().chain(without_guest(called)).collect();
    Some(VmRunArguments { machine, share: vec![], silence: SILENCE, command })
}

/// The arguments, without the program's name and what says which guest.
fn without_guest(called: impl Iterator<Item = String>) -> Vec<String> {
    let mut left = Vec::new();
    let mut is_value = false;
    for argument in called.skip(1) {
        let name = argument.split_once('=').map_or(&*argument, |(name, _)| name);
        if is_value {
            is_value = false;
        } else if OTHER_KERNEL.contains(&name) {
            is_value = name == argument;
        } else {
            left.push(argument);
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn guest(words: &[&str]) -> Vec<String> {
        without_guest(words.iter().map(|word| (*word).to_owned()))
    }

    #[test]
    fn what_says_which_guest_is_left_out() {
        let rest = ["reload", "own/naive", "--quick"];
        let lines: [&[&str]; 3] = [
            &["sockmig", "reload", "own/naive", "--kernel", "6.12", "--quick"],
            &["sockmig", "reload", "--kernel=6.12", "own/naive", "--guest-binary=./s", "--quick"],
            &["sockmig", "reload", "own/naive", "--quick", "--guest-binary", "s", "--kernel=6"],
        ];
        for line in lines {
            assert_eq!(guest(line), rest, "{line:?}");
        }
    }

    #[test]
    fn the_guest_has_the_sockmig_that_was_named() {
        let mut other = OtherKernel { kernel: None, guest_binary: Some("./sockmig-arm64".into()) };
        let called = || ["sockmig", "explore"].map(str::to_owned).into_iter();
        assert!(in_guest(&other, called(), None, 512).is_none());
        other.kernel = Some("6.12.117-1:arm64".to_owned());
        let guest = in_guest(&other, called(), None, 512).expect("another kernel");
        assert_eq!(guest.machine.kernel, ["6.12.117-1:arm64"]);
        assert_eq!(guest.machine.guest_binary.as_deref(), Some(Path::new("./sockmig-arm64")));
        assert_eq!(guest.command, [THIS_PROGRAM, "explore"]);
    }
}
