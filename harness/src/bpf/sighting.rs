//! What a program is shown: every field of its context, kept in a map.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use super::instruction::Width::{Double, Half, Word};
use super::instruction::{
    Assembler, FRAME, Helper, R0, R1, R2, R3, R4, R6, R7, R8, Register as Machine, Width,
};
use super::map::{Counts, MapKind, make, read_array};
use super::statement::{context, look_up, place, sock};
use crate::error::Result;

/// How many runs of a program are kept.
const ROOM: u32 = 16;

/// Offsets in an element of the map.
mod kept {
    pub const DIRECT: i16 = 0;
    pub const LEN: i16 = 8;
    pub const ETH_PROTOCOL: i16 = 12;
    pub const IP_PROTOCOL: i16 = 16;
    pub const BIND_INANY: i16 = 20;
    pub const HASH: i16 = 24;
    pub const LISTENER_FAMILY: i16 = 28;
    pub const LISTENER_PORT: i16 = 32;
    pub const LISTENER_STATE: i16 = 36;
    pub const LISTENER_COOKIE: i16 = 40;
    pub const MIGRATING_COOKIE: i16 = 48;
    pub const MIGRATING_FAMILY: i16 = 56;
    pub const MIGRATING_PORT: i16 = 60;
    pub const MIGRATING_STATE: i16 = 64;
    pub const MIGRATING_PEER_PORT: i16 = 68;
    pub const HEADER: i16 = 72;
    pub const HEADER_RESULT: i16 = 96;
    pub const BYTES: usize = 104;
}

/// The part of a TCP header that every segment has.
const HEADER_BYTES: usize = 20;

/// Runs of a program, in their order.
pub struct Sightings {
    records: OwnedFd,
    taken: Counts,
}

/// What a program was shown in one run (`struct sk_reuseport_md`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// Bytes between `data` and `data_end`, which the program can read directly.
    pub direct: i64,
    /// `len`: bytes of the packet from its TCP header on.
    pub len: u32,
    /// `eth_protocol`, in the machine's own order: 0x0800, 0x86dd, 0.
    pub eth_protocol: u16,
    /// `ip_protocol`.
    pub ip_protocol: u32,
    /// `bind_inany`.
    pub bind_inany: u32,
    /// `hash`.
    pub hash: u32,
    /// `sk`: the listener that was found, or that closed.
    pub listener: SeenSocket,
    /// `migrating_sk`, where there is one.
    pub migrating: Option<SeenSocket>,
    /// The TCP header, where there is a packet.
    pub header: Option<[u8; HEADER_BYTES]>,
}

/// A socket as programs see one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenSocket {
    /// Its address family.
    pub family: u32,
    /// Its own port.
    pub port: u32,
    /// The other end's port; 0 for listeners.
    pub peer_port: u16,
    /// Its state, by number.
    pub state: u32,
    /// What `SO_COOKIE` says of it.
    pub cookie: u64,
}

impl Sightings {
    /// None yet.
    pub fn new() -> Result<Self> {
        let records = make(MapKind::Array, 4, kept::BYTES as u32, ROOM)?;
        Ok(Self { records, taken: Counts::new(1)? })
    }

    /// All that were kept, in the order of the runs.
    pub fn all(&self) -> Result<Vec<Sighting>> {
        let runs = self.taken.get(0)?.clamp(0, i64::from(ROOM)) as u32;
        (0..runs)
            .map(|index| {
                let mut bytes = [0; kept::BYTES];
                read_array(self.records.as_fd(), index, &mut bytes)?;
                Ok(Sighting::read(&bytes))
            })
            .collect()
    }
}

