//! What is known to differ by kernel, as data: `known-bugs.toml`.

use std::fmt;
use std::sync::OnceLock;

use harness::kernel::Version;
use harness::trace::observation::Value;
use serde::Deserialize;

/// A row of `known-bugs.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// The ids it is about, by their first parts; `*` stands for any one part.
    pub id: String,
    /// The kernels it is about.
    pub kernels: Vec<Range>,
    /// A bug, or just how it was before something was built.
    pub kind: KnownKind,
    /// What is seen there and why, in a sentence.
    pub reason: String,
    /// The mainline commit that fixes a bug; none where no fix is known.
    #[serde(default)]
    pub fix: Option<String>,
    /// The bug depends on what happens to be in memory: a run without it is not reported.
    #[serde(default)]
    pub by_chance: bool,
    /// What is in the first line of the complaints that the kernel's log may have then.
    #[serde(default)]
    pub log: Vec<String>,
    /// The facts that differ there, by name.
    observed: toml::Table,
}

/// What a difference is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KnownKind {
    /// Wrong, and reported as a known bug.
    Bug,
    /// Right for a kernel of its age.
    History,
}

/// Kernels from one version on, up to and without another: `6.2..6.6.140`. Either end may
/// be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Range {
    from: Option<Version>,
    to: Option<Version>,
}

impl TryFrom<String> for Range {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (from, to) =
            text.split_once("..").ok_or_else(|| format!("`{text}` is not a range of kernels"))?;
        let end = |text: &str| match text {
            "" => Ok(None),
            version => version.parse().map(Some),
        };
        Ok(Self { from: end(from)?, to: end(to)? })
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.from, self.to) {
            (Some(from), Some(to)) => write!(f, "{from} up to {to}"),
            (None, Some(to)) => write!(f, "before {to}"),
            (Some(from), None) => write!(f, "from {from} on"),
            (None, None) => write!(f, "of any version"),
        }
    }
}

impl Range {
    fn contains(&self, version: Version) -> bool {
        self.from.is_none_or(|from| from <= version) && self.to.is_none_or(|to| version < to)
    }
}

impl Known {
    /// Whether the row is about this case, on some kernel.
    pub fn names(&self, id: &str) -> bool {
        let mut parts = id.split('/');
        self.id.split('/').all(|named| parts.next().is_some_and(|p| named == p || named == "*"))
    }

    /// Whether the row is about this kernel.
    pub fn concerns(&self, version: Version) -> bool {
        self.kernels.iter().any(|range| range.contains(version))
    }

    /// Whether the row is about this case on this kernel.
    pub fn is_about(&self, id: &str, version: Version) -> bool {
        self.names(id) && self.concerns(version)
    }

    /// Whether no fact differs there: what shows the bug is the kernel's log.
    pub fn shows_in_log_alone(&self) -> bool {
        self.observed.is_empty() && !self.log.is_empty()
    }

    /// The facts that differ there.
    pub fn observed(&self) -> Vec<(String, Value)> {
        let value = |value: &toml::Value| match value {
            toml::Value::Integer(number) => Value::Number(*number),
            toml::Value::String(text) => Value::Text(text.clone()),
            other => Value::Text(other.to_string()),
        };
        self.observed.iter().map(|(name, seen)| (name.clone(), value(seen))).collect()
    }
}

/// Every row.
pub fn all() -> &'static [Known] {
    #[derive(Deserialize)]
    struct File {
        known: Vec<Known>,
    }
    static ALL: OnceLock<Vec<Known>> = OnceLock::new();
    ALL.get_or_init(|| {
        let file: File = toml::from_str(include_str!("../../data/known-bugs.toml"))
            .expect("known-bugs.toml is checked by a test");
        file.known
    })
}

/// The rows about a case on a kernel, which may have several bugs that show in it.
pub fn about(id: &str, version: Version) -> Vec<&'static Known> {
    all().iter().filter(|known| known.is_about(id, version)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("6.1.174", true)]
    #[case("6.1.175", false)]
    #[case("6.12.85", true)]
    #[case("6.12.86", false)]
    #[case("6.18.44", false)]
    #[case("7.0.3", true)]
    #[case("7.1", false)]
    #[case("5.10.262", false)]
    fn the_lost_wake_up_is_known_where_it_is(#[case] version: &str, #[case] known: bool) {
        let version = version.parse().expect("a version");
        assert_eq!(!about("wake-up/epoll/v4", version).is_empty(), known);
    }

    #[rstest]
    #[case("handshake/reset/v4/on", true)]
    #[case("handshake/reset/v4-mapped/on", true)]
    #[case("handshake/reset/v4/off", false)]
    #[case("handshake/reset-in-window/v4/on", false)]
    #[case("handshake/reset", false)]
    fn a_row_names_whole_parts(#[case] id: &str, #[case] named: bool) {
        let row = all().iter().find(|row| row.id == "handshake/reset/*/on").expect("a row");
        assert_eq!(row.names(id), named);
    }

    #[test]
    fn every_row_is_about_a_case_that_exists() {
        for known in all() {
            let exists = crate::catalogue::all().iter().any(|s| known.names(&s.id()));
            assert!(exists, "no case starts with `{}`", known.id);
            assert!(known.reason.ends_with('.'), "`{}` is not a sentence", known.reason);
        }
    }
}
