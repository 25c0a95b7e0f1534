//! Kernels x cases, laid out: which columns there are, and which fit next to each other.

use crate::output::document::MatrixDocument;
use crate::output::word::{self, CaseResult, Tally};

/// Blanks between two columns.
const GAP: usize = 2;

/// What the column of the kernels is called.
const KERNEL: &str = "kernel";

/// What the column of their machines' ends is called.
const MACHINE: &str = "machine";

/// More blocks than this, and cases are taken together.
const BLOCKS: usize = 2;

/// A column: the cases whose ids start with the same parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Those parts.
    pub path: Vec<String>,
    /// The cases, by their place in the document.
    pub cases: Vec<usize>,
}

/// The cases by the first `depth` parts of their ids, in the order of first appearance.
pub fn columns(cases: &[String], depth: usize) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for (index, id) in cases.iter().enumerate() {
        let path: Vec<String> = id.split('/').take(depth).map(str::to_owned).collect();
        let place = *places.entry(path.clone()).or_insert_with(|| {
            columns.push(Column { path, cases: vec![] });
            columns.len() - 1
        });
        columns[place].cases.push(index);
    }
    columns
}

/// A cell, and how wide it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// What it counts; none for a name or an end.
    pub tally: Option<Tally>,
    /// What it says.
    pub text: String,
    /// Its column's width; 0 for the last, which nothing follows.
    pub width: usize,
}

/// Some columns that fit next to each other, with the kernels in front of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The headings, a line for each part of the ids.
    pub head: Vec<String>,
    /// A row for each kernel.
    pub rows: Vec<Vec<Cell>>,
}

/// The whole table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grid {
    /// One, if everything fits.
    pub blocks: Vec<Block>,
    /// Every word that occurs in it.
    pub all: Tally,
    /// Some cell counts more than one case.
    pub counts: bool,
}

/// The kernels' side of a grid, and what stands in its columns.
struct Table {
    names: Vec<String>,
    /// How each machine ended, if one of them did not just complete.
    ends: Option<Vec<String>>,
    columns: Vec<Column>,
    /// By column, then by kernel.
    tallies: Vec<Vec<Tally>>,
}

/// Lays a matrix out for `width` columns of a terminal. A column for each case if that
/// takes no more than two blocks, else one for each beginning of the ids that does, and at
/// last one for each mechanism.
pub fn grid(found: &MatrixDocument, width: usize) -> Grid {
    let rows: Vec<Vec<CaseResult>> =
        found.kernels.iter().map(|kernel| word::row(kernel, &found.cases)).collect();
    let deepest = found.cases.iter().map(|id| id.split('/').count()).max().unwrap_or(1);
    let mut depth = deepest;
    loop {
        let columns = columns(&found.cases, depth);
        let tally = |row: &Vec<CaseResult>, column: &Column| {
            column.cases.iter().map(|case| row[*case]).collect::<Tally>()
        };
        let tallies = columns
            .iter()
            .map(|column| rows.iter().map(|row| tally(row, column)).collect())
            .collect();
        let table = Table { names: names(found), ends: ends(found), columns, tallies };
        let parts = table.parts(width, if depth > 1 { BLOCKS } else { usize::MAX });
        let Some(parts) = parts else {
            depth -= 1;
            continue;
        };
        let blocks =
            parts.iter().enumerate().map(|(at, part)| table.block(part.clone(), at == 0)).collect();
        let all = rows.into_iter().flatten().collect();
        let counts = table.columns.iter().any(|column| column.cases.len() > 1);
        return Grid { blocks, all, counts };
    }
}

fn names(found: &MatrixDocument) -> Vec<String> {
    found.kernels.iter().map(|kernel| kernel.name.clone()).collect()
}

fn ends(found: &MatrixDocument) -> Option<Vec<String>> {
    let ends: Vec<String> =
        found.kernels.iter().map(|kernel| kernel.end.word().to_owned()).collect();
    let all_completed = found.kernels.iter().all(|kernel| kernel.end.why().is_none());
    (!all_completed).then_some(ends)
}

impl Table {
    /// Which columns go into which block; nothing if that takes more than `most` blocks.
    fn parts(&self, width: usize, most: usize) -> Option<Vec<std::ops::Range<usize>>> {
        let mut parts = Vec::new();
        let mut from = 0;
        while from < self.columns.len() || parts.is_empty() {
            if parts.len() == most {
                return None;
            }
            let left = self.side(parts.is_empty());
            let mut to = from;
            while to < self.columns.len() {
                let widths = self.widths(from..to + 1);
                let taken: usize = widths.iter().map(|width| GAP + width).sum();
                // A column that is too wide for any block has one to itself.
                if to > from && left + taken > width {
                    break;
                }
                to += 1;
            }
            let to = self.better_end(from, to);
            parts.push(from..to);
            from = to;
        }
        Some(parts)
    }

