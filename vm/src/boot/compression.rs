//! The compressions of kernels, modules and packages, recognised by their first bytes.

use std::io::{self, Cursor, Read};

use lzma_rust2::{LzmaReader, XzReader};
use ruzstd::decoding::StreamingDecoder;

/// Kernels are compressed with `zstd --ultra`, whose window is the format's largest.
const ZSTD_WINDOW: u64 = 1 << 27;

/// No block of the legacy LZ4 format is longer once it is decompressed.
const LZ4_BLOCK: usize = 8 << 20;

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
            Self::Xz => Box::new(XzReader::new(input, false)),
            Self::Lzma => Box::new(LzmaReader::new_mem_limit(input, 1 << 20, None)?),
            Self::Zstd => Box::new(
                StreamingDecoder::new_with_max_window_size(input, ZSTD_WINDOW)
                    .map_err(io::Error::other)?,
            ),
            Self::Lz4 => Box::new(Cursor::new(legacy_lz4(input)?)),
        })
    }
}

/// Blocks with their compressed lengths before them. A length that is more than what is
/// left is the size that the kernel's build adds after the last block.
fn legacy_lz4(mut input: impl Read) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    input.read_to_end(&mut all)?;
    let mut rest = all.get(4..).unwrap_or_default();
    let mut output = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk() {
        let length = u32::from_le_bytes(*length) as usize;
        let Some((block, after)) = after.split_at_checked(length) else { break };
        let mut decompressed = vec![0; LZ4_BLOCK];
        let size = lz4_flex::block::decompress_into(block, &mut decompressed)
            .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
        output.extend_from_slice(&decompressed[..size]);
        rest = after;
    }
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_not_compressed() {
        assert_eq!(Compression::of(b""), None);
        assert_eq!(Compression::of(b"\x7fELF"), None);
    }
}
