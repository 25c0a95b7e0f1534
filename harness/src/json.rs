//! What JSON documents have in place of Rust's own types: answers in plain names, and durations
//! with their unit. Those of older versions are read, too.

use std::borrow::Cow;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Whether something is there, or why not.
#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct Answer<E> {
    /// Whether it is there.
    available: bool,
    /// Why it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<E>,
}

/// What is there, or why nothing is.
#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct Choice<T, E> {
    /// Whether there is one.
    available: bool,
    /// Which.
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<T>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<E>,
}

/// The fields of something that this version does not know, as a document of a later one has them:
/// they are written as they were read.
pub type Fields = serde_json::Map<String, serde_json::Value>;

/// How what a later version wrote is shown, everywhere: in that version's words.
pub fn of_later_version(words: &str) -> String {
    format!("{words} (unknown to this sockmig)")
}

/// Fields of a later version's, as they are shown where they have no words.
pub fn shown_fields(fields: &Fields) -> String {
    of_later_version(&serde_json::Value::Object(fields.clone()).to_string())
}

/// Why something is not there, in a document that may be of a later version.
#[derive(Deserialize)]
#[serde(untagged)]
enum Why<E> {
    Known(E),
    Later(serde_json::Value),
}

impl<E: From<String>> Why<E> {
    fn known(self) -> E {
        match self {
            Self::Known(why) => why,
            Self::Later(value) => {
                let words = value.as_str().map_or_else(|| Cow::Owned(value.to_string()), Cow::from);
                of_later_version(&words).into()
            }
        }
    }
}

/// What documents do not say.
fn unsaid() -> String {
    "it is not there".into()
}

pub(crate) mod answer {
    use super::{Answer, Deserialize, Deserializer, Serialize, Serializer, Why, unsaid};

    #[derive(Deserialize)]
    #[serde(untagged, expecting = "what a kernel has is `available`, or says `why` not")]
    enum Written<E> {
        Answer(Answer<Why<E>>),
        /// In version 1 of the documents.
        YesOrNo(bool),
        /// In older ones of version 2, and in version 1.
        Result(Result<(), E>),
    }

    pub(crate) fn serialize<S, E>(answer: &Result<(), E>, to: S) -> Result<S::Ok, S::Error>
    where
        S: Serializer,
        E: Serialize,
    {
        Answer { available: answer.is_ok(), why: answer.as_ref().err() }.serialize(to)
    }

    pub(crate) fn deserialize<'de, D, E>(from: D) -> Result<Result<(), E>, D::Error>
    where
        D: Deserializer<'de>,
        E: Deserialize<'de> + From<String>,
    {
        let answer = |available, why: Option<Why<E>>| match available {
            true => Ok(()),
            false => Err(why.map_or_else(|| unsaid().into(), Why::known)),
        };
        Ok(match Written::deserialize(from)? {
            Written::Answer(Answer { available, why }) => answer(available, why),
            Written::YesOrNo(available) => answer(available, None),
            Written::Result(answer) => answer,
        })
    }
}

pub(crate) mod choice {
    use serde::de::Error;

    use super::{Choice, Deserialize, Deserializer, Serialize, Serializer, Why, unsaid};

    #[derive(Deserialize)]
    #[serde(untagged, expecting = "what a kernel has is `available`, or says `why` not")]
    enum Written<T, E> {
        Choice(Choice<T, Why<E>>),
        /// In older documents of version 2, and in version 1.
        Result(Result<T, E>),
    }

    pub(crate) fn serialize<S, T, E>(choice: &Result<T, E>, to: S) -> Result<S::Ok, S::Error>
    where
        S: Serializer,
        T: Serialize,
        E: Serialize,
    {
        let (kind, why) = (choice.as_ref().ok(), choice.as_ref().err());
        Choice { available: choice.is_ok(), kind, why }.serialize(to)
    }

