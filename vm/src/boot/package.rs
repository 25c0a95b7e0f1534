//! What a boot needs out of a Debian package, without dpkg.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use crate::boot::bounded::{Bounded, Content};
use crate::boot::compression::Compression;
use crate::boot::modules;
use crate::boot::tar_files;
use crate::fetch::cache::{At, CacheError, make_dir};

/// A package cannot be taken apart.
#[derive(Debug, thiserror::Error)]
pub enum BadPackage {
    /// It cannot be read at all.
    #[error("cannot be read: {0}")]
    Unreadable(#[source] io::Error),
    /// It is not what its headers say.
    #[error("is truncated or damaged: {0}")]
    Damaged(String),
    /// What is in it cannot be written.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// A package that opens is at fault for whatever fails while it is read.
impl From<io::Error> for BadPackage {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Damaged("it ends in the middle".into()),
            _ => Self::Damaged(error.to_string()),
        }
    }
}

/// The interesting files of one or more packages, in a directory of our own.
#[derive(Debug)]
pub struct Unpacked {
    dir: PathBuf,
}

impl Unpacked {
    /// Makes `dir`, where nothing is yet.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn at(dir: PathBuf) -> Result<Self, CacheError> {
        make_dir(&dir.join("modules"))?;
        Ok(Self { dir })
    }

    /// The kernel, if there was one.
    pub fn vmlinuz(&self) -> Option<PathBuf> {
        Some(self.dir.join("vmlinuz")).filter(|path| path.exists())
    }

    /// The kernel's build configuration, if there was one.
    pub fn config(&self) -> Option<PathBuf> {
        Some(self.dir.join("config")).filter(|path| path.exists())
    }

    /// A directory of all modules.
    pub fn modules(&self) -> PathBuf {
        self.dir.join("modules")
    }

    /// Adds the kernel, its configuration and its modules of a package.
    ///
    /// # Errors
    /// The package is damaged, or there is no room for its files.
    pub fn add(&self, deb: &Path) -> Result<(), BadPackage> {
        let mut archive = member(deb, "data.tar")?;
        tar_files::visit(&mut archive, |path, content| match place(path) {
            Some((place, kind)) => {
                self.keep(&mut Bounded::new(content, kind), &self.dir.join(place))
            }
            None => Ok(()),
        })?;
        drained(archive)
    }

    fn keep(&self, from: &mut impl Read, to: &Path) -> Result<(), BadPackage> {
        let mut file = File::create(to).at("create", to)?;
        // Kept apart because the user must do something else about a damaged package than
        // about a full disk.
        let mut buffer = vec![0; 1 << 16];
        loop {
            match from.read(&mut buffer)? {
                0 => return Ok(()),
                count => io::Write::write_all(&mut file, &buffer[..count]).at("write", to)?,
            }
        }
    }
}

/// What a package says of itself: its name, and the packages that it depends on.
///
/// # Errors
/// The package is damaged.
pub fn about(deb: &Path) -> Result<(String, Vec<String>), BadPackage> {
    let mut archive = member(deb, "control.tar")?;
    let mut control = String::new();
    tar_files::visit(&mut archive, |path, content| {
        if path.ends_with("control") {
            Bounded::new(content, Content::Control).read_to_string(&mut control)?;
        }
        Ok::<(), BadPackage>(())
    })?;
    let field = |name: &str| control.lines().find_map(|line| line.strip_prefix(name));
    let depends = field("Depends:").unwrap_or_default().split(['|', ',']);
    let depends = depends.filter_map(|one| one.split_whitespace().next());
    let name = field("Package:").unwrap_or_default().trim();
    Ok((name.into(), depends.map(str::to_owned).collect()))
}

/// Where a file of a kernel's package goes, and what it is; nothing for those that no boot needs.
fn place(path: &Path) -> Option<(PathBuf, Content)> {
    let parts: Option<Vec<&str>> = path
        .components()
        .filter(|part| *part != Component::CurDir)
        .map(|part| match part {
            Component::Normal(name) => name.to_str(),
            _ => None,
        })
        .collect();
    let parts = parts?;
    let parts = parts.strip_prefix(&["usr"]).unwrap_or(&parts);
    Some(match *parts {
        ["boot", name] if name.starts_with("vmlinuz") => ("vmlinuz".into(), Content::BzImage),
        ["boot", name] if name.starts_with("config-") => ("config".into(), Content::List),
        // Packages that wait for their signature call it `vmlinuz.unsigned`.
        ["lib", "modules", _, name] if name.starts_with("vmlinuz") => {
            ("vmlinuz".into(), Content::BzImage)
        }
        ["lib", "modules", _, "config"] => ("config".into(), Content::List),
        ["lib", "modules", _, "modules.builtin"] => {
            ("modules/modules.builtin".into(), Content::List)
        }
        ["lib", "modules", _, .., name] if modules::name_of(name).is_some() => {
            (Path::new("modules").join(name), Content::Module)
        }
        _ => return None,
    })
}

type Archive = tar::Archive<Box<dyn Read>>;

/// Opens a part of a package, whatever it is compressed with.
fn member(deb: &Path, name: &str) -> Result<Archive, BadPackage> {
    let mut file = BufReader::new(File::open(deb).map_err(BadPackage::Unreadable)?);
    let size = fs::metadata(deb).map_err(BadPackage::Unreadable)?.len();
    let mut magic = [0; 8];
    file.read_exact(&mut magic)?;
    if &magic != b"!<arch>\n" {
        return Err(BadPackage::Damaged("it does not start as an ar archive".into()));
    }
    let mut at = 8;
    while at < size {
        let mut header = [0; 60];
        file.read_exact(&mut header)?;
        let text = |range: std::ops::Range<usize>| String::from_utf8_lossy(&header[range]);
        let length: u64 = match text(48..58).trim_end().parse() {
            Ok(length) if header.ends_with(b"`\n") => length,
            _ => return Err(BadPackage::Damaged(format!("no ar header at byte {at}"))),
        };
        let end = at + 60 + length;
        if end > size {
            let missing = end - size;
            return Err(BadPackage::Damaged(format!("its last {missing} bytes are missing")));
        }
        if text(0..16).trim_end().trim_end_matches('/').starts_with(name) {
            let mut data = file.take(length);
            let compression = Compression::of(data.fill_buf()?);
            let reader: Box<dyn Read> = match compression {
                Some(compression) => compression.open(data)?,
                None => Box::new(data),
            };
            return Ok(tar::Archive::new(reader));
        }
        // Members start at even bytes.
        at = end + end % 2;
        file.seek(SeekFrom::Start(at))?;
    }
    Err(BadPackage::Damaged(format!("it has no {name}")))
}

/// Reads what is left, so that the checksum at the end is looked at.
fn drained(archive: Archive) -> Result<(), BadPackage> {
    io::copy(&mut archive.into_inner(), &mut io::sink())?;
    Ok(())
}
