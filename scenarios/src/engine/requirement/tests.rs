use super::*;
use crate::case::{Case, Migration as Asked};
use crate::engine::offered::too_old;
use crate::judge::skip::Newer;
use crate::judge::verdict::Verdict;
use harness::gate::NoGate;
use harness::guest::modules::NotGiven;
use harness::kernel::Version;
use harness::kernel::configuration::{Configuration, OPTIONS};
use harness::socket::ipv6::NoIpv6;
use harness::socket::multipath::NoMultipath;
use harness::{Errno, Family};
use rstest::rstest;
use std::time::Duration;

pub(super) fn kernel(version: Version) -> Kernel {
    Kernel { machine_is_ours: true, ..Kernel::with_everything(version) }
}

fn no_ipv6_socket(disabled_at_boot: bool) -> Result<(), NoIpv6> {
    Err(NoIpv6::Socket { socket: Errno::EAFNOSUPPORT.into(), disabled_at_boot })
}

#[rstest]
#[case::close_range(Need::CloseRange, Version::new(5, 8, 0),
    |k: &mut Kernel| k.close_range = Err(Errno::ENOSYS.into()), "no close_range: it came with 5.9, this is 5.8")]
#[case::io_uring(Need::IoUring, Version::new(5, 4, 0), |k: &mut Kernel| k.io_uring = Err(Errno::EINVAL.into()),
    "no io_uring that closes descriptors: it came with 5.6, this is 5.4")]
#[case::ao(Need::Ao, Version::new(6, 1, 0), |k: &mut Kernel| k.ao = Err(Errno::ENOPROTOOPT.into()),
    "no TCP-AO: it came with 6.7, this is 6.1")]
fn what_came_later_is_not_blamed_on_an_older_kernel(
    #[case] need: Need,
    #[case] version: Version,
    #[case] take_away: TakeAway,
    #[case] sentence: &str,
) {
    let mut old = kernel(version);
    take_away(&mut old);
    let Met::No(Verdict::Skip { reason }) = requirement(&[need], V4, &old) else {
        panic!("{need:?} is not skipped");
    };
    assert_eq!(reason.to_string(), sentence);
}

#[test]
fn only_settings_over_ipv6_need_multipath_tcp_over_ipv6() {
    let mut kernel = kernel(Version::new(6, 18, 44));
    let socket = Errno::EPROTONOSUPPORT.into();
    kernel.multipath_v6 = Err(NoMultipath::Refused { socket, enabled: Some("1".into()) });
    assert_eq!(requirement(&[Need::Multipath], V4, &kernel), Met::Yes);
    assert_ne!(requirement(&[Need::Multipath], V6_ON, &kernel), Met::Yes);
}

fn no_gate() -> NoGate {
    NoGate::Neither { rule: Errno::EPROTONOSUPPORT.into(), filter: Errno::EPERM.into() }
}

const EVERYTHING: &[Need] =
    &[Need::Migration, Need::Gate, Need::Md5, Need::SecondUid, Need::OwnMachine];
const V6_ON: Setting = Setting { family: Family::V6, migration: Asked::On };
const V4: Setting = Setting { family: Family::V4, migration: Asked::Off };

#[test]
fn a_kernel_that_has_everything_runs_everything() {
    let kernel = kernel(Version::new(6, 18, 44));
    assert_eq!(requirement(EVERYTHING, V6_ON, &kernel), Met::Yes);
}

#[rstest]
#[case::no_ipv6(|k: &mut Kernel| k.ipv6 = no_ipv6_socket(false), "no IPv6: the kernel is built")]
#[case::ipv6_off_at_boot(|k: &mut Kernel| k.ipv6 = no_ipv6_socket(true),
    "IPv6 is turned off at boot (ipv6.disable=1)")]
#[case::ipv6_off_in_namespaces(
    |k: &mut Kernel| k.ipv6 = Err(NoIpv6::Address { disabled: Some("1".into()) }),
    "IPv6 is turned off in new network namespaces (lo does not have ::1")]
