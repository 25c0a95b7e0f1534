//! What the reader is told to type: command lines, and the names of cases and of tests in them.

use std::sync::OnceLock;

use crate::page::{Marker, Page, root};
use crate::support::{run, sockmig};

/// How a command line of sockmig begins in a shell, from this checkout.
const BY_CARGO: [&str; 2] = ["cargo run --release -- ", "cargo run -- "];

/// A command line of sockmig on a page.
struct Line {
    number: usize,
    arguments: Vec<String>,
}

/// In blocks of commands, in code within sentences, and in the comments above blocks.
fn command_lines(page: &Page) -> Vec<Line> {
    let mut lines = Vec::new();
    for block in page.blocks() {
        if block.language == "sh" {
            for (number, text) in block.lines(&page.text).into_iter().enumerate() {
                let found = in_shell(text).into_iter();
                let number = block.line + 1 + number;
                lines.extend(found.map(|arguments| Line { number, arguments }));
            }
        }
        if let Marker::Run(arguments) = &block.marker {
            let arguments = arguments.split_whitespace().map(str::to_owned).collect();
            lines.push(Line { number: block.line - 1, arguments });
        }
    }
    // `[…]` and `…` stand for whatever may be there.
    let is_whole = |code: &String| !code.contains(['…', '[', '|']);
    for (number, code) in page.code().into_iter().filter(|(_, code)| is_whole(code)) {
        let found = in_shell(&code).into_iter();
        lines.extend(found.map(|arguments| Line { number, arguments }));
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
        let end = rest.find(['\'', '"', ';', '|', '&', '>', '`']).unwrap_or(rest.len());
        if is_command {
            found.push(rest[..end].split_whitespace().map(str::to_owned).collect());
        }
    }
    found
}

/// Whether the command line is one that sockmig understands. Nothing is done.
///
/// # Errors
/// What sockmig says against it.
pub fn is_understood(arguments: &[&str]) -> Result<(), String> {
    // The parser stops at `--help`; what is before it has been looked at by then.
    let mut arguments = arguments.to_vec();
    let end = arguments.iter().position(|argument| *argument == "--");
    arguments.insert(end.unwrap_or(arguments.len()), "--help");
    let ended = run(&mut sockmig(&arguments));
    match ended.code {
        Some(0) => Ok(()),
        _ => Err(format!("sockmig {}: {}", arguments.join(" "), ended.stderr)),
    }
}

/// Command lines that sockmig does not understand, and names of tests that do not exist.
pub fn problems(page: &Page) -> Vec<String> {
    let mut problems = Vec::new();
    for Line { number, arguments } in command_lines(page) {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        if let Err(problem) = is_understood(&arguments) {
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

/// Options that are followed by a value.
const WITH_VALUE: [&str; 13] = [
    "--accel",
    "--clock",
    "--deadline",
    "--format",
    "--jobs",
    "--junit",
    "--kernel",
    "--markdown",
    "--memory",
    "--modules",
    "--out",
    "--repeat",
    "--shard",
];

/// The ids in a command line that runs, lists or teaches cases.
fn ids_in(arguments: &[String]) -> Vec<&String> {
    let mut ids = Vec::new();
    let mut rest = arguments.iter();
    match rest.next().map(String::as_str) {
        Some("run" | "list" | "explain" | "matrix") => {}
        Some("diff") => {
            let case = arguments.iter().position(|argument| argument == "--case");
            return case.and_then(|at| arguments.get(at + 1)).into_iter().collect();
        }
        _ => return ids,
    }
    while let Some(argument) = rest.next() {
        if WITH_VALUE.contains(&argument.as_str()) {
            rest.next();
        } else if !argument.starts_with('-') {
            ids.push(argument);
        }
    }
    ids
}

/// Cases that a page names, in commands, in code or in a table of ids, and that do not exist.
pub fn unknown_cases(page: &Page) -> Vec<String> {
    let known = case_ids();
    let exists = |id: &str| known.iter().any(|known| known.starts_with(id));
    let mut named: Vec<(usize, String)> = Vec::new();
    for line in command_lines(page) {
        // ID stands for any.
        let ids = ids_in(&line.arguments).into_iter().filter(|id| *id != "ID");
        named.extend(ids.map(|id| (line.number, id.clone())));
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
    let unknown = named.into_iter().filter(|(_, id)| !exists(id));
    unknown.map(|(line, id)| format!("{}:{line}: there is no case `{id}`", page.name())).collect()
}
