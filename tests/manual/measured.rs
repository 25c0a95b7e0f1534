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
    let Some(arguments) = command.strip_prefix("sockmig ") else {
        // Something else has run sockmig.
        let arguments = command.split_once(" -- sockmig ").map(|(_, arguments)| arguments);
        return arguments.map_or(Ok(()), |arguments| ktap(arguments, lines));
    };
    parse(&arguments.split_whitespace().collect::<Vec<_>>())?;
    match arguments.split_whitespace().next() {
        Some("reload") => {
            let (lines, words) = match lines.iter().position(|line| line.is_empty()) {
                Some(end) => (&lines[..end], &lines[end + 1..]),
                None => (lines, &[][..]),
            };
            let rows = table(lines)?;
            has_columns_of_today(&rows[0])?;
            if rows[0][0] != "strategy" {
                return Ok(());
            }
            strategies_exist(&rows[1..], &servers_of_files(arguments))?;
            in_words(words, &rows[1..])
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

/// How servers are called that files describe: by the file's name.
fn servers_of_files(arguments: &str) -> Vec<&str> {
    let words: Vec<&str> = arguments.split_whitespace().collect();
    let named = words.windows(2).filter(|pair| pair[0] == "--server");
    named.map(|pair| pair[1].strip_suffix(".toml").unwrap_or(pair[1])).collect()
}

/// Below the table there may be what it says in words: a sentence for each row.
fn in_words(lines: &[&str], rows: &[Vec<String>]) -> Result<(), String> {
    let [heading, sentences @ ..] = lines else { return Ok(()) };
    let begins = |line: &&&str| line.starts_with("  ") && !line.starts_with("    ");
    let begun: Vec<&&str> = sentences.iter().filter(begins).collect();
    let is_of = |(line, row): (&&&str, &Vec<String>)| {
        line.trim_start().starts_with(&format!("{} {}: ", row[0], row[1]))
    };
    let fits = begun.len() == rows.len() && begun.iter().zip(rows).all(is_of);
    match *heading == "In words" && fits {
        true => Ok(()),
        false => Err(format!("not a sentence for each row:\n{}", lines.join("\n"))),
    }
}

fn strategies_exist(rows: &[Vec<String>], others: &[&str]) -> Result<(), String> {
    let listed = run(&mut sockmig(&["reload", "--list"])).stdout;
    let names: Vec<&str> = listed
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .chain(others.iter().copied())
        .collect();
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

/// The plan and the results of a run in KTAP are those of the cases that it names today.
fn ktap(arguments: &str, lines: &[&str]) -> Result<(), String> {
    parse(&arguments.split_whitespace().collect::<Vec<_>>())?;
    let Some(prefixes) = arguments.strip_prefix("run --format ktap ") else {
        return Err(format!("nobody knows the form of what `{arguments}` prints"));
    };
    let prefixes: Vec<String> = prefixes.split_whitespace().map(str::to_owned).collect();
    let selected = scenarios::catalogue::select(&prefixes).map_err(|e| e.to_string())?;
    let plan = format!("1..{}", selected.len());
    if lines.get(1) != Some(&plan.as_str()) {
        return Err(format!("{plan} is planned today, not {}", lines.get(1).unwrap_or(&"nothing")));
    }
    for line in lines {
        let Some((number, id)) = line.strip_prefix("ok ").and_then(|rest| rest.split_once(' '))
        else {
            continue;
        };
        let at = number.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        let named = at.and_then(|at| selected.get(at)).map(scenarios::case::Selected::id);
        if named.as_deref() != Some(id) {
            return Err(format!("test {number} is {} today, not {id}", named.unwrap_or_default()));
        }
    }
    let totals = lines.iter().find_map(|line| line.strip_prefix("# Totals: "));
    let counts = totals.unwrap_or_default().split_whitespace().filter_map(|count| {
        count.split_once(':').and_then(|(_, number)| number.parse::<usize>().ok())
    });
    match counts.sum::<usize>() {
        sum if sum == selected.len() => Ok(()),
        sum => Err(format!("the totals are about {sum} cases, and the plan about {plan}")),
    }
}
