//! Whether a case can say anything about this kernel. A skip is a claim, and checked.

use harness::Errno;
use harness::gate::NoGate;
use harness::kernel::configuration::Built;
use harness::kernel::{Kernel, Migration, Version};
use harness::refusal::Refusal;
use harness::socket::multipath::NoMultipath;

use crate::case::{Need, Selected, Setting};
use crate::judge::skip::{Feature, Newer, SkipReason};
use crate::judge::verdict::{Mismatch, Verdict};

/// Linux 5.14 has migration; a later kernel without it is not skipped, it fails.
pub const MIGRATION_SINCE: Version = Version::new(5, 14, 0);

/// Linux 6.7 has TCP-AO, if it is built with it.
const AO_SINCE: Version = Version::new(6, 7, 0);

/// What kernels without nftables' `inet` family answer.
const WITHOUT_NFTABLES: [Errno; 3] = [Errno::EPROTONOSUPPORT, Errno::EOPNOTSUPP, Errno::EINVAL];

/// The answer to whether a case can run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Met {
    /// It can.
    Yes,
    /// It cannot: a skip whose reason holds, or a failure, or an error, because it does not.
    No(Verdict),
}

/// Has cases with long timers run where time is real. A guest whose clock leaps over idle
/// time has it set.
pub const LONG: &str = "SOCKMIG_LONG";

/// Which timers of the kernel are waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Those of the default run.
    Short,
    /// All.
    Long,
}

impl Patience {
    /// What the environment asks for.
    pub fn of_environment() -> Self {
        Self::asked_for(std::env::var(LONG).ok().as_deref())
    }

    fn asked_for(value: Option<&str>) -> Self {
        match value {
            None | Some("" | "0" | "no") => Self::Short,
            Some(_) => Self::Long,
        }
    }
}

/// Checks whether a case is to be run here: what it needs, and how long it takes.
pub fn runs(selected: &Selected, kernel: &Kernel, patience: Patience) -> Met {
    match requirement(&selected.needs(), selected.setting, kernel) {
        Met::Yes if selected.case.is_long() && patience == Patience::Short => {
            let seconds = selected.case.waits_for.as_millis().div_ceil(1000);
            skip(SkipReason::LongTimers { seconds: seconds as u64 })
        }
        Met::Yes => explicit(selected),
        met => met,
    }
}

/// Whether somebody asked for a case that runs only for those who do.
fn explicit(selected: &Selected) -> Met {
    if selected.named || !selected.case.needs.contains(&Need::ExplicitOnly) {
        return Met::Yes;
    }
    skip(SkipReason::OnlyByName)
}

/// Checks what a case needs against what the kernel has.
pub fn requirement(needs: &[Need], setting: Setting, kernel: &Kernel) -> Met {
    if setting.family.needs_ipv6() && !kernel.has_ipv6 {
        return skip(SkipReason::NoIpv6);
    }
    needs.iter().map(|need| check(*need, kernel)).find(|met| *met != Met::Yes).unwrap_or(Met::Yes)
}

fn check(need: Need, kernel: &Kernel) -> Met {
    match need {
        Need::Migration => migration(kernel),
        Need::Gate => match &kernel.gate {
            Ok(_) => Met::Yes,
            Err(why) => gate(why, kernel),
        },
        Need::Md5 if kernel.has_md5 => Met::Yes,
        Need::Md5 => missing(Feature::Md5, kernel),
        Need::Ao if kernel.has_ao => Met::Yes,
        Need::Ao if kernel.version < AO_SINCE => too_old(Newer::Ao, AO_SINCE, kernel),
        Need::Ao => missing(Feature::Ao, kernel),
        Need::SockDiag => sock_diag(kernel),
        Need::Destroy => destroy(kernel),
        Need::Multipath => multipath(kernel),
        // It is not about the kernel: see `explicit`.
        Need::ExplicitOnly => Met::Yes,
        Need::Ipv6 if kernel.has_ipv6 => Met::Yes,
        Need::Ipv6 => skip(SkipReason::NoIpv6),
        Need::Programs => programs(kernel),
        Need::IoUring => io_uring(kernel),
        Need::SecondUid if kernel.has_second_uid => Met::Yes,
        Need::SecondUid => skip(SkipReason::NoSecondUid),
        Need::OwnMachine if kernel.machine_is_ours => Met::Yes,
        Need::OwnMachine => skip(SkipReason::SharedMachine),
    }
}

