//! The initial RAM file system: sockmig as `/init`, modules, and files that were shared.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path};

use harness::guest::modules::{
    ALIASES, AT_START, CONFIGURATION, MODPROBE, MODULES, NOT_GIVEN, NotGiven,
};

use crate::boot::bootable::Module;
use crate::boot::load_order::LoadOrder;
use crate::boot::modules::Info;

const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const LINK: u32 = 0o120_000;

/// Writes a cpio archive in the `newc` format (Documentation/driver-api/early-userspace).
pub struct Initramfs {
    to: BufWriter<File>,
    written: usize,
    directories: BTreeSet<String>,
}

impl Initramfs {
    /// Starts the archive at `path`, with `program` as `/init`.
    ///
    /// # Errors
    /// The program cannot be read, or the archive not written.
    pub fn create(path: &Path, program: &Path) -> io::Result<Self> {
        let to = BufWriter::with_capacity(1 << 20, File::create(path)?);
        let mut archive = Self { to, written: 0, directories: BTreeSet::new() };
        archive.file("init", 0o755, &fs::read(program)?)?;
        Ok(archive)
    }

    /// Adds modules, what to load of them at the start, and what the kernel may ask for.
    ///
    /// # Errors
    /// A module cannot be read, or the archive not written.
    pub fn modules(&mut self, modules: &[Module]) -> io::Result<()> {
        let mut order = LoadOrder::default();
        for module in modules {
            let bytes = fs::read(&module.path)?;
            order.add(&module.name, Info::of(&bytes).map_err(io::Error::other)?);
            self.file(&name_in(&format!("{MODULES}/{}.ko", module.name)), 0o644, &bytes)?;
        }
        self.file(&name_in(AT_START), 0o644, order.at_start().as_bytes())?;
        self.file(&name_in(ALIASES), 0o644, order.aliases().as_bytes())?;
        let modprobe = name_in(MODPROBE);
        self.directory(modprobe.rsplit_once('/').map_or("", |(parent, _)| parent))?;
        self.entry(&modprobe, LINK | 0o777, b"/init")
    }

    /// Adds what is known of modules that there are not.
    ///
    /// # Errors
    /// The archive cannot be written.
    pub fn not_given(&mut self, not_given: &NotGiven) -> io::Result<()> {
        let written = serde_json::to_vec(not_given).map_err(io::Error::other)?;
        self.file(&name_in(NOT_GIVEN), 0o644, &written)
    }

    /// Adds the configuration that the kernel was built with.
    ///
    /// # Errors
    /// The archive cannot be written.
    pub fn configuration(&mut self, config: &[u8]) -> io::Result<()> {
        self.file(&name_in(CONFIGURATION), 0o644, config)
    }

    /// Adds a file, or a directory with everything in it, at the path that it has here.
    /// `skip` says what to leave out.
    ///
    /// # Errors
    /// Something cannot be read, or the archive not written.
    pub fn share(&mut self, path: &Path, skip: &dyn Fn(&Path) -> bool) -> io::Result<()> {
        if skip(path) {
            return Ok(());
        }
        let metadata = fs::metadata(path)?;
        let name = inside(path)?;
        if metadata.is_dir() {
            self.directory(&name)?;
            let mut entries: Vec<_> = fs::read_dir(path)?.collect::<io::Result<_>>()?;
            entries.sort_by_key(fs::DirEntry::file_name);
            return entries.iter().try_for_each(|entry| self.share(&entry.path(), skip));
        }
        if !metadata.is_file() {
            return Ok(());
        }
        self.file(&name, metadata.permissions().mode() & 0o777, &fs::read(path)?)
    }

    /// How many bytes it has so far.
    pub fn written(&self) -> usize {
        self.written
    }

    /// Ends the archive; how many bytes it has.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(mut self) -> io::Result<usize> {
        self.entry("TRAILER!!!", 0, &[])?;
        self.to.flush()?;
        Ok(self.written)
    }

    fn file(&mut self, name: &str, permissions: u32, content: &[u8]) -> io::Result<()> {
        if let Some((parent, _)) = name.rsplit_once('/') {
            self.directory(parent)?;
        }
        self.entry(name, REGULAR | permissions, content)
    }

    fn directory(&mut self, name: &str) -> io::Result<()> {
        if name.is_empty() || self.directories.contains(name) {
            return Ok(());
        }
        if let Some((parent, _)) = name.rsplit_once('/') {
            self.directory(parent)?;
        }
        self.directories.insert(name.to_owned());
        self.entry(name, DIRECTORY | 0o755, &[])
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        let len = u32::try_from(content.len()).map_err(io::Error::other)?;
        let name_len = u32::try_from(name.len() + 1).map_err(io::Error::other)?;
        let mut head = String::from("070701");
        // Inode, mode, owner, group, links, time, size, devices, the name's length, no sum.
        for field in [0, mode, 0, 0, 1, 0, len, 0, 0, 0, 0, name_len, 0] {
            head.push_str(&format!("{field:08x}"));
        }
        head.push_str(name);
        head.push('\0');
        self.padded(head.as_bytes())?;
        self.padded(content)
    }

    fn padded(&mut self, bytes: &[u8]) -> io::Result<()> {
        let padding = bytes.len().next_multiple_of(4) - bytes.len();
        self.to.write_all(bytes)?;
        self.to.write_all(&[0; 3][..padding])?;
        self.written += bytes.len() + padding;
        Ok(())
    }
}

/// The name in the archive of a path of the guest.
fn name_in(path: &str) -> String {
    path.trim_start_matches('/').to_owned()
}

/// The name in the archive of an absolute path.
fn inside(path: &Path) -> io::Result<String> {
    let parts: Option<Vec<&str>> = path
        .components()
        .filter(|part| *part != Component::RootDir)
        .map(|part| match part {
            Component::Normal(name) => name.to_str(),
            _ => None,
        })
        .collect();
    match parts {
        Some(parts) if path.is_absolute() => Ok(parts.join("/")),
        _ => Err(io::Error::other(format!("{} is no plain absolute path", path.display()))),
    }
}
