//! Blocks that show output or source code, held against what there is.

use std::fs;
use std::path::{Path, PathBuf};

use crate::excerpt::excerpt;
use crate::is_updating;
use crate::page::{Block, Marker, Page, Source, root};
use crate::support::{run, sockmig};

/// What kernels before 5.14 do not have.
const MIGRATION: &str = "/proc/sys/net/ipv4/tcp_migrate_req";

/// Stands in a marker for the file that the command writes, and that is shown.
const FILE: &str = "FILE";

/// Nothing if the block is right; the lines to renew it with if that was asked for.
///
/// # Errors
/// In what it differs.
pub fn check(page: &Page, block: &Block) -> Result<Option<Vec<String>>, String> {
    let shown = block.lines(&page.text);
    let (actual, compared) = match &block.marker {
        Marker::Source(source) => {
            let actual = lines_of(source)?;
            let same = shown == actual;
            (actual, same.then_some(()).ok_or(format!("{} is different", source.name)))
        }
        Marker::Run(arguments) => {
            let actual = printed(arguments)?;
            let compared = match arguments.as_str() {
                "" => answers_agree(&shown, &actual),
                _ if is_a_run_for_people(arguments) => runs_agree(&shown, &actual),
                _ if !Path::new(MIGRATION).exists() => Ok(()),
                _ => excerpt(&shown, &actual, without_numbers).map(drop),
            };
            (actual, compared)
        }
        Marker::None | Marker::Measured(_) | Marker::Example => return Ok(None),
    };
    match compared {
        Ok(()) => Ok(None),
        Err(_) if is_updating() && !shown.iter().any(|line| line.trim() == "...") => {
            Ok(Some(actual))
        }
        Err(different) => Err(different),
    }
}

/// What `sockmig ARGUMENTS` prints, or writes to the file that is shown.
fn printed(arguments: &str) -> Result<Vec<String>, String> {
    let directory = tempfile::tempdir().map_err(|e| e.to_string())?;
    let file = directory.path().join("file");
    let path = file.display().to_string();
    let arguments: Vec<&str> = arguments
        .split_whitespace()
        .map(|argument| if argument == FILE { path.as_str() } else { argument })
        .collect();
    let mut command = sockmig(&arguments);
    command.env("COLUMNS", "80").env_remove("SOCKMIG_LONG").env_remove("SOCKMIG_GATE");
    let ended = run(&mut command);
    // 4: there is nothing but skips on this kernel.
    if !matches!(ended.code, Some(0 | 4)) {
        return Err(format!("{ended}"));
    }
    let text = match arguments.contains(&path.as_str()) {
        true => fs::read_to_string(&file).map_err(|e| e.to_string())?,
        false => ended.stdout,
    };
    Ok(text.trim_end().lines().map(|line| line.trim_end().to_owned()).collect())
}

fn lines_of(source: &Source) -> Result<Vec<String>, String> {
    let path = match source.is_snapshot {
        true => snapshot(&source.name)?,
        false => root().join(&source.name),
    };
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if let Some((from, to)) = &source.part {
        let begin = lines.iter().position(|line| line.starts_with(from));
        let begin = begin.ok_or_else(|| format!("{}: no line is `{from}`", source.name))?;
        let end = lines[begin..].iter().position(|line| line.starts_with(to));
        let end = end.ok_or_else(|| format!("{}: no line is `{to}`", source.name))?;
        lines = lines.drain(begin..=begin + end).collect();
    }
    Ok(lines)
}

/// The snapshot whose name ends so.
fn snapshot(name: &str) -> Result<PathBuf, String> {
    let wanted = format!("__{name}.snap");
    let all = snapshots(&root().join("src"));
    let found = all.into_iter().find(|path| path.display().to_string().ends_with(&wanted));
    found.ok_or_else(|| format!("there is no snapshot {name}"))
}

/// The files of snapshots under a directory.
pub fn snapshots(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut found = Vec::new();
    for path in entries.map(|entry| entry.path()) {
        if path.is_dir() {
            found.extend(snapshots(&path));
        } else if path.extension().is_some_and(|extension| extension == "snap") {
            found.push(path);
        }
    }
    found
}

fn is_a_run_for_people(arguments: &str) -> bool {
    let has = |option: &str| arguments.split_whitespace().any(|argument| argument == option);
    arguments.starts_with("run ") && !has("--format") && !has("--junit") && !has("--markdown")
}