#[case::read_only_settings(|k: &mut Kernel| k.settings = Err(Errno::EROFS.into()),
    "settings cannot be written here (EROFS)")]
#[case::no_gate(|k: &mut Kernel| k.gate = Err(no_gate()),
    "nothing to hold the final ACK with (EPROTONOSUPPORT; EPERM)")]
#[case::no_md5(|k: &mut Kernel| k.md5 = Err(Errno::ENOPROTOOPT.into()), "no TCP MD5 signatures")]
#[case::md5_refused(|k: &mut Kernel| k.md5 = Err(Errno::ENOMEM.into()),
    "no TCP MD5 signatures: it is refused (ENOMEM)")]
#[case::others_work_here(|k: &mut Kernel| k.machine_is_ours = false,
    "counts objects of the whole machine")]
#[case::one_user(|k: &mut Kernel| k.has_second_uid = false, "a second user is needed")]
#[case::pseudo_sysctl(
    |k: &mut Kernel| { k.has_counters = false; k.version = Version::new(5, 10, 262) },
    "the sysctl is there and does nothing: migration came with 5.14, this is 5.10.262")]
#[case::no_sysctl(
    |k: &mut Kernel| { k.has_sysctl = false; k.version = Version::new(5, 4, 0) },
    "there is no tcp_migrate_req: migration came with 5.14, this is 5.4")]
fn what_is_missing_skips_with_the_reason(#[case] take_away: fn(&mut Kernel), #[case] reason: &str) {
    let mut kernel = kernel(Version::new(6, 18, 44));
    take_away(&mut kernel);
    let Met::No(Verdict::Skip { reason: given }) = requirement(EVERYTHING, V6_ON, &kernel) else {
        panic!("not skipped");
    };
    assert!(given.to_string().starts_with(reason), "{given}");
}

#[test]
fn who_may_not_load_programs_skips_and_who_may_fails() {
    let mut kernel = kernel(Version::new(6, 18, 44));
    kernel.programs = Err(Errno::EPERM.into());
    let met = requirement(&[Need::Programs], V6_ON, &kernel);
    assert!(matches!(met, Met::No(Verdict::Fail { .. })), "{met:?}");
    kernel.may_load_programs = false;
    let met = requirement(&[Need::Programs], V6_ON, &kernel);
    let refused = SkipReason::MayNotLoadPrograms { why: Errno::EPERM.into() };
    assert_eq!(met, skip(refused.clone()));
    assert!(refused.to_string().starts_with("loading an eBPF program is EPERM: run as root"));
    (kernel.has_counters, kernel.version) = (false, Version::new(5, 10, 262));
    let met = requirement(&[Need::Programs], V6_ON, &kernel);
    assert_eq!(met, too_old(Newer::MigrationBehindSysctl, MIGRATION_SINCE, &kernel));
    let Met::No(verdict) = met else { panic!("{met:?}") };
    let reason = verdict.reason().expect("a reason");
    assert!(reason.ends_with("migration came with 5.14, this is 5.10.262"), "{reason}");
}

type TakeAway = fn(&mut Kernel);

const ANSWERS: &[(Need, TakeAway)] = &[
    (Need::Md5, |k| k.md5 = Err(Errno::ENOPROTOOPT.into())),
    (Need::Ao, |k| k.ao = Err(Errno::ENOPROTOOPT.into())),
    (Need::Ao, |k| k.ao = Err(Errno::ENOENT.into())),
    (Need::SynCookies, |k| k.syn_cookies = Err(Errno::ENOENT.into())),
    (Need::UnixSockets, |k| k.unix_sockets = Err(Errno::EAFNOSUPPORT.into())),
    (Need::Ipv6, |k| k.ipv6 = no_ipv6_socket(false)),
    (Need::Multipath, |k| {
        let socket = Errno::EPROTONOSUPPORT.into();
        k.multipath_v6 = Err(NoMultipath::Refused { socket, enabled: Some("1".into()) });
    }),
    (Need::Destroy, |k| k.destroy = Err(Errno::EOPNOTSUPP.into())),
    (Need::Destroy, |k| k.destroy = Err(Errno::ENOENT.into())),
    (Need::SockDiag, |k| k.destroy = Err(Errno::EPROTONOSUPPORT.into())),
    (Need::Programs, |k| k.programs = Err(Errno::ENOSYS.into())),
    (Need::RefusedMemory, |k| k.refused_memory = Err(Errno::ENOENT.into())),
    (Need::Gate, |k| {
        k.nftables = Err(Errno::EPROTONOSUPPORT.into());
        k.gate = Err(no_gate());
    }),
];

