//! Files that might be kernels.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use object::read::ReadCache;

use crate::architecture::Architecture;
use crate::boot::bounded::{self, Content};
use crate::boot::bzimage::{BzImage, LONGEST_RELEASE, release_at_start};
use crate::boot::kernel_elf::{self, ElfKind};
use crate::boot::no_kernel::NoKernel;
use crate::boot::package::format::PackageFormat;
use crate::boot::regular;
use crate::boot::{arm64_image, bzimage, s390_image};

/// What a kernel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageKind {
    /// A compressed kernel for x86_64 with the code that unpacks it.
    BzImage,
    /// The ELF of a kernel for x86_64, with the entry point that QEMU needs.
    Vmlinux,
    /// A kernel that is a process: User-Mode Linux.
    Uml,
    /// An `Image` for arm64, compressed or not.
    Arm64,
    /// A `bzImage` for s390x.
    S390x,
}

impl ImageKind {
    /// On which machines it runs. User-Mode Linux is there for x86 alone.
    pub fn architecture(self) -> Architecture {
        match self {
            Self::BzImage | Self::Vmlinux | Self::Uml => Architecture::X86_64,
            Self::Arm64 => Architecture::Arm64,
            Self::S390x => Architecture::S390x,
        }
    }
}

/// What a file is that a user names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A kernel.
    Image(ImageKind),
    /// A package that may have one in it.
    Package(PackageFormat),
}

/// Finds out what a file is, from its headers alone.
///
/// # Errors
/// It is neither a kernel that can be booted nor a package, or cannot be read.
pub fn identify(path: &Path) -> Result<FileKind, NoKernel> {
    regular::check(path)?.map_err(NoKernel::NotRegular)?;
    let (file, start) = start(path)?;
    if start.starts_with(b"\x7fELF") {
        return match kernel_elf::identify(&ReadCache::new(file))? {
            ElfKind::Vmlinux => Ok(FileKind::Image(ImageKind::Vmlinux)),
            ElfKind::Uml => Ok(FileKind::Image(ImageKind::Uml)),
        };
    }
    if let Some(kind) = other_than_x86(&start)? {
        return Ok(FileKind::Image(kind));
    }
    let size = file.metadata()?.len();
    match BzImage::read(&start, size) {
        Ok(_) => Ok(FileKind::Image(ImageKind::BzImage)),
        Err(NoKernel::SomethingElse) => PackageFormat::of(&start, BufReader::new(file))
            .map(FileKind::Package)
            .ok_or(NoKernel::SomethingElse),
        Err(refused) => Err(refused),
    }
}

/// What a file is by its first bytes, if it is a kernel in another form than x86 has.
fn other_than_x86(start: &[u8]) -> Result<Option<ImageKind>, NoKernel> {
    if arm64_image::is_one(start) {
        return Ok(Some(ImageKind::Arm64));
    }
    if s390_image::is_one(start) {
        return Ok(Some(ImageKind::S390x));
    }
    match start.get(0x30..).is_some_and(|at| at.starts_with(b"RISCV")) {
        true => Err(NoKernel::Machine("riscv")),
        false => Ok(None),
    }
}

/// What `uname -r` of an image will say; nothing if it does not say it, or is something else.
pub fn release(path: &Path) -> Option<String> {
    let (mut file, start) = start(path).ok()?;
    if start.starts_with(b"\x7fELF") {
        return None;
    }
    if other_than_x86(&start).ok()?.is_some() {
        file.seek(SeekFrom::Start(0)).ok()?;
        return open(&bounded::read(file, Content::BzImage).ok()?).ok()?.release;
    }
    let header = BzImage::read(&start, file.metadata().ok()?.len()).ok()?;
    let mut file = BufReader::new(file);
    file.seek(SeekFrom::Start(header.release_at as u64)).ok()?;
    let mut release = Vec::new();
    file.take(LONGEST_RELEASE as u64).read_to_end(&mut release).ok()?;
    Some(release_at_start(&release))
}

/// What is inside of a kernel that unpacks itself, or is compressed.
#[derive(Debug)]
pub struct Inside<'i> {
    /// What `uname -r` will say, if the kernel says it.
    pub release: Option<String>,
    /// What is to be booted; nothing if that is the kernel as it is.
    pub kernel: Option<Cow<'i, [u8]>>,
}

/// Takes a kernel apart that is no ELF file.
///
/// # Errors
/// It is something else, or it is damaged.
pub fn open(bytes: &[u8]) -> Result<Inside<'_>, NoKernel> {
    match other_than_x86(bytes)? {
        Some(ImageKind::Arm64) => {
            let arm64_image::Inside { release, image } = arm64_image::open(bytes)?;
            Ok(Inside { release, kernel: Some(image) })
        }
        Some(_) => Ok(Inside { release: s390_image::release(bytes), kernel: None }),
        None => {
            let bzimage::Inside { release, vmlinux } = bzimage::open(bytes)?;
            Ok(Inside { release: Some(release), kernel: vmlinux.map(Cow::Owned) })
        }
    }
}

/// Opens a file and reads as much of its beginning as shows what it is.
fn start(path: &Path) -> io::Result<(File, Vec<u8>)> {
    let file = regular::open(path)?;
    let mut start = Vec::new();
    (&file).take(s390_image::START as u64).read_to_end(&mut start)?;
    Ok((file, start))
}
