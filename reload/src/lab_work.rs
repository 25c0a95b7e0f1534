//! The work that this crate has labs do.

use harness::process::Returned;

use crate::{close_cost, job, stopped, window};

/// Does a lab's work if it is one of this crate's: a job, a probe for the window, a listener
/// to close, or a member of a group to stop.
pub fn lab_work(work: &str) -> Option<Returned> {
    [job::lab_work, window::lab_work, close_cost::lab_work, stopped::lab_work]
        .into_iter()
        .find_map(|does| does(work))
}
