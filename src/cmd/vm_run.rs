//! `sockmig vm-run`: one program in a guest, as if it ran here.

use std::collections::BTreeMap;
use std::env;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use harness::guest::tag as of_every_guest;
use harness::in_words;
use harness::process::{interrupt, subprocess};
use vm::architecture::Architecture;
use vm::boot::bootable::Bootable;
use vm::fetch::cache::Cache;
use vm::fetch::choice;
use vm::machine::end::{EarlyEnd, EndReason};
use vm::machine::guest_program::GuestProgram;
use vm::machine::host::{Host, NotUp, Shared};
use vm::machine::program;
use vm::machine::qemu::Hardware;
use vm::machine::running::Machine;

use crate::cli::VmRunArguments;
use crate::exit::Exit;
use crate::machine::guest::{Task, tag};
use crate::machine::prepare::{self, Workshop};
use crate::machine::session::{exit_code, request};
use crate::output::stderr;

/// How long a machine has to power itself off.
const POWER_OFF: Duration = Duration::from_secs(10);

/// Beginnings of the names of variables that a test program may need: cargo's, the test
/// harnesses', Rust's own, and ours.
const PASSED_ON: [&str; 7] = ["CARGO", "NEXTEST", "RUST", "INSTA", "PROPTEST", "KSFT_", "SOCKMIG_"];

/// What cargo knows of registries and how it reaches them: tokens, and addresses that may
/// have a password in them. A test in a guest fetches nothing.
const KEPT_HERE: [&str; 3] = ["CARGO_REGISTRY_", "CARGO_REGISTRIES_", "CARGO_HTTP_"];

/// A variable with one of these in its name is a credential, whoever's it is.
const CREDENTIALS: [&str; 4] = ["TOKEN", "SECRET", "PASSW", "CREDENTIAL"];

/// Paths of a package's own programs, however these are called.
const PROGRAM: &str = "CARGO_BIN_EXE_";

/// Where a package's directory has what only the build needs.
const NOT_SHARED: [&str; 3] = ["target", ".git", "node_modules"];

/// Does what the command line asks for.
pub fn vm_run(arguments: &VmRunArguments) -> ExitCode {
    match run(arguments) {
        Ok(code) => ended_with(code),
        Err(e) => failed(&e),
    }
}

/// A program's exit code as this program's.
pub(super) fn ended_with(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}

/// Says why there is no exit code of a program.
pub(super) fn failed(why: &anyhow::Error) -> ExitCode {
    stderr::complain_of(why);
    match interrupt::caught() {
        true => Exit::Interrupted.into(),
        false => Exit::Unavailable.into(),
    }
}

fn run(arguments: &VmRunArguments) -> Result<i32> {
    let guest = Guest::prepare(arguments)?;
    guest.run(&guest.task, pass_on).map_err(|lost| guest.in_words(lost))
}

/// Where a program is run, as often as wanted, each time in a machine of its own.
pub(super) struct Guest {
    /// The kernel.
    pub(super) name: String,
    /// What the command line asks for.
    pub(super) task: Task,
    host: Host,
    silence: Duration,
}

