//! A lab seen from inside: how this process becomes one.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, CpuSet, sched_getcpu, sched_setaffinity, unshare};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getgid, getppid, getuid, pipe2, setsid};

use crate::error::{Context, Error, Result};
use crate::essential::Essential;
use crate::net::network::Network;
use crate::net::sysctl;
use crate::process::no_namespaces::{NamespaceStep, NoNamespaces};
use crate::process::subprocess::until_alone;
use crate::process::users::is_root;
use crate::process::worker::WORKER_ARGUMENT;
use crate::process::{LAB_ARGUMENT, Returned, encode, encode_no_namespaces, encode_setup_failure};
use crate::process::{arguments, limits};
use crate::wait;

/// Makes this process a lab, or a lab's worker, if it was started as one, and never returns then.
/// Otherwise does nothing. Must be the first thing in `main`: namespaces are left before any
/// thread exists.
///
/// `work` gets the argument that was given to [`crate::process::Labs::run`].
pub fn enter(work: impl FnOnce(&str) -> Returned) {
    let mut words = arguments::as_text().skip(1);
    match words.next().as_deref() {
        Some(LAB_ARGUMENT) => {}
        Some(WORKER_ARGUMENT) => crate::process::worker::run(words),
        _ => return,
    }
    let parent = words.next().and_then(|pid| pid.parse::<i32>().ok());
    let (Some(parent), Some(what)) = (parent, words.next()) else {
        arguments::refuse(LAB_ARGUMENT)
    };
    die_with_parent();
    limits::prepare();
    on_sigterm(SigHandler::Handler(end_lab));
    if getppid().as_raw() != parent {
        std::process::exit(1);
    }
    // A session of its own: Ctrl-C is the parent's to hear.
    let _ = setsid();
    let Ok(mut result) = claim_result_pipe() else { std::process::exit(1) };
    let code =
        match enter_namespaces().and_then(|()| fork_init().map_err(|e| encode_setup_failure(&e))) {
            Ok(Role::Guard { init, lifeline }) => guard(init, lifeline),
            Ok(Role::Init) => match set_up_network() {
                Ok(()) => send(&mut result, &encode(work(&what))),
                Err(e) => send(&mut result, &encode_setup_failure(&e)),
            },
            Err(failure) => send(&mut result, &failure),
        };
    std::process::exit(code);
}

/// The two processes of a lab. The kernel puts only children into a new process
/// namespace, so that one has to stay outside, as the other's guard.
enum Role {
    Guard { init: Pid, lifeline: OwnedFd },
    Init,
}

/// The init's process id, for a guard that is to end the lab.
static INIT: AtomicI32 = AtomicI32::new(0);

fn on_sigterm(handler: SigHandler) {
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: the one handler is async-signal-safe: an atomic, kill(2) and _exit(2).
    let _ = unsafe { sigaction(Signal::SIGTERM, &action) };
}

/// Kills the init, and so everything in its process namespace. The guard waits for that as
/// ever, and the kernel lets an init end only after all others.
extern "C" fn end_lab(_: i32) {
    // SAFETY: system calls with integers.
    unsafe {
        match INIT.load(Ordering::Acquire) {
            0 => libc::_exit(1),
            init => libc::kill(init, libc::SIGKILL),
        };
    }
}

/// The result goes through stdout; what anybody prints must not get in between.
fn claim_result_pipe() -> io::Result<fs::File> {
    let result = io::stdout().as_fd().try_clone_to_owned()?;
    nix::unistd::dup2_stdout(io::stderr())?;
    Ok(result.into())
}

fn send(result: &mut fs::File, bytes: &[u8]) -> i32 {
    i32::from(result.write_all(bytes).is_err())
}

fn guard(init: Pid, lifeline: OwnedFd) -> i32 {
    INIT.store(init.as_raw(), Ordering::Release);
    let code = loop {
        match waitpid(init, None) {
            Err(Errno::EINTR) => {}
            Ok(WaitStatus::Exited(_, code)) => break code,
            Ok(WaitStatus::Signaled(_, signal, _)) => break 128 + signal as i32,
            _ => break 1,
        }
    };
    drop(lifeline);
    code
}

