//! `sockmig reload --kernel`: the same command, in a guest.

use crate::cli::{ClockChoice, ReloadArguments, VmRunArguments};
use crate::machine::same_command::in_guest;

/// What a guest needs for thousands of connections, in MiB.
const MEMORY: u32 = 1024;

/// How this command, which was `called` so, is run in a guest, if it is to be. The guest has no
/// servers but ours, so these are meant where none is named. Its clock is real: it is about time.
pub(super) fn vm_run_arguments(
    arguments: &ReloadArguments,
    called: impl Iterator<Item = String>,
) -> Option<VmRunArguments> {
    let mut guest = in_guest(&arguments.other, called, Some(ClockChoice::Real), MEMORY)?;
    if arguments.strategies.is_empty() && !(arguments.close_cost || arguments.stopped_member) {
        guest.command.push("own/".into());
    }
    Some(guest)
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
        let guest = vm_run_arguments(&arguments, line.into_iter()).expect("another kernel");
        assert_eq!(guest.command[1], "reload");
        assert_eq!(guest.command[2..], *passed_on);
        assert_eq!(guest.machine.clock, Some(ClockChoice::Real));
        // What a guest is shown must not start another guest.
        let inner = Arguments::try_parse_from(&guest.command).expect("a command line");
        let Some(Command::Reload(inner)) = inner.command else { panic!("{:?}", guest.command) };
        assert_eq!(inner.other.kernel, None);
    }
}
