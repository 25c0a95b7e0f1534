//! The language in which programs are written, and how it becomes instructions.

use std::fmt;

use super::context::{Field, md, sock};
use super::context_record::{ContextRecords, record_context};
use super::instruction::Width::{self, Double, Word};
use super::instruction::{Assembler, FRAME, Helper, Instruction, Jump, R0, R1, R2, R3, R4, R6};
use super::map::{Counts, MigrationTargets, SockArray};
use super::stack;

use crate::net::witness::State;
use crate::trace::{ProgramCondition, ProgramMap, ProgramStep};

/// A step of a program.
pub enum Statement<'m> {
    /// The statements, if the condition holds.
    When(Condition<'m>, Vec<Self>),
    /// One more at this index.
    Count(&'m Counts, u32),
    /// Stores at this index the result of the last selection: 0, or a negative error.
    StoreResult(&'m Counts, u32),
    /// Records the whole context.
    Record(&'m ContextRecords),
    /// Reads this number of bytes of the context, from the field's first on.
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

/// Ends the program: no listener gets the connection.
pub const DROP: Statement<'_> = Statement::End(SK_DROP);

/// When a part of a program runs.
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
    Selected(&'m SockArray, Index<'m>),
}

/// Which index of a [`SockArray`].
#[derive(Clone, Copy)]
pub enum Index<'m> {
    /// This one.
    At(u32),
    /// That of the target that the map has for the listener that the program is called for.
    OfTarget(&'m MigrationTargets),
    /// One of the first, of which this is the number, by the hash that the kernel would
    /// choose with.
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
pub fn select(array: &SockArray, index: u32) -> Statement<'_> {
    when(Condition::Selected(array, Index::At(index)), [PASS])
}

/// Adds one at `index`.
pub fn count(counts: &Counts, index: u32) -> Statement<'_> {
    Statement::Count(counts, index)
}

/// Stores the result of the last selection at `index`: 0, or a negative error.
pub fn store_result(counts: &Counts, index: u32) -> Statement<'_> {
    Statement::StoreResult(counts, index)
}

/// Records the whole context.
pub fn record(records: &ContextRecords) -> Statement<'_> {
    Statement::Record(records)
}

/// The program's instructions. After the last statement it passes.
pub(super) fn translate(statements: &[Statement<'_>]) -> Vec<Instruction> {
    let mut code = Assembler::default();
    // Calls leave register 6 as it is.
    code.copy(R6, R1);
    code.store_value(Double, FRAME, stack::SELECTION, 0);
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
            Self::StoreResult(counts, index) => {
                let absent = element(code, counts.descriptor(), *index);
                code.load(Double, R1, FRAME, stack::SELECTION);
                code.store(Double, R0, 0, R1);
                code.land(absent);
            }
            Self::Record(records) => record_context(code, records),
            Self::Read(field, width) => code.load(*width, R1, R6, field.offset()),
            Self::Write(field, width) => code.store_value(*width, R6, field.offset(), 0),
            Self::End(result) => {
                code.set(R0, *result);
                code.exit();
            }
        }
    }
}

/// Register 0 gets the address of an array's element. The jump is taken if there is none.
fn element(code: &mut Assembler, map: i32, index: u32) -> Jump {
    code.store_value(Word, FRAME, stack::INDEX, index as i32);
    code.look_up(map, stack::INDEX)
}

