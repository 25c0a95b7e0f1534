//! What a package says of itself, to find the one that is missing.

/// A package's name, and the packages that it depends on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// Its name, without its version.
    pub name: String,
    /// What it depends on, by name.
    pub depends: Vec<String>,
}

/// What the names of Debian's packages with a kernel and no modules start with.
const DEBIAN_BINARY: [&str; 2] = ["linux-binary-unsigned-", "linux-binary-"];

/// What Fedora and RHEL split a kernel into: `kernel-core`, `kernel-modules-core`, and so on.
const FEDORA_MODULES: [&str; 3] = ["modules-core", "modules", "modules-extra"];

impl About {
    /// Reads the fields of a Debian package.
    pub fn of_control(control: &str) -> Self {
        let field = |name: &str| control.lines().find_map(|line| line.strip_prefix(name));
        let depends = field("Depends:").unwrap_or_default().split(['|', ',']);
        let depends = depends.filter_map(|one| one.split_whitespace().next());
        Self {
            name: field("Package:").unwrap_or_default().trim().to_owned(),
            depends: depends.map(str::to_owned).collect(),
        }
    }

    /// The package that has the kernel, where this one has none.
    pub fn with_kernel(&self) -> Option<&str> {
        let starts = ["linux-binary", "linux-image-", "kernel-core"];
        let depends = || self.depends.iter().map(String::as_str);
        let found = starts.iter().find_map(|start| depends().find(|name| name.starts_with(start)));
        // RHEL's packages require each other as `kernel-core-uname-r = RELEASE`.
        found.map(|name| name.strip_suffix("-uname-r").unwrap_or(name))
    }

    /// The packages that have the modules of the kernel in this one, as far as its
    /// distribution's way to split kernels is known.
    pub fn with_modules(&self) -> Vec<String> {
        if let Some(release) = DEBIAN_BINARY.iter().find_map(|start| self.name.strip_prefix(start))
        {
            return vec![format!("linux-modules-{release}"), format!("linux-base-{release}")];
        }
        if let Some(kernel) = self.name.strip_suffix("-core").filter(|_| self.is_fedora()) {
            return FEDORA_MODULES.map(|part| format!("{kernel}-{part}")).to_vec();
        }
        let depends = self.depends.iter().filter(|name| name.starts_with("linux-modules-"));
        depends.cloned().collect()
    }

    fn is_fedora(&self) -> bool {
        self.name.starts_with("kernel-")
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn about(name: &str, depends: &[&str]) -> About {
        let depends = depends.iter().map(|name| (*name).to_owned()).collect();
        About { name: name.to_owned(), depends }
    }

    #[rstest]
    #[case::debian_meta(
        about("linux-image-7.2.12", &["linux-base-7.2.12", "linux-binary-7.2.12"]),
        Some("linux-binary-7.2.12")
    )]
    #[case::ubuntu_meta(
        about("linux-image-generic", &["linux-image-6.8.0-151-generic"]),
        Some("linux-image-6.8.0-151-generic")
    )]
    #[case::rhel_meta(about("kernel", &["kernel-core-uname-r", "kernel-modules-uname-r"]), Some("kernel-core"))]
    #[case::something_else(about("libc6", &["libgcc-s1"]), None)]
    fn the_package_with_the_kernel(#[case] of: About, #[case] kernel: Option<&str>) {
        assert_eq!(of.with_kernel(), kernel);
    }

    #[rstest]
    #[case::ubuntu(
        about("linux-image-6.8.0-151-generic", &["kmod", "linux-modules-6.8.0-151-generic"]),
        &["linux-modules-6.8.0-151-generic"]
    )]
    #[case::debian(
        about("linux-binary-unsigned-7.3.4", &["linux-base-7.3.4"]),
        &["linux-modules-7.3.4", "linux-base-7.3.4"]
    )]
    #[case::fedora(
        about("kernel-core", &["coreutils"]),
        &["kernel-modules-core", "kernel-modules", "kernel-modules-extra"]
    )]
    #[case::rhel_realtime(
        about("kernel-rt-core", &[]),
        &["kernel-rt-modules-core", "kernel-rt-modules", "kernel-rt-modules-extra"]
    )]
    #[case::whole(about("linux-image-6.1.0-56-amd64", &["kmod"]), &[])]
    fn the_packages_with_the_modules(#[case] of: About, #[case] modules: &[&str]) {
        assert_eq!(of.with_modules(), modules);
    }

    #[test]
    fn a_control_file_is_read_by_its_fields() {
        let control = "Package: linux-image-6.8\nPre-Depends: linux-base\nDepends: kmod, \
                       initramfs-tools (>= 0.1) | dracut, linux-modules-6.8 (= 6.8)\n";
        let expected = ["kmod", "initramfs-tools", "dracut", "linux-modules-6.8"];
        assert_eq!(About::of_control(control), about("linux-image-6.8", &expected));
    }
}