fn answered(need: Need, take_away: TakeAway, built: Option<&str>) -> Verdict {
    let mut kernel = kernel(Version::new(6, 18, 44));
    take_away(&mut kernel);
    kernel.configuration = built.map(|answer| {
        let lines = OPTIONS.iter().map(|option| format!("{option}={answer}\n"));
        let text = lines.collect::<String>() + "CONFIG_NET=y\n";
        Configuration::parse(&text).expect("a configuration")
    });
    match requirement(&[need], V6_ON, &kernel) {
        Met::No(verdict) => verdict,
        Met::Yes => panic!("{need:?} is met"),
    }
}

#[test]
fn a_skip_that_the_configuration_contradicts_is_an_error() {
    let text = |verdict| match verdict {
        Verdict::Skip { reason } => format!("skip: {reason}"),
        Verdict::Error { reason } => format!("error: {reason}"),
        other => panic!("{other:?}"),
    };
    for (need, take_away) in ANSWERS {
        let sentence = |built| text(answered(*need, *take_away, built));
        let contradicted = sentence(Some("y"));
        assert!(contradicted.starts_with("error: "), "{need:?}: {contradicted}");
        assert!(contradicted.contains("although it is built with CONFIG_"), "{contradicted}");
        assert!(sentence(Some("m")).ends_with(" is a module here, and it cannot be loaded"));
        assert!(sentence(Some("n")).contains(": the kernel is built without CONFIG_"));
        assert!(sentence(None).ends_with("its configuration is not known"), "{}", sentence(None));
    }
}

#[test]
fn what_is_refused_is_no_claim_about_the_configuration() {
    let refuse: TakeAway = |k| {
        k.nftables = Err(Errno::EPERM.into());
        k.gate = Err(no_gate());
    };
    let verdict = answered(Need::Gate, refuse, Some("y"));
    assert!(matches!(verdict, Verdict::Skip { .. }), "{verdict:?}");
    const REFUSED: &[(Need, TakeAway)] = &[
        (Need::Destroy, |k| k.destroy = Err(Errno::EPERM.into())),
        (Need::SockDiag, |k| k.destroy = Err(Errno::EPERM.into())),
        (Need::Md5, |k| k.md5 = Err(Errno::EPERM.into())),
        (Need::Ao, |k| k.ao = Err(Errno::EPERM.into())),
        (Need::SynCookies, |k| k.syn_cookies = Err(Errno::EACCES.into())),
        (Need::UnixSockets, |k| k.unix_sockets = Err(Errno::EPERM.into())),
        (Need::CloseRange, |k| k.close_range = Err(Errno::EPERM.into())),
        (Need::Ipv6, |k| {
            let socket = Errno::EPERM.into();
            k.ipv6 = Err(NoIpv6::Socket { socket, disabled_at_boot: false });
        }),
    ];
    for (need, refuse) in REFUSED {
        match answered(*need, *refuse, Some("y")) {
            Verdict::Skip { reason: SkipReason::Refused { why, .. } } => {
                assert!(why.errno().is_some(), "{need:?}: {why}");
            }
            other => panic!("{need:?}: {other:?}"),
        }
    }
}

