//! Captures.

use fastrand::Rng;

use super::bytes::overwritten;
use super::list::{Inner, edge, get, put, reordered};

/// The type of a block with a packet, and where the packet is in it.
const PACKET: u64 = 6;
const DATA: usize = 28;

/// A changed capture; nothing if it is none.
pub fn changed(input: &[u8], random: &mut Rng, inner: Inner) -> Option<Vec<u8>> {
    if !input.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]) {
        return None;
    }
    let mut blocks = blocks(input);
    let last = blocks.len().checked_sub(1)?;
    let block = &mut blocks[random.usize(..=last)];
    match random.u8(..10) {
        0 => reordered(&mut blocks, random),
        1 => {
            let field = random.usize(..block.len() / 4) * 4;
            put(block, field, 4, edge(random));
        }
        2 => overwritten(block, random),
        3 => *block = sized(inner(block, random)),
        _ => {
            let length = get(block, 20, 4).filter(|_| get(block, 0, 4) == Some(PACKET));
            let data = block.get_mut(DATA..DATA + length? as usize)?;
            // The headers of the packet, and not what it carries.
            let headers = data.len().min(80);
            overwritten(&mut data[..headers], random);
        }
    }
    Some(blocks.concat())
}

fn blocks(mut rest: &[u8]) -> Vec<Vec<u8>> {
    let mut blocks = Vec::new();
    while let Some(length) = get(rest, 4, 4).filter(|length| *length >= 12) {
        let Some(block) = rest.get(..length as usize) else { break };
        blocks.push(block.to_vec());
        rest = &rest[block.len()..];
    }
    blocks
}

/// A block that has the length that it says, at both of its ends.
fn sized(mut block: Vec<u8>) -> Vec<u8> {
    block.resize(block.len().next_multiple_of(4).max(12), 0);
    let (length, end) = (block.len() as u64, block.len() - 4);
    put(&mut block, 4, 4, length);
    put(&mut block, end, 4, length);
    block
}
