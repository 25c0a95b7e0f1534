//! What the reader is asked to type: command lines, and the names of cases and of tests in them.

use std::sync::OnceLock;

use clap::ArgMatches;

use crate::page::{Marker, Page, root};
use crate::support::{run, sockmig};

/// How a command line of sockmig begins in a shell, from this checkout.
const BY_CARGO: [&str; 2] = ["cargo run --release -- ", "cargo run -- "];

/// A command line of sockmig on a page.
struct Line {
    number: usize,
    arguments: Vec<String>,
    /// It may be only the name of a subcommand, in a sentence.
    is_mention: bool,
}

/// In blocks of commands, in code within sentences, and in the comments above blocks.
fn command_lines(page: &Page) -> Vec<Line> {
    let mut lines = Vec::new();
    for block in page.blocks() {
        if block.language == "sh" {
            for (number, text) in block.lines(&page.text).into_iter().enumerate() {
                let found = in_shell(text).into_iter();
                let number = block.line + 1 + number;
                lines.extend(found.map(|arguments| Line { number, arguments, is_mention: false }));
            }
        }
        if let Marker::Run(arguments) = &block.marker {
            let arguments = arguments.split_whitespace().map(str::to_owned).collect();
            lines.push(Line { number: block.line - 1, arguments, is_mention: false });
        }
    }
    // `[…]` and `…` stand for whatever may be there; a comment is no command line.
    let is_whole = |code: &String| !code.contains(['…', '[', '|']) && !code.starts_with("<!--");
    for (number, code) in page.code().into_iter().filter(|(_, code)| is_whole(code)) {
        let found = in_shell(&code).into_iter();
        lines.extend(found.map(|arguments| {
            let is_mention = arguments.len() == 1;
            Line { number, arguments, is_mention }
        }));
    }
    lines
}

/// The arguments of each sockmig in a line for a shell.
fn in_shell(line: &str) -> Vec<Vec<String>> {
    let line = BY_CARGO.iter().fold(line.to_owned(), |line, how| line.replace(how, "sockmig "));
    let mut found = Vec::new();
    let mut rest = line.as_str();
    while let Some(at) = rest.find("sockmig ") {
        let before = rest[..at].chars().next_back();
        let is_command = before.is_none_or(|letter| " '/(".contains(letter));
        rest = &rest[at + "sockmig ".len()..];
        let end = rest.find(['\'', '"', ';', '|', '&', '>', '`', '#']).unwrap_or(rest.len());
        if is_command {
            found.push(rest[..end].split_whitespace().map(str::to_owned).collect());
        }
    }
    found
}

/// What the command line's definition makes of these arguments. Nothing is done.
///
/// # Errors
/// What sockmig would say against them.
pub fn parse(arguments: &[&str]) -> Result<ArgMatches, String> {
    let mut line = vec!["sockmig"];
    line.extend(arguments);
    // Where cargo puts the program that it runs.
    if line.last() == Some(&"--") {
        line.push("program");
    }
    sockmig::command_line()
        .try_get_matches_from(&line)
        .map_err(|e| format!("{}: {e}", line.join(" ")))
}

/// Command lines that sockmig does not understand, and names of tests that do not exist.
pub fn problems(page: &Page) -> Vec<String> {
    let mut problems = Vec::new();
    for Line { number, arguments, is_mention } in command_lines(page) {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let is_subcommand = || sockmig::command_line().find_subcommand(arguments[0]).is_some();
        if let Err(problem) = parse(&arguments)
            && !(is_mention && is_subcommand())
        {
            problems.push(format!("{}:{number}: {problem}", page.name()));
        }
    }
    let blocks = page.blocks().into_iter().filter(|block| block.language == "sh");
    let typed = blocks.flat_map(|block| {
        let lines = block.lines(&page.text).into_iter().map(str::to_owned).collect::<Vec<_>>();
        lines.into_iter().map(move |line| (block.line, line))
    });
    for (number, line) in page.code().into_iter().chain(typed) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let after = |option: &str| {
            words.iter().position(|word| *word == option).and_then(|at| words.get(at + 1))
        };
        let of = root().join(after("-p").unwrap_or(&"."));
        for (option, directory) in [("--test", "tests"), ("--bench", "benches")] {
            let Some(name) = after(option).filter(|_| line.contains("cargo ")) else { continue };
            let file = of.join(directory).join(format!("{name}.rs"));
            let folder = of.join(directory).join(name).join("main.rs");
            if !file.exists() && !folder.exists() {
                problems.push(format!("{}:{number}: there is no `{option} {name}`", page.name()));
            }
        }
    }
    problems
}

/// Every case, by its full id.
pub fn case_ids() -> &'static [String] {
    static IDS: OnceLock<Vec<String>> = OnceLock::new();
    IDS.get_or_init(|| {
        let listed = run(&mut sockmig(&["list"])).stdout;
        listed.lines().filter_map(|line| line.split_whitespace().next()).map(Into::into).collect()
    })
}

/// The ids in a command line that runs, lists, teaches or compares cases.
fn ids_in(arguments: &[String]) -> Vec<String> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let Ok(matches) = parse(&arguments) else { return vec![] };
    let (named_by, given) = match matches.subcommand() {
        Some(("run" | "list" | "matrix", given)) => ("ids", given),
        Some(("explain", given)) => ("id", given),
        Some(("diff", given)) => ("case", given),
        _ => return vec![],
    };
    given.get_many::<String>(named_by).into_iter().flatten().cloned().collect()
}

/// Whether what is no case can be explained: a CVE, a commit, a setting.
fn is_explained(word: &str) -> bool {
    run(&mut sockmig(&["explain", word, "--no-run"])).code == Some(0)
}

/// Cases that a page names, in commands, in code or in a table of ids, and that do not exist.
pub fn unknown_cases(page: &Page) -> Vec<String> {
    let known = case_ids();
    let exists = |id: &str| known.iter().any(|known| known.starts_with(id));
    let mut named: Vec<(usize, String)> = Vec::new();
    for line in command_lines(page) {
        // ID stands for any.
        let ids = ids_in(&line.arguments).into_iter().filter(|id| id != "ID");
        let explains = line.arguments.first().is_some_and(|command| command == "explain");
        let ids = ids.filter(|id| exists(id) || !(explains && is_explained(id)));
        named.extend(ids.map(|id| (line.number, id)));
    }
    // What looks like an id of a case, since its first part is that of one.
    let is_id = |text: &str| {
        let letters = |letter: char| letter.is_ascii_alphanumeric() || "-/".contains(letter);
        let first = text.split_once('/').map_or("", |(first, _)| first);
        text.chars().all(letters) && !first.is_empty() && exists(&format!("{first}/"))
    };
    let code = page.code().into_iter();
    let cells = page.prose().into_iter().filter(|(_, line)| line.starts_with('|'));
    let cells = cells.flat_map(|(number, line)| {
        line.split(['|', ',']).map(move |cell| (number, cell.trim().to_owned()))
    });
    named.extend(code.chain(cells).filter(|(_, text)| is_id(text)));
    // What has changed names what was there before.
    let was =
        |id: &str| page.name() == "CHANGELOG.md" && scenarios::catalogue::renamed_id(id).is_some();
    let unknown = named.into_iter().filter(|(_, id)| !exists(id) && !was(id));
    unknown.map(|(line, id)| format!("{}:{line}: there is no case `{id}`", page.name())).collect()
}
