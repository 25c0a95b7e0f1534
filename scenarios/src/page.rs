//! docs/cases.md, which is made from the list of cases.

use std::fmt::Write;

use crate::case::{Case, Settings};
use crate::document::{Citation, DOCUMENTS};
use crate::prefix::Prefix;
use crate::{case, catalogue};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cases.md");
const UPDATE: &str = "SOCKMIG_UPDATE_README=1 cargo test -p scenarios --lib page";
const BEGIN: &str = "<!-- from the list of cases -->\n";
const END: &str = "<!-- end of the list of cases -->\n";

/// The whole list: a table of prefixes, the documents, and each case.
fn list() -> String {
    let mut list = table() + "\n## Documents\n\n";
    for document in DOCUMENTS {
        let _ = writeln!(list, "- [{}]({}), {}", document.title, document.link, document.origin);
    }
    for prefix in catalogue::prefixes() {
        let _ = writeln!(list, "\n## `{}`", prefix.id);
        for case in prefix.cases() {
            list += &entry(case);
        }
    }
    list
}

/// A line for each prefix: how many cases, in how many settings, and what they are about.
fn table() -> String {
    let mut table = String::from("| cases | number | with settings | what |\n|---|---|---|---|\n");
    for prefix in catalogue::prefixes() {
        let settings = prefix.cases().flat_map(Case::selected).count();
        let (shown, about) = (shown(prefix), prefix.about);
        let _ =
            writeln!(table, "| `{shown}` | {} | {settings} | {about} |", prefix.cases().count());
    }
    table
}

/// The prefix as one would type it.
fn shown(prefix: &Prefix) -> String {
    let is_a_case = prefix.cases().any(|case| case.name == prefix.id);
    if is_a_case { prefix.id.to_owned() } else { format!("{}/", prefix.id) }
}

fn entry(case: &Case) -> String {
    let documents = case.documents.iter().map(Citation::to_string);
    let kernel = Some(case.source).filter(|kernel| !kernel.is_empty()).map(plain);
    let sources: Vec<String> = documents.chain(kernel).collect();
    format!(
        "\n### `{}`\n\n- does: {}\n- must: {}\n- source: {}\n- settings: {}\n",
        case.name,
        plain(case.does),
        plain(case.must),
        sources.join("; "),
        settings(case.settings),
    )
}

/// Without what Markdown would take for emphasis.
fn plain(text: &str) -> String {
    text.replace('_', "\\_").replace('*', "\\*").replace('<', "\\<")
}

fn settings(settings: Settings) -> String {
    match settings {
        Settings::Once => "once".to_owned(),
        Settings::Families => "every address family".to_owned(),
        Settings::FamiliesOn => "every address family, migration on".to_owned(),
        Settings::FamiliesOffAndOn => "every address family, migration off and on".to_owned(),
        Settings::OnceOn(family) => format!("{family}, migration {}", case::Migration::On),
    }
}

#[test]
fn the_page_has_every_case() {
    let page = std::fs::read_to_string(PAGE).expect("docs/cases.md");
    let (before, rest) = page.split_once(BEGIN).expect("where the list begins");
    let (_, after) = rest.split_once(END).expect("where the list ends");
    let wanted = format!("{before}{BEGIN}{}{END}{after}", list());
    if std::env::var_os("SOCKMIG_UPDATE_README").is_some() {
        std::fs::write(PAGE, wanted).expect("docs/cases.md can be written");
        return;
    }
    assert!(page == wanted, "docs/cases.md is out of date; renew it by\n  {UPDATE}");
}
