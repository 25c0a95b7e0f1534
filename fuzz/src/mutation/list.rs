//! What all formats have in common: parts in an order, and numbers with edges.

use fastrand::Rng;

/// Changes what is in a part, by its own format.
pub type Inner = fn(&[u8], &mut Rng) -> Vec<u8>;

/// Removes a part, repeats one, or exchanges two.
pub fn reordered<T: Clone>(parts: &mut Vec<T>, random: &mut Rng) {
    if parts.is_empty() {
        return;
    }
    let (one, other) = (random.usize(..parts.len()), random.usize(..parts.len()));
    match random.u8(..4) {
        0 => drop(parts.remove(one)),
        1 => parts.insert(other, parts[one].clone()),
        2 => parts.swap(one, other),
        _ => parts.truncate(one + 1),
    }
}

/// A number at which programs go wrong: powers of two and their neighbours, small ones, and any.
pub fn edge(random: &mut Rng) -> u64 {
    let power = 1_u64 << random.u8(..64);
    match random.u8(..6) {
        0 => power,
        1 => power - 1,
        2 => power.wrapping_add(1),
        3 => power.wrapping_neg(),
        4 => random.u64(..20),
        _ => random.u64(..),
    }
}

/// Writes a number into the bytes at `at`, the least significant first; no more than there are.
pub fn put(bytes: &mut [u8], at: usize, size: usize, number: u64) {
    for (byte, digit) in bytes.iter_mut().skip(at).take(size).zip(number.to_le_bytes()) {
        *byte = digit;
    }
}

/// The number in the `size` bytes at `at`, the least significant first.
pub fn get(bytes: &[u8], at: usize, size: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(size)?)?;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}