impl Sighting {
    fn read(bytes: &[u8; kept::BYTES]) -> Self {
        let part = |at: i16, len: usize| &bytes[at as usize..][..len];
        let word = |at: i16| u32::from_ne_bytes(part(at, 4).try_into().unwrap_or_default());
        let double = |at: i16| u64::from_ne_bytes(part(at, 8).try_into().unwrap_or_default());
        let migrating = SeenSocket {
            family: word(kept::MIGRATING_FAMILY),
            port: word(kept::MIGRATING_PORT),
            peer_port: u16::from_be(word(kept::MIGRATING_PEER_PORT) as u16),
            state: word(kept::MIGRATING_STATE),
            cookie: double(kept::MIGRATING_COOKIE),
        };
        let header = part(kept::HEADER, HEADER_BYTES).try_into().ok();
        Self {
            direct: double(kept::DIRECT) as i64,
            len: word(kept::LEN),
            eth_protocol: u16::from_be(word(kept::ETH_PROTOCOL) as u16),
            ip_protocol: word(kept::IP_PROTOCOL),
            bind_inany: word(kept::BIND_INANY),
            hash: word(kept::HASH),
            listener: SeenSocket {
                family: word(kept::LISTENER_FAMILY),
                port: word(kept::LISTENER_PORT),
                peer_port: 0,
                state: word(kept::LISTENER_STATE),
                cookie: double(kept::LISTENER_COOKIE),
            },
            // No socket has state 0.
            migrating: (migrating.state != 0).then_some(migrating),
            header: header.filter(|_| double(kept::HEADER_RESULT) == 0),
        }
    }
}

/// Code that keeps one run. It goes on behind when there is no room.
pub(super) fn note_everything(code: &mut Assembler, sightings: &Sightings) {
    code.store_value(Word, FRAME, place::INDEX, 0);
    let none = look_up(code, sightings.taken.descriptor(), place::INDEX);
    code.load(Double, R1, R0, 0);
    code.store(Word, FRAME, place::INDEX, R1);
    code.add(R1, 1);
    code.store(Double, R0, 0, R1);
    let full = look_up(code, sightings.records.as_raw_fd(), place::INDEX);
    code.copy(R7, R0);
    note_packet(code);
    note_listener(code);
    note_migrating(code);
    code.land(full);
    code.land(none);
}

/// Copies a field from where `from` points to the element, by way of register 1.
fn copy(code: &mut Assembler, width: Width, from: Machine, offset: i16, to: i16) {
    code.load(width, R1, from, offset);
    let kept_as = if width == Half { Word } else { width };
    code.store(kept_as, R7, to, R1);
}

fn note_packet(code: &mut Assembler) {
    code.load(Double, R1, R6, context::DATA);
    code.load(Double, R2, R6, context::DATA_END);
    code.subtract(R2, R1);
    code.store(Double, R7, kept::DIRECT, R2);
    for (from, to) in [
        (context::LEN, kept::LEN),
        (context::ETH_PROTOCOL, kept::ETH_PROTOCOL),
        (context::IP_PROTOCOL, kept::IP_PROTOCOL),
        (context::BIND_INANY, kept::BIND_INANY),
        (context::HASH, kept::HASH),
    ] {
        copy(code, Word, R6, from, to);
    }
    code.copy(R1, R6);
    code.set(R2, 0);
    code.load_place(R3, place::HEADER);
    code.set(R4, HEADER_BYTES as i32);
    code.call(Helper::LoadBytes);
    code.store(Double, R7, kept::HEADER_RESULT, R0);
    for word in (0..HEADER_BYTES as i16).step_by(4) {
        copy(code, Word, FRAME, place::HEADER + word, kept::HEADER + word);
    }
}

fn note_listener(code: &mut Assembler) {
    code.load(Double, R8, R6, context::SK);
    for (from, to) in [
        (sock::FAMILY, kept::LISTENER_FAMILY),
        (sock::SRC_PORT, kept::LISTENER_PORT),
        (sock::STATE, kept::LISTENER_STATE),
    ] {
        copy(code, Word, R8, from, to);
    }
    code.copy(R1, R8);
    code.call(Helper::Cookie);
    code.store(Double, R7, kept::LISTENER_COOKIE, R0);
}

fn note_migrating(code: &mut Assembler) {
    code.load(Double, R8, R6, context::MIGRATING_SK);
    let new = code.jump_if(R8, 0);
    for (from, to) in [
        (sock::FAMILY, kept::MIGRATING_FAMILY),
        (sock::SRC_PORT, kept::MIGRATING_PORT),
        (sock::STATE, kept::MIGRATING_STATE),
    ] {
        copy(code, Word, R8, from, to);
    }
    copy(code, Half, R8, sock::DST_PORT, kept::MIGRATING_PEER_PORT);
    code.copy(R1, R8);
    code.call(Helper::Cookie);
    code.store(Double, R7, kept::MIGRATING_COOKIE, R0);
    code.land(new);
}
