//! What a kernel answers to a call that it refuses: an errno, as a value that can be matched.

use std::fmt;

use nix::errno::Errno;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Why something that was tried is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Refusal {
    /// The kernel refused a call.
    Errno {
        /// The call, where it is not clear from what was tried.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        call: Option<String>,
        /// Its answer.
        #[serde(with = "by_name")]
        #[schemars(with = "String")]
        errno: Errno,
    },
    /// Anything else, in words: a document of an older sockmig has only them.
    Words(String),
}

impl Refusal {
    /// A refusal of the call that was tried.
    pub fn of(errno: Errno) -> Self {
        Self::Errno { call: None, errno }
    }

    /// For what was not asked yet when a document was written.
    pub fn not_tried() -> Self {
        Self::Words("it was not tried".into())
    }

    /// The kernel's answer, if it is one.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Errno { errno, .. } => Some(*errno),
            Self::Words(_) => None,
        }
    }
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Self::of(errno)
    }
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Self {
        match error.raw_os_error() {
            Some(raw) => Self::of(Errno::from_raw(raw)),
            None => Self::Words(error.to_string()),
        }
    }
}

impl From<Error> for Refusal {
    /// Keeps the call that was refused.
    fn from(error: Error) -> Self {
        match error {
            Error::Call { call, source }
            | Error::Tested { call, source }
            | Error::Exhausted { call, source, .. } => match source.raw_os_error() {
                Some(raw) => Self::Errno { call: Some(call), errno: Errno::from_raw(raw) },
                None => Self::Words(format!("{call}: {source}")),
            },
            other => Self::Words(other.to_string()),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Errno { call: Some(call), errno } => write!(f, "{call}: {errno:?}"),
            Self::Errno { call: None, errno } => write!(f, "{errno:?}"),
            Self::Words(words) => f.write_str(words),
        }
    }
}

impl From<String> for Refusal {
    fn from(words: String) -> Self {
        Self::Words(words)
    }
}

/// An errno as documents have it: `EPERM`.
pub(crate) mod by_name {
    use nix::errno::Errno;
    use serde::{Deserialize, Deserializer, Serializer, de};

    /// No errno of Linux is greater (MAX_ERRNO).
    const GREATEST: i32 = 4095;

    pub(crate) fn serialize<S: Serializer>(errno: &Errno, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format!("{errno:?}"))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Errno, D::Error> {
        let name = String::deserialize(from)?;
        (1..=GREATEST)
            .map(Errno::from_raw)
            .find(|errno| format!("{errno:?}") == name)
            .ok_or_else(|| de::Error::custom(format!("`{name}` is no errno")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_written_and_read_by_name() {
        let refusal = Refusal::Errno { call: Some("bpf()".into()), errno: Errno::EPERM };
        let written = serde_json::to_string(&refusal).expect("JSON");
        assert_eq!(written, r#"{"call":"bpf()","errno":"EPERM"}"#);
        assert_eq!(serde_json::from_str::<Refusal>(&written).expect("a refusal"), refusal);
        assert_eq!(refusal.to_string(), "bpf(): EPERM");
    }

    #[test]
    fn words_of_an_older_sockmig_are_kept() {
        let read: Refusal = serde_json::from_str(r#""EOPNOTSUPP""#).expect("words");
        assert_eq!((read.errno(), read.to_string()), (None, "EOPNOTSUPP".into()));
    }
}
