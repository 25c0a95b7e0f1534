//! The language in which programs are written, and how it becomes instructions.

use std::fmt;

use super::instruction::Width::{self, Double, Word};
use super::instruction::{Assembler, FRAME, Helper, Instruction, Jump, R0, R1, R2, R3, R4, R6};
use super::map::{Counts, Heirs, Register};
use super::sighting::{Sightings, note_everything};
use crate::net::witness::State;

/// Offsets in `struct sk_reuseport_md`, which programs get.
pub(super) mod context {
    pub const DATA: i16 = 0;
    pub const DATA_END: i16 = 8;
    pub const LEN: i16 = 16;
    pub const ETH_PROTOCOL: i16 = 20;
    pub const IP_PROTOCOL: i16 = 24;
    pub const BIND_INANY: i16 = 28;
    pub const HASH: i16 = 32;
    pub const SK: i16 = 40;
    pub const MIGRATING_SK: i16 = 48;
}

/// A field of `struct sk_reuseport_md`, with the kernel's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// Where the packet begins.
    Data,
    /// Where its linear part ends.
    DataEnd,
    /// How long it is.
    Len,
    /// `ETH_P_IP`, `ETH_P_IPV6`.
    EthProtocol,
    /// `IPPROTO_TCP`.
    IpProtocol,
    /// Whether the group is bound to a wildcard.
    BindInany,
    /// The hash by which the kernel would choose.
    Hash,
    /// The listener that the program is called for.
    Sk,
    /// What migrates.
    MigratingSk,
}

impl Field {
    const fn offset(self) -> i16 {
        match self {
            Self::Data => context::DATA,
            Self::DataEnd => context::DATA_END,
            Self::Len => context::LEN,
            Self::EthProtocol => context::ETH_PROTOCOL,
            Self::IpProtocol => context::IP_PROTOCOL,
            Self::BindInany => context::BIND_INANY,
            Self::Hash => context::HASH,
            Self::Sk => context::SK,
            Self::MigratingSk => context::MIGRATING_SK,
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Data => "data",
            Self::DataEnd => "data_end",
            Self::Len => "len",
            Self::EthProtocol => "eth_protocol",
            Self::IpProtocol => "ip_protocol",
            Self::BindInany => "bind_inany",
            Self::Hash => "hash",
            Self::Sk => "sk",
            Self::MigratingSk => "migrating_sk",
        })
    }
}

/// Offsets in `struct bpf_sock`, to which the context points.
pub(super) mod sock {
    pub const FAMILY: i16 = 4;
    pub const SRC_PORT: i16 = 44;
    pub const DST_PORT: i16 = 48;
    pub const STATE: i16 = 72;
}

/// Places on the stack.
pub(super) mod place {
    /// A key of four bytes.
    pub const INDEX: i16 = -4;
    /// What the last selection came to: 0, or an error.
    pub const SELECTION: i16 = -16;
    /// A key of eight bytes.
    pub const COOKIE: i16 = -24;
    /// The beginning of a packet.
    pub const HEADER: i16 = -48;
}