impl Condition<'_> {
    fn recorded(&self) -> ProgramCondition {
        match self {
            Self::Migrating => ProgramCondition::Migrating,
            Self::New => ProgramCondition::New,
            Self::MigratingIn(state) => ProgramCondition::MigratingIn(state.to_string()),
            Self::NoPacket => ProgramCondition::NoPacket,
            Self::Selected(array, Index::At(index)) => {
                ProgramCondition::Selected { array: array.number(), index: *index }
            }
            Self::Selected(_, Index::OfTarget(_) | Index::OfHash(_)) => ProgramCondition::Other,
        }
    }

    /// The jumps are taken if it does not hold.
    fn emit(&self, code: &mut Assembler) -> Vec<Jump> {
        match self {
            Self::Migrating => {
                code.load(Double, R1, R6, md::MIGRATING_SK);
                vec![code.jump_if(R1, 0)]
            }
            Self::New => {
                code.load(Double, R1, R6, md::MIGRATING_SK);
                vec![code.jump_unless(R1, 0)]
            }
            Self::MigratingIn(state) => {
                let mut otherwise = Self::Migrating.emit(code);
                code.load(Word, R1, R1, sock::STATE);
                otherwise.push(code.jump_unless(R1, *state as i32));
                otherwise
            }
            Self::NoPacket => {
                code.load(Word, R1, R6, md::LEN);
                vec![code.jump_unless(R1, 0)]
            }
            Self::Selected(array, index) => {
                let mut otherwise = index.emit(code);
                code.copy(R1, R6);
                code.load_map(R2, array.descriptor());
                code.load_stack_address(R3, stack::INDEX);
                code.set(R4, 0);
                code.call(Helper::Select);
                code.store(Double, FRAME, stack::SELECTION, R0);
                otherwise.push(code.jump_unless(R0, 0));
                otherwise
            }
        }
    }
}

impl Index<'_> {
    /// Puts the index on the stack. The jump is taken if there is none.
    fn emit(&self, code: &mut Assembler) -> Vec<Jump> {
        match self {
            Self::At(index) => {
                code.store_value(Word, FRAME, stack::INDEX, *index as i32);
                vec![]
            }
            Self::OfTarget(targets) => {
                code.load(Double, R1, R6, md::SK);
                code.call(Helper::Cookie);
                code.store(Double, FRAME, stack::COOKIE, R0);
                let none = code.look_up(targets.descriptor(), stack::COOKIE);
                code.load(Word, R1, R0, 0);
                code.store(Word, FRAME, stack::INDEX, R1);
                vec![none]
            }
            Self::OfHash(places) => {
                code.load(Word, R1, R6, md::HASH);
                code.remainder(R1, *places);
                code.store(Word, FRAME, stack::INDEX, R1);
                vec![]
            }
        }
    }
}

/// The maps of a program.
pub(super) fn maps(statements: &[Statement<'_>]) -> Vec<ProgramMap> {
    let of_one = |statement: &Statement<'_>| match statement {
        Statement::When(condition, then) => {
            let mut all = maps(then);
            if let Condition::Selected(array, index) = condition {
                all.push(array.recorded());
                if let Index::OfTarget(targets) = index {
                    all.push(targets.recorded());
                }
            }
            all
        }
        Statement::Count(counts, _) | Statement::StoreResult(counts, _) => vec![counts.recorded()],
        Statement::Record(records) => records.recorded().to_vec(),
        Statement::Read(..) | Statement::Write(..) | Statement::End(_) => vec![],
    };
    let mut all: Vec<ProgramMap> = statements.iter().flat_map(of_one).collect();
    all.sort_by_key(|map| map.number);
    all.dedup();
    all
}

/// What of the statements decides who gets a connection.
pub(super) fn steps(statements: &[Statement<'_>]) -> Vec<ProgramStep> {
    let step = |statement: &Statement<'_>| match statement {
        Statement::When(condition, then) => ProgramStep::When(condition.recorded(), steps(then)),
        Statement::End(result) => ProgramStep::End(*result),
        Statement::Count(..)
        | Statement::StoreResult(..)
        | Statement::Record(_)
        | Statement::Read(..)
        | Statement::Write(..) => ProgramStep::Other,
    };
    statements.iter().map(step).collect()
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
            Self::StoreResult(_, index) => write!(f, "store the result at {index}"),
            Self::Record(_) => f.write_str("record the context"),
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
            Self::OfTarget(_) => f.write_str("the target"),
            Self::OfHash(places) => write!(f, "the hash's of {places}"),
        }
    }
}
