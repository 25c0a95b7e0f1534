//! A record of packets and acts as a pcapng file.

use std::borrow::Cow;
use std::fs;
use std::io::Write;
use std::sync::LazyLock;

use pcap_file::DataLink;
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::pcapng::blocks::section_header::{SectionHeaderBlock, SectionHeaderOption};

use crate::capture::batch::Frame;
use crate::trace::{Event, Trace};

/// `if_tsresol`: timestamps count nanoseconds.
const NANOSECONDS: u8 = 9;

/// What the laboratory sends itself to learn that every packet before it has been received.
pub(crate) const ROUND_TRIP: &[u8] = b"sockmig settles";

/// What a capture keeps, in order.
pub(super) enum Entry {
    /// A packet.
    Frame(Frame),
    /// An act, by its index in the trace.
    Act(usize),
}

/// `/proc/version`, which does not change while a kernel runs: whoever has read it knows it for
/// all its forks.
pub(crate) fn kernel() -> &'static str {
    static KERNEL: LazyLock<String> = LazyLock::new(|| {
        let banner = fs::read_to_string("/proc/version").unwrap_or_default();
        banner.trim_end().to_owned()
    });
    &KERNEL
}

/// Writes the record; an act is a comment on the packet that followed it (or, after the last
/// packet, on that one). The header says which kernel it is of, and what it is `about`.
pub(super) fn write(
    record: &[Entry],
    trace: &Trace,
    about: &str,
    to: impl Write,
) -> pcap_file::PcapResult<()> {
    let application = concat!("sockmig ", env!("CARGO_PKG_VERSION"));
    let mut options = vec![SectionHeaderOption::UserApplication(Cow::Borrowed(application))];
    if !about.is_empty() {
        options.push(SectionHeaderOption::Comment(Cow::Owned(about.to_owned())));
    }
    let kernel = kernel();
    if !kernel.is_empty() {
        options.push(SectionHeaderOption::OS(Cow::Borrowed(kernel)));
    }
    let section = SectionHeaderBlock { options, ..SectionHeaderBlock::default() };
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
            Entry::Act(at) => acts.push(comment("before", trace, *at)),
            Entry::Frame(frame) => {
                if frame.bytes.ends_with(ROUND_TRIP) {
                    let what = "sockmig's own: every packet before it has been received";
                    acts.push(EnhancedPacketOption::Comment(Cow::Borrowed(what)));
                }
                if Some(index) == last {
                    acts.extend(record[index..].iter().filter_map(|entry| match entry {
                        Entry::Act(at) => Some(comment("after", trace, *at)),
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

/// The event at index `at` of the trace, which is an act, as a comment.
fn comment(when: &str, trace: &Trace, at: usize) -> EnhancedPacketOption<'static> {
    let what = match trace.events.get(at) {
        Some(Event::Act { act, refused: None, .. }) => act.to_string(),
        Some(Event::Act { act, refused: Some(errno), .. }) => format!("{act}: {errno}"),
        Some(Event::Segment(_)) | None => String::new(),
    };
    EnhancedPacketOption::Comment(Cow::Owned(format!("{when} this packet: {what}")))
}
