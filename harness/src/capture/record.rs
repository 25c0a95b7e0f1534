//! Packets, and what a lab did meanwhile, in the order in which they happened.

use std::collections::VecDeque;
use std::time::Duration;

use crate::capture::batch::Frame;
use crate::capture::pcapng::{Entry, write};
use crate::error::{Error, Result};
use crate::net::segment::Segment;
use crate::trace::{Act, Event, Trace};

/// A record of packets and acts: a trace, and a pcapng file.
#[derive(Default)]
pub struct Record {
    entries: Vec<Entry>,
    trace: Trace,
    about: String,
    /// Acts whose packets have not been read yet, the earliest first.
    pending: VecDeque<Event>,
}

impl Record {
    /// What it is a record of, as a file of it says.
    pub fn describe(&mut self, about: impl Into<String>) {
        self.about = about.into();
    }

    /// Adds a packet, which is this segment, after the acts that were done before it.
    pub(crate) fn add(&mut self, frame: Frame, segment: Option<Segment>) {
        while self.pending.front().is_some_and(|act| act.at() <= frame.at) {
            self.add_pending();
        }
        self.trace.events.extend(segment.map(Event::Segment));
        self.entries.push(Entry::Frame(frame));
    }

    /// Adds an act after everything that there is; says where it stands in the trace.
    pub(crate) fn add_act(&mut self, at: Duration, act: Act, refused: Option<String>) -> usize {
        let index = self.trace.events.len();
        self.trace.events.push(Event::Act { at, act, refused });
        self.entries.push(Entry::Act(index));
        index
    }

    /// Adds an act that was done at this time, since the Unix epoch, and whose packets are added
    /// after this call. Acts are handed over in the order of their times.
    pub fn add_act_before_its_packets(&mut self, at: Duration, act: Act, refused: Option<String>) {
        self.pending.push_back(Event::Act { at, act, refused });
    }

    /// Adds the acts that no packet came after.
    pub(crate) fn add_all_pending(&mut self) {
        while !self.pending.is_empty() {
            self.add_pending();
        }
    }

    fn add_pending(&mut self) {
        if let Some(Event::Act { at, act, refused }) = self.pending.pop_front() {
            self.add_act(at, act, refused);
        }
    }

    /// The trace so far.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The trace, to name its actors.
    pub fn trace_mut(&mut self) -> &mut Trace {
        &mut self.trace
    }

    /// The trace, of which no file is wanted.
    pub fn into_trace(self) -> Trace {
        self.trace
    }

    /// As a pcapng file; an act is a comment on the packet that followed it (or, after the last
    /// packet, on that one).
    ///
    /// # Errors
    /// The packets cannot be encoded.
    pub fn pcapng(&self) -> Result<Vec<u8>> {
        let mut file = Vec::new();
        write(&self.entries, &self.trace, &self.about, &mut file).map_err(|e| {
            Error::unreadable("a captured packet, for the pcapng file", e.to_string())
        })?;
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(at: u64) -> Frame {
        Frame { at: Duration::from_nanos(at), bytes: vec![0; 60], original_len: 60 }
    }

    fn words(what: &str) -> Act {
        Act::Words(what.to_owned())
    }

    /// Two acts on two processors: each stands before the first packet that came after it, though
    /// packets are read when both are over.
    #[test]
    fn an_act_stands_between_the_packets_of_its_time() {
        let mut record = Record::default();
        record.add(frame(100), None);
        record.add_act_before_its_packets(Duration::from_nanos(200), words("close(A)"), None);
        record.add_act_before_its_packets(Duration::from_nanos(400), words("accept(B)"), None);
        for at in [150, 300, 500] {
            record.add(frame(at), None);
        }
        record.add_act_before_its_packets(Duration::from_nanos(600), words("close(B)"), None);
        record.add_all_pending();
        let order: Vec<String> = record
            .entries
            .iter()
            .map(|entry| match entry {
                Entry::Frame(frame) => frame.at.as_nanos().to_string(),
                Entry::Act(at) => match &record.trace.events[*at] {
                    Event::Act { act, .. } => act.to_string(),
                    Event::Segment(_) => "a segment".to_owned(),
                },
            })
            .collect();
        assert_eq!(order, ["100", "150", "close(A)", "300", "accept(B)", "500", "close(B)"]);
    }
}
