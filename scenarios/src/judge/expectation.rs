//! What must be observed: facts, and the wire in packetdrill's notation.

use std::fmt;

use harness::lab::WATCHED;
use harness::trace::observation::Value;

use crate::judge::wire::Wire;

/// What a correct kernel makes a case observe.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expectation {
    /// Facts by name, each with what is acceptable.
    pub facts: Vec<(String, Acceptable)>,
    /// Names of facts that are written down and may have any value.
    pub recorded: Vec<String>,
    /// The wire of single actors.
    pub wires: Vec<Wire>,
    /// No segment at all may be on the wire.
    pub silent: bool,
    /// Why the wire may be any, where nothing is stated of it.
    pub any_wire: Option<AnyWire>,
}

/// What a case says of its wire, in every setting for which [`Expectation::wire`] does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireRule {
    /// What `expect` says, for each setting.
    InExpect,
    /// No segment at all may be on it.
    Silent,
    /// These actors' wires, in the notation of [`Wire`], the same in every setting.
    Shows(Actors),
    /// The same, with migration off and on.
    OffAndOn(Actors, Actors),
    /// Anything, for this reason.
    Any(AnyWire),
}

/// Names of actors, each with its wire.
pub type Actors = &'static [(&'static str, &'static str)];

/// Why a case states nothing of its wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnyWire {
    /// The client builds each segment itself, and the answers that matter are facts.
    AnswersAreFacts,
    /// Timers of the kernel fire meanwhile, so how many segments there are depends on the
    /// machine; what matters of them are facts.
    TimersFire,
    /// Many connections, spread by hashes over the listeners.
    ManyConnections,
    /// What is done many times is not captured; single segments of its end may be.
    NotCaptured,
    /// It is about sockets, processes or memory: where connections are accepted, and what
    /// is left of them, are facts.
    SocketsMatter,
    /// The segments carry options of TCP, or signatures, that the notation does not show; what
    /// matters of them are facts.
    OptionsMatter,
}

impl fmt::Display for AnyWire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AnswersAreFacts => {
                "the client builds each segment itself, and the answers that matter are facts"
            }
            Self::TimersFire => {
                "timers of the kernel fire meanwhile, and what matters of the segments are facts"
            }
            Self::ManyConnections => "there are many connections, spread by hashes",
            Self::NotCaptured => "what is done many times is not captured",
            Self::SocketsMatter => "the case is about sockets, and their states are facts",
            Self::OptionsMatter => "options of the segments matter, and they are facts",
        })
    }
}

/// What a lab observes of a counter that this kernel lacks.
const NO_COUNTER: &str = "no such counter";

/// The acceptable values of a fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acceptable {
    /// One of these.
    OneOf(Vec<Value>),
    /// A number in this range, ends included.
    Between(i64, i64),
    /// A counter that the case does not name has not grown, or this kernel lacks it.
    StandsStill,
}

impl Acceptable {
    /// Whether `value` is acceptable.
    pub fn accepts(&self, value: &Value) -> bool {
        match self {
            Self::OneOf(values) => values.contains(value),
            Self::Between(low, high) => {
                matches!(value, Value::Number(number) if (low..=high).contains(&number))
            }
            Self::StandsStill => *value == Value::Number(0) || *value == NO_COUNTER.into(),
        }
    }
}

impl fmt::Display for Acceptable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OneOf(values) => {
                let shown: Vec<String> = values.iter().map(ToString::to_string).collect();
                f.write_str(&shown.join(" or "))
            }
            Self::Between(low, high) => write!(f, "{low} to {high}"),
            Self::StandsStill => write!(f, "0 or {NO_COUNTER}"),
        }
    }
}

impl Expectation {
    /// Expects nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Expects a fact to have one value.
    #[must_use]
    pub fn fact(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.facts.push((name.to_owned(), Acceptable::OneOf(vec![value.into()])));
        self
    }

    /// Expects a fact to have one of several values.
    #[must_use]
    pub fn one_of(mut self, name: &str, values: &[&str]) -> Self {
        let values = values.iter().map(|value| Value::from(*value)).collect();
        self.facts.push((name.to_owned(), Acceptable::OneOf(values)));
        self
    }

