//! The README and the pages of `docs/`: what they show is what the command prints, what they
//! tell the reader to type is understood, and where they point to is there.

mod commands;
mod excerpt;
mod measured;
mod output;
mod page;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::path::Path;

use crate::page::{CONTENTS, Marker, Page, pages, root};

/// Renews every block of output and of source code.
const UPDATE: &str = "SOCKMIG_UPDATE_README=1 cargo test --test manual";

/// The README is the front page, and no more.
const LINES_OF_README: usize = 250;

fn is_updating() -> bool {
    std::env::var_os("SOCKMIG_UPDATE_README").is_some()
}

/// Fails with every problem, not just the first one.
fn none(problems: &[String]) {
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
}

#[test]
fn the_readme_is_short() {
    let lines = Page::read(&root().join("README.md")).text.lines().count();
    assert!(lines <= LINES_OF_README, "the README has {lines} lines");
}

#[test]
fn every_page_is_linked_from_the_readme() {
    let readme = Page::read(&root().join("README.md"));
    let mut linked: BTreeSet<String> = readme.links().into_iter().map(|(_, link)| link).collect();
    // What belongs to a page of the README is linked from there.
    let affected = Page::read(&root().join("docs/affected.md")).links().into_iter();
    linked.extend(affected.map(|(_, link)| format!("docs/{link}")));
    for page in pages() {
        let name = page.name();
        // A host of repositories shows its own by itself.
        let itself = name == "README.md" || name.starts_with(".github/");
        let is_linked =
            linked.iter().any(|link| link.split('#').next().is_some_and(|path| path == name));
        assert!(itself || is_linked, "the README has no link to {name}");
    }
}

#[test]
fn every_page_begins_with_a_sentence_about_what_it_answers() {
    for page in pages() {
        let name = page.name();
        let is_of_docs = name.starts_with("docs/");
        let mut paragraphs = page.text.split("\n\n");
        let title = paragraphs.next().unwrap_or_default();
        assert!(title.starts_with("# "), "{name} does not begin with a title");
        let first = paragraphs.next().unwrap_or_default().replace('\n', " ");
        let is_one_sentence = first.ends_with(['.', '?']) && !first.contains(". ");
        assert!(!is_of_docs || is_one_sentence, "{name} does not begin with one sentence: {first}");
    }
}

#[test]
fn the_book_has_every_page_once() {
    let contents = Page::read(&root().join(CONTENTS));
    let mut listed: Vec<String> =
        contents.links().into_iter().map(|(_, link)| format!("docs/{link}")).collect();
    let first = listed.first().cloned();
    let mut there: Vec<String> =
        pages().iter().map(Page::name).filter(|name| name.starts_with("docs/")).collect();
    listed.sort();
    there.sort();
    assert_eq!(listed, there);
    assert_eq!(first.as_deref(), Some("docs/story.md"));
}

#[test]
fn every_link_leads_somewhere() {
    let mut problems = Vec::new();
    for page in pages() {
        for (line, link) in page.links() {
            if link.starts_with("https://") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let directory = page.path.parent().unwrap_or(Path::new("/"));
            let target = if path.is_empty() { page.path.clone() } else { directory.join(path) };
            let at = format!("{}:{line}: {link}", page.name());
            if !target.exists() {
                problems.push(format!("{at}: there is no such file"));
            } else if !anchor.is_empty() && !Page::read(&target).anchors().contains(anchor) {
                problems.push(format!("{at}: that page has no such heading"));
            }
        }
    }
    none(&problems);
}

#[test]
fn every_block_says_what_it_is() {
    let mut problems = Vec::new();
    for page in pages() {
        for block in page.blocks() {
            let is_commands = block.language == "sh";
            if !is_commands && block.marker == Marker::None {
                let line = block.line;
                problems.push(format!(
                    "{}:{line}: commands stand in a block marked `sh`; above any other block a \
                     comment says where it is from",
                    page.name()
                ));
            }
        }
    }
    none(&problems);
}

#[test]
fn what_is_shown_is_what_is_printed() {
    let mut problems = Vec::new();
    for page in pages() {
        let mut renewed = page.text.clone();
        // From the end, so that a renewed block moves none that comes later.
        for block in page.blocks().into_iter().rev() {
            match output::check(&page, &block) {
                Ok(None) => {}
                Ok(Some(lines)) => renewed.replace_range(block.body.clone(), &block.filled(&lines)),
                Err(problem) => {
                    let at = format!("{}:{}", page.name(), block.line);
                    problems.push(format!("{at}: {problem}\nrenew it by\n  {UPDATE}"));
                }
            }
        }
        if is_updating() && renewed != page.text {
            std::fs::write(&page.path, renewed).expect("the page can be written");
        }
    }
    none(&problems);
}

#[test]
fn what_was_measured_has_the_form_of_today() {
    let mut problems = Vec::new();
    for page in pages() {
        for block in page.blocks() {
            if let Marker::Measured(command) = &block.marker
                && let Err(problem) = measured::check(command, &block.lines(&page.text))
            {
                problems.push(format!("{}:{}: {problem}", page.name(), block.line));
            }
        }
    }
    none(&problems);
}

#[test]
fn every_command_line_is_understood() {
    none(&pages().iter().flat_map(commands::problems).collect::<Vec<_>>());
}

#[test]
fn every_case_that_is_named_exists() {
    none(&pages().iter().flat_map(commands::unknown_cases).collect::<Vec<_>>());
}
