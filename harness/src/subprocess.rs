//! Processes of a program's own: inside a lab another user, or another network
//! namespace; outside a machine that must not outlive it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::sys::wait::waitpid;
use nix::unistd::{
    ForkResult, Gid, Pid, Uid, dup2, dup2_stderr, dup2_stdin, dup2_stdout, fork, getpid, getppid,
    pause, pipe2, seteuid, setgroups, setresgid, setresuid, write,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Context, Error, Result};
use crate::users::{SECOND_UID, uid_is_mapped};

/// Leads to the file that this process runs, wherever that is: also when the file was removed
/// or replaced since, or is outside of a root directory of before.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// A command that starts this very program again.
pub fn this_program() -> Command {
    Command::new(THIS_PROGRAM)
}

/// Has a command killed when the thread that starts it ends, however that happens.
pub fn die_with_parent(command: &mut Command) {
    let parent = getpid();
    let tie = move || {
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
        // The parent may have died before the call.
        if getppid() == parent { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::ESRCH)) }
    };
    // SAFETY: prctl(2) and getppid(2) are async-signal-safe, and nothing is allocated.
    unsafe { command.pre_exec(tie) };
}

/// For a program that refuses to serve as root, and becomes the second user by itself. Where
/// this user namespace has no second user, has it run in one of its own, in which the only
/// user is called so.
pub fn rename_only_user(command: &mut Command) {
    if uid_is_mapped(Uid::from_raw(SECOND_UID)) {
        return;
    }
    let map = format!("{SECOND_UID} 0 1");
    let rename = move || {
        unshare(CloneFlags::CLONE_NEWUSER)?;
        let files = [c"/proc/self/setgroups", c"/proc/self/uid_map", c"/proc/self/gid_map"];
        for (file, text) in files.into_iter().zip(["deny", &map, &map]) {
            let file = open(file, OFlag::O_WRONLY, Mode::empty())?;
            write(file, text.as_bytes())?;
        }
        Ok(())
    };
    // SAFETY: unshare(2), open(2), write(2) and close(2) of what is there already are
    // async-signal-safe, and nothing is allocated.
    unsafe { command.pre_exec(rename) };
}

/// Leaves a descriptor open, under its number, in the program that a command starts.
pub fn inherit(command: &mut Command, descriptor: RawFd) {
    let keep = move || {
        // SAFETY: fcntl(2) of an integer; a descriptor that is not open is an error.
        Errno::result(unsafe { libc::fcntl(descriptor, libc::F_SETFD, 0) }).map(drop)?;
        Ok(())
    };
    // SAFETY: fcntl(2) is async-signal-safe, and nothing is allocated.
    unsafe { command.pre_exec(keep) };
}

/// The other side of [`inherit`]: the descriptor of this number, which whoever started this
/// program left open for it. May be called once for each.
///
/// # Errors
/// It is not open.
pub(crate) fn inherited(descriptor: RawFd) -> Result<OwnedFd> {
    // SAFETY: fcntl(2) of an integer.
    let flags = unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) };
    Errno::result(flags).call(|| format!("fcntl({descriptor}, F_SETFD), inherited"))?;
    // SAFETY: it is open, and nobody in this program but the caller knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Keeps a command's standard streams for its messages: `messages` takes their place, and
/// what the streams were set to is found at the two descriptors that are returned, the one
/// to read first.
///
/// # Errors
/// No descriptor is left.
pub fn set_aside_streams(command: &mut Command, messages: File) -> io::Result<(RawFd, RawFd)> {
    // What is open here cannot be in use for anything else in the child.
    let [mut input, mut output] = [messages.try_clone()?, messages.try_clone()?].map(OwnedFd::from);
    let numbers = (input.as_raw_fd(), output.as_raw_fd());
    let exchange = move || {
        // SAFETY: the standard streams were set up just before.
        let (stdin, stdout) = unsafe { (BorrowedFd::borrow_raw(0), BorrowedFd::borrow_raw(1)) };
        dup2(stdin, &mut input)?;
        dup2(stdout, &mut output)?;
        dup2_stdin(&messages)?;
        dup2_stdout(&messages)?;
        dup2_stderr(&messages)?;
        Ok(())
    };
    // SAFETY: dup2(2) is async-signal-safe, and nothing is allocated.
    unsafe { command.pre_exec(exchange) };
    Ok(numbers)
}

/// Has a command leave no core file when it crashes.
pub fn without_core(command: &mut Command) {
    // SAFETY: setrlimit(2) is a system call and no more, and nothing is allocated.
    unsafe { command.pre_exec(|| Ok(setrlimit(Resource::RLIMIT_CORE, 0, 0)?)) };
}