    /// Expects a number between two others, ends included.
    #[must_use]
    pub fn between(mut self, name: &str, (low, high): (i64, i64)) -> Self {
        self.facts.push((name.to_owned(), Acceptable::Between(low, high)));
        self
    }

    /// Has a fact written down that may have any value.
    #[must_use]
    pub fn recorded(mut self, name: &str) -> Self {
        self.recorded.push(name.to_owned());
        self
    }

    /// Expects these counters to have grown by these numbers, and every other watched one not at
    /// all. A counter that this kernel does not have has not grown.
    #[must_use]
    pub fn counters(mut self, grown: &[(&str, i64)]) -> Self {
        for name in WATCHED {
            let acceptable = match grown.iter().find(|(moved, _)| moved == name) {
                Some((_, 0)) => Acceptable::OneOf(vec![Value::Number(0), NO_COUNTER.into()]),
                Some((_, by)) => Acceptable::OneOf(vec![Value::Number(*by)]),
                None => Acceptable::StandsStill,
            };
            self.facts.push(((*name).to_owned(), acceptable));
        }
        self
    }

    /// Whether a fact says nothing: a counter that the case does not name, and that has not
    /// grown, as it must. Those are many, so that they are only counted where facts are shown.
    /// A 0 that the case expects by name, or where it expects anything else, is worth a line.
    pub fn is_idle(&self, name: &str, value: &Value) -> bool {
        let expected = self.facts.iter().find(|(known, _)| known == name);
        expected.is_some_and(|(_, acceptable)| {
            *acceptable == Acceptable::StandsStill && acceptable.accepts(value)
        })
    }

    /// Expects the wire of `actor` to be this [`Wire`].
    #[must_use]
    pub fn wire(mut self, actor: &str, text: &str) -> Self {
        self.wires.push(Wire::parse(actor, text));
        self
    }

    /// Expects that no segment is on the wire.
    #[must_use]
    pub fn silent(mut self) -> Self {
        self.silent = true;
        self
    }

    /// Expects the wires of several actors.
    #[must_use]
    pub fn wires(self, actors: Actors) -> Self {
        actors.iter().fold(self, |must, (actor, text)| must.wire(actor, text))
    }

    /// Accepts any wire, for this reason.
    #[must_use]
    pub fn any_wire(mut self, why: AnyWire) -> Self {
        self.any_wire = Some(why);
        self
    }

    /// Whether it says what the wire may be.
    pub fn states_the_wire(&self) -> bool {
        !self.wires.is_empty() || self.silent || self.any_wire.is_some()
    }

    /// Whether a fact of this name may be observed.
    pub fn names(&self, fact: &str) -> bool {
        self.facts.iter().any(|(name, _)| name == fact) || self.recorded.iter().any(|r| r == fact)
    }

    /// The same with other values for some facts.
    #[must_use]
    pub fn with(self, others: &[(String, Value)]) -> Self {
        let one = |(name, value): &(String, Value)| {
            (name.clone(), Acceptable::OneOf(vec![value.clone()]))
        };
        self.accepting(&others.iter().map(one).collect::<Vec<_>>())
    }

    /// The same where something else is acceptable for some facts.
    #[must_use]
    pub fn accepting(mut self, others: &[(String, Acceptable)]) -> Self {
        for (name, acceptable) in others {
            match self.facts.iter_mut().find(|(known, _)| known == name) {
                Some((_, old)) => *old = acceptable.clone(),
                None => self.facts.push((name.clone(), acceptable.clone())),
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zero_is_idle_only_where_no_case_names_the_counter() {
        let must =
            Expectation::new().fact("queue", 0).counters(&[("OutRsts", 1), ("EstabResets", 0)]);
        let idle = |name: &str, value: i64| must.is_idle(name, &value.into());
        assert!(idle("ListenDrops", 0) && must.is_idle("ListenDrops", &NO_COUNTER.into()));
        assert!(!idle("ListenDrops", 1), "it moved");
        assert!(!idle("OutRsts", 0), "something else was expected");
        assert!(!idle("EstabResets", 0) && !idle("queue", 0), "the case expects it by name");
        assert!(!idle("not named", 0));
    }
}
