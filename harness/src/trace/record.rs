//! Segments and acts, in the order in which they happened.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::net::segment::Segment;
use crate::trace::act::Act;
use crate::trace::line::{Kind, Line};

/// One entry of a trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A segment that crossed the wire.
    Segment(Segment),
    /// Something that the lab did, such as `close(A)`.
    Act {
        /// When, since the Unix epoch.
        at: Duration,
        /// The act.
        act: Act,
        /// The errno with which the kernel refused it, if it did.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        refused: Option<String>,
    },
}

/// Segments and acts in the order in which they happened.
///
/// The order does not rest on clocks: before an act is written down, the capture is
/// emptied into the trace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// What happened.
    pub events: Vec<Event>,
    /// The actors' names by their addresses.
    pub names: Vec<(SocketAddr, String)>,
}

impl Trace {
    /// Gives the endpoint at `address` a name.
    pub fn name(&mut self, address: SocketAddr, name: impl Into<String>) {
        self.names.push((canonical(address), name.into()));
    }

    /// The name of the endpoint at `address`, else the address itself.
    pub fn name_of(&self, address: SocketAddr) -> String {
        let address = canonical(address);
        self.names
            .iter()
            .rev()
            .find(|(named, _)| *named == address)
            .map_or_else(|| address.to_string(), |(_, name)| name.clone())
    }

    /// What the lab did last.
    pub fn last_act(&self) -> Option<&Act> {
        self.events.iter().rev().find_map(|event| match event {
            Event::Act { act, .. } => Some(act),
            Event::Segment(_) => None,
        })
    }

    /// What the lab did.
    pub fn acts(&self) -> impl Iterator<Item = &Act> {
        self.events.iter().filter_map(|event| match event {
            Event::Act { act, .. } => Some(act),
            Event::Segment(_) => None,
        })
    }

    /// The trace as lines, with sequence numbers relative to each connection's
    /// initial ones, in packetdrill's notation.
    pub fn lines(&self) -> Vec<Line> {
        let mut initial = InitialNumbers::default();
        let start = self.events.first().map_or(Duration::ZERO, Event::at);
        self.events
            .iter()
            .map(|event| {
                let since_start = event.at().saturating_sub(start);
                match event {
                    Event::Act { act, refused, .. } => {
                        Line::of_act(since_start, act.clone(), refused.clone())
                    }
                    Event::Segment(segment) => {
                        let from = self.name_of(segment.from);
                        let to = self.name_of(segment.to);
                        let numbers = initial.relative(segment);
                        Line {
                            since_start,
                            what: format!("{from} > {to}  {} {numbers}", segment.flags),
                            detail: segment.detail(),
                            kind: Kind::Segment { from, to },
                        }
                    }
                }
            })
            .collect()
    }

    /// The captured segments, without the acts.
    pub fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.events.iter().filter_map(|event| match event {
            Event::Segment(segment) => Some(segment),
            Event::Act { .. } => None,
        })
    }
}

impl Event {
    /// When it happened, since the Unix epoch.
    pub fn at(&self) -> Duration {
        match self {
            Self::Segment(segment) => segment.at,
            Self::Act { at, .. } => *at,
        }
    }
}

/// A v4-mapped address is the IPv4 address that is seen on the wire.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// The initial sequence number of each direction of each connection.
#[derive(Default)]
struct InitialNumbers(HashMap<(SocketAddr, SocketAddr), u32>);

