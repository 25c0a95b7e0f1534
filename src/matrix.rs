//! `sockmig matrix`: the suite on many kernels, each in a machine of its own.

pub mod event;
