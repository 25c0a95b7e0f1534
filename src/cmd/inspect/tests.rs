//! Texts for machines that are not this one.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use harness::host::holders::{HeldDescriptor, HolderProcess, Holders};
use harness::host::listeners::{ListenerEntry, RequestAddress, SocketFamily};
use harness::host::namespace::{NamespaceLook, NamespaceName, NoLook};
use harness::host::options::ListenerOptions;
use harness::host::service::Service;
use harness::kernel::Base;
use harness::kernel::base::NoBase;
use rstest::rstest;
use scenarios::judge::VersionSays;

use crate::cmd::inspect::document::{
    BugDocument, InspectDocument, KernelDocument, MigrationSupport, NotVisible, SCHEMA,
    UnseenNamespace,
};
use crate::cmd::inspect::known::{self, Features};
use crate::cmd::inspect::look::{OwnPlace, Seen, namespace_document};
use crate::cmd::inspect::{check, grouping, text, watch, words};
use crate::style::Style;

const WORKERS: u32 = 8;

/// The id of nginx's main process; those of its workers follow.
const MAIN: u32 = 811;

fn listener(at: u32, address: &str, port: u16) -> ListenerEntry {
    let address: IpAddr = address.parse().expect("an address");
    ListenerEntry {
        family: if address.is_ipv4() { SocketFamily::Inet } else { SocketFamily::Inet6 },
        address,
        port,
        v6_only: false,
        device: None,
        uid: 0,
        inode: at.into(),
        cookie: at.into(),
        waiting: 0,
        backlog: 511,
        multipath: Some(false),
        md5_keys: Some(false),
    }
}

/// nginx with eight workers and `listen 443 reuseport`: every process has every listener open.
fn nginx() -> (NamespaceLook, Holders) {
    let listeners: Vec<ListenerEntry> =
        (1..=WORKERS).map(|at| listener(at, "0.0.0.0", 443)).collect();
    let counters = [
        ("TCPMigrateReqSuccess", 0),
        ("TCPMigrateReqFailure", 0),
        ("ListenDrops", 0),
        ("ListenOverflows", 0),
        ("OutRsts", 12),
    ];
    let mut holders = Holders::default();
    for pid in MAIN..=MAIN + WORKERS {
        let process = HolderProcess {
            pid,
            name: "nginx".into(),
            uid: Some(if pid == MAIN { 0 } else { 33 }),
            service: Some(Service::Unit { name: "nginx.service".into() }),
        };
        holders.processes.insert(pid, process);
        for listener in &listeners {
            let number = 5 + listener.inode as i32;
            holders
                .descriptors
                .entry(listener.inode)
                .or_default()
                .push(HeldDescriptor { pid, number });
        }
    }
    let look = NamespaceLook {
        listeners,
        requests: vec![],
        migrate_req: Some(0),
        counters: counters.map(|(name, value)| (name.to_owned(), value)).into(),
    };
    (look, holders)
}

/// The document of one namespace, whose listeners all have the same options.
fn document(
    look: &NamespaceLook,
    holders: &Holders,
    migration: MigrationSupport,
) -> InspectDocument {
    document_in(OwnPlace::default(), look, holders, migration)
}

/// The same, where this process runs there.
fn document_in(
    own: OwnPlace,
    look: &NamespaceLook,
    holders: &Holders,
    migration: MigrationSupport,
) -> InspectDocument {
    document_with(&ListenerOptions::default(), own, look, holders, migration)
}

/// The same, where all have these options.
fn document_with(
    alike: &ListenerOptions,
    own: OwnPlace,
    look: &NamespaceLook,
    holders: &Holders,
    migration: MigrationSupport,
) -> InspectDocument {
    let options: HashMap<u64, _> =
        look.listeners.iter().map(|it| (it.inode, Ok(alike.clone()))).collect();
    let ports = grouping::ports(&look.listeners, &look.requests);
    let seen = Seen { holders, options: &options, migration, own };
    let namespace = namespace_document((4_026_531_840, NamespaceName::This), look, &ports, &seen);
    InspectDocument {
        schema: SCHEMA,
        sockmig: "0.1.0".into(),
        kernel: KernelDocument {
            release: "6.12.85+deb13-amd64".into(),
            machine: "x86_64".into(),
            base: Some("6.12.85".into()),
            migration,
        },
        root: true,
        namespaces: vec![namespace],
        not_visible: NotVisible::default(),
        programs: Some(vec![]),
        modules_loaded: vec![],
    }
}

