//! User-Mode Linux for real: the first process of these guests is this very test.
//!
//! `SOCKMIG_UML` names the binary, which `make ARCH=um` leaves as `linux`.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use harness::guest::{self, Port, tag};
use harness::process::frame::Frame;
use harness::wait;
use libtest_mimic::{Arguments, Failed, Trial};
use serial_test::fs_serial_core_with_return;
use vm::architecture::Architecture;
use vm::boot::bootable::{Bootable, Image};
use vm::machine::end::EndReason;
use vm::machine::guest_program::GuestProgram;
use vm::machine::host::{Host, Shared};
use vm::machine::qemu::{Accel, Clock, Hardware};
use vm::machine::running::Machine;

/// Names the binary.
const VARIABLE: &str = "SOCKMIG_UML";

/// What a guest is asked for, and what it answers with.
mod ask {
    /// The same bytes [`TIMES`](super::TIMES) over.
    pub const ECHO: u8 = b'E';
    /// A nap of half an hour.
    pub const NAP: u8 = b'N';
    /// A panic.
    pub const PANIC: u8 = b'P';
    /// Nothing.
    pub const SILENCE: u8 = b'S';
}

/// How often a guest repeats what it hears: more than all the buffers between it and the
/// host can hold.
const TIMES: usize = 200;

/// The file to lock while a machine runs: one of those that the command's own tests with
/// machines lock. They are locked as `#[file_serial]` does it, which is for libtest's tests;
/// libtest cannot ignore a test at run time and say why, nor be a guest's first process.
const MACHINE: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/machine-1");

type Test = fn() -> Result<(), Failed>;

fn main() -> ExitCode {
    guest::enter(work);
    let arguments = Arguments::from_args();
    let tests: [(&str, Test); 6] = [
        ("bytes_pass_as_they_are", bytes_pass_as_they_are),
        ("an_idle_guest_costs_no_time", an_idle_guest_costs_no_time),
        ("every_guest_is_a_fresh_one", every_guest_is_a_fresh_one),
        ("a_panic_is_seen_on_the_console", a_panic_is_seen_on_the_console),
        ("silence_is_noticed", silence_is_noticed),
        ("nothing_is_left_of_a_guest", nothing_is_left_of_a_guest),
    ];
    let trials = tests.map(|(name, test)| match binary() {
        Some(_) => Trial::test(name, move || {
            fs_serial_core_with_return(vec!["machine"], Some(MACHINE), test)
        }),
        // libtest's own list has no place for a reason but the name.
        None => Trial::test(format!("{name} ({VARIABLE} names no binary)"), || Ok(()))
            .with_ignored_flag(true),
    });
    libtest_mimic::run(&arguments, trials.into()).exit_code()
}

/// In the guest.
fn work(port: &Port, task: &Frame) -> i32 {
    match task.tag {
        ask::NAP => thread::sleep(Duration::from_secs(1800)),
        ask::PANIC => fs::write("/proc/sysrq-trigger", "c").expect("CONFIG_MAGIC_SYSRQ"),
        ask::SILENCE => thread::sleep(Duration::MAX),
        _ => {}
    }
    i32::from(port.send(task.tag, task.payload.repeat(TIMES)).is_err())
}

/// The kernel that the environment names.
fn binary() -> Option<PathBuf> {
    env::var_os(VARIABLE).map(PathBuf::from)
}

fn host(clock: Clock) -> Result<Host, Failed> {
    let kernel = Bootable {
        name: "uml".into(),
        release: None,
        architecture: Architecture::X86_64,
        image: Image::Uml(binary().ok_or("no binary is named")?),
        modules: vec![],
        built_in: vec![],
        absent: vec![],
        elsewhere: vec![],
        config: None,
        kept_in: PathBuf::new(),
    };
    let hardware = Hardware { accel: Accel::Tcg, clock, memory: 256, processors: 1 };
    Ok(Host::prepare(kernel, hardware, &GuestProgram::This, &Shared::default())?)
}

