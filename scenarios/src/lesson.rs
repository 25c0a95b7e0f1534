//! What there is to teach about a case in addition to what it says: `lessons.toml`.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Deserialize;

use crate::case::Case;

/// What there is to teach about the cases of one mechanism.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lesson {
    /// The first part of their ids.
    pub id: String,
    /// What the talk's slides say of it, if they do.
    pub talk: Option<String>,
    /// Since which kernel it is so.
    pub since: String,
    /// What the author of a server should do.
    pub advice: String,
}

/// What can be explained besides cases: a setting, a counter, an option.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topic {
    /// What it is called.
    pub names: Vec<String>,
    /// What it is, and what to do about it.
    pub says: String,
    /// The cases that are about it, by the first parts of their ids.
    pub cases: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lessons {
    lesson: Vec<Lesson>,
    topic: Vec<Topic>,
    functions: BTreeMap<String, String>,
}

fn lessons() -> &'static Lessons {
    static ALL: OnceLock<Lessons> = OnceLock::new();
    ALL.get_or_init(|| {
        toml::from_str(include_str!("../data/lessons.toml"))
            .expect("lessons.toml is checked by a test")
    })
}

/// The lesson about a case, if there is one for its mechanism.
pub fn about(case: &Case) -> Option<&'static Lesson> {
    let mechanism = case.name.split('/').next().unwrap_or_default();
    lessons().lesson.iter().find(|lesson| lesson.id == mechanism)
}

/// Everything that can be explained besides cases.
pub fn topics() -> &'static [Topic] {
    &lessons().topic
}

/// The commits that a case's source names, by the beginnings of their hashes.
pub fn commits(case: &Case) -> Vec<&'static str> {
    let is_hash = |word: &&str| word.len() >= 12 && word.bytes().all(|c| c.is_ascii_hexdigit());
    case.source.split(|c: char| !c.is_ascii_alphanumeric()).filter(is_hash).collect()
}

/// The kernel functions that a case's source names, in their order, and what each of them
/// does, if that is known.
pub fn functions(case: &Case) -> Vec<(&'static str, Option<&'static str>)> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut named: Vec<&'static str> = Vec::new();
    for (end, _) in case.source.match_indices("()") {
        let before = &case.source[..end];
        let start = before.rfind(|c| !is_name(c)).map_or(0, |at| at + 1);
        if start < end && !named.contains(&&before[start..]) {
            named.push(&before[start..]);
        }
    }
    let does = |name: &str| lessons().functions.get(name).map(String::as_str);
    named.into_iter().map(|name| (name, does(name))).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::catalogue;

    #[test]
    fn every_mechanism_has_one_lesson() {
        let mut taught: Vec<&str> = lessons().lesson.iter().map(|lesson| &lesson.id[..]).collect();
        let mut mechanisms: Vec<&str> =
            catalogue::prefixes().iter().map(|prefix| prefix.id).collect();
        taught.sort_unstable();
        mechanisms.sort_unstable();
        assert_eq!(taught, mechanisms, "lessons.toml against catalogue::MECHANISMS");
    }

    #[test]
    fn lessons_are_sentences_and_functions_are_not() {
        for Lesson { id, talk, since, advice } in &lessons().lesson {
            for text in [Some(since), Some(advice), talk.as_ref()].into_iter().flatten() {
                assert!(text.ends_with('.') && !text.contains("  "), "{id}: `{text}`");
            }
        }
        for (name, does) in &lessons().functions {
            assert!(!does.is_empty() && !does.ends_with('.'), "{name}: `{does}`");
        }
    }

    #[test]
    fn every_function_that_is_told_of_is_a_source() {
        let named: BTreeSet<&str> =
            catalogue::cases().flat_map(functions).map(|(name, _)| name).collect();
        for name in lessons().functions.keys() {
            assert!(named.contains(&name[..]), "no case has {name}() as its source");
        }
    }

    #[test]
    fn topics_are_sentences_about_cases_that_exist() {
        let mut names = BTreeSet::new();
        for Topic { names: own, says, cases } in topics() {
            assert!(says.ends_with('.') && !says.contains("  "), "{own:?}: `{says}`");
            assert!(!cases.is_empty() && catalogue::select(cases).is_ok(), "{own:?}: {cases:?}");
            for name in own {
                assert!(names.insert(name), "{name} is two topics");
                assert!(catalogue::select(std::slice::from_ref(name)).is_err(), "{name}: cases");
            }
        }
    }

    #[test]
    fn the_commits_of_a_source_are_found() {
        let case = catalogue::cases().find(|case| case.name == "quiz1").expect("quiz 1");
        assert_eq!(commits(case), ["54b92e841937", "55d444b310c6"]);
    }

    #[test]
    fn the_functions_of_a_source_are_found() {
        let case = catalogue::cases().find(|case| case.name == "quiz2").expect("quiz 2");
        let names: Vec<&str> = functions(case).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["tcp_v4_rcv", "tcp_v6_rcv", "inet_csk_complete_hashdance"]);
        assert!(functions(case).iter().all(|(_, does)| does.is_some()));
    }
}
