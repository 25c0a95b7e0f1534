//! What the tests of several formats are about: a run and a matrix with one of everything.

pub mod junit_rules;
pub mod markup;
pub mod matrix;
pub mod run;