/// What a program does, one after the other.
pub enum Statement<'m> {
    /// The statements, if the condition holds.
    When(Condition<'m>, Vec<Self>),
    /// One more at this index.
    Count(&'m Counts, u32),
    /// Keeps at this index what the last selection came to: 0, or an error below.
    Keep(&'m Counts, u32),
    /// Keeps everything that the program is shown.
    Note(&'m Sightings),
    /// Reads so many bytes of what the program is shown, from the field's first on.
    Read(Field, Width),
    /// Writes there.
    Write(Field, Width),
    /// Ends the program with this result.
    End(i32),
}

/// `enum sk_action`.
const SK_DROP: i32 = 0;
const SK_PASS: i32 = 1;

/// Ends the program: the selected listener, or the hash's where none is.
pub const PASS: Statement<'_> = Statement::End(SK_PASS);

/// Ends the program: nobody may have the connection.
pub const DROP: Statement<'_> = Statement::End(SK_DROP);

/// When a part of a program is for.
#[derive(Clone, Copy)]
pub enum Condition<'m> {
    /// A connection looks for another listener.
    Migrating,
    /// A segment looks for a listener; most often a SYN.
    New,
    /// A connection in this state looks for another listener.
    MigratingIn(State),
    /// There is no packet.
    NoPacket,
    /// The listener could be selected. It is, until another one is.
    Selected(&'m Register, Index<'m>),
}

/// Which place of a register.
#[derive(Clone, Copy)]
pub enum Index<'m> {
    /// This one.
    At(u32),
    /// That of the heir of the listener that the program was called for.
    OfHeir(&'m Heirs),
    /// One of so many, the first ones, by the hash that the kernel would choose with.
    OfHash(u32),
}

/// The statements, if the condition holds.
pub fn when<'m>(
    condition: Condition<'m>,
    then: impl IntoIterator<Item = Statement<'m>>,
) -> Statement<'m> {
    Statement::When(condition, then.into_iter().collect())
}

/// Selects the listener at `index` and ends the program; goes on if there is none.
pub fn select(register: &Register, index: u32) -> Statement<'_> {
    when(Condition::Selected(register, Index::At(index)), [PASS])
}

/// Counts one more at `index`.
pub fn count(counts: &Counts, index: u32) -> Statement<'_> {
    Statement::Count(counts, index)
}

/// Keeps what the last selection came to.
pub fn keep(counts: &Counts, index: u32) -> Statement<'_> {
    Statement::Keep(counts, index)
}

/// Keeps everything that the program is shown.
pub fn note(sightings: &Sightings) -> Statement<'_> {
    Statement::Note(sightings)
}

/// The program's instructions. Behind the last statement it passes.
pub(super) fn translate(statements: &[Statement<'_>]) -> Vec<Instruction> {
    let mut code = Assembler::default();
    // The context lives through calls there.
    code.copy(R6, R1);
    code.store_value(Double, FRAME, place::SELECTION, 0);
    for statement in statements {
        statement.emit(&mut code);
    }
    // The verifier takes no instructions that are never reached.
    if !matches!(statements.last(), Some(Statement::End(_))) {
        PASS.emit(&mut code);
    }
    code.finished()
}

impl Statement<'_> {
    fn emit(&self, code: &mut Assembler) {
        match self {
            Self::When(condition, then) => {
                let otherwise = condition.emit(code);
                for statement in then {
                    statement.emit(code);
                }
                for jump in otherwise {
                    code.land(jump);
                }
            }
            Self::Count(counts, index) => {
                let absent = element(code, counts.descriptor(), *index);
                code.load(Double, R1, R0, 0);
                code.add(R1, 1);
                code.store(Double, R0, 0, R1);
                code.land(absent);
            }
            Self::Keep(counts, index) => {
                let absent = element(code, counts.descriptor(), *index);
                code.load(Double, R1, FRAME, place::SELECTION);
                code.store(Double, R0, 0, R1);
                code.land(absent);
            }
            Self::Note(sightings) => note_everything(code, sightings),
            Self::Read(field, width) => code.load(*width, R1, R6, field.offset()),
            Self::Write(field, width) => code.store_value(*width, R6, field.offset(), 0),
            Self::End(result) => {
                code.set(R0, *result);
                code.exit();
            }
        }
    }
}

/// Register 0 gets the address of an array's element. The jump is for when there is none.
fn element(code: &mut Assembler, map: i32, index: u32) -> Jump {
    code.store_value(Word, FRAME, place::INDEX, index as i32);
    look_up(code, map, place::INDEX)
}

/// The same for any map, with the key at a place on the stack.
pub(super) fn look_up(code: &mut Assembler, map: i32, key: i16) -> Jump {
    code.load_map(R1, map);
    code.load_place(R2, key);
    code.call(Helper::Lookup);
    code.jump_if(R0, 0)
}

