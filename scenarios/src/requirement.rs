//! Whether a case can say anything about this kernel. A skip is a claim, and checked.

use harness::kernel::{Kernel, Migration, Version};

use crate::case::{Need, Selected, Setting};
use crate::judge::{Mismatch, Verdict};

/// Linux 5.14 has migration; a later kernel without it is not skipped, it fails.
pub const MIGRATION_SINCE: Version = Version::new(5, 14, 0);

/// The answer to whether a case can run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Met {
    /// It can.
    Yes,
    /// It cannot: a skip whose reason holds, or a failure because it does not.
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

/// What the reason of a skip says when only patience was wanting.
const FOR_TIMERS: &str = " for the kernel's timers";

/// Whether a case was skipped for nothing but its long timers.
pub fn is_about_patience(reason: &str) -> bool {
    reason.contains(FOR_TIMERS)
}

/// Checks whether a case is to be run here: what it needs, and how long it takes.
pub fn runs(selected: &Selected, kernel: &Kernel, patience: Patience) -> Met {
    match requirement(&selected.needs(), selected.setting, kernel) {
        Met::Yes if selected.case.is_long() && patience == Patience::Short => skip(&format!(
            "waits {} s{FOR_TIMERS}; run it with --long, or in the matrix, where time \
             is virtual",
            selected.case.waits_for.as_millis().div_ceil(1000)
        )),
        Met::Yes => apart(selected),
        met => met,
    }
}

/// Whether a case that is apart was asked for.
fn apart(selected: &Selected) -> Met {
    if selected.named || !selected.case.needs.contains(&Need::ToBeNamed) {
        return Met::Yes;
    }
    skip(&format!("harms kernels with a bug, which warn in their log or leak; {BY_NAME}"))
}

/// What the reason of a skip says when a case was only not named.
const BY_NAME: &str = "it runs only by its name, as in sockmig run mptcp/timer";

/// Checks what a case needs against what the kernel has.
pub fn requirement(needs: &[Need], setting: Setting, kernel: &Kernel) -> Met {
    if setting.family.needs_ipv6() && !kernel.has_ipv6 {
        return skip(NO_IPV6);
    }
    needs.iter().map(|need| check(*need, kernel)).find(|met| *met != Met::Yes).unwrap_or(Met::Yes)
}

const NO_IPV6: &str = "there is no IPv6 on lo: the kernel is built without, or ipv6.disable is set";

fn check(need: Need, kernel: &Kernel) -> Met {
    match need {
        Need::Migration => migration(kernel),
        Need::Gate => match &kernel.gate {
            Ok(_) => Met::Yes,
            Err(why) => skip(&format!("nothing to hold the final ACK with ({why})")),
        },
        Need::Md5 if kernel.has_md5 => Met::Yes,
        Need::Md5 => skip("no TCP MD5 signatures: the kernel is built without CONFIG_TCP_MD5SIG"),
        Need::Multipath => multipath(kernel),
        // It is not about the kernel: see `apart`.
        Need::ToBeNamed => Met::Yes,
        Need::Ipv6 if kernel.has_ipv6 => Met::Yes,
        Need::Ipv6 => skip(NO_IPV6),
        Need::Programs => programs(kernel),
        Need::SecondUid if kernel.has_second_uid => Met::Yes,
        Need::SecondUid => skip("a second user is needed: run as root, or map a second uid"),
    }
}

fn migration(kernel: &Kernel) -> Met {
    let found = match kernel.migration() {
        Migration::Works => return Met::Yes,
        Migration::SysctlOnly => "the sysctl is there and does nothing",
        Migration::Absent => "there is no tcp_migrate_req",
    };
    let version = kernel.version;
    if version < MIGRATION_SINCE {
        return skip(&format!("{found}: migration came with {MIGRATION_SINCE}, this is {version}"));
    }
    Met::No(Verdict::Fail {
        mismatches: vec![Mismatch {
            what: "net.ipv4.tcp_migrate_req".into(),
            expected: vec![format!("migration, as on every kernel from {MIGRATION_SINCE} on")],
            actual: format!("{found}, and this is {version}"),
            trace_line: None,
        }],
    })
}

