//! What a kernel says of itself, and which version it is based on according to that.

use std::fs;

use crate::error::{Context, Result};
use crate::kernel::base::{Base, Family, NoBase, ReadFrom};
use crate::kernel::configuration;
use crate::kernel::release;

/// What a kernel says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// `uname -r`.
    pub release: String,
    /// `uname -v`.
    pub build: String,
    /// `/proc/version_signature`, which Ubuntu's kernels have.
    pub signature: Option<String>,
    /// `/proc/version`.
    pub banner: Option<String>,
    /// Its whole configuration, as text.
    pub configuration: Option<String>,
}

impl Identity {
    /// Of the running kernel, whose `uname -r` and `uname -v` these are.
    pub fn here(release: &str, build: &str) -> Self {
        Self {
            release: release.to_owned(),
            build: build.to_owned(),
            signature: fs::read_to_string("/proc/version_signature").ok(),
            banner: fs::read_to_string("/proc/version").ok(),
            configuration: configuration::text_of(release),
        }
    }

    /// Of the running kernel.
    ///
    /// # Errors
    /// `uname()` fails.
    pub fn running() -> Result<Self> {
        let uname = nix::sys::utsname::uname().call(|| "uname()".into())?;
        Ok(Self::here(&uname.release().to_string_lossy(), &uname.version().to_string_lossy()))
    }

    /// What it is based on.
    pub fn base(&self) -> Base {
        let banner = self.banner.as_deref().unwrap_or_default();
        if let Some(mark) = release::local_changes(&self.release, banner) {
            return Base::Unknown { why: NoBase::LocalChanges { mark } };
        }
        let configured = self.configuration.as_deref().and_then(configured_signature);
        by_signature(self.signature.as_deref(), ReadFrom::VersionSignature)
            .or_else(|| by_signature(configured, ReadFrom::Configuration))
            .or_else(|| by_package(&self.build))
            .unwrap_or_else(|| release::base(&self.release, &self.build, banner))
    }
}

/// `Ubuntu 6.8.0-151.151-generic 6.8.12`: the third word is the version.
fn by_signature(signature: Option<&str>, read_from: ReadFrom) -> Option<Base> {
    let version = signature?.split_whitespace().nth(2)?.parse().ok()?;
    Some(Base::Known { version, family: Family::Ubuntu, read_from })
}

fn configured_signature(configuration: &str) -> Option<&str> {
    let mut lines = configuration.lines();
    let value = lines.find_map(|line| line.strip_prefix("CONFIG_VERSION_SIGNATURE="))?;
    Some(value.trim_matches('"'))
}

/// What distributions of Debian's kind write into the build: their name, and the version of the
/// package, as in `#1 SMP PREEMPT_DYNAMIC Debian 6.1.174-1 (2026-05-30)`.
fn by_package(build: &str) -> Option<Base> {
    const NAMES: [(&str, Family); 3] =
        [("Debian", Family::Debian), ("Kali", Family::Kali), ("PMX", Family::Proxmox)];
    /// What Debian's script for kernels with a patch to test appends.
    const PATCHED: &str = "a~test";
    let words: Vec<&str> = build.split_whitespace().collect();
    words.windows(2).find_map(|pair| {
        let (_, family) = NAMES.into_iter().find(|(name, _)| *name == pair[0])?;
        // An epoch may stand in front, as in `1:6.12.47-1+rpt1`.
        let package = pair[1].split_once(':').map_or(pair[1], |(_, version)| version);
        let version = package.parse().ok()?;
        if package.contains("~rc") {
            return Some(Base::Unknown { why: NoBase::ReleaseCandidate });
        }
        if package.ends_with(PATCHED) {
            let mark = PATCHED.to_owned();
            return Some(Base::Unknown { why: NoBase::LocalChanges { mark } });
        }
        Some(Base::Known { version, family, read_from: ReadFrom::Build })
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::kernel::Version;

    fn base(release: &str, build: &str) -> Base {
        Identity { release: release.into(), build: build.into(), ..Identity::default() }.base()
    }

    #[rstest]
    #[case("6.1.0-49-amd64", "#1 SMP Debian 6.1.174-1 (2026-05-30)", "6.1.174", Family::Debian)]
    #[case("6.12.85+deb13-amd64", "#1 SMP Debian 6.12.85-1~bpo12+1", "6.12.85", Family::Debian)]
    #[case("6.12.47+rpt-rpi-v8", "#1 SMP Debian 1:6.12.47-1+rpt1", "6.12.47", Family::Debian)]
    #[case("6.16.8+kali-amd64", "#1 SMP Kali 6.16.8-1kali1 (2025)", "6.16.8", Family::Kali)]
    #[case("6.8.12-11-pve", "#1 SMP PMX 6.8.12-11 (2025-05-22T09:39Z)", "6.8.12", Family::Proxmox)]
    fn a_package_is_of_a_version(
        #[case] release: &str,
        #[case] build: &str,
        #[case] version: &str,
        #[case] family: Family,
    ) {
        let version: Version = version.parse().expect("a version");
        let read_from = ReadFrom::Build;
        assert_eq!(base(release, build), Base::Known { version, family, read_from });
    }

    #[rstest]
    #[case("7.3-rc5-amd64", "#1 SMP Debian 7.3~rc5-1~exp1 (2026)", NoBase::ReleaseCandidate)]
    #[case(
        "6.12.85+deb13-amd64",
        "#1 SMP Debian 6.12.85-1a~test (2026)",
        NoBase::LocalChanges { mark: "a~test".into() }
    )]
    fn a_package_that_was_changed_or_is_a_candidate_is_of_none(
        #[case] release: &str,
        #[case] build: &str,
        #[case] why: NoBase,
    ) {
        assert_eq!(base(release, build), Base::Unknown { why });
    }

    #[test]
    fn a_signature_says_more_than_the_release_and_changes_more_than_both() {
        let signature = "Ubuntu 6.8.0-151.151-generic 6.8.12\n";
        let ubuntu = |read_from| Base::Known {
            version: Version::new(6, 8, 12),
            family: Family::Ubuntu,
            read_from,
        };
        let here = Identity {
            release: "6.8.0-151-generic".into(),
            build: "#151-Ubuntu SMP PREEMPT_DYNAMIC".into(),
            signature: Some(signature.into()),
            ..Identity::default()
        };
        assert_eq!(here.base(), ubuntu(ReadFrom::VersionSignature));
        let configuration = format!("CONFIG_VERSION_SIGNATURE=\"{}\"\n", signature.trim());
        let package =
            Identity { signature: None, configuration: Some(configuration), ..here.clone() };
        assert_eq!(package.base(), ubuntu(ReadFrom::Configuration));
        let neither = Identity { configuration: None, ..package };
        assert_eq!(neither.base(), Base::Unknown { why: NoBase::NoSignature });
        let changed = Identity { release: "6.8.12-dirty".into(), ..here };
        let mark = "-dirty".into();
        assert_eq!(changed.base(), Base::Unknown { why: NoBase::LocalChanges { mark } });
    }
}