impl Condition<'_> {
    /// The jumps are for when it does not hold.
    fn emit(&self, code: &mut Assembler) -> Vec<Jump> {
        match self {
            Self::Migrating => {
                code.load(Double, R1, R6, context::MIGRATING_SK);
                vec![code.jump_if(R1, 0)]
            }
            Self::New => {
                code.load(Double, R1, R6, context::MIGRATING_SK);
                vec![code.jump_unless(R1, 0)]
            }
            Self::MigratingIn(state) => {
                let mut otherwise = Self::Migrating.emit(code);
                code.load(Word, R1, R1, sock::STATE);
                otherwise.push(code.jump_unless(R1, *state as i32));
                otherwise
            }
            Self::NoPacket => {
                code.load(Word, R1, R6, context::LEN);
                vec![code.jump_unless(R1, 0)]
            }
            Self::Selected(register, index) => {
                let mut otherwise = index.emit(code);
                code.copy(R1, R6);
                code.load_map(R2, register.descriptor());
                code.load_place(R3, place::INDEX);
                code.set(R4, 0);
                code.call(Helper::Select);
                code.store(Double, FRAME, place::SELECTION, R0);
                otherwise.push(code.jump_unless(R0, 0));
                otherwise
            }
        }
    }
}

impl Index<'_> {
    /// Puts the index on the stack. The jump is for when there is none.
    fn emit(&self, code: &mut Assembler) -> Vec<Jump> {
        match self {
            Self::At(index) => {
                code.store_value(Word, FRAME, place::INDEX, *index as i32);
                vec![]
            }
            Self::OfHeir(heirs) => {
                code.load(Double, R1, R6, context::SK);
                code.call(Helper::Cookie);
                code.store(Double, FRAME, place::COOKIE, R0);
                let none = look_up(code, heirs.descriptor(), place::COOKIE);
                code.load(Word, R1, R0, 0);
                code.store(Word, FRAME, place::INDEX, R1);
                vec![none]
            }
            Self::OfHash(places) => {
                code.load(Word, R1, R6, context::HASH);
                code.remainder(R1, *places);
                code.store(Word, FRAME, place::INDEX, R1);
                vec![]
            }
        }
    }
}

/// Programs are shown as they are written: `when migrating: select 2; pass`.
pub(super) fn shown(statements: &[Statement<'_>]) -> String {
    let shown: Vec<String> = statements.iter().map(ToString::to_string).collect();
    shown.join("; ")
}

impl fmt::Display for Statement<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::When(Condition::Selected(_, index), then)
                if matches!(then[..], [Self::End(SK_PASS)]) =>
            {
                write!(f, "select {index}")
            }
            Self::When(condition, then) if then.len() == 1 => {
                write!(f, "when {condition}: {}", then[0])
            }
            Self::When(condition, then) => write!(f, "when {condition}: ({})", shown(then)),
            Self::Count(_, index) => write!(f, "count {index}"),
            Self::Keep(_, index) => write!(f, "keep the result at {index}"),
            Self::Note(_) => f.write_str("note"),
            Self::Read(field, width) => write!(f, "read {} bytes of {field}", width.bytes()),
            Self::Write(field, width) => write!(f, "write {} bytes of {field}", width.bytes()),
            Self::End(SK_PASS) => f.write_str("pass"),
            Self::End(SK_DROP) => f.write_str("drop"),
            Self::End(result) => write!(f, "end with {result}"),
        }
    }
}

impl fmt::Display for Condition<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Migrating => f.write_str("migrating"),
            Self::New => f.write_str("new"),
            Self::MigratingIn(state) => write!(f, "migrating in {state}"),
            Self::NoPacket => f.write_str("there is no packet"),
            Self::Selected(_, index) => write!(f, "{index} can be selected"),
        }
    }
}

impl fmt::Display for Index<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(index) => index.fmt(f),
            Self::OfHeir(_) => f.write_str("the heir"),
            Self::OfHash(places) => write!(f, "the hash's of {places}"),
        }
    }
}
