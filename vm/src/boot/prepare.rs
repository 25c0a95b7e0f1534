//! From what a user names to a kernel that is ready to boot.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::boot::bootable::{Bootable, Image, Module};
use crate::boot::bounded::{self, Content};
use crate::boot::image::{self, ImageKind};
use crate::boot::manifest::{Manifest, Stamp};
use crate::boot::modules::{self, Found, WANTED};
use crate::boot::not_bootable::NotBootable;
use crate::boot::own_kernels;
use crate::boot::package::{self, BadPackage, Unpacked};
use crate::fetch::cache::{At, Cache, CacheError, Progress, Watch, make_dir, remove};
use crate::fetch::choice::Choice;
use crate::fetch::kernels::Kernel;
use crate::fetch::packages;

/// Goes up whenever the same kernel would be prepared in another way.
const RECIPE: u32 = 1;

/// Makes a kernel ready: fetches what is not in the cache, unpacks it, and keeps the
/// result, so that the next time takes no time.
///
/// # Errors
/// The packages cannot be had, the file is no kernel, or the cache cannot be used.
pub fn prepare(choice: &Choice, cache: &Cache, watch: Watch<'_>) -> Result<Bootable, NotBootable> {
    let prepared = match choice {
        Choice::Listed(kernel) => listed(kernel, cache, watch),
        Choice::Path { image, modules } => {
            theirs(&choice.name(), image, modules.as_deref(), cache, watch)
        }
    };
    prepared.map_err(|error| match error {
        // What did not fit is gone again; the cache is what can be made larger.
        NotBootable::Cache(CacheError::Full { .. }) => {
            CacheError::Full { path: cache.root().into() }.into()
        }
        error => error,
    })
}

/// Where a listed kernel is once it is ready. Another table or another recipe makes it
/// another place.
pub fn place(kernel: &Kernel, cache: &Cache) -> PathBuf {
    let hashes = kernel.packages.iter().map(|package| package.sha256.as_str());
    let key = key(hashes.map(str::as_bytes));
    cache.ready().join(format!("{}-{key}", kernel.name))
}

/// The kernel in this directory, if one is there and whole. Its content is not looked at.
pub fn ready(dir: &Path) -> Option<Bootable> {
    Manifest::read(dir).map(|manifest| manifest.bootable(dir))
}

/// As [`ready`], if every byte of it is as it was prepared.
fn intact(dir: &Path) -> Option<Bootable> {
    let manifest = Manifest::read(dir).filter(|manifest| manifest.is_intact(dir));
    manifest.map(|manifest| manifest.bootable(dir))
}

fn listed(kernel: &Kernel, cache: &Cache, watch: Watch<'_>) -> Result<Bootable, NotBootable> {
    let place = place(kernel, cache);
    if let Some(ready) = intact(&place) {
        return Ok(ready);
    }
    let _lock = cache.lock(&kernel.name, watch)?;
    if let Some(ready) = intact(&place) {
        return Ok(ready);
    }
    let debs = packages::fetch(kernel, cache, watch)?;
    watch(Progress::Unpacking { kernel: &kernel.name });
    make(&place, None, |dir| {
        let unpacked = unpack(&debs, dir)?;
        let vmlinuz = vmlinuz(&unpacked, &debs)?;
        let found = find_modules(&unpacked.modules())?;
        build(&kernel.name, ImageKind::BzImage, &vmlinuz, &found, unpacked.config(), dir)
    })
}

fn theirs(
    name: &str,
    image: &Path,
    modules: Option<&Path>,
    cache: &Cache,
    watch: Watch<'_>,
) -> Result<Bootable, NotBootable> {
    let refused = |why| NotBootable::NoKernel { path: image.into(), why };
    let kind = image::identify(image).map_err(refused)?;
    let source = Stamp::of_theirs(image).map_err(|e| refused(e.into()))?;
    let found = modules.map(find_modules).transpose()?;
    let mut parts = vec![name.to_owned(), format!("{source:?}")];
    for path in found.iter().flat_map(|found| found.files.values()) {
        parts.push(match Stamp::of_theirs(path) {
            Ok(stamp) => format!("{stamp:?}"),
            Err(source) => return Err(NotBootable::Modules { path: path.clone(), source }),
        });
    }
    let lock_name = format!("{}{}", own_kernels::PREFIX, key(parts.iter().map(String::as_bytes)));
    let place = cache.ready().join(&lock_name);
    if let Some(ready) = intact(&place) {
        return Ok(ready);
    }
    let _lock = cache.lock(&lock_name, watch)?;
    if let Some(ready) = intact(&place) {
        return Ok(ready);
    }
    watch(Progress::Unpacking { kernel: name });
    let made = make(&place, Some(source.clone()), |dir| {
        if kind != ImageKind::Deb {
            let found = found.unwrap_or_default();
            let config = config_beside(&source.path);
            return build(name, kind, &source.path, &found, config, dir);
        }
        let debs = [source.path];
        let unpacked = unpack(&debs, dir)?;
        let vmlinuz = vmlinuz(&unpacked, &debs)?;
        let found = found.map_or_else(|| find_modules(&unpacked.modules()), Ok)?;
        let built = build(name, ImageKind::BzImage, &vmlinuz, &found, unpacked.config(), dir);
        // The user knows the package, and not where it was unpacked to.
        built.map_err(|error| match error {
            NotBootable::NoKernel { why, .. } => refused(why),
            error => error,
        })
    })?;
    own_kernels::remove_oldest(cache)?;
    Ok(made)
}

