//! The process that every lab is forked from, seen from inside, and how a fork becomes a lab.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, CpuSet, sched_getcpu, sched_setaffinity, unshare};
use nix::sys::prctl::{set_name, set_pdeathsig};
use nix::sys::signal::Signal;
use nix::unistd::{
    ForkResult, Gid, Pid, Uid, dup2_stderr, dup2_stdin, dup2_stdout, getgid, getppid, getuid,
    setsid,
};

use crate::capture;
use crate::error::{Context, Error, Result};
use crate::essential::Essential;
use crate::layout::CLONE_FLAGS;
use crate::net::network::set_loopback_up;
use crate::net::sysctl;
use crate::process::arguments;
use crate::process::broken::Broken;
use crate::process::frame::{self, Frame, Frames};
use crate::process::limits;
use crate::process::no_namespaces::{NamespaceStep, NoNamespaces};
use crate::process::returned::{Returned, send};
use crate::process::starter::{Answer, LAB_ARGUMENT, Request};
use crate::process::subprocess::{PANICKED, until_alone};
use crate::process::used_memory::UsedMemory;
use crate::process::users::is_root;

/// Forks labs for the process that started this one, with these arguments, until that one wants
/// no more. `work` is what a lab does.
pub(super) fn serve(words: impl Iterator<Item = String>, work: &dyn Fn(&str) -> Returned) -> ! {
    let words: Vec<String> = words.collect();
    let Some(parent) = Parent::parse(&words) else { arguments::refuse(LAB_ARGUMENT) };
    die_with_parent();
    // A small stack is what the parent goes on with, too.
    let _ = limits::prepare();
    if getppid() != parent.id || until_alone().is_err() {
        std::process::exit(1);
    }
    // A session of its own: Ctrl-C is the parent's to hear.
    let _ = setsid();
    let Ok((mut requests, mut answers)) = claim_streams() else { std::process::exit(1) };
    let user = (getuid(), getgid());
    // What no lab has to read again.
    let _ = capture::kernel();
    let memory = UsedMemory::of_this_process();
    let mut forking = Forking { parent, memory, needs_user_namespace: !is_root(), user };
    let mut asked = Frames::default();
    while let Ok(asked) = frame::receive_with(&mut asked, &mut requests) {
        // The last fork has left every page to be copied.
        forking.memory.populate_written();
        let answer: Answer = match forking.answer(&asked) {
            Ok(Forked::Parent { child }) => Ok(child.as_raw()),
            Ok(Forked::Lab(lab)) => {
                drop((requests, answers));
                lab.live(work)
            }
            Err(broken) => Err(broken),
        };
        let payload = serde_json::to_vec(&answer).expect("an answer can be written as JSON");
        if (Frame { tag: 0, payload }).send(&mut answers).is_err() {
            break;
        }
    }
    std::process::exit(0)
}

/// The process that labs are for.
#[derive(Debug)]
struct Parent {
    id: Pid,
    /// Its id as the mount of `/proc` has it that is here.
    by_proc: String,
}

/// Requests come through stdin, and answers go through stdout; what anybody reads or prints must
/// not get in between.
fn claim_streams() -> io::Result<(File, File)> {
    let requests = io::stdin().as_fd().try_clone_to_owned()?;
    let answers = io::stdout().as_fd().try_clone_to_owned()?;
    dup2_stdin(File::open("/dev/null")?)?;
    dup2_stdout(io::stderr())?;
    Ok((requests.into(), answers.into()))
}

fn die_with_parent() {
    let _ = set_pdeathsig(Signal::SIGKILL);
}

/// Forks labs.
struct Forking {
    parent: Parent,
    memory: UsedMemory,
    /// This user may make the other namespaces only in a user namespace of its own.
    needs_user_namespace: bool,
    user: (Uid, Gid),
}

/// Who goes on after a fork.
enum Forked {
    Parent { child: Pid },
    Lab(Lab),
}