/// A skip for what the kernel was built without, as it answers: one of the feature's options,
/// all of which are needed. Where its configuration is known and says otherwise, the answer is
/// not to be trusted, and nothing is skipped.
fn missing(missing: Feature, kernel: &Kernel) -> Met {
    let options = missing.options();
    let Some(configuration) = &kernel.configuration else {
        let options = options.iter().map(ToString::to_string).collect();
        return skip(SkipReason::AnswersAsWithout { missing, options });
    };
    let find = |built| options.iter().find(|option| configuration.get(option) == built);
    match (find(Built::Not), find(Built::Module)) {
        (Some(option), _) => skip(SkipReason::BuiltWithout { missing, option: option.to_string() }),
        (None, Some(option)) => skip(SkipReason::NoModule { missing, option: option.to_string() }),
        (None, None) => Met::No(Verdict::Error {
            reason: format!(
                "{missing}, as the kernel answers, although it is built with {}; see what keeps \
                 the laboratory from it",
                options.join(", ")
            ),
        }),
    }
}

fn too_old(missing: Newer, since: Version, kernel: &Kernel) -> Met {
    skip(SkipReason::TooOld { missing, since, version: kernel.version })
}

/// Without nftables there is the filter; a skip is about both.
fn gate(why: &NoGate, kernel: &Kernel) -> Met {
    // It is there, and refused, by a container for instance: no claim about the kernel.
    match kernel.nftables.as_ref().map_err(Refusal::errno) {
        Err(Some(errno)) if WITHOUT_NFTABLES.contains(&errno) => {
            missing(Feature::Gate(why.clone()), kernel)
        }
        _ => skip(SkipReason::GateRefused { why: why.clone() }),
    }
}

fn destroy(kernel: &Kernel) -> Met {
    match kernel.destroy.as_ref().map_err(Refusal::errno) {
        Err(Some(REFUSED_BY_TCP)) => missing(Feature::Destroy, kernel),
        _ => sock_diag(kernel),
    }
}

/// What SOCK_DESTROY is when TCP shows its sockets and does not destroy any.
const REFUSED_BY_TCP: Errno = Errno::EOPNOTSUPP;

fn sock_diag(kernel: &Kernel) -> Met {
    let Err(why) = &kernel.destroy else { return Met::Yes };
    match why.errno() {
        Some(REFUSED_BY_TCP) => Met::Yes,
        // No handler for TCP, or no sock_diag for Internet sockets at all.
        Some(Errno::ENOENT | Errno::EPROTONOSUPPORT) => missing(Feature::SockDiag, kernel),
        _ => Met::No(Verdict::Error {
            reason: format!("{}: SOCK_DESTROY is {why}", Feature::SockDiag),
        }),
    }
}

fn migration(kernel: &Kernel) -> Met {
    let found = match kernel.migration() {
        Migration::Works => return Met::Yes,
        Migration::SysctlOnly => Newer::MigrationBehindSysctl,
        Migration::Absent => Newer::MigrationAndSysctl,
    };
    let version = kernel.version;
    if version < MIGRATION_SINCE {
        return too_old(found, MIGRATION_SINCE, kernel);
    }
    deviation(
        "net.ipv4.tcp_migrate_req",
        format!("migration, as on every kernel from {MIGRATION_SINCE} on"),
        format!("{found}, and this is {version}"),
    )
}

/// A refused socket is explained by the setting: without the code it does not exist, and 0 turns
/// the code off.
fn multipath(kernel: &Kernel) -> Met {
    let Err(why) = &kernel.multipath else { return Met::Yes };
    let why = why.clone();
    match &why {
        NoMultipath::Refused { enabled: None, .. } => skip(SkipReason::NoMultipath { why }),
        NoMultipath::Refused { enabled: Some(value), .. } if value == "0" => {
            skip(SkipReason::MultipathOff { why })
        }
        NoMultipath::Refused { .. } | NoMultipath::Words(_) => deviation(
            "socket(IPPROTO_MPTCP)",
            "a socket, as the setting says".into(),
            why.to_string(),
        ),
    }
}

/// Programs need migration besides: a kernel without takes the attach type, and does
/// nothing.
fn programs(kernel: &Kernel) -> Met {
    let found = migration(kernel);
    let Err(why) = &kernel.programs else { return found };
    match why.errno() {
        _ if found != Met::Yes => found,
        Some(Errno::ENOSYS) => missing(Feature::Programs, kernel),
        Some(Errno::EPERM | Errno::EACCES) if !kernel.may_load_programs => {
            skip(SkipReason::MayNotLoadPrograms { why: why.clone() })
        }
        _ => deviation(
            "bpf(BPF_PROG_LOAD, SK_REUSEPORT)",
            "a program, as CAP_BPF allows".into(),
            why.to_string(),
        ),
    }
}

