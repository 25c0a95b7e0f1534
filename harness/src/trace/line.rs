//! A trace as lines, as they are shown and as documents have them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::json::Fields;
use crate::trace::act::Act;

/// A line of a shown trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(into = "Written", try_from = "Written")]
pub struct Line {
    /// Time since the trace's first event.
    pub since_start: Duration,
    /// What is compared with an expectation: `C > S  P. 1:12(11) ack 1` or `-- close(A) --`.
    pub what: String,
    /// What is only shown: window and options.
    pub detail: String,
    /// What it is a line about.
    pub kind: Kind,
}

/// What a line of a trace is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A segment.
    Segment {
        /// Who sent it, by name.
        from: String,
        /// The receiver, by name.
        to: String,
    },
    /// Something that the lab did.
    Act {
        /// The act.
        act: Act,
        /// The errno with which the kernel refused it, if it did.
        refused: Option<String>,
    },
}

impl Line {
    /// The line of an act.
    pub fn of_act(since_start: Duration, act: Act, refused: Option<String>) -> Self {
        let what = match &refused {
            None => format!("-- {act} --"),
            Some(errno) => format!("-- {act}: {errno} --"),
        };
        Self { since_start, what, detail: String::new(), kind: Kind::Act { act, refused } }
    }

    /// The two ends of a segment: sender and receiver.
    pub fn ends(&self) -> Option<(&str, &str)> {
        match &self.kind {
            Kind::Segment { from, to } => Some((from, to)),
            Kind::Act { .. } => None,
        }
    }

    /// The act, if the line is about one.
    pub fn act(&self) -> Option<&Act> {
        match &self.kind {
            Kind::Segment { .. } => None,
            Kind::Act { act, .. } => Some(act),
        }
    }

    /// The act, if the line is about one that the kernel did not refuse.
    pub fn done(&self) -> Option<&Act> {
        match &self.kind {
            Kind::Act { act, refused: None } => Some(act),
            Kind::Act { .. } | Kind::Segment { .. } => None,
        }
    }
}

/// What a shown line says, as documents of version 1 have it; their acts are known by their
/// words.
impl FromStr for Line {
    type Err = NoLine;

    fn from_str(text: &str) -> Result<Self, NoLine> {
        let no_line = || NoLine(text.to_owned());
        let (seconds, rest) = text.trim_start().split_once("  ").ok_or_else(no_line)?;
        let since_start = moment(seconds).ok_or_else(no_line)?;
        if let Some(words) = rest.strip_prefix("-- ") {
            let words = words.strip_suffix(" --").ok_or_else(no_line)?;
            return Ok(Self::of_act(since_start, Act::of_version_1(words), None));
        }
        let (ends, rest) = rest.split_once("  ").ok_or_else(no_line)?;
        let (from, to) = ends.split_once(" > ").ok_or_else(no_line)?;
        let (notation, detail) = rest.split_once("  ").unwrap_or((rest, ""));
        Ok(Self {
            since_start,
            what: format!("{ends}  {notation}"),
            detail: detail.to_owned(),
            kind: Kind::Segment { from: from.to_owned(), to: to.to_owned() },
        })
    }
}

/// Seconds with a fraction, as a line begins.
fn moment(text: &str) -> Option<Duration> {
    let seconds: f64 = text.parse().ok()?;
    let micros = (seconds * 1e6).round();
    (0.0..1e18).contains(&micros).then(|| Duration::from_micros(micros as u64))
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

/// A line as documents have it: a segment as it is shown, an act as data. Documents of version
/// 1 have every line as it is shown.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "a line of a trace is a segment as text, or an act with its `microseconds` and how \
                 it is `shown`"
)]
enum Written {
    Shown(String),
    Act {
        microseconds: u64,
        act: Act,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        refused: Option<String>,
        /// The words, for readers that know no acts.
        shown: String,
    },
    /// Whatever else a later version may have in a trace.
    #[schemars(skip)]
    Later {
        microseconds: u64,
        shown: String,
        #[serde(flatten)]
        fields: Fields,
    },
}

