//! From what a user names to a kernel that is ready to boot.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::boot::bootable::{Bootable, Image, Module};
use crate::boot::bounded::{self, Content};
use crate::boot::image::{self, FileKind, ImageKind};
use crate::boot::installed;
use crate::boot::manifest::{Manifest, Stamp};
use crate::boot::modules::{self, Found, WANTED};
use crate::boot::no_kernel::NoKernel;
use crate::boot::not_bootable::NotBootable;
use crate::boot::own::Own;
use crate::boot::own_kernels;
use crate::boot::package::about::About;
use crate::boot::package::bad_package::BadPackage;
use crate::boot::package::format::PackageFormat;
use crate::boot::package::unpacked::{Contents, Unpacked, about};
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
        Choice::Own { files, modules, .. } => {
            Own::of(files, modules).and_then(|own| theirs(&choice.name(), &own, cache, watch))
        }
        Choice::Installed { release } => {
            installed(release.as_deref()).and_then(|own| theirs(&choice.name(), &own, cache, watch))
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

/// The installed kernel of this release, or the one that runs.
fn installed(release: Option<&str>) -> Result<Own, NotBootable> {
    let release = match release {
        Some(release) => release.to_owned(),
        None => installed::running().map_err(NotBootable::NoRelease)?,
    };
    Own::of(&[installed::image(Path::new("/"), &release)?], &[])
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
    let packages = debs.into_iter().map(|deb| (deb, PackageFormat::Deb)).collect();
    let own = Own { packages, ..Own::default() };
    make(&place, &[], |dir| build(&kernel.name, gather(&own, dir)?, dir))
}

fn theirs(name: &str, own: &Own, cache: &Cache, watch: Watch<'_>) -> Result<Bootable, NotBootable> {
    let sources = own.stamps()?;
    let parts = [name.to_owned(), format!("{sources:?}")];
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
    let made = make(&place, &sources, |dir| build(name, gather(own, dir)?, dir))?;
    own_kernels::remove_oldest(cache)?;
    Ok(made)
}

/// Has `fill` make a kernel in a directory of its own, and moves that to its place when
/// it is whole. The caller has the lock, so that what lies there is a leftover.
fn make(
    place: &Path,
    sources: &[Stamp],
    fill: impl FnOnce(&Path) -> Result<Bootable, NotBootable>,
) -> Result<Bootable, NotBootable> {
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    let part = place.with_file_name(format!(".{name}.part"));
    remove(&part)?;
    make_dir(&part)?;
    let made = fill(&part).and_then(|bootable| {
        if let Some(source) = sources.iter().find(|source| !source.holds(&part)) {
            return Err(NotBootable::Changed { path: source.path.clone() });
        }
        remove(&part.join(UNPACKED))?;
        Manifest::write(&bootable, sources, &part)?;
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

/// What a kernel is built of, when everything is unpacked.
struct Parts {
    image: PathBuf,
    kind: ImageKind,
    /// The file that the user knows it by.
    named: PathBuf,
    modules: Found,
    config: Option<PathBuf>,
    /// Packages with modules that were not given.
    elsewhere: Vec<String>,
}

/// Unpacks packages, and finds the one kernel that is meant, and what belongs to it.
fn gather(own: &Own, dir: &Path) -> Result<Parts, NotBootable> {
    let mut unpacked = Unpacked::at(dir.join(UNPACKED))?;
    let mut abouts = Vec::new();
    for (package, format) in &own.packages {
        let said = unpacked.add(package, *format).and_then(|()| about(package, *format));
        abouts.push(said.map_err(|why| match why {
            BadPackage::Cache(why) => NotBootable::Cache(why),
            why => NotBootable::BadPackage { path: package.clone(), why },
        })?);
    }
    let mut releases = unpacked.releases;
    let release = match &own.image {
        Some((image, _)) => image::release(image),
        None => Some(only_kernel(&releases, own, &abouts)?),
    };
    let release = match release {
        Some(release) => release,
        // A vmlinux does not say what it is; what comes with it can be of one kernel only.
        None if releases.len() < 2 => releases.keys().next().cloned().unwrap_or_default(),
        None => return Err(several(own, releases.keys())),
    };
    let contents = releases.remove(&release).unwrap_or_default();
    if let Some((found, other)) = releases.iter().find(|(_, other)| !other.modules.files.is_empty())
    {
        let (path, found) = (other.package.clone(), found.clone());
        return Err(NotBootable::OtherKernel { path, found, wanted: release });
    }
    let mut modules = own.modules.clone().unwrap_or_default();
    modules.files.extend(contents.modules.files);
    modules.built_in.extend(contents.modules.built_in);
    let is_given = |name: &String| abouts.iter().any(|about| about.name == *name);
    let elsewhere = abouts.iter().flat_map(About::with_modules).filter(|name| !is_given(name));
    let (image, kind, named) = match (&own.image, contents.kernel) {
        (Some((image, kind)), _) => (image.clone(), *kind, image.clone()),
        (None, Some(kernel)) => {
            let kind = kind_in_package(&kernel, &contents.package)?;
            (kernel, kind, contents.package)
        }
        (None, None) => return Err(no_kernel(own, &abouts)),
    };
    Ok(Parts {
        image,
        kind,
        named,
        modules,
        config: own.config.clone().or(contents.config),
        elsewhere: elsewhere.collect(),
    })
}

/// What the kernel of a package is.
fn kind_in_package(kernel: &Path, package: &Path) -> Result<ImageKind, NotBootable> {
    let refused = |why| NotBootable::NoKernel { path: package.into(), why };
    match image::identify(kernel).map_err(refused)? {
        FileKind::Image(kind @ (ImageKind::BzImage | ImageKind::Arm64 | ImageKind::S390x)) => {
            Ok(kind)
        }
        FileKind::Image(_) | FileKind::Package(_) => Err(refused(NoKernel::SomethingElse)),
    }
}

/// The release of the only kernel in packages.
fn only_kernel(
    releases: &BTreeMap<String, Contents>,
    own: &Own,
    abouts: &[About],
) -> Result<String, NotBootable> {
    let kernels = releases.iter().filter(|(_, contents)| contents.kernel.is_some());
    let kernels: Vec<&String> = kernels.map(|(release, _)| release).collect();
    match &*kernels {
        [release] => Ok((*release).clone()),
        [] => Err(no_kernel(own, abouts)),
        kernels => Err(several(own, kernels.iter().copied())),
    }
}

fn several<'r>(own: &Own, releases: impl Iterator<Item = &'r String>) -> NotBootable {
    NotBootable::SeveralKernels {
        path: own.packages[0].0.clone(),
        releases: releases.cloned().collect(),
    }
}

fn no_kernel(own: &Own, abouts: &[About]) -> NotBootable {
    NotBootable::EmptyPackage {
        path: own.packages[0].0.clone(),
        more: own.packages.len() - 1,
        depends_on: abouts.iter().find_map(About::with_kernel).map(str::to_owned),
    }
}

/// Puts into `dir` what a boot needs, and says where everything is.
fn build(name: &str, parts: Parts, dir: &Path) -> Result<Bootable, NotBootable> {
    let refused = |why| NotBootable::NoKernel { path: parts.named.clone(), why };
    let architecture = parts.kind.architecture();
    let (image, release) = match parts.kind {
        ImageKind::Vmlinux => (Image::Pvh(parts.image), None),
        ImageKind::Uml => (Image::Uml(parts.image), None),
        kind @ (ImageKind::BzImage | ImageKind::Arm64 | ImageKind::S390x) => {
            let file = File::open(&parts.image);
            let bytes = file.and_then(|file| bounded::read(file, Content::BzImage));
            let bytes = bytes.map_err(|e| refused(e.into()))?;
            let inside = image::open(&bytes).map_err(refused)?;
            let image = match (kind, inside.kernel) {
                (ImageKind::BzImage, Some(vmlinux)) => {
                    Image::Pvh(write(&dir.join("vmlinux"), &vmlinux)?)
                }
                (ImageKind::BzImage, None) => Image::BzImage(write(&dir.join("bzImage"), &bytes)?),
                (_, kernel) => {
                    let kernel = kernel.as_deref().unwrap_or(&bytes);
                    Image::Plain(write(&dir.join("Image"), kernel)?)
                }
            };
            (image, inside.release)
        }
    };
    let found = &parts.modules;
    let loaded = modules::load(found, &WANTED, release.as_deref(), architecture)?;
    make_dir(&dir.join("modules"))?;
    let mut modules = Vec::new();
    for module in loaded {
        let path = dir.join("modules").join(format!("{}.ko", module.name));
        modules.push(Module { path: write(&path, &module.bytes)?, name: module.name });
    }
    let config = match parts.config {
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
    let elsewhere = parts.elsewhere;
    let (name, kept_in) = (name.into(), dir.into());
    Ok(Bootable {
        name,
        release,
        architecture,
        image,
        modules,
        built_in,
        absent,
        elsewhere,
        config,
        kept_in,
    })
}

fn write(path: &Path, bytes: &[u8]) -> Result<PathBuf, CacheError> {
    fs::write(path, bytes).at("write", path)?;
    Ok(path.into())
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
