//! `rows.toml` and docs/cases.md, held against the list of cases.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::catalogue;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ledger {
    rows: BTreeMap<String, Row>,
    found: BTreeMap<String, String>,
}

/// Exactly one of `cases`, `none` and `open` is there.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    what: String,
    #[serde(default)]
    cases: Vec<String>,
    none: Option<String>,
    open: Option<String>,
}

fn ledger() -> Ledger {
    toml::from_str(include_str!("../rows.toml")).expect("rows.toml can be read")
}

fn names() -> BTreeSet<String> {
    catalogue::cases().map(|case| case.name.to_owned()).collect()
}

#[test]
fn every_row_has_cases_or_a_reason() {
    for (id, row) in ledger().rows {
        let given = [!row.cases.is_empty(), row.none.is_some(), row.open.is_some()];
        let count = given.iter().filter(|given| **given).count();
        assert_eq!(count, 1, "{id} needs one of `cases`, `none` and `open`");
        for text in [Some(row.what), row.none, row.open].into_iter().flatten() {
            assert!(!text.is_empty() && !text.ends_with('.'), "{id}: `{text}`");
        }
    }
}

#[test]
fn every_case_that_a_row_names_exists() {
    let names = names();
    let ledger = ledger();
    let named =
        ledger.rows.iter().flat_map(|(id, row)| row.cases.iter().map(move |case| (id, case)));
    for (id, case) in named.chain(ledger.found.keys().map(|case| (case, case))) {
        assert!(names.contains(case), "{id}: there is no case `{case}`");
    }
}

#[test]
fn every_case_is_in_the_ledger_once() {
    let ledger = ledger();
    let by_row: BTreeSet<String> = ledger.rows.into_values().flat_map(|row| row.cases).collect();
    for name in names() {
        match (by_row.contains(&name), ledger.found.contains_key(&name)) {
            (true, true) => panic!("`{name}` has a row: it is not to be under [found]"),
            (false, false) => panic!("`{name}` is in no row of rows.toml, nor under [found]"),
            _ => {}
        }
    }
}

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cases.md");
const UPDATE: &str = "SOCKMIG_UPDATE_README=1 cargo test -p scenarios --lib table";
const BEGIN: &str = "<!-- mechanisms, from the list of cases -->\n";
const END: &str = "<!-- end of mechanisms -->\n";

/// A line for each mechanism: how many cases, in how many settings, and what they are about.
fn table() -> String {
    let mut table = String::from("| cases | number | with settings | what |\n|---|---|---|---|\n");
    for (prefix, what) in catalogue::prefixes().iter().map(|prefix| (&prefix.id, prefix.about)) {
        let of = |name: &str| name == *prefix || name.starts_with(&format!("{prefix}/"));
        let cases = catalogue::cases().filter(|case| of(case.name)).count();
        let settings = catalogue::all().iter().filter(|s| of(s.case.name)).count();
        let shown = if names().contains(*prefix) { (*prefix).into() } else { format!("{prefix}/") };
        table += &format!("| `{shown}` | {cases} | {settings} | {what} |\n");
    }
    table
}

#[test]
fn every_case_belongs_to_a_mechanism_that_has_cases() {
    let mechanism = |name: &str| name.split('/').next().unwrap_or(name).to_owned();
    let used: BTreeSet<String> = names().iter().map(|name| mechanism(name)).collect();
    let told = catalogue::prefixes().iter().map(|prefix| prefix.id.to_owned()).collect();
    assert_eq!(used, told, "cases::PREFIXES");
}

#[test]
fn docs_have_the_table() {
    let page = std::fs::read_to_string(PAGE).expect("docs/cases.md");
    let (before, rest) = page.split_once(BEGIN).expect("where the table begins");
    let (_, after) = rest.split_once(END).expect("where the table ends");
    let wanted = format!("{before}{BEGIN}{}{END}{after}", table());
    if std::env::var_os("SOCKMIG_UPDATE_README").is_some() {
        std::fs::write(PAGE, wanted).expect("docs/cases.md can be written");
        return;
    }
    assert!(page == wanted, "docs/cases.md is out of date; renew it by\n  {UPDATE}");
}
