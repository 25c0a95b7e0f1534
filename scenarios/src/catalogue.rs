//! The list of cases, from which everything else is made.

use crate::case::{Case, Selected};
use crate::cases::PREFIXES;
use crate::prefix::Prefix;

/// What the cases are about, by the first parts of their ids.
pub fn prefixes() -> &'static [Prefix] {
    PREFIXES
}

/// Every case, in the order in which they are listed.
pub fn cases() -> impl Iterator<Item = &'static Case> {
    PREFIXES.iter().flat_map(Prefix::cases)
}

/// Every case in every setting.
pub fn all() -> Vec<Selected> {
    cases().flat_map(Case::selected).collect()
}

/// The case with this full id; nothing if there is none.
pub fn find(id: &str) -> Option<Selected> {
    let named = cases().filter(|case| id.starts_with(case.name));
    named.flat_map(Case::selected).find(|selected| selected.id() == id)
}

/// The cases whose ids start with one of `prefixes`; all of them if there are none.
///
/// A prefix that ends where a part of an id ends means just that part: `quiz1/v4` is not
/// `quiz1/v4-mapped`, while `quiz` is `quiz1` and `quiz2`.
///
/// # Errors
/// The first prefix that no id starts with.
pub fn select(prefixes: &[String]) -> Result<Vec<Selected>, NoSuchId> {
    let mut all = all();
    let ids: Vec<String> = all.iter().map(Selected::id).collect();
    let mut wanted = vec![prefixes.is_empty(); all.len()];
    for prefix in prefixes {
        let prefix = &renamed(prefix).unwrap_or_else(|| prefix.clone());
        let whole_parts = |id: &String| {
            id.strip_prefix(prefix.as_str()).is_some_and(|rest| {
                rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/')
            }) || prefix.strip_suffix('/') == Some(id)
        };
        let any = |id: &String| id.starts_with(prefix.as_str());
        let matches: &dyn Fn(&String) -> bool =
            if ids.iter().any(whole_parts) { &whole_parts } else { &any };
        if !ids.iter().any(matches) {
            return Err(NoSuchId { prefix: prefix.clone(), nearest: nearest(prefix, &all) });
        }
        for ((wanted, selected), id) in wanted.iter_mut().zip(&mut all).zip(&ids) {
            if matches(id) {
                *wanted = true;
                *selected = selected.named_by(prefix);
            }
        }
    }
    Ok(all.into_iter().zip(wanted).filter_map(|(s, wanted)| wanted.then_some(s)).collect())
}

/// The id of today of a case that had this one before, or the beginning of both up to a slash;
/// nothing if no case had it.
pub fn renamed_id(id: &str) -> Option<String> {
    former_names().find_map(|(former, case)| {
        let rest = id.strip_prefix(former)?;
        (rest.is_empty() || rest.starts_with('/')).then(|| format!("{}{rest}", case.name))
    })
}

/// What to look for instead of a prefix that only former ids begin with; nothing if it is to be
/// looked for itself.
pub fn renamed(prefix: &str) -> Option<String> {
    let begun = |former: &str| former.starts_with(prefix);
    let is_of_today = || all().iter().any(|selected| selected.id().starts_with(prefix));
    renamed_id(prefix).or_else(|| {
        let (_, case) = former_names().find(|(former, _)| begun(former))?;
        (!is_of_today()).then(|| case.name.to_owned())
    })
}

fn former_names() -> impl Iterator<Item = (&'static str, &'static Case)> {
    cases().flat_map(|case| case.former_names.iter().map(move |former| (*former, case)))
}

/// Nothing has such an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no case has an id that starts with `{prefix}`{}", suggestion(nearest))]
pub struct NoSuchId {
    /// What was asked for.
    pub prefix: String,
    /// The names that a typing error could have made it of, best first.
    pub nearest: Vec<String>,
}

fn suggestion(nearest: &[String]) -> String {
    match nearest {
        [] => "; `sockmig list` shows the ids".into(),
        near => format!("; nearest: {}", near.join(", ")),
    }
}

