//! Why a case is skipped. A skip is a claim, and each kind of claim is one variant.

use std::fmt;

use harness::gate::NoGate;
use harness::json::{Fields, of_later_version};
use harness::kernel::Version;
use harness::refusal::Refusal;
use harness::socket::ipv6::NoIpv6;
use harness::socket::multipath::NoMultipath;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a case is not run here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum SkipReason {
    /// It waits for long timers of the kernel, and nobody asked for that.
    LongTimers {
        /// For how long, rounded up.
        seconds: u64,
    },
    /// It harms kernels with a bug, and nobody named it.
    OnlyByName,
    /// It takes a processor long, and nobody named it.
    LongWork,
    /// There is no IPv6 on `lo`, as an older sockmig wrote it.
    NoIpv6,
    /// IPv6 is there, and turned off.
    Ipv6Off {
        /// How.
        why: NoIpv6,
    },
    /// The kernel is older than the feature.
    TooOld {
        /// What is missing.
        missing: Newer,
        /// Which version brought it.
        since: Version,
        /// Which version the kernel is of.
        version: Version,
    },
    /// The kernel is built without an option, as its configuration says.
    BuiltWithout {
        /// What is missing.
        missing: Feature,
        /// The option.
        option: String,
    },
    /// The kernel answers as one does that is built without; its configuration is not known.
    AnswersAsWithout {
        /// What is missing.
        missing: Feature,
        /// The options, all of which are needed.
        options: Vec<String>,
    },
    /// The option is a module, which cannot be loaded.
    NoModule {
        /// What is missing.
        missing: Feature,
        /// The option.
        option: String,
    },
    /// The feature is in a module that this guest was not given, or may be, where the
    /// configuration is not known.
    NotGiven {
        /// What is missing.
        missing: Feature,
        /// The module that has it.
        #[serde(flatten)]
        module: Box<ModuleNotGiven>,
    },
    /// A gate is refused, by a container for instance.
    GateRefused {
        /// With what answers.
        why: NoGate,
    },
    /// The kernel, or what stands between it and this process, refuses something with an answer
    /// that no kernel gives which is built without.
    Refused {
        /// What is missing.
        missing: Feature,
        /// The answer.
        why: Refusal,
    },
    /// Sysctls cannot be written.
    SettingsRefused {
        /// What the kernel answers.
        why: Refusal,
    },
    /// The kernel is built without Multipath TCP.
    NoMultipath {
        /// What it answers.
        why: NoMultipath,
    },
    /// Multipath TCP is turned off in new network namespaces.
    MultipathOff {
        /// What the kernel answers.
        why: NoMultipath,
    },
    /// This process may not load eBPF programs.
    MayNotLoadPrograms {
        /// What the kernel answers.
        why: Refusal,
    },
    /// io_uring is there, and turned off for this process.
    IoUringRefused {
        /// What the kernel answers.
        why: Refusal,
    },
    /// It counts what the whole machine has, and this machine is shared.
    SharedMachine,
    /// There is no second user.
    NoSecondUid,
    /// In words, as an older sockmig wrote them.
    #[serde(skip)]
    Words(String),
    /// A reason of a later sockmig.
    #[serde(skip)]
    Later {
        /// The words that it has there.
        words: String,
        /// Its kind, and what else the document says of it.
        fields: Fields,
    },
}

impl SkipReason {
    /// The options of the kernel's configuration that it is about.
    pub fn options(&self) -> Vec<&str> {
        match self {
            Self::BuiltWithout { option, .. } | Self::NoModule { option, .. } => vec![option],
            Self::AnswersAsWithout { options, .. } => options.iter().map(|o| &**o).collect(),
            Self::NotGiven { module, .. } => module.option.as_deref().into_iter().collect(),
            Self::NoMultipath { .. } => vec!["CONFIG_MPTCP"],
            Self::LongTimers { .. }
            | Self::OnlyByName
            | Self::LongWork
            | Self::NoIpv6
            | Self::Ipv6Off { .. }
            | Self::TooOld { .. }
            | Self::GateRefused { .. }
            | Self::Refused { .. }
            | Self::SettingsRefused { .. }
            | Self::MultipathOff { .. }
            | Self::MayNotLoadPrograms { .. }
            | Self::IoUringRefused { .. }
            | Self::SharedMachine
            | Self::NoSecondUid
            | Self::Words(_)
            | Self::Later { .. } => vec![],
        }
    }
}

