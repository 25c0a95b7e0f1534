//! Directories that are named as a kernel: what in them is meant.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::boot::installed;

/// What the names of packages end with.
const PACKAGES: [&str; 5] = [".deb", ".rpm", ".pkg.tar.zst", ".pkg.tar.xz", ".pkg.tar.gz"];

/// Packages of sources, which end like the others.
const SOURCES: &str = ".src.rpm";

/// Where a build puts what can be booted, from the top of its tree.
const BUILT: [&str; 5] = [
    "arch/x86/boot/bzImage",
    "arch/arm64/boot/Image",
    "arch/s390/boot/bzImage",
    "linux",
    "vmlinux",
];

/// What a directory has.
#[derive(Debug, PartialEq, Eq)]
pub enum Meant {
    /// Packages, all of which belong together.
    Packages(Vec<PathBuf>),
    /// A kernel.
    Image(PathBuf),
    /// Several kernels, of which only one can be meant.
    Several(Vec<String>),
    /// Nothing that can be booted.
    Nothing,
}

/// Looks into a directory: for packages, a build, a kernel with its modules, and a system, in
/// this order.
///
/// # Errors
/// It cannot be read.
pub fn look_into(dir: &Path) -> io::Result<Meant> {
    let mut names =
        fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
    names.sort();
    let ends_as = |name: &OsStr, end: &str| name.to_str().is_some_and(|name| name.ends_with(end));
    let is_package = |name: &&std::ffi::OsString| {
        PACKAGES.iter().any(|end| ends_as(name, end)) && !ends_as(name, SOURCES)
    };
    let packages: Vec<_> = names.iter().filter(is_package).map(|name| dir.join(name)).collect();
    if !packages.is_empty() {
        return Ok(Meant::Packages(packages));
    }
    if dir.join(".config").is_file()
        && let Some(built) = BUILT.iter().map(|built| dir.join(built)).find(|path| path.is_file())
    {
        return Ok(Meant::Image(built));
    }
    let with_modules = ["vmlinuz", "vmlinuz.unsigned"].map(|name| dir.join(name));
    if let Some(image) = with_modules.into_iter().find(|path| path.is_file()) {
        return Ok(Meant::Image(image));
    }
    // `/boot` itself, or what a boot partition has.
    let in_boot: Vec<_> = names
        .iter()
        .filter_map(|name| name.to_str()?.strip_prefix("vmlinuz-"))
        .map(str::to_owned)
        .collect();
    match &*in_boot {
        [] => {}
        [release] => return Ok(Meant::Image(dir.join(format!("vmlinuz-{release}")))),
        _ => return Ok(Meant::Several(in_boot)),
    }
    let releases = installed::releases(dir);
    match &*releases {
        [] => Ok(Meant::Nothing),
        [release] => Ok(installed::image(dir, release).map_or(Meant::Nothing, Meant::Image)),
        _ => Ok(Meant::Several(releases)),
    }
}
