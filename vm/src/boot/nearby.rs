//! What belongs to a kernel's image by where the image is: its modules and its configuration.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::boot::image;
use crate::boot::modules::{self, Found, Named};

/// What was found around an image.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Nearby {
    /// The modules; nothing if there are none of this kernel.
    pub modules: Option<Found>,
    /// The configuration.
    pub config: Option<PathBuf>,
}

/// Looks around an image: in the tree that it was built in, and where distributions install
/// modules and configurations. What is of another kernel is left alone.
///
/// # Errors
/// Modules are there, and cannot be read.
pub fn around(image: &Path) -> io::Result<Nearby> {
    let image = fs::canonicalize(image)?;
    if let Some(tree) = tree_of(&image) {
        return Ok(Nearby {
            modules: modules::find_built(&tree)?,
            config: Some(tree.join(".config")).filter(|config| config.is_file()),
        });
    }
    match (image::release(&image), image.parent()) {
        (Some(release), Some(dir)) => installed(dir, &release),
        _ => Ok(Nearby::default()),
    }
}

/// The top of the tree that an image was built in: next to it is the `.config` for `vmlinux`
/// and `linux`, and three levels above for `arch/x86/boot/bzImage`
/// and `arch/arm64/boot/Image`.
fn tree_of(image: &Path) -> Option<PathBuf> {
    let above = [1, 4].into_iter().filter_map(|levels| image.ancestors().nth(levels));
    above.map(Path::to_owned).find(|dir| dir.join(".config").is_file())
}

/// What is installed for the image in `dir`: either `boot/vmlinuz-RELEASE`, or
/// `lib/modules/RELEASE/vmlinuz`, with or without a `usr` before it.
fn installed(dir: &Path, release: &str) -> io::Result<Nearby> {
    let in_modules = dir.ends_with(Path::new("lib/modules").join(release));
    let root = match in_modules {
        true => dir.ancestors().nth(3).map(|root| match root.ends_with("usr") {
            true => root.parent().unwrap_or(root),
            false => root,
        }),
        false => dir.parent().filter(|_| dir.ends_with("boot")),
    };
    let modules = root.and_then(|root| {
        let dirs = ["usr/lib/modules", "lib/modules"].map(|dir| root.join(dir).join(release));
        dirs.into_iter().find(|dir| dir.is_dir())
    });
    let boot = root.map(|root| root.join("boot"));
    let named = [Some(dir), boot.as_deref()].into_iter().flatten();
    let config = named
        .map(|dir| dir.join(format!("config-{release}")))
        .chain(modules.as_ref().map(|dir| dir.join("config")))
        .find(|path| path.is_file());
    let found = modules.map(|dir| modules::find(&dir)).transpose()?;
    Ok(Nearby { modules: found.map(|found| Found { named: Named::ByPlace, ..found }), config })
}
