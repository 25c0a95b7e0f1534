//! A reason as documents have it: its `kind` with what belongs to that, and the sentence
//! in addition to it.

use harness::json::Fields;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::judge::skip::SkipReason;

#[derive(Serialize, JsonSchema)]
pub(crate) struct Out<'r> {
    #[serde(flatten)]
    typed: Option<&'r SkipReason>,
    #[serde(flatten)]
    #[schemars(skip)]
    later: Option<&'r Fields>,
    /// Why, in a sentence.
    reason: String,
}

#[derive(Deserialize)]
struct In {
    #[serde(flatten)]
    typed: Option<SkipReason>,
    reason: String,
    #[serde(flatten)]
    fields: Fields,
}

pub(crate) fn serialize<S: Serializer>(why: &SkipReason, to: S) -> Result<S::Ok, S::Error> {
    let (typed, later, reason) = match why {
        SkipReason::Words(words) => (None, None, words.clone()),
        SkipReason::Later { words, fields } => (None, Some(fields), words.clone()),
        _ => (Some(why), None, why.to_string()),
    };
    Out { typed, later, reason }.serialize(to)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SkipReason, D::Error> {
    let In { typed, reason: words, fields } = In::deserialize(from)?;
    Ok(typed.unwrap_or_else(|| match fields.contains_key("kind") {
        true => SkipReason::Later { words, fields },
        false => SkipReason::Words(words),
    }))
}
