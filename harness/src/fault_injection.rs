//! Machines that lack something, for tests: each function makes a command, and all that
//! it starts, really lack something. Nothing is simulated.
//!
//! Seccomp filters and mount namespaces are inherited, so that a lab of the command
//! lacks it too.
//!
//! Sockets of one family cannot be refused on s390x and 32-bit x86: there the C library opens them
//! through `socketcall`, whose arguments are in memory, where a filter does not look.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use libc::{
    BPF_ABS, BPF_ALU, BPF_AND, BPF_JA, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, sock_filter,
};
use nix::errno::Errno;
use nix::sys::resource::{Resource, rlim_t, setrlimit};
use nix::sys::signal::{SigHandler, Signal};
use nix::unistd::{getegid, geteuid};

use crate::layout::CLONE_FLAGS;

/// `unshare`, and `clone` with a namespace of its own, fail with EPERM, as where namespaces are
/// forbidden.
pub fn without_namespaces(command: &mut Command) {
    let any = libc::CLONE_NEWUSER | libc::CLONE_NEWPID | libc::CLONE_NEWNET | libc::CLONE_NEWNS;
    let refused = libc::SECCOMP_RET_ERRNO | Errno::EPERM as u32;
    let filter = [
        load(SYSCALL_NUMBER),
        unless_equal(libc::SYS_unshare as u32, 1),
        answer(refused),
        unless_equal(libc::SYS_clone as u32, 4),
        load(argument(CLONE_FLAGS as u32)),
        and(any as u32),
        skip_if_equal(0, 1),
        answer(refused),
        answer(libc::SECCOMP_RET_ALLOW),
    ];
    confine(command, &filter);
}

/// A netfilter netlink socket cannot be had: EPROTONOSUPPORT as on a kernel without nftables,
/// or what a container answers.
pub fn without_nftables(command: &mut Command, answered: Errno) {
    let filter = [
        load(SYSCALL_NUMBER),
        unless_equal(libc::SYS_socket as u32, 5),
        load(argument(0)),
        unless_equal(libc::AF_NETLINK as u32, 3),
        load(argument(2)),
        unless_equal(libc::NETLINK_NETFILTER as u32, 1),
        answer(libc::SECCOMP_RET_ERRNO | answered as u32),
        answer(libc::SECCOMP_RET_ALLOW),
    ];
    confine(command, &filter);
}

/// What can be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Sockets of AF_PACKET.
    PacketSockets,
    /// Sockets of AF_UNIX.
    UnixSockets,
    /// Sockets of AF_INET6.
    Ipv6,
    /// `close_range`.
    CloseRange,
    /// `io_uring_setup`.
    IoUring,
}

/// Something is refused, with what a kernel without it answers, or a container.
pub fn refuse(command: &mut Command, what: Refused, answered: Errno) {
    match what {
        Refused::PacketSockets => without_sockets(command, libc::AF_PACKET, answered),
        Refused::UnixSockets => without_sockets(command, libc::AF_UNIX, answered),
        Refused::Ipv6 => without_sockets(command, libc::AF_INET6, answered),
        Refused::CloseRange => without_call(command, libc::SYS_close_range, answered),
        Refused::IoUring => without_call(command, libc::SYS_io_uring_setup, answered),
    }
}

fn without_sockets(command: &mut Command, family: i32, answered: Errno) {
    let filter = [
        load(SYSCALL_NUMBER),
        // Either call, then its family.
        skip_if_equal(libc::SYS_socket as u32, 1),
        unless_equal(libc::SYS_socketpair as u32, 3),
        load(argument(0)),
        unless_equal(family as u32, 1),
        answer(libc::SECCOMP_RET_ERRNO | answered as u32),
        answer(libc::SECCOMP_RET_ALLOW),
    ];
    confine(command, &filter);
}

fn without_call(command: &mut Command, number: libc::c_long, answered: Errno) {
    let filter = [
        load(SYSCALL_NUMBER),
        unless_equal(number as u32, 1),
        answer(libc::SECCOMP_RET_ERRNO | answered as u32),
        answer(libc::SECCOMP_RET_ALLOW),
    ];
    confine(command, &filter);
}

/// There is nothing at /proc.
pub fn without_proc(command: &mut Command) {
    mount_over(command, Path::new("/proc"), "size=4k", 0);
}

/// `/proc/sys` can only be read, and a lab cannot mount another `/proc`, as in most containers.
pub fn with_read_only_settings(command: &mut Command) {
    let maps = root_of_its_own();
    let restrict = move || {
        // SAFETY: system calls with strings that were made before the fork.
        unsafe {
            done(libc::unshare(libc::CLONE_NEWNS | libc::CLONE_NEWUSER))?;
            maps.iter().try_for_each(|(file, text)| write(file, text.as_bytes()))?;
            let (none, root, settings) = (std::ptr::null(), c"/".as_ptr(), c"/proc/sys".as_ptr());
            let private = libc::MS_REC | libc::MS_PRIVATE;
            done(libc::mount(none, root, none, private, none.cast()))?;
            let bind = libc::MS_BIND | libc::MS_REC;
            done(libc::mount(settings, settings, none, bind, none.cast()))?;
            let read_only = libc::MS_BIND
                | libc::MS_REMOUNT
                | libc::MS_RDONLY
                | libc::MS_NOSUID
                | libc::MS_NODEV
                | libc::MS_NOEXEC;
            done(libc::mount(none, settings, none, read_only, none.cast()))
        }
    };
    // SAFETY: the closure makes system calls only, and allocates nothing.
    unsafe { command.pre_exec(restrict) };
    without_call(command, libc::SYS_mount, Errno::EPERM);
}

