//! Labs are forked from one process. Nothing that a lab does to itself is there for the next
//! one, and none finds anything that a program started for it alone would not.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicU32, Ordering};

use harness::process::{ForkedFrom, Labs, Returned};
use harness::wait;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::mount::{MsFlags, mount};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigHandler, SigSet, Signal, kill, signal};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Pid, chdir, getpgrp, getpid, getsid};
use serde::{Deserialize, Serialize};

use crate::in_lab::Test;
use crate::survivors;

pub const WORK: &str = "sharing";

pub fn tests() -> Vec<Test> {
    vec![
        Test::outside("sharing/nothing-stays-for-the-next-lab", nothing_stays),
        Test::outside("sharing/as-in-a-program-of-its-own", as_in_a_program_of_its_own),
        Test::outside("sharing/what-labs-are-forked-from-is-replaced", is_replaced),
    ]
}

/// What labs would have in common if they were one process.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// What a process has that its forks inherit, or that a fork could leave for another one.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    environment: BTreeMap<String, String>,
    directory: String,
    file_mode_mask: u32,
    limits: String,
    /// Signals that are blocked, ignored and handled, threads, users, capabilities.
    status: BTreeMap<String, String>,
    /// What is open, without what tells two pipes apart.
    descriptors: Vec<String>,
    niceness: String,
    mounts: usize,
    processes: usize,
    is_in_a_session_of_its_own: bool,
    count: u32,
}

impl State {
    fn read() -> Self {
        let read = |file: &str| fs::read_to_string(format!("/proc/{file}")).expect("readable");
        let mask = umask(Mode::empty());
        umask(mask);
        // Memory, switches between processes and ids differ from one process to the next, and what
        // is queued for the user's other processes is counted, too.
        let kept = [
            "SigPnd",
            "ShdPnd",
            "SigBlk",
            "SigIgn",
            "SigCgt",
            "Threads",
            "Uid",
            "Gid",
            "Groups",
            "Cap",
            "NoNewPrivs",
            "Seccomp",
        ];
        let text = read("self/status");
        let status = text.lines().filter_map(|line| line.split_once(':'));
        let status = status.filter(|(name, _)| kept.iter().any(|kept| name.starts_with(kept)));
        let is_number =
            |entry: &fs::DirEntry| entry.file_name().to_string_lossy().parse::<u32>().is_ok();
        let list = |directory: &str| fs::read_dir(directory).expect("readable").flatten();
        let targets = list("/proc/self/fd").filter_map(|entry| fs::read_link(entry.path()).ok());
        let kinds = targets.map(|target| target.to_string_lossy().replace(char::is_numeric, ""));
        let mut descriptors: Vec<String> = kinds.collect();
        descriptors.sort();
        let (session, group) = (getsid(None), getpgrp());
        Self {
            environment: std::env::vars().collect(),
            directory: std::env::current_dir().expect("a directory").display().to_string(),
            file_mode_mask: mask.bits(),
            limits: read("self/limits"),
            status: status.map(|(name, value)| (name.into(), value.trim().into())).collect(),
            descriptors,
            niceness: read("self/stat").rsplit_once(')').map_or_else(String::new, |(_, fields)| {
                fields.split_whitespace().nth(16).unwrap_or_default().to_owned()
            }),
            mounts: read("self/mountinfo").lines().count(),
            processes: list("/proc").filter(is_number).count(),
            is_in_a_session_of_its_own: session == Ok(getpid()) && group == getpid(),
            count: COUNT.load(Ordering::Relaxed),
        }
    }
}

pub fn work(what: &str) -> Returned {
    if what == "spoil" {
        spoil();
    }
    Returned::json(&State::read(), vec![])
}

