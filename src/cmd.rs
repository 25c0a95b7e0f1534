//! The subcommands, a file or folder each; [`answer`] is what sockmig does without one.

pub mod answer;
pub mod completions;
pub mod diff;
pub mod doctor;
pub mod explain;
pub mod explore;
pub mod help;
pub mod inspect;
pub mod kernels;
pub mod known;
pub mod kselftest_install;
pub mod list;
mod machine_log;
pub mod man;
pub mod matrix;
pub mod merge;
mod print;
pub mod race;
pub mod reload;
pub mod report;
pub mod run;
pub mod schema;
pub mod script;
mod select;
pub mod vm_run;