/// A refused socket is explained by the setting: there is none without the code, and 0 turns it
/// off.
fn multipath(kernel: &Kernel) -> Met {
    match &kernel.multipath {
        Ok(()) => Met::Yes,
        Err(why) if why.ends_with(" is not there") => {
            skip(&format!("no Multipath TCP: the kernel is built without CONFIG_MPTCP ({why})"))
        }
        Err(why) if why.ends_with(" is 0") => {
            skip(&format!("Multipath TCP is turned off in new network namespaces ({why})"))
        }
        Err(why) => Met::No(Verdict::Fail {
            mismatches: vec![Mismatch {
                what: "socket(IPPROTO_MPTCP)".into(),
                expected: vec!["a socket, as the setting says".into()],
                actual: why.clone(),
                trace_line: None,
            }],
        }),
    }
}

/// Programs need migration besides: a kernel without takes the attach type, and does
/// nothing.
fn programs(kernel: &Kernel) -> Met {
    let found = migration(kernel);
    let Err(errno) = &kernel.programs else { return found };
    match errno.as_str() {
        _ if found != Met::Yes => found,
        "ENOSYS" => skip("no eBPF programs: the kernel is built without CONFIG_BPF_SYSCALL"),
        "EPERM" | "EACCES" if !kernel.may_load_programs => skip(&format!(
            "loading an eBPF program is {errno}: run as root, outside of containers (CAP_BPF in \
             the first user namespace)"
        )),
        _ => Met::No(Verdict::Fail {
            mismatches: vec![Mismatch {
                what: "bpf(BPF_PROG_LOAD, SK_REUSEPORT)".into(),
                expected: vec!["a program, as CAP_BPF allows".into()],
                actual: errno.clone(),
                trace_line: None,
            }],
        }),
    }
}

