//! RPM packages.

use fastrand::Rng;
use sha2::{Digest, Sha256};

use super::bytes::overwritten;
use super::list::{Inner, edge};

const LEAD: usize = 96;
/// Magic, count of entries, size of the store.
const START: usize = 16;
const ENTRY: usize = 16;

/// A changed package; nothing if it is none.
pub fn changed(input: &[u8], random: &mut Rng, inner: Inner) -> Option<Vec<u8>> {
    if !input.starts_with(&[0xed, 0xab, 0xee, 0xdb]) {
        return None;
    }
    let signatures = header(input, LEAD)?;
    let header = header(input, signatures.next_multiple_of(8))?;
    let (mut headers, payload) = (input[..header].to_vec(), &input[header..]);
    let second = signatures.next_multiple_of(8);
    let payload = match random.u8(..4) {
        0 => {
            // A field of an entry, or one of the header's own two numbers.
            let start = if random.bool() { second } else { LEAD };
            let count = number(&headers, start + 8)? as usize;
            let field = start + 8 + 4 * random.usize(..2 + 4 * count);
            let new = (edge(random) as u32).to_be_bytes();
            headers.get_mut(field..field + 4)?.copy_from_slice(&new);
            payload.to_vec()
        }
        1 => {
            overwritten(&mut headers[second..], random);
            payload.to_vec()
        }
        _ => {
            let new = inner(payload, random);
            replace(&mut headers, &digest(payload), &digest(&new));
            new
        }
    };
    Some([headers, payload].concat())
}

/// Where the header at `at` ends.
fn header(input: &[u8], at: usize) -> Option<usize> {
    let (count, size) = (number(input, at + 8)? as usize, number(input, at + 12)? as usize);
    Some(at + START + count * ENTRY + size).filter(|end| *end <= input.len())
}

fn number(input: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(input.get(at..at + 4)?.try_into().ok()?))
}

fn digest(payload: &[u8]) -> Vec<u8> {
    Sha256::digest(payload).iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect()
}

fn replace(bytes: &mut [u8], old: &[u8], new: &[u8]) {
    if let Some(at) = bytes.windows(old.len()).position(|window| window == old) {
        bytes[at..at + new.len()].copy_from_slice(new);
    }
}
