//! cpio archives, as they are in RPM packages.

use fastrand::Rng;

use super::list::{Inner, edge, reordered};

const HEADER: usize = 6 + 13 * 8;
/// Numbers of eight digits, counted from the first.
const FILE_SIZE: usize = 6;
const NAME_SIZE: usize = 11;

#[derive(Clone)]
struct Entry {
    header: Vec<u8>,
    name: Vec<u8>,
    data: Vec<u8>,
}

/// A changed archive; nothing if it is none.
pub fn changed(input: &[u8], random: &mut Rng, inner: Inner) -> Option<Vec<u8>> {
    let mut entries = entries(input);
    let last = entries.len().checked_sub(1)?;
    let entry = &mut entries[random.usize(..=last)];
    match random.u8(..8) {
        0 => reordered(&mut entries, random),
        1 | 2 => set(&mut entry.header, random.usize(..13), edge(random)),
        3 => {
            entry.name = inner(&entry.name, random);
            set(&mut entry.header, NAME_SIZE, entry.name.len() as u64);
        }
        4 => entry.header[..6].copy_from_slice(random.choice([b"070702", b"07070X", b"070707"])?),
        _ => {
            entry.data = inner(&entry.data, random);
            set(&mut entry.header, FILE_SIZE, entry.data.len() as u64);
        }
    }
    let mut archive = Vec::new();
    for Entry { header, name, data } in entries {
        for part in [[header, name].concat(), data] {
            archive.extend(part);
            archive.resize(archive.len().next_multiple_of(4), 0);
        }
    }
    Some(archive)
}

fn entries(input: &[u8]) -> Vec<Entry> {
    let (mut entries, mut at) = (Vec::new(), 0);
    while let Some(header) = input.get(at..at + HEADER).filter(|h| h.starts_with(b"07070")) {
        let number = |which: usize| {
            let digits = std::str::from_utf8(&header[6 + which * 8..14 + which * 8]).ok()?;
            usize::from_str_radix(digits, 16).ok()
        };
        let (Some(name_size), Some(size)) = (number(NAME_SIZE), number(FILE_SIZE)) else { break };
        let from = at + HEADER;
        let Some(name) = input.get(from..from + name_size) else { break };
        let from = (from + name_size).next_multiple_of(4);
        let Some(data) = input.get(from..from + size) else { break };
        entries.push(Entry { header: header.into(), name: name.into(), data: data.into() });
        at = (from + size).next_multiple_of(4);
    }
    entries
}

fn set(header: &mut [u8], which: usize, number: u64) {
    let digits = format!("{:08x}", number as u32);
    header[6 + which * 8..14 + which * 8].copy_from_slice(digits.as_bytes());
}