    pub(crate) fn deserialize<'de, D, T, E>(from: D) -> Result<Result<T, E>, D::Error>
    where
        D: Deserializer<'de>,
        T: Deserialize<'de>,
        E: Deserialize<'de> + From<String>,
    {
        match Written::deserialize(from)? {
            Written::Choice(Choice { available: true, kind: Some(kind), .. }) => Ok(Ok(kind)),
            Written::Choice(Choice { available: true, kind: None, .. }) => {
                Err(D::Error::missing_field("kind"))
            }
            Written::Choice(Choice { why, .. }) => {
                Ok(Err(why.map_or_else(|| unsaid().into(), Why::known)))
            }
            Written::Result(choice) => Ok(choice),
        }
    }
}

/// A duration in milliseconds; with a fraction if they are not whole.
pub mod milliseconds {
    use super::{Deserialize, Deserializer, Duration, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a duration is a number of milliseconds")]
    enum Written {
        Milliseconds(f64),
        /// In older documents: seconds and nanoseconds.
        Parts(Duration),
    }

    /// Writes it.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        let whole = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        match Duration::from_millis(whole) == *duration {
            true => to.serialize_u64(whole),
            false => to.serialize_f64(duration.as_secs_f64() * 1e3),
        }
    }

    /// Reads it.
    ///
    /// # Errors
    /// It is no duration.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        match Written::deserialize(from)? {
            Written::Milliseconds(number) => {
                Duration::try_from_secs_f64(number / 1e3).map_err(serde::de::Error::custom)
            }
            Written::Parts(duration) => Ok(duration),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::refusal::Refusal;
    use crate::trace::GateKind;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Document {
        #[serde(with = "answer")]
        ao: Result<(), Refusal>,
        #[serde(with = "choice")]
        gate: Result<GateKind, Refusal>,
        #[serde(rename = "waited_ms", alias = "waited", with = "milliseconds")]
        waited: Duration,
    }

    fn with_everything() -> Document {
        let waited = Duration::from_millis(40);
        Document { ao: Ok(()), gate: Ok(GateKind::Nftables), waited }
    }

    fn with_nothing() -> Document {
        let refused = || Refusal::of(crate::Errno::EPERM);
        Document { ao: Err(refused()), gate: Err(refused()), waited: Duration::from_micros(1500) }
    }

    #[rstest]
    #[case(
        with_everything(),
        r#"{"ao":{"available":true},"gate":{"available":true,"kind":"nftables"},"waited_ms":40}"#
    )]
    #[case(
        with_nothing(),
        r#"{"ao":{"available":false,"why":{"errno":"EPERM"}},"gate":{"available":false,"why":{"errno":"EPERM"}},"waited_ms":1.5}"#
    )]
    fn a_document_has_plain_names(#[case] document: Document, #[case] written: &str) {
        assert_eq!(serde_json::to_string(&document).expect("JSON"), written);
        assert_eq!(serde_json::from_str::<Document>(written).expect(written), document);
    }

    #[rstest]
    #[case(
        with_everything(),
        r#"{"ao":true,"gate":{"Ok":"nftables"},"waited":{"secs":0,"nanos":40000000}}"#
    )]
    #[case(
        with_everything(),
        r#"{"ao":{"Ok":null},"gate":{"Ok":"nftables"},"waited":{"secs":0,"nanos":40000000}}"#
    )]
    #[case(
        with_nothing(),
        r#"{"ao":{"Err":{"errno":"EPERM"}},"gate":{"Err":{"errno":"EPERM"}},"waited":{"secs":0,"nanos":1500000}}"#
    )]
    fn older_documents_are_read(#[case] document: Document, #[case] written: &str) {
        assert_eq!(serde_json::from_str::<Document>(written).expect(written), document);
    }

    #[rstest]
    #[case(r#"{"ao":"yes","gate":{"available":true,"kind":"nftables"},"waited_ms":1}"#)]
    #[case(r#"{"ao":true,"gate":{"available":true},"waited_ms":1}"#)]
    #[case(r#"{"ao":true,"gate":{"available":true,"kind":"nftables"},"waited_ms":-1}"#)]
    fn what_is_none_of_them_is_refused(#[case] written: &str) {
        assert!(serde_json::from_str::<Document>(written).is_err(), "{written}");
    }
}
