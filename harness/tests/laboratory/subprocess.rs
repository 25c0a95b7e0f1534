//! Other users and other network namespaces inside a lab.

use std::fs;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::mpsc;
use std::thread;

use harness::kernel::SECOND_UID;
use harness::net::sysctl;
use harness::process::subprocess::{
    ForkedHolder, as_second_user, in_fresh_namespace, made_by_second_user,
};
use nix::sys::stat::fstat;
use nix::unistd::{geteuid, getgroups, getresgid, getresuid};

use crate::in_lab::{Need, Test};

pub fn tests() -> Vec<Test> {
    vec![
        Test::inside("subprocess/second-user", second_user).needs([Need::SecondUser]),
        Test::inside("subprocess/made-by-second-user", made).needs([Need::SecondUser]),
        Test::inside("subprocess/no-second-user", no_second_user).needs([Need::OneUser]),
        Test::inside("subprocess/fresh-namespace", fresh_namespace),
        Test::inside("subprocess/a-death-is-told", a_death_is_told),
        Test::inside("subprocess/not-beside-threads", not_beside_threads),
        Test::inside("subprocess/after-threads-that-were-joined", after_threads),
        Test::inside("subprocess/nothing-of-the-parent-goes-on", nothing_of_the_parent_goes_on),
        Test::inside("subprocess/a-holder-keeps-descriptors-open", a_holder_keeps_open),
    ]
}

fn second_user() {
    let (uids, gids, groups, capabilities) = as_second_user(|| {
        let (uid, gid) = (getresuid().expect("uids"), getresgid().expect("gids"));
        let uids = [uid.real, uid.effective, uid.saved].map(nix::unistd::Uid::as_raw);
        let gids = [gid.real, gid.effective, gid.saved].map(nix::unistd::Gid::as_raw);
        (uids, gids, getgroups().expect("groups").len(), capabilities())
    })
    .expect("the second user");
    assert_eq!(uids, [SECOND_UID; 3]);
    assert_eq!(gids, [SECOND_UID; 3]);
    assert_eq!(groups, 0, "groups of root were kept");
    assert_eq!(capabilities, [0, 0], "permitted and effective");
    assert!(geteuid().is_root(), "the lab itself stays root");
}

/// Permitted and effective capabilities of this process.
fn capabilities() -> [u64; 2] {
    let status = fs::read_to_string("/proc/self/status").expect("readable");
    ["CapPrm:", "CapEff:"].map(|name| {
        let value = status.lines().find_map(|line| line.strip_prefix(name)).expect(name);
        u64::from_str_radix(value.trim(), 16).expect("hexadecimal")
    })
}

fn made() {
    let socket = || std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
    let (made_with, owner, works_with) = made_by_second_user(
        || (geteuid().as_raw(), socket()),
        |(made_with, made)| (made_with, fstat(&made).expect("a socket").st_uid, geteuid().as_raw()),
    )
    .expect("the second user");
    assert_eq!((made_with, owner, works_with), (SECOND_UID, SECOND_UID, 0));
}

fn no_second_user() {
    let refused = as_second_user(|| ()).expect_err("an unmapped uid");
    assert!(refused.to_string().starts_with("prepare a subprocess: set"), "{refused}");
}

/// A setting of network namespaces whose default is 60 in all of them.
const SETTING: &str = "net.ipv4.tcp_fin_timeout";

fn fresh_namespace() {
    let namespace = || fs::metadata("/proc/self/ns/net").expect("a namespace").ino();
    let before = namespace();
    sysctl::write(SETTING, "4711").expect("writable");
    let setting = || sysctl::read(SETTING).expect("readable");
    let _listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
    let sockets = || fs::read_to_string("/proc/net/tcp").expect("readable").lines().count() - 1;
    let (fresh, sockets_there, setting_there) =
        in_fresh_namespace(|| (namespace(), sockets(), setting())).expect("a namespace");
    assert_ne!(fresh, before);
    assert_eq!((setting().as_str(), setting_there.as_str()), ("4711", "60"));
    assert_eq!((sockets(), sockets_there), (1, 0));
    assert_eq!(namespace(), before, "the lab itself stays where it is");
}

fn a_death_is_told() {
    let error = in_fresh_namespace(|| -> u8 { panic!("in the subprocess") }).expect_err("died");
    assert!(error.to_string().contains("101"), "{error}");
}

fn not_beside_threads() {
    let (end, ends) = mpsc::channel::<()>();
    let thread = thread::spawn(move || ends.recv());
    let refused = [
        in_fresh_namespace(|| ()).expect_err("a thread").to_string(),
        ForkedHolder::fork().map(drop).expect_err("a thread").to_string(),
    ];
    for why in refused {
        assert!(why.starts_with("fork(): this process has 2 threads"), "{why}");
    }
    drop(end);
    let _ = thread.join();
    in_fresh_namespace(|| ()).expect("alone again");
}

/// The kernel still lists a thread for a moment when `join` has returned.
fn after_threads() {
    for _ in 0..50 {
        thread::spawn(|| ()).join().expect("joined");
        in_fresh_namespace(|| ()).expect("alone");
    }
}

/// Leaves a file when it is dropped.
struct Trace(PathBuf);

impl Drop for Trace {
    fn drop(&mut self) {
        let _ = fs::write(&self.0, "dropped");
    }
}

static AT_EXIT: OnceLock<PathBuf> = OnceLock::new();

extern "C" fn leave_a_file_at_exit() {
    let _ = fs::write(AT_EXIT.get().map_or(Path::new("/nowhere"), PathBuf::as_path), "exited");
}

fn nothing_of_the_parent_goes_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let (dropped, exited) = (directory.path().join("dropped"), directory.path().join("exited"));
    AT_EXIT.set(exited.clone()).expect("the only test that sets it");
    // SAFETY: the handler does nothing that is forbidden at the end of a process.
    assert_eq!(unsafe { libc::atexit(leave_a_file_at_exit) }, 0);
    let trace = Trace(dropped.clone());
    in_fresh_namespace(|| ()).expect("a result");
    in_fresh_namespace(|| -> u8 { panic!("in the subprocess") }).expect_err("died");
    ForkedHolder::fork().expect("forked").kill().expect("killed");
    assert!(!dropped.exists(), "a destructor of the parent ran in the subprocess");
    assert!(!exited.exists(), "a handler of the parent ran in the subprocess");
    drop(trace);
    assert!(dropped.exists());
}

fn a_holder_keeps_open() {
    let (held, mut other) = UnixStream::pair().expect("a pair");
    let holder = ForkedHolder::fork().expect("forked");
    drop(held);
    other.set_nonblocking(true).expect("set");
    let open = other.read(&mut [0]).expect_err("nothing yet");
    assert_eq!(open.kind(), ErrorKind::WouldBlock);
    holder.kill().expect("killed");
    assert_eq!(other.read(&mut [0]).expect("its end"), 0);
}
