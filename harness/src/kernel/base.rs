//! Whose fixes a kernel has: the upstream version that it is based on, as far as it says.
//!
//! `uname -r` is no answer by itself. Ubuntu's 6.8.0-151 has the fixes of 6.8.12, and Red Hat's
//! 5.14.0-611 those of no version at all.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::json::{Fields, shown_fields};
use crate::kernel::version::Version;

/// The upstream version whose fixes a kernel has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Base {
    /// It has the fixes of this version. Most vendors add some of later ones.
    Known {
        /// The version.
        version: Version,
        /// Who made the kernel from it.
        family: Family,
        /// What says so.
        read_from: ReadFrom,
    },
    /// What it has cannot be known from its version. Its release is a floor for features, and
    /// says nothing about fixes.
    Unknown {
        /// Why.
        #[serde(flatten)]
        why: NoBase,
    },
    /// In words of a later version.
    #[serde(untagged)]
    #[schemars(skip)]
    Later(Fields),
}

/// Who makes kernels whose base is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// kernel.org, unchanged.
    KernelOrg,
    /// Debian.
    Debian,
    /// Kali, from Debian's.
    Kali,
    /// Proxmox VE, from Ubuntu's.
    Proxmox,
    /// Ubuntu, and what has its signature.
    Ubuntu,
    /// Fedora.
    Fedora,
    /// ELRepo's kernels of kernel.org for Red Hat's distributions.
    Elrepo,
    /// Arch Linux.
    Arch,
    /// Alpine Linux.
    Alpine,
    /// openSUSE Tumbleweed.
    Tumbleweed,
    /// Amazon Linux.
    Amazon,
    /// Azure Linux.
    AzureLinux,
    /// Windows Subsystem for Linux.
    Wsl,
    /// Google's Container-Optimized OS.
    Cos,
    /// Oracle's Unbreakable Enterprise Kernel.
    Oracle,
    /// Android's Generic Kernel Image.
    Android,
}

impl Family {
    /// Whether it adds patches to what it is based on, fixes of later versions for instance.
    /// Such a kernel can also have a bug of a later version, which came with one of them.
    pub fn adds_patches(self) -> bool {
        !matches!(self, Self::KernelOrg | Self::Elrepo)
    }
}

/// What says which version a kernel is based on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ReadFrom {
    /// `uname -r`.
    Release,
    /// `uname -v`.
    Build,
    /// `/proc/version_signature`.
    VersionSignature,
    /// `CONFIG_VERSION_SIGNATURE` in the configuration.
    Configuration,
}

/// Why the base of a kernel is not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "why", rename_all = "kebab-case")]
pub enum NoBase {
    /// Red Hat Enterprise Linux, CentOS Stream, and what is made from them.
    RedHat,
    /// SUSE's enterprise kernels.
    Suse,
    /// Ubuntu's, without a signature.
    NoSignature,
    /// The source was changed, as the release says.
    LocalChanges {
        /// What in the release says so.
        mark: String,
    },
    /// The release ends as no known vendor's does (`CONFIG_LOCALVERSION`).
    LocalVersion {
        /// How it ends.
        suffix: String,
    },
    /// A candidate for a version has some of its fixes, and not yet the others.
    ReleaseCandidate,
    /// There is no version in what the kernel says of itself.
    NoVersion,
    /// In documents that are older than the question.
    NotRead,
}

impl Default for Base {
    fn default() -> Self {
        Self::Unknown { why: NoBase::NotRead }
    }
}

impl Base {
    /// The version, where it is known.
    pub fn version(&self) -> Option<Version> {
        match self {
            Self::Known { version, .. } => Some(*version),
            Self::Unknown { .. } | Self::Later(_) => None,
        }
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known { version, family, read_from } => {
                write!(f, "{version} ({family}, from {read_from})")
            }
            Self::Unknown { why } => write!(f, "not known: {why}"),
            Self::Later(fields) => f.write_str(&shown_fields(fields)),
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::KernelOrg => "kernel.org",
            Self::Debian => "Debian",
            Self::Kali => "Kali",
            Self::Proxmox => "Proxmox VE",
            Self::Ubuntu => "Ubuntu",
            Self::Fedora => "Fedora",
            Self::Elrepo => "ELRepo",
            Self::Arch => "Arch Linux",
            Self::Alpine => "Alpine Linux",
            Self::Tumbleweed => "openSUSE Tumbleweed",
            Self::Amazon => "Amazon Linux",
            Self::AzureLinux => "Azure Linux",
            Self::Wsl => "Windows Subsystem for Linux",
            Self::Cos => "Container-Optimized OS",
            Self::Oracle => "Oracle UEK",
            Self::Android => "Android",
        })
    }
}

impl fmt::Display for ReadFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Release => "uname -r",
            Self::Build => "uname -v",
            Self::VersionSignature => "/proc/version_signature",
            Self::Configuration => "CONFIG_VERSION_SIGNATURE",
        })
    }
}

impl fmt::Display for NoBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RedHat => f.write_str(
                "Red Hat's kernels, and those made from them, have many backports and do not say \
                 which",
            ),
            Self::Suse => {
                f.write_str("SUSE's enterprise kernels have many backports and do not say which")
            }
            Self::NoSignature => f.write_str(
                "Ubuntu's kernels say it in /proc/version_signature, which cannot be read",
            ),
            Self::LocalChanges { mark } => {
                write!(f, "the source was changed, as `{mark}` in its name says")
            }
            Self::LocalVersion { suffix } => {
                write!(f, "`{suffix}` in its name is of no vendor that sockmig knows")
            }
            Self::ReleaseCandidate => f.write_str(
                "a release candidate has some of its version's fixes, and not yet the others",
            ),
            Self::NoVersion => f.write_str("there is no version in its name"),
            Self::NotRead => f.write_str("it was not read"),
        }
    }
}
