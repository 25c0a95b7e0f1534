//! Which code of the kernel what a thread does reaches, where the kernel can say it (`CONFIG_KCOV`).
//!
//! What a thread's system calls do is traced by itself. What the segments do that it sends is done
//! in softirqs, which are not traced, though most run before its call returns. A kernel whose
//! loopback says with which thread's packets it is busy (`kcov_remote_start_common()` in
//! `process_backlog()`) has them traced apart. What timers do is never traced.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};

use crate::error::{Context, Result};
use crate::guest;
use crate::process::thread;

/// Where the kernel shows what helps to debug it, and in there what is opened for each trace.
const DEBUG: &str = "/sys/kernel/debug";
const KCOV: &str = "/sys/kernel/debug/kcov";

/// How many places one trace has room for, and a number that says how many there are. What is
/// reached beyond that is not seen.
const WORDS: usize = 1 << 17;

/// Calls of `linux/kcov.h`. How they are numbered depends on the architecture.
const INIT_TRACE: libc::Ioctl = libc::_IOR::<libc::c_ulong>(b'c' as u32, 1);
const ENABLE: libc::Ioctl = libc::_IO(b'c' as u32, 100);
const REMOTE_ENABLE: libc::Ioctl = libc::_IOW::<RemoteArgument>(b'c' as u32, 102);

/// `KCOV_TRACE_PC`.
const TRACE_PC: u32 = 0;

/// Packets are known by a number that nobody else in the machine uses: the first that is free, of
/// as many as there may be labs.
const HANDLES: std::ops::RangeInclusive<u64> = 1..=10_000;

/// `struct kcov_remote_arg`, without any handle of its array.
#[repr(C)]
struct RemoteArgument {
    trace_mode: u32,
    area_size: u32,
    num_handles: u32,
    common_handle: Aligned,
}

/// `__aligned_u64`.
#[repr(C, align(8))]
struct Aligned(u64);

/// Whether the kernel says which code is reached, to this user. In a guest, what says it is mounted
/// first; elsewhere that is the administrator's.
pub fn is_there() -> bool {
    open().is_ok()
}

fn open() -> io::Result<File> {
    let open = || OpenOptions::new().read(true).write(true).open(KCOV);
    if !Path::new(KCOV).exists() && guest::is_here() {
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        mount(Some("debugfs"), DEBUG, Some("debugfs"), flags, None::<&str>)?;
    }
    open()
}

/// What is reached by whom; only in [`traced`].
pub struct Coverage<'a> {
    own: &'a Trace,
    softirqs: Option<&'a Trace>,
}

/// Does work in a thread of its own, and has the kernel trace it.
///
/// # Errors
/// The kernel cannot, or there is no room.
pub fn traced<T: Send>(work: impl FnOnce(&Coverage<'_>) -> Result<T> + Send) -> Result<T> {
    let softirqs = Trace::open()?.of_sent_packets()?;
    let followed = softirqs.as_ref();
    // A thread's packets are known by its parent's number, and a thread has one trace only.
    std::thread::scope(|scope| {
        let traced = thread::spawn_scoped(scope, move || {
            let own = Trace::open()?;
            own.of_this_thread()?;
            work(&Coverage { own: &own, softirqs: followed })
        })?;
        traced.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

impl Coverage<'_> {
    /// Passes on what was reached since the last call: a list for what system calls did, and one
    /// for softirqs, if they are traced. Each has addresses in the order in which they were reached.
    pub fn take(&self, mut pass_on: impl FnMut(&mut dyn Iterator<Item = usize>)) {
        for trace in [Some(self.own), self.softirqs].into_iter().flatten() {
            trace.take(&mut pass_on);
        }
    }
}

/// Memory that the kernel writes addresses to. It stays enabled until it goes, or its thread.
struct Trace {
    file: File,
    /// How many addresses there are, and they.
    words: NonNull<AtomicUsize>,
}

// SAFETY: the memory is mapped until the value goes, and every access to it is atomic.
unsafe impl Send for Trace {}
// SAFETY: as above.
unsafe impl Sync for Trace {}

impl Trace {
    fn open() -> Result<Self> {
        let file = open().call(|| format!("open({KCOV}, O_RDWR)"))?;
        control(&file, INIT_TRACE, WORDS)
            .call(|| format!("ioctl({KCOV}, KCOV_INIT_TRACE, {WORDS})"))?;
        let length = WORDS * size_of::<usize>();
        // SAFETY: a new mapping, at an address that the kernel chooses.
        let mapped = unsafe {
            libc::mmap(
                ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if mapped == libc::MAP_FAILED {
            return Err(Errno::last()).call(|| format!("mmap({KCOV}, {length})"));
        }
        let words = NonNull::new(mapped.cast()).expect("a mapping is not at 0");
        Ok(Self { file, words })
    }

    /// Has the kernel trace what this thread's system calls do.
    fn of_this_thread(&self) -> Result<()> {
        control(&self.file, ENABLE, TRACE_PC as usize)
            .call(|| format!("ioctl({KCOV}, KCOV_ENABLE, KCOV_TRACE_PC)"))
    }

    /// Has the kernel trace what becomes of packets that threads send which this thread starts;
    /// nothing if the kernel is older than that (Linux 5.5).
    fn of_sent_packets(self) -> Result<Option<Self>> {
        for handle in HANDLES {
            let argument = RemoteArgument {
                trace_mode: TRACE_PC,
                area_size: WORDS as u32,
                num_handles: 0,
                common_handle: Aligned(handle),
            };
            match control(&self.file, REMOTE_ENABLE, (&raw const argument).addr()) {
                Ok(()) => return Ok(Some(self)),
                Err(Errno::EEXIST) => {}
                Err(Errno::ENOTTY | Errno::EINVAL) => return Ok(None),
                other => other.call(|| format!("ioctl({KCOV}, KCOV_REMOTE_ENABLE, {handle})"))?,
            }
        }
        Ok(None)
    }

    fn take(&self, pass_on: &mut impl FnMut(&mut dyn Iterator<Item = usize>)) {
        let word = |index: usize| {
            // SAFETY: so many words are mapped, and the kernel's are as long.
            unsafe { self.words.add(index).as_ref() }
        };
        let count = word(0).load(Ordering::Relaxed).min(WORDS - 1);
        if count > 0 {
            pass_on(&mut (1..=count).map(|index| word(index).load(Ordering::Relaxed)));
            word(0).store(0, Ordering::Relaxed);
        }
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length, and nobody has a reference into it any more.
        unsafe { libc::munmap(self.words.as_ptr().cast(), WORDS * size_of::<usize>()) };
    }
}

fn control(file: &File, request: libc::Ioctl, argument: usize) -> std::result::Result<(), Errno> {
    // SAFETY: requests of KCOV, which takes numbers, but for one that takes a structure, which
    // outlives the call.
    Errno::result(unsafe { libc::ioctl(file.as_raw_fd(), request, argument) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::of_kernel::{assert_members, constant, offset, size};

    #[test]
    fn layout_of_what_kcov_is_asked() {
        let name = "struct kcov_remote_arg";
        assert_members!(RemoteArgument, "struct kcov_remote_arg", {
            trace_mode: "trace_mode",
            area_size: "area_size",
            num_handles: "num_handles",
            common_handle: "common_handle",
        });
        assert_eq!(size_of::<RemoteArgument>(), size(name));
        assert_eq!(size_of::<RemoteArgument>(), offset(name, "handles"));
        assert_eq!(i64::from(TRACE_PC), constant("KCOV_TRACE_PC"));
    }
}
