//! A ladder in characters.

use crate::ladder::layout::{Body, Frame, LadderRow, Layout};
use crate::ladder::rung::{Change, Ladder, Mark, Note};
use crate::style::Style;

/// Draws a ladder `width` characters wide, a line break after each line.
pub fn drawn(ladder: &Ladder, width: usize, style: Style) -> String {
    lines(&Layout::new(ladder, Frame::alone(width)), style)
        .into_iter()
        .map(|line| line + "\n")
        .collect()
}

/// As [`drawn`], but only `context` lines before the first marked one and after it; all of
/// them if none is marked.
pub fn around(ladder: &Ladder, context: usize, width: usize, style: Style) -> String {
    let layout = Layout::new(ladder, Frame::alone(width));
    let mut rows = lines(&layout, style).into_iter();
    let mut shown: Vec<String> = rows.next().into_iter().collect();
    let count = rows.len();
    let marked = layout.rows.iter().position(|row| row.mark != Mark::None);
    let from = marked.map_or(0, |at| at.saturating_sub(context));
    let to = marked.map_or(count, |at| count.min(at + context));
    if from > 0 {
        shown.push(format!("  ... {from} lines before"));
    }
    shown.extend(rows.skip(from).take(to - from));
    if to < count {
        shown.push(format!("  ... {} lines more", count - to));
    }
    shown.into_iter().map(|line| line + "\n").collect()
}

/// The lines of a ladder, its heading first. Colour repeats what the characters say.
pub fn lines(layout: &Layout, style: Style) -> Vec<String> {
    let mut heading = Canvas::default();
    if layout.times {
        heading.put(layout.names - 1 - "seconds".len(), "seconds");
    }
    heading.put(layout.client, &layout.client_heading);
    for (lane, name) in &layout.lanes {
        heading.put(lane.saturating_sub(name.chars().count() / 2), name);
    }
    let heading = style.bold(&heading.text());
    std::iter::once(heading).chain(layout.rows.iter().map(|row| line(layout, row, style))).collect()
}

fn line(layout: &Layout, row: &LadderRow, style: Style) -> String {
    let mut canvas = Canvas::default();
    canvas.put(0, mark(row.mark));
    if let Some(time) = row.time.filter(|_| layout.times) {
        canvas.put(1, &format!("{:>9.6}", time.as_secs_f64()));
    }
    canvas.put(layout.names, &row.name);
    canvas.put(layout.client, "|");
    for ((lane, _), _) in layout.lanes.iter().zip(&row.alive).filter(|(_, alive)| **alive) {
        canvas.put(*lane, "|");
    }
    match &row.body {
        Body::Arrow { label, to_server, column, dropped, .. } => {
            let (from, to) = (layout.client + 1, layout.lanes[*column].0);
            // What does not arrive ends before the first listener.
            let to = if *dropped { layout.lanes[0].0 - 1 } else { to };
            canvas.put(from, &arrow(to - from, label, *to_server, *dropped));
        }
        Body::Words { text, columns, .. } => {
            canvas.put(layout.client + 2, text);
            for (index, change) in columns {
                let sign = if *change == Change::Begins { "+" } else { "x" };
                canvas.put(layout.lanes[*index].0, sign);
            }
        }
        Body::Nothing => {}
    }
    let note = row.note.as_ref().map(|note| match note {
        Note::Owner(text) => text.clone(),
        Note::Timer(text) => style.yellow(text),
    });
    if let Some(note) = note {
        canvas.put(layout.notes, &note);
    }
    let text = canvas.text();
    match (row.mark, &row.body) {
        (Mark::Wrong, _) | (_, Body::Arrow { reset: true, .. }) => style.red(&text),
        (Mark::Differs, _) => style.yellow(&text),
        (Mark::None, Body::Words { act: true, .. }) => style.bold(&text),
        (Mark::None, _) => text,
    }
}

/// What stands before a line that is to be looked at.
fn mark(mark: Mark) -> &'static str {
    match mark {
        Mark::None => " ",
        Mark::Wrong => ">",
        Mark::Differs => "*",
    }
}

/// An arrow with its label in it: `- S 0:0(0) ------>` and `<------ S. 0:0(0) ack 1 -`.
fn arrow(columns: usize, label: &str, to_server: bool, dropped: bool) -> String {
    let shaft = "-".repeat(columns.saturating_sub(label.chars().count() + 4));
    let head = if dropped { "X" } else { ">" };
    match to_server {
        true => format!("- {label} {shaft}{head}"),
        false => format!("<{shaft} {label} -"),
    }
}

/// A line of characters that are put where they belong.
#[derive(Default)]
struct Canvas(Vec<char>);

impl Canvas {
    fn put(&mut self, at: usize, text: &str) {
        for (index, character) in text.chars().enumerate() {
            if self.0.len() <= at + index {
                self.0.resize(at + index + 1, ' ');
            }
            self.0[at + index] = character;
        }
    }

    fn text(&self) -> String {
        let text: String = self.0.iter().collect();
        text.trim_end().to_owned()
    }
}
