//! Values of a server's file that have more than one form.

use std::fmt;
use std::marker::PhantomData;

use harness::process::child_server::Signal;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A program and its arguments: a list of words, or a line that is split as a shell does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Words(Vec<String>);

impl Words {
    /// The words of a line, with quotes as in a shell.
    ///
    /// # Errors
    /// A quote is not closed.
    pub fn of_line(line: &str) -> Result<Self, String> {
        let words = shell_words::split(line);
        words.map(Self).map_err(|_| format!("a quote in `{line}` is not closed"))
    }

    /// The words.
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Forms::<Self>::new("words, as in [\"nginx\", \"-t\"] or \"nginx -t\""))
    }
}

impl Form for Words {
    fn of_text(text: &str) -> Option<Result<Self, String>> {
        Some(Self::of_line(text))
    }

    fn of_list<'de, A: SeqAccess<'de>>(list: A) -> Option<Result<Self, A::Error>> {
        Some(Deserialize::deserialize(SeqAccessDeserializer::new(list)).map(Self))
    }
}

/// A number, or a template that becomes one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Count(String);

impl Count {
    /// The template; a number is one without placeholders.
    pub fn template(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Forms::<Self>::new("a number, or text as \"{workers}\""))
    }
}

impl Form for Count {
    fn of_number(number: i64) -> Option<Self> {
        Some(Self(number.to_string()))
    }

    fn of_text(text: &str) -> Option<Result<Self, String>> {
        Some(Ok(Self(text.to_owned())))
    }
}

/// How many children there must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum ChildCount {
    /// So many.
    Exactly(Count),
    /// So many or more.
    AtLeast(AtLeast),
}

/// A lower limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AtLeast {
    /// The limit.
    pub at_least: Count,
}

impl ChildCount {
    /// The number, exact or not.
    pub fn count(&self) -> &Count {
        match self {
            Self::Exactly(count) | Self::AtLeast(AtLeast { at_least: count }) => count,
        }
    }
}

impl<'de> Deserialize<'de> for ChildCount {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Forms::<Self>::new("a number, text, or { at-least = 4 }"))
    }
}

impl Form for ChildCount {
    fn of_number(number: i64) -> Option<Self> {
        Count::of_number(number).map(Self::Exactly)
    }

    fn of_text(text: &str) -> Option<Result<Self, String>> {
        Count::of_text(text).map(|count| count.map(Self::Exactly))
    }

    fn of_table<'de, A: MapAccess<'de>>(table: A) -> Option<Result<Self, A::Error>> {
        let read = AtLeast::deserialize(MapAccessDeserializer::new(table));
        Some(read.map(Self::AtLeast))
    }
}

/// How a new server is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum StartAgain {
    /// As the first one was, or not at all.
    AsBefore(bool),
    /// By a command of its own.
    By(Words),
}

impl<'de> Deserialize<'de> for StartAgain {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Forms::<Self>::new("true, or a command"))
    }
}

impl Form for StartAgain {
    fn of_bool(is: bool) -> Option<Self> {
        Some(Self::AsBefore(is))
    }

    fn of_text(text: &str) -> Option<Result<Self, String>> {
        Words::of_text(text).map(|words| words.map(Self::By))
    }

    fn of_list<'de, A: SeqAccess<'de>>(list: A) -> Option<Result<Self, A::Error>> {
        Words::of_list(list).map(|words| words.map(Self::By))
    }
}

/// A signal by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalName(pub Signal);

impl SignalName {
    /// The signal called `name`: `SIGHUP`, or `HUP`.
    ///
    /// # Errors
    /// There is none.
    pub fn parse(name: &str) -> Result<Self, String> {
        let full = if name.starts_with("SIG") { name.to_owned() } else { format!("SIG{name}") };
        full.parse().map(Self).map_err(|_| format!("there is no signal `{name}`"))
    }
}

impl fmt::Display for SignalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl Serialize for SignalName {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.0.as_str())
    }
}

impl<'de> Deserialize<'de> for SignalName {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Forms::<Self>::new("the name of a signal, as \"SIGHUP\""))
    }
}

impl Form for SignalName {
    fn of_text(text: &str) -> Option<Result<Self, String>> {
        Some(Self::parse(text))
    }
}

/// What is expected where such a number is.
const WHOLE_NUMBER: &str = "a whole number from 0 to 4294967295";

/// Reads a number that cannot be negative.
pub(super) fn whole_number<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    from.deserialize_any(Forms::<WholeNumber>::new(WHOLE_NUMBER)).map(|number| number.0)
}

/// The same, of a key that may be missing; null in JSON.
pub(super) fn optional_whole_number<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<u32>, D::Error> {
    let number = from.deserialize_any(Forms::<Optional>::new(WHOLE_NUMBER))?;
    Ok(number.0)
}

struct WholeNumber(u32);

impl Form for WholeNumber {
    fn of_number(number: i64) -> Option<Self> {
        u32::try_from(number).ok().map(Self)
    }
}

struct Optional(Option<u32>);

impl Form for Optional {
    fn of_nothing() -> Option<Self> {
        Some(Self(None))
    }

    fn of_number(number: i64) -> Option<Self> {
        WholeNumber::of_number(number).map(|number| Self(Some(number.0)))
    }
}

/// What a value may be made of; by default of nothing.
trait Form: Sized {
    fn of_nothing() -> Option<Self> {
        None
    }

    fn of_bool(_: bool) -> Option<Self> {
        None
    }

    fn of_number(_: i64) -> Option<Self> {
        None
    }

    fn of_text(_: &str) -> Option<Result<Self, String>> {
        None
    }

    fn of_list<'de, A: SeqAccess<'de>>(_: A) -> Option<Result<Self, A::Error>> {
        None
    }

    fn of_table<'de, A: MapAccess<'de>>(_: A) -> Option<Result<Self, A::Error>> {
        None
    }
}

/// Reads a value in any of its forms.
struct Forms<T> {
    expected: &'static str,
    made: PhantomData<T>,
}

impl<T> Forms<T> {
    fn new(expected: &'static str) -> Self {
        Self { expected, made: PhantomData }
    }
}

impl<'de, T: Form> Visitor<'de> for Forms<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_unit<E: Error>(self) -> Result<T, E> {
        T::of_nothing().ok_or_else(|| E::invalid_type(serde::de::Unexpected::Unit, &self))
    }

    fn visit_bool<E: Error>(self, is: bool) -> Result<T, E> {
        T::of_bool(is).ok_or_else(|| E::invalid_type(serde::de::Unexpected::Bool(is), &self))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        let unexpected = serde::de::Unexpected::Signed(number);
        T::of_number(number).ok_or_else(|| E::invalid_type(unexpected, &self))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        let unexpected = serde::de::Unexpected::Unsigned(number);
        let made = i64::try_from(number).ok().and_then(T::of_number);
        made.ok_or_else(|| E::invalid_type(unexpected, &self))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        match T::of_text(text) {
            Some(made) => made.map_err(E::custom),
            None => Err(E::invalid_type(serde::de::Unexpected::Str(text), &self)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<T, A::Error> {
        let unexpected = A::Error::invalid_type(serde::de::Unexpected::Seq, &self);
        T::of_list(list).unwrap_or(Err(unexpected))
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<T, A::Error> {
        let unexpected = A::Error::invalid_type(serde::de::Unexpected::Map, &self);
        T::of_table(table).unwrap_or(Err(unexpected))
    }
}
