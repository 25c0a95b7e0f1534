//! Records of what a program was called with: every field of its context, stored in a map.

use super::context::{md, sock};
use super::instruction::Width::{Double, Half, Word};
use super::instruction::{
    Assembler, FRAME, Helper, R0, R1, R2, R3, R4, R6, R7, R8, Register, Width,
};
use super::map::{Counts, make, read_array};
use super::stack;
use super::syscall::{Map, MapKind};

use crate::error::Result;
use crate::trace::ProgramMap;

/// How many runs of a program are recorded.
const RUNS: u32 = 16;

/// Offsets in an element of the map.
mod stored {
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

/// Records of the first runs of a program, in their order.
pub struct ContextRecords {
    elements: Map,
    /// At index 0, the number of runs so far.
    runs: Counts,
}

/// The context of one run of a program (`struct sk_reuseport_md`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextRecord {
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
    pub listener: RecordedSocket,
    /// `migrating_sk`, where there is one.
    pub migrating: Option<RecordedSocket>,
    /// The TCP header, where there is a packet.
    pub header: Option<[u8; HEADER_BYTES]>,
}

/// A socket in a context (`struct bpf_sock`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedSocket {
    /// Its address family.
    pub family: u32,
    /// Its own port.
    pub port: u32,
    /// The other end's port; 0 for listeners.
    pub peer_port: u16,
    /// Its state, by number.
    pub state: u32,
    /// Its `SO_COOKIE`.
    pub cookie: u64,
}

impl ContextRecords {
    pub(super) fn recorded(&self) -> [ProgramMap; 2] {
        [self.elements.recorded(), self.runs.recorded()]
    }

    /// None yet.
    pub fn new() -> Result<Self> {
        let elements = make(MapKind::Array, 4, stored::BYTES as u32, RUNS)?;
        Ok(Self { elements, runs: Counts::new(1)? })
    }

    /// All of them, in the order of the runs.
    pub fn all(&self) -> Result<Vec<ContextRecord>> {
        let runs = self.runs.get(0)?.clamp(0, i64::from(RUNS)) as u32;
        (0..runs)
            .map(|index| {
                let mut bytes = [0; stored::BYTES];
                read_array(&self.elements, index, &mut bytes)?;
                Ok(ContextRecord::read(&bytes))
            })
            .collect()
    }
}

impl ContextRecord {
    fn read(bytes: &[u8; stored::BYTES]) -> Self {
        let part = |at: i16, len: usize| &bytes[at as usize..][..len];
        let word = |at: i16| u32::from_ne_bytes(part(at, 4).try_into().unwrap_or_default());
        let double = |at: i16| u64::from_ne_bytes(part(at, 8).try_into().unwrap_or_default());
        let migrating = RecordedSocket {
            family: word(stored::MIGRATING_FAMILY),
            port: word(stored::MIGRATING_PORT),
            peer_port: u16::from_be(word(stored::MIGRATING_PEER_PORT) as u16),
            state: word(stored::MIGRATING_STATE),
            cookie: double(stored::MIGRATING_COOKIE),
        };
        let header = part(stored::HEADER, HEADER_BYTES).try_into().ok();
        Self {
            direct: double(stored::DIRECT) as i64,
            len: word(stored::LEN),
            eth_protocol: u16::from_be(word(stored::ETH_PROTOCOL) as u16),
            ip_protocol: word(stored::IP_PROTOCOL),
            bind_inany: word(stored::BIND_INANY),
            hash: word(stored::HASH),
            listener: RecordedSocket {
                family: word(stored::LISTENER_FAMILY),
                port: word(stored::LISTENER_PORT),
                peer_port: 0,
                state: word(stored::LISTENER_STATE),
                cookie: double(stored::LISTENER_COOKIE),
            },
            // No socket has state 0.
            migrating: (migrating.state != 0).then_some(migrating),
            header: header.filter(|_| double(stored::HEADER_RESULT) == 0),
        }
    }
}

/// Records one run, unless the map is full.
pub(super) fn record_context(code: &mut Assembler, records: &ContextRecords) {
    code.store_value(Word, FRAME, stack::INDEX, 0);
    let none = code.look_up(records.runs.descriptor(), stack::INDEX);
    code.load(Double, R1, R0, 0);
    code.store(Word, FRAME, stack::INDEX, R1);
    code.add(R1, 1);
    code.store(Double, R0, 0, R1);
    let full = code.look_up(records.elements.descriptor(), stack::INDEX);
    code.copy(R7, R0);
    record_packet(code);
    record_listener(code);
    record_migrating(code);
    code.land(full);
    code.land(none);
}

/// Copies a field from where `from` points to the element, by way of register 1.
fn copy(code: &mut Assembler, width: Width, from: Register, offset: i16, to: i16) {
    code.load(width, R1, from, offset);
    let stored_as = if width == Half { Word } else { width };
    code.store(stored_as, R7, to, R1);
}

fn record_packet(code: &mut Assembler) {
    code.load(Double, R1, R6, md::DATA);
    code.load(Double, R2, R6, md::DATA_END);
    code.subtract(R2, R1);
    code.store(Double, R7, stored::DIRECT, R2);
    for (from, to) in [
        (md::LEN, stored::LEN),
        (md::ETH_PROTOCOL, stored::ETH_PROTOCOL),
        (md::IP_PROTOCOL, stored::IP_PROTOCOL),
        (md::BIND_INANY, stored::BIND_INANY),
        (md::HASH, stored::HASH),
    ] {
        copy(code, Word, R6, from, to);
    }
    code.copy(R1, R6);
    code.set(R2, 0);
    code.load_stack_address(R3, stack::HEADER);
    code.set(R4, HEADER_BYTES as i32);
    code.call(Helper::LoadBytes);
    code.store(Double, R7, stored::HEADER_RESULT, R0);
    for word in (0..HEADER_BYTES as i16).step_by(4) {
        copy(code, Word, FRAME, stack::HEADER + word, stored::HEADER + word);
    }
}

fn record_listener(code: &mut Assembler) {
    code.load(Double, R8, R6, md::SK);
    for (from, to) in [
        (sock::FAMILY, stored::LISTENER_FAMILY),
        (sock::SRC_PORT, stored::LISTENER_PORT),
        (sock::STATE, stored::LISTENER_STATE),
    ] {
        copy(code, Word, R8, from, to);
    }
    code.copy(R1, R8);
    code.call(Helper::Cookie);
    code.store(Double, R7, stored::LISTENER_COOKIE, R0);
}

fn record_migrating(code: &mut Assembler) {
    code.load(Double, R8, R6, md::MIGRATING_SK);
    let new = code.jump_if(R8, 0);
    for (from, to) in [
        (sock::FAMILY, stored::MIGRATING_FAMILY),
        (sock::SRC_PORT, stored::MIGRATING_PORT),
        (sock::STATE, stored::MIGRATING_STATE),
    ] {
        copy(code, Word, R8, from, to);
    }
    copy(code, Half, R8, sock::DST_PORT, stored::MIGRATING_PEER_PORT);
    code.copy(R1, R8);
    code.call(Helper::Cookie);
    code.store(Double, R7, stored::MIGRATING_COOKIE, R0);
    code.land(new);
}
