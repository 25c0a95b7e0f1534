//! What is said of the kernels that people run: what each vendor's kernels say of themselves goes
//! in, and the word of each verdict comes out.

use std::collections::BTreeMap;

use harness::kernel::base::{Base, Family, NoBase};
use harness::kernel::identity::Identity;
use harness::kernel::{Kernel, Version};
use harness::trace::Trace;
use harness::trace::observation::{Fact, Observation, Value};
use rstest::rstest;
use scenarios::catalogue;
use scenarios::expectation::{Acceptable, Expectation};
use scenarios::judge::builtin::builtin;
use scenarios::judge::known::{Candidate, CaseFacts};
use scenarios::judge::{Verdict, VersionSays, judge};

/// The bugs that a vendor's kernel is judged for, each by a case that shows it.
const BUGS: [(&str, &str); 4] = [
    ("lost-wake-up", "wake-up/epoll/v4"),
    ("old-request-counted-twice", "timer/no-retries/v4"),
    ("reset-request-off-target-count", "handshake/reset/v4/on"),
    ("md5-keys-freed-at-close", "md5/same-key/v4"),
];

/// A history that goes by the features of a release: SO_PASSRIGHTS came with Linux 6.16.
const PASSRIGHTS: &str = "passing/refused";

struct Vendor {
    identity: Identity,
    kernel: Kernel,
}

/// What a kernel says of itself. The configuration is what a package has next to it.
fn vendor(release: &str, build: &str, signature: Option<&str>, configuration: &str) -> Vendor {
    let banner = match release {
        "6.6.105+" => "Linux version 6.6.105+ (builder@cos) (Chromium OS 17.0 clang version 17)",
        _ => "",
    };
    let identity = Identity {
        release: release.into(),
        build: build.into(),
        signature: signature.map(str::to_owned),
        banner: Some(banner.to_owned()),
        configuration: Some(configuration.to_owned()),
    };
    let base = identity.base();
    let version = base.version().or_else(|| release.parse().ok()).expect("a version");
    let kernel = serde_json::json!({
        "release": release, "build": build, "machine": "x86_64",
        "version": version.to_string(), "base": base,
        "has_sysctl": true, "has_counters": true, "has_ipv6": true,
        "nftables": { "Ok": null }, "gate": { "Ok": "nftables" },
        "has_md5": true, "has_second_uid": true,
    });
    Vendor { identity, kernel: serde_json::from_value(kernel).expect("a kernel") }
}

/// What a kernel that is as expected makes a case observe, wires left out.
fn observation(must: &Expectation) -> Observation {
    let facts = must.facts.iter().map(|(name, acceptable)| Fact {
        name: name.clone(),
        value: match acceptable {
            Acceptable::OneOf(values) => values[0].clone(),
            Acceptable::Between(low, _) => Value::Number(*low),
            Acceptable::StandsStill => Value::Number(0),
        },
    });
    Observation { facts: facts.collect(), stopped: None }
}

/// The facts that the list has of a case.
fn row(id: &str, bug: Option<&str>) -> &'static CaseFacts {
    let bugs = builtin().bugs.iter().filter(|listed| Some(&listed.id[..]) == bug);
    let history = builtin().history.iter().filter(|_| bug.is_none());
    let cases = bugs.flat_map(|bug| &bug.cases).chain(history.flat_map(|history| &history.cases));
    cases.into_iter().find(|facts| facts.names(id)).expect("a row about the case")
}

/// The word of the verdict on a kernel where a case shows what a row says, where it is well, and
/// where it shows something else.
fn words(vendor: &Vendor, id: &str, bug: Option<&str>) -> [&'static str; 3] {
    let selected = catalogue::find(id).expect("a case");
    let must = Expectation { wires: vec![], silent: false, ..selected.expectation() };
    let known = builtin().about(id, &vendor.kernel);
    let shown = observation(&must.clone().accepting(&row(id, bug).observed));
    let mut other = shown.clone();
    let (name, _) = &row(id, bug).observed[0];
    let fact = other.facts.iter_mut().find(|fact| fact.name == *name).expect("the fact");
    fact.value = "something else".into();
    [shown, observation(&must), other]
        .map(|seen| word(&judge(&must, &known, &seen, &Trace::default())))
}

fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Pass { has_fix } if has_fix.is_empty() => "ok",
        Verdict::Pass { .. } => "has the fix",
        Verdict::KnownBug { version: VersionSays::HasIt, .. } => "known",
        Verdict::KnownBug { version: VersionSays::CannotTell, .. } => "cannot tell",
        other => other.word(),
    }
}

