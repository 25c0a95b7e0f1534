//! A lab seen from inside: how this process becomes one, and what it may do to itself then.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, CpuSet, sched_setaffinity, unshare};
use nix::unistd::Pid;

use crate::error::{Context, Error, Result};
use crate::process::arguments;
use crate::process::forking;
use crate::process::returned::Returned;
use crate::process::starter::LAB_ARGUMENT;
use crate::process::worker::{self, WORKER_ARGUMENT};

/// Makes this process the one that labs are forked from, or a lab's worker, if it was started as
/// one, and never returns then. Otherwise does nothing. Must be the first thing in `main`: there
/// is no thread yet, nor anything else that a lab could find there.
///
/// `work` is what a lab does. It gets the argument that was given to
/// [`crate::process::Labs::run`].
pub fn enter(work: impl Fn(&str) -> Returned) {
    let mut words = arguments::as_text().skip(1);
    match words.next().as_deref() {
        Some(LAB_ARGUMENT) => forking::serve(words, &work),
        Some(WORKER_ARGUMENT) => worker::run(words),
        _ => {}
    }
}

/// Lets this thread and what it starts use every CPU that it may. A lab stays on one, so that
/// single packets are in order; one that is about load need not.
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