fn shown(found: &InspectDocument) -> String {
    let users = BTreeMap::from([(0, "root".to_owned()), (33, "www-data".to_owned())]);
    text::text(found, &users, 80, Style::PLAIN)
}

#[test]
fn nginx_with_eight_workers() {
    let (look, holders) = nginx();
    let mut found = document(&look, &holders, MigrationSupport::Works);
    found.namespaces[0].known_bugs = vec![BugDocument {
        case: "wake-up".into(),
        reason: "A listener that waits in epoll, poll or accept is not woken for a child that \
                 migrates to it."
            .into(),
        fix: Some("3864c6ba1e04".into()),
        version: VersionSays::HasIt,
    }];
    insta::assert_snapshot!("inspect_nginx", shown(&found));
}

/// What Apache does with `Listen 80` and two buckets, on a container's setting of its own.
#[test]
fn apache_with_two_buckets_in_a_container() {
    let (mut look, mut holders) = nginx();
    look.listeners = vec![listener(1, "::", 80), listener(2, "0.0.0.0", 80)];
    look.listeners[1].waiting = 3;
    let request = RequestAddress {
        family: SocketFamily::Inet,
        address: "198.51.100.7".parse().expect("an address"),
        port: 80,
        device: 0,
    };
    look.requests = vec![(request, 2)];
    look.migrate_req = Some(1);
    for process in holders.processes.values_mut() {
        process.name = "apache2".into();
        process.service = Some(docker());
    }
    let found = document(&look, &holders, MigrationSupport::Works);
    insta::assert_snapshot!("inspect_apache", shown(&found));
    let (state, line) = check::line(&found);
    assert_eq!(state, check::CheckState::Warning);
    assert!(line.contains("port 80: groups that look like one"), "{line}");
}

/// Whoever names a process does not write on the terminal.
#[test]
fn names_of_processes_are_harmless() {
    let (look, mut holders) = nginx();
    holders.processes.values_mut().for_each(|process| process.name = "a\x1b[2Jb\nc".into());
    let text = shown(&document(&look, &holders, MigrationSupport::Works));
    assert!(!text.contains('\x1b'), "{text:?}");
    assert!(text.contains(r"a\u{1b}[2Jb\nc"), "{text}");
}

/// On a kernel whose base its version does not say, a bug is only possible.
#[test]
fn a_bug_that_the_version_does_not_show_is_possible() {
    let (look, holders) = nginx();
    let mut found = document(&look, &holders, MigrationSupport::Works);
    let base = Base::Unknown { why: NoBase::RedHat };
    let features = Features { groups: true, ..Features::default() };
    found.namespaces[0].known_bugs = known::bugs(&base, features);
    let text = shown(&found);
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        words.contains("Known bugs that its version does not tell of; `sockmig` checks them - "),
        "{text}"
    );
}

/// HAProxy and Caddy have one listener, until a reload opens another one.
#[rstest]
#[case::off(
    0,
    "since that has SO_REUSEPORT: port 443 (nginx). Then connections of the old one are lost all \
     the same: net.ipv4.tcp_migrate_req is 0.",
    true
)]
#[case::on(
    1,
    "since that has SO_REUSEPORT: port 443 (nginx). Then the new one takes over what the old one \
     has.",
    false
)]
fn who_has_one_listener_may_have_two_at_a_reload(
    #[case] setting: u8,
    #[case] wanted: &str,
    #[case] is_to_turn_on: bool,
) {
    let (mut look, holders) = nginx();
    look.listeners.truncate(1);
    look.migrate_req = Some(setting);
    let alike = ListenerOptions(BTreeMap::from([("SO_REUSEPORT".into(), "1".into())]));
    let found =
        document_with(&alike, OwnPlace::default(), &look, &holders, MigrationSupport::Works);
    let text = shown(&found);
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains(wanted), "{text}");
    assert_eq!(words.contains("At port 443, let the kernel move connections"), is_to_turn_on);
    assert_eq!(check::line(&found).0, check::CheckState::Ok, "nothing is wrong now");
}

#[test]
fn an_old_kernel_is_told_to_pass_listeners() {
    let (mut look, holders) = nginx();
    look.migrate_req = None;
    let text = shown(&document(&look, &holders, MigrationSupport::Absent));
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for wanted in [
        "this kernel has no net.ipv4.tcp_migrate_req (Linux 5.14)",
        "although others could take them over: this kernel moves none.",
        "Pass them to the new server instead",
    ] {
        assert!(words.contains(wanted), "{wanted}: {text}");
    }
    assert!(!text.contains("sysctl -w"), "{text}");
}