/// Has `fill` make a kernel in a directory of its own, and moves that to its place when
/// it is whole. The caller has the lock, so that what lies there is a leftover.
fn make(
    place: &Path,
    source: Option<Stamp>,
    fill: impl FnOnce(&Path) -> Result<Bootable, NotBootable>,
) -> Result<Bootable, NotBootable> {
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    let part = place.with_file_name(format!(".{name}.part"));
    remove(&part)?;
    make_dir(&part)?;
    let made = fill(&part).and_then(|bootable| {
        if let Some(source) = source.as_ref().filter(|source| !source.holds(&part)) {
            return Err(NotBootable::Changed { path: source.path.clone() });
        }
        remove(&part.join(UNPACKED))?;
        Manifest::write(&bootable, source, &part)?;
        remove(place)?;
        fs::rename(&part, place).at("rename", &part)?;
        ready(place).ok_or_else(|| NotBootable::Changed { path: place.into() })
    });
    if made.is_err() {
        // The first error is the one to report.
        let _ = remove(&part);
    }
    made
}

const UNPACKED: &str = "unpacked";

fn unpack(debs: &[PathBuf], dir: &Path) -> Result<Unpacked, NotBootable> {
    let unpacked = Unpacked::at(dir.join(UNPACKED))?;
    for deb in debs {
        unpacked.add(deb).map_err(|why| match why {
            BadPackage::Cache(why) => NotBootable::Cache(why),
            why => NotBootable::BadPackage { path: deb.clone(), why },
        })?;
    }
    Ok(unpacked)
}

fn vmlinuz(unpacked: &Unpacked, debs: &[PathBuf]) -> Result<PathBuf, NotBootable> {
    unpacked.vmlinuz().ok_or_else(|| {
        let path = debs[0].clone();
        let depends = package::about(&path).map(|(_, depends)| depends).unwrap_or_default();
        // Debian's own split from 6.19 on: `linux-image` is empty, `linux-binary` is not.
        let with = depends.iter().find(|name| name.starts_with("linux-binary"));
        let with = with.or_else(|| depends.iter().find(|name| name.starts_with("linux-image-")));
        NotBootable::EmptyPackage { path, depends_on: with.cloned() }
    })
}

fn find_modules(dir: &Path) -> Result<Found, NotBootable> {
    modules::find(dir).map_err(|source| NotBootable::Modules { path: dir.into(), source })
}

/// Puts into `dir` what a boot needs, and says where everything is.
fn build(
    name: &str,
    kind: ImageKind,
    image: &Path,
    found: &Found,
    config: Option<PathBuf>,
    dir: &Path,
) -> Result<Bootable, NotBootable> {
    let refused = |why| NotBootable::NoKernel { path: image.into(), why };
    let (image, release) = match kind {
        ImageKind::Vmlinux => (Image::Pvh(image.into()), None),
        ImageKind::Uml => (Image::Uml(image.into()), None),
        ImageKind::BzImage | ImageKind::Deb => {
            let bytes = File::open(image).and_then(|file| bounded::read(file, Content::BzImage));
            let bytes = bytes.map_err(|e| refused(e.into()))?;
            let inside = image::open(&bytes).map_err(refused)?;
            let image = match inside.vmlinux {
                Some(vmlinux) => Image::Pvh(write(&dir.join("vmlinux"), &vmlinux)?),
                None => Image::BzImage(write(&dir.join("bzImage"), &bytes)?),
            };
            (image, Some(inside.release))
        }
    };
    let loaded = modules::load(found, &WANTED, release.as_deref())?;
    make_dir(&dir.join("modules"))?;
    let mut modules = Vec::new();
    for module in loaded {
        let path = dir.join("modules").join(format!("{}.ko", module.name));
        modules.push(Module { path: write(&path, &module.bytes)?, name: module.name });
    }
    let config = match config {
        Some(from) => {
            let to = dir.join("config");
            fs::copy(&from, &to).at("copy", &to)?;
            Some(to)
        }
        None => None,
    };
    let (built_in, absent) = WANTED
        .iter()
        .filter(|wanted| modules.iter().all(|module| module.name != **wanted))
        .map(|wanted| (*wanted).to_owned())
        .partition(|wanted| found.built_in.contains(wanted));
    let kept_in = dir.into();
    Ok(Bootable { name: name.into(), release, image, modules, built_in, absent, config, kept_in })
}

fn write(path: &Path, bytes: &[u8]) -> Result<PathBuf, CacheError> {
    fs::write(path, bytes).at("write", path)?;
    Ok(path.into())
}

/// A build leaves its `.config` at the top of its tree: next to `vmlinux` and `linux`, and
/// three levels above `arch/x86/boot/bzImage`.
fn config_beside(image: &Path) -> Option<PathBuf> {
    let above = [1, 4].into_iter().filter_map(|levels| image.ancestors().nth(levels));
    above.map(|dir| dir.join(".config")).find(|path| path.is_file())
}

/// A short name for all that a prepared kernel depends on.
fn key<'a>(parts: impl Iterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    hash.update(format!("{RECIPE} {}", WANTED.join(" ")));
    for part in parts {
        hash.update([0]);
        hash.update(part);
    }
    packages::hex(&hash.finalize()[..6])
}
