//! Kernels that unpack themselves.

use std::io::Read;

use fastrand::Rng;
use vm::boot::compression::Compression;

use super::list::{Inner, edge, get, put};

/// The fields of the boot protocol that are read, with their sizes.
const FIELDS: [(usize, usize); 8] = [
    (0x1f1, 1),
    (0x1f4, 4),
    (0x1fe, 2),
    (0x206, 2),
    (0x20e, 2),
    (0x236, 2),
    (PAYLOAD, 4),
    (PAYLOAD_SIZE, 4),
];
const PAYLOAD: usize = 0x248;
const PAYLOAD_SIZE: usize = 0x24c;

/// No more is unpacked to see how large it is.
const LARGEST: u64 = 4 << 20;

/// A changed image; nothing if it is none.
pub fn changed(input: &[u8], random: &mut Rng, inner: Inner) -> Option<Vec<u8>> {
    if input.get(0x202..0x206) != Some(b"HdrS") {
        return None;
    }
    let mut image = input.to_vec();
    if random.u8(..3) == 0 {
        let (at, size) = *random.choice(&FIELDS)?;
        put(&mut image, at, size, edge(random));
        return Some(image);
    }
    let code = (get(input, 0x1f1, 1)? as usize + 1) * 512;
    let from = code + get(input, PAYLOAD, 4)? as usize;
    let to = from + get(input, PAYLOAD_SIZE, 4)? as usize;
    let payload = input.get(from..to)?;
    // The size of what is unpacked stands after the stream; gzip has it in it.
    let own = if payload.starts_with(&[0x1f, 0x8b]) { 0 } else { 4 };
    let mut payload = inner(payload.get(..payload.len().checked_sub(own)?)?, random);
    if own > 0 || random.u8(..8) == 0 {
        payload.extend((size_of(&payload) as u32).to_le_bytes());
    }
    put(&mut image, PAYLOAD_SIZE, 4, payload.len() as u64);
    image.truncate(from);
    image.extend(payload);
    image.resize(image.len().next_multiple_of(16), 0);
    let paragraphs = image.len().saturating_sub(code) / 16;
    put(&mut image, 0x1f4, 4, paragraphs as u64);
    Some(image)
}

fn size_of(payload: &[u8]) -> usize {
    let mut content = Vec::new();
    if let Some(Ok(reader)) = Compression::of(payload).map(|found| found.open(payload)) {
        // What was read before an error counts.
        let _ = reader.take(LARGEST).read_to_end(&mut content);
    }
    content.len()
}