/// A module that a guest was not given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ModuleNotGiven {
    /// Its name.
    pub module: String,
    /// Its option, if the configuration says that it is a module.
    pub option: Option<String>,
    /// The packages that should have it, as far as that is known.
    pub packages: Vec<String>,
}

impl fmt::Display for ModuleNotGiven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { module, option, packages } = self;
        match option {
            Some(option) => write!(f, "{option} is a module, and {module} was not given; ")?,
            None => write!(
                f,
                "the module {module} was not given, if it is one in this kernel, whose \
                 configuration is not known; "
            )?,
        }
        match &**packages {
            [] => f.write_str("give it with --modules"),
            [package] => write!(f, "give {package} as well, with a + between the packages"),
            [more @ .., last] => {
                let more = more.join(", ");
                write!(f, "give {more} or {last} as well, with a + between the packages")
            }
        }
    }
}

/// What came with some version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Newer {
    /// TCP's authentication option.
    Ao,
    /// `close_range`.
    CloseRange,
    /// Rings of io_uring that close descriptors.
    IoUring,
    /// The code that migrates; the sysctl alone exists.
    MigrationBehindSysctl,
    /// Migration, and its sysctl.
    MigrationAndSysctl,
}

impl fmt::Display for Newer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ao => "no TCP-AO",
            Self::CloseRange => "no close_range",
            Self::IoUring => "no io_uring that closes descriptors",
            Self::MigrationBehindSysctl => "the sysctl is there and does nothing",
            Self::MigrationAndSysctl => "there is no tcp_migrate_req",
        })
    }
}

/// What a kernel can be built without.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Feature {
    /// TCP's MD5 signatures.
    Md5,
    /// TCP's authentication option.
    Ao,
    /// The algorithm with which TCP's authentication option signs here.
    AoAlgorithm,
    /// SYN cookies.
    SynCookies,
    /// IPv6.
    Ipv6,
    /// Multipath TCP over IPv6.
    MultipathV6,
    /// UNIX sockets.
    UnixSockets,
    /// `close_range`, which no option is for.
    CloseRange,
    /// A gate of either kind.
    Gate(NoGate),
    /// SOCK_DESTROY.
    Destroy,
    /// sock_diag.
    SockDiag,
    /// eBPF programs.
    Programs,
    /// io_uring.
    IoUring,
    /// Memory that the kernel refuses to itself.
    RefusedMemory,
}

impl Feature {
    /// The options that it needs.
    pub fn options(&self) -> &'static [&'static str] {
        match self {
            Self::Md5 => &["CONFIG_TCP_MD5SIG"],
            Self::Ao => &["CONFIG_TCP_AO"],
            Self::AoAlgorithm => &["CONFIG_CRYPTO_HMAC", "CONFIG_CRYPTO_SHA1"],
            Self::SynCookies => &["CONFIG_SYN_COOKIES"],
            Self::Ipv6 => &["CONFIG_IPV6"],
            Self::MultipathV6 => &["CONFIG_MPTCP_IPV6"],
            Self::UnixSockets => &["CONFIG_UNIX"],
            Self::CloseRange => &[],
            Self::Gate(_) => &["CONFIG_NF_TABLES", "CONFIG_NF_TABLES_INET"],
            Self::Destroy => &["CONFIG_INET_DIAG_DESTROY"],
            Self::SockDiag => &["CONFIG_INET_TCP_DIAG", "CONFIG_INET_DIAG"],
            Self::Programs => &["CONFIG_BPF_SYSCALL"],
            Self::IoUring => &["CONFIG_IO_URING"],
            Self::RefusedMemory => &["CONFIG_FAILSLAB"],
        }
    }
}

