//! Damage that knows no format.

use fastrand::Rng;

use super::list::{edge, put};

/// No input grows beyond this by repeated changes.
const LARGEST: usize = 1 << 20;

/// An input in which bytes were changed, inserted, repeated or lost.
pub fn changed(input: &[u8], random: &mut Rng) -> Vec<u8> {
    let mut bytes = input.to_vec();
    if bytes.is_empty() {
        bytes.push(random.u8(..));
    }
    let at = random.usize(..bytes.len());
    let longest = 1 << random.u8(..12);
    let end = (at + 1 + random.usize(..longest)).min(bytes.len());
    match random.u8(..8) {
        0 => bytes[at] ^= 1 << random.u8(..8),
        1 => bytes[at] = random.u8(..),
        2 => bytes.truncate(at),
        3 => drop(bytes.drain(at..end)),
        4 => {
            let part = bytes[at..end].to_vec();
            bytes.splice(at..at, part);
        }
        5 => {
            let size = 1 << random.u8(..4);
            put(&mut bytes, at, size, edge(random));
        }
        6 => bytes[at..end].fill(*random.choice(&[0, 0xff, b' ', b'0', b'\n']).unwrap_or(&0)),
        _ => {
            let more: Vec<u8> = (0..end - at).map(|_| random.u8(..)).collect();
            bytes.splice(at..at, more);
        }
    }
    bytes.truncate(LARGEST);
    bytes
}

/// The same, in as many bytes as before.
pub fn overwritten(field: &mut [u8], random: &mut Rng) {
    let changed = changed(field, random);
    for (byte, new) in field.iter_mut().zip(changed) {
        *byte = new;
    }
}
