//! Histories nobody wrote: a model of what the kernel does when listeners close, and what it
//! really does.
//!
//! [`model`] is a pure function of the steps of a history. [`generate`] makes histories up,
//! [`drive`] plays them in a lab and compares, and [`reduce`] makes one short. [`job`] is what a
//! lab is asked to do, and [`run`] has many labs do it.

pub mod case_script;
pub mod corpus;
pub mod drive;
pub mod generate;
pub mod history;
pub mod job;
pub mod model;
pub mod race;
pub mod recorded;
pub mod reduce;
pub mod run;
pub mod script;
pub mod step;
pub mod witness;
