//! What a segment of a client is to the model.

use harness::trace::Notation;

use crate::model::{Expects, Outline};
use crate::step::Segment;

/// What a segment is to the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// One of the kinds that histories have, or two in one: data with a FIN.
    Known(Segment, Option<Segment>),
    /// Nothing comes of it: an acknowledgement, or something old.
    Nothing,
    /// The model has no kind for it.
    Unknown,
}

/// How large the window is that the server offers first; no case has a smaller one and numbers
/// near its end.
const WINDOW: u32 = 60_000;

/// What a segment is, with numbers relative to the client's first SYN, for a server that expects
/// `expects`.
pub fn meaning(segment: Notation, expects: Expects) -> Meaning {
    let one = |segment: Segment| Meaning::Known(segment, None);
    let flags = segment.flags;
    match (flags.syn(), flags.rst(), flags.ack()) {
        (true, true, _) | (true, false, true) => Meaning::Unknown,
        (true, false, false) => syn(segment, expects),
        (false, true, _) => reset(segment, expects),
        (false, false, false) => match expects.outline {
            Outline::Child | Outline::EndedChild => Meaning::Nothing,
            _ if segment.len == 1 && segment.seq == expects.next => one(Segment::WithoutAck),
            Outline::Nothing if segment.len == 1 => one(Segment::WithoutAck),
            _ => Meaning::Unknown,
        },
        (false, false, true) => acknowledging(segment, expects),
    }
}

/// Whether a number is in the window, and not the first of it.
fn is_further_on(seq: u32, expects: Expects) -> bool {
    (1..WINDOW).contains(&seq.wrapping_sub(expects.next))
}

fn syn(segment: Notation, expects: Expects) -> Meaning {
    let again = match segment.len {
        0 => Segment::Syn,
        bytes => Segment::FastOpenSyn(bytes),
    };
    match expects.outline {
        Outline::Nothing => Meaning::Known(again, None),
        Outline::Request | Outline::FastOpenChild if segment.seq == expects.first => {
            Meaning::Known(again, None)
        }
        Outline::Request if is_further_on(segment.seq, expects) && segment.len == 0 => {
            Meaning::Known(Segment::SynInWindow, None)
        }
        Outline::Child => Meaning::Known(Segment::Syn, None),
        Outline::Request | Outline::FastOpenChild | Outline::EndedChild => Meaning::Unknown,
    }
}

fn reset(segment: Notation, expects: Expects) -> Meaning {
    match expects.outline {
        Outline::Nothing => Meaning::Known(Segment::Reset, None),
        _ if segment.seq == expects.next => Meaning::Known(Segment::Reset, None),
        Outline::EndedChild => Meaning::Unknown,
        _ if is_further_on(segment.seq, expects) => Meaning::Known(Segment::ResetInWindow, None),
        Outline::Child => Meaning::Nothing,
        Outline::Request | Outline::FastOpenChild => Meaning::Unknown,
    }
}

fn acknowledging(segment: Notation, expects: Expects) -> Meaning {
    let kind = match (segment.len, segment.is_fin()) {
        (0, false) => (Segment::Ack, None),
        (0, true) => (Segment::Fin, None),
        (bytes, false) => (Segment::Data(bytes), None),
        (bytes, true) => (Segment::Data(bytes), Some(Segment::Fin)),
    };
    let known = Meaning::Known(kind.0, kind.1);
    match expects.outline {
        Outline::Nothing => Meaning::Known(kind.0, None),
        Outline::Request | Outline::FastOpenChild if segment.ack != Some(1) => {
            Meaning::Known(Segment::AckOfNothing, None)
        }
        Outline::Request | Outline::FastOpenChild if segment.seq == expects.next => known,
        Outline::Request if is_further_on(segment.seq, expects) => Meaning::Unknown,
        Outline::Request => Meaning::Known(Segment::OutOfWindow, None),
        Outline::FastOpenChild => Meaning::Unknown,
        Outline::Child | Outline::EndedChild if kind.0 == Segment::Ack => Meaning::Nothing,
        Outline::Child if segment.seq == expects.next => known,
        Outline::Child | Outline::EndedChild => {
            let is_old = segment.end().wrapping_sub(expects.next).cast_signed() <= 0;
            if is_old { Meaning::Nothing } else { Meaning::Unknown }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn expects(outline: Outline, next: u32) -> Expects {
        Expects { outline, first: 0, next, is_accepted: false }
    }

    #[rstest]
    #[case("S 0:0(0)", Outline::Nothing, 1, Meaning::Known(Segment::Syn, None))]
    #[case("S 0:5(5)", Outline::Nothing, 1, Meaning::Known(Segment::FastOpenSyn(5), None))]
    #[case("S 5:5(0)", Outline::Request, 1, Meaning::Known(Segment::SynInWindow, None))]
    #[case(". 1:1(0) ack 1", Outline::Request, 1, Meaning::Known(Segment::Ack, None))]
    #[case(". 1:1(0) ack 9", Outline::Request, 1, Meaning::Known(Segment::AckOfNothing, None))]
    #[case("R. 1:1(0) ack 1", Outline::Request, 1, Meaning::Known(Segment::Reset, None))]
    #[case("R 7:7(0)", Outline::Request, 1, Meaning::Known(Segment::ResetInWindow, None))]
    #[case(
        "FP. 1:12(11) ack 1",
        Outline::Child,
        1,
        Meaning::Known(Segment::Data(11), Some(Segment::Fin))
    )]
    #[case(". 12:12(0) ack 3", Outline::Child, 12, Meaning::Nothing)]
    #[case("P. 1:12(11) ack 1", Outline::Child, 12, Meaning::Nothing)]
    #[case("P. 5:16(11) ack 1", Outline::Child, 1, Meaning::Unknown)]
    #[case("P. 5:16(11) ack 1", Outline::Request, 1, Meaning::Unknown)]
    fn segments_are_what_they_do(
        #[case] text: &str,
        #[case] outline: Outline,
        #[case] next: u32,
        #[case] wanted: Meaning,
    ) {
        let segment = Notation::of(&format!("C > S  {text}")).expect("a segment");
        assert_eq!(meaning(segment, expects(outline, next)), wanted);
    }
}
