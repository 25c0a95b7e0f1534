//! Versions of kernels.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An upstream version: `6.12.86`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Version {
    /// The first two numbers name a line of kernels, the third a stable release of it.
    parts: [u32; 3],
}

impl Version {
    /// `major.minor.patch`.
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { parts: [major, minor, patch] }
    }

    /// Whether it begins a line of kernels: `6.12`, and no stable release of it.
    pub fn is_first_of_line(self) -> bool {
        self.parts[2] == 0
    }

    /// The line that it belongs to, by its first two numbers: `6.12` of `6.12.86`.
    #[must_use]
    pub fn line(self) -> Self {
        self.with_patch(0)
    }

    /// The stable release of the same line with this number.
    #[must_use]
    pub fn with_patch(self, patch: u32) -> Self {
        let [major, minor, _] = self.parts;
        Self { parts: [major, minor, patch] }
    }

    /// Two digits for each number: `061286`.
    pub(crate) fn two_digits_each(self) -> String {
        let [major, minor, patch] = self.parts;
        format!("{major:02}{minor:02}{patch:02}")
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.parts;
        match patch {
            0 => write!(f, "{major}.{minor}"),
            _ => write!(f, "{major}.{minor}.{patch}"),
        }
    }
}

impl FromStr for Version {
    type Err = String;

    /// Reads the leading `x.y[.z]` and ignores what follows, as in `6.1.0-49-amd64`.
    fn from_str(text: &str) -> Result<Self, String> {
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let mut parts = [0; 3];
        let mut read = 0;
        for (part, number) in parts.iter_mut().zip(text[..end].split('.')) {
            *part = number.parse().map_err(|_| format!("`{text}` is not a kernel version"))?;
            read += 1;
        }
        if read < 2 {
            return Err(format!("`{text}` is not a kernel version"));
        }
        Ok(Self { parts })
    }
}

impl TryFrom<String> for Version {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}
