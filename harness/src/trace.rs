//! What happened in a lab, in order: segments, and the lab's own acts between them.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::segment::Segment;

/// One entry of a trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A segment that crossed the wire.
    Segment(Segment),
    /// Something that the lab did, such as `close(A)`.
    Act {
        /// When, since the Unix epoch.
        at: Duration,
        /// The act, as the trace shows it between two dashes.
        act: String,
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

/// A line of a shown trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Time since the trace's first event.
    pub since_start: Duration,
    /// What is compared with an expectation: `C > S  P. 1:12(11) ack 1` or `-- close(A) --`.
    pub what: String,
    /// What is only shown: window and options.
    pub detail: String,
    /// The two actors of a segment, by name; nobody for an act.
    pub actors: Option<(String, String)>,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.since_start.as_secs_f64();
        write!(f, "{at:>9.6}  {}", self.what)?;
        if !self.detail.is_empty() {
            write!(f, "  {}", self.detail)?;
        }
        Ok(())
    }
}

/// A text is not a line of a trace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a line of a trace: seconds, and a segment or an act between dashes")]
pub struct NoLine(String);

/// Reads what [`Line`] is shown as, so that a trace in a document is a trace again.
impl FromStr for Line {
    type Err = NoLine;

    fn from_str(text: &str) -> Result<Self, NoLine> {
        let no_line = || NoLine(text.to_owned());
        let (seconds, rest) = text.trim_start().split_once("  ").ok_or_else(no_line)?;
        let seconds: f64 = seconds.parse().map_err(|_| no_line())?;
        let micros = (seconds * 1e6).round();
        if !(0.0..1e18).contains(&micros) {
            return Err(no_line());
        }
        let since_start = Duration::from_micros(micros as u64);
        if rest.starts_with("-- ") {
            let (what, detail) = (rest.to_owned(), String::new());
            return Ok(Self { since_start, what, detail, actors: None });
        }
        let (ends, rest) = rest.split_once("  ").ok_or_else(no_line)?;
        let (from, to) = ends.split_once(" > ").ok_or_else(no_line)?;
        let (notation, detail) = rest.split_once("  ").unwrap_or((rest, ""));
        Ok(Self {
            since_start,
            what: format!("{ends}  {notation}"),
            detail: detail.to_owned(),
            actors: Some((from.to_owned(), to.to_owned())),
        })
    }
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
                    Event::Act { act, .. } => Line {
                        since_start,
                        what: format!("-- {act} --"),
                        detail: String::new(),
                        actors: None,
                    },
                    Event::Segment(segment) => {
                        let from = self.name_of(segment.from);
                        let to = self.name_of(segment.to);
                        let numbers = initial.relative(segment);
                        Line {
                            since_start,
                            what: format!("{from} > {to}  {} {numbers}", segment.flags),
                            detail: segment.detail(),
                            actors: Some((from, to)),
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
    use crate::segment::Flags;

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
            Event::Act { at: Duration::ZERO, act: "close(A)".into() },
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
    fn a_shown_line_is_read_back() {
        let mut trace = Trace {
            events: vec![
                segment(CLIENT, SERVER, 0x02, 100, 0, 0),
                segment(SERVER, CLIENT, 0x12, u32::MAX, 101, 0),
                Event::Act { at: Duration::from_micros(9), act: "accept(B): C's  one".into() },
            ],
            names: vec![],
        };
        trace.name(CLIENT.parse().expect("an address"), "C");
        for line in trace.lines() {
            assert_eq!(line.to_string().parse(), Ok(line));
        }
    }

    #[test]
    fn what_is_no_line_is_refused() {
        for text in
            ["", "0.1", "0.1  C", "soon  -- close(A) --", "-1.0  -- close(A) --", "0.1  C > S"]
        {
            assert_eq!(text.parse::<Line>(), Err(NoLine(text.into())));
        }
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