fn docker() -> Service {
    Service::Container { runtime: "docker".into(), id: "4f0c9b1a77d2".repeat(6), pod: false }
}

/// Who has the machine's network gets the machine's setting, and in a container nobody writes
/// `/proc/sys`.
#[rstest]
#[case::on_the_machine(None, false, &["sysctl -w", "/etc/sysctl.d"], &["docker", "not from"])]
#[case::in_the_container(Some(docker()), false, &["sysctl -w", "docker run --sysctl"], &["sysctl.d"])]
#[case::read_only(
    Some(docker()),
    true,
    &["not from in here: /proc/sys is read-only", "docker run --sysctl", "start it without that"],
    &["sysctl -w", "sysctl.d"]
)]
#[case::read_only_and_unnamed(
    None,
    true,
    &["not from in here", "among the sysctls that the container is started with"],
    &["sysctl -w", "docker", "sysctl.d"]
)]
fn a_setting_is_made_where_it_can_be(
    #[case] service: Option<Service>,
    #[case] settings_read_only: bool,
    #[case] says: &[&str],
    #[case] is_silent_about: &[&str],
) {
    let (look, mut holders) = nginx();
    holders.processes.values_mut().for_each(|process| process.service = Some(docker()));
    let own = OwnPlace { service, settings_read_only };
    let text = shown(&document_in(own, &look, &holders, MigrationSupport::Works));
    let (_, advice) = text.split_once("What to do").expect("advice");
    for words in says {
        assert!(advice.contains(words), "{words}: {text}");
    }
    for words in is_silent_about {
        assert!(!advice.contains(words), "{words}: {text}");
    }
}

/// What a watch says of two of eight listeners that closed, with this setting, these counts of
/// migrations, and this many that waited in each.
#[rstest]
#[case::moved(Some(1), 30, 0, 15, "30 connections moved, 0 lost")]
#[case::some_moved_twice(Some(1), 45, 0, 15, "at most 45 connections moved, 0 lost")]
#[case::one(Some(1), 1, 0, 0, "1 connection moved, 0 lost")]
#[case::nothing_was_there(Some(1), 0, 0, 0, "0 connections moved, 0 lost")]
#[case::some_were_lost(Some(1), 28, 2, 15, "28 connections moved, 2 lost")]
#[case::not_one_group(Some(1), 0, 0, 3, "0 connections moved, 6 waited in their queues")]
#[case::off(
    Some(0),
    0,
    0,
    3,
    "0 connections moved (net.ipv4.tcp_migrate_req is 0), 6 waited in their queues"
)]
#[case::by_a_program(Some(0), 6, 0, 3, "6 connections moved, 0 lost")]
#[case::old(
    None,
    0,
    0,
    1,
    "0 connections moved (this kernel moves none), 2 waited in their queues"
)]
fn a_reload_that_closes_two_of_eight_is_one_line(
    #[case] setting: Option<u8>,
    #[case] moved: i64,
    #[case] failed: i64,
    #[case] waiting: u32,
    #[case] connections: &str,
) {
    let (mut before, _) = nginx();
    before.listeners.iter_mut().for_each(|listener| listener.waiting = waiting);
    let mut now = before.clone();
    now.migrate_req = setting;
    now.listeners.drain(..2);
    now.counters.insert("TCPMigrateReqSuccess".into(), moved);
    now.counters.insert("TCPMigrateReqFailure".into(), failed);
    let change = watch::changes(&before, &now, |_| "nginx".into());
    let wanted = format!("nginx closed 2 of 8 listeners of :443; {connections}");
    assert_eq!(watch::sentence(&change), wanted);
    assert_eq!(watch::changes(&now, &now, |_| String::new()).listeners, []);
}

#[test]
fn a_kernel_that_lists_no_listeners_is_named() {
    let unseen = UnseenNamespace { id: 1, name: NamespaceName::This, why: NoLook::NoTcpDiag };
    assert_eq!(
        words::cannot_look(&unseen),
        "cannot look at this network namespace: the kernel does not list TCP listeners \
         (CONFIG_INET_TCP_DIAG); where that is a module, `modprobe tcp_diag` as root loads it"
    );
}
