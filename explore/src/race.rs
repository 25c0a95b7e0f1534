//! Pairs of acts at the same time, on two processors: whether what is seen is what the model says
//! of one order or of the other.
//!
//! [`pair`] has the pairs, [`sweep`] decides how far apart the two acts of a round begin, [`stairs`]
//! how far from the moment at which timers fire, [`job`] is what a lab is asked to do, and [`run`]
//! has it done.

pub mod job;
pub mod pair;
pub mod run;
pub mod stairs;
pub mod sweep;
