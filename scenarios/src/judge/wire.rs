//! What the wire of one client must show, in packetdrill's notation, line by line.

use std::time::Duration;

use harness::trace::Line;

/// The whole wire of one actor, line by line.
///
/// A line is a segment in packetdrill's notation, or an act between dashes, and may start
/// with how often it comes:
///
/// | start | the line comes |
/// |---|---|
/// | nothing | once |
/// | `*` | any number of times |
/// | `~` | any number of times, once the SYN+ACK timer can have fired |
///
/// Neighbouring lines that start with `*` or `~` may come in any order. A last line `...`
/// leaves the rest open. Acts that the text does not name are not compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wire {
    /// Whose.
    pub actor: String,
    /// As it was written.
    pub text: String,
    steps: Vec<Step>,
    open_end: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Once(String),
    AnyOf(Vec<Repeated>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Repeated {
    line: String,
    by_timer: bool,
}

/// The first SYN+ACK retransmission comes after TCP_TIMEOUT_INIT, a second; timers of the
/// kernel's wheel may fire a little early as seen by the wire's clock.
const SYN_ACK_TIMER: Duration = Duration::from_millis(900);

/// Where the wire diverges from what was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Divergence {
    /// The index of the first wrong line among the compared lines; their number when the
    /// wire ended too early.
    pub at: usize,
    /// What could have come there.
    pub expected: Vec<String>,
}