const DEBIAN: &str = "#1 SMP PREEMPT_DYNAMIC Debian 6.12.117-1 (2026-11-20)";
const UBUNTU: &str = "#151-Ubuntu SMP PREEMPT_DYNAMIC Thu Oct 1 00:00:00 UTC 2026";
const NONE: &str = "CONFIG_NET=y\nCONFIG_LOCALVERSION=\"\"\n";
const SIGNED: &str = "CONFIG_VERSION_SIGNATURE=\"Ubuntu 6.8.0-100.100-generic 6.8.12\"\n";

/// For each of [`BUGS`]: what is said of a kernel that shows it, and of one that does not.
#[rstest]
#[case::kernel_org(
    vendor("6.12.117", "#1 SMP PREEMPT_DYNAMIC", None, NONE), Some((6, 12, 117, Family::KernelOrg)),
    [["fail", "ok"], ["fail", "ok"], ["known", "has the fix"], ["known", "has the fix"]])]
#[case::debian(
    vendor("6.12.117+deb13-amd64", DEBIAN, None, NONE), Some((6, 12, 117, Family::Debian)),
    [["fail", "ok"], ["fail", "ok"], ["known", "has the fix"], ["known", "has the fix"]])]
#[case::ubuntu_5_15(
    vendor("5.15.0-204-generic", UBUNTU, Some("Ubuntu 5.15.0-204.214-generic 5.15.205\n"), NONE),
    Some((5, 15, 205, Family::Ubuntu)),
    [["known", "has the fix"], ["known", "has the fix"], ["known", "has the fix"],
     ["known", "has the fix"]])]
#[case::ubuntu_6_8(
    vendor("6.8.0-151-generic", UBUNTU, Some("Ubuntu 6.8.0-151.151-generic 6.8.12\n"), NONE),
    Some((6, 8, 12, Family::Ubuntu)),
    [["known", "has the fix"], ["cannot tell", "ok"], ["known", "has the fix"],
     ["known", "has the fix"]])]
#[case::ubuntu_package(
    vendor("6.8.0-100-generic", UBUNTU, None, SIGNED), Some((6, 8, 12, Family::Ubuntu)),
    [["known", "has the fix"], ["cannot tell", "ok"], ["known", "has the fix"],
     ["known", "has the fix"]])]
#[case::ubuntu_7_0(
    vendor("7.0.0-44-generic", UBUNTU, Some("Ubuntu 7.0.0-44.44-generic 7.0.12\n"), NONE),
    Some((7, 0, 12, Family::Ubuntu)),
    [["fail", "ok"], ["fail", "ok"], ["known", "has the fix"], ["fail", "ok"]])]
#[case::rhel_9(
    vendor("5.14.0-611.el9.x86_64", "#1 SMP PREEMPT_DYNAMIC", None, NONE), None,
    [["cannot tell", "ok"]; 4])]
#[case::rhel_10(
    vendor("6.12.0-124.el10.x86_64", "#1 SMP PREEMPT_DYNAMIC", None, NONE), None,
    [["cannot tell", "ok"]; 4])]
#[case::suse(
    vendor("6.4.0-150600.23.7-default", "#1 SMP PREEMPT_DYNAMIC", None, NONE), None,
    [["cannot tell", "ok"]; 4])]
#[case::amazon(
    vendor("6.1.163-186.299.amzn2023.x86_64", "#1 SMP PREEMPT_DYNAMIC", None, NONE),
    Some((6, 1, 163, Family::Amazon)),
    [["known", "has the fix"], ["known", "has the fix"], ["known", "has the fix"],
     ["known", "has the fix"]])]
#[case::azure_linux(
    vendor("6.6.117.1-1.azl3", "#1 SMP PREEMPT_DYNAMIC", None, NONE),
    Some((6, 6, 117, Family::AzureLinux)),
    [["known", "has the fix"], ["known", "has the fix"], ["known", "has the fix"],
     ["known", "has the fix"]])]
#[case::cos(
    vendor("6.6.105+", "#1 SMP PREEMPT_DYNAMIC", None, NONE), Some((6, 6, 105, Family::Cos)),
    [["known", "has the fix"], ["known", "has the fix"], ["known", "has the fix"],
     ["known", "has the fix"]])]
#[case::oracle(
    vendor("6.12.0-105.51.5.el9uek.x86_64", "#1 SMP PREEMPT_DYNAMIC", None, NONE),
    Some((6, 12, 51, Family::Oracle)),
    [["known", "has the fix"], ["known", "has the fix"], ["known", "has the fix"],
     ["known", "has the fix"]])]
