//! A segment's notation, read back.

use crate::net::draft::Draft;
use crate::net::segment::Flags;

/// Flags and relative numbers of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Notation {
    /// The flags.
    pub flags: Flags,
    /// The first byte's number, relative to the connection's first.
    pub seq: u32,
    /// Bytes of payload.
    pub len: u32,
    /// What is acknowledged, if anything is.
    pub ack: Option<u32>,
}

impl Notation {
    /// The part of a segment's line that is the notation.
    pub fn text_of(what: &str) -> &str {
        what.split_once("  ").map_or(what, |(_, notation)| notation)
    }

    /// Reads the notation of a segment's line; nothing where the line has none.
    pub fn of(what: &str) -> Option<Self> {
        let mut words = Self::text_of(what).split(' ');
        let flags = Flags::from_letters(words.next()?)?;
        let (seq, rest) = words.next()?.split_once(':')?;
        let (_, len) = rest.strip_suffix(')')?.split_once('(')?;
        let ack = match words.next() {
            Some("ack") => Some(words.next()?.parse().ok()?),
            _ => None,
        };
        Some(Self { flags, seq: seq.parse().ok()?, len: len.parse().ok()?, ack })
    }

    /// The notation of a segment that is built by hand.
    pub fn of_draft(draft: &Draft) -> Self {
        let flags = draft.flags();
        let ack = flags.ack().then_some(draft.ack());
        Self { flags, seq: draft.seq(), len: draft.len(), ack }
    }

    /// A SYN that opens a connection.
    pub fn is_syn(self) -> bool {
        self.flags.syn() && !self.flags.ack()
    }

    /// A SYN that answers one.
    pub fn is_syn_ack(self) -> bool {
        self.flags.syn() && self.flags.ack()
    }

    /// A FIN.
    pub fn is_fin(self) -> bool {
        self.flags.has(1)
    }

    /// The number after its last byte; SYN and FIN count as one.
    pub fn end(self) -> u32 {
        let counted = u32::from(self.flags.syn()) + u32::from(self.is_fin());
        self.seq.wrapping_add(self.len).wrapping_add(counted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notation_is_read() {
        let data = Notation::of("C > S  P. 1:12(11) ack 1").expect("a segment");
        assert_eq!((data.seq, data.len, data.ack, data.end()), (1, 11, Some(1), 12));
        let syn = Notation::of("C > S  S 0:0(0)").expect("a segment");
        assert!(syn.is_syn() && !syn.is_syn_ack() && syn.end() == 1);
        assert_eq!(Notation::of("-- close(A) --"), None);
        assert_eq!(Notation::of("C > S  Q 0:0(0)"), None);
    }
}
