//! The compressions of kernels, modules and packages, recognised by their first bytes.

use std::io::{self, Read};

use lzma_rust2::{LzmaReader, XzReader};
use ruzstd::decoding::StreamingDecoder;

/// Kernels are compressed with `zstd --ultra`, whose window is the format's largest.
const ZSTD_WINDOW: u64 = 1 << 27;

/// Kernels are compressed with a dictionary of up to 128 MiB (scripts/xz_wrap.sh), packages with
/// 64 MiB at most. A few bytes can ask for 4 GiB. In KiB.
const XZ_MEMORY: u32 = 256 << 10;

/// No block of the legacy LZ4 format is longer once it is decompressed.
const LZ4_BLOCK: usize = 8 << 20;

/// Nor is it longer than this while it is compressed, however badly that went.
const LZ4_COMPRESSED: usize = LZ4_BLOCK + LZ4_BLOCK / 255 + 16;

/// A compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// `gzip`.
    Gzip,
    /// `xz`.
    Xz,
    /// `lzma`, without a magic number to speak of.
    Lzma,
    /// `zstd`.
    Zstd,
    /// `lz4 -l`, as kernels use it.
    Lz4,
}

impl Compression {
    /// The compression of what starts with these bytes; six are enough.
    pub fn of(start: &[u8]) -> Option<Self> {
        const MAGICS: [(&[u8], Compression); 5] = [
            (&[0x1f, 0x8b], Compression::Gzip),
            (b"\xfd7zXZ\0", Compression::Xz),
            (&[0x5d, 0, 0], Compression::Lzma),
            (&[0x28, 0xb5, 0x2f, 0xfd], Compression::Zstd),
            (&[0x02, 0x21, 0x4c, 0x18], Compression::Lz4),
        ];
        MAGICS.iter().find(|(magic, _)| start.starts_with(magic)).map(|(_, found)| *found)
    }

    /// What `input` is when decompressed. Bytes after its end do not matter.
    ///
    /// # Errors
    /// The first bytes are damaged; damage further on is an error of the reader.
    pub fn open<'a>(self, input: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::Gzip => Box::new(flate2::read::GzDecoder::new(input)),
            Self::Xz => Box::new(XzReader::new_mem_limit(input, false, XZ_MEMORY)),
            Self::Lzma => Box::new(LzmaReader::new_mem_limit(input, XZ_MEMORY, None)?),
            Self::Zstd => Box::new(
                StreamingDecoder::new_with_max_window_size(input, ZSTD_WINDOW)
                    .map_err(io::Error::other)?,
            ),
            Self::Lz4 => Box::new(LegacyLz4::new(input)?),
        })
    }
}

/// Blocks with their compressed lengths before them. A length that is more than what is
/// left, or than a block can have, is the size that the kernel's build adds after the last block.
struct LegacyLz4<R> {
    from: R,
    /// The block that was decompressed last, and how much of it was read.
    block: Vec<u8>,
    read: usize,
}

impl<R: Read> LegacyLz4<R> {
    fn new(mut from: R) -> io::Result<Self> {
        from.read_exact(&mut [0; 4])?;
        Ok(Self { from, block: vec![], read: 0 })
    }

    /// Decompresses the next block; false after the last.
    fn next_block(&mut self) -> io::Result<bool> {
        let mut length = [0; 4];
        let there = read_up_to(&mut self.from, &mut length)?;
        let length = u32::from_le_bytes(length) as usize;
        if there < 4 || length > LZ4_COMPRESSED {
            return Ok(false);
        }
        let mut compressed = Vec::new();
        (&mut self.from).take(length as u64).read_to_end(&mut compressed)?;
        if compressed.len() < length {
            return Ok(false);
        }
        self.block.resize(LZ4_BLOCK, 0);
        let size = lz4_flex::block::decompress_into(&compressed, &mut self.block)
            .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
        self.block.truncate(size);
        self.read = 0;
        Ok(true)
    }
}

impl<R: Read> Read for LegacyLz4<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.read == self.block.len() {
            if !self.next_block()? {
                return Ok(0);
            }
        }
        let count = Read::read(&mut &self.block[self.read..], buffer)?;
        self.read += count;
        Ok(count)
    }
}

/// Fills a buffer as far as there is something to read.
fn read_up_to(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut all = 0;
    loop {
        match from.read(&mut buffer[all..]) {
            Ok(0) => return Ok(all),
            Ok(count) => all += count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_not_compressed() {
        assert_eq!(Compression::of(b""), None);
        assert_eq!(Compression::of(b"\x7fELF"), None);
    }

    /// A block of LZ4 that is nothing but these bytes.
    fn block(bytes: &[u8]) -> Vec<u8> {
        let compressed = lz4_flex::block::compress(bytes);
        [&(compressed.len() as u32).to_le_bytes(), &compressed[..]].concat()
    }

    #[test]
    fn blocks_are_read_one_by_one_up_to_the_size_at_the_end() {
        let size = 2_000_000_u32.to_le_bytes();
        for end in [&size[..], &size[..2], &[]] {
            let all = [b"\x02\x21\x4c\x18", &block(b"one, ")[..], &block(b"two"), end].concat();
            let mut text = String::new();
            let mut reader = Compression::Lz4.open(&all[..]).expect("opened");
            reader.read_to_string(&mut text).expect("decompressed");
            assert_eq!(text, "one, two");
        }
    }

    #[test]
    fn a_few_bytes_cannot_ask_for_gigabytes() {
        // An xz block whose dictionary is as large as there can be.
        let mut xz = b"\xfd7zXZ\0\0\x01\x69\x22\xde\x36".to_vec();
        let header = [2, 0, 0x21, 1, 40, 0, 0, 0];
        let mut crc = flate2::Crc::new();
        crc.update(&header);
        xz.extend(header);
        xz.extend(crc.sum().to_le_bytes());
        xz.extend([0; 16]);
        let mut reader = Compression::Xz.open(&xz[..]).expect("opened");
        let error = reader.read_to_end(&mut vec![]).expect_err("it asks for 4 GiB");
        assert!(error.to_string().contains("memory"), "{error}");
    }
}
