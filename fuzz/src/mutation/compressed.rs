//! Compressed streams: changed as they are, or in what they hold.

use std::io::Read;

use fastrand::Rng;
use vm::boot::compression::Compression;

use super::bytes;
use super::list::Inner;
use crate::corpus::synthetic::compressed;

/// No more is taken out of a stream to be changed.
const LARGEST: u64 = 4 << 20;

/// A changed stream; nothing if it is none that can be read.
pub fn changed(input: &[u8], random: &mut Rng, inner: Inner) -> Option<Vec<u8>> {
    let compression = Compression::of(input)?;
    if random.u8(..3) == 0 {
        // Headers are short, and say the most.
        let end = if random.bool() { input.len() } else { input.len().min(32) };
        return Some([&bytes::changed(&input[..end], random), &input[end..]].concat());
    }
    let mut content = Vec::new();
    compression.open(input).ok()?.take(LARGEST).read_to_end(&mut content).ok()?;
    let mut content = inner(&content, random);
    content.truncate(LARGEST as usize);
    let with = match compression {
        Compression::Gzip => "gz",
        Compression::Xz => "xz",
        Compression::Lzma => "lzma",
        Compression::Zstd => "zst",
        Compression::Lz4 => "lz4",
    };
    let other = random.choice(["gz", "xz", "lzma", "zst", "lz4", ""])?;
    Some(compressed(if random.u8(..8) == 0 { other } else { with }, &content))
}
