//! Whether this kernel has what a case needs. A skip is a claim, and checked: the kernel's
//! answer is held against its version and its configuration.

use harness::kernel::configuration::Built;
use harness::kernel::{Kernel, Migration, Version};
use harness::refusal::Refusal;
use harness::socket::ipv6::NoIpv6;
use harness::socket::multipath::NoMultipath;
use harness::{Errno, Family};

use crate::case::Need;
use crate::judge::skip::{Feature, ModuleNotGiven, Newer, SkipReason, modules_of};
use crate::judge::verdict::{Mismatch, Verdict};

/// Linux 5.14 has migration; a later kernel without it is not skipped, it fails.
pub const MIGRATION_SINCE: Version = Version::new(5, 14, 0);

/// Linux 6.7 has TCP-AO, if it is built with it.
const AO_SINCE: Version = Version::new(6, 7, 0);

/// Linux 5.9 has `close_range`.
const CLOSE_RANGE_SINCE: Version = Version::new(5, 9, 0);

/// Since Linux 5.6 a ring of io_uring closes descriptors.
const IO_URING_SINCE: Version = Version::new(5, 6, 0);

/// What kernels without nftables' `inet` family answer.
const WITHOUT_NFTABLES: [Errno; 3] = [Errno::EPROTONOSUPPORT, Errno::EOPNOTSUPP, Errno::EINVAL];

/// What SOCK_DESTROY is when TCP shows its sockets and does not destroy any.
const REFUSED_BY_TCP: Errno = Errno::EOPNOTSUPP;

/// The answer to whether a case can run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Met {
    /// It can.
    Yes,
    /// It cannot: a skip whose reason holds, or a failure, or an error, because it does not.
    No(Verdict),
}

/// Checks one need of a case that runs in `family`.
pub(super) fn check(need: Need, family: Family, kernel: &Kernel) -> Met {
    match need {
        Need::Migration => migration(kernel).and(|| settings(kernel)),
        Need::Settings => settings(kernel),
        Need::Gate => gate(kernel),
        Need::Md5 => optional(&kernel.md5, Feature::Md5, |errno| match errno {
            Errno::ENOPROTOOPT => Some(missing(Feature::Md5, kernel)),
            _ => None,
        }),
        Need::Ao => optional(&kernel.ao, Feature::Ao, |errno| match errno {
            Errno::ENOPROTOOPT if kernel.version < AO_SINCE => {
                Some(too_old(Newer::Ao, AO_SINCE, kernel))
            }
            Errno::ENOPROTOOPT => Some(missing(Feature::Ao, kernel)),
            Errno::ENOENT => Some(missing(Feature::AoAlgorithm, kernel)),
            _ => None,
        }),
        Need::SynCookies => optional(&kernel.syn_cookies, Feature::SynCookies, |errno| {
            (errno == Errno::ENOENT).then(|| missing(Feature::SynCookies, kernel))
        })
        .and(|| settings(kernel)),
        Need::UnixSockets => optional(&kernel.unix_sockets, Feature::UnixSockets, |errno| {
            (errno == Errno::EAFNOSUPPORT).then(|| missing(Feature::UnixSockets, kernel))
        }),
        Need::CloseRange => optional(&kernel.close_range, Feature::CloseRange, |errno| {
            let old = errno == Errno::ENOSYS && kernel.version < CLOSE_RANGE_SINCE;
            old.then(|| too_old(Newer::CloseRange, CLOSE_RANGE_SINCE, kernel))
        }),
        Need::SockDiag => sock_diag(kernel),
        Need::Destroy => match kernel.destroy.as_ref().map_err(Refusal::errno) {
            Err(Some(REFUSED_BY_TCP)) => missing(Feature::Destroy, kernel),
            _ => sock_diag(kernel),
        },
        Need::Multipath => multipath(family, kernel),
        // They are not about the kernel.
        Need::ExplicitOnly | Need::LongWork => Met::Yes,
        Need::Ipv6 => ipv6(kernel),
        Need::Programs => programs(kernel),
        Need::IoUring => io_uring(kernel),
        Need::RefusedMemory => optional(&kernel.refused_memory, Feature::RefusedMemory, |errno| {
            (errno == Errno::ENOENT).then(|| missing(Feature::RefusedMemory, kernel))
        }),
        // The port of every listener is one that only root may bind otherwise.
        Need::SecondUid if kernel.has_second_uid => settings(kernel),
        Need::SecondUid => skip(SkipReason::NoSecondUid),
        Need::OwnMachine if kernel.machine_is_ours => Met::Yes,
        Need::OwnMachine => skip(SkipReason::SharedMachine),
    }
}

impl Met {
    /// This, unless it is met: then what `next` says.
    fn and(self, next: impl FnOnce() -> Self) -> Self {
        match self {
            Self::Yes => next(),
            unmet => unmet,
        }
    }
}

/// Checks what is there, or is not, or is refused. `absent` knows the answers of kernels that do
/// not have it; any other is no claim about the kernel, and a skip by itself.
fn optional(
    answer: &Result<(), Refusal>,
    feature: Feature,
    absent: impl FnOnce(Errno) -> Option<Met>,
) -> Met {
    let Err(why) = answer else { return Met::Yes };
    let refused = || skip(SkipReason::Refused { missing: feature, why: why.clone() });
    why.errno().and_then(absent).unwrap_or_else(refused)
}