fn io_uring(kernel: &Kernel) -> Met {
    let Err(why) = &kernel.io_uring else { return Met::Yes };
    let configured = kernel.configuration.as_ref().map(|told| told.get("CONFIG_IO_URING"));
    match why.errno() {
        // Podman's filter of system calls answers so, too.
        Some(Errno::ENOSYS) if configured != Some(Built::In) => missing(Feature::IoUring, kernel),
        _ => skip(SkipReason::IoUringRefused { why: why.clone() }),
    }
}

fn skip(reason: SkipReason) -> Met {
    Met::No(Verdict::Skip { reason })
}

/// A failure: what the kernel does not have, it should have.
fn deviation(what: &str, expected: String, actual: String) -> Met {
    let what = what.to_owned();
    let mismatch = Mismatch { what, expected: vec![expected], actual, trace_line: None };
    Met::No(Verdict::Fail { mismatches: vec![mismatch] })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::case::{Case, Migration as Asked};
    use harness::Family;
    use harness::kernel::configuration::{Configuration, OPTIONS};
    use rstest::rstest;
    use std::time::Duration;

    pub(crate) fn kernel(version: Version) -> Kernel {
        Kernel {
            release: version.to_string(),
            build: "#1".into(),
            machine: "x86_64".into(),
            version,
            base: harness::kernel::Base::default(),
            has_sysctl: true,
            has_counters: true,
            has_ipv6: true,
            nftables: Ok(()),
            gate: Ok(harness::gate::GateKind::Nftables),
            has_md5: true,
            has_ao: true,
            destroy: Ok(()),
            configuration: None,
            multipath: Ok(()),
            has_second_uid: true,
            programs: Ok(()),
            io_uring: Ok(()),
            may_load_programs: true,
            machine_is_ours: true,
        }
    }

    fn no_gate() -> NoGate {
        NoGate::Neither { rule: Errno::EPROTONOSUPPORT.into(), filter: Errno::EPERM.into() }
    }

    const EVERYTHING: &[Need] =
        &[Need::Migration, Need::Gate, Need::Md5, Need::SecondUid, Need::OwnMachine];
    const V6_ON: Setting = Setting { family: Family::V6, migration: Asked::On };

    #[test]
    fn a_kernel_that_has_everything_runs_everything() {
        let kernel = kernel(Version::new(6, 18, 44));
        assert_eq!(requirement(EVERYTHING, V6_ON, &kernel), Met::Yes);
    }

    #[rstest]
    #[case::no_ipv6(|k: &mut Kernel| k.has_ipv6 = false, "there is no IPv6 on lo")]
    #[case::no_gate(|k: &mut Kernel| k.gate = Err(no_gate()),
        "nothing to hold the final ACK with (EPROTONOSUPPORT; EPERM)")]
    #[case::no_md5(|k: &mut Kernel| k.has_md5 = false, "no TCP MD5 signatures")]
    #[case::others_work_here(|k: &mut Kernel| k.machine_is_ours = false,
        "counts objects of the whole machine")]
    #[case::one_user(|k: &mut Kernel| k.has_second_uid = false, "a second user is needed")]
    #[case::pseudo_sysctl(
        |k: &mut Kernel| { k.has_counters = false; k.version = Version::new(5, 10, 262) },
        "the sysctl is there and does nothing: migration came with 5.14, this is 5.10.262")]
    #[case::no_sysctl(
        |k: &mut Kernel| { k.has_sysctl = false; k.version = Version::new(5, 4, 0) },
        "there is no tcp_migrate_req: migration came with 5.14, this is 5.4")]
    fn what_is_missing_skips_with_the_reason(
        #[case] take_away: fn(&mut Kernel),
        #[case] reason: &str,
    ) {
        let mut kernel = kernel(Version::new(6, 18, 44));
        take_away(&mut kernel);
        let Met::No(Verdict::Skip { reason: given }) = requirement(EVERYTHING, V6_ON, &kernel)
        else {
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
        (Need::Md5, |k| k.has_md5 = false),
        (Need::Ao, |k| k.has_ao = false),
        (Need::Destroy, |k| k.destroy = Err(Errno::EOPNOTSUPP.into())),
        (Need::Destroy, |k| k.destroy = Err(Errno::ENOENT.into())),
        (Need::SockDiag, |k| k.destroy = Err(Errno::EPROTONOSUPPORT.into())),
        (Need::Programs, |k| k.programs = Err(Errno::ENOSYS.into())),
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
            assert!(
                sentence(None).ends_with("its configuration is not known"),
                "{}",
                sentence(None)
            );
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
        let verdict = answered(Need::Destroy, |k| k.destroy = Err(Errno::EPERM.into()), None);
        assert!(matches!(verdict, Verdict::Error { .. }), "{verdict:?}");
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
}
