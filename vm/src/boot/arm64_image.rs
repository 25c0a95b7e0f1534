//! arm64's `Image` (Documentation/arch/arm64/booting.rst): as it is, compressed with gzip, or in
//! an EFI application that unpacks it (`vmlinuz.efi`, `drivers/firmware/efi/libstub/zboot-header.S`).

use std::borrow::Cow;
use std::io;

use crate::boot::bounded::{self, Content};
use crate::boot::bzimage::release_at_start;
use crate::boot::compression::Compression;
use crate::boot::no_kernel::NoKernel;

/// The magic number of an `Image`, and where it is.
const MAGIC: (usize, &[u8]) = (0x38, b"ARM\x64");

/// As much of an `Image` as has its magic number.
const HEADER: usize = 0x40;

/// Where an `Image` says where it is described as an EFI application.
const PE_AT: usize = 0x3c;

/// What an EFI application that unpacks a kernel begins with, and where it says which bytes of it
/// are the kernel.
const ZBOOT: (usize, &[u8]) = (4, b"zimg");
const PAYLOAD_AT: usize = 8;
const PAYLOAD_SIZE: usize = 12;

/// Which of its forms an `Image` has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Plain,
    Gzip,
    Zboot,
}

/// Whether a file that begins like this might be one. An EFI application that unpacks a kernel may
/// have one of another architecture in it.
pub(crate) fn is_one(start: &[u8]) -> bool {
    form(start).is_some()
}

fn form(start: &[u8]) -> Option<Form> {
    let has = |(at, magic): (usize, &[u8])| start.get(at..).is_some_and(|at| at.starts_with(magic));
    if has(MAGIC) {
        return Some(Form::Plain);
    }
    if has((0, b"MZ")) && has(ZBOOT) {
        return Some(Form::Zboot);
    }
    let is_gzip = Compression::of(start) == Some(Compression::Gzip);
    (is_gzip && has_magic_inside(start)).then_some(Form::Gzip)
}

/// Whether the first bytes of what is compressed are an `Image`'s.
fn has_magic_inside(start: &[u8]) -> bool {
    let mut header = [0; HEADER];
    let read = Compression::Gzip
        .open(start)
        .and_then(|mut reader| io::Read::read_exact(&mut reader, &mut header));
    read.is_ok() && header[MAGIC.0..].starts_with(MAGIC.1)
}

/// What is to be booted.
#[derive(Debug)]
pub(crate) struct Inside<'i> {
    /// What `uname -r` will say, if the kernel says it.
    pub(crate) release: Option<String>,
    /// The `Image` as it is.
    pub(crate) image: Cow<'i, [u8]>,
}

/// Unpacks an `Image`.
///
/// # Errors
/// It is none, or is of another architecture, or damaged.
pub(crate) fn open(bytes: &[u8]) -> Result<Inside<'_>, NoKernel> {
    let image = match form(bytes).ok_or(NoKernel::SomethingElse)? {
        Form::Plain => Cow::Borrowed(bytes),
        Form::Gzip => Cow::Owned(unpacked(bytes, Compression::Gzip)?),
        Form::Zboot => {
            let (from, size) = (number(bytes, PAYLOAD_AT), number(bytes, PAYLOAD_SIZE));
            let to = from.saturating_add(size);
            let payload = bytes
                .get(from..to)
                .ok_or(NoKernel::Truncated { has: bytes.len() as u64, needs: to as u64 })?;
            let compression = Compression::of(payload).ok_or_else(|| {
                NoKernel::Damaged("what is in it is compressed in an unknown way".into())
            })?;
            Cow::Owned(unpacked(payload, compression)?)
        }
    };
    if form(&image) != Some(Form::Plain) {
        return Err(NoKernel::Machine("another architecture (an EFI zboot image)"));
    }
    let needs = described_size(&image);
    let has = image.len() as u64;
    if has < needs {
        return Err(NoKernel::Truncated { has, needs });
    }
    Ok(Inside { release: release(&image), image })
}

fn unpacked(bytes: &[u8], compression: Compression) -> Result<Vec<u8>, NoKernel> {
    let read = compression.open(bytes).and_then(|reader| bounded::read(reader, Content::Kernel));
    read.map_err(|e| NoKernel::Damaged(e.to_string()))
}

/// How many bytes an `Image` has at least, by the sections of the EFI application that it is, too;
/// 0 if it is none.
fn described_size(image: &[u8]) -> u64 {
    /// Sizes and offsets of the PE format: the two headers, and a section's.
    const HEADERS: usize = 24;
    const SECTION: usize = 40;
    let pe = number(image, PE_AT);
    if !image.starts_with(b"MZ") || !image.get(pe..).is_some_and(|pe| pe.starts_with(b"PE\0\0")) {
        return 0;
    }
    let half = |at: usize| {
        let bytes = image.get(at..at + 2).and_then(|pair| pair.try_into().ok());
        bytes.map_or(0, |pair| usize::from(u16::from_le_bytes(pair)))
    };
    let first = pe + HEADERS + half(pe + 20);
    let ends = (0..half(pe + 6)).map(|section| {
        let at = first + section * SECTION;
        number(image, at + 20) as u64 + number(image, at + 16) as u64
    });
    ends.max().unwrap_or(0)
}

/// A number of four bytes; 0 where there are none.
fn number(bytes: &[u8], at: usize) -> usize {
    let four = at.checked_add(4).and_then(|end| bytes.get(at..end)?.try_into().ok());
    four.map_or(0, |four| u32::from_le_bytes(four) as usize)
}

/// The release in the line that the kernel begins its log with.
fn release(image: &[u8]) -> Option<String> {
    const BANNER: &[u8] = b"Linux version ";
    let mut rest = image;
    while let Some(at) = rest.windows(BANNER.len()).position(|part| part == BANNER) {
        rest = &rest[at + BANNER.len()..];
        if rest.first().is_some_and(u8::is_ascii_digit) {
            return Some(release_at_start(rest));
        }
    }
    None
}
