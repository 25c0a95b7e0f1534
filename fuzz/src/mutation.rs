//! Changes inputs where their formats say that it matters: in the fields of a header, in what an
//! archive or a compressed stream holds, in the values of a document.

mod ar;
mod bytes;
mod bzimage;
mod compressed;
mod cpio;
mod elf;
mod history;
mod json;
mod list;
mod pcapng;
mod rpm;
mod tar;
mod text;

use fastrand::Rng;

/// An input with one change.
pub fn changed(input: &[u8], random: &mut Rng) -> Vec<u8> {
    // Bytes anywhere, whatever the format: damage knows no formats.
    if random.u8(..6) == 0 {
        return bytes::changed(input, random);
    }
    let known = ar::changed(input, random, changed)
        .or_else(|| rpm::changed(input, random, changed))
        .or_else(|| compressed::changed(input, random, changed))
        .or_else(|| tar::changed(input, random, changed))
        .or_else(|| cpio::changed(input, random, changed))
        .or_else(|| bzimage::changed(input, random, changed))
        .or_else(|| elf::changed(input, random))
        .or_else(|| pcapng::changed(input, random, changed))
        .or_else(|| history::changed(input, random))
        .or_else(|| json::changed(input, random))
        .or_else(|| text::changed(input, random));
    known.unwrap_or_else(|| bytes::changed(input, random))
}