impl From<Line> for Written {
    fn from(line: Line) -> Self {
        let shown = line.to_string();
        let microseconds = u64::try_from(line.since_start.as_micros()).unwrap_or(u64::MAX);
        match line.kind {
            Kind::Segment { .. } => Self::Shown(shown),
            Kind::Act { act: Act::Later { words, fields }, .. } => {
                Self::Later { microseconds, shown: format!("-- {words} --"), fields }
            }
            Kind::Act { act, refused } => {
                Self::Act { microseconds, act, refused, shown: line.what }
            }
        }
    }
}

impl TryFrom<Written> for Line {
    type Error = NoLine;

    fn try_from(written: Written) -> Result<Self, NoLine> {
        match written {
            Written::Shown(text) => text.parse(),
            Written::Act { microseconds, act, refused, .. } => {
                Ok(Self::of_act(Duration::from_micros(microseconds), act, refused))
            }
            Written::Later { microseconds, shown, fields } => {
                let words = shown.strip_prefix("-- ").and_then(|rest| rest.strip_suffix(" --"));
                let words = words.unwrap_or(&shown).to_owned();
                let act = Act::Later { words, fields };
                Ok(Self::of_act(Duration::from_micros(microseconds), act, None))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::parts::{Accepted, Actor, CloseCall};

    fn read(document: &str) -> Result<Line, serde_json::Error> {
        serde_json::from_str(document)
    }

    #[test]
    fn a_written_line_is_read_back() {
        let accept = Act::Accept { listener: "B".into(), got: Accepted::Connection("C".into()) };
        let closed = |refused: Option<&str>| {
            let socket = Actor::Listener("A".into());
            let act = Act::Close { socket, by: CloseCall::Close, last: true, at_scope_end: false };
            Line::of_act(Duration::from_micros(9), act, refused.map(str::to_owned))
        };
        let segment = read("\"0.000043  C > S  S 0:0(0)  win 512 <mss 1460>\"").expect("a line");
        assert_eq!(segment.ends(), Some(("C", "S")));
        assert_eq!(segment.detail, "win 512 <mss 1460>");
        let accepted = Line::of_act(Duration::ZERO, accept, None);
        assert_eq!(accepted.what, "-- accept(B): C's connection --");
        for line in [segment, accepted, closed(None), closed(Some("EBADF"))] {
            let document = serde_json::to_string(&line).expect("JSON");
            assert_eq!(read(&document).expect(&document), line);
        }
    }

    #[test]
    fn an_act_of_a_document_of_version_1_is_read_from_its_words() {
        let line = read("\" 0.000542  -- close(A) --\"").expect("a line");
        assert!(matches!(line.act(), Some(Act::Close { last: true, .. })), "{line:?}");
        assert_eq!(line.what, "-- close(A) --");
    }

    /// A kind of act, a way to do one, and what is no act at all.
    #[rstest::rstest]
    #[case(r#"{"microseconds":9,"act":{"teleport":{"listener":"A"}},"shown":"-- teleport(A) --"}"#)]
    #[case(
        r#"{"microseconds":9,"act":{"read-memory":{"by":"pages"}},"shown":"-- teleport(A) --"}"#
    )]
    #[case(r#"{"microseconds":9,"witness":{"napi":["C"]},"shown":"-- teleport(A) --"}"#)]
    fn a_line_of_a_later_version_is_shown_as_unknown_and_written_as_it_was(#[case] written: &str) {
        let line = read(written).expect("a line");
        assert_eq!(line.what, "-- teleport(A) (unknown to this sockmig) --");
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
        assert_eq!(value(&serde_json::to_string(&line).expect("JSON")), value(written));
    }

    #[test]
    fn what_is_no_line_is_refused() {
        for text in
            ["", "0.1", "0.1  C", "soon  -- close(A) --", "-1.0  -- close(A) --", "0.1  C > S"]
        {
            assert_eq!(text.parse::<Line>(), Err(NoLine(text.into())), "{text}");
        }
    }
}