#[rstest]
#[case(Errno::ENOSYS, Some("n"), "no io_uring: the kernel is built without CONFIG_IO_URING")]
#[case(Errno::ENOSYS, Some("y"), "io_uring is turned off (ENOSYS)")]
#[case(Errno::EPERM, Some("y"), "io_uring is turned off (EPERM)")]
#[case(Errno::ENOSYS, None, "no io_uring: the kernel is built without CONFIG_IO_URING, as it")]
fn io_uring_that_is_not_there_or_turned_off_is_a_skip(
    #[case] errno: Errno,
    #[case] built: Option<&str>,
    #[case] skipped_as: &str,
) {
    let mut kernel = kernel(Version::new(6, 18, 44));
    kernel.io_uring = Err(errno.into());
    kernel.configuration = built.and_then(|built| {
        Configuration::parse(&format!("CONFIG_NET=y\nCONFIG_IO_URING={built}\n"))
    });
    let met = requirement(&[Need::IoUring], V6_ON, &kernel);
    let Met::No(Verdict::Skip { reason }) = met else { panic!("not skipped: {met:?}") };
    assert!(reason.to_string().starts_with(skipped_as), "{reason}");
}

#[rstest]
#[case(None, false)]
#[case(Some("0"), false)]
#[case(Some("1"), true)]
fn long_timers_are_waited_for_when_somebody_says_so(
    #[case] value: Option<&str>,
    #[case] long: bool,
) {
    static CASES: [Case; 2] = [
        Case { waits_for: Duration::from_millis(1100), ..Case::DEFAULT },
        Case { waits_for: Duration::from_millis(30_500), ..Case::DEFAULT },
    ];
    let kernel = kernel(Version::new(6, 18, 44));
    let met = CASES.each_ref().map(|case| {
        let selected = Selected { case, setting: V6_ON, named: false };
        runs(&selected, &kernel, Patience::asked_for(value))
    });
    assert_eq!(met[0], Met::Yes);
    let skipped = skip(SkipReason::LongTimers { seconds: 31 });
    assert_eq!(met[1], if long { Met::Yes } else { skipped });
}

/// A prefix that is no more than a mechanism asks for everything, and so for nothing that
/// makes kernels warn.
#[rstest]
#[case(&[], false)]
#[case(&["mptcp"], false)]
#[case(&["mptcp/"], false)]
#[case(&["mptcp", "mptcp/request-to-tcp"], false)]
#[case(&["mptcp", "mptcp/timer"], true)]
#[case(&["mptcp/timer/v4"], true)]
#[case(&["mptcp/t"], true)]
fn what_makes_kernels_warn_runs_only_by_name(#[case] prefixes: &[&str], #[case] runs_it: bool) {
    let prefixes: Vec<String> = prefixes.iter().map(|prefix| (*prefix).into()).collect();
    let selection = crate::catalogue::select(&prefixes).expect("cases");
    let apart = selection.iter().find(|one| one.id() == "mptcp/timer/v4").expect("the case");
    let met = runs(apart, &kernel(Version::new(6, 18, 44)), Patience::Short);
    let skipped = skip(SkipReason::OnlyByName);
    assert_eq!(met, if runs_it { Met::Yes } else { skipped }, "{prefixes:?}");
}

#[rstest]
#[case("growth", "growth/full", false)]
#[case("growth/full", "growth/full", true)]
#[case("order", "order/incoming-cpu-many-members", false)]
#[case("order/incoming-cpu-many-members", "order/incoming-cpu-many-members", true)]
fn what_takes_long_runs_only_by_name(
    #[case] prefix: &str,
    #[case] id: &str,
    #[case] runs_it: bool,
) {
    let selection = crate::catalogue::select(&[prefix.into()]).expect("cases");
    let long = selection.iter().find(|one| one.id() == id).expect("the case");
    let met = runs(long, &kernel(Version::new(6, 18, 44)), Patience::Long);
    assert_eq!(met, if runs_it { Met::Yes } else { skip(SkipReason::LongWork) });
}

