//! RPM packages, without rpm: a lead, two headers, and a compressed cpio archive, as
//! rpm's docs/manual/format_v4.md has them.

use std::io::{self, BufReader, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::boot::package::about::About;
use crate::boot::package::archive::{self, Visit};
use crate::boot::package::bad_package::BadPackage;
use crate::boot::regular;
use crate::fetch::packages::hex;

/// What a package starts with. Nothing in it is needed.
const LEAD: usize = 96;

/// Tags of the header (rpmtag.h).
mod tag {
    pub(super) const NAME: u32 = 1000;
    pub(super) const REQUIRE_NAME: u32 = 1049;
    /// The SHA-256 of the compressed archive.
    pub(super) const PAYLOAD_DIGEST: u32 = 5092;
    /// With which algorithm; [`SHA256`](super::SHA256) in all packages of today.
    pub(super) const PAYLOAD_DIGEST_ALGORITHM: u32 = 5093;
}

/// The number of SHA-256 among the algorithms.
const SHA256: u32 = 8;

/// Visits the files that the package installs, and checks that its archive is undamaged.
///
/// # Errors
/// The package is damaged, or `visit` has an error.
pub fn files(rpm: &Path, visit: Visit<'_>) -> Result<(), BadPackage> {
    let (header, file) = open(rpm)?;
    let mut payload = Hashed { inner: file, hash: Sha256::new() };
    archive::cpio(archive::decompressed(BufReader::new(&mut payload))?, visit)?;
    io::copy(&mut payload, &mut io::sink())?;
    let is_sha256 = header.number(tag::PAYLOAD_DIGEST_ALGORITHM) == Some(SHA256);
    let listed = header.strings(tag::PAYLOAD_DIGEST).into_iter().next().filter(|_| is_sha256);
    match listed {
        Some(listed) if listed != hex(&payload.hash.finalize()) => {
            Err(BadPackage::Damaged("its archive has not the hash that its header says".into()))
        }
        _ => Ok(()),
    }
}

/// What a package says of itself.
///
/// # Errors
/// The package is damaged.
pub fn about(rpm: &Path) -> Result<About, BadPackage> {
    let (header, _) = open(rpm)?;
    let name = header.strings(tag::NAME).into_iter().next().unwrap_or_default();
    Ok(About { name, depends: header.strings(tag::REQUIRE_NAME) })
}

/// Reads a package up to its archive.
fn open(rpm: &Path) -> Result<(Header, impl Read), BadPackage> {
    let mut file = BufReader::new(regular::open(rpm).map_err(BadPackage::Unreadable)?);
    file.read_exact(&mut [0; LEAD])?;
    let signatures = Header::read(&mut file)?;
    // Only the first of the two headers is padded.
    let padding = signatures.store.len().next_multiple_of(8) - signatures.store.len();
    file.read_exact(&mut [0; 8][..padding])?;
    Ok((Header::read(&mut file)?, file))
}

/// A header: numbered entries, each with a type, and a store that they point into.
struct Header {
    index: Vec<Entry>,
    store: Vec<u8>,
}

struct Entry {
    tag: u32,
    kind: u32,
    offset: usize,
    count: usize,
}

impl Header {
    /// No package requires so many others.
    const MOST_STRINGS: usize = 0xffff;
    /// The limits of rpm itself (lib/header_internal.hh).
    const MOST_ENTRIES: u32 = 0xffff;
    const LARGEST_STORE: u32 = 0x0fff_ffff;

    fn read(from: &mut impl Read) -> Result<Self, BadPackage> {
        let mut start = [0; 16];
        from.read_exact(&mut start)?;
        let (count, size) = (number_at(&start, 8), number_at(&start, 12));
        if !start.starts_with(&[0x8e, 0xad, 0xe8, 1])
            || count > Self::MOST_ENTRIES
            || size > Self::LARGEST_STORE
        {
            return Err(BadPackage::Damaged("a header is none".into()));
        }
        let mut index = Vec::new();
        for _ in 0..count {
            let mut entry = [0; 16];
            from.read_exact(&mut entry)?;
            index.push(Entry {
                tag: number_at(&entry, 0),
                kind: number_at(&entry, 4),
                offset: number_at(&entry, 8) as usize,
                count: number_at(&entry, 12) as usize,
            });
        }
        // What is not there is not made room for.
        let mut store = Vec::new();
        if from.take(size.into()).read_to_end(&mut store)? < size as usize {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        Ok(Self { index, store })
    }

    /// The strings under a tag; none if it has others or is not there.
    fn strings(&self, tag: u32) -> Vec<String> {
        const STRING: u32 = 6;
        const STRING_ARRAY: u32 = 8;
        let Some((entry, data)) = self.find(tag) else { return Vec::new() };
        let count = match entry.kind {
            STRING => 1,
            STRING_ARRAY => entry.count,
            _ => 0,
        };
        let strings = data.split(|byte| *byte == 0).take(count.min(Self::MOST_STRINGS));
        strings.map(|string| String::from_utf8_lossy(string).into_owned()).collect()
    }

    /// The first number under a tag.
    fn number(&self, tag: u32) -> Option<u32> {
        const INT32: u32 = 4;
        let (entry, data) = self.find(tag)?;
        (entry.kind == INT32 && data.len() >= 4).then(|| number_at(data, 0))
    }

    fn find(&self, tag: u32) -> Option<(&Entry, &[u8])> {
        let entry = self.index.iter().find(|entry| entry.tag == tag)?;
        Some((entry, self.store.get(entry.offset..)?))
    }
}

/// The number in the four bytes at `at`, the most significant first.
fn number_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// A reader that hashes what is read.
struct Hashed<R> {
    inner: R,
    hash: Sha256,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hash.update(&buffer[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_of_nothing_but_empty_strings_is_read_up_to_a_limit() {
        let store = vec![0; 1 << 20];
        let kind = 8;
        let entry = Entry { tag: tag::REQUIRE_NAME, kind, offset: 0, count: usize::MAX };
        let header = Header { index: vec![entry], store };
        assert_eq!(header.strings(tag::REQUIRE_NAME).len(), Header::MOST_STRINGS);
    }
}
