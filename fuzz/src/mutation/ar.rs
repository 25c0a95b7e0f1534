//! The archives that Debian's packages are.

use fastrand::Rng;

use super::bytes::overwritten;
use super::list::{Inner, edge, reordered};

const MAGIC: &[u8] = b"!<arch>\n";
const HEADER: usize = 60;
const LENGTH: std::ops::Range<usize> = 48..58;

/// A changed archive; nothing if it is none.
pub fn changed(input: &[u8], random: &mut Rng, inner: Inner) -> Option<Vec<u8>> {
    let mut members = members(input.strip_prefix(MAGIC)?);
    let last = members.len().checked_sub(1)?;
    let (header, data) = &mut members[random.usize(..=last)];
    match random.u8(..8) {
        0 => reordered(&mut members, random),
        1 => overwritten(header, random),
        2 => {
            let text = format!("{:<10}", edge(random));
            header[LENGTH].copy_from_slice(&text.as_bytes()[..LENGTH.len()]);
        }
        _ => {
            *data = inner(data, random);
            let text = format!("{:<10}", data.len());
            header[LENGTH].copy_from_slice(&text.as_bytes()[..LENGTH.len()]);
        }
    }
    let mut archive = MAGIC.to_vec();
    for (header, data) in members {
        archive.extend(header);
        archive.extend(&data);
        archive.extend(&b"\n"[..data.len() % 2]);
    }
    Some(archive)
}

/// The headers and contents of the members that are whole.
fn members(mut rest: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut members = Vec::new();
    while let Some((header, tail)) = rest.split_at_checked(HEADER) {
        let length = std::str::from_utf8(&header[LENGTH]).ok();
        let length = length.and_then(|text| text.trim_end().parse::<usize>().ok());
        let Some(data) = length.and_then(|length| tail.get(..length)) else { break };
        members.push((header.to_vec(), data.to_vec()));
        rest = tail.get(data.len() + data.len() % 2..).unwrap_or_default();
    }
    members
}
