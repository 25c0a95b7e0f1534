//! What was prepared, written into its directory last of all.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::architecture::Architecture;
use crate::boot::bootable::{Bootable, Image, Module};
use crate::fetch::cache::{At, CacheError};
use crate::fetch::packages::sha256;

/// The file in the directory of a prepared kernel.
pub(crate) const FILE: &str = "kernel.json";

/// A file, and how to see that it still is the one that was meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Absolute for the user's own file, relative to the manifest for ours.
    pub path: PathBuf,
    size: u64,
    /// Device, inode, and the times of the last changes of content and inode in
    /// nanoseconds; nothing for our own files, which nobody else writes.
    identity: Option<(u64, u64, i128, i128)>,
    /// The SHA-256 of our own file. Older manifests have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
}

impl Stamp {
    /// Of the user's own file.
    ///
    /// # Errors
    /// It is not there, or is out of reach.
    pub fn of_theirs(path: &Path) -> std::io::Result<Self> {
        let path = fs::canonicalize(path)?;
        let there = fs::metadata(&path)?;
        let nanos =
            |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        let modified = nanos(there.mtime(), there.mtime_nsec());
        let changed = nanos(there.ctime(), there.ctime_nsec());
        let identity = Some((there.dev(), there.ino(), modified, changed));
        Ok(Self { path, size: there.size(), identity, sha256: None })
    }

    fn of_ours(path: &Path, dir: &Path) -> Result<Self, CacheError> {
        let size = fs::metadata(path).at("stat", path)?.len();
        let sha256 = sha256(path)?;
        let path = path.strip_prefix(dir).unwrap_or(path).into();
        Ok(Self { path, size, identity: None, sha256 })
    }

    /// Whether the file is still the same, seen from the manifest's directory.
    pub fn holds(&self, dir: &Path) -> bool {
        let path = dir.join(&self.path);
        match self.identity {
            Some(_) => Self::of_theirs(&path).is_ok_and(|now| now == *self),
            None => fs::metadata(path).is_ok_and(|there| there.len() == self.size),
        }
    }

    /// Whether the content is still what it was, too.
    fn is_intact(&self, dir: &Path) -> bool {
        let ours = || {
            let now = sha256(&dir.join(&self.path)).ok().flatten();
            now.is_some() && now == self.sha256
        };
        self.holds(dir) && (self.identity.is_some() || ours())
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Engine {
    Pvh,
    BzImage,
    Plain,
    Uml,
}

/// A prepared kernel, as it is kept.
#[derive(Debug, Serialize, Deserialize)]
pub struct Manifest {
    name: String,
    release: Option<String>,
    /// Older manifests, which say nothing of it, are of x86_64.
    #[serde(default)]
    architecture: Architecture,
    engine: Engine,
    image: Stamp,
    modules: Vec<(String, Stamp)>,
    built_in: Vec<String>,
    absent: Vec<String>,
    #[serde(default)]
    elsewhere: Vec<String>,
    config: Option<Stamp>,
    /// The user's own files that this was made of.
    #[serde(default)]
    pub sources: Vec<Stamp>,
}

impl Manifest {
    /// Writes what is in `dir` down; nothing in `dir` may change afterwards.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(bootable: &Bootable, sources: &[Stamp], dir: &Path) -> Result<(), CacheError> {
        let stamp = |path: &Path| match path.starts_with(dir) {
            true => Stamp::of_ours(path, dir),
            false => Stamp::of_theirs(path).at("stat", path),
        };
        let (engine, image) = match &bootable.image {
            Image::Pvh(path) => (Engine::Pvh, path),
            Image::BzImage(path) => (Engine::BzImage, path),
            Image::Plain(path) => (Engine::Plain, path),
            Image::Uml(path) => (Engine::Uml, path),
        };
        let modules = bootable.modules.iter();
        let manifest = Self {
            name: bootable.name.clone(),
            release: bootable.release.clone(),
            architecture: bootable.architecture,
            engine,
            image: stamp(image)?,
            modules: modules
                .map(|module| Ok((module.name.clone(), stamp(&module.path)?)))
                .collect::<Result<_, CacheError>>()?,
            built_in: bootable.built_in.clone(),
            absent: bootable.absent.clone(),
            elsewhere: bootable.elsewhere.clone(),
            config: bootable.config.as_deref().map(stamp).transpose()?,
            sources: sources.to_vec(),
        };
        let path = dir.join(FILE);
        let text = serde_json::to_string_pretty(&manifest).expect("names, numbers and paths");
        fs::write(&path, text).at("write", &path)
    }

    /// What was written in `dir`, if it is all there.
    pub fn read(dir: &Path) -> Option<Self> {
        let text = fs::read_to_string(dir.join(FILE)).ok()?;
        let manifest: Self = serde_json::from_str(&text).ok()?;
        let whole = manifest.files().all(|stamp| stamp.holds(dir));
        whole.then_some(manifest)
    }

    /// Whether nobody has written to what is in `dir` since it was prepared. Takes a moment for
    /// each hundred megabytes.
    pub fn is_intact(&self, dir: &Path) -> bool {
        self.files().all(|stamp| stamp.is_intact(dir))
    }

    fn files(&self) -> impl Iterator<Item = &Stamp> {
        let modules = self.modules.iter().map(|(_, stamp)| stamp);
        modules.chain([&self.image]).chain(&self.config)
    }

    /// The kernel, whose files are in `dir`.
    pub fn bootable(self, dir: &Path) -> Bootable {
        let image = dir.join(self.image.path);
        let modules = self.modules.into_iter();
        Bootable {
            name: self.name,
            release: self.release,
            architecture: self.architecture,
            image: match self.engine {
                Engine::Pvh => Image::Pvh(image),
                Engine::BzImage => Image::BzImage(image),
                Engine::Plain => Image::Plain(image),
                Engine::Uml => Image::Uml(image),
            },
            modules: modules
                .map(|(name, stamp)| Module { name, path: dir.join(stamp.path) })
                .collect(),
            built_in: self.built_in,
            absent: self.absent,
            elsewhere: self.elsewhere,
            config: self.config.map(|stamp| dir.join(stamp.path)),
            kept_in: dir.into(),
        }
    }
}