    /// Not in the middle of a mechanism, unless that would leave half of the block empty.
    fn better_end(&self, from: usize, to: usize) -> usize {
        let first = |at: usize| self.columns[at].path.first();
        if to == self.columns.len() || first(to - 1) != first(to) {
            return to;
        }
        let boundary = (from + 1..to).rev().find(|at| first(*at) != first(at - 1));
        boundary.filter(|at| 2 * (at - from) >= to - from).unwrap_or(to)
    }

    /// How wide the kernels' names, and their ends in the first block, are.
    fn side(&self, first: bool) -> usize {
        let names = widest(&self.names).max(KERNEL.len());
        let ends = self.ends.as_ref().filter(|_| first);
        names + ends.map_or(0, |ends| GAP + widest(ends).max(MACHINE.len()))
    }

    /// How wide the columns must be for their cells, and for their headings together.
    fn widths(&self, columns: std::ops::Range<usize>) -> Vec<usize> {
        let cells = |at: usize| {
            let cells = self.tallies[at].iter().map(|tally| tally.cell().chars().count());
            cells.max().unwrap_or(0)
        };
        let mut widths: Vec<usize> = columns.clone().map(cells).collect();
        for level in (0..self.levels(columns.clone())).rev() {
            for span in self.spans(columns.clone(), level) {
                let label = self.columns[span.start].path.get(level);
                let label = label.map_or(0, |label| label.chars().count());
                let inside = span.start - columns.start..span.end - columns.start;
                let has = widths[inside.clone()].iter().sum::<usize>() + GAP * (inside.len() - 1);
                widths[inside.end - 1] += label.saturating_sub(has);
            }
        }
        widths
    }

    fn levels(&self, mut columns: std::ops::Range<usize>) -> usize {
        let deepest = columns.by_ref().map(|at| self.columns[at].path.len()).max();
        deepest.unwrap_or(0)
    }

    /// Neighbours whose ids agree up to and with a level: they share the heading there.
    fn spans(&self, columns: std::ops::Range<usize>, level: usize) -> Vec<std::ops::Range<usize>> {
        let path = |at: usize| &self.columns[at].path;
        let mut spans: Vec<std::ops::Range<usize>> = Vec::new();
        for at in columns {
            match spans.last_mut() {
                Some(span)
                    if path(at).len() > level
                        && path(at).get(..=level) == path(span.start).get(..=level) =>
                {
                    span.end = at + 1;
                }
                _ => spans.push(at..at + 1),
            }
        }
        spans
    }

    fn block(&self, columns: std::ops::Range<usize>, first: bool) -> Block {
        let widths = self.widths(columns.clone());
        let names = widest(&self.names).max(KERNEL.len());
        let ends = self.ends.as_ref().filter(|_| first);
        let fates_width = ends.map(|ends| widest(ends).max(MACHINE.len()));
        let levels = self.levels(columns.clone()).max(1);
        let head = (0..levels).map(|level| {
            let last = level + 1 == levels;
            let mut line = format!("{:<names$}", if last { KERNEL } else { "" });
            if let Some(width) = fates_width {
                line += &format!("  {:<width$}", if last { MACHINE } else { "" });
            }
            for span in self.spans(columns.clone(), level) {
                let label = self.columns[span.start].path.get(level).map_or("", String::as_str);
                let inside = span.start - columns.start..span.end - columns.start;
                let width: usize = widths[inside.clone()].iter().sum();
                let width = width + GAP * (inside.len() - 1);
                line += &format!("  {label:<width$}");
            }
            line.trim_end().to_owned()
        });
        let rows = (0..self.names.len()).map(|kernel| {
            let text = |text: &str, width| Cell { tally: None, text: text.into(), width };
            let mut row = vec![text(&self.names[kernel], names)];
            if let (Some(ends), Some(width)) = (ends, fates_width) {
                row.push(text(&ends[kernel], width));
            }
            row.extend(columns.clone().zip(&widths).map(|(at, width)| {
                let tally = self.tallies[at][kernel];
                Cell { tally: Some(tally), text: tally.cell(), width: *width }
            }));
            if let Some(last) = row.last_mut() {
                last.width = 0;
            }
            row
        });
        Block { head: head.collect(), rows: rows.collect() }
    }
}

fn widest(texts: &[String]) -> usize {
    texts.iter().map(|text| text.chars().count()).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[&str]) -> Vec<String> {
        ids.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn columns_are_beginnings_of_ids() {
        let cases = ids(&["quiz1/v4/off", "quiz1/v4/on", "sysctl", "quiz1/v6/off"]);
        let paths = |depth| {
            let columns = columns(&cases, depth);
            columns.into_iter().map(|c| (c.path.join("/"), c.cases)).collect::<Vec<_>>()
        };
        assert_eq!(paths(1), [("quiz1".into(), vec![0, 1, 3]), ("sysctl".into(), vec![2])]);
        let two = [("quiz1/v4".into(), vec![0, 1]), ("sysctl".into(), vec![2])];
        assert_eq!(paths(2)[..2], two);
        assert_eq!(paths(3).len(), 4);
    }
}
