//! Which kernel this is, and what it offers to a lab.

use std::fmt;

use nix::unistd::{SysconfVar, Uid, sysconf};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Context, Result};
use crate::gate::NoGate;
use crate::guest::modules::NotGiven;
use crate::json::{Answer, Choice, answer, choice};
use crate::kernel::base::Base;
use crate::kernel::configuration::Configuration;
use crate::kernel::identity::Identity;
use crate::kernel::refused_memory;
use crate::kernel::version::Version;
use crate::net::family::Family;
use crate::net::{io_uring, scm_rights, sockopt, sysctl, witness};
use crate::process::users::{SECOND_UID, is_first_namespace, uid_is_mapped};
use crate::refusal::Refusal;
use crate::socket::ipv6::{self, NoIpv6};
use crate::socket::multipath::NoMultipath;
use crate::socket::{Listener, ao, diag, multipath};
use crate::{bpf, gate, guest};

/// How many processors are online, by the C library: those that this process may not use are
/// counted, too.
///
/// # Errors
/// The C library does not know.
pub fn processors() -> Result<usize> {
    let online =
        sysconf(SysconfVar::_NPROCESSORS_ONLN).call(|| "sysconf(_NPROCESSORS_ONLN)".into())?;
    let none = || crate::Error::unreadable("sysconf(_NPROCESSORS_ONLN)", "no answer");
    online.and_then(|count| usize::try_from(count).ok()).ok_or_else(none)
}

/// The kernel that runs, and what a lab on it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Kernel {
    /// `uname -r`.
    pub release: String,
    /// `uname -v`, where distributions put the version of their package.
    pub build: String,
    /// `uname -m`.
    pub machine: String,
    /// The upstream version that the source is of, where that is known ([`Kernel::base`]);
    /// otherwise the one in `uname -r`, which is a floor: it has the features of that version.
    pub version: Version,
    /// The upstream version whose fixes it has, as far as that is known.
    #[serde(default)]
    pub base: Base,
    /// `tcp_migrate_req` is there.
    pub has_sysctl: bool,
    /// Sysctls of a lab's network namespace can be written; else the kernel's answer.
    #[serde(default = "granted", with = "answer")]
    #[schemars(with = "Answer<Refusal>")]
    pub settings: Result<(), Refusal>,
    /// The kernel counts migrations; it has the code, then (Linux 5.14, 55d444b310c6).
    pub has_counters: bool,
    /// IPv6 on `lo`; else why not.
    #[serde(alias = "has_ipv6", with = "answer")]
    #[schemars(with = "Answer<NoIpv6>")]
    pub ipv6: Result<(), NoIpv6>,
    /// nftables in the `inet` family; else why not.
    #[serde(with = "answer")]
    #[schemars(with = "Answer<Refusal>")]
    pub nftables: Result<(), Refusal>,
    /// The gate that labs hold final ACKs with; else why they have none.
    #[serde(with = "choice")]
    #[schemars(with = "Choice<gate::GateKind, NoGate>")]
    pub gate: Result<gate::GateKind, NoGate>,
    /// TCP's MD5 signatures; else the kernel's answer.
    #[serde(alias = "has_md5", with = "answer")]
    #[schemars(with = "Answer<Refusal>")]
    pub md5: Result<(), Refusal>,
    /// TCP's authentication option, with HMAC-SHA1; else the kernel's answer.
    #[serde(default = "not_asked", alias = "has_ao", with = "answer")]
    #[schemars(with = "Answer<Refusal>")]
    pub ao: Result<(), Refusal>,
    /// SYN cookies; else the kernel's answer.
    #[serde(default = "not_asked", with = "answer")]
    #[schemars(with = "Answer<Refusal>")]
    pub syn_cookies: Result<(), Refusal>,
    /// Sockets can be destroyed by netlink; else the kernel's answer.
    #[serde(default = "not_asked", with = "answer")]
    #[schemars(with = "Answer<Refusal>")]
    pub destroy: Result<(), Refusal>,
    /// Multipath TCP over IPv4; else why not.
    #[serde(default = "multipath_not_asked", with = "answer")]
    #[schemars(with = "Answer<NoMultipath>")]
    pub multipath: Result<(), NoMultipath>,
    /// Multipath TCP over IPv6; else why not.
    #[serde(default = "multipath_not_asked", with = "answer")]
    #[schemars(with = "Answer<NoMultipath>")]
    pub multipath_v6: Result<(), NoMultipath>,
    /// A second uid exists in the lab's user namespace.
    pub has_second_uid: bool,
    /// eBPF programs can be loaded; else the kernel's answer.
    #[serde(default = "not_asked", with = "answer")]
    #[schemars(with = "Answer<Refusal>")]
    pub programs: Result<(), Refusal>,
    /// io_uring's rings can be made, and close descriptors; else the kernel's answer.
    #[serde(default = "not_asked", with = "answer")]
    #[schemars(with = "Answer<Refusal>")]
    pub io_uring: Result<(), Refusal>,
    /// `close_range`; else the kernel's answer.
    #[serde(default = "not_asked", with = "answer")]
    #[schemars(with = "Answer<Refusal>")]
    pub close_range: Result<(), Refusal>,
    /// UNIX sockets; else the kernel's answer.
    #[serde(default = "not_asked", with = "answer")]
    #[schemars(with = "Answer<Refusal>")]
    pub unix_sockets: Result<(), Refusal>,
    /// The kernel can refuse memory to itself; else its answer.
    #[serde(default = "not_asked", with = "answer")]
    #[schemars(with = "Answer<Refusal>")]
    pub refused_memory: Result<(), Refusal>,
    /// Nothing but the kernel should keep a lab from loading them.
    #[serde(default)]
    pub may_load_programs: bool,
    /// This is a guest of ours: whatever the whole machine counts is a lab's doing.
    #[serde(default)]
    pub machine_is_ours: bool,
    /// What it was built with, if that is known.
    #[serde(default)]
    pub configuration: Option<Configuration>,
    /// Modules that this guest was not given; nothing where this is no guest of ours.
    #[serde(default)]
    pub not_given: Option<NotGiven>,
}

