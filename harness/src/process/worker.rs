//! A worker: a small server that is a program of its own, this one started again. It can get
//! its listeners, and give them up, in every way that real servers know.
//!
//! The lab has a [`WorkerProcess`]. The two talk in lines of JSON: a command each on the
//! worker's standard input, an answer each on its standard output.

mod handover;
mod program;
mod protocol;
mod worker_process;

pub use handover::{HandoverPoint, fetch};
pub use program::listen;
pub use protocol::{CloseMode, Orders, Served, Service, Source};
pub use worker_process::WorkerProcess;

pub(crate) use program::run;
pub(crate) use worker_process::WORKER_ARGUMENT;