impl InitialNumbers {
    /// `seq:end(len)` and ` ack n`, relative; absolute where no initial number is known.
    fn relative(&mut self, segment: &Segment) -> String {
        let there = (segment.from, segment.to);
        let back = (segment.to, segment.from);
        if segment.flags.syn() {
            let opens_anew = !segment.flags.ack() && self.0.get(&there) != Some(&segment.seq);
            if opens_anew {
                self.0.insert(there, segment.seq);
                self.0.remove(&back);
            }
            self.0.entry(there).or_insert(segment.seq);
        }
        let seq = segment.seq.wrapping_sub(self.0.get(&there).copied().unwrap_or(0));
        let end = seq.wrapping_add(segment.len);
        let mut shown = format!("{seq}:{end}({})", segment.len);
        if segment.flags.ack() {
            let ack = segment.ack.wrapping_sub(self.0.get(&back).copied().unwrap_or(0));
            shown.push_str(&format!(" ack {ack}"));
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::segment::Flags;
    use crate::trace::parts::{Actor, CloseCall};

    const CLIENT: &str = "127.0.0.1:40000";
    const SERVER: &str = "127.0.0.1:80";

    fn segment(from: &str, to: &str, flags: u8, seq: u32, ack: u32, len: u32) -> Event {
        Event::Segment(Segment {
            at: Duration::from_micros(u64::from(seq % 7)),
            from: from.parse().expect("an address"),
            to: to.parse().expect("an address"),
            flags: Flags(flags),
            seq,
            ack,
            window: 512,
            service: 0,
            hops: 64,
            len,
            options: vec![],
        })
    }

    fn closed(listener: &str) -> Act {
        let socket = Actor::Listener(listener.into());
        Act::Close { socket, by: CloseCall::Close, last: true, at_scope_end: false }
    }

    fn shown(events: Vec<Event>) -> Vec<String> {
        let mut trace = Trace { events, names: vec![] };
        trace.name(CLIENT.parse().expect("an address"), "C");
        trace.name("[::ffff:127.0.0.1]:80".parse().expect("an address"), "S");
        trace.lines().into_iter().map(|line| line.what).collect()
    }

    #[test]
    fn quiz_1_reads_as_in_the_talk() {
        let lines = shown(vec![
            segment(CLIENT, SERVER, 0x02, 428_153_089, 0, 0),
            segment(SERVER, CLIENT, 0x12, u32::MAX, 428_153_090, 0),
            segment(CLIENT, SERVER, 0x10, 428_153_090, 0, 0),
            segment(CLIENT, SERVER, 0x18, 428_153_090, 0, 11),
            segment(SERVER, CLIENT, 0x10, 0, 428_153_101, 0),
            Event::Act { at: Duration::ZERO, act: closed("A"), refused: None },
            segment(SERVER, CLIENT, 0x14, 0, 428_153_101, 0),
        ]);
        assert_eq!(
            lines,
            [
                "C > S  S 0:0(0)",
                "S > C  S. 0:0(0) ack 1",
                "C > S  . 1:1(0) ack 1",
                "C > S  P. 1:12(11) ack 1",
                "S > C  . 1:1(0) ack 12",
                "-- close(A) --",
                "S > C  R. 1:1(0) ack 12",
            ]
        );
    }

    #[test]
    fn a_second_connection_from_the_same_port_starts_at_zero() {
        let lines = shown(vec![
            segment(CLIENT, SERVER, 0x02, 100, 0, 0),
            segment(SERVER, CLIENT, 0x12, 500, 101, 0),
            segment(CLIENT, SERVER, 0x02, 900, 0, 0),
            segment(SERVER, CLIENT, 0x12, 70, 901, 0),
        ]);
        assert_eq!(lines[2..], ["C > S  S 0:0(0)", "S > C  S. 0:0(0) ack 1"]);
    }

    #[test]
    fn a_retransmitted_syn_and_another_initial_number_of_the_server_show() {
        let lines = shown(vec![
            segment(CLIENT, SERVER, 0x02, 100, 0, 0),
            segment(SERVER, CLIENT, 0x12, 500, 101, 0),
            segment(CLIENT, SERVER, 0x02, 100, 0, 0),
            segment(SERVER, CLIENT, 0x12, 700, 101, 0),
        ]);
        assert_eq!(lines[3], "S > C  S. 200:200(0) ack 1");
    }
}