#[rstest]
#[case(Errno::EPROTONOSUPPORT, None, Some("the kernel is built without CONFIG_MPTCP"))]
#[case(Errno::ENOPROTOOPT, Some("0"), Some("turned off in new network namespaces"))]
#[case(Errno::EPERM, Some("1"), None)]
fn multipath_that_is_refused_without_reason_fails(
    #[case] errno: Errno,
    #[case] enabled: Option<&str>,
    #[case] skipped_as: Option<&str>,
) {
    let mut kernel = kernel(Version::new(6, 18, 44));
    let enabled = enabled.map(str::to_owned);
    let why = NoMultipath::Refused { socket: errno.into(), enabled };
    kernel.multipath = Err(why.clone());
    match (requirement(&[Need::Multipath], V6_ON, &kernel), skipped_as) {
        (Met::No(Verdict::Skip { reason }), Some(part)) => {
            let reason = reason.to_string();
            assert!(reason.contains(part) && reason.contains(&why.to_string()), "{reason}");
        }
        (Met::No(Verdict::Fail { .. }), None) => {}
        (met, _) => panic!("{met:?}"),
    }
}

#[rstest]
#[case(|k: &mut Kernel| k.has_counters = false)]
#[case(|k: &mut Kernel| k.has_sysctl = false)]
fn a_kernel_too_new_to_be_without_migration_fails(#[case] take_away: fn(&mut Kernel)) {
    let mut kernel = kernel(Version::new(5, 14, 0));
    take_away(&mut kernel);
    let met = requirement(EVERYTHING, V6_ON, &kernel);
    assert!(matches!(met, Met::No(Verdict::Fail { .. })), "{met:?}");
}

/// A guest's host knows which modules it did not have; the reason is that, and not the kernel's
/// answer, which is the same for a kernel without.
#[rstest]
#[case::the_configuration_says_module(
    Some("m"), &["tcp_diag", "veth"], &["linux-modules-6.8"],
    "netlink does not list sockets: CONFIG_INET_TCP_DIAG is a module, and tcp_diag was not given; \
     give linux-modules-6.8 as well, with a + between the packages"
)]
#[case::it_is_not_known(
    None, &["inet_diag"], &[],
    "netlink does not list sockets: the module inet_diag was not given, if it is one in this \
     kernel, whose configuration is not known; give it with --modules"
)]
#[case::several_packages(
    Some("m"), &["tcp_diag"], &["kernel-modules-core", "kernel-modules", "kernel-modules-extra"],
    "netlink does not list sockets: CONFIG_INET_TCP_DIAG is a module, and tcp_diag was not given; \
     give kernel-modules-core, kernel-modules or kernel-modules-extra as well, with a + between \
     the packages"
)]
#[case::built_without(
    Some("n"), &["tcp_diag", "inet_diag"], &["linux-modules-6.8"],
    "netlink does not list sockets: the kernel is built without CONFIG_INET_TCP_DIAG"
)]
#[case::given_and_refused(
    Some("m"), &["veth"], &[],
    "netlink does not list sockets: CONFIG_INET_TCP_DIAG is a module here, and it cannot be loaded"
)]
fn a_module_that_was_not_given_is_the_reason(
    #[case] built: Option<&str>,
    #[case] modules: &[&str],
    #[case] packages: &[&str],
    #[case] reason: &str,
) {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let mut kernel = kernel(Version::new(6, 18, 44));
    kernel.destroy = Err(Errno::ENOENT.into());
    kernel.not_given = Some(NotGiven { modules: owned(modules), packages: owned(packages) });
    kernel.configuration = built.map(|built| {
        let text = format!("CONFIG_INET_TCP_DIAG={built}\nCONFIG_INET_DIAG={built}\n");
        Configuration::parse(&text).expect("a configuration")
    });
    let met = requirement(&[Need::SockDiag], V6_ON, &kernel);
    let Met::No(Verdict::Skip { reason: given }) = met else { panic!("not skipped: {met:?}") };
    assert_eq!(given.to_string(), reason);
}
