//! `sockmig reload --kernel`: the same command, in a guest.

use harness::process::subprocess::THIS_PROGRAM;

use crate::cli::{AccelChoice, ClockChoice, MachineArguments, ReloadArguments, VmRunArguments};

/// What a guest needs for thousands of connections, in MiB.
const MEMORY: u32 = 1024;

/// How long a guest may be silent: as long as a measurement takes, and more.
const SILENCE: u32 = 7200;

/// How this command, which was `called` so, is run in a guest: this program, with the same
/// arguments except the kernel. The guest has no servers but ours, so these are meant
/// where none is named. Its clock is real: it is about time.
pub(super) fn vm_run_arguments(
    arguments: &ReloadArguments,
    called: impl Iterator<Item = String>,
) -> VmRunArguments {
    let mut command = vec![THIS_PROGRAM.to_owned()];
    command.extend(without_kernel(called.skip(1)));
    if arguments.strategies.is_empty() && !(arguments.close_cost || arguments.stopped_member) {
        command.push("own/".into());
    }
    let machine = MachineArguments {
        kernel: arguments.kernel.clone().into_iter().collect(),
        arch: None,
        guest_binary: None,
        modules: None,
        accel: AccelChoice::Auto,
        clock: Some(ClockChoice::Real),
        memory: MEMORY,
    };
    VmRunArguments { machine, share: vec![], silence: SILENCE, command }
}

fn without_kernel(arguments: impl Iterator<Item = String>) -> Vec<String> {
    let mut left = Vec::new();
    let mut is_kernel = false;
    for argument in arguments {
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
    use rstest::rstest;

    #[rstest]
    #[case(&["--kernel", "6.12", "--quick"], &["--quick", "own/"])]
    #[case(&["own/naive", "--kernel=6.12", "--reloads", "2"], &["own/naive", "--reloads", "2"])]
    #[case(&["--close-cost", "--kernel", "7.2"], &["--close-cost"])]
    fn a_guest_gets_the_same_arguments_but_the_kernel(
        #[case] line: &[&str],
        #[case] passed_on: &[&str],
    ) {
        let line: Vec<String> =
            ["sockmig", "reload"].iter().chain(line).map(|word| (*word).to_owned()).collect();
        let parsed = Arguments::try_parse_from(&line).expect("a command line");
        let Some(Command::Reload(arguments)) = parsed.command else { panic!("{line:?}") };
        let guest = vm_run_arguments(&arguments, line.into_iter());
        assert_eq!(guest.command[1], "reload");
        assert_eq!(guest.command[2..], *passed_on);
        assert_eq!(guest.machine.clock, Some(ClockChoice::Real));
        // What a guest is shown must not start another guest.
        let inner = Arguments::try_parse_from(&guest.command).expect("a command line");
        let Some(Command::Reload(inner)) = inner.command else { panic!("{:?}", guest.command) };
        assert_eq!(inner.kernel, None);
    }
}