impl Forking {
    fn answer(&mut self, asked: &Frame) -> Result<Forked, Broken> {
        let request = serde_json::from_slice(&asked.payload)
            .map_err(|e| Error::unreadable("a request for a lab", e.to_string()));
        let Request { work, result, console } = request.map_err(Broken::before_work)?;
        let open = |descriptor| self.parent.open(descriptor).map_err(Broken::before_work);
        let (result, console) = (open(result)?, open(console)?);
        Ok(match self.fork()? {
            ForkResult::Parent { child } => Forked::Parent { child },
            ForkResult::Child => Forked::Lab(Lab {
                memory: self.memory.clone(),
                outside: self.needs_user_namespace.then_some(self.user),
                work,
                result,
                console,
            }),
        })
    }

    /// Forks a child of the parent, in a process namespace of its own, and in a user namespace
    /// where this process is not root.
    fn fork(&mut self) -> Result<ForkResult, Broken> {
        if !self.needs_user_namespace {
            match clone(CloneFlags::CLONE_NEWPID) {
                Err(Errno::EPERM) if Essential::UserNamespaces.is_there() => {
                    self.needs_user_namespace = true;
                }
                forked => return forked.made(|| "clone(CLONE_NEWPID)".into()).map_err(not_made),
            }
        }
        clone(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWPID)
            .made(|| "clone(CLONE_NEWUSER|CLONE_NEWPID)".into())
            .map_err(not_made)
    }
}

/// As fork(2), with namespaces of the child's own, and as a child of the process that started
/// this one, which waits for it.
///
/// The C library, which knows no such fork, goes on with this thread's id in the child. Only its
/// recursive locks and its signals to a thread look at that, and a lab uses neither.
fn clone(namespaces: CloneFlags) -> nix::Result<ForkResult> {
    // SAFETY: this process has one thread, as `serve` has seen to.
    unsafe { forked((namespaces | CloneFlags::CLONE_PARENT).bits()) }
}

/// As clone(2) with these flags and no stack.
///
/// # Safety
/// With more threads than one, the child may only do what a signal handler may.
unsafe fn forked(flags: libc::c_int) -> nix::Result<ForkResult> {
    let mut arguments: [libc::c_long; 5] = [0; 5];
    arguments[CLONE_FLAGS] = flags.into();
    let [a, b, c, d, e] = arguments;
    // SAFETY: the child has a copy of all memory, the stack included; the rest is the caller's.
    let forked = unsafe { libc::syscall(libc::SYS_clone, a, b, c, d, e) };
    Ok(match Errno::result(forked)? {
        0 => ForkResult::Child,
        child => ForkResult::Parent { child: Pid::from_raw(child as libc::pid_t) },
    })
}

/// Why namespaces were not made.
fn not_made(error: Error) -> Broken {
    match Essential::first_missing(is_root()) {
        Some(missing) => Broken::at_setup(&Error::Missing(missing)),
        None => no_namespaces(NamespaceStep::Make, error),
    }
}

/// Why a lab has no namespaces.
fn no_namespaces(step: NamespaceStep, error: Error) -> Broken {
    Broken::lacking(&error)
        .unwrap_or_else(|| Broken::Namespaces(NoNamespaces { step, why: error.into() }))
}

impl Parent {
    fn parse(arguments: &[String]) -> Option<Self> {
        let [id, by_proc] = arguments else { return None };
        Some(Self { id: Pid::from_raw(id.parse().ok()?), by_proc: by_proc.clone() })
    }

    /// Opens what the parent has open for writing.
    fn open(&self, descriptor: RawFd) -> Result<File> {
        let path = format!("/proc/{}/fd/{descriptor}", self.by_proc);
        OpenOptions::new().write(true).open(&path).call(|| format!("open({path}, O_WRONLY)"))
    }
}

/// Whether somebody is there to read what is written into a pipe.
fn is_read(pipe: &File) -> bool {
    let mut polled = [PollFd::new(pipe.as_fd(), PollFlags::empty())];
    let polled = poll(&mut polled, PollTimeout::ZERO).map(|_| polled[0].revents());
    !polled.is_ok_and(|events| events.is_some_and(|events| events.contains(PollFlags::POLLERR)))
}

/// A process that becomes a lab.
struct Lab {
    /// What it is going to use.
    memory: UsedMemory,
    /// Who this is outside of its user namespace, if it has one of its own.
    outside: Option<(Uid, Gid)>,
    work: String,
    result: File,
    console: File,
}