/// Namespaces of this lab's own, with a user namespace where this process is not root; else
/// what to return in place of a result.
fn enter_namespaces() -> Result<(), Vec<u8>> {
    let at = |step| {
        move |e: Error| match e.lacks() {
            Some(_) => encode_setup_failure(&e),
            None => encode_no_namespaces(&NoNamespaces { step, why: e.into() }),
        }
    };
    let (uid, gid) = (getuid(), getgid());
    let spaces = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS;
    let root = is_root();
    let as_root = if root { unshare(spaces) } else { Err(Errno::EPERM) };
    if as_root.is_err() {
        if let Some(missing) = Essential::first_missing(root) {
            return Err(encode_setup_failure(&Error::Missing(missing)));
        }
        if !Essential::UserNamespaces.is_there() {
            return as_root
                .made(|| "unshare(CLONE_NEWNET|CLONE_NEWPID|CLONE_NEWNS)".into())
                .map_err(at(NamespaceStep::Unshare));
        }
        unshare(spaces | CloneFlags::CLONE_NEWUSER)
            .made(|| "unshare(CLONE_NEWUSER|CLONE_NEWNET|CLONE_NEWPID|CLONE_NEWNS)".into())
            .map_err(at(NamespaceStep::Unshare))?;
        let maps = [("uid_map", uid.as_raw()), ("gid_map", gid.as_raw())];
        write_proc("/proc/self/setgroups", "deny").map_err(at(NamespaceStep::MapUser))?;
        for (map, id) in maps {
            write_proc(&format!("/proc/self/{map}"), &format!("0 {id} 1"))
                .map_err(at(NamespaceStep::MapUser))?;
        }
        // A change of credentials clears the signal.
        die_with_parent();
    }
    Ok(())
}

/// The init, which everything else in the lab descends from.
fn fork_init() -> Result<Role> {
    let (watch, lifeline) = pipe2(OFlag::O_CLOEXEC).call(|| "pipe2(O_CLOEXEC)".into())?;
    until_alone()?;
    // SAFETY: this process has one thread.
    match unsafe { fork() }.made(|| "fork()".into())? {
        ForkResult::Parent { child } => Ok(Role::Guard { init: child, lifeline }),
        ForkResult::Child => {
            on_sigterm(SigHandler::SigDfl);
            drop(lifeline);
            die_with_parent();
            // Had the guard died before that call, its end of the pipe would be closed.
            if wait::ready(&[watch.as_fd()], Duration::ZERO)? == [true] {
                std::process::exit(1);
            }
            Ok(Role::Init)
        }
    }
}

fn die_with_parent() {
    let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
}

/// What a fresh network namespace does not have.
fn set_up_network() -> Result<()> {
    stay_on_this_cpu();
    mount_proc();
    Network::open()?.up("lo")?;
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

/// Undoes that for this thread and what it starts: a lab that is about load, and not about
/// the order of single packets, uses every CPU that it may.
///
/// # Errors
/// The kernel refuses.
pub fn use_every_cpu() -> Result<()> {
    let mut every = CpuSet::new();
    for cpu in 0..CpuSet::count() {
        every.set(cpu).call(|| format!("CPU_SET({cpu})"))?;
    }
    sched_setaffinity(Pid::from_raw(0), &every).call(|| "sched_setaffinity(every CPU)".into())
}

/// An empty directory in memory that only this lab sees, and that ends with it: at the
/// [place](scratch_place) for these texts.
///
/// # Errors
/// There is no such place, or the kernel does not let this lab mount anything.
pub fn scratch(texts: &[&str]) -> Result<PathBuf> {
    let place = scratch_place(texts).ok_or_else(|| {
        Error::unreadable("a place to mount on", "none of /mnt, /media, /srv is there and unused")
    })?;
    mount_memory(place, "mode=0755")?;
    Ok(place.to_owned())
}

/// A directory that a lab can hide: one that is not named in `texts`, the commands and the
/// configurations of a server.
pub fn scratch_place(texts: &[&str]) -> Option<&'static Path> {
    // Where as a rule nothing is that a server could need.
    let places = ["/mnt", "/media", "/srv"];
    let is_unused =
        |place: &&str| Path::new(place).is_dir() && !texts.iter().any(|text| text.contains(place));
    places.into_iter().find(is_unused).map(Path::new)
}