/// What comes from a guest.
#[derive(Debug, Clone, Copy)]
pub(super) enum Heard<'a> {
    /// What the program wrote to its standard output.
    Stdout(&'a [u8]),
    /// What it wrote to its standard error.
    Stderr(&'a [u8]),
    /// What it said that it is about to do ([`of_every_guest::INTENT`]).
    Intent(&'a [u8]),
    /// What it has found ([`of_every_guest::FOUND`]).
    Found(&'a [u8]),
}

impl Guest {
    /// Fetches and unpacks what it needs.
    pub(super) fn prepare(arguments: &VmRunArguments) -> Result<Self> {
        // What is wrong with it is shown before anything is fetched or unpacked.
        let guests = prepare::guest_program(&arguments.machine)?;
        let (task, shared, architecture) = task(arguments, &guests)?;
        let (kernel, hardware) = prepare(arguments, architecture, &guests)?;
        let program = &arguments.command[0];
        if kernel.architecture != architecture {
            if Path::new(program) == Path::new(subprocess::THIS_PROGRAM) {
                guests.file_for(kernel.architecture)?;
            }
            bail!("the kernel is for {}, and {program} for {architecture}", kernel.architecture);
        }
        interrupt::catch().context("cannot catch Ctrl-C")?;
        let name = kernel.name.clone();
        let host = Host::prepare(kernel, hardware, &guests, &shared)?;
        let silence = Duration::from_secs(arguments.silence.into());
        Ok(Self { name, task, host, silence })
    }

    /// Boots it and does a task; the program's exit code.
    pub(super) fn run(
        &self,
        task: &Task,
        hear: impl FnMut(Heard<'_>) -> io::Result<()>,
    ) -> Result<i32, Lost> {
        let (machine, up) = self.host.boot().map_err(|e| match e {
            NotUp::EndedEarly(end) => Lost::Machine(end),
            other => Lost::NotUp(Box::new(other)),
        })?;
        if let Some(end) = up.first {
            let name = &self.name;
            stderr::complain(&format_args!("{name} was started once more; its first start: {end}"));
        }
        serve(machine, task, self.silence, hear)
    }

    /// Why there is no exit code.
    pub(super) fn in_words(&self, lost: Lost) -> anyhow::Error {
        let name = &self.name;
        match lost {
            Lost::Machine(end) => ended_early(name, &end),
            Lost::NotUp(why) => (*why).into(),
            Lost::Task(why) => anyhow!("{name}: {why}"),
            Lost::Output(e) => e.into(),
        }
    }
}

/// Of several kernels the newest, of those of the list for the program's architecture.
fn prepare(
    arguments: &VmRunArguments,
    program: Architecture,
    guests: &GuestProgram,
) -> Result<(Bootable, Hardware)> {
    let architecture = arguments.machine.arch.unwrap_or(program);
    let kernels = prepare::kernels(&arguments.machine, architecture, guests);
    let kernels = kernels.map_err(anyhow::Error::msg)?;
    let Some(kernel) = choice::newest(&kernels) else { bail!("no kernel was named") };
    if kernels.len() > 1 {
        let (count, name) = (kernels.len(), kernel.name());
        stderr::complain(&format_args!(
            "of {count} kernels the newest is booted, {name}; --kernel names another"
        ));
    }
    let workshop = Workshop::new(Cache::open()?, &arguments.machine, guests.clone());
    Ok(workshop.prepare(kernel, &mut |_| {})?)
}

/// What the guest is asked to do, the files that it takes, and the program's architecture.
fn task(arguments: &VmRunArguments, guests: &GuestProgram) -> Result<(Task, Shared, Architecture)> {
    let (program, rest) = arguments.command.split_first().context("no program was named")?;
    let path = program::absolute(Path::new(program))
        .map_err(|e| anyhow!("{program}: {}", in_words(&e)))?;
    let its = program::architecture_of(&path).map_err(|e| anyhow!("{program} {e}"))?;
    // This program is in the guest the one that guests have.
    let is_this = path == Path::new(subprocess::THIS_PROGRAM);
    let architecture = guests.architecture().filter(|_| is_this).unwrap_or(its);
    let directory = env::current_dir().context("getcwd()")?;
    let mut shared = Shared { paths: vec![], without: NOT_SHARED.into() };
    // A guest has this one already.
    if !is_this {
        shared.paths.push(path.clone());
    }
    for wanted in &arguments.share {
        let place = program::absolute(wanted).and_then(|path| path.metadata().map(|_| path));
        shared.paths.push(place.with_context(|| format!("cannot share {}", wanted.display()))?);
    }
    let mut environment: BTreeMap<String, String> = env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| is_passed_on(name))
        .collect();
    for (name, value) in [("PATH", "/bin:/usr/bin"), ("HOME", "/tmp"), ("TMPDIR", "/tmp")] {
        environment.insert(name.into(), value.into());
    }
    if let Some(package) = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from) {
        // What a test reads next to its binary, and the programs that it is a test of.
        let root = workspace(&package);
        let at = root.display().to_string();
        environment.entry("INSTA_WORKSPACE_ROOT".into()).or_insert(at);
        shared.paths.push(root);
        let programs = env::vars_os()
            .filter(|(name, _)| name.to_str().is_some_and(|name| name.starts_with(PROGRAM)));
        shared.paths.extend(programs.map(|(_, path)| PathBuf::from(path)));
    }
    shared.paths.sort();
    shared.paths.dedup();
    let task = Task::Program { path, arguments: rest.to_vec(), environment, directory };
    Ok((task, shared, architecture))
}

/// Whether the guest gets an environment variable: what a test program may need, and no
/// credentials.
fn is_passed_on(name: &str) -> bool {
    let starts_with = |beginnings: &[&str]| beginnings.iter().any(|with| name.starts_with(with));
    let is_secret = || {
        let name = name.to_uppercase();
        starts_with(&KEPT_HERE) || CREDENTIALS.iter().any(|word| name.contains(word))
    };
    starts_with(&PASSED_ON) && (name.starts_with(PROGRAM) || !is_secret())
}

/// The directory with the lock file: tests read what is next to their package, and snapshots
/// are named from there.
fn workspace(package: &Path) -> PathBuf {
    let root = package.ancestors().find(|path| path.join("Cargo.lock").is_file());
    root.unwrap_or(package).to_owned()
}

/// Why there is no exit code.
pub(super) enum Lost {
    /// The machine ended before the program did.
    Machine(Box<EarlyEnd>),
    /// There was none.
    NotUp(Box<NotUp>),
    /// The program was not started.
    Task(String),
    /// What came from it could not be written.
    Output(io::Error),
}

/// Passes on what comes from the guest, until its program has ended.
fn serve(
    mut machine: Machine,
    task: &Task,
    silence: Duration,
    mut hear: impl FnMut(Heard<'_>) -> io::Result<()>,
) -> Result<i32, Lost> {
    machine.send(&request(task));
    machine.pass_on_interruptions();
    let mut failure = None;
    loop {
        let frame = machine.hear(silence).map_err(Lost::Machine)?;
        let payload = frame.payload.as_slice();
        match frame.tag {
            tag::STDOUT => hear(Heard::Stdout(payload)).map_err(Lost::Output)?,
            tag::STDERR => hear(Heard::Stderr(payload)).map_err(Lost::Output)?,
            of_every_guest::INTENT => hear(Heard::Intent(payload)).map_err(Lost::Output)?,
            of_every_guest::FOUND => hear(Heard::Found(payload)).map_err(Lost::Output)?,
            tag::FAILURE => failure = Some(String::from_utf8_lossy(payload).into_owned()),
            of_every_guest::END => {
                if machine.was_told_to_end() {
                    stderr::complain(&"interrupted");
                }
                machine.power_off(POWER_OFF);
                return failure.map_or(Ok(exit_code(&frame.payload)), |why| Err(Lost::Task(why)));
            }
            _ => {}
        }
    }
}

/// Writes what the program wrote to where this one writes.
pub(super) fn pass_on(heard: Heard<'_>) -> io::Result<()> {
    match heard {
        Heard::Stdout(bytes) => {
            let mut to = io::stdout();
            to.write_all(bytes).and_then(|()| to.flush())
        }
        Heard::Stderr(bytes) => {
            stderr::write(bytes);
            Ok(())
        }
        Heard::Intent(_) | Heard::Found(_) => Ok(()),
    }
}

fn ended_early(kernel: &str, end: &EarlyEnd) -> anyhow::Error {
    let EarlyEnd { reason, console } = end;
    match (reason, console.as_str()) {
        (EndReason::Interrupted, _) | (_, "") => anyhow!("{kernel}: {reason}"),
        (_, console) => anyhow!("{kernel}: {reason}; the console's last lines:\n{console}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("CARGO_MANIFEST_DIR", true)]
    #[case("CARGO_BIN_EXE_tokenizer", true)]
    #[case("CARGO_PKG_VERSION", true)]
    #[case("RUST_BACKTRACE", true)]
    #[case("SOCKMIG_LONG", true)]
    #[case("CARGO_REGISTRY_TOKEN", false)]
    #[case("CARGO_REGISTRY_CREDENTIAL_PROVIDER", false)]
    #[case("CARGO_REGISTRIES_INTERNAL_TOKEN", false)]
    #[case("CARGO_REGISTRIES_INTERNAL_INDEX", false)]
    #[case("CARGO_REGISTRIES_internal_secret_key", false)]
    #[case("CARGO_HTTP_PROXY", false)]
    #[case("CARGO_ALIAS_PUBLISH_TOKEN", false)]
    #[case("NEXTEST_UPLOAD_SECRET", false)]
    #[case("SOCKMIG_PASSWORD", false)]
    #[case("HOME", false)]
    #[case("GITHUB_TOKEN", false)]
    fn a_guest_gets_what_a_test_needs_and_no_credentials(#[case] name: &str, #[case] gets: bool) {
        assert_eq!(is_passed_on(name), gets);
    }
}