/// Changes whatever a process can change of itself.
fn spoil() {
    COUNT.fetch_add(1, Ordering::Relaxed);
    // SAFETY: this process has one thread.
    unsafe { std::env::set_var("SPOILED_BY_A_LAB", "yes") };
    chdir("/proc").expect("a directory");
    umask(Mode::from_bits_truncate(0o7));
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, soft.min(hard) / 2, hard / 2).expect("lower limits");
    // SAFETY: an ignored signal runs no code of this program.
    unsafe { signal(Signal::SIGUSR1, SigHandler::SigIgn) }.expect("ignored");
    SigSet::all().thread_block().expect("blocked");
    prctl::set_no_new_privs().expect("no more privileges");
    let flags = MsFlags::empty();
    mount(Some("tmpfs"), "/proc/sys", Some("tmpfs"), flags, None::<&str>).expect("mounted");
    let left = File::open("/proc/version").expect("open");
    fcntl(left.as_fd(), FcntlArg::F_SETFD(FdFlag::empty())).expect("left to programs");
    std::mem::forget(left);
    survivors::start_sleeper();
    std::thread::spawn(std::thread::park);
}

fn state(labs: &Labs, what: &str) -> State {
    let returned = labs.run(&format!("{WORK} {what}"), wait::deadline()).expect("a lab");
    returned.parse().expect("a state")
}

fn nothing_stays(_: &Labs) {
    let labs = Labs::default();
    let (before, spoiled, after) = (state(&labs, ""), state(&labs, "spoil"), state(&labs, ""));
    assert_eq!(before, after);
    // Each of these could have been seen.
    assert_ne!(before.environment, spoiled.environment);
    assert_ne!(before.directory, spoiled.directory);
    assert_ne!(before.file_mode_mask, spoiled.file_mode_mask);
    assert_ne!(before.limits, spoiled.limits);
    assert_ne!(before.status, spoiled.status);
    assert_ne!(before.descriptors, spoiled.descriptors);
    assert_ne!(before.mounts, spoiled.mounts);
    assert_ne!(before.processes, spoiled.processes);
    assert_ne!(before.count, spoiled.count);
    assert!(before.is_in_a_session_of_its_own);
}

fn as_in_a_program_of_its_own(labs: &Labs) {
    let alone = Labs::forked_from(ForkedFrom::OneEach);
    assert_eq!(state(labs, ""), state(&alone, ""));
    // The second one, too, has one of its own.
    assert_eq!(state(labs, ""), state(&alone, ""));
}

/// The first argument with which this program loses what its labs are forked from.
const BEREFT: &str = "__bereft";

/// Does what the first argument says, if it is the part above.
pub fn play_role() -> Option<ExitCode> {
    (std::env::args().nth(1)? == BEREFT).then_some(())?;
    let labs = Labs::default();
    let before = state(&labs, "");
    labs.wait();
    let children = children();
    assert_eq!(children.len(), 1, "what labs are forked from: {children:?}");
    kill(children[0], Signal::SIGKILL).expect("killed");
    wait::until("its end", || Ok(has_ended(children[0]).then_some(()))).expect("an end");
    assert_eq!(before, state(&labs, ""));
    drop(labs);
    assert_eq!(self::children(), []);
    Some(ExitCode::SUCCESS)
}

/// The parent and the state of a process, by `/proc/PID/stat`.
fn parent_and_state(process: &str) -> Option<(i32, String)> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.to_owned();
    Some((fields.next()?.parse().ok()?, state))
}

/// The processes that this one has started and not waited for.
fn children() -> Vec<Pid> {
    let names = fs::read_dir("/proc").expect("/proc").flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    let this = getpid().as_raw();
    let mine = names.filter(|name| parent_and_state(name).is_some_and(|(p, _)| p == this));
    mine.filter_map(|name| name.parse().ok().map(Pid::from_raw)).collect()
}

fn has_ended(process: Pid) -> bool {
    parent_and_state(&process.to_string()).is_none_or(|(_, state)| state == "Z")
}

fn is_replaced(_: &Labs) {
    let ended = Command::new("/proc/self/exe").arg(BEREFT).output().expect("started");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}