#[case::fedora(
    vendor("6.17.8-300.fc43.x86_64", "#1 SMP PREEMPT_DYNAMIC", None, NONE),
    Some((6, 17, 8, Family::Fedora)),
    [["known", "has the fix"], ["known", "has the fix"], ["known", "has the fix"],
     ["known", "has the fix"]])]
#[case::arch(
    vendor("6.18.40-arch1-1", "#1 SMP PREEMPT_DYNAMIC", None, NONE),
    Some((6, 18, 40, Family::Arch)),
    [["fail", "ok"], ["fail", "ok"], ["known", "has the fix"], ["fail", "ok"]])]
#[case::tumbleweed(
    vendor("6.17.8-1-default", "#1 SMP PREEMPT_DYNAMIC", None, NONE),
    Some((6, 17, 8, Family::Tumbleweed)),
    [["known", "has the fix"], ["known", "has the fix"], ["known", "has the fix"],
     ["known", "has the fix"]])]
#[case::android(
    vendor("6.6.102-android15-8-g0123456789ab-ab12345678", "#1 SMP PREEMPT", None, NONE),
    Some((6, 6, 102, Family::Android)),
    [["known", "has the fix"], ["known", "has the fix"], ["known", "has the fix"],
     ["known", "has the fix"]])]
#[case::local_version_as_red_hats(
    vendor("6.12.117-611.el9", "#1 SMP PREEMPT_DYNAMIC", None, NONE), None,
    [["cannot tell", "ok"]; 4])]
#[case::local_changes(
    vendor("6.12.117-dirty", "#1 SMP PREEMPT_DYNAMIC", None, NONE), None,
    [["cannot tell", "ok"]; 4])]
#[case::candidate(
    vendor("7.1.0-rc2", "#1 SMP PREEMPT_DYNAMIC", None, NONE), None,
    [["cannot tell", "ok"]; 4])]
fn each_vendor_s_kernels_are_told_right(
    #[case] vendor: Vendor,
    #[case] base: Option<(u32, u32, u32, Family)>,
    #[case] expected: [[&str; 2]; 4],
) {
    match (vendor.identity.base(), base) {
        (Base::Known { version, family, .. }, Some((major, minor, patch, wanted))) => {
            assert_eq!((version, family), (Version::new(major, minor, patch), wanted));
        }
        (Base::Unknown { .. }, None) => {}
        (found, _) => panic!("{found:?}"),
    }
    for ((bug, case), [shown, well]) in BUGS.into_iter().zip(expected) {
        assert_eq!(words(&vendor, case, Some(bug)), [shown, well, "fail"], "{bug}");
    }
}

/// A vendor's release is a floor for features: before 6.16 the option need not be there, and may
/// have been added; a later kernel without it deviates.
#[rstest]
#[case("5.14.0-611.el9.x86_64", ["ok", "ok"])]
#[case("6.12.0-124.el10.x86_64", ["ok", "ok"])]
#[case("6.4.0-150600.23.7-default", ["ok", "ok"])]
#[case("6.17.0-1.el11.x86_64", ["fail", "ok"])]
#[case("6.17.8-300.fc43.x86_64", ["fail", "ok"])]
#[case("6.1.163-186.299.amzn2023.x86_64", ["ok", "ok"])]
fn a_release_is_a_floor_for_features(#[case] release: &str, #[case] expected: [&str; 2]) {
    let vendor = vendor(release, "#1 SMP", None, NONE);
    let [before, with, other] = words(&vendor, PASSRIGHTS, None);
    assert_eq!(([before, with], other), (expected, "fail"));
}

