//! In which releases of Linux something is so: from which on, and until which, in each line.

use std::fmt;

use harness::kernel::{Base, Version};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The releases in which something is so.
///
/// `6.1.115` is about Linux 6.1.115 and later stable releases of 6.1. `6.12` is about that
/// version and everything after it, of every line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Releases {
    /// The first release of each line that has it; nothing if every version had it from the
    /// first one on.
    pub from: Vec<Version>,
    /// The first release of each line that does not have it any more.
    pub until: Vec<Version>,
    /// Lines of which it is not known whether they still have it.
    pub not_known: Vec<Version>,
}

/// What the version of a kernel says of a bug that its facts show, or do not show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VersionSays {
    /// Kernels of this version have it.
    #[default]
    HasIt,
    /// Nothing: whose fixes the kernel has is not known, or its vendor adds patches to a version
    /// that came before.
    CannotTell,
}

/// Where a version is with respect to [`Releases`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Before,
    Within,
    NotKnown,
    After,
}

impl Releases {
    /// What the base of a kernel says; nothing if it excludes it.
    pub fn say(&self, base: &Base) -> Option<VersionSays> {
        let Base::Known { version, family, .. } = base else {
            return Some(VersionSays::CannotTell);
        };
        match self.stage(*version) {
            Stage::Within => Some(VersionSays::HasIt),
            Stage::NotKnown => Some(VersionSays::CannotTell),
            // It may have come with a patch of a later version.
            Stage::Before if family.adds_patches() => Some(VersionSays::CannotTell),
            Stage::Before | Stage::After => None,
        }
    }

    /// Whether no kernel with the features of `floor` is like that any more.
    pub fn are_over_for(&self, floor: Version) -> bool {
        self.stage(floor) == Stage::After
    }

    fn stage(&self, version: Version) -> Stage {
        match () {
            () if reached(&self.until, version) => Stage::After,
            () if self.not_known.contains(&version.line()) => Stage::NotKnown,
            () if self.from.is_empty() || reached(&self.from, version) => Stage::Within,
            () => Stage::Before,
        }
    }
}

/// Whether `version` is one of these, or comes after one of these in its line.
fn reached(firsts: &[Version], version: Version) -> bool {
    firsts.iter().any(|first| match first.is_first_of_line() {
        true => *first <= version,
        false => first.line() == version.line() && *first <= version,
    })
}

impl fmt::Display for Releases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listed = |versions: &[Version]| {
            versions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        };
        match (self.from.is_empty(), self.until.is_empty()) {
            (true, true) => f.write_str("every version")?,
            (true, false) => write!(f, "before {}", listed(&self.until))?,
            (false, true) => write!(f, "from {} on", listed(&self.from))?,
            (false, false) => {
                write!(f, "from {} on, until {}", listed(&self.from), listed(&self.until))?;
            }
        }
        match self.not_known.is_empty() {
            true => Ok(()),
            false => write!(f, " (not known of {})", listed(&self.not_known)),
        }
    }
}

#[cfg(test)]
mod tests {
    use harness::kernel::base::{Family, NoBase, ReadFrom};
    use rstest::rstest;

    use super::*;

    fn releases() -> Releases {
        let versions =
            |texts: &[&str]| texts.iter().map(|text| text.parse().expect("a version")).collect();
        Releases {
            from: versions(&["6.1.115", "6.12"]),
            until: versions(&["6.12.92", "6.17.9", "7.1"]),
            not_known: versions(&["6.17"]),
        }
    }

    #[rstest]
    #[case("6.1.114", Stage::Before)]
    #[case("6.1.115", Stage::Within)]
    #[case("6.1.190", Stage::Within)]
    #[case("6.2", Stage::Before)]
    #[case("6.11.20", Stage::Before)]
    #[case("6.12", Stage::Within)]
    #[case("6.12.91", Stage::Within)]
    #[case("6.12.92", Stage::After)]
    #[case("6.13", Stage::Within)]
    #[case("6.17.3", Stage::NotKnown)]
    #[case("6.17.9", Stage::After)]
    #[case("7.0.30", Stage::Within)]
    #[case("7.1", Stage::After)]
    #[case("7.3.4", Stage::After)]
    fn each_line_counts_for_itself(#[case] version: &str, #[case] stage: Stage) {
        assert_eq!(releases().stage(version.parse().expect("a version")), stage);
    }

    #[rstest]
    #[case("6.1.120", Family::KernelOrg, Some(VersionSays::HasIt))]
    #[case("6.1.120", Family::Ubuntu, Some(VersionSays::HasIt))]
    #[case("6.8.12", Family::KernelOrg, None)]
    #[case("6.8.12", Family::Ubuntu, Some(VersionSays::CannotTell))]
    #[case("6.17.3", Family::KernelOrg, Some(VersionSays::CannotTell))]
    #[case("7.2", Family::Ubuntu, None)]
    fn a_vendor_may_have_added_it_and_does_not_take_fixes_away(
        #[case] version: &str,
        #[case] family: Family,
        #[case] says: Option<VersionSays>,
    ) {
        let version = version.parse().expect("a version");
        let base = Base::Known { version, family, read_from: ReadFrom::Release };
        assert_eq!(releases().say(&base), says);
        let unknown = Base::Unknown { why: NoBase::RedHat };
        assert_eq!(releases().say(&unknown), Some(VersionSays::CannotTell));
    }
}
