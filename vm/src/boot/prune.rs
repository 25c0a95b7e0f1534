//! Making room in the cache.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::boot::in_use;
use crate::boot::manifest::Manifest;
use crate::boot::own_kernels;
use crate::boot::prepare;
use crate::fetch::cache::{At, Cache, CacheError, KVM, remove};
use crate::fetch::kernels;
use crate::fetch::packages;

/// What was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Freed {
    /// Packages and prepared kernels, whole or in part.
    pub things: usize,
    /// Bytes of their files.
    pub bytes: u64,
    /// Things that stay because another sockmig works on them.
    pub busy: usize,
}

/// Removes what is no longer of use: packages and kernels that the table does not name,
/// leftovers of runs that were killed, and kernels prepared from files that are gone or
/// have changed since. With `all`, removes everything. What sockmig has not put there stays.
///
/// # Errors
/// Something cannot be removed.
pub fn prune(cache: &Cache, all: bool) -> Result<Freed, CacheError> {
    let mut freed = Freed::default();
    if cache.is_absent() {
        return Ok(freed);
    }
    for kernel in kernels::table() {
        let Some(lock) = cache.try_lock(&kernel.name)? else {
            freed.busy += 1;
            continue;
        };
        let ready = prepare::place(kernel, cache);
        for path in entries(&cache.ready())? {
            let of_this = prepared_name(&path).is_some_and(|name| name == kernel.name);
            if of_this && (all || path != ready) {
                freed.remove_unused(&path)?;
            }
        }
        for package in &kernel.packages {
            let deb = cache.packages().join(package.file_name());
            // A part of a package that is there whole was left by a killed run; without the
            // package, it is the beginning of a download.
            if all || deb.exists() {
                freed.remove(&packages::part(&deb))?;
            }
            if all {
                freed.remove(&deb)?;
            }
        }
        drop(lock);
    }
    prune_packages(cache, &mut freed)?;
    prune_ready(cache, all, &mut freed)?;
    prune_apt(cache, all, &mut freed)?;
    prune_kvm(cache, all, &mut freed)?;
    prune_locks(cache)?;
    Ok(freed)
}

/// Packages that the table does not name.
fn prune_packages(cache: &Cache, freed: &mut Freed) -> Result<(), CacheError> {
    let packages = kernels::table().iter().flat_map(|kernel| &kernel.packages);
    let named: BTreeSet<String> = packages.map(kernels::Package::file_name).collect();
    for path in entries(&cache.packages())? {
        let name = file_name(&path);
        if is_package(&path) && !named.contains(name.trim_end_matches(".part")) {
            freed.remove(&path)?;
        }
    }
    Ok(())
}

/// Prepared kernels that the table does not name: the user's own, and those of old tables.
fn prune_ready(cache: &Cache, all: bool, freed: &mut Freed) -> Result<(), CacheError> {
    for path in entries(&cache.ready())? {
        let Some(prepared) = prepared_name(&path) else { continue };
        if kernels::table().iter().any(|kernel| kernel.name == prepared) {
            continue;
        }
        let name = file_name(&path);
        let name = name.trim_start_matches('.').trim_end_matches(".part");
        let Some(lock) = cache.try_lock(name)? else {
            freed.busy += 1;
            continue;
        };
        let sources = Manifest::read(&path).map(|manifest| manifest.sources).unwrap_or_default();
        let hold = !sources.is_empty() && sources.iter().all(|source| source.holds(&path));
        if (all || !hold) && freed.remove_unused(&path)? {
            lock.discard();
        }
    }
    Ok(())
}

/// apt's lists of suites that the table does not name.
fn prune_apt(cache: &Cache, all: bool, freed: &mut Freed) -> Result<(), CacheError> {
    for path in entries(&cache.apt_suites())? {
        let name = file_name(&path);
        // As apt is configured.
        if !path.join("lists").is_dir() {
            continue;
        }
        if !all && kernels::table().iter().any(|kernel| kernel.index().name() == name) {
            continue;
        }
        match cache.try_lock(&format!("apt-{name}"))? {
            Some(lock) => {
                freed.remove(&path)?;
                lock.discard();
            }
            None => freed.busy += 1,
        }
    }
    Ok(())
}

/// What was found out about KVM when the machine was started before.
fn prune_kvm(cache: &Cache, all: bool, freed: &mut Freed) -> Result<(), CacheError> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let of_this = cache.of_this_boot(boot.trim());
    for path in entries(cache.root())? {
        if file_name(&path).starts_with(KVM) && path.is_file() && (all || path != of_this) {
            freed.remove(&path)?;
        }
    }
    Ok(())
}

/// Locks of the user's own kernels that are not prepared any more.
fn prune_locks(cache: &Cache) -> Result<(), CacheError> {
    for path in entries(&cache.locks())? {
        let name = file_name(&path);
        let forgotten =
            name.starts_with(own_kernels::PREFIX) && !cache.ready().join(&name).exists();
        if let Some(lock) = cache.try_lock(&name)?.filter(|_| forgotten) {
            lock.discard();
        }
    }
    Ok(())
}

/// Whether this is a package, or the beginning of one, by its name: `linux-NAME_VERSION_ARCH.deb`.
fn is_package(path: &Path) -> bool {
    let name = file_name(path);
    let name = name.trim_end_matches(".part").strip_suffix(".deb").unwrap_or_default();
    name.starts_with("linux-") && name.split('_').count() == 3 && path.is_file()
}

/// The name of the kernel that was prepared in this directory, or was to be; nothing if it is
/// another one, by its own name: `NAME-KEY`, or `.NAME-KEY.part`.
fn prepared_name(path: &Path) -> Option<String> {
    let name = file_name(path);
    let name = match name.strip_prefix('.') {
        Some(name) => name.strip_suffix(".part").unwrap_or_default(),
        None => &name,
    };
    let is_key = |key: &str| key.len() == 12 && key.bytes().all(|byte| byte.is_ascii_hexdigit());
    let (name, key) = name.rsplit_once('-')?;
    (is_key(key) && path.is_dir()).then(|| name.to_owned())
}

impl Freed {
    /// Removes a prepared kernel, unless it is in use. Says whether it is gone.
    fn remove_unused(&mut self, path: &Path) -> Result<bool, CacheError> {
        match in_use::to_remove(path)? {
            Some(_unused) => self.remove(path).map(|()| true),
            None => {
                self.busy += 1;
                Ok(false)
            }
        }
    }

    fn remove(&mut self, path: &Path) -> Result<(), CacheError> {
        let Ok(there) = fs::symlink_metadata(path) else { return Ok(()) };
        self.bytes += if there.is_dir() { size(path) } else { there.len() };
        self.things += 1;
        remove(path)
    }
}

/// Bytes of all files below a directory.
pub fn size(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
    entries
        .map(|entry| match entry.metadata() {
            Ok(there) if there.is_dir() => size(&entry.path()),
            Ok(there) => there.len(),
            // Gone meanwhile.
            Err(_) => 0,
        })
        .sum()
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, CacheError> {
    if !dir.exists() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(dir).at("read", dir)?;
    let paths = entries.map(|entry| Ok(entry.at("read", dir)?.path()));
    paths.collect()
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
