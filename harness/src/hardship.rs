//! Machines that lack something, for tests: each function makes a command, and all that
//! it starts, meet a real hardship. Nothing is pretended.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use libc::{BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, sock_filter};
use nix::unistd::{getegid, geteuid};

/// `unshare` fails with EPERM, as where namespaces are forbidden.
pub fn without_namespaces(command: &mut Command) {
    let filter = [
        load(SYSCALL_NUMBER),
        unless_equal(libc::SYS_unshare as u32, 1),
        answer(libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        answer(libc::SECCOMP_RET_ALLOW),
    ];
    confine(command, filter.to_vec());
}

/// A netfilter netlink socket cannot be had, as on a kernel without nftables.
pub fn without_nftables(command: &mut Command) {
    let filter = [
        load(SYSCALL_NUMBER),
        unless_equal(libc::SYS_socket as u32, 5),
        load(argument(0)),
        unless_equal(libc::AF_NETLINK as u32, 3),
        load(argument(2)),
        unless_equal(libc::NETLINK_NETFILTER as u32, 1),
        answer(libc::SECCOMP_RET_ERRNO | libc::EPROTONOSUPPORT as u32),
        answer(libc::SECCOMP_RET_ALLOW),
    ];
    confine(command, filter.to_vec());
}

/// There is nothing at /proc.
pub fn without_proc(command: &mut Command) {
    mount_over(command, Path::new("/proc"), "size=4k", 0);
}

/// The disk at `directory` is full: there is room for no file's data.
pub fn with_full_disk(command: &mut Command, directory: &Path) {
    // One page for the file system; the second name that is asked for has no inode left.
    mount_over(command, directory, "size=4k,nr_inodes=2", 0);
}

/// `directory` cannot be written to.
pub fn with_read_only(command: &mut Command, directory: &Path) {
    mount_over(command, directory, "size=4k", libc::MS_RDONLY);
}

/// Offsets in the kernel's `seccomp_data`.
const SYSCALL_NUMBER: u32 = 0;
const fn argument(index: u32) -> u32 {
    // Little-endian machines: the low half comes first.
    16 + 8 * index
}

const fn load(offset: u32) -> sock_filter {
    sock_filter { code: (BPF_LD | BPF_W | BPF_ABS) as u16, jt: 0, jf: 0, k: offset }
}

/// Skips as many instructions unless what was loaded is `value`.
const fn unless_equal(value: u32, skipped: u8) -> sock_filter {
    sock_filter { code: (BPF_JMP | BPF_JEQ | BPF_K) as u16, jt: 0, jf: skipped, k: value }
}

const fn answer(value: u32) -> sock_filter {
    sock_filter { code: (BPF_RET | BPF_K) as u16, jt: 0, jf: 0, k: value }
}

/// Installs a seccomp filter between fork and exec.
fn confine(command: &mut Command, mut filter: Vec<sock_filter>) {
    let install = move || {
        let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
        // SAFETY: prctl with integers, then with a program that outlives the call.
        unsafe {
            done(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
            done(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program))
        }
    };
    // SAFETY: the closure calls nothing but prctl.
    unsafe { command.pre_exec(install) };
}

/// Covers `place` with a small tmpfs, in a mount namespace of the command's own.
fn mount_over(command: &mut Command, place: &Path, options: &str, flags: libc::c_ulong) {
    let place = CString::new(place.as_os_str().as_bytes()).expect("a path without NUL");
    let options = CString::new(options).expect("options without NUL");
    let root = geteuid().is_root();
    let maps = [
        (c"/proc/self/setgroups", "deny".to_owned()),
        (c"/proc/self/uid_map", format!("0 {} 1", geteuid())),
        (c"/proc/self/gid_map", format!("0 {} 1", getegid())),
    ];
    let cover = move || {
        let spaces = libc::CLONE_NEWNS | if root { 0 } else { libc::CLONE_NEWUSER };
        // SAFETY: system calls with strings that were made before the fork.
        unsafe {
            done(libc::unshare(spaces))?;
            if !root {
                maps.iter().try_for_each(|(file, text)| write(file, text.as_bytes()))?;
            }
            let private = libc::MS_REC | libc::MS_PRIVATE;
            let (none, root) = (std::ptr::null(), c"/".as_ptr());
            done(libc::mount(none, root, none, private, none.cast()))?;
            let (tmpfs, data) = (c"tmpfs".as_ptr(), options.as_ptr().cast());
            done(libc::mount(tmpfs, place.as_ptr(), tmpfs, flags, data))
        }
    };
    // SAFETY: the closure makes system calls only, and allocates nothing.
    unsafe { command.pre_exec(cover) };
}

/// Writes a short file at one go, without allocating.
///
/// # Safety
/// None beyond that of the calls.
unsafe fn write(file: &std::ffi::CStr, bytes: &[u8]) -> io::Result<()> {
    // SAFETY: a NUL-terminated path, and a buffer of the length that is said.
    unsafe {
        let fd = libc::open(file.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        done(fd)?;
        let written = libc::write(fd, bytes.as_ptr().cast(), bytes.len());
        libc::close(fd);
        done(written as i32)
    }
}

fn done(result: i32) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
