//! Multipath TCP: its listeners, and groups with listeners of both protocols.

mod connections;
mod destroy;
mod join;
mod keys;
mod token;

use crate::prefix::{Prefix, case_files};

pub(super) const PREFIX: Prefix = Prefix {
    id: "mptcp",
    about: "listeners of Multipath TCP, and groups in which some are; those that harm \
            kernels with a bug run only by name (`sockmig run mptcp/timer`)",
    files: case_files![connections, join, destroy, token],
};
