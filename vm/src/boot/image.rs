//! Files that might be kernels.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use object::LittleEndian as LE;
use object::elf::{EM_386, EM_AARCH64, EM_RISCV, EM_X86_64, FileHeader64, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader};
use object::read::{ReadCache, ReadRef};

use crate::boot::bounded::{self, Content};
use crate::boot::compression::Compression;
use crate::boot::package::format::PackageFormat;
use crate::boot::regular::{self, NotRegular};

/// The note of the entry point that QEMU jumps to: `XEN_ELFNOTE_PHYS32_ENTRY`.
const PVH_NOTE: object::elf::NoteType = object::elf::NoteType(18);

/// A kernel's virtual addresses have the top bit; a process has no such address.
const KERNEL_HALF: u64 = 1 << 63;

/// Enough of a file's beginning to see what it is.
const START: usize = 0x300;

/// No release is longer (`__NEW_UTS_LEN`).
const LONGEST_RELEASE: usize = 64;

/// What a kernel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageKind {
    /// A compressed kernel with the code that unpacks it.
    BzImage,
    /// A kernel's ELF, with the entry point that QEMU needs.
    Vmlinux,
    /// A kernel that is a process: User-Mode Linux.
    Uml,
}

/// What a file is that a user names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A kernel.
    Image(ImageKind),
    /// A package that may have one in it.
    Package(PackageFormat),
}

/// A file is not a kernel that can be booted here.
#[derive(Debug, thiserror::Error)]
pub enum NoKernel {
    /// The user may not read the file; distributions give kernels to root alone.
    #[error("may not be read by this user; run as root, or name a copy that may be read")]
    Forbidden,
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[source] io::Error),
    /// It is no file, and would keep a reader waiting or never end.
    #[error("{0}; name a kernel, or a package with one")]
    NotRegular(NotRegular),
    /// It is a directory, and nothing in it can be booted.
    #[error(
        "is a directory without a kernel: there are neither packages in it, nor a build, nor \
         boot/vmlinuz-* or lib/modules/*/vmlinuz"
    )]
    EmptyDirectory,
    /// It is something else altogether.
    #[error(
        "is not a kernel: neither a bzImage nor a vmlinux, a package (.deb, .rpm, .pkg.tar.zst) \
         or a UML binary"
    )]
    SomethingElse,
    /// It is a kernel for other machines.
    #[error("is a kernel for {0}; only those for x86_64 can be booted")]
    Machine(&'static str),
    /// Its end is missing.
    #[error("is truncated: {has} bytes of at least {needs}; copy or build it again")]
    Truncated {
        /// Bytes that are there.
        has: u64,
        /// Bytes that there must be by its header.
        needs: u64,
    },
    /// Its compressed part does not decompress, or not to a kernel.
    #[error("is damaged: {0}; copy or build it again")]
    Damaged(String),
    /// QEMU cannot enter it.
    #[error("has no PVH entry point, which QEMU needs; give the bzImage, or build with CONFIG_PVH")]
    NoEntry,
}

impl From<io::Error> for NoKernel {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::PermissionDenied => Self::Forbidden,
            _ => Self::Unreadable(error),
        }
    }
}

