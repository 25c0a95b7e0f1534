//! Running the command, and looking after its processes.

#![allow(dead_code, reason = "each test program uses a part")]

pub mod schema;

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use harness::fault_injection;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

/// The command with these arguments, its output piped.
pub fn sockmig(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sockmig"));
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .env_remove("KSFT_TAP_LEVEL");
    fault_injection::with_default_signals(&mut command);
    command
}

/// A command that has ended.
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, stdout, stderr } = self;
        write!(f, "exit code {code:?}\n--- stdout\n{stdout}--- stderr\n{stderr}")
    }
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Ended {
    command.output().expect("the command can be started").into()
}

/// Waits for something that has to come soon.
pub fn until<T>(what: &str, check: impl FnMut() -> Option<T>) -> T {
    until_within(Duration::from_secs(30), Duration::ZERO, what, check)
}

/// Waits for something that has to come within `limit`, and leaves the processor to others
/// for `pause` between two checks.
pub fn until_within<T>(
    limit: Duration,
    pause: Duration,
    what: &str,
    mut check: impl FnMut() -> Option<T>,
) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(Instant::now() < end, "never came: {what}");
        match pause {
            Duration::ZERO => std::thread::yield_now(),
            pause => std::thread::sleep(pause),
        }
    }
}

/// Whether a server can be found, as the command looks for it.
pub fn is_installed(server: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(usual).any(|place| place.join(server).is_file())
}

/// The names of those who run in a process namespace.
pub fn names_in(space: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir("/proc") else { return vec![] };
    let places = entries.flatten().map(|entry| entry.path());
    let inside =
        places.filter(|place| fs::read_link(place.join("ns/pid")).is_ok_and(|s| s == space));
    inside.filter_map(|place| fs::read_to_string(place.join("comm")).ok()).collect()
}

/// Sends SIGINT.
pub fn interrupt(child: &Child) {
    assert!(signal(Signal::SIGINT, child.id()), "SIGINT could not be sent");
}

/// Sends a signal.
pub fn signal(signal: Signal, pid: u32) -> bool {
    nix::sys::signal::kill(Pid::from_raw(pid.cast_signed()), signal).is_ok()
}

/// The processes of one command, known by a mark in their environment, which children
/// inherit.
pub struct Marked {
    mark: String,
}

/// Marks a command and everything that it starts.
pub fn mark(command: &mut Command) -> Marked {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let mark = format!("MARK_OF_A_TEST={}-{count}", std::process::id());
    let (name, value) = mark.split_once('=').expect("a mark");
    command.env(name, value);
    Marked { mark }
}

impl Marked {
    /// Those that run now, as seen from here.
    pub fn processes(&self) -> Vec<Process> {
        let Ok(entries) = fs::read_dir("/proc") else { return vec![] };
        let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter_map(|pid: u32| {
            let read = |name: &str| fs::read(format!("/proc/{pid}/{name}")).ok();
            let environment = read("environ")?;
            let marked = environment.split(|byte| *byte == 0).any(|v| v == self.mark.as_bytes());
            let arguments =
                String::from_utf8_lossy(&read("cmdline")?).split('\0').map(str::to_owned).collect();
            marked.then_some(Process { pid, arguments })
        })
        .collect()
    }

    /// The process namespaces that they are in, except for this one.
    pub fn spaces(&self) -> BTreeSet<PathBuf> {
        let space = |process: &str| fs::read_link(format!("/proc/{process}/ns/pid")).ok();
        let mut spaces: BTreeSet<PathBuf> =
            self.processes().iter().filter_map(|p| space(&p.pid.to_string())).collect();
        space("self").map(|ours| spaces.remove(&ours));
        spaces
    }

    /// The sockets and pipes that they have open, except for those that this process has, too,
    /// and may have left them.
    pub fn sockets_and_pipes(&self) -> BTreeSet<PathBuf> {
        let of = |process: &str| {
            let files = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
            files
                .filter_map(|file| fs::read_link(file.path()).ok())
                .filter(|link| is_socket_or_pipe(link))
        };
        let ours: BTreeSet<PathBuf> = of("self").collect();
        let processes = self.processes().into_iter();
        let all = processes.flat_map(|process| of(&process.pid.to_string()).collect::<Vec<_>>());
        all.filter(|file| !ours.contains(file)).collect()
    }

    /// Waits until none is left.
    pub fn assert_gone(&self) {
        until("the end of every process", || self.processes().is_empty().then_some(()));
    }
}

fn is_socket_or_pipe(link: &Path) -> bool {
    let link = link.to_string_lossy();
    link.starts_with("socket:[") || link.starts_with("pipe:[")
}

/// A running process.
#[derive(Debug)]
pub struct Process {
    pid: u32,
    arguments: Vec<String>,
}

impl Process {
    /// Whether it is the first process of a lab, and so of a process namespace.
    pub fn is_lab(&self) -> bool {
        let is_forked = self.arguments.get(1).is_some_and(|argument| argument == "__lab");
        let pids = self.pids();
        is_forked && pids.len() > 1 && pids.last() == Some(&1)
    }

    /// Whether it is a worker of `sockmig reload` whose orders have this in them.
    pub fn is_worker_with(&self, orders: &str) -> bool {
        let is_worker = self.arguments.get(1).is_some_and(|argument| argument == "__worker");
        is_worker && self.arguments.get(2).is_some_and(|argument| argument.contains(orders))
    }

    /// Whether it is the lab of this case. A process's name has 15 letters.
    pub fn is_lab_of(&self, id: &str) -> bool {
        let name = fs::read_to_string(format!("/proc/{}/comm", self.pid)).unwrap_or_default();
        self.is_lab() && name.trim_end() == &id[..id.len().min(15)]
    }

    /// Its process ids, from this namespace inwards.
    fn pids(&self) -> Vec<u32> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let pids = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
        pids.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
    }

    /// Whether it is the virtual machine of a kernel of this name.
    pub fn is_machine_of(&self, kernel: &str) -> bool {
        let is_qemu = self.arguments.first().is_some_and(|program| program.contains("qemu-system"));
        is_qemu && self.arguments.iter().any(|part| part.contains(&format!("/{kernel}-")))
    }

    /// Kills it.
    pub fn kill(&self) -> bool {
        signal(Signal::SIGKILL, self.pid)
    }

    /// Stops it; it will never go on by itself.
    pub fn freeze(&self) -> bool {
        signal(Signal::SIGSTOP, self.pid)
    }
}
