//! x86's `bzImage`: a compressed kernel with the code that unpacks it
//! (Documentation/arch/x86/boot.rst).

use crate::boot::bounded::{self, Content};
use crate::boot::compression::Compression;
use crate::boot::kernel_elf::{self, ElfKind};
use crate::boot::no_kernel::NoKernel;

/// Enough of a file's beginning to see whether it is one.
pub(crate) const START: usize = 0x300;

/// No release is longer (`__NEW_UTS_LEN`).
pub(crate) const LONGEST_RELEASE: usize = 64;

/// The header, where its fields are checked against the file's size.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BzImage {
    payload: std::ops::Range<usize>,
    /// Where the version is.
    pub(crate) release_at: usize,
}

impl BzImage {
    /// Reads the header of a file of this size.
    ///
    /// # Errors
    /// It is no `bzImage`, or one that cannot be booted.
    pub(crate) fn read(start: &[u8], size: u64) -> Result<Self, NoKernel> {
        let bytes = |at: usize, count: usize| start.get(at..at + count).unwrap_or_default();
        let word = |at: usize| {
            bytes(at, 2).try_into().map_or(0, |pair| usize::from(u16::from_le_bytes(pair)))
        };
        let long =
            |at: usize| bytes(at, 4).try_into().map_or(0, |four| u32::from_le_bytes(four) as usize);
        if bytes(0x202, 4) != b"HdrS" || bytes(0x1fe, 2) != [0x55, 0xaa] {
            return Err(NoKernel::SomethingElse);
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

/// The release that the version of a kernel starts with: `6.12.86-synthetic (root@build) #1`.
pub(crate) fn release_at_start(version: &[u8]) -> String {
    let release = version.split(|byte| matches!(byte, b' ' | 0)).next().unwrap_or_default();
    String::from_utf8_lossy(&release[..release.len().min(LONGEST_RELEASE)]).into_owned()
}

/// What is inside of a `bzImage`.
#[derive(Debug)]
pub(crate) struct Inside {
    /// What `uname -r` will say.
    pub(crate) release: String,
    /// The kernel's ELF; nothing if it has no entry point for QEMU, or is compressed in
    /// an unknown way, so that only the `bzImage` can be booted.
    pub(crate) vmlinux: Option<Vec<u8>>,
}

/// Takes a `bzImage` apart.
///
/// # Errors
/// It is no `bzImage`, or it is damaged.
pub(crate) fn open(bzimage: &[u8]) -> Result<Inside, NoKernel> {
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
    match kernel_elf::identify(&vmlinux[..]) {
        Ok(ElfKind::Vmlinux) => Ok(Inside { release, vmlinux: Some(vmlinux) }),
        Err(NoKernel::NoEntry) => Ok(Inside { release, vmlinux: None }),
        Err(other @ NoKernel::Machine(_)) => Err(other),
        Ok(_) | Err(_) => Err(NoKernel::Damaged("what is in it is no kernel".into())),
    }
}
