//! ELF files: kernels and modules.

use fastrand::Rng;

use super::bytes;
use super::list::{edge, get, put};

const HEADER: usize = 64;

/// A changed file; nothing if it is none.
pub fn changed(input: &[u8], random: &mut Rng) -> Option<Vec<u8>> {
    if !input.starts_with(b"\x7fELF") {
        return None;
    }
    // The file's own header, and the tables that it points to.
    let table = |offset, size, count| {
        let at = get(input, offset, 8)? as usize;
        let length = get(input, size, 2)? as usize * get(input, count, 2)? as usize;
        Some((at, length)).filter(|(at, length)| {
            *length > 0 && at.checked_add(*length).is_some_and(|end| end <= input.len())
        })
    };
    let (segments, sections) = (table(0x20, 0x36, 0x38), table(0x28, 0x3a, 0x3c));
    let tables = [Some((16, HEADER - 16)), segments, sections];
    let mut elf = input.to_vec();
    match random.choice(tables)? {
        Some((at, length)) if random.u8(..4) > 0 => {
            let size = *random.choice(&[2, 4, 8])?;
            let field = at + random.usize(..length) / size * size;
            put(&mut elf, field, size, edge(random));
        }
        _ => elf = bytes::changed(&elf, random),
    }
    Some(elf)
}
