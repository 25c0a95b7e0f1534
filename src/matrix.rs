//! `sockmig matrix`: the suite on many kernels, each in a machine of its own.
#![allow(dead_code, reason = "the engine that tells these of a matrix is still being written")]

pub mod cell;
pub mod event;
pub mod findings;
pub mod gather;
pub mod grid;
pub mod junit;
pub mod live;
pub mod markdown;
pub mod table;
pub mod text;
