//! Processes of this program's own: labs, the servers in them, and what they say to each
//! other.

pub mod afterwards;
pub mod arguments;
pub mod child_server;
pub mod entry;
pub mod frame;
pub mod interrupt;
mod labs;
pub mod limits;
pub mod no_namespaces;
pub mod subprocess;
pub mod thread;
pub mod users;
pub mod worker;

pub use labs::{Broken, LAB_ARGUMENT, Labs, Returned};
pub(crate) use labs::{encode, encode_no_namespaces, encode_setup_failure};
