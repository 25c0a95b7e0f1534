//! Other users and other network namespaces inside a lab.

use std::fs;
use std::os::unix::fs::MetadataExt;

use harness::kernel::SECOND_UID;
use harness::subprocess::{as_second_user, in_fresh_namespace, made_by_second_user};
use harness::sysctl;
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
