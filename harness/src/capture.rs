//! The wire of a lab, and the record of what the lab does meanwhile.

mod batch;
pub(crate) mod forks;
mod packets;
mod pcapng;
mod record;
mod recorder;
mod wire;

pub use record::Record;
pub use recorder::Recorder;
pub use wire::Capture;

pub(crate) use packets::{Packets, Timestamps, segments_of};
pub(crate) use pcapng::{ROUND_TRIP, kernel};
