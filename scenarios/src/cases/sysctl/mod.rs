//! `tcp_migrate_req` itself.

mod changed;
mod setting;

use crate::prefix::{Prefix, case_files};

pub(super) const PREFIX: Prefix = Prefix {
    id: "sysctl",
    about: "the setting's range, default and owner; that it is read at the close *and* at \
            the event; and whether there is any code that reads it",
    files: case_files![changed, setting],
};
