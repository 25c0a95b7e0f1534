//! What happened in a lab, in order: segments, and the lab's own acts between them; and what
//! a case observed of it.

mod act;
mod line;
mod notation;
pub mod observation;
mod parts;
mod program;
mod record;
mod version1;

pub use act::Act;
pub use line::{Kind, Line, NoLine};
pub use notation::Notation;
pub use parts::{Accepted, Actor, CloseCall, Destroyed, Direction, GateKind, MemoryWitness, Part};
pub use program::{GroupProgram, ProgramCondition, ProgramMap, ProgramStep};
pub use record::{Event, Trace};
