//! tar archives.

use fastrand::Rng;

use super::bytes::overwritten;
use super::list::{Inner, edge, reordered};

const BLOCK: usize = 512;
const NAME: std::ops::Range<usize> = 0..100;
const SIZE: std::ops::Range<usize> = 124..136;
const CHECKSUM: std::ops::Range<usize> = 148..156;
const KIND: usize = 156;

/// Every kind of entry that some tar writes.
const KINDS: &[u8] = b"01234567\0gxLKSVDMA";

/// Where an archive should not write, and where something is looked for.
const NAMES: [&[u8]; 8] = [
    b"../../../escape",
    b"/boot/vmlinuz-1",
    b"./lib/modules/../../x/kernel/a.ko",
    b"lib/modules/6.1/kernel/\xff\xfe.ko.xz",
    b"./lib/modules//vmlinuz",
    b"boot/config-",
    b"./usr/lib/modules/6.12.86-synthetic/modules.builtin",
    b"",
];

/// A changed archive; nothing if it is none.
pub fn changed(input: &[u8], random: &mut Rng, inner: Inner) -> Option<Vec<u8>> {
    if input.get(257..262) != Some(b"ustar") {
        return None;
    }
    let mut entries = entries(input);
    let last = entries.len().checked_sub(1)?;
    let (header, content) = &mut entries[random.usize(..=last)];
    match random.u8(..12) {
        0 => reordered(&mut entries, random),
        1 => overwritten(header, random),
        2 => header[KIND] = *random.choice(KINDS)?,
        3 => {
            let name = random.choice(NAMES)?;
            header[NAME].fill(0);
            header[..name.len()].copy_from_slice(name);
        }
        4 => size(header, edge(random), random.bool()),
        5 => {
            let field = random.usize(..500);
            let end = (field + random.usize(1..12)).min(500);
            overwritten(&mut header[field..end], random);
        }
        6 => {
            header[KIND] = b'x';
            let (count, name) = (edge(random) % 200, random.choice(NAMES)?);
            *content = [format!("{count} path=").as_bytes(), name, b"\n"].concat();
            size(header, content.len() as u64, false);
        }
        _ => {
            *content = inner(content, random);
            size(header, content.len() as u64, false);
        }
    }
    let mut archive = Vec::new();
    for (mut header, content) in entries {
        sign(&mut header);
        archive.extend(header);
        archive.extend(content);
        archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    }
    archive.resize(archive.len() + 2 * BLOCK, 0);
    Some(archive)
}

fn entries(mut rest: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut entries = Vec::new();
    while let Some((header, tail)) = rest.split_at_checked(BLOCK) {
        let digits = std::str::from_utf8(&header[SIZE]).unwrap_or_default();
        let digits = digits.trim_matches(['\0', ' ']);
        let Ok(size) = usize::from_str_radix(digits, 8) else { break };
        let Some(content) = tail.get(..size) else { break };
        entries.push((header.to_vec(), content.to_vec()));
        rest = tail.get(size.next_multiple_of(BLOCK)..).unwrap_or_default();
    }
    entries
}

/// Writes a size: in octal digits, or as GNU's tar writes what does not fit.
fn size(header: &mut [u8], size: u64, in_binary: bool) {
    let field = &mut header[SIZE];
    if in_binary {
        field.fill(0);
        field[0] = 0x80;
        field[4..].copy_from_slice(&size.to_be_bytes());
    } else {
        let digits = format!("{size:011o}");
        field[..11].copy_from_slice(&digits.as_bytes()[..11]);
        field[11] = 0;
    }
}

/// Without a checksum that is right nothing else of a header is looked at.
fn sign(header: &mut [u8]) {
    header[CHECKSUM].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}
