//! Processes of a program's own: inside a lab another user, or another network
//! namespace; outside a machine that must not outlive it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, rlim_t, setrlimit};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::stat::Mode;
use nix::sys::wait::{Id, WaitPidFlag, waitid, waitpid};
use nix::unistd::{
    ForkResult, Gid, Pid, Uid, dup2, dup2_stderr, dup2_stdin, dup2_stdout, fork, getpid, getppid,
    pause, pipe2, seteuid, setgroups, setresgid, setresuid, write,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::capture::forks;
use crate::error::{Context, Error, Result};
use crate::process::users::{SECOND_UID, uid_is_mapped};
use crate::wait;

/// Leads to the file that this process runs, wherever that is: also when the file was removed
/// or replaced since, or is outside of a root directory of before. In a guest it is the one that
/// the machine was started with.
pub const THIS_PROGRAM: &str = "/proc/self/exe";

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

/// Has a command lead a process group, which [`kill_group`] ends; and a signal of the terminal is
/// not for it.
pub fn lead_group(command: &mut Command) {
    command.process_group(0);
}

/// Kills the process group that `leader` leads, and waits for the leader. Whatever the leader has
/// started ends with it, also what it was just about to start.
///
/// # Errors
/// Nobody can wait for it.
pub fn kill_group(leader: &mut Child) -> io::Result<ExitStatus> {
    let pid = Pid::from_raw(leader.id() as i32);
    let ended = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    // Until it is waited for, no other group can have its number.
    if waitid(Id::Pid(pid), ended).is_ok() {
        let _ = killpg(pid, Signal::SIGKILL);
    }
    leader.wait()
}

/// Waits until `leader` ends by itself, and kills what it has left of its process group.
///
/// # Errors
/// Nobody can wait for it.
pub fn wait_for_group(leader: &mut Child) -> io::Result<ExitStatus> {
    let pid = Pid::from_raw(leader.id() as i32);
    let _ = waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
    kill_group(leader)
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

/// The other side of [`inherit`]: the descriptor of this number, which the process that
/// started this one left open for it. May be called once for each.
///
/// # Errors
/// It is not open.
pub(crate) fn inherited(descriptor: RawFd) -> Result<OwnedFd> {
    // SAFETY: fcntl(2) of an integer.
    let flags = unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) };
    Errno::result(flags).call(|| format!("fcntl({descriptor}, F_SETFD), inherited"))?;
    // SAFETY: it is open, and nothing in this program but the caller has it.
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

/// A forked process that holds every descriptor that this one had open when it was made, and
/// does nothing. Dropping the value kills it.
pub struct ForkedHolder {
    child: Option<Pid>,
}

impl ForkedHolder {
    /// Forks.
    ///
    /// # Errors
    /// This process has other threads, or the kernel refuses.
    pub fn fork() -> Result<Self> {
        let child = fork_into(|| {
            loop {
                pause();
            }
        })?;
        Ok(Self { child: Some(child) })
    }

    /// Kills it; returns when its descriptors are closed.
    ///
    /// # Errors
    /// It is gone already.
    pub fn kill(mut self) -> Result<()> {
        self.child.take().map_or(Ok(()), kill_and_reap)
    }
}

impl Drop for ForkedHolder {
    fn drop(&mut self) {
        let _ = self.child.take().map(kill_and_reap);
    }
}

fn kill_and_reap(child: Pid) -> Result<()> {
    kill(child, Signal::SIGKILL).call(|| "kill(a forked holder)".into())?;
    waitpid(child, None).map(drop).call(|| "waitpid(a forked holder)".into())
}

/// Runs `work` in a network namespace made now, from this one.
///
/// # Errors
/// The namespace cannot be made, or the process died.
pub fn in_fresh_namespace<T: Serialize + DeserializeOwned>(work: impl FnOnce() -> T) -> Result<T> {
    run(|| unshare(CloneFlags::CLONE_NEWNET).call(|| "unshare(CLONE_NEWNET)".into()), work)
}

/// Runs `work` in a process that may open `descriptors` more descriptors than it has.
///
/// # Errors
/// The limit cannot be set, or the process died.
pub fn with_room_for<T: Serialize + DeserializeOwned>(
    descriptors: u64,
    work: impl FnOnce() -> T,
) -> Result<T> {
    run(
        || {
            let most = limit_for(descriptors)? as rlim_t;
            setrlimit(Resource::RLIMIT_NOFILE, most, most)
                .call(|| format!("setrlimit(RLIMIT_NOFILE, {most})"))
        },
        work,
    )
}

/// The limit that leaves room for that many more: the numbers of open descriptors may have gaps.
fn limit_for(descriptors: u64) -> Result<u64> {
    let opened = (0..=descriptors)
        .map(|_| File::open("/dev/null").or_else(|_| File::open("/proc/self/stat")))
        .collect::<io::Result<Vec<File>>>()
        .call(|| "open(/dev/null)".into())?;
    // All of them are closed again; the last one's number is the first that is too high.
    Ok(opened.last().map_or(0, |file| file.as_raw_fd() as u64))
}

/// How long a thread that was joined may take until the kernel has taken it off the list.
const THREAD_END: Duration = Duration::from_secs(1);

/// Returns when this process has one thread. A forked process has only the thread that forked:
/// whatever lock another one held, of the allocator for example, would be held for ever.
///
/// # Errors
/// Other threads go on.
pub(crate) fn until_alone() -> Result<()> {
    let threads = || {
        let entries =
            std::fs::read_dir("/proc/self/task").call(|| "readdir(/proc/self/task)".into());
        entries.map(Iterator::count)
    };
    let alone = wait::until_within(THREAD_END, "the end of all other threads", || {
        Ok((threads()? == 1).then_some(()))
    });
    match (alone, threads()?) {
        (Err(Error::NeverHappened { .. }), count) => Err(Error::Call {
            call: "fork()".into(),
            source: io::Error::other(format!(
                "this process has {count} threads, of which the forked one would have only one; \
                 join the others first"
            )),
        }),
        (alone, _) => alone,
    }
}

/// What a forked process ends with when it has panicked, as a Rust program does.
pub(crate) const PANICKED: i32 = 101;

/// Forks a process that does `work` and ends with what that returns. Nothing else of this
/// program goes on in it: no frame of the caller, no destructor, no handler of `atexit`.
pub(crate) fn fork_into(work: impl FnOnce() -> i32) -> Result<Pid> {
    until_alone()?;
    // What is buffered here would be written by both.
    io::stdout().flush().call(|| "write(stdout)".into())?;
    // SAFETY: this process has one thread.
    match unsafe { fork() }.made(|| "fork()".into())? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            forks::count_this();
            let code = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
                // Its destructor could panic.
                std::mem::forget(payload);
                PANICKED
            });
            let _ = io::stdout().flush();
            // SAFETY: it ends this process, and does nothing else.
            unsafe { libc::_exit(code) }
        }
    }
}