/// Runs `work` as the second user, with none of root's capabilities.
///
/// # Errors
/// The user namespace has no second user, or the process died.
pub fn as_second_user<T: Serialize + DeserializeOwned>(work: impl FnOnce() -> T) -> Result<T> {
    let (uid, gid) = (Uid::from_raw(SECOND_UID), Gid::from_raw(SECOND_UID));
    run(
        || {
            setgroups(&[]).call(|| "setgroups([])".into())?;
            setresgid(gid, gid, gid).call(|| format!("setresgid({gid})"))?;
            setresuid(uid, uid, uid).call(|| format!("setresuid({uid})"))
        },
        work,
    )
}

/// Runs `make` with the second user's effective uid, then `work` with root's again, on
/// what was made.
///
/// # Errors
/// As [`as_second_user`].
pub fn made_by_second_user<M, T: Serialize + DeserializeOwned>(
    make: impl FnOnce() -> M,
    work: impl FnOnce(M) -> T,
) -> Result<T> {
    run(
        || seteuid(Uid::from_raw(SECOND_UID)).call(|| format!("seteuid({SECOND_UID})")),
        || {
            let made = make();
            let root_again = seteuid(Uid::from_raw(0));
            assert!(root_again.is_ok(), "seteuid(0): {root_again:?}");
            work(made)
        },
    )
}

/// A process that has a copy of every descriptor that this one had when it was made, and
/// sleeps.
pub struct Copy(Pid);

impl Copy {
    /// Forks.
    pub fn fork() -> Result<Self> {
        // SAFETY: a lab has one thread.
        match unsafe { fork() }.call(|| "fork()".into())? {
            ForkResult::Child => loop {
                pause();
            },
            ForkResult::Parent { child } => Ok(Self(child)),
        }
    }

    /// Kills it; returns when its descriptors are closed.
    pub fn kill(self) -> Result<()> {
        kill(self.0, Signal::SIGKILL).call(|| "kill(a copy of the lab)".into())?;
        waitpid(self.0, None).map(drop).call(|| "waitpid(a copy of the lab)".into())
    }
}

/// Runs `work` in a network namespace made now, from this one.
///
/// # Errors
/// The namespace cannot be made, or the process died.
pub fn in_fresh_namespace<T: Serialize + DeserializeOwned>(work: impl FnOnce() -> T) -> Result<T> {
    run(|| unshare(CloneFlags::CLONE_NEWNET).call(|| "unshare(CLONE_NEWNET)".into()), work)
}

/// Runs `work` in a process that may open so many descriptors more than it has.
///
/// # Errors
/// The limit cannot be set, or the process died.
pub fn with_room_for<T: Serialize + DeserializeOwned>(
    descriptors: u64,
    work: impl FnOnce() -> T,
) -> Result<T> {
    run(
        || {
            let most = limit_for(descriptors)?;
            setrlimit(Resource::RLIMIT_NOFILE, most, most)
                .call(|| format!("setrlimit(RLIMIT_NOFILE, {most})"))
        },
        work,
    )
}

/// Which limit leaves room for so many more: the numbers of open descriptors may have gaps.
fn limit_for(descriptors: u64) -> Result<u64> {
    let opened = (0..=descriptors)
        .map(|_| File::open("/dev/null").or_else(|_| File::open("/proc/self/stat")))
        .collect::<io::Result<Vec<File>>>()
        .call(|| "open(/dev/null)".into())?;
    // All of them are closed again; the last one's number is the first that is too high.
    Ok(opened.last().map_or(0, |file| file.as_raw_fd() as u64))
}

/// Forks, prepares, works, and returns the result through a pipe.
fn run<T: Serialize + DeserializeOwned>(
    prepare: impl FnOnce() -> Result<()>,
    work: impl FnOnce() -> T,
) -> Result<T> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC).call(|| "pipe2(O_CLOEXEC)".into())?;
    // SAFETY: a lab has one thread.
    match unsafe { fork() }.call(|| "fork()".into())? {
        ForkResult::Child => {
            drop(read);
            let result = prepare().map_err(|e| e.to_string()).map(|()| work());
            let bytes = serde_json::to_vec(&result).expect("a result can be written as JSON");
            let sent = File::from(write).write_all(&bytes);
            std::process::exit(i32::from(sent.is_err()));
        }
        ForkResult::Parent { child } => {
            drop(write);
            let mut bytes = Vec::new();
            File::from(read).read_to_end(&mut bytes).call(|| "read(subprocess)".into())?;
            let status = waitpid(child, None).call(|| "waitpid(subprocess)".into())?;
            let result: Result<T, String> = serde_json::from_slice(&bytes).map_err(|e| {
                Error::unreadable("a subprocess's result", format!("{e}; {status:?}"))
            })?;
            result.map_err(|why| Error::Call {
                call: "prepare a subprocess".into(),
                source: std::io::Error::other(why),
            })
        }
    }
}