/// With nothing that says so, nobody's kernel has a bug by its version alone.
#[test]
fn a_bug_that_no_case_can_show_is_told_only_where_the_base_has_it() {
    let told = |release: &str| {
        let base = vendor(release, "#1 SMP", None, NONE).identity.base();
        builtin().only_by_version(&base).map(|bug| bug.id.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(told("5.14.0-611.el9.x86_64"), [""; 0]);
    let amazon = told("6.1.119-1.amzn2023");
    assert!(amazon.contains(&"syn-ack-timer-puts-wrong-request"), "{amazon:?}");
    assert!(!told("6.1.163-1.amzn2023").contains(&"syn-ack-timer-puts-wrong-request"));
    assert!(!amazon.contains(&"syn-ack-timer-may-use-freed-request"), "6.1 is not known");
    // Nobody has fixed this one yet.
    assert_eq!(told("7.3.4"), ["child-shut-down"]);
}

/// Rows about a kernel without a base are never about its version.
#[test]
fn nothing_is_told_by_the_version_where_the_base_is_not_known() {
    let unknown = Base::Unknown { why: NoBase::RedHat };
    for selected in catalogue::all() {
        let about = builtin().about_base(&selected.id(), &unknown, Version::new(5, 14, 0));
        let by_version = |row: &Candidate<'_>| row.version == VersionSays::HasIt;
        assert!(!about.iter().any(by_version), "{}", selected.id());
    }
}

/// A fact that differs, and its value.
type Differs = (&'static str, Value);

/// The word of the verdict where a case shows what it must, but for these facts.
fn word_where(vendor: &Vendor, id: &str, differs: &[Differs]) -> &'static str {
    let selected = catalogue::find(id).expect("a case");
    let must = Expectation { wires: vec![], silent: false, ..selected.expectation() };
    let known = builtin().about(id, &vendor.kernel);
    let mut seen = observation(&must);
    for (name, value) in differs {
        let fact = seen.facts.iter_mut().find(|fact| fact.name == *name).expect("the fact");
        fact.value = value.clone();
    }
    word(&judge(&must, &known, &seen, &Trace::default()))
}

fn kernel_org(release: &str) -> Vendor {
    vendor(release, "#1 SMP PREEMPT_DYNAMIC", None, NONE)
}

/// What kernels did with the children of a closing listener of Multipath TCP, before they had
/// its code reset them: with migration off as it was reported of 5.15.205, and on as its source has
/// it.
fn children_are_left_to_tcp() -> [(&'static str, Vec<Differs>); 2] {
    let reset = vec![("resets to W", "R. with mp_tcprst".into()), ("OutRsts", 1.into())];
    let migrated = vec![
        ("B's child speaks", "MPTCP".into()),
        ("recv(B's child)", "`Hello World`".into()),
        ("resets to W", "none".into()),
        ("OutRsts", 0.into()),
        ("MPCapableACKRX", 1.into()),
    ];
    [("mptcp/child/v4/off", reset), ("mptcp/child/v6/on", migrated)]
}

/// The cases in which a connection of Multipath TCP is ended by `connect(AF_UNSPEC)`, and how that
/// is called.
const ENDED: [(&str, &str); 14] = [
    ("mptcp/request/v4/on", "B's child"),
    ("mptcp/cookie/v4/off", "B's child"),
    ("mptcp/cookie/v6/on", "B's child"),
    ("mptcp/timer/v4", "B's child"),
    ("mptcp/destroy/v4/off", "A's child"),
    ("mptcp/join/v4", "W's connection"),
    ("mptcp/join-after-close/v4/off", "W's connection"),
    ("mptcp/join-cookie/v4/on", "W's connection"),
    ("mptcp/join-request/v4/on", "W's connection"),
    ("mptcp/join-request/v4/off", "W's connection"),
    ("mptcp/timer-join/v4/on", "W's connection"),
    ("mptcp/join-wrong-hmac/v4", "W's connection"),
    ("mptcp/join-limit/v6", "W's connection"),
    ("mptcp/timer-join-reset/v4", "W's connection"),
];

/// A kernel that refuses to end one: what else that changes is that J's subflow does not end.
fn refused(id: &str, whose: &str) -> Vec<Differs> {
    let call: &str = match whose {
        "A's child" => "connect(A's child, AF_UNSPEC)",
        "B's child" => "connect(B's child, AF_UNSPEC)",
        _ => "connect(W's connection, AF_UNSPEC)",
    };
    let selected = catalogue::find(id).expect("a case");
    let joins = selected.expectation().names("J is sent at the end");
    let nothing = joins.then(|| ("J is sent at the end", "nothing".into()));
    nothing.into_iter().chain([(call, "EINVAL".into())]).collect()
}

#[rstest]
#[case::ubuntu(
    vendor("5.15.0-204-generic", UBUNTU, Some("Ubuntu 5.15.0-204.214-generic 5.15.205\n"), NONE),
    ["ok", "ok"])]
#[case::the_first_with_migration(kernel_org("5.14.21"), ["ok", "ok"])]
#[case::the_last_that_refuses(kernel_org("5.16.20"), ["ok", "ok"])]
#[case::rhel_9_may_be_as_old(kernel_org("5.14.0-611.el9.x86_64"), ["ok", "ok"])]
#[case::the_first_that_does_not_refuse(kernel_org("5.17"), ["ok", "fail"])]
#[case::the_last_that_leaves_them_to_tcp(kernel_org("6.1.26"), ["ok", "fail"])]
#[case::the_first_that_does_not(kernel_org("6.1.27"), ["fail", "fail"])]
#[case::today(kernel_org("6.12.117"), ["fail", "fail"])]
fn multipath_tcp_of_linux_5_15_is_right_for_its_age(
    #[case] vendor: Vendor,
    #[case] expected: [&str; 2],
) {
    let [children, ended] = expected;
    for (id, differs) in children_are_left_to_tcp() {
        assert_eq!(word_where(&vendor, id, &differs), children, "{id}");
    }
    for (id, whose) in ENDED {
        assert_eq!(word_where(&vendor, id, &refused(id, whose)), ended, "{id}");
    }
}

/// On a kernel of its age a child shows both: it migrates as it is, and nobody can end it then.
#[rstest]
#[case("5.15.205", "ok")]
#[case("5.17", "fail")]
fn what_is_different_for_two_reasons_is_right_for_its_age(
    #[case] release: &str,
    #[case] expected: &str,
) {
    let [_, (id, mut differs)] = children_are_left_to_tcp();
    differs.extend(refused(id, "B's child"));
    assert_eq!(word_where(&kernel_org(release), id, &differs), expected);
}

/// A bug is that bug on a kernel of any age.
#[test]
fn a_known_bug_is_known_on_a_kernel_that_differs_for_its_age() {
    let id = "mptcp/timer/v4";
    let mut differs = refused(id, "B's child");
    differs.push(("W's token", "free".into()));
    assert_eq!(word_where(&kernel_org("5.15.205"), id, &differs), "known");
    assert_eq!(word_where(&kernel_org("5.14.0-611.el9.x86_64"), id, &differs), "cannot tell");
    assert_eq!(word_where(&kernel_org("6.12.117"), id, &differs), "fail");
    differs[0].1 = "ECONNRESET".into();
    assert_eq!(word_where(&kernel_org("5.15.205"), id, &differs), "fail");
}

/// What the kernels of `vm/configurations/patches` were seen to do: facts of some of their cases.
const PICKED: &str = include_str!("picked.json");

#[derive(serde::Deserialize)]
struct Picked {
    kernel: String,
    release: String,
    build: String,
    cases: BTreeMap<String, BTreeMap<String, Value>>,
}

/// The word of a case of such a kernel, and the bug that it has.
fn picked(id: &str, kernel: &Picked) -> (&'static str, Option<String>) {
    let vendor = vendor(&kernel.release, &kernel.build, None, NONE);
    let selected = catalogue::find(id).expect("a case");
    let must = Expectation { wires: vec![], silent: false, ..selected.expectation() };
    let facts = kernel.cases[id].iter();
    let facts = facts.map(|(name, value)| Fact { name: name.clone(), value: value.clone() });
    let seen = Observation { facts: facts.collect(), stopped: None };
    let known = builtin().about(id, &vendor.kernel);
    let verdict = judge(&must, &known, &seen, &Trace::default());
    let bug = match &verdict {
        Verdict::KnownBug { bug, .. } => Some(bug.id.clone()),
        _ => None,
    };
    (word(&verdict), bug)
}

/// A vendor's version stays while bugs and fixes come and go: what such a kernel shows is what is
/// said of it, and what it does not show is not.
#[test]
fn what_a_vendor_picked_is_seen_whatever_the_version() {
    let kernels: Vec<Picked> = serde_json::from_str(PICKED).expect("JSON");
    let names: Vec<&str> = kernels.iter().map(|kernel| kernel.kernel.as_str()).collect();
    assert_eq!(names, ["bug-picked", "fix-picked"]);
    for kernel in &kernels {
        let base = vendor(&kernel.release, &kernel.build, None, NONE).identity.base();
        assert_eq!(base, Base::Unknown { why: NoBase::RedHat }, "{}", kernel.release);
        let mut asleep = 0;
        for id in kernel.cases.keys() {
            let bug = match id.split('/').collect::<Vec<_>>()[..] {
                ["wake-up", ..] if kernel.kernel == "bug-picked" => Some("lost-wake-up"),
                ["handshake", "reset", _, "on"]
                | ["handshake", "syn-in-window" | "full-target-aborts", ..]
                    if kernel.kernel != "fix-picked" =>
                {
                    Some("reset-request-off-target-count")
                }
                ["md5", "same-key" | "another-key", ..] => Some("md5-keys-freed-at-close"),
                ["ao", "same-key", ..] => Some("ao-refused-after-close"),
                _ => None,
            };
            asleep += usize::from(bug == Some("lost-wake-up"));
            let expected = (if bug.is_some() { "cannot tell" } else { "ok" }, bug.map(Into::into));
            assert_eq!(picked(id, kernel), expected, "{}: {id}", kernel.kernel);
        }
        assert!(kernel.cases.len() > 20 && (asleep > 4) == (kernel.kernel == "bug-picked"));
    }
}