/// Runs `work` in a forked process: what it does to itself, such as entering a namespace, ends
/// with it.
///
/// # Errors
/// This process has other threads, or the forked one died.
pub(crate) fn forked<T: Serialize + DeserializeOwned>(work: impl FnOnce() -> T) -> Result<T> {
    run(|| Ok(()), work)
}

/// Forks, prepares, works, and returns the result through a pipe.
fn run<T: Serialize + DeserializeOwned>(
    prepare: impl FnOnce() -> Result<()>,
    work: impl FnOnce() -> T,
) -> Result<T> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC).call(|| "pipe2(O_CLOEXEC)".into())?;
    // The pipe's end moves along: here it is closed with the closure.
    let child = fork_into(move || {
        let result = prepare().map_err(|e| e.to_string()).map(|()| work());
        let bytes = serde_json::to_vec(&result).expect("a result can be written as JSON");
        i32::from(File::from(write).write_all(&bytes).is_err())
    })?;
    let mut bytes = Vec::new();
    File::from(read).read_to_end(&mut bytes).call(|| "read(subprocess)".into())?;
    let status = waitpid(child, None).call(|| "waitpid(subprocess)".into())?;
    let result: Result<T, String> = serde_json::from_slice(&bytes)
        .map_err(|e| Error::unreadable("a subprocess's result", format!("{e}; {status:?}")))?;
    result.map_err(|why| Error::Call {
        call: "prepare a subprocess".into(),
        source: io::Error::other(why),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use std::io::BufRead;
    use std::process::Stdio;

    /// A leader that has started another process, whose id it has said; nothing where there is no
    /// shell, as in a guest.
    fn leader(then: &str) -> Option<(Child, Pid)> {
        let mut command = Command::new("sh");
        lead_group(&mut command);
        let script = format!("sleep 1000 > /dev/null & echo $!; {then}");
        let mut leader = match command.args(["-c", &script]).stdout(Stdio::piped()).spawn() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return None,
            started => started.expect("a shell"),
        };
        let mut said = String::new();
        let stdout = leader.stdout.as_mut().expect("its output");
        io::BufReader::new(stdout).read_line(&mut said).expect("a line");
        Some((leader, Pid::from_raw(said.trim().parse().expect("a process id"))))
    }

    #[rstest]
    #[case::killed("sleep 1000", kill_group)]
    #[case::ended("exit 3", wait_for_group)]
    fn nothing_is_left_of_a_group(
        #[case] then: &str,
        #[case] end: fn(&mut Child) -> io::Result<ExitStatus>,
    ) {
        let Some((mut leader, other)) = leader(then) else {
            println!("there is no shell");
            return;
        };
        let status = end(&mut leader).expect("an end");
        assert_eq!(
            status.code(),
            then.strip_prefix("exit ").map(|code| code.parse().expect("a code"))
        );
        // It is no child of this process: whoever adopts it waits for it.
        wait::until("the other process to end", || Ok(kill(other, None).is_err().then_some(())))
            .expect("its end");
        // The number is nobody's any more, and nobody is killed by it.
        assert!(kill_group(&mut leader).is_ok());
    }
}
