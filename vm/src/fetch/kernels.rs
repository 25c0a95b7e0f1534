//! The kernels that can be fetched by name, as `vm/kernels.toml` lists them.

use std::sync::LazyLock;

use serde::Deserialize;

/// A listed kernel.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kernel {
    /// The Debian version up to any `~`, such as `6.1.174-1`. No two kernels share one.
    pub name: String,
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
}

impl Kernel {
    /// Bytes of all its packages.
    pub fn size(&self) -> u64 {
        self.packages.iter().map(|package| package.size).sum()
    }
}

impl Package {
    /// The name that its file has in an archive.
    pub fn file_name(&self) -> String {
        format!("{}_{}_amd64.deb", self.name, self.version)
    }
}

/// Every listed kernel, oldest line first.
pub fn table() -> &'static [Kernel] {
    static TABLE: LazyLock<Vec<Kernel>> = LazyLock::new(|| {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            kernel: Vec<Kernel>,
        }
        let table: Table = toml::from_str(include_str!("../../kernels.toml"))
            .expect("the table is part of the source and read by a test");
        table.kernel
    });
    &TABLE
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn numbers(version: &str) -> Vec<u32> {
        let parts = version.split(['.', '-']);
        parts.map(|part| part.parse().expect("a number")).collect()
    }

    #[test]
    fn every_row_is_whole_and_no_name_stands_twice() {
        let names: BTreeSet<_> = table().iter().map(|kernel| &kernel.name).collect();
        assert_eq!(names.len(), table().len());
        for kernel in table() {
            assert!(kernel.name.starts_with(&format!("{}.", kernel.line)), "{kernel:?}");
            assert!(!kernel.packages.is_empty(), "{kernel:?}");
            for package in &kernel.packages {
                assert_eq!(package.version.split('~').next(), Some(&*kernel.name));
                assert!(package.size > 10_000, "{package:?}");
                assert_eq!(package.sha256.len(), 64, "{package:?}");
                let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
                assert!(package.sha256.chars().all(hex), "{package:?}");
            }
        }
    }

    #[test]
    fn oldest_first() {
        assert!(table().is_sorted_by_key(|kernel| numbers(&kernel.name)));
    }

    #[test]
    fn every_line_and_both_sides_of_the_edges() {
        let lines: BTreeSet<_> = table().iter().map(|kernel| &*kernel.line).collect();
        for line in
            ["5.10", "6.1", "6.12", "6.16", "6.17", "6.18", "6.19", "7.0", "7.1", "7.2", "7.3"]
        {
            assert!(lines.contains(line), "{line}");
        }
        for name in ["6.1.174-1", "6.1.176-1", "6.12.85-1", "6.12.86-1"] {
            assert!(table().iter().any(|kernel| kernel.name == name), "{name}");
        }
    }
}
