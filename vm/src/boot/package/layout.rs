//! Which files of a package a boot needs, by where they are installed.

use std::path::{Component, Path};

use crate::boot::modules;

/// A file of a package that a boot needs, of the kernel with this `uname -r`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The release, as the path has it.
    pub release: String,
    /// What it is.
    pub kind: PartKind,
}

/// What a file of a package is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartKind {
    /// The kernel.
    Kernel,
    /// The configuration that it was built with.
    Config,
    /// The list of the modules that are built in.
    BuiltIn,
    /// A module.
    Module {
        /// Its name, `-` written as `_`.
        name: String,
        /// The name of its file.
        file: String,
    },
}

/// What a file is that is installed at `path`; nothing if no boot needs it.
pub fn part(path: &Path) -> Option<Part> {
    let names: Option<Vec<&str>> = path
        .components()
        .filter(|part| !matches!(part, Component::CurDir | Component::RootDir))
        .map(|part| match part {
            Component::Normal(name) => name.to_str(),
            _ => None,
        })
        .collect();
    let names = names?;
    let names = names.strip_prefix(&["usr"]).unwrap_or(&names);
    let (release, kind) = match *names {
        ["boot", name] => match (name.strip_prefix("vmlinuz-"), name.strip_prefix("config-")) {
            (Some(release), _) => (release, PartKind::Kernel),
            (_, Some(release)) => (release, PartKind::Config),
            _ => return None,
        },
        // Debian's packages that wait for their signature have `vmlinuz.unsigned`.
        ["lib", "modules", release, "vmlinuz" | "vmlinuz.unsigned"] => (release, PartKind::Kernel),
        ["lib", "modules", release, "config"] => (release, PartKind::Config),
        ["lib", "modules", release, "modules.builtin"] => (release, PartKind::BuiltIn),
        ["lib", "modules", release, .., file] => {
            let name = modules::name_of(file)?;
            (release, PartKind::Module { name, file: file.to_owned() })
        }
        _ => return None,
    };
    Some(Part { release: release.to_owned(), kind })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn module(name: &str, file: &str) -> PartKind {
        PartKind::Module { name: name.into(), file: file.into() }
    }

    #[rstest]
    #[case::debian("./boot/vmlinuz-6.12.117+deb13-amd64", "6.12.117+deb13-amd64", PartKind::Kernel)]
    #[case::debian_7_3("./usr/lib/modules/7.3.4/vmlinuz.unsigned", "7.3.4", PartKind::Kernel)]
    #[case::ubuntu("./boot/config-6.8.0-151-generic", "6.8.0-151-generic", PartKind::Config)]
    #[case::rhel(
        "./lib/modules/5.14.0-611.el9.x86_64/vmlinuz",
        "5.14.0-611.el9.x86_64",
        PartKind::Kernel
    )]
    #[case::suse(
        "/usr/lib/modules/6.4.0-150600.23-default/config",
        "6.4.0-150600.23-default",
        PartKind::Config
    )]
    #[case::arch("usr/lib/modules/6.17.8-arch1-1/vmlinuz", "6.17.8-arch1-1", PartKind::Kernel)]
    #[case::built_in("lib/modules/6.1/modules.builtin", "6.1", PartKind::BuiltIn)]
    #[case::module(
        "./lib/modules/6.1/kernel/net/ipv4/tcp_diag.ko.zst",
        "6.1",
        module("tcp_diag", "tcp_diag.ko.zst")
    )]
    #[case::dashes("lib/modules/6.1/extra/a-b.ko", "6.1", module("a_b", "a-b.ko"))]
    fn what_a_boot_needs(#[case] path: &str, #[case] release: &str, #[case] kind: PartKind) {
        assert_eq!(part(Path::new(path)), Some(Part { release: release.into(), kind }));
    }

    #[rstest]
    #[case::hmac("lib/modules/6.1/.vmlinuz.hmac")]
    #[case::unified("lib/modules/6.1/vmlinuz-virt.efi")]
    #[case::debug("usr/lib/debug/lib/modules/6.1/vmlinux")]
    #[case::symbols("boot/System.map-6.1")]
    #[case::outside("./lib/modules/../../etc/config")]
    #[case::headers("usr/src/linux-headers-6.1/.config")]
    fn what_no_boot_needs(#[case] path: &str) {
        assert_eq!(part(Path::new(path)), None);
    }
}