/// A skip for what the kernel was built without, as it answers: one of the feature's options,
/// all of which are needed. Where its configuration is known and says otherwise, the answer is
/// not to be trusted, and nothing is skipped.
fn missing(feature: Feature, kernel: &Kernel) -> Met {
    let missing = feature;
    let options = missing.options();
    let Some(configuration) = &kernel.configuration else {
        if let Some(skipped) = options.iter().find_map(|option| not_given(&missing, option, kernel))
        {
            return skip(skipped);
        }
        let options = options.iter().map(ToString::to_string).collect();
        return skip(SkipReason::AnswersAsWithout { missing, options });
    };
    let find =
        |built| options.iter().copied().filter(move |option| configuration.get(option) == built);
    if let Some(option) = find(Built::Not).next() {
        return skip(SkipReason::BuiltWithout { missing, option: option.to_owned() });
    }
    if let Some(skipped) =
        find(Built::Module).find_map(|option| not_given(&missing, option, kernel))
    {
        return skip(skipped);
    }
    match find(Built::Module).next() {
        Some(option) => skip(SkipReason::NoModule { missing, option: option.to_owned() }),
        None => contradicted(&missing.to_string(), &options.join(", ")),
    }
}

/// The reason why a guest is without an option's module, if its host did not have it.
fn not_given(missing: &Feature, option: &str, kernel: &Kernel) -> Option<SkipReason> {
    let not_given = kernel.not_given.as_ref()?;
    let modules = modules_of(option);
    let module = modules.first().filter(|_| modules.iter().all(|name| not_given.has(name)))?;
    let module = Box::new(ModuleNotGiven {
        module: (*module).to_owned(),
        // Without a configuration nobody knows whether it is a module at all.
        option: kernel.configuration.is_some().then(|| option.to_owned()),
        packages: not_given.packages.clone(),
    });
    Some(SkipReason::NotGiven { missing: missing.clone(), module })
}

fn contradicted(missing: &str, options: &str) -> Met {
    Met::No(Verdict::Error {
        reason: format!(
            "{missing}, as the kernel answers, although it is built with {options}; see what keeps \
             the laboratory from it"
        ),
    })
}

pub(super) fn too_old(missing: Newer, since: Version, kernel: &Kernel) -> Met {
    skip(SkipReason::TooOld { missing, since, version: kernel.version })
}

fn settings(kernel: &Kernel) -> Met {
    match &kernel.settings {
        Ok(()) => Met::Yes,
        Err(why) => skip(SkipReason::SettingsRefused { why: why.clone() }),
    }
}

/// A kernel that was told to be without answers as one that is built without.
fn ipv6(kernel: &Kernel) -> Met {
    let Err(why) = &kernel.ipv6 else { return Met::Yes };
    match why {
        NoIpv6::Socket { disabled_at_boot: false, socket } => match socket.errno() {
            Some(Errno::EAFNOSUPPORT) => missing(Feature::Ipv6, kernel),
            _ => skip(SkipReason::Refused { missing: Feature::Ipv6, why: socket.clone() }),
        },
        NoIpv6::Socket { .. } | NoIpv6::Address { .. } | NoIpv6::Words(_) => {
            skip(SkipReason::Ipv6Off { why: why.clone() })
        }
    }
}

/// Without nftables there is the filter; a skip is about both.
fn gate(kernel: &Kernel) -> Met {
    let Err(why) = &kernel.gate else { return Met::Yes };
    // It is there, and refused, by a container for instance: no claim about the kernel.
    match kernel.nftables.as_ref().map_err(Refusal::errno) {
        Err(Some(errno)) if WITHOUT_NFTABLES.contains(&errno) => {
            missing(Feature::Gate(why.clone()), kernel)
        }
        _ => skip(SkipReason::GateRefused { why: why.clone() }),
    }
}

fn sock_diag(kernel: &Kernel) -> Met {
    optional(&kernel.destroy, Feature::SockDiag, |errno| match errno {
        REFUSED_BY_TCP => Some(Met::Yes),
        // No handler for TCP, or no sock_diag for Internet sockets at all.
        Errno::ENOENT | Errno::EPROTONOSUPPORT => Some(missing(Feature::SockDiag, kernel)),
        _ => None,
    })
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
fn multipath(family: Family, kernel: &Kernel) -> Met {
    let (why, feature) = match (&kernel.multipath, &kernel.multipath_v6) {
        (Err(why), _) => (why, None),
        (Ok(()), Err(why)) if family.needs_ipv6() => (why, Some(Feature::MultipathV6)),
        (Ok(()), _) => return Met::Yes,
    };
    let why = why.clone();
    match (&why, feature) {
        (NoMultipath::Refused { socket, .. }, Some(feature))
            if socket.errno() == Some(Errno::EPROTONOSUPPORT) =>
        {
            missing(feature, kernel)
        }
        (NoMultipath::Refused { enabled: None, .. }, None) => {
            let built = kernel.configuration.as_ref().map(|known| known.get("CONFIG_MPTCP"));
            match built {
                Some(Built::In) => contradicted("no Multipath TCP", "CONFIG_MPTCP"),
                _ => skip(SkipReason::NoMultipath { why }),
            }
        }
        (NoMultipath::Refused { enabled: Some(value), .. }, _) if value == "0" => {
            skip(SkipReason::MultipathOff { why })
        }
        (NoMultipath::Refused { .. } | NoMultipath::Words(_), _) => deviation(
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
        Some(Errno::EINVAL | Errno::EOPNOTSUPP) if kernel.version < IO_URING_SINCE => {
            too_old(Newer::IoUring, IO_URING_SINCE, kernel)
        }
        _ => skip(SkipReason::IoUringRefused { why: why.clone() }),
    }
}

pub(super) fn skip(reason: SkipReason) -> Met {
    Met::No(Verdict::Skip { reason })
}

/// A failure: what the kernel does not have, it should have.
fn deviation(what: &str, expected: String, actual: String) -> Met {
    let what = what.to_owned();
    let mismatch = Mismatch { what, expected: vec![expected], actual, trace_line: None };
    Met::No(Verdict::Fail { mismatches: vec![mismatch] })
}
