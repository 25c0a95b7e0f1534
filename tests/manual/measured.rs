//! Tables that take too long to be made again: their form, and the names in them.

use crate::commands::{case_ids, parse};
use crate::output::snapshots;
use crate::page::root;
use crate::support::{run, sockmig};

/// Whether the command that was measured is understood, and its table has the form of today.
///
/// # Errors
/// In what it has not.
pub fn check(command: &str, lines: &[&str]) -> Result<(), String> {
    let Some(arguments) = command.strip_prefix("sockmig ") else { return Ok(()) };
    parse(&arguments.split_whitespace().collect::<Vec<_>>())?;
    match arguments.split_whitespace().next() {
        Some("reload") => {
            let rows = table(lines)?;
            has_columns_of_today(&rows[0])?;
            if rows[0][0] == "strategy" { strategies_exist(&rows[1..]) } else { Ok(()) }
        }
        Some("matrix") => matrix(lines),
        _ => Err(format!("nobody knows the form of what `{command}` prints")),
    }
}

/// The columns of each line: two spaces or more are between them.
fn columns(line: &str) -> Vec<String> {
    let parts = line.split("  ").map(str::trim).filter(|part| !part.is_empty());
    parts.map(str::to_owned).collect()
}

fn table(lines: &[&str]) -> Result<Vec<Vec<String>>, String> {
    let rows: Vec<Vec<String>> = lines.iter().map(|line| columns(line)).collect();
    let width = rows.first().map_or(0, Vec::len);
    match rows.iter().position(|row| row.len() != width) {
        Some(odd) => Err(format!("{width} columns are needed: {}", lines[odd])),
        None if rows.len() < 2 => Err("there are no rows".into()),
        None => Ok(rows),
    }
}

/// The table's head is in a snapshot of what the command prints.
fn has_columns_of_today(head: &[String]) -> Result<(), String> {
    let texts = snapshots(&root().join("src")).into_iter().map(std::fs::read_to_string);
    let is_there = |text: String| text.lines().any(|line| columns(line) == head);
    match texts.flatten().any(is_there) {
        true => Ok(()),
        false => Err(format!("no snapshot has a table with these columns: {}", head.join(", "))),
    }
}

fn strategies_exist(rows: &[Vec<String>]) -> Result<(), String> {
    let listed = run(&mut sockmig(&["reload", "--list"])).stdout;
    let names: Vec<&str> =
        listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    match rows.iter().find(|row| !names.contains(&row[0].as_str())) {
        Some(row) => Err(format!("there is no strategy {}", row[0])),
        None => Ok(()),
    }
}

/// A line with the first parts of ids, one with the rest of them, and a row for each kernel.
fn matrix(lines: &[&str]) -> Result<(), String> {
    let [mechanism, rest @ ..] = lines else { return Err("it is empty".into()) };
    let rows = table(rest)?;
    let ids = case_ids();
    for column in &rows[0][1..] {
        let id = format!("{}/{column}/", mechanism.trim());
        if !ids.iter().any(|known| known.starts_with(&id)) {
            return Err(format!("there is no case {id}"));
        }
    }
    let is_cell = |cell: &String| {
        let words: Vec<&str> = cell.split(' ').collect();
        matches!(words[..], ["ok" | "KNOWN" | "skip", count] if count.parse::<u32>().is_ok())
    };
    match rows[1..].iter().flat_map(|row| &row[1..]).find(|cell| !is_cell(cell)) {
        Some(cell) => Err(format!("`{cell}` is not the cell of a matrix")),
        None => Ok(()),
    }
}
