//! The wire of a lab: every packet on `lo`, once, with the kernel's timestamps.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::capture::packets::Packets;
use crate::capture::record::Record;
use crate::error::Result;
use crate::net::segment::Segment;
use crate::trace::{Act, Event, Trace};

/// The index of `lo` in every network namespace (LOOPBACK_IFINDEX).
const LOOPBACK: u32 = 1;

/// A running capture, and the record of what it took and what the lab did meanwhile.
pub struct Capture {
    packets: Packets,
    record: Record,
}

impl Capture {
    /// Starts to capture on `lo` of this network namespace.
    pub fn start() -> Result<Self> {
        Ok(Self { packets: Packets::open(LOOPBACK)?, record: Record::default() })
    }

    /// What it is a capture of, as a file of it says.
    pub fn describe(&mut self, about: impl Into<String>) {
        self.record.describe(about);
    }

    /// Moves what the kernel has captured so far into the record.
    pub fn drain(&mut self) {
        self.packets.take_all(|frame| {
            let segment = Segment::parse(frame.at, &frame.bytes);
            self.record.add(frame, segment);
        });
    }

    /// Writes down an act of the lab, after everything captured so far; says where it stands
    /// in the trace.
    pub fn act(&mut self, act: Act) -> usize {
        self.drain();
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        self.act_at(at, act, None)
    }

    /// As [`Capture::act`], for an act that was done at another time: by a process that could
    /// not write it down itself.
    pub fn act_at(&mut self, at: Duration, act: Act, refused: Option<String>) -> usize {
        self.record.add_act(at, act, refused)
    }

    /// Writes down that the kernel refused an act.
    pub fn refuse(&mut self, index: usize, errno: String) {
        if let Some(Event::Act { refused, .. }) = self.record.trace_mut().events.get_mut(index) {
            *refused = Some(errno);
        }
    }

    /// Captures nothing from here on, until [`Capture::resume`].
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn pause(&mut self) -> Result<()> {
        self.packets.ignore_all()
    }

    /// Captures again.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn resume(&mut self) -> Result<()> {
        self.packets.listen_again()
    }

    /// The trace so far; call [`Capture::drain`] first for what came since.
    pub fn trace(&self) -> &Trace {
        self.record.trace()
    }

    /// The trace, to name its actors.
    pub fn trace_mut(&mut self) -> &mut Trace {
        self.record.trace_mut()
    }

    /// Checks that nothing was lost.
    ///
    /// # Errors
    /// [`Error::CaptureLost`]: silence on the wire proves nothing then.
    pub fn check_complete(&mut self) -> Result<()> {
        self.packets.check_complete()
    }

    /// Leaves the packet socket to the end of the process.
    ///
    /// The kernel closes one only after an RCU grace period, up to 30 ms, which nobody
    /// has to wait for before the result is sent.
    pub fn leave_open(self) -> Trace {
        std::mem::forget(self.packets);
        self.record.into_trace()
    }

    /// The record as a pcapng file; an act is a comment on the packet that followed it
    /// (or, after the last packet, on that one).
    ///
    /// # Errors
    /// The packets cannot be encoded.
    pub fn pcapng(&self) -> Result<Vec<u8>> {
        self.record.pcapng()
    }
}

impl AsFd for Capture {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.packets.as_fd()
    }
}