/// The disk at `directory` is full: files can still be made there, and have no room for
/// data, as happens in the middle of writing results.
pub fn with_full_disk(command: &mut Command, directory: &Path) {
    mount_over(command, directory, "size=4k", 0);
    let filler =
        CString::new(directory.join("filler").as_os_str().as_bytes()).expect("a path without NUL");
    // SAFETY: the closure makes system calls only, and allocates nothing. It runs after
    // the one that mounts.
    unsafe { command.pre_exec(move || write(&filler, &[0; 4096])) };
}

/// In `directory`, so many files and directories can be made, and no more. There is room for what
/// they hold.
pub fn with_few_inodes(command: &mut Command, directory: &Path, inodes: u32) {
    // The directory itself is one.
    mount_over(command, directory, &format!("size=1g,nr_inodes={}", inodes + 1), 0);
}

/// The machine's `net.ipv4.tcp_fastopen` is this: that of the network namespace where the command
/// starts, which is one of its own.
pub fn with_fast_open(command: &mut Command, value: &'static str) {
    let maps = root_of_its_own();
    let enter = move || {
        // SAFETY: a system call with integers, and strings that were made before the fork.
        unsafe {
            done(libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNET))?;
            maps.iter().try_for_each(|(file, text)| write(file, text.as_bytes()))?;
            write(c"/proc/sys/net/ipv4/tcp_fastopen", value.as_bytes())
        }
    };
    // SAFETY: the closure makes system calls only, and allocates nothing.
    unsafe { command.pre_exec(enter) };
}

/// A user namespace in which no network namespace may be made.
pub fn without_room_for_namespaces(command: &mut Command) {
    let maps = root_of_its_own();
    let enter = move || {
        // SAFETY: a system call with integers, and strings that were made before the fork.
        unsafe {
            done(libc::unshare(libc::CLONE_NEWUSER))?;
            maps.iter().try_for_each(|(file, text)| write(file, text.as_bytes()))?;
            write(c"/proc/sys/user/max_net_namespaces", b"0")
        }
    };
    // SAFETY: the closure makes system calls only, and allocates nothing.
    unsafe { command.pre_exec(enter) };
}

/// `directory` cannot be written to.
pub fn with_read_only(command: &mut Command, directory: &Path) {
    mount_over(command, directory, "size=4k", libc::MS_RDONLY);
}

/// Signals do what they do to a program that a terminal starts, whatever started this one: a
/// shell has its background jobs ignore SIGINT.
pub fn with_default_signals(command: &mut Command) {
    with_signals(command, &[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP], SigHandler::SigDfl);
}

/// These signals are ignored, as by `nohup`.
pub fn with_ignored(command: &mut Command, signals: &'static [Signal]) {
    with_signals(command, signals, SigHandler::SigIgn);
}

fn with_signals(command: &mut Command, signals: &'static [Signal], handler: SigHandler) {
    let set = move || {
        for signal in signals {
            // SAFETY: both dispositions run no code of this program.
            unsafe { nix::sys::signal::signal(*signal, handler) }?;
        }
        Ok(())
    };
    // SAFETY: signal(2) is async-signal-safe, and nothing is allocated.
    unsafe { command.pre_exec(set) };
}

/// A resource is limited, as by `ulimit`: soft and hard.
pub fn with_limit(command: &mut Command, resource: Resource, soft: u64, hard: u64) {
    // SAFETY: setrlimit(2) is a system call and no more, and nothing is allocated.
    unsafe { command.pre_exec(move || Ok(setrlimit(resource, soft as rlim_t, hard as rlim_t)?)) };
}

/// The file of another process's descriptor, as that process would use it.
///
/// # Errors
/// There is no such process or descriptor, or this user may not trace the process.
pub fn take_descriptor(pid: u32, descriptor: i32) -> io::Result<File> {
    // SAFETY: system calls with numbers, the second of which makes a descriptor that
    // nobody else has.
    unsafe {
        let process = libc::syscall(libc::SYS_pidfd_open, pid, 0);
        done(process as i32)?;
        let process = OwnedFd::from_raw_fd(process as i32);
        let taken = libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), descriptor, 0);
        done(taken as i32)?;
        Ok(File::from_raw_fd(taken as i32))
    }
}

/// The one set of system call numbers that the filters know (`AUDIT_ARCH_*`).
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;
#[cfg(target_arch = "riscv64")]
const ARCHITECTURE: u32 = 0xc000_00f3;
#[cfg(target_arch = "s390x")]
const ARCHITECTURE: u32 = 0x8000_0016;
#[cfg(target_arch = "x86")]
const ARCHITECTURE: u32 = 0x4000_0003;