fn nearest(wanted: &str, all: &[Selected]) -> Vec<String> {
    // Every beginning of an id, part by part.
    let mut names: Vec<String> = Vec::new();
    for id in all.iter().map(Selected::id) {
        names.extend(id.match_indices('/').map(|(end, _)| id[..end].to_owned()));
        names.push(id);
    }
    names.sort();
    names.dedup();
    // One letter in three is wrong at most, else it is another word.
    let most = wanted.chars().count().div_ceil(3).min(4);
    let mut near: Vec<(usize, String)> = names
        .into_iter()
        .map(|name| (strsim::osa_distance(wanted, &name), name))
        .filter(|(distance, _)| *distance <= most)
        .collect();
    near.sort();
    near.into_iter().map(|(_, name)| name).take(3).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::judge::expectation::Expectation;
    use crate::prefix::CaseFile;
    use rstest::rstest;

    #[rstest]
    #[case("quiz3", "quiz1")]
    #[case("bind/otheruid", "bind/other-uid")]
    #[case("quiz1/v4/onn", "quiz1/v4/on")]
    #[case("bnid", "bind")]
    fn a_typing_error_is_met_with_the_nearest_id(#[case] typed: &str, #[case] meant: &str) {
        let unknown = select(&[typed.into()]).err().expect("no such id");
        assert_eq!(unknown.nearest[0], meant);
    }

    #[rstest]
    #[case("zzz")]
    #[case("a")]
    #[case("--help")]
    #[case("plain")]
    #[case("net.ipv4.tcp_migrate_req")]
    #[case("")]
    fn what_is_no_typing_error_suggests_nothing(#[case] typed: &str) {
        if let Err(unknown) = select(&[typed.into()]) {
            assert_eq!(unknown.nearest, Vec::<String>::new());
            assert!(unknown.to_string().ends_with("; `sockmig list` shows the ids"), "{unknown}");
        }
    }

    #[test]
    fn any_prefix_selects() {
        let ids = |prefix: &str| {
            let selected = select(&[prefix.into()]).expect("some cases");
            selected.iter().map(Selected::id).collect::<Vec<_>>()
        };
        assert_eq!(ids("quiz1/v6"), ["quiz1/v6/off", "quiz1/v6/on"]);
        assert_eq!(ids("quiz1/v4"), ["quiz1/v4/off", "quiz1/v4/on"]);
        assert_eq!(ids("quiz1/v4-"), ["quiz1/v4-mapped/off", "quiz1/v4-mapped/on"]);
        assert_eq!(ids("quiz").len(), 12);
    }

    #[rstest]
    #[case("syncookies/heir", "syncookies/target")]
    #[case("syncookies/heir/v4/on", "syncookies/target/v4/on")]
    #[case("syncookies/he", "syncookies/target")]
    fn a_former_name_is_the_case_of_today(#[case] before: &str, #[case] now: &str) {
        assert_eq!(renamed(before).as_deref(), Some(now));
    }

    #[rstest]
    #[case("syncookies/")]
    #[case("syncookies/heirs")]
    #[case("quiz1/v4")]
    fn any_other_prefix_stays_as_it_is(#[case] prefix: &str) {
        assert_eq!(renamed(prefix), None);
    }

    #[test]
    fn a_former_name_selects_and_asks_for_the_case_by_name() {
        let selected = select(&["syncookies/heir/v6".into()]).expect("two settings");
        let ids: Vec<String> = selected.iter().map(Selected::id).collect();
        assert_eq!(ids, ["syncookies/target/v6/off", "syncookies/target/v6/on"]);
        assert!(selected.iter().all(|one| one.named));
    }

    #[test]
    fn a_former_name_is_no_name_of_today() {
        let mut seen = BTreeSet::new();
        for former in cases().flat_map(|case| case.former_names) {
            assert!(seen.insert(former), "`{former}` was the name of two cases");
            assert!(!cases().any(|case| case.name == *former), "`{former}` is a case");
        }
    }

    #[test]
    fn every_case_says_what_it_does_must_and_who_says_so() {
        for case in cases() {
            for text in [case.does, case.must] {
                assert!(text.ends_with(['.', ')']), "{}: `{text}` is not a sentence", case.name);
            }
            assert!(!case.sources().is_empty(), "{} has no source", case.name);
        }
    }

    #[test]
    fn every_case_states_its_wire_or_says_that_any_will_do() {
        let stated =
            |must: &Expectation| [!must.wires.is_empty(), must.silent, must.any_wire.is_some()];
        let wrong: Vec<String> = all()
            .iter()
            .filter(|one| stated(&one.expectation()).into_iter().filter(|s| *s).count() != 1)
            .map(Selected::id)
            .collect();
        assert!(
            wrong.is_empty(),
            "exactly one of `wire`, `silent` and `any_wire` says what the wire may be, and not \
             in:\n{}",
            wrong.join("\n")
        );
    }

    #[test]
    fn the_path_of_a_file_is_the_beginning_of_its_ids() {
        let path = |module: &str| {
            let inside = module.strip_prefix("scenarios::cases::").expect("a file of cases");
            inside.replace("::", "/").replace('_', "-")
        };
        let begins = |id: &str, with: &str| {
            id.strip_prefix(with).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let files = || prefixes().iter().flat_map(|prefix| prefix.files);
        for file in files() {
            let own = path(file.module);
            let folder = own.rsplit_once('/').map_or(own.as_str(), |(folder, _)| folder);
            for case in file.cases {
                let id = case.name;
                assert!(begins(id, folder), "`{id}` is in the file {own}");
                // The file that has more of the id in its path is the one for it.
                let nearer = |other: &CaseFile| {
                    let other = path(other.module);
                    begins(id, &other) && !begins(&own, &other)
                };
                if let Some(other) = files().find(|other| nearer(other)) {
                    panic!("`{id}` is in the file {own}, and belongs into {}", path(other.module));
                }
            }
        }
    }

    #[test]
    fn a_prefix_has_the_ids_that_begin_with_it() {
        let mut seen = BTreeSet::new();
        for prefix in prefixes() {
            assert!(seen.insert(prefix.id), "`{}` is there twice", prefix.id);
            assert!(prefix.cases().next().is_some(), "`{}` has no case", prefix.id);
            for case in prefix.cases() {
                assert_eq!(case.name.split('/').next(), Some(prefix.id), "`{}`", case.name);
            }
        }
    }

    #[test]
    fn ids_are_unique() {
        let mut ids: Vec<String> = all().iter().map(Selected::id).collect();
        let count = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), count);
    }
}