fn skip(reason: &str) -> Met {
    Met::No(Verdict::Skip { reason: reason.to_owned() })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::case::{Case, Migration as Asked};
    use harness::Family;
    use rstest::rstest;
    use std::time::Duration;

    pub(crate) fn kernel(version: Version) -> Kernel {
        Kernel {
            release: version.to_string(),
            build: "#1".into(),
            machine: "x86_64".into(),
            version,
            has_sysctl: true,
            has_counters: true,
            has_ipv6: true,
            nftables: Ok(()),
            gate: Ok(harness::gate::Kind::Nftables),
            has_md5: true,
            multipath: Ok(()),
            has_second_uid: true,
            programs: Ok(()),
            may_load_programs: true,
        }
    }

    const EVERYTHING: &[Need] = &[Need::Migration, Need::Gate, Need::Md5, Need::SecondUid];
    const V6_ON: Setting = Setting { family: Family::V6, migration: Asked::On };

    #[test]
    fn a_kernel_that_has_everything_runs_everything() {
        let kernel = kernel(Version::new(6, 18, 44));
        assert_eq!(requirement(EVERYTHING, V6_ON, &kernel), Met::Yes);
    }

    #[rstest]
    #[case::no_ipv6(|k: &mut Kernel| k.has_ipv6 = false, "there is no IPv6 on lo")]
    #[case::no_gate(|k: &mut Kernel| k.gate = Err("EPROTONOSUPPORT; EPERM".into()),
        "nothing to hold the final ACK with (EPROTONOSUPPORT; EPERM)")]
    #[case::no_md5(|k: &mut Kernel| k.has_md5 = false, "no TCP MD5 signatures")]
    #[case::one_user(|k: &mut Kernel| k.has_second_uid = false, "a second user is needed")]
    #[case::pseudo_sysctl(
        |k: &mut Kernel| { k.has_counters = false; k.version = Version::new(5, 10, 262) },
        "the sysctl is there and does nothing: migration came with 5.14, this is 5.10.262")]
    #[case::no_sysctl(
        |k: &mut Kernel| { k.has_sysctl = false; k.version = Version::new(5, 4, 0) },
        "there is no tcp_migrate_req: migration came with 5.14, this is 5.4")]
    fn what_is_missing_skips_with_the_reason(#[case] lack: fn(&mut Kernel), #[case] reason: &str) {
        let mut kernel = kernel(Version::new(6, 18, 44));
        lack(&mut kernel);
        let Met::No(Verdict::Skip { reason: given }) = requirement(EVERYTHING, V6_ON, &kernel)
        else {
            panic!("not skipped");
        };
        assert!(given.starts_with(reason), "{given}");
    }

    #[test]
    fn who_may_not_load_programs_skips_and_who_may_fails() {
        let mut kernel = kernel(Version::new(6, 18, 44));
        kernel.programs = Err("EPERM".into());
        let met = requirement(&[Need::Programs], V6_ON, &kernel);
        assert!(matches!(met, Met::No(Verdict::Fail { .. })), "{met:?}");
        kernel.may_load_programs = false;
        let met = requirement(&[Need::Programs], V6_ON, &kernel);
        let Met::No(Verdict::Skip { reason }) = met else { panic!("{met:?}") };
        assert!(reason.starts_with("loading an eBPF program is EPERM: run as root"), "{reason}");
        (kernel.has_counters, kernel.version) = (false, Version::new(5, 10, 262));
        let met = requirement(&[Need::Programs], V6_ON, &kernel);
        let Met::No(Verdict::Skip { reason }) = met else { panic!("{met:?}") };
        assert!(reason.ends_with("migration came with 5.14, this is 5.10.262"), "{reason}");
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
        let Met::No(Verdict::Skip { reason }) = &met[1] else {
            return assert_eq!((&met[1], long), (&Met::Yes, true));
        };
        assert!(!long && reason.starts_with("waits 31 s for the kernel's timers"), "{reason}");
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
        match met {
            Met::Yes => assert!(runs_it, "{prefixes:?}"),
            Met::No(Verdict::Skip { reason }) => {
                assert!(!runs_it && reason.ends_with("sockmig run mptcp/timer"), "{reason}");
            }
            met => panic!("{met:?}"),
        }
    }

    #[rstest]
    #[case("socket(IPPROTO_MPTCP) is EPROTONOSUPPORT, net.mptcp.enabled is not there", true)]
    #[case("socket(IPPROTO_MPTCP) is ENOPROTOOPT, net.mptcp.enabled is 0", true)]
    #[case("socket(IPPROTO_MPTCP) is EPERM, net.mptcp.enabled is 1", false)]
    fn multipath_that_is_refused_without_reason_fails(#[case] why: &str, #[case] skips: bool) {
        let mut kernel = kernel(Version::new(6, 18, 44));
        kernel.multipath = Err(why.into());
        match requirement(&[Need::Multipath], V6_ON, &kernel) {
            Met::No(Verdict::Skip { reason }) => assert!(skips && reason.contains(why)),
            Met::No(Verdict::Fail { .. }) => assert!(!skips),
            met => panic!("{met:?}"),
        }
    }

    #[rstest]
    #[case(|k: &mut Kernel| k.has_counters = false)]
    #[case(|k: &mut Kernel| k.has_sysctl = false)]
    fn a_kernel_too_new_to_lack_migration_fails(#[case] lack: fn(&mut Kernel)) {
        let mut kernel = kernel(Version::new(5, 14, 0));
        lack(&mut kernel);
        let met = requirement(EVERYTHING, V6_ON, &kernel);
        assert!(matches!(met, Met::No(Verdict::Fail { .. })), "{met:?}");
    }
}