/// Gives this lab shared memory, semaphores and message queues of its own. What a server
/// leaves there, to be found by its next process, ends with the lab.
///
/// # Errors
/// The kernel does not let this lab mount anything.
pub fn own_shared_memory() -> Result<()> {
    match unshare(CloneFlags::CLONE_NEWIPC) {
        // A kernel without IPC namespaces has one for everybody.
        Ok(()) | Err(Errno::EINVAL) => {}
        Err(errno) => return Err(errno).call(|| "unshare(CLONE_NEWIPC)".into()),
    }
    let place = Path::new("/dev/shm");
    // Anybody may make files there.
    if place.is_dir() { mount_memory(place, "mode=1777") } else { Ok(()) }
}

/// Lets nobody in this lab change a file of the machine: everything that is mounted becomes
/// read-only here. What is mounted later does not, nor does `/proc`, whose settings are the lab's
/// own.
///
/// # Errors
/// The kernel does not let this lab change a mount.
pub fn protect_files() -> Result<()> {
    let path = "/proc/self/mountinfo";
    let mounts = fs::read_to_string(path).call(|| format!("read({path})"))?;
    for mounted in mounts.lines().filter_map(Mounted::parse) {
        if mounted.place.starts_with("/proc") || mounted.flags.contains(MsFlags::MS_RDONLY) {
            continue;
        }
        let flags = mounted.flags | MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
        match mount(None::<&str>, &mounted.place, None::<&str>, flags, None::<&str>) {
            // What another mount hides, or a directory that this user may not enter, nobody here
            // can reach.
            Ok(()) | Err(Errno::EINVAL | Errno::ENOENT | Errno::EACCES) => {}
            Err(errno) => {
                return Err(errno)
                    .call(|| format!("mount({}, MS_REMOUNT|MS_RDONLY)", mounted.place.display()));
            }
        }
    }
    Ok(())
}

/// A line of `/proc/self/mountinfo`.
#[derive(Debug, PartialEq, Eq)]
struct Mounted {
    place: PathBuf,
    /// Those that a change of the others must leave as they are.
    flags: MsFlags,
}

impl Mounted {
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(' ').skip(4);
        let place = PathBuf::from(OsString::from_vec(unescaped(fields.next()?)));
        let names = [
            ("ro", MsFlags::MS_RDONLY),
            ("nosuid", MsFlags::MS_NOSUID),
            ("nodev", MsFlags::MS_NODEV),
            ("noexec", MsFlags::MS_NOEXEC),
        ];
        let options: Vec<&str> = fields.next()?.split(',').collect();
        let given = names.into_iter().filter(|(name, _)| options.contains(name));
        Some(Self { place, flags: given.map(|(_, flag)| flag).collect() })
    }
}

/// A path in which the kernel writes spaces and the like as `\040`.
fn unescaped(path: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        let octal = (*first == b'\\').then(|| others.get(..3)).flatten();
        let code = octal.and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &others[3..];
            }
            None => {
                bytes.push(*first);
                rest = others;
            }
        }
    }
    bytes
}

fn mount_memory(place: &Path, options: &str) -> Result<()> {
    mount(Some("tmpfs"), place, Some("tmpfs"), MsFlags::MS_NOSUID, Some(options))
        .call(|| format!("mount(tmpfs, {})", place.display()))
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

fn write_proc(path: &str, value: &str) -> Result<()> {
    fs::write(path, value).call(|| format!("write({path}, {value:?})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("22 1 8:1 / / rw,relatime - ext4 /dev/vda rw", "/", MsFlags::empty())]
    #[case(
        "23 22 0:5 / /dev/shm rw,nosuid,nodev,noexec shared:2 - tmpfs shm rw",
        "/dev/shm",
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC
    )]
    #[case("24 22 0:6 / /a\\040b\\134 ro,nodev - tmpfs x rw", "/a b\\", MsFlags::MS_RDONLY | MsFlags::MS_NODEV)]
    fn a_mount_is_read_with_the_flags_that_must_stay(
        #[case] line: &str,
        #[case] place: &str,
        #[case] flags: MsFlags,
    ) {
        assert_eq!(Mounted::parse(line), Some(Mounted { place: place.into(), flags }));
    }
    #[test]
    fn a_directory_that_is_named_is_not_hidden() {
        let Some(first) = scratch_place(&[]) else { return };
        let text = format!("command = \"{}/bin/server\"", first.display());
        assert_ne!(scratch_place(&[&text]), Some(first));
    }
}
