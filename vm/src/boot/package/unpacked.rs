//! The interesting files of packages, in a directory of our own.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use crate::boot::bounded::{Bounded, Content};
use crate::boot::modules::{self, Found};
use crate::boot::package::about::About;
use crate::boot::package::archive::{self, Visit};
use crate::boot::package::bad_package::BadPackage;
use crate::boot::package::format::PackageFormat;
use crate::boot::package::layout::{self, Part, PartKind};
use crate::boot::package::{deb, rpm};
use crate::boot::regular;
use crate::fetch::cache::{At, CacheError, make_dir};

/// What one or more packages hold, by the release that it is for.
#[derive(Debug)]
pub struct Unpacked {
    dir: PathBuf,
    /// What there is of each release (`uname -r`).
    pub releases: BTreeMap<String, Contents>,
}

/// What there is of one kernel.
#[derive(Debug, Default)]
pub struct Contents {
    /// The package that has the kernel, or else the first of the others.
    pub package: PathBuf,
    /// The kernel.
    pub kernel: Option<PathBuf>,
    /// Its build configuration.
    pub config: Option<PathBuf>,
    /// Its modules.
    pub modules: Found,
}

impl Unpacked {
    /// Makes `dir`, where nothing is yet.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn at(dir: PathBuf) -> Result<Self, CacheError> {
        make_dir(&dir)?;
        Ok(Self { dir, releases: BTreeMap::new() })
    }

    /// Adds the kernel, its configuration and its modules of a package.
    ///
    /// # Errors
    /// The package is damaged, or there is no room for its files.
    pub fn add(&mut self, package: &Path, format: PackageFormat) -> Result<(), BadPackage> {
        files(package, format, &mut |path, content| match layout::part(path) {
            Some(part) => self.keep(package, part, content),
            None => Ok(()),
        })
    }

    fn keep(
        &mut self,
        package: &Path,
        part: Part,
        content: &mut dyn Read,
    ) -> Result<(), BadPackage> {
        let content = &mut Bounded::new(content, limit(&part.kind));
        let dir = self.dir.join(&part.release);
        make_dir(&dir.join("modules"))?;
        let contents = self
            .releases
            .entry(part.release)
            .or_insert_with(|| Contents { package: package.into(), ..Contents::default() });
        match part.kind {
            PartKind::Kernel => {
                contents.kernel = Some(write(content, dir.join("vmlinuz"))?);
                contents.package = package.into();
            }
            PartKind::Config => contents.config = Some(write(content, dir.join("config"))?),
            PartKind::BuiltIn => {
                let list = write(content, dir.join("modules.builtin"))?;
                let text = fs::read_to_string(list)?;
                contents.modules.built_in.extend(text.lines().filter_map(modules::name_of));
            }
            PartKind::Module { name, file } => {
                let file = write(content, dir.join("modules").join(file))?;
                contents.modules.files.insert(name, file);
            }
        }
        Ok(())
    }
}

/// How much of a part there may be.
fn limit(part: &PartKind) -> Content {
    match part {
        PartKind::Kernel => Content::BzImage,
        PartKind::Config | PartKind::BuiltIn => Content::List,
        PartKind::Module { .. } => Content::Module,
    }
}

/// What a package says of itself. A tar archive says nothing that is needed here.
///
/// # Errors
/// The package is damaged.
pub fn about(package: &Path, format: PackageFormat) -> Result<About, BadPackage> {
    match format {
        PackageFormat::Deb => deb::about(package),
        PackageFormat::Rpm => rpm::about(package),
        PackageFormat::Tar => Ok(About::default()),
    }
}

fn files(package: &Path, format: PackageFormat, visit: Visit<'_>) -> Result<(), BadPackage> {
    match format {
        PackageFormat::Deb => deb::files(package, visit),
        PackageFormat::Rpm => rpm::files(package, visit),
        PackageFormat::Tar => {
            let file = regular::open(package).map_err(BadPackage::Unreadable)?;
            archive::tar(archive::decompressed(BufReader::new(file))?, visit)
        }
    }
}

fn write(from: &mut dyn Read, to: PathBuf) -> Result<PathBuf, BadPackage> {
    let mut file = File::create(&to).at("create", &to)?;
    // Kept apart because the user must do something else about a damaged package than
    // about a full disk.
    let mut buffer = vec![0; 1 << 16];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(to),
            Ok(count) => file.write_all(&buffer[..count]).at("write", &to)?,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e.into()),
        }
    }
}
