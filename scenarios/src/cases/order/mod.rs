//! The order of a group's members, and which of them the kernel chooses.

mod incoming_cpu;
mod members;

use crate::prefix::{Prefix, case_files};

pub(super) const PREFIX: Prefix = Prefix {
    id: "order",
    about: "the order in which the kernel has a group's members, and which of them it chooses for \
            children and for new connections",
    files: case_files![members, incoming_cpu],
};