impl Wire {
    /// Reads the notation of [`Wire`].
    pub fn parse(actor: &str, text: &str) -> Self {
        let mut wire =
            Self { actor: actor.to_owned(), text: text.to_owned(), steps: vec![], open_end: false };
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let repeated =
                |line: &str, by_timer| Repeated { line: line.trim().to_owned(), by_timer };
            let once_more = match (line, line.strip_prefix('*'), line.strip_prefix('~')) {
                ("...", ..) => {
                    wire.open_end = true;
                    continue;
                }
                (_, Some(line), _) => repeated(line, false),
                (_, _, Some(line)) => repeated(line, true),
                _ => {
                    wire.steps.push(Step::Once(line.to_owned()));
                    continue;
                }
            };
            match wire.steps.last_mut() {
                Some(Step::AnyOf(lines)) => lines.push(once_more),
                _ => wire.steps.push(Step::AnyOf(vec![once_more])),
            }
        }
        wire
    }

    /// The lines of a trace that are compared: the actor's, and the acts that are named.
    pub fn compared<'l>(&self, lines: &'l [Line]) -> Vec<&'l Line> {
        let named = |act: &str| {
            self.steps.iter().any(|step| matches!(step, Step::Once(line) if line == act))
        };
        lines
            .iter()
            .filter(|line| match line.ends() {
                Some((from, to)) => *from == self.actor || *to == self.actor,
                None => named(&line.what),
            })
            .collect()
    }

    /// Where `compared` diverges from what is expected, if it does.
    pub fn diverges_from(&self, compared: &[&Line]) -> Option<Divergence> {
        let start = compared.iter().find(|line| line.ends().is_some()).map(|line| line.since_start);
        // Every step that may be the next, as in a simulated automaton.
        let mut next = self.skip_repeated(vec![0]);
        for (at, line) in compared.iter().enumerate() {
            if self.open_end && next.contains(&self.steps.len()) {
                return None;
            }
            let age = line.since_start.saturating_sub(start.unwrap_or_default());
            let after: Vec<usize> = next
                .iter()
                .filter_map(|&step| match self.steps.get(step)? {
                    Step::Once(expected) => (*expected == line.what).then_some(step + 1),
                    Step::AnyOf(lines) => lines
                        .iter()
                        .any(|r| r.line == line.what && (!r.by_timer || age >= SYN_ACK_TIMER))
                        .then_some(step),
                })
                .collect();
            if after.is_empty() {
                return Some(Divergence { at, expected: self.describe(&next) });
            }
            next = self.skip_repeated(after);
        }
        let ended = next.contains(&self.steps.len());
        (!ended).then(|| Divergence { at: compared.len(), expected: self.describe(&next) })
    }

    /// Adds the steps after those that may be left out.
    fn skip_repeated(&self, mut steps: Vec<usize>) -> Vec<usize> {
        let mut index = 0;
        while index < steps.len() {
            if matches!(self.steps.get(steps[index]), Some(Step::AnyOf(_)))
                && !steps.contains(&(steps[index] + 1))
            {
                steps.push(steps[index] + 1);
            }
            index += 1;
        }
        steps
    }

    fn describe(&self, steps: &[usize]) -> Vec<String> {
        let mut shown: Vec<String> = steps
            .iter()
            .flat_map(|&step| match self.steps.get(step) {
                None => vec!["nothing more".to_owned()],
                Some(Step::Once(line)) => vec![line.clone()],
                Some(Step::AnyOf(lines)) => {
                    lines.iter().filter(|r| !r.by_timer).map(|r| r.line.clone()).collect()
                }
            })
            .collect();
        shown.dedup();
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn line(text: &str, millis: u64) -> Line {
        let line: Line = format!("0.0  {text}").parse().expect("a line of a trace");
        Line { since_start: Duration::from_millis(millis), ..line }
    }

    const GATED: &str = "
        C > S  S 0:0(0)
        C > S  P. 1:12(11) ack 1
      * C > S  P. 1:12(11) ack 1
      ~ S > C  S. 0:0(0) ack 1
        -- gate opened --
        C > S  P. 1:12(11) ack 1
        S > C  R 1:1(0)
    ";
    const SYN: &str = "C > S  S 0:0(0)";
    const DATA: &str = "C > S  P. 1:12(11) ack 1";
    const SYN_ACK: &str = "S > C  S. 0:0(0) ack 1";
    const OPENED: &str = "-- gate opened --";
    const RST: &str = "S > C  R 1:1(0)";

    #[rstest]
    #[case::plain(&[SYN, DATA, OPENED, DATA, RST], None)]
    #[case::retransmitted(&[SYN, DATA, DATA, DATA, OPENED, DATA, RST], None)]
    #[case::others_do_not_count(&[SYN, "D > S  S 0:0(0)", DATA, "-- other --", OPENED, DATA, RST], None)]
    #[case::wrong_segment(&[SYN, DATA, OPENED, DATA, "S > C  R. 1:1(0) ack 12"], Some(4))]
    #[case::one_too_many(&[SYN, DATA, OPENED, DATA, RST, RST], Some(5))]
    #[case::too_early(&[SYN, DATA, OPENED, DATA], Some(4))]
    #[case::timer_that_cannot_have_fired(&[SYN, DATA, SYN_ACK, OPENED, DATA, RST], Some(2))]
    #[case::act_in_the_wrong_place(&[SYN, DATA, DATA, RST, OPENED], Some(3))]
    #[case::nothing(&[], Some(0))]
    fn a_wire_is_compared_whole(#[case] seen: &[&str], #[case] diverges_at: Option<usize>) {
        let wire = Wire::parse("C", GATED);
        let lines: Vec<Line> = seen.iter().map(|text| line(text, 1)).collect();
        let compared = wire.compared(&lines);
        assert_eq!(wire.diverges_from(&compared).map(|divergence| divergence.at), diverges_at);
    }

    #[test]
    fn a_timer_line_may_come_when_the_timer_can_have_fired() {
        let wire = Wire::parse("C", GATED);
        let lines = [
            line(SYN, 0),
            line(DATA, 1),
            line(SYN_ACK, 1000),
            line(DATA, 1200),
            line(OPENED, 1201),
            line(DATA, 1300),
            line(RST, 1300),
        ];
        let compared = wire.compared(&lines);
        assert_eq!(wire.diverges_from(&compared), None);
    }

    #[test]
    fn an_open_end_accepts_anything() {
        let wire = Wire::parse("C", "C > S  S 0:0(0)\n...");
        let lines = [line(SYN, 0), line(DATA, 0), line(RST, 0)];
        assert_eq!(wire.diverges_from(&wire.compared(&lines)), None);
    }

    #[test]
    fn what_could_have_come_is_told() {
        let wire = Wire::parse("C", GATED);
        let lines = [line(SYN, 0), line(DATA, 0), line(RST, 0)];
        let divergence = wire.diverges_from(&wire.compared(&lines)).expect("a divergence");
        assert_eq!(divergence.expected, [DATA, OPENED]);
    }
}
