//! eBPF programs that choose for a group of listeners, and are asked about migrations too
//! if they say so when they are loaded.

mod answers;
mod attach;
mod choice;
mod connected_member;
mod detach;
mod draining;
mod load;
mod not_asked;
mod path;
mod register;
mod runs;
mod selftest;
mod view;

use crate::prefix::{Prefix, case_files};

pub(super) const PREFIX: Prefix = Prefix {
    id: "ebpf",
    about: "programs that choose listeners, for new connections and for migrations: what each \
            answer does on each path, and what a program is shown",
    files: case_files![
        answers, not_asked, choice, view, register, load, attach, detach, selftest, draining
    ],
};
