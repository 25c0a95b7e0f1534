//! Children in the accept queue of a listener that ends.

mod child_states;
mod owners;
mod ways_to_end;

use crate::prefix::{Prefix, case_files};

pub(super) const PREFIX: Prefix = Prefix {
    id: "accept-queue",
    about: "every way in which a listener with children can end, and what state the children \
            can be in",
    files: case_files![ways_to_end, child_states, owners],
};
