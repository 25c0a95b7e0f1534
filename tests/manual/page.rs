//! A page of Markdown, taken apart as far as the tests need it.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The directory of the workspace.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The table of contents of the book that the pages are.
pub const CONTENTS: &str = "docs/SUMMARY.md";

/// The README, the changelog, what a host of repositories looks for, and every page of `docs/` but
/// the table of contents.
pub fn pages() -> Vec<Page> {
    let of = |directory: &str| {
        let directory = std::fs::read_dir(root().join(directory)).expect("a directory");
        directory.map(|entry| entry.expect("a page").path())
    };
    let mut paths: Vec<PathBuf> = of("docs").chain(of("docs/upstream")).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    paths.retain(|path| *path != root().join(CONTENTS));
    let others = ["README.md", "CHANGELOG.md", ".github/CONTRIBUTING.md", ".github/SECURITY.md"];
    paths.extend(others.map(|name| root().join(name)));
    paths.sort();
    paths.iter().map(|path| Page::read(path)).collect()
}

/// A file of Markdown.
pub struct Page {
    pub path: PathBuf,
    pub text: String,
}

/// What a comment above a block says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Marker {
    /// It does not exist.
    None,
    /// The arguments of the sockmig that printed it.
    Run(String),
    /// The command that printed it, which takes too long to be run again.
    Measured(String),
    /// It is in a file, or in a snapshot of the tests.
    Source(Source),
    /// It is made up to explain something.
    Example,
}

/// Where a block was copied from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// A path in the workspace, or the last part of a snapshot's name.
    pub name: String,
    pub is_snapshot: bool,
    /// How its first and its last line begin; nothing for all of it.
    pub part: Option<(String, String)>,
}

impl Marker {
    fn parse(line: &str) -> Self {
        let comment = line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->"));
        let Some(comment) = comment else { return Self::None };
        match comment.split_once(' ') {
            None if comment == "sockmig" => Self::Run(String::new()),
            None if comment == "example" => Self::Example,
            Some(("sockmig", arguments)) => Self::Run(arguments.to_owned()),
            Some(("measured:", command)) => Self::Measured(command.to_owned()),
            Some((kind @ ("file" | "snapshot"), rest)) => {
                let (name, part) = rest.split_once(", from `").unwrap_or((rest, ""));
                let part = part.strip_suffix('`').and_then(|part| part.split_once("` to `"));
                Self::Source(Source {
                    name: name.to_owned(),
                    is_snapshot: kind == "snapshot",
                    part: part.map(|(from, to)| (from.to_owned(), to.to_owned())),
                })
            }
            _ => Self::None,
        }
    }
}

/// What stands between two fences.
pub struct Block {
    pub marker: Marker,
    pub language: String,
    /// The line of its first fence, from 1.
    pub line: usize,
    /// Where its lines are in the page's text.
    pub body: Range<usize>,
    /// How far it is indented, in a list.
    indent: usize,
}

impl Block {
    /// Its lines, not indented.
    pub fn lines<'a>(&self, text: &'a str) -> Vec<&'a str> {
        text[self.body.clone()].lines().map(|line| line.get(self.indent..).unwrap_or("")).collect()
    }

    /// These lines as they would stand in it.
    pub fn filled(&self, lines: &[String]) -> String {
        let indent = " ".repeat(self.indent);
        lines.iter().map(|line| format!("{indent}{line}").trim_end().to_owned() + "\n").collect()
    }
}

impl Page {
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        Self { path: path.to_owned(), text }
    }

    /// Its path, from the root.
    pub fn name(&self) -> String {
        self.path.strip_prefix(root()).unwrap_or(&self.path).display().to_string()
    }

    /// The blocks between fences.
    pub fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut open: Option<Block> = None;
        let mut marker = Marker::None;
        let mut at = 0;
        for (number, line) in self.text.split_inclusive('\n').enumerate() {
            let trimmed = line.trim();
            match (&mut open, trimmed.strip_prefix("```")) {
                (Some(block), Some("")) => {
                    block.body.end = at;
                    blocks.extend(open.take());
                }
                (None, Some(language)) => {
                    open = Some(Block {
                        marker: std::mem::replace(&mut marker, Marker::None),
                        language: language.to_owned(),
                        line: number + 1,
                        body: at + line.len()..at + line.len(),
                        indent: line.len() - line.trim_start().len(),
                    });
                }
                (None, None) => marker = Marker::parse(trimmed),
                (Some(_), _) => {}
            }
            at += line.len();
        }
        assert!(open.is_none(), "{}: a block has no end", self.name());
        blocks
    }

    /// The lines outside of blocks, with their numbers from 1.
    pub fn prose(&self) -> Vec<(usize, &str)> {
        let mut inside = false;
        let mut prose = Vec::new();
        for (number, line) in self.text.lines().enumerate() {
            let is_fence = line.trim_start().starts_with("```");
            inside ^= is_fence;
            if !inside && !is_fence {
                prose.push((number + 1, line));
            }
        }
        prose
    }

    /// What stands between backticks, with the number of the line it begins in.
    pub fn code(&self) -> Vec<(usize, String)> {
        let mut code = Vec::new();
        // A span may go on in the next line, and not in the next paragraph.
        let prose = self.prose();
        for paragraph in prose.split(|(_, line)| line.is_empty()) {
            let Some((first, _)) = paragraph.first() else { continue };
            let text: Vec<&str> = paragraph.iter().map(|(_, line)| line.trim()).collect();
            let text = text.join("\n");
            let mut line = *first;
            for (number, part) in text.split('`').enumerate() {
                if number % 2 == 1 {
                    code.push((line, part.replace('\n', " ")));
                }
                line += part.matches('\n').count();
            }
        }
        code
    }

    /// Where its links lead to, with the numbers of their lines.
    pub fn links(&self) -> Vec<(usize, String)> {
        let mut links = Vec::new();
        for (number, line) in self.prose() {
            let targets = line.split("](").skip(1);
            links.extend(
                targets.filter_map(|rest| Some((number, rest.split_once(')')?.0.to_owned()))),
            );
        }
        links
    }

    /// The anchors of its headings, as GitHub makes them.
    pub fn anchors(&self) -> BTreeSet<String> {
        let prose = self.prose();
        let headings = prose.iter().filter_map(|(_, line)| {
            line.strip_prefix('#').map(|rest| rest.trim_start_matches('#').trim())
        });
        let kept = |letter: &char| letter.is_alphanumeric() || "-_ ".contains(*letter);
        headings
            .map(|heading| {
                heading.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")
            })
            .collect()
    }
}