/// Offsets in the kernel's `seccomp_data`.
const SYSCALL_NUMBER: u32 = 0;
const SYSCALL_ARCHITECTURE: u32 = 4;
/// The lower half of an argument, which is one of eight bytes.
const fn argument(index: u32) -> u32 {
    16 + 8 * index + if cfg!(target_endian = "big") { 4 } else { 0 }
}

const fn load(offset: u32) -> sock_filter {
    sock_filter { code: (BPF_LD | BPF_W | BPF_ABS) as u16, jt: 0, jf: 0, k: offset }
}

/// Skips as many instructions unless what was loaded is `value`.
const fn unless_equal(value: u32, skipped: u8) -> sock_filter {
    sock_filter { code: (BPF_JMP | BPF_JEQ | BPF_K) as u16, jt: 0, jf: skipped, k: value }
}

/// Skips as many instructions if what was loaded is `value`.
const fn skip_if_equal(value: u32, skipped: u8) -> sock_filter {
    sock_filter { code: (BPF_JMP | BPF_JEQ | BPF_K) as u16, jt: skipped, jf: 0, k: value }
}

const fn and(mask: u32) -> sock_filter {
    sock_filter { code: (BPF_ALU | BPF_AND | BPF_K) as u16, jt: 0, jf: 0, k: mask }
}

const fn skip(instructions: u32) -> sock_filter {
    sock_filter { code: (BPF_JMP | BPF_JA) as u16, jt: 0, jf: 0, k: instructions }
}

const fn answer(value: u32) -> sock_filter {
    sock_filter { code: (BPF_RET | BPF_K) as u16, jt: 0, jf: 0, k: value }
}

/// Installs a seccomp filter between fork and exec. System calls of another architecture,
/// whose numbers mean something else, kill.
fn confine(command: &mut Command, body: &[sock_filter]) {
    let mut filter = vec![
        load(SYSCALL_ARCHITECTURE),
        unless_equal(ARCHITECTURE, 1),
        skip(1),
        answer(libc::SECCOMP_RET_KILL_PROCESS),
    ];
    filter.extend_from_slice(body);
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

/// What makes this user root in a user namespace that was just made: files of `/proc`, and what
/// is to be written there, in this order.
fn root_of_its_own() -> [(&'static CStr, String); 3] {
    [
        (c"/proc/self/setgroups", "deny".to_owned()),
        (c"/proc/self/uid_map", format!("0 {} 1", geteuid())),
        (c"/proc/self/gid_map", format!("0 {} 1", getegid())),
    ]
}

/// Covers `place` with a small tmpfs, in a mount namespace of the command's own.
fn mount_over(command: &mut Command, place: &Path, options: &str, flags: libc::c_ulong) {
    let place = CString::new(place.as_os_str().as_bytes()).expect("a path without NUL");
    let options = CString::new(options).expect("options without NUL");
    let root = geteuid().is_root();
    let maps = root_of_its_own();
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

/// Writes a short file with one call, without allocating; creates it if it does not exist.
///
/// # Safety
/// None beyond that of the calls.
unsafe fn write(file: &std::ffi::CStr, bytes: &[u8]) -> io::Result<()> {
    // SAFETY: a NUL-terminated path, and a buffer of the length that is said.
    unsafe {
        let fd = libc::open(file.as_ptr(), libc::O_WRONLY | libc::O_CREAT | libc::O_CLOEXEC, 0o600);
        done(fd)?;
        let written = libc::write(fd, bytes.as_ptr().cast(), bytes.len());
        libc::close(fd);
        done(written as i32)
    }
}

fn done(result: i32) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::of_kernel::{constant, place};

    #[test]
    fn layout_of_the_architecture_s_number() {
        let name = match std::env::consts::ARCH {
            "x86_64" => "AUDIT_ARCH_X86_64",
            "aarch64" => "AUDIT_ARCH_AARCH64",
            "riscv64" => "AUDIT_ARCH_RISCV64",
            "s390x" => "AUDIT_ARCH_S390X",
            "x86" => "AUDIT_ARCH_I386",
            other => panic!("{other} has no number here"),
        };
        assert_eq!(i64::from(ARCHITECTURE), constant(name));
    }

    #[test]
    fn layout_of_what_a_filter_of_system_calls_sees() {
        let at = |member| place("struct seccomp_data", member);
        assert_eq!((SYSCALL_NUMBER as usize, 4), at("nr"));
        assert_eq!((SYSCALL_ARCHITECTURE as usize, 4), at("arch"));
        let (arguments, bytes) = at("args");
        let argument_bytes = bytes / 6;
        for index in 0..6 {
            // Where the lower half of a number of eight bytes is.
            let number = 0x0000_0001_0000_0002_u64.to_ne_bytes();
            let half = number.chunks(4).position(|half| half == 2_u32.to_ne_bytes());
            let half = half.expect("one of the halves");
            let wanted = arguments + index * argument_bytes + 4 * half;
            assert_eq!(argument(index as u32) as usize, wanted);
        }
    }
}
