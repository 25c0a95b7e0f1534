//! Files that might be kernels.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use object::LittleEndian as LE;
use object::elf::{EM_386, EM_AARCH64, EM_RISCV, EM_X86_64, FileHeader64, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader};
use object::read::{ReadCache, ReadRef};

use crate::boot::bounded::{self, Content};
use crate::boot::compression::Compression;

/// The note of the entry point that QEMU jumps to: `XEN_ELFNOTE_PHYS32_ENTRY`.
const PVH_NOTE: object::elf::NoteType = object::elf::NoteType(18);

/// A kernel's virtual addresses have the top bit; a process has no such address.
const KERNEL_HALF: u64 = 1 << 63;

/// Enough of a file's beginning to see what it is.
const START: usize = 0x300;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageKind {
    /// A compressed kernel with the code that unpacks it.
    BzImage,
    /// A kernel's ELF, with the entry point that QEMU needs.
    Vmlinux,
    /// A kernel that is a process: User-Mode Linux.
    Uml,
    /// A Debian package.
    Deb,
}

/// A file is not a kernel that can be booted here.
#[derive(Debug, thiserror::Error)]
pub enum NoKernel {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// It is a directory.
    #[error("is a directory; name the bzImage, vmlinux, .deb or UML binary in it")]
    Directory,
    /// It is something else altogether.
    #[error("is not a kernel: neither a bzImage nor a vmlinux, a .deb or a UML binary")]
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

/// Finds out what a file is, from its headers alone.
///
/// # Errors
/// It is no kernel for x86_64, or cannot be read.
pub fn identify(path: &Path) -> Result<ImageKind, NoKernel> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(NoKernel::Directory);
    }
    if !metadata.is_file() {
        return Err(NoKernel::SomethingElse);
    }
    let mut start = Vec::new();
    (&file).take(START as u64).read_to_end(&mut start)?;
    if start.starts_with(b"!<arch>\n") {
        return Ok(ImageKind::Deb);
    }
    if start.starts_with(b"\x7fELF") {
        return elf(&ReadCache::new(file));
    }
    BzImage::read(&start, metadata.len()).map(|_| ImageKind::BzImage)
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
    let release = bzimage.get(header.release_at..).unwrap_or_default();
    let release = release.split(|byte| matches!(byte, b' ' | 0)).next().unwrap_or_default();
    let release = String::from_utf8_lossy(&release[..release.len().min(64)]).into_owned();
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
