//! TCP Fast Open: a child that is in the accept queue before its handshake is over.

mod accepted;
mod children;

use crate::prefix::{Prefix, case_files};

pub(super) const PREFIX: Prefix = Prefix {
    id: "fast-open",
    about: "children of TCP Fast Open, which wait in the accept queue before their handshake \
            is over",
    files: case_files![children, accepted],
};
