//! eBPF programs that choose listeners: loading, attaching, and the maps that they use.
//!
//! A program is written as [`Statement`]s, translated here to the kernel's instructions and
//! loaded by `bpf(2)`; nothing else is needed. Its only type is `SK_REUSEPORT`.
//!
//! ```text
//! Program::load(Attach::SelectOrMigrate, &[
//!     when(Migrating, [select(&group, 2)]),
//!     PASS,
//! ])
//! ```
//!
//! Nothing is pinned: what the kernel keeps of a program or a map is gone with the last
//! descriptor and the last group that has it.

mod context;
mod context_record;
mod ids;
mod instruction;
mod map;
mod program;
mod stack;
mod statement;
mod syscall;

pub use context::Field;
pub use context_record::{ContextRecord, ContextRecords, RecordedSocket};
pub(crate) use ids::reuseport_programs;
pub use ids::{Left, left, left_of, name};
pub use instruction::Width;
pub use map::{Counts, MigrationTargets, SockArray, Vacancy};
pub use program::{Attach, Program, detach, lock_filters, select_index};
pub(crate) use program::{is_privileged, probe};
pub use statement::{
    Condition, DROP, Index, PASS, Statement, count, record, select, store_result, when,
};
