//! The laboratory itself: that it is apart from the machine, that it ends, and that its
//! instruments show what is there.

mod capture;
mod gate;
mod isolation;
mod program;
mod results;
mod sharing;
mod subprocess;
mod survivors;
mod worker;

#[path = "../in_lab/mod.rs"]
mod in_lab;

use std::process::ExitCode;

use harness::process::Returned;
use harness::process::entry;
use in_lab::Test;

fn main() -> ExitCode {
    entry::enter(work);
    if let Some(code) =
        survivors::play_role().or_else(sharing::play_role).or_else(worker::play_role)
    {
        return code;
    }
    in_lab::main(tests())
}

fn tests() -> Vec<Test> {
    [
        isolation::tests(),
        results::tests(),
        sharing::tests(),
        survivors::tests(),
        gate::tests(),
        capture::tests(),
        program::tests(),
        subprocess::tests(),
        worker::tests(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What this program does as a lab.
fn work(what: &str) -> Returned {
    if let Some(returned) = in_lab::work(what, tests) {
        return returned;
    }
    let (word, argument) = what.split_once(' ').unwrap_or((what, ""));
    match word {
        isolation::WORK => isolation::work(argument),
        program::WORK => program::work(argument),
        results::WORK => results::work(argument),
        sharing::WORK => sharing::work(argument),
        survivors::WORK => survivors::work(argument),
        worker::WORK => worker::work(),
        _ => panic!("unknown work {what}"),
    }
}
