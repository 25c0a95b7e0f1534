//! Processes of this program's own: labs, the servers in them, and what they say to each
//! other.

pub mod afterwards;
pub mod arguments;
pub mod at_once;
mod broken;
pub mod child_server;
pub mod entry;
mod forking;
pub mod frame;
pub mod interrupt;
mod labs;
pub mod limits;
pub mod no_namespaces;
mod returned;
mod starter;
pub mod subprocess;
pub mod thread;
mod used_memory;
pub mod users;
pub mod worker;

pub use broken::Broken;
pub use labs::Labs;
pub use returned::Returned;
pub use starter::{ForkedFrom, LAB_ARGUMENT};
