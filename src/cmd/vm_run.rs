//! `sockmig vm-run`: one program in a guest, as if it ran here.

use std::collections::BTreeMap;
use std::env;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use harness::guest::tag as of_every_guest;
use harness::interrupt;
use vm::boot::bootable::Bootable;
use vm::fetch::cache::Cache;
use vm::fetch::choice;
use vm::machine::end::{EarlyEnd, EndReason};
use vm::machine::host::{Host, NotUp, Shared};
use vm::machine::program;
use vm::machine::qemu::Hardware;
use vm::machine::running::Machine;

use crate::cli::VmRunArguments;
use crate::exit::Exit;
use crate::machine::guest::{Task, tag};
use crate::machine::prepare::{self, Workshop};
use crate::machine::session::{exit_code, request};

/// How long a machine has to power itself off.
const POWER_OFF: Duration = Duration::from_secs(10);

/// Beginnings of the names of variables that a test program may need: cargo's, the test
/// harnesses', Rust's own, and ours.
const PASSED_ON: [&str; 7] = ["CARGO", "NEXTEST", "RUST", "INSTA", "PROPTEST", "KSFT_", "SOCKMIG_"];

/// Where a package's directory has what only the build needs.
const NOT_SHARED: [&str; 3] = ["target", ".git", "node_modules"];

/// Does what the command line asks for.
pub fn vm_run(arguments: &VmRunArguments) -> ExitCode {
    match run(arguments) {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)),
        Err(e) => {
            eprintln!("sockmig: {e:#}");
            match interrupt::caught() {
                true => Exit::Interrupted.into(),
                false => Exit::Unavailable.into(),
            }
        }
    }
}

fn run(arguments: &VmRunArguments) -> Result<i32> {
    // What is wrong with it is told before anything is fetched or unpacked.
    let (task, shared) = task(arguments)?;
    let (kernel, hardware) = prepare(arguments)?;
    interrupt::catch().context("cannot catch Ctrl-C")?;
    let name = kernel.name.clone();
    let host = Host::prepare(kernel, hardware, &shared)?;
    let (machine, _) = host.boot().map_err(|e| match e {
        NotUp::EndedEarly(end) => ended_early(&name, &end),
        other => other.into(),
    })?;
    let silence = Duration::from_secs(arguments.silence.into());
    converse(machine, &task, silence).map_err(|e| match e {
        Lost::Machine(end) => ended_early(&name, &end),
        Lost::Task(why) => anyhow!("{name}: {why}"),
        Lost::Output(e) => e.into(),
    })
}

/// Of several kernels the newest.
fn prepare(arguments: &VmRunArguments) -> Result<(Bootable, Hardware)> {
    let kernels = prepare::kernels(&arguments.machine).map_err(anyhow::Error::msg)?;
    let Some(kernel) = choice::newest(&kernels) else { bail!("no kernel was named") };
    let workshop = Workshop::new(Cache::open()?, &arguments.machine);
    Ok(workshop.prepare(kernel, &mut |_| {})?)
}

/// What the guest is asked to do, and the files that it takes.
fn task(arguments: &VmRunArguments) -> Result<(Task, Shared)> {
    let (program, rest) = arguments.command.split_first().context("no program was named")?;
    let path = program::absolute(Path::new(program)).map_err(|e| anyhow!("{program}: {e}"))?;
    program::check(&path).map_err(|e| anyhow!("{program} {e}"))?;
    let directory = env::current_dir().context("getcwd()")?;
    let mut shared = Shared { paths: vec![path.clone()], without: NOT_SHARED.into() };
    for wanted in &arguments.share {
        let place = program::absolute(wanted).and_then(|path| path.metadata().map(|_| path));
        shared.paths.push(place.with_context(|| format!("cannot share {}", wanted.display()))?);
    }
    let mut environment: BTreeMap<String, String> = env::vars()
        .filter(|(name, _)| PASSED_ON.iter().any(|beginning| name.starts_with(beginning)))
        .collect();
    for (name, value) in [("PATH", "/bin:/usr/bin"), ("HOME", "/tmp"), ("TMPDIR", "/tmp")] {
        environment.insert(name.into(), value.into());
    }
    if let Some(package) = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from) {
        // What a test reads beside its binary, and the programs that it is a test of.
        let root = workspace(&package);
        let at = root.display().to_string();
        environment.entry("INSTA_WORKSPACE_ROOT".into()).or_insert(at);
        shared.paths.push(root);
        let programs = env::vars_os().filter(|(name, _)| {
            name.to_str().is_some_and(|name| name.starts_with("CARGO_BIN_EXE_"))
        });
        shared.paths.extend(programs.map(|(_, path)| PathBuf::from(path)));
    }
    shared.paths.sort();
    shared.paths.dedup();
    let task = Task::Program { path, arguments: rest.to_vec(), environment, directory };
    Ok((task, shared))
}

/// The directory with the lock file: tests read what is beside their package, and snapshots
/// are named from there.
fn workspace(package: &Path) -> PathBuf {
    let root = package.ancestors().find(|path| path.join("Cargo.lock").is_file());
    root.unwrap_or(package).to_owned()
}

/// Why there is no exit code.
enum Lost {
    Machine(Box<EarlyEnd>),
    Task(String),
    Output(io::Error),
}

/// Passes on what the program writes, until it has ended.
fn converse(mut machine: Machine, task: &Task, silence: Duration) -> Result<i32, Lost> {
    machine.send(&request(task));
    let mut trouble = None;
    loop {
        let frame = machine.hear(silence).map_err(Lost::Machine)?;
        match frame.tag {
            tag::STDOUT => pass_on(io::stdout(), &frame.payload)?,
            tag::STDERR => pass_on(io::stderr(), &frame.payload)?,
            tag::TROUBLE => trouble = Some(String::from_utf8_lossy(&frame.payload).into_owned()),
            of_every_guest::END => {
                machine.power_off(POWER_OFF);
                return trouble.map_or(Ok(exit_code(&frame.payload)), |why| Err(Lost::Task(why)));
            }
            _ => {}
        }
    }
}

fn pass_on(mut to: impl Write, bytes: &[u8]) -> Result<(), Lost> {
    to.write_all(bytes).and_then(|()| to.flush()).map_err(Lost::Output)
}

fn ended_early(kernel: &str, end: &EarlyEnd) -> anyhow::Error {
    let EarlyEnd { reason, console } = end;
    match (reason, console.as_str()) {
        (EndReason::Interrupted, _) | (_, "") => anyhow!("{kernel}: {reason}"),
        (_, console) => anyhow!("{kernel}: {reason}; the console's last lines:\n{console}"),
    }
}
