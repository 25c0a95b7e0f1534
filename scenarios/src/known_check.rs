//! Checks a user's list of known bugs, also against the cases that there are.

use std::collections::BTreeSet;

use crate::case::Selected;
use crate::catalogue;
use crate::judge::known::{CaseFacts, KnownList};
use crate::judge::known_file;

pub use crate::judge::known_file::Complaint;

/// Reads a list that a user has written; `name` is that of the file.
///
/// # Errors
/// Everything that is wrong with it: its form, cases that do not exist, and facts that no such
/// case observes.
pub fn read(text: &str, name: &str) -> Result<KnownList, Vec<Complaint>> {
    let list = known_file::read(text, Some(name))?;
    let complaints = of_cases(text, &list);
    if complaints.is_empty() { Ok(list) } else { Err(complaints) }
}

/// What is wrong with the cases that a list names.
fn of_cases(text: &str, list: &KnownList) -> Vec<Complaint> {
    let all = catalogue::all();
    let bugs = list.bugs.iter().flat_map(|bug| &bug.cases);
    let cases = bugs.chain(list.history.iter().flat_map(|history| &history.cases));
    let mut complaints = Vec::new();
    for (facts, (line, key)) in cases.zip(known_file::lines_of_cases(text)) {
        let named: Vec<&Selected> = all.iter().filter(|one| facts.names(&one.id())).collect();
        let mut complain = |key: String, what| complaints.push(Complaint { line, key, what });
        if named.is_empty() {
            complain(format!("{key}.id"), format!("no case has an id like `{}`", facts.id));
        } else {
            for name in unknown_facts(facts, &named) {
                let what = format!("no case like `{}` observes it", facts.id);
                complain(format!("{key}.observed.\"{name}\""), what);
            }
        }
    }
    complaints.sort_by_key(|complaint| complaint.line);
    complaints
}

/// The facts that none of these cases observes.
fn unknown_facts<'f>(facts: &'f CaseFacts, named: &[&Selected]) -> BTreeSet<&'f str> {
    let observed = |name: &str| named.iter().any(|one| one.expectation().names(name));
    let names = facts.observed.iter().map(|(name, _)| name.as_str());
    names.filter(|name| !observed(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::builtin;

    #[test]
    fn every_row_of_ours_is_about_a_case_and_facts_that_exist() {
        let complaints = of_cases(builtin::TEXT, builtin::builtin());
        let all: Vec<String> = complaints.iter().map(ToString::to_string).collect();
        assert!(all.is_empty(), "{}", all.join("\n"));
    }

    #[test]
    fn a_case_or_a_fact_that_does_not_exist_is_named() {
        let list = |id: &str, fact: &str| {
            format!(
                "[[bug]]\nid = \"own\"\ntitle = \"It\"\ncause = \"It is.\"\n\n[[bug.case]]\n\
                 id = \"{id}\"\nobserved = {{ \"{fact}\" = 1 }}\n"
            )
        };
        let wrong = |id, fact| {
            let complaints = read(&list(id, fact), "own.toml").expect_err("it is wrong");
            complaints.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        };
        assert!(read(&list("quiz1", "accept(B)"), "own.toml").is_ok());
        assert_eq!(
            wrong("quiz3", "accept(B)"),
            "line 7: bug[0].case[0].id: no case has an id like `quiz3`"
        );
        assert_eq!(
            wrong("quiz1", "accept(Z)"),
            "line 7: bug[0].case[0].observed.\"accept(Z)\": no case like `quiz1` observes it"
        );
    }
}
