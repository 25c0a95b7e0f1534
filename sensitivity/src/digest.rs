//! What something is known by that may be long: a part of its SHA-256.

use sha2::{Digest, Sha256};

/// Sixteen hexadecimal digits for these bytes, one part after the other.
pub fn digest<T: AsRef<[u8]>>(parts: impl IntoIterator<Item = T>) -> String {
    let mut hash = Sha256::new();
    parts.into_iter().for_each(|part| hash.update(part));
    hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}
