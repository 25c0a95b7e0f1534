//! Two ladders next to each other, and what differs between them.

use serde::Serialize;

use crate::ladder::alignment::aligned;
use crate::ladder::layout::{Frame, LadderRow, Layout};
use crate::ladder::rung::{Ladder, Mark, What};
use crate::ladder::text;
use crate::style::Style;

/// From this width on, two ladders stand next to each other.
pub const TWO_COLUMNS: usize = 100;

/// What stands between them.
const BETWEEN: &str = "  :";

/// Two ladders, aligned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pair {
    /// The one that stands left, or first.
    pub left: Side,
    /// The other one.
    pub right: Side,
    /// From top to bottom: the indices of rungs that are on both, or on one alone.
    pub rungs: Vec<(Option<usize>, Option<usize>)>,
}

/// One of two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Side {
    /// What it is the ladder of.
    pub title: String,
    /// Marked where the other one has nothing of the kind.
    pub ladder: Ladder,
}

impl Pair {
    /// Aligns two ladders, and marks what only one of them has. What is wrong stays marked
    /// as wrong.
    ///
    /// Compared are segments and acts by what the trace says of them, not by their times;
    /// what is folded is alike. A retransmission more is a difference.
    pub fn new(mut left: Side, mut right: Side) -> Self {
        let rungs = aligned(&keys(&left.ladder), &keys(&right.ladder));
        for pair in &rungs {
            let alone = match *pair {
                (Some(at), None) => &mut left.ladder.rungs[at].mark,
                (None, Some(at)) => &mut right.ladder.rungs[at].mark,
                _ => continue,
            };
            if *alone == Mark::None {
                *alone = Mark::Differs;
            }
        }
        Self { left, right, rungs }
    }

    /// How many rungs only one of the two has.
    pub fn differing(&self) -> usize {
        self.rungs.iter().filter(|(left, right)| left.is_none() || right.is_none()).count()
    }

    /// Keeps `most` rungs around the first that only one of the two has, and says how many
    /// were before and after them.
    pub fn keep(&mut self, most: usize) -> (usize, usize) {
        let differs = |pair: &(Option<usize>, Option<usize>)| pair.0.is_none() || pair.1.is_none();
        let first = self.rungs.iter().position(differs).unwrap_or(0);
        let before = first.saturating_sub(most / 2).min(self.rungs.len().saturating_sub(most));
        let after = self.rungs.len().saturating_sub(before + most);
        self.rungs.drain(..before);
        self.rungs.truncate(most);
        let mut starts = [0; 2];
        for (at, side) in [&mut self.left, &mut self.right].into_iter().enumerate() {
            let mut kept =
                self.rungs.iter().filter_map(|pair| if at == 0 { pair.0 } else { pair.1 });
            starts[at] = kept.next().unwrap_or(0);
            let end = kept.next_back().map_or(starts[at] + 1, |last| last + 1);
            let rungs = &mut side.ladder.rungs;
            rungs.truncate(end);
            rungs.drain(..starts[at].min(rungs.len()));
        }
        for (left, right) in &mut self.rungs {
            *left = left.map(|at| at - starts[0]);
            *right = right.map(|at| at - starts[1]);
        }
        (before, after)
    }

    /// Both laid out, with as many rows, those of rungs that are on both at the same height.
    pub fn layouts(&self, left: Frame, right: Frame) -> (Layout, Layout) {
        let mut left = Layout::new(&self.left.ladder, left);
        let mut right = Layout::new(&self.right.ladder, right);
        let (mut lefts, mut rights) = (Stack::of(&left), Stack::of(&right));
        for (on_left, on_right) in &self.rungs {
            lefts.take(*on_left);
            rights.take(*on_right);
            let height = lefts.rows.len().max(rights.rows.len());
            lefts.fill(height);
            rights.fill(height);
        }
        let rows = (lefts.rows, rights.rows);
        (left.rows, right.rows) = rows;
        (left, right)
    }

    /// Draws both, next to each other where there is room, else one after the other.
    pub fn text(&self, width: usize, style: Style) -> String {
        let half = width.saturating_sub(BETWEEN.len() + 1) / 2;
        let frame = Frame { width: half, narrow: true };
        let (left, right) = self.layouts(frame, frame);
        if width >= TWO_COLUMNS && left.fits() && right.fits() {
            self.two_columns(half, &left, &right, style)
        } else {
            self.one_after_the_other(width, style)
        }
    }

    fn two_columns(&self, half: usize, left: &Layout, right: &Layout, style: Style) -> String {
        let mut drawn = line(half, &self.left.title, &self.right.title);
        // Colour has no width; so the plain left is what is measured.
        let plain = text::lines(left, Style::PLAIN);
        let left = text::lines(left, style);
        for ((plain, left), right) in plain.iter().zip(&left).zip(text::lines(right, style)) {
            let room = half.saturating_sub(plain.chars().count());
            drawn += format!("{left}{}{BETWEEN} {right}", " ".repeat(room)).trim_end();
            drawn.push('\n');
        }
        drawn
    }

    fn one_after_the_other(&self, width: usize, style: Style) -> String {
        let one = |side: &Side| {
            format!("{}\n{}", style.bold(&side.title), text::drawn(&side.ladder, width, style))
        };
        format!("{}\n{}", one(&self.left), one(&self.right))
    }
}

/// A line of two texts.
fn line(half: usize, left: &str, right: &str) -> String {
    let cut = |text: &str| text.chars().take(half).collect::<String>();
    format!("{:half$}{BETWEEN} {}\n", cut(left), cut(right))
}

/// A layout's rows, those of one rung after the other, with gaps between.
struct Stack<'l> {
    layout: &'l Layout,
    taken: usize,
    rows: Vec<LadderRow>,
}

impl<'l> Stack<'l> {
    fn of(layout: &'l Layout) -> Self {
        Self { layout, taken: 0, rows: vec![] }
    }

    fn take(&mut self, rung: Option<usize>) {
        let rest = &self.layout.rows[self.taken..];
        let its = rest.iter().take_while(|row| Some(row.rung) == rung);
        let before = self.rows.len();
        self.rows.extend(its.cloned());
        self.taken += self.rows.len() - before;
    }

    fn fill(&mut self, height: usize) {
        self.rows.resize_with(height, || self.layout.gap(self.taken));
    }
}

/// What a rung is compared by.
fn keys(ladder: &Ladder) -> Vec<String> {
    let key = |what: &What| match what {
        What::Segment { client, to_server, notation, .. } => {
            format!("{client} {to_server} {notation}")
        }
        What::Act { act, .. } => format!("-- {act}"),
        What::Folded { .. } => "(folded)".into(),
        What::End => "(end)".into(),
    };
    ladder.rungs.iter().map(|rung| key(&rung.what)).collect()
}
