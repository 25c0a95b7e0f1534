//! Kernels that are installed, by their release.

use std::fs;
use std::path::{Path, PathBuf};

/// Where a kernel is installed, from the root of a system: Debian's and Ubuntu's, and that of
/// Fedora, SUSE and Arch.
fn images(root: &Path, release: &str) -> [PathBuf; 3] {
    [
        root.join(format!("boot/vmlinuz-{release}")),
        root.join("usr/lib/modules").join(release).join("vmlinuz"),
        root.join("lib/modules").join(release).join("vmlinuz"),
    ]
}

/// A kernel is not installed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the kernel {release} is not installed: neither {} nor {} is there; {}",
    .looked_at[0].display(), .looked_at[1].display(), others(.installed)
)]
pub struct NotInstalled {
    /// Its release.
    pub release: String,
    /// Where it could be.
    pub looked_at: [PathBuf; 2],
    /// The releases that are installed.
    pub installed: Vec<String>,
}

fn others(installed: &[String]) -> String {
    match installed {
        [] => "no kernel is installed here".into(),
        _ => format!("installed are {}", installed.join(", ")),
    }
}

/// The image of the installed kernel with this `uname -r`, below the root of a system.
///
/// # Errors
/// It is not installed.
pub fn image(root: &Path, release: &str) -> Result<PathBuf, NotInstalled> {
    let images = images(root, release);
    // Whether it can be read is for those who read it to say.
    if let Some(image) = images.iter().find(|image| fs::symlink_metadata(image).is_ok()) {
        return Ok(image.clone());
    }
    let [boot, modules, _] = images;
    let installed = releases(root);
    Err(NotInstalled { release: release.to_owned(), looked_at: [boot, modules], installed })
}

/// The releases of the kernels that are installed below a root.
pub fn releases(root: &Path) -> Vec<String> {
    let names = |dir: &str| {
        let entries = fs::read_dir(root.join(dir)).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect::<Vec<_>>()
    };
    let in_boot = names("boot")
        .into_iter()
        .filter_map(|name| Some(name.strip_prefix("vmlinuz-")?.to_owned()));
    let mut all: Vec<String> = in_boot.collect();
    for dir in ["usr/lib/modules", "lib/modules"] {
        let has_image = |release: &String| root.join(dir).join(release).join("vmlinuz").is_file();
        all.extend(names(dir).into_iter().filter(has_image));
    }
    all.sort();
    all.dedup();
    all
}

/// The release of the kernel that runs.
///
/// # Errors
/// `/proc` is not there.
pub fn running() -> std::io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned())
}