/// The modules that an option makes when it is answered with `m`; one of them is enough, as their
/// names have changed. None for options that no guest needs as a module.
pub fn modules_of(option: &str) -> &'static [&'static str] {
    match option {
        "CONFIG_CRYPTO_HMAC" => &["hmac"],
        // `sha1_generic` up to Linux 6.15.
        "CONFIG_CRYPTO_SHA1" => &["sha1_generic", "sha1"],
        "CONFIG_INET_DIAG" => &["inet_diag"],
        "CONFIG_INET_TCP_DIAG" => &["tcp_diag"],
        "CONFIG_IPV6" => &["ipv6"],
        "CONFIG_NF_TABLES" => &["nf_tables"],
        "CONFIG_UNIX" => &["unix"],
        _ => &[],
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Md5 => f.write_str("no TCP MD5 signatures"),
            Self::Ao => f.write_str("no TCP-AO"),
            Self::AoAlgorithm => f.write_str("no HMAC-SHA1 for TCP-AO"),
            Self::SynCookies => f.write_str("no SYN cookies"),
            Self::Ipv6 => f.write_str("no IPv6"),
            Self::MultipathV6 => f.write_str("no Multipath TCP over IPv6"),
            Self::UnixSockets => f.write_str("no UNIX sockets"),
            Self::CloseRange => f.write_str("no close_range"),
            Self::Gate(why) => write!(f, "nothing to hold the final ACK with ({why})"),
            Self::Destroy => f.write_str("sockets cannot be destroyed by netlink"),
            Self::SockDiag => f.write_str("netlink does not list sockets"),
            Self::Programs => f.write_str("no eBPF programs"),
            Self::IoUring => f.write_str("no io_uring"),
            Self::RefusedMemory => f.write_str("the kernel cannot be refused memory"),
        }
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LongTimers { seconds } => write!(
                f,
                "waits {seconds} s for the kernel's timers; run it with --long, or in the \
                 matrix, where time is virtual"
            ),
            Self::OnlyByName => f.write_str(
                "triggers a warning or a leak on kernels with a known bug; runs only when named, as \
                 in sockmig run mptcp/timer",
            ),
            Self::LongWork => f.write_str(
                "takes a processor up to half a minute; runs only when named, as in sockmig run \
                 growth/full",
            ),
            Self::NoIpv6 => f.write_str(
                "there is no IPv6 on lo: the kernel is built without, or ipv6.disable is set",
            ),
            Self::Ipv6Off { why: NoIpv6::Socket { .. } } => {
                f.write_str("IPv6 is turned off at boot (ipv6.disable=1)")
            }
            Self::Ipv6Off { why } => {
                write!(f, "IPv6 is turned off in new network namespaces ({why})")
            }
            Self::Refused { missing, why } => {
                write!(f, "{missing}: it is refused ({why}), by a container's rules for instance")
            }
            Self::SettingsRefused { why } => write!(
                f,
                "settings cannot be written here ({why}): /proc/sys is read-only in most \
                 containers"
            ),
            Self::TooOld {
                missing: missing @ (Newer::Ao | Newer::CloseRange | Newer::IoUring),
                since,
                version,
            } => {
                write!(f, "{missing}: it came with {since}, this is {version}")
            }
            Self::TooOld { missing, since, version } => {
                write!(f, "{missing}: migration came with {since}, this is {version}")
            }
            Self::BuiltWithout { missing, option } => {
                write!(f, "{missing}: the kernel is built without {option}")
            }
            Self::AnswersAsWithout { missing, options } => write!(
                f,
                "{missing}: the kernel is built without {}, as it answers; its configuration is \
                 not known",
                options.join(", ")
            ),
            Self::NoModule { missing, option } => {
                write!(f, "{missing}: {option} is a module here, and it cannot be loaded")
            }
            Self::NotGiven { missing, module } => write!(f, "{missing}: {module}"),
            Self::GateRefused { why } => {
                write!(f, "nothing to hold the final ACK with ({why})")
            }
            Self::NoMultipath { why } => {
                write!(f, "no Multipath TCP: the kernel is built without CONFIG_MPTCP ({why})")
            }
            Self::MultipathOff { why } => {
                write!(f, "Multipath TCP is turned off in new network namespaces ({why})")
            }
            Self::MayNotLoadPrograms { why } => write!(
                f,
                "loading an eBPF program is {why}: run as root, outside of containers (CAP_BPF in \
                 the first user namespace)"
            ),
            Self::IoUringRefused { why } => write!(
                f,
                "io_uring is turned off ({why}): see sysctl kernel.io_uring_disabled, or what a \
                 container's seccomp profile forbids"
            ),
            Self::SharedMachine => f.write_str(
                "counts objects of the whole machine, so other programs would disturb the result; \
                 run it in the matrix, where the machine is sockmig's own",
            ),
            Self::NoSecondUid => {
                f.write_str("a second user is needed: run as root, or map a second uid")
            }
            Self::Words(words) => f.write_str(words),
            Self::Later { words, .. } => f.write_str(&of_later_version(words)),
        }
    }
}