/// Finds out what a file is, from its headers alone.
///
/// # Errors
/// It is neither a kernel for x86_64 nor a package, or cannot be read.
pub fn identify(path: &Path) -> Result<FileKind, NoKernel> {
    regular::check(path)?.map_err(NoKernel::NotRegular)?;
    let (file, start) = start(path)?;
    if start.starts_with(b"\x7fELF") {
        return elf(&ReadCache::new(file)).map(FileKind::Image);
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

/// What `uname -r` of a `bzImage` will say; nothing if the file is something else.
pub fn release(path: &Path) -> Option<String> {
    let (file, start) = start(path).ok()?;
    let header = BzImage::read(&start, file.metadata().ok()?.len()).ok()?;
    let mut file = BufReader::new(file);
    file.seek(SeekFrom::Start(header.release_at as u64)).ok()?;
    let mut release = Vec::new();
    file.take(LONGEST_RELEASE as u64).read_to_end(&mut release).ok()?;
    Some(release_at_start(&release))
}

/// Opens a file and reads its beginning.
fn start(path: &Path) -> io::Result<(File, Vec<u8>)> {
    let file = regular::open(path)?;
    let mut start = Vec::new();
    (&file).take(START as u64).read_to_end(&mut start)?;
    Ok((file, start))
}

/// The release that the version of a kernel starts with: `6.12.86-synthetic (root@build) #1`.
fn release_at_start(version: &[u8]) -> String {
    let release = version.split(|byte| matches!(byte, b' ' | 0)).next().unwrap_or_default();
    String::from_utf8_lossy(&release[..release.len().min(LONGEST_RELEASE)]).into_owned()
}

/// What an ELF file is.
fn elf<'data>(data: impl ReadRef<'data>) -> Result<ImageKind, NoKernel> {
    let ident: &[u8] = data.read_bytes_at(0, 20).map_err(|()| NoKernel::SomethingElse)?;
    let machine = u16::from_le_bytes([ident[18], ident[19]]);
    let other = match object::elf::Machine(machine) {
        EM_X86_64 => None,
        EM_386 => Some("i386"),
        EM_AARCH64 => Some("aarch64"),
        EM_RISCV => Some("riscv"),
        _ => Some("another architecture"),
    };
    if let Some(machine) = other {
        return Err(NoKernel::Machine(machine));
    }
    let damaged = |e: object::read::Error| NoKernel::Damaged(e.to_string());
    let header = FileHeader64::<LE>::parse(data).map_err(damaged)?;
    let segments = header.program_headers(LE, data).map_err(damaged)?;
    let loads = || segments.iter().filter(|segment| segment.p_type(LE) == PT_LOAD);
    let needs = loads().map(|load| load.p_offset(LE).saturating_add(load.p_filesz(LE))).max();
    let has = data.len().map_err(|()| NoKernel::SomethingElse)?;
    if let Some(needs) = needs.filter(|needs| *needs > has) {
        return Err(NoKernel::Truncated { has, needs });
    }
    if loads().any(|load| load.p_vaddr(LE) & KERNEL_HALF != 0) {
        for segment in segments {
            let Some(mut notes) = segment.notes(LE, data).map_err(damaged)? else { continue };
            while let Some(note) = notes.next().map_err(damaged)? {
                if note.name() == b"Xen" && note.n_type(LE) == PVH_NOTE {
                    return Ok(ImageKind::Vmlinux);
                }
            }
        }
        return Err(NoKernel::NoEntry);
    }
    let sections = header.sections(LE, data).map_err(damaged)?;
    match sections.section_by_name(LE, b".uml.setup.init") {
        Some(_) => Ok(ImageKind::Uml),
        None => Err(NoKernel::SomethingElse),
    }
}

/// The header of a `bzImage`, where its fields are checked against the file's size.
#[derive(Debug, PartialEq, Eq)]
struct BzImage {
    payload: std::ops::Range<usize>,
    release_at: usize,
}

impl BzImage {
    fn read(start: &[u8], size: u64) -> Result<Self, NoKernel> {
        let bytes = |at: usize, count: usize| start.get(at..at + count).unwrap_or_default();
        let word = |at: usize| {
            bytes(at, 2).try_into().map_or(0, |pair| usize::from(u16::from_le_bytes(pair)))
        };
        let long =
            |at: usize| bytes(at, 4).try_into().map_or(0, |four| u32::from_le_bytes(four) as usize);
        if bytes(0x202, 4) != b"HdrS" || bytes(0x1fe, 2) != [0x55, 0xaa] {
            return Err(other_image(start));
        }
        let protocol = word(0x206);
        // Before 2.12 there is no flag; kernels that old have no migration to test.
        let is_64_bit = protocol < 0x20c || word(0x236) & 1 != 0;
        if !is_64_bit {
            return Err(NoKernel::Machine("i386"));
        }
        if protocol < 0x208 {
            return Err(NoKernel::Damaged(format!("boot protocol {protocol:#x} is too old")));
        }
        let setup_sectors = match bytes(0x1f1, 1) {
            [0] | [] => 4,
            [sectors, ..] => usize::from(*sectors),
        };
        let code = (setup_sectors + 1) * 512;
        let from = code + long(0x248);
        let to = from + long(0x24c);
        let needs = (code + long(0x1f4) * 16).max(to) as u64;
        if size < needs {
            return Err(NoKernel::Truncated { has: size, needs });
        }
        Ok(Self { payload: from..to, release_at: word(0x20e) + 0x200 })
    }
}

/// Why something that is no `bzImage` cannot be booted.
fn other_image(start: &[u8]) -> NoKernel {
    let has = |at: usize, magic: &[u8]| start.get(at..).is_some_and(|at| at.starts_with(magic));
    if has(0x38, b"ARM\x64") {
        NoKernel::Machine("aarch64")
    } else if has(0x30, b"RISCV") {
        NoKernel::Machine("riscv")
    } else if has(0, b"MZ") && has(4, b"zimg") {
        NoKernel::Machine("another architecture (an EFI zboot image)")
    } else {
        NoKernel::SomethingElse
    }
}

/// What is inside of a `bzImage`.
#[derive(Debug)]
pub struct Inside {
    /// What `uname -r` will say.
    pub release: String,
    /// The kernel's ELF; nothing if it has no entry point for QEMU, or is compressed in
    /// an unknown way, so that only the `bzImage` can be booted.
    pub vmlinux: Option<Vec<u8>>,
}

/// Takes a `bzImage` apart.
///
/// # Errors
/// It is no `bzImage`, or it is damaged.
pub fn open(bzimage: &[u8]) -> Result<Inside, NoKernel> {
    let start = &bzimage[..bzimage.len().min(START)];
    let header = BzImage::read(start, bzimage.len() as u64)?;
    let release = release_at_start(bzimage.get(header.release_at..).unwrap_or_default());
    let payload = &bzimage[header.payload];
    let Some(compression) = Compression::of(payload) else {
        return Ok(Inside { release, vmlinux: None });
    };
    let vmlinux =
        compression.open(payload).and_then(|reader| bounded::read(reader, Content::Kernel));
    let vmlinux = vmlinux.map_err(|e| NoKernel::Damaged(e.to_string()))?;
    // The build writes the size after every payload; gzip has it there of itself.
    let size = payload.last_chunk().map_or(0, |size| u32::from_le_bytes(*size) as usize);
    if vmlinux.len() != size {
        let has = vmlinux.len();
        return Err(NoKernel::Damaged(format!("{has} bytes are in it and {size} should be")));
    }
    match elf(&vmlinux[..]) {
        Ok(ImageKind::Vmlinux) => Ok(Inside { release, vmlinux: Some(vmlinux) }),
        Err(NoKernel::NoEntry) => Ok(Inside { release, vmlinux: None }),
        Err(other @ NoKernel::Machine(_)) => Err(other),
        Ok(_) | Err(_) => Err(NoKernel::Damaged("what is in it is no kernel".into())),
    }
}