impl Lab {
    /// Does the lab's work, sends the result, and ends.
    fn live(mut self, work: &dyn Fn(&str) -> Returned) -> ! {
        die_with_parent();
        // The parent may have ended before that call. It alone reads the result.
        if !is_read(&self.result) {
            std::process::exit(1);
        }
        self.memory.populate();
        let _ = dup2_stdout(&self.console);
        let _ = dup2_stderr(&self.console);
        drop(self.console);
        // Who signals its whole process group must not mean other labs.
        let _ = setsid();
        // For whoever looks at the machine's processes.
        let _ = CString::new(&*self.work).map(|name| set_name(&name));
        let in_lab = || {
            enter_namespaces(self.outside)?;
            set_up_network()?;
            Ok(work(&self.work))
        };
        let code = match catch_unwind(AssertUnwindSafe(in_lab)) {
            Ok(returned) => i32::from(send(&returned, &mut self.result).is_err()),
            Err(payload) => {
                // Its destructor could panic.
                std::mem::forget(payload);
                PANICKED
            }
        };
        let _ = io::stdout().flush();
        // SAFETY: it ends this process, and does nothing else: what is to be done when a program
        // ends is no lab's.
        unsafe { libc::_exit(code) }
    }
}

/// Makes the other namespaces, as root in the new user namespace if there is one: `outside` says
/// who that is outside.
fn enter_namespaces(outside: Option<(Uid, Gid)>) -> Result<(), Broken> {
    if let Some((uid, gid)) = outside {
        let write = |file: &str, text: &str| {
            let path = format!("/proc/self/{file}");
            fs::write(&path, text).call(|| format!("write({path}, {text:?})"))
        };
        write("setgroups", "deny")
            .and_then(|()| write("uid_map", &format!("0 {uid} 1")))
            .and_then(|()| write("gid_map", &format!("0 {gid} 1")))
            .map_err(|e| no_namespaces(NamespaceStep::MapUser, e))?;
    }
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)
        .made(|| "unshare(CLONE_NEWNET|CLONE_NEWNS)".into())
        .map_err(not_made)
}

/// What a fresh network namespace does not have.
fn set_up_network() -> Result<(), Broken> {
    stay_on_this_cpu();
    mount_proc();
    set_loopback_up().map_err(|e| Broken::at_setup(&e))?;
    // Port 80 is the talk's; the second user of the same-uid rule may bind it too. Where settings
    // cannot be written, the cases that need one are skipped.
    let _ = sysctl::try_write(sysctl::FIRST_UNPRIVILEGED_PORT, "0");
    Ok(())
}

/// Each CPU has a queue of its own for what goes through `lo`. A lab that moved from one
/// to another between two packets could see the second overtake the first.
fn stay_on_this_cpu() {
    let mut here = CpuSet::new();
    let set = sched_getcpu().and_then(|cpu| here.set(cpu));
    // Where it is forbidden, packets are in order nearly always.
    let _ = set.and_then(|()| sched_setaffinity(Pid::from_raw(0), &here));
}

/// A /proc that shows this process namespace. Where the kernel forbids it (a container
/// hides parts of /proc), the old one does: its `net` and `sys/net` follow the reader.
fn mount_proc() {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let private =
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>);
    if private.is_ok() {
        let _ = mount(Some("proc"), "/proc", Some("proc"), flags, None::<&str>);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use nix::sys::wait::{WaitStatus, waitpid};

    /// A machine that takes the flags for a stack makes a child that nobody can wait for.
    #[test]
    fn layout_of_clone_s_arguments_is_the_machine_s() {
        // SAFETY: the child ends itself, which a signal handler may.
        let child = match unsafe { forked(libc::SIGCHLD) }.expect("a child") {
            // SAFETY: as above.
            ForkResult::Child => unsafe { libc::_exit(7) },
            ForkResult::Parent { child } => child,
        };
        assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 7)));
    }

    #[test]
    fn a_pipe_is_read_until_its_reader_has_ended() {
        let (reader, writer) = io::pipe().expect("a pipe");
        let writer = File::from(std::os::fd::OwnedFd::from(writer));
        assert!(is_read(&writer));
        drop(reader);
        assert!(!is_read(&writer));
    }
}
