//! What is done when this process has ended, however that happens: a directory is removed.
//!
//! A second process waits for the end of this one, which closes a pipe. It is made by fork
//! alone, while other threads may hold any lock: it makes system calls, and nothing else.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork, pipe2};

use crate::error::{Context, Error, Result};

/// Removes a directory when it is dropped, or when this process ends without dropping it.
#[derive(Debug)]
pub struct RemovedAfterwards {
    /// The end of the pipe that nobody else has.
    alive: Option<OwnedFd>,
    remover: Pid,
}

impl RemovedAfterwards {
    /// Has a directory removed, with the files and directories in it, when the value is gone.
    ///
    /// # Errors
    /// There is no room for a process.
    pub fn new(directory: &Path) -> Result<Self> {
        let path = CString::new(directory.as_os_str().as_bytes())
            .map_err(|_| Error::unreadable("a path", directory.display().to_string()))?;
        let (watch, alive) = pipe2(OFlag::O_CLOEXEC).call(|| "pipe2(O_CLOEXEC)".into())?;
        let (ready, not_ready) = pipe2(OFlag::O_CLOEXEC).call(|| "pipe2(O_CLOEXEC)".into())?;
        // SAFETY: the child makes system calls, allocates nothing, and never returns.
        match unsafe { fork() }.made(|| "fork()".into())? {
            ForkResult::Parent { child } => {
                drop(not_ready);
                // Until the child has closed what it has of this process.
                let _ = File::from(ready).read(&mut [0]);
                Ok(Self { alive: Some(alive), remover: child })
            }
            // SAFETY: this process has one thread, and the descriptor is open.
            ForkResult::Child => unsafe { remove_at_end(watch.as_raw_fd(), &path) },
        }
    }
}

impl Drop for RemovedAfterwards {
    fn drop(&mut self) {
        self.alive = None;
        while waitpid(self.remover, None) == Err(Errno::EINTR) {}
    }
}

/// How often it is tried to remove a directory in which a process that is being killed may still
/// make files, and how long the pause between is.
const TRIES: u32 = 100;
static PAUSE: libc::timespec = libc::timespec { tv_sec: 0, tv_nsec: 20_000_000 };

/// Waits for the end of the other process, and removes the directory.
///
/// # Safety
/// Called in a process that was forked for this.
unsafe fn remove_at_end(watch: RawFd, path: &CStr) -> ! {
    // SAFETY: system calls with integers, with strings that end with NUL, and with buffers of
    // the length that is given.
    unsafe {
        // What a terminal or a shell sends to all of a group's processes is not for this one.
        libc::setsid();
        libc::chdir(c"/".as_ptr());
        // Whatever else is open here would be open for as long as this process waits.
        libc::dup2(watch, 0);
        if libc::syscall(libc::SYS_close_range, 1, libc::c_uint::MAX, 0) != 0 {
            for descriptor in 1..=1 << 16 {
                libc::close(descriptor);
            }
        }
        let mut byte = 0_u8;
        while libc::read(0, (&raw mut byte).cast(), 1) < 0
            && *libc::__errno_location() == libc::EINTR
        {}
        for _ in 0..TRIES {
            let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW;
            let directory = libc::open(path.as_ptr(), flags);
            if directory < 0 {
                break;
            }
            empty(directory, 0);
            libc::close(directory);
            if libc::rmdir(path.as_ptr()) == 0 {
                break;
            }
            libc::nanosleep(&raw const PAUSE, std::ptr::null_mut());
        }
        libc::_exit(0)
    }
}

/// How deep a directory of a machine is: User-Mode Linux makes one in it.
const DEPTH: u32 = 3;

/// Removes what is in a directory.
///
/// # Safety
/// As [`remove_at_end`]; `directory` is open.
unsafe fn empty(directory: RawFd, depth: u32) {
    /// Where the fields of a `struct linux_dirent64` are.
    const LENGTH: usize = 16;
    const NAME: usize = 19;
    let mut entries = [0_u8; 4096];
    loop {
        // SAFETY: the buffer has this length.
        let filled = unsafe {
            let (buffer, length) = (entries.as_mut_ptr(), entries.len());
            libc::syscall(libc::SYS_getdents64, directory, buffer, length)
        };
        let Ok(filled @ 1..) = usize::try_from(filled) else { return };
        let mut at = 0;
        while at + NAME < filled {
            let length =
                usize::from(u16::from_ne_bytes([entries[at + LENGTH], entries[at + LENGTH + 1]]));
            let name = entries[at + NAME..].as_ptr().cast::<libc::c_char>();
            at += length.max(1);
            // SAFETY: the kernel ends a name with NUL, within its entry.
            unsafe {
                if [c".", c".."].contains(&CStr::from_ptr(name)) {
                    continue;
                }
                if libc::unlinkat(directory, name, 0) == 0 || depth == DEPTH {
                    continue;
                }
                let inner = libc::openat(directory, name, libc::O_DIRECTORY | libc::O_NOFOLLOW);
                if inner >= 0 {
                    empty(inner, depth + 1);
                    libc::close(inner);
                    libc::unlinkat(directory, name, libc::AT_REMOVEDIR);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_directory_goes_with_the_value_and_links_are_not_followed() {
        let place = tempfile::tempdir().expect("a directory");
        let (ours, theirs) = (place.path().join("ours"), place.path().join("theirs"));
        for directory in [&ours.join("uml/id"), &theirs] {
            fs::create_dir_all(directory).expect("made");
        }
        for number in 0..300 {
            fs::write(ours.join(format!("file-{number}")), "bytes").expect("written");
        }
        fs::write(ours.join("uml/id/pid"), "1").expect("written");
        fs::write(theirs.join("kept"), "bytes").expect("written");
        std::os::unix::fs::symlink(&theirs, ours.join("link")).expect("a link");
        let afterwards = RemovedAfterwards::new(&ours).expect("a process");
        assert!(ours.exists());
        drop(afterwards);
        assert!(!ours.exists());
        assert!(theirs.join("kept").exists());
    }

    #[test]
    fn whoever_reads_what_this_process_writes_does_not_wait_for_the_other() {
        let place = tempfile::tempdir().expect("a directory");
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        let _afterwards = RemovedAfterwards::new(place.path()).expect("a process");
        drop(writer);
        assert_eq!(reader.read_to_end(&mut Vec::new()).expect("its end"), 0);
    }
}