/// The plain answer. What is left out at the end depends on the machine; and on a kernel that
/// is not the one that is shown, only which parts there are can be compared.
fn answers_agree(shown: &[&str], actual: &[String]) -> Result<(), String> {
    let actual: Vec<&str> = actual.iter().map(String::as_str).collect();
    let is_heading = |line: &&&str| line.starts_with(|letter: char| letter.is_alphabetic());
    let before_what_is_left_out = |lines: &[&str]| -> Vec<String> {
        let kept = lines.iter().take_while(|line| **line != "Not checked");
        kept.map(|line| (*line).to_owned()).collect()
    };
    if shown.first() == actual.first() {
        let (shown, actual) = (before_what_is_left_out(shown), before_what_is_left_out(&actual));
        let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
        return excerpt(&shown, &actual, str::to_owned).map(drop);
    }
    let always = ["What to do", "Not checked"];
    let of = |lines: &[&str]| -> Vec<String> {
        let headings = lines.iter().skip(1).filter(is_heading);
        headings.filter(|line| always.contains(line)).map(|line| (*line).to_owned()).collect()
    };
    let (shown_parts, parts) = (of(shown), of(&actual));
    let is_whole = !shown.iter().any(|line| line.trim() == "...");
    let agree = match is_whole {
        true => shown_parts == parts,
        false => shown_parts.iter().all(|part| parts.contains(part)),
    };
    match agree {
        true => Ok(()),
        false => Err(format!("it has other parts:\n{}", actual.join("\n"))),
    }
}

/// A case of a run: its id, its verdict, and the lines below.
struct Shown {
    id: String,
    verdict: String,
    lines: Vec<String>,
}

/// The cases of a run that is shown to people, with or without ladders.
fn cases(lines: &[&str]) -> Vec<Shown> {
    let mut cases: Vec<Shown> = Vec::new();
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["ok" | "FAIL" | "skip" | "known" | "stale" | "error", id, ..]
                if !line.starts_with(' ') =>
            {
                let (id, verdict) = (id.to_owned(), words[0].to_owned());
                cases.push(Shown { id, verdict, lines: vec![] });
            }
            // What is counted at the end depends on the kernel.
            [_, "case:" | "cases:", ..] => break,
            [] => {}
            _ => {
                if let Some(case) = cases.last_mut() {
                    case.lines.push(lasting(line));
                }
            }
        }
    }
    // The client may put off its last acknowledgement.
    let is_sure = |line: &String| !line.contains("- . 12:12(0) ack 3 -");
    for case in &mut cases {
        case.lines.retain(is_sure);
    }
    cases
}

/// A line of a ladder without its time, and without how the test's end went.
fn lasting(line: &str) -> String {
    let timed = line.get(1..10).is_some_and(|time| time.trim().parse::<f64>().is_ok());
    let line = if timed { format!("{}{}", &line[..1], &line[10..]) } else { line.to_owned() };
    // How much more came differs.
    let more = line.match_indices('(').find(|(at, _)| {
        let mut words = line[at + 1..].split(' ');
        words.next().is_some_and(|word| word.parse::<u32>().is_ok()) && words.next() == Some("more")
    });
    line[..more.map_or(line.len(), |(at, _)| at)].trim_end().to_owned()
}

/// A kernel without migration skips some of what is shown, and another one may not have the
/// bug that is.
fn runs_agree(shown: &[&str], actual: &[String]) -> Result<(), String> {
    let text = actual.join("\n");
    let lines: Vec<&str> = actual.iter().map(String::as_str).collect();
    let actual = cases(&lines);
    let shown = cases(shown);
    if shown.is_empty() || shown.len() != actual.len() {
        return Err(format!("there are other cases:\n{text}"));
    }
    for case in &shown {
        let found = actual.iter().find(|other| other.id == case.id);
        let found = found.ok_or_else(|| format!("{} did not run:\n{text}", case.id))?;
        let is_other_kernel = match case.verdict.as_str() {
            "known" => ["ok", "skip", "stale"].contains(&found.verdict.as_str()),
            _ => found.verdict == "skip",
        };
        if !is_other_kernel && (found.verdict != case.verdict || found.lines != case.lines) {
            return Err(format!("{} is shown otherwise:\n{text}", case.id));
        }
    }
    Ok(())
}

/// A line with `#` for each number, and without the kernel's name.
fn without_numbers(line: &str) -> String {
    let line = line.split("Linux ").next().unwrap_or_default();
    let mut kept = String::new();
    for letter in line.chars() {
        match letter {
            '0'..='9' | '.' if kept.ends_with('#') => {}
            '0'..='9' => kept.push('#'),
            _ => kept.push(letter),
        }
    }
    kept.trim_end().to_owned()
}

#[test]
fn numbers_do_not_count() {
    assert_eq!(without_numbers(r#"  "took_ms": 85,"#), r#"  "took_ms": #,"#);
    assert_eq!(without_numbers(" 0.000047  C > S"), " #  C > S");
    assert_eq!(without_numbers("# Linux 6.1.0-x (x86_64)"), "#");
}
