//! A lab is apart from the host, and from other labs.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;

use harness::process::{Labs, Returned};
use harness::{net::sysctl, wait};
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use serde::{Deserialize, Serialize};

use crate::in_lab::Test;

pub const WORK: &str = "isolation";

/// A setting that every network namespace has of its own, and a value that nobody uses.
const SETTING: &str = "net.ipv4.tcp_fin_timeout";
const UNUSUAL: &str = "4711";

pub fn tests() -> Vec<Test> {
    vec![
        Test::outside("isolation/namespaces-are-its-own", namespaces_are_its_own),
        Test::outside("isolation/host-keeps-its-settings", host_keeps_its_settings),
        Test::outside("isolation/labs-do-not-share", labs_do_not_share),
    ]
}

/// What a lab finds when it looks around.
#[derive(Debug, Serialize, Deserialize)]
struct Surroundings {
    net: u64,
    pid: u64,
    mount: u64,
    own_pid: i32,
    interfaces_up: BTreeSet<String>,
    sockets: usize,
    setting_before: String,
    setting_after: String,
}

pub fn work(_: &str) -> Returned {
    let setting_before = sysctl::read(SETTING).expect("readable");
    sysctl::write(SETTING, UNUSUAL).expect("writable");
    let tables = ["/proc/net/tcp", "/proc/net/udp", "/proc/net/raw"];
    let lines = |file| fs::read_to_string(file).expect("readable").lines().skip(1).count();
    let found = Surroundings {
        net: namespace("net"),
        pid: namespace("pid"),
        mount: namespace("mnt"),
        own_pid: nix::unistd::getpid().as_raw(),
        interfaces_up: interfaces_up(),
        sockets: tables.into_iter().map(lines).sum(),
        setting_before,
        setting_after: sysctl::read(SETTING).expect("readable"),
    };
    Returned::json(&found, vec![])
}

fn surroundings(labs: &Labs) -> Surroundings {
    let returned = labs.run(WORK, wait::deadline()).expect("a lab");
    returned.parse().expect("surroundings")
}

/// The inode, which no other namespace has that exists now.
fn namespace(kind: &str) -> u64 {
    fs::metadata(format!("/proc/self/ns/{kind}")).expect("a namespace").ino()
}

/// Those that are down do not count: kernels with tunnel modules put some into every
/// network namespace.
fn interfaces_up() -> BTreeSet<String> {
    getifaddrs()
        .expect("interfaces")
        .filter(|interface| interface.flags.contains(InterfaceFlags::IFF_UP))
        .map(|interface| interface.interface_name)
        .collect()
}

fn namespaces_are_its_own(labs: &Labs) {
    let found = surroundings(labs);
    assert_ne!(found.net, namespace("net"), "network namespace");
    assert_ne!(found.pid, namespace("pid"), "process namespace");
    assert_ne!(found.mount, namespace("mnt"), "mount namespace");
    assert_eq!(found.own_pid, 1);
    assert_eq!(found.interfaces_up, BTreeSet::from(["lo".to_owned()]));
    assert_eq!(found.sockets, 0, "sockets in a fresh namespace");
}

fn host_keeps_its_settings(labs: &Labs) {
    let before = sysctl::read(SETTING).expect("readable");
    let found = surroundings(labs);
    assert_eq!(found.setting_after, UNUSUAL, "in the lab");
    assert_eq!(sysctl::read(SETTING).expect("readable"), before, "on the host");
}

fn labs_do_not_share(labs: &Labs) {
    let (first, second) = (surroundings(labs), surroundings(labs));
    assert_ne!(first.setting_before, UNUSUAL);
    assert_eq!(first.setting_before, second.setting_before, "the first lab's value stayed");
}