/// Boots, asks, and gives the answer.
fn asked(host: &Host, what: u8, payload: Vec<u8>) -> Result<(Machine, Frame), Box<dyn Error>> {
    let (mut machine, _) = host.boot()?;
    machine.send(&Frame { tag: what, payload });
    let answer = machine.hear(wait::deadline()).map_err(|end| format!("{end:?}"))?;
    Ok((machine, answer))
}

fn bytes_pass_as_they_are() -> Result<(), Failed> {
    for clock in [Clock::Virtual, Clock::Real] {
        let host = host(clock)?;
        // All that a terminal would take for something else is among them.
        let sent: Vec<u8> = (0..=255).chain((0..=255).rev()).cycle().take(5000).collect();
        let (mut machine, answer) = asked(&host, ask::ECHO, sent.clone())?;
        assert!(answer.payload == sent.repeat(TIMES), "other bytes than were sent");
        let end = machine.hear(wait::deadline()).map_err(|end| format!("{end:?}"))?;
        assert_eq!((end.tag, end.payload), (tag::END, vec![0; 4]));
        machine.power_off(wait::deadline());
    }
    Ok(())
}

fn an_idle_guest_costs_no_time() -> Result<(), Failed> {
    let host = host(Clock::Virtual)?;
    if host.clock() == Clock::Real {
        return Ok(());
    }
    let started = Instant::now();
    asked(&host, ask::NAP, vec![])?;
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
    Ok(())
}

fn every_guest_is_a_fresh_one() -> Result<(), Failed> {
    let host = host(Clock::Virtual)?;
    for _ in 0..3 {
        let (mut machine, _) = host.restore()?;
        machine.send(&Frame { tag: ask::ECHO, payload: b"once".into() });
        let answer = machine.hear(wait::deadline()).map_err(|end| format!("{end:?}"))?;
        assert_eq!(answer.payload, b"once".repeat(TIMES));
    }
    Ok(())
}

fn a_panic_is_seen_on_the_console() -> Result<(), Failed> {
    let host = host(Clock::Virtual)?;
    let (mut machine, _) = host.boot()?;
    machine.send(&Frame { tag: ask::PANIC, payload: vec![] });
    let end = machine.hear(wait::deadline()).expect_err("a panic");
    let EndReason::Panicked { line } = &end.reason else { panic!("{end:?}") };
    assert!(line.contains("sysrq triggered crash"), "{line}");
    let files: Vec<_> = fs::read_dir(host.directory())?.flatten().collect();
    assert!(files.iter().all(|file| file.file_name() != "core"), "{files:?}");
    Ok(())
}

fn silence_is_noticed() -> Result<(), Failed> {
    let host = host(Clock::Real)?;
    let (mut machine, _) = host.boot()?;
    machine.send(&Frame { tag: ask::SILENCE, payload: vec![] });
    let silence = Duration::from_millis(300);
    let end = machine.hear(silence).expect_err("silence");
    assert_eq!(end.reason, EndReason::Hung { silence });
    Ok(())
}

fn nothing_is_left_of_a_guest() -> Result<(), Failed> {
    let host = host(Clock::Virtual)?;
    let directory = host.directory().to_owned();
    let (machine, _) = host.boot()?;
    // One is the kernel, and one at least a process of the guest.
    assert!(processes_in(&directory) >= 2, "{}", processes_in(&directory));
    drop(machine);
    wait::until("the end of every process", || Ok((processes_in(&directory) == 0).then_some(())))?;
    drop(host);
    assert!(!directory.exists(), "{} is still there", directory.display());
    Ok(())
}

/// How many processes work in a directory. Those of a guest cannot leave theirs.
fn processes_in(directory: &Path) -> usize {
    let processes = fs::read_dir("/proc").expect("/proc is mounted").flatten();
    let works_there = |at: PathBuf| fs::read_link(at.join("cwd")).is_ok_and(|cwd| cwd == directory);
    processes.filter(|process| works_there(process.path())).count()
}
