//! What is counted and held: the room in queues after many migrations, and the memory; also where
//! none can be had.

mod freed;
mod refused;
mod room;

use crate::prefix::{Prefix, case_files};

pub(super) const PREFIX: Prefix = Prefix {
    id: "accounting",
    about: "after many migrations queues have as much room as fresh ones, and what was closed is \
            freed",
    files: case_files![room, freed, refused],
};