#[cfg(test)]
mod tests {
    use harness::Errno;
    use rstest::rstest;

    use super::*;
    use crate::judge::verdict::Verdict;

    fn no_gate() -> NoGate {
        NoGate::Neither {
            rule: Refusal::Errno { call: Some("nftables".into()), errno: Errno::EPERM },
            filter: Refusal::of(Errno::EACCES),
        }
    }

    #[rstest]
    #[case(SkipReason::LongTimers { seconds: 31 }, "long-timers")]
    #[case(SkipReason::NoSecondUid, "no-second-uid")]
    #[case(SkipReason::GateRefused { why: no_gate() }, "gate-refused")]
    #[case(SkipReason::SettingsRefused { why: Errno::EROFS.into() }, "settings-refused")]
    #[case(
        SkipReason::Refused { missing: Feature::CloseRange, why: Errno::EPERM.into() },
        "refused"
    )]
    #[case(
        SkipReason::Ipv6Off {
            why: NoIpv6::Socket { socket: Errno::EAFNOSUPPORT.into(), disabled_at_boot: true },
        },
        "ipv6-off"
    )]
    #[case(
        SkipReason::Ipv6Off { why: NoIpv6::Address { disabled: Some("1".into()) } },
        "ipv6-off"
    )]
    #[case(
        SkipReason::BuiltWithout { missing: Feature::Gate(no_gate()), option: "CONFIG_NF_TABLES".into() },
        "built-without"
    )]
    #[case(
        SkipReason::NotGiven {
            missing: Feature::SockDiag,
            module: Box::new(ModuleNotGiven {
                module: "tcp_diag".into(),
                option: None,
                packages: vec!["linux-modules-6.8".into()],
            }),
        },
        "not-given"
    )]
    #[case(
        SkipReason::TooOld {
            missing: Newer::Ao,
            since: Version::new(6, 7, 0),
            version: Version::new(6, 1, 9),
        },
        "too-old"
    )]
    fn a_document_has_the_kind_and_the_sentence(#[case] reason: SkipReason, #[case] kind: &str) {
        let skip = Verdict::Skip { reason: reason.clone() };
        let written = serde_json::to_value(&skip).expect("JSON");
        assert_eq!(
            (written["verdict"].as_str(), written["kind"].as_str()),
            (Some("skip"), Some(kind))
        );
        assert_eq!(written["reason"].as_str(), Some(&reason.to_string()[..]));
        assert_eq!(serde_json::from_value::<Verdict>(written).expect("a verdict"), skip);
    }

    #[rstest]
    #[case(r#"{"verdict":"skip","kind":"no-wings","pairs":2,"reason":"it has no wings"}"#)]
    #[case(r#"{"verdict":"skip","kind":"built-without","missing":"wings","option":"CONFIG_WINGS","reason":"it has no wings"}"#)]
    fn a_reason_of_a_later_version_is_shown_as_unknown_and_written_as_it_was(#[case] later: &str) {
        let read: Verdict = serde_json::from_str(later).expect("a verdict");
        let shown = "it has no wings (unknown to this sockmig)";
        assert_eq!(read.reason().as_deref(), Some(shown));
        let again = serde_json::to_value(&read).expect("JSON");
        assert_eq!(again, serde_json::from_str::<serde_json::Value>(later).expect("JSON"));
    }

    #[test]
    fn a_document_of_an_older_sockmig_has_only_words() {
        let old = r#"{"verdict": "skip", "reason": "a second user is needed"}"#;
        let read: Verdict = serde_json::from_str(old).expect("a verdict");
        let reason = SkipReason::Words("a second user is needed".into());
        assert_eq!(read, Verdict::Skip { reason: reason.clone() });
        let again = serde_json::to_value(&read).expect("JSON");
        assert_eq!(again, serde_json::from_str::<serde_json::Value>(old).expect("JSON"));
    }
}
