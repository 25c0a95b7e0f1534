//! The wire of a lab: every packet on `lo`, once, with the kernel's timestamps.

use std::borrow::Cow;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pcap_file::DataLink;
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::pcapng::blocks::section_header::{SectionHeaderBlock, SectionHeaderOption};

use crate::error::{Context, Error, Result};
use crate::packets::{Frame, Packets};
use crate::segment::Segment;
use crate::trace::{Event, Trace};

/// `if_tsresol`: timestamps count nanoseconds.
const NANOSECONDS: u8 = 9;

/// A running capture, and the record of what it took and what the lab did meanwhile.
pub struct Capture {
    packets: Packets,
    record: Vec<Entry>,
    trace: Trace,
}

enum Entry {
    Frame(Frame),
    Act(String),
}

impl Capture {
    /// Starts to capture on `lo` of this network namespace.
    pub fn start() -> Result<Self> {
        let lo = nix::net::if_::if_nametoindex("lo").call(|| "if_nametoindex(lo)".into())?;
        Ok(Self { packets: Packets::open(lo)?, record: vec![], trace: Trace::default() })
    }

    /// Moves what the kernel has captured so far into the record.
    pub fn drain(&mut self) {
        while let Some(frame) = self.packets.take() {
            self.trace.events.extend(Segment::parse(frame.at, &frame.bytes).map(Event::Segment));
            self.record.push(Entry::Frame(frame));
        }
    }

    /// Writes down an act of the lab, behind everything captured so far.
    pub fn act(&mut self, act: &str) {
        self.drain();
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        self.trace.events.push(Event::Act { at, act: act.to_owned() });
        self.record.push(Entry::Act(act.to_owned()));
    }

    /// Captures nothing from here on, until [`Capture::resume`].
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn pause(&mut self, act: &str) -> Result<()> {
        self.act(act);
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
        &self.trace
    }

    /// The trace, to name its actors.
    pub fn trace_mut(&mut self) -> &mut Trace {
        &mut self.trace
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
        self.trace
    }

    /// The record as a pcapng file; an act is a comment on the packet that followed it
    /// (or, behind the last packet, on that one).
    ///
    /// # Errors
    /// The packets cannot be encoded.
    pub fn pcapng(&self) -> Result<Vec<u8>> {
        let mut file = Vec::new();
        write_pcapng(&self.record, &mut file).map_err(|e| {
            Error::unreadable("a captured packet, for the pcapng file", e.to_string())
        })?;
        Ok(file)
    }
}

impl AsFd for Capture {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.packets.as_fd()
    }
}

fn write_pcapng(record: &[Entry], to: impl Write) -> pcap_file::PcapResult<()> {
    let application = concat!("sockmig ", env!("CARGO_PKG_VERSION"));
    let section = SectionHeaderBlock {
        options: vec![SectionHeaderOption::UserApplication(Cow::Borrowed(application))],
        ..SectionHeaderBlock::default()
    };
    let mut writer = PcapNgWriter::with_section_header(to, section)?;
    writer.write_pcapng_block(InterfaceDescriptionBlock {
        linktype: DataLink::ETHERNET,
        snaplen: 0,
        options: vec![
            InterfaceDescriptionOption::IfName(Cow::Borrowed("lo")),
            InterfaceDescriptionOption::IfTsResol(NANOSECONDS),
        ],
    })?;
    let last = record.iter().rposition(|entry| matches!(entry, Entry::Frame(_)));
    let mut acts = Vec::new();
    for (index, entry) in record.iter().enumerate() {
        match entry {
            Entry::Act(act) => acts.push(comment("before", act)),
            Entry::Frame(frame) => {
                if Some(index) == last {
                    acts.extend(record[index..].iter().filter_map(|entry| match entry {
                        Entry::Act(act) => Some(comment("after", act)),
                        Entry::Frame(_) => None,
                    }));
                }
                writer.write_pcapng_block(EnhancedPacketBlock {
                    interface_id: 0,
                    timestamp: frame.at,
                    original_len: frame.original_len,
                    data: Cow::Borrowed(&frame.bytes),
                    options: std::mem::take(&mut acts),
                })?;
            }
        }
    }
    Ok(())
}

fn comment(when: &str, act: &str) -> EnhancedPacketOption<'static> {
    EnhancedPacketOption::Comment(Cow::Owned(format!("{when} this packet: {act}")))
}