/// In documents of a time when labs that could not write them were no labs.
fn granted() -> Result<(), Refusal> {
    Ok(())
}

/// In documents that are older than the question.
fn not_asked() -> Result<(), Refusal> {
    Err(Refusal::not_tried())
}

/// As [`not_asked`], of Multipath TCP.
fn multipath_not_asked() -> Result<(), NoMultipath> {
    Err(NoMultipath::Words(Refusal::not_tried().to_string()))
}

impl Kernel {
    /// A kernel of this version that has everything and shares its machine with other programs:
    /// for tests of what is made of a kernel's answers, which take something away from it.
    pub fn with_everything(version: Version) -> Self {
        Self {
            release: version.to_string(),
            build: "#1".into(),
            machine: "x86_64".into(),
            version,
            base: Base::default(),
            has_sysctl: true,
            settings: Ok(()),
            has_counters: true,
            ipv6: Ok(()),
            nftables: Ok(()),
            gate: Ok(gate::GateKind::Nftables),
            md5: Ok(()),
            ao: Ok(()),
            syn_cookies: Ok(()),
            destroy: Ok(()),
            multipath: Ok(()),
            multipath_v6: Ok(()),
            has_second_uid: true,
            programs: Ok(()),
            io_uring: Ok(()),
            close_range: Ok(()),
            unix_sockets: Ok(()),
            refused_memory: Ok(()),
            may_load_programs: true,
            machine_is_ours: false,
            configuration: None,
            not_given: None,
        }
    }

    /// Probes the running kernel. Must run inside a lab: it writes a sysctl and a rule.
    ///
    /// # Errors
    /// Something is missing that every case needs, or `SOCKMIG_GATE` is unreadable. A feature that
    /// is not there, or is refused, is not an error.
    pub fn probe() -> Result<Self> {
        // Without a packet socket there is no witness, and so no lab.
        crate::Capture::start()?.leave_open();
        let uname = nix::sys::utsname::uname().call(|| "uname()".into())?;
        let release = uname.release().to_string_lossy().into_owned();
        let build = uname.version().to_string_lossy().into_owned();
        let base = Identity::here(&release, &build).base();
        let version = base
            .version()
            .or_else(|| release.parse().ok())
            .ok_or_else(|| crate::Error::unreadable("the kernel's version", &release))?;
        let nftables = gate::probe_nftables().map_err(Refusal::from);
        Ok(Self {
            machine: uname.machine().to_string_lossy().into_owned(),
            version,
            base,
            has_sysctl: sysctl::path(sysctl::MIGRATE_REQ).exists(),
            settings: sysctl::write(sysctl::FIRST_UNPRIVILEGED_PORT, "0").map_err(Refusal::from),
            has_counters: witness::Counters::read()?.get("TCPMigrateReqSuccess").is_some(),
            ipv6: ipv6::probe(),
            gate: gate::probe(&nftables)?,
            nftables,
            md5: sign().map_err(Refusal::from),
            ao: ao::probe().map_err(Refusal::from),
            syn_cookies: sysctl::read(sysctl::SYNCOOKIES).map(drop).map_err(Refusal::from),
            destroy: diag::probe().map_err(Refusal::from),
            multipath: multipath::probe(Family::V4),
            multipath_v6: multipath::probe(Family::V6),
            has_second_uid: uid_is_mapped(Uid::from_raw(SECOND_UID)),
            programs: bpf::probe(),
            io_uring: io_uring::probe().map_err(Refusal::from),
            close_range: sockopt::probe_close_range().map_err(Refusal::from),
            unix_sockets: scm_rights::probe().map_err(Refusal::from),
            refused_memory: refused_memory::probe().map_err(Refusal::from),
            may_load_programs: bpf::is_privileged(is_first_namespace()),
            machine_is_ours: guest::is_here(),
            configuration: Configuration::of(&release),
            not_given: NotGiven::read(),
            release,
            build,
        })
    }

    /// What this kernel makes of `tcp_migrate_req`.
    pub fn migration(&self) -> Migration {
        match (self.has_sysctl, self.has_counters) {
            (true, true) => Migration::Works,
            (true, false) => Migration::SysctlOnly,
            (false, _) => Migration::Absent,
        }
    }
}

/// What a kernel makes of `tcp_migrate_req`.
///
/// Neither the setting nor a program's attach type proves that migration is there: Linux
/// 5.10.188 got the setting alone, and 5.10 loads programs of any attach type. The
/// counters came with the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Migration {
    /// The setting, and the code that it turns on.
    Works,
    /// The setting is there and does nothing.
    SysctlOnly,
    /// Not even the setting.
    Absent,
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Linux {} ({})", self.release, self.machine)?;
        if !self.release.starts_with(&self.version.to_string()) {
            write!(f, ", source {}", self.version)?;
        }
        Ok(())
    }
}

/// Has a listener sign what it sends.
fn sign() -> Result<()> {
    let listener = Listener::unrecorded("a listener to try", Family::V4)?;
    listener.sign(b"key").call(|| "setsockopt(TCP_MD5SIG)".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_number() {
        assert!(Version::new(6, 12, 86) > Version::new(6, 2, 0));
        assert!("6".parse::<Version>().is_err());
        assert!("x.y".parse::<Version>().is_err());
    }
}
