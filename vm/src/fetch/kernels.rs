//! The kernels that can be fetched by name, as `vm/kernels.toml` lists them.

use std::sync::LazyLock;

use serde::Deserialize;

use crate::architecture::Architecture;

/// A listed kernel.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kernel {
    /// The Debian version up to any `~`, such as `6.1.174-1`; of other architectures than x86_64
    /// with the architecture and what else is special after it, such as `6.12.117-1:arm64-16k`. No
    /// two kernels share one.
    pub name: String,
    /// On which machines it runs.
    #[serde(default)]
    pub architecture: Architecture,
    /// The stable line, such as `6.1`.
    pub line: String,
    /// The Debian suite that has the packages, such as `bookworm-security`.
    pub suite: String,
    /// What a user should know before choosing it.
    pub note: Option<String>,
    /// All that a boot needs.
    pub packages: Vec<Package>,
}

/// A Debian package of a kernel.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// The package's name.
    pub name: String,
    /// The whole Debian version.
    pub version: String,
    /// Bytes of the `.deb`.
    pub size: u64,
    /// Its SHA-256, in lower-case hexadecimal digits.
    pub sha256: String,
    /// That of its kernel.
    #[serde(skip)]
    pub architecture: Architecture,
}

impl Kernel {
    /// Bytes of all its packages.
    pub fn size(&self) -> u64 {
        self.packages.iter().map(|package| package.size).sum()
    }

    /// The lists of packages that it is in: a suite, for one architecture.
    pub fn index(&self) -> PackageIndex<'_> {
        PackageIndex { suite: &self.suite, architecture: self.architecture }
    }
}

/// Lists of packages: those of a suite, for one architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackageIndex<'k> {
    /// The suite, such as `bookworm-security`.
    pub suite: &'k str,
    /// The architecture.
    pub architecture: Architecture,
}

impl PackageIndex<'_> {
    /// A name for it, as a directory's: those for x86_64 have just the suite's.
    pub fn name(&self) -> String {
        match self.architecture {
            Architecture::X86_64 => self.suite.to_owned(),
            other => format!("{}:{other}", self.suite),
        }
    }
}

impl Package {
    /// The name that its file has in an archive.
    pub fn file_name(&self) -> String {
        format!("{}_{}_{}.deb", self.name, self.version, self.architecture.of_debian())
    }
}

/// Every listed kernel, an architecture after the other, oldest line first.
pub fn table() -> &'static [Kernel] {
    static TABLE: LazyLock<Vec<Kernel>> = LazyLock::new(|| {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            kernel: Vec<Kernel>,
        }
        let mut table: Table = toml::from_str(include_str!("../../kernels.toml"))
            .expect("the table is part of the source and read by a test");
        for kernel in &mut table.kernel {
            kernel.packages.iter_mut().for_each(|one| one.architecture = kernel.architecture);
        }
        table.kernel
    });
    &TABLE
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn numbers(version: &str) -> Vec<u32> {
        let version = version.split(':').next().unwrap_or_default();
        let parts = version.split(['.', '-']);
        parts.map(|part| part.parse().expect("a number")).collect()
    }

    #[test]
    fn every_row_is_whole_and_no_name_stands_twice() {
        let names: BTreeSet<_> = table().iter().map(|kernel| &kernel.name).collect();
        assert_eq!(names.len(), table().len());
        for kernel in table() {
            assert!(kernel.name.starts_with(&format!("{}.", kernel.line)), "{kernel:?}");
            let named = kernel.name.split_once(':').map(|(_, after)| after);
            match kernel.architecture {
                Architecture::X86_64 => assert_eq!(named, None),
                other => assert!(named.unwrap_or_default().starts_with(other.name())),
            }
            assert!(!kernel.packages.is_empty(), "{kernel:?}");
            for package in &kernel.packages {
                let version = kernel.name.split(':').next();
                assert_eq!(package.version.split('~').next(), version);
                let end = format!("-{}", kernel.architecture.of_debian());
                assert!(package.name.contains(&end), "{package:?}");
                assert!(package.size > 10_000, "{package:?}");
                assert_eq!(package.sha256.len(), 64, "{package:?}");
                let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
                assert!(package.sha256.chars().all(hex), "{package:?}");
            }
        }
    }

    #[test]
    fn oldest_first() {
        assert!(table().is_sorted_by_key(|kernel| (kernel.architecture, numbers(&kernel.name))));
    }

    #[test]
    fn every_line_and_both_sides_of_the_edges() {
        let lines = |architecture| -> BTreeSet<_> {
            let its = table().iter().filter(|kernel| kernel.architecture == architecture);
            its.map(|kernel| &*kernel.line).collect()
        };
        for line in
            ["5.10", "6.1", "6.12", "6.16", "6.17", "6.18", "6.19", "7.0", "7.1", "7.2", "7.3"]
        {
            assert!(lines(Architecture::X86_64).contains(line), "{line}");
        }
        for line in ["6.1", "6.12", "7.2"] {
            assert!(lines(Architecture::Arm64).contains(line), "{line}");
        }
        assert!(!lines(Architecture::S390x).is_empty());
        assert!(table().iter().any(|kernel| kernel.name.ends_with(":arm64-16k")));
        for name in ["6.1.174-1", "6.1.176-1", "6.12.85-1", "6.12.86-1"] {
            assert!(table().iter().any(|kernel| kernel.name == name), "{name}");
        }
    }
}
