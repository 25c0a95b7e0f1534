//! A ladder as SVG: text that can be selected, no ids, no script, and colours that a page
//! can change.
//!
//! The colours are CSS variables: `--ladder-ink` (text, lanes of names), `--ladder-faint`
//! (lanes, times), `--ladder-act`, `--ladder-reset`, `--ladder-timer`, `--ladder-mark` (the
//! ground of what is wrong or differs). What they say is said by signs, too.

use std::fmt::Write as _;

use maud::{Markup, PreEscaped, html};

use crate::ladder::layout::{Body, Frame, LadderRow, Layout};
use crate::ladder::rung::{Change, Ladder, Mark, Note};
use crate::ladder::side::Pair;

/// What a page needs once, for all its ladders. [`pair_alone`] brings it along.
pub const STYLE: &str = "\
.ladder{--i:var(--ladder-ink,#1b1f24);--f:var(--ladder-faint,#59636e);\
--a:var(--ladder-act,#0550ae);--r:var(--ladder-reset,#b3261e);--t:var(--ladder-timer,#7a4d00);\
--m:var(--ladder-mark,#ffe8a3)}\
.ladder text{font:12px ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:var(--i);\
white-space:pre}\
.ladder text.f{fill:var(--f)}.ladder text.a{fill:var(--a)}.ladder text.r{fill:var(--r)}\
.ladder text.t{fill:var(--t)}.ladder .h{font-weight:bold}.ladder rect{fill:var(--m)}\
.ladder path{fill:none;stroke:var(--i)}.ladder path.f{stroke:var(--f)}\
.ladder path.r{stroke:var(--r)}\
";

/// In the dark, when no page says otherwise.
const DARK: &str = "@media(prefers-color-scheme:dark){svg.ladder{background:#0d1117;\
--ladder-ink:#e6edf3;--ladder-faint:#9198a1;--ladder-act:#79c0ff;--ladder-reset:#ff8c83;\
--ladder-timer:#e3b341;--ladder-mark:#4b3a00}}";

/// A character's width and a row's height, in pixels.
const CHARACTER: f32 = 7.25;
const ROW: f32 = 22.0;

/// As wide as a text would be.
const COLUMNS: usize = 80;

/// A ladder for a page that has [`STYLE`]. `title` is what readers of the page hear first.
pub fn drawn(ladder: &Ladder, title: &str) -> Markup {
    let layout = Layout::new(ladder, Frame::alone(COLUMNS));
    let (inside, size) = inside(&layout);
    wrapped(title, &description(ladder), &inside, size)
}

/// The outermost element around what is drawn.
fn wrapped(title: &str, description: &str, inside: &Markup, (wide, high): (f32, f32)) -> Markup {
    let (wide, high) = (pixels(wide), pixels(high));
    html! {
        svg class="ladder" xmlns="http://www.w3.org/2000/svg" role="img"
            viewBox={ "0 0 " (wide) " " (high) } width=(wide) height=(high) {
            title { (title) }
            desc { (description) }
            (inside)
        }
    }
}

/// What is drawn, and how wide and high it is in pixels.
fn inside(layout: &Layout) -> (Markup, (f32, f32)) {
    let mut drawing =
        Drawing { layout, lanes: vec![], grounds: vec![], words: vec![], paths: Paths::default() };
    drawing.heading();
    for (index, row) in layout.rows.iter().enumerate() {
        drawing.row(index, row);
    }
    drawing.draw_lanes();
    let height = ROW * (layout.rows.len() + 1) as f32 + 6.0;
    let columns = layout.rows.iter().map(|row| end(layout, row)).max().unwrap_or(0).max(40);
    let Drawing { grounds, words, paths, .. } = drawing;
    let paths = [("f", paths.lanes), ("i", paths.arrows), ("r", paths.resets)];
    let drawn = html! {
        @for Ground { top, width } in grounds {
            rect x="0" y=(pixels(top)) width=(pixels(width)) height=(pixels(ROW)) {}
        }
        @for (class, path) in paths.iter().filter(|(_, path)| !path.is_empty()) {
            path class=(class) d=(path) {}
        }
        @for Words { x, y, class, text } in words {
            text x=(pixels(x)) y=(pixels(y)) class=[class] { (text) }
        }
    };
    (drawn, (columns as f32 * CHARACTER, height))
}

/// What is drawn, in a sentence.
fn description(ladder: &Ladder) -> String {
    let wrong = ladder.rungs.iter().filter(|rung| rung.mark == Mark::Wrong).count();
    let differing = ladder.rungs.iter().filter(|rung| rung.mark == Mark::Differs).count();
    let mut text = format!(
        "Time runs downward through {} lines, between the client and {}.",
        ladder.rungs.len(),
        ladder.columns.join(", "),
    );
    if wrong > 0 {
        text += " The first wrong line is marked by >.";
    }
    if differing > 0 {
        let _ = write!(text, " {differing} lines that differ are marked by *.");
    }
    text
}

/// Two ladders next to each other, the rungs that are on both at the same height, for a
/// page that has [`STYLE`].
pub fn pair(pair: &Pair, title: &str) -> Markup {
    let (drawn, size) = side_by_side(pair);
    wrapped(title, &describe_both(pair), &drawn, size)
}

/// As [`pair`], as a file of its own.
pub fn pair_alone(pair: &Pair, title: &str) -> Markup {
    let (drawn, size) = side_by_side(pair);
    let drawn = html! { style { (PreEscaped(STYLE)) (PreEscaped(DARK)) } (drawn) };
    wrapped(title, &describe_both(pair), &drawn, size)
}

fn describe_both(pair: &Pair) -> String {
    format!("{} {}", description(&pair.left.ladder), description(&pair.right.ladder))
}

/// What is drawn, and how wide and high it is in pixels.
fn side_by_side(pair: &Pair) -> (Markup, (f32, f32)) {
    const TITLE: f32 = 20.0;
    const BETWEEN: f32 = 24.0;
    let frame = Frame::alone(COLUMNS);
    let (left, right) = pair.layouts(frame, frame);
    let ((left, size), (right, other)) = (inside(&left), inside(&right));
    let start = size.0 + BETWEEN;
    let drawn = html! {
        @for (x, side, inside) in [(0.0, &pair.left, left), (start, &pair.right, right)] {
            g transform={ "translate(" (pixels(x)) ")" } {
                text x="7" y="15" class="h" { (side.title) }
                g transform={ "translate(0 " (pixels(TITLE)) ")" } { (inside) }
            }
        }
    };
    (drawn, (start + other.0, TITLE + size.1.max(other.1)))
}

/// How many characters a row takes.
fn end(layout: &Layout, row: &LadderRow) -> usize {
    let words = match &row.body {
        Body::Words { text, .. } => layout.client + 2 + text.chars().count(),
        _ => 0,
    };
    let note = row.note.as_ref().map_or(0, |note| layout.notes + note.text().chars().count());
    let lanes = layout.lanes.last().map_or(0, |(lane, name)| lane + name.chars().count());
    words.max(note).max(lanes) + 1
}

/// Everything that is not text, a path for each colour.
#[derive(Default)]
struct Paths {
    lanes: String,
    arrows: String,
    resets: String,
}

/// Neighbouring rows next to which a lane runs.
struct Run {
    lane: usize,
    from: usize,
    to: usize,
}

struct Drawing<'l> {
    layout: &'l Layout,
    lanes: Vec<Run>,
    grounds: Vec<Ground>,
    words: Vec<Words>,
    paths: Paths,
}

/// The coloured ground of a row that is to be looked at.
struct Ground {
    top: f32,
    width: f32,
}

/// A line of text, from the left edge and the base line on.
struct Words {
    x: f32,
    y: f32,
    class: Option<&'static str>,
    text: String,
}

impl Drawing<'_> {
    fn say(&mut self, x: f32, y: f32, class: impl Into<Option<&'static str>>, text: &str) {
        if !text.is_empty() {
            self.words.push(Words { x, y, class: class.into(), text: text.to_owned() });
        }
    }

    fn heading(&mut self) {
        let layout = self.layout;
        if layout.times {
            self.say(x(layout.names - 8), 15.0, "h", "seconds");
        }
        self.say(x(layout.client), 15.0, "h", &layout.client_heading);
        for (lane, name) in &layout.lanes {
            self.say(x(lane.saturating_sub(name.chars().count() / 2)), 15.0, "h", name);
        }
    }

    fn row(&mut self, index: usize, row: &LadderRow) {
        let layout = self.layout;
        let top = ROW * (index + 1) as f32;
        let base = top + 15.0;
        if row.mark != Mark::None {
            self.grounds.push(Ground { top, width: x(end(layout, row)) });
            self.say(1.0, base, "h", if row.mark == Mark::Wrong { ">" } else { "*" });
        }
        if let Some(time) = row.time.filter(|_| layout.times) {
            self.say(x(1), base, "f", &format!("{:>9.6}", time.as_secs_f64()));
        }
        self.say(x(layout.names), base, None, &row.name);
        let alive = layout.lanes.iter().zip(&row.alive).filter(|(_, alive)| **alive);
        let lanes = alive.map(|((lane, _), _)| *lane).chain([layout.client]);
        for lane in lanes.collect::<Vec<_>>() {
            self.lane(lane, index);
        }
        self.body(row, top, base);
        match &row.note {
            Some(Note::Owner(text)) => self.say(x(layout.notes), base, None, text),
            Some(Note::Timer(text)) => self.say(x(layout.notes), base, "t", text),
            None => {}
        }
    }

    /// Draws a lane next to a row, as one line with the one above.
    fn lane(&mut self, lane: usize, row: usize) {
        let above = self.lanes.iter_mut().find(|run| run.lane == lane && run.to == row);
        match above {
            Some(run) => run.to = row + 1,
            None => self.lanes.push(Run { lane, from: row, to: row + 1 }),
        }
    }

    fn draw_lanes(&mut self) {
        for Run { lane, from, to } in std::mem::take(&mut self.lanes) {
            let (top, long) = (ROW * (from + 1) as f32, ROW * (to - from) as f32);
            let _ = write!(self.paths.lanes, "M{:.1} {top:.0}v{long:.0}", middle(lane));
        }
    }

    fn body(&mut self, row: &LadderRow, top: f32, base: f32) {
        let layout = self.layout;
        match &row.body {
            Body::Arrow { label, to_server, column, dropped, reset } => {
                let lane = if *dropped { layout.lanes[0].0 - 2 } else { layout.lanes[*column].0 };
                let (from, to) = (middle(layout.client), middle(lane));
                let y = top + ROW - 3.0;
                let path = if *reset { &mut self.paths.resets } else { &mut self.paths.arrows };
                let _ = match (*to_server, *dropped) {
                    (true, true) => write!(path, "M{from:.1} {y:.0}H{to:.1}m-3 -3l6 6m-6 0l6-6"),
                    (true, false) => write!(path, "M{from:.1} {y:.0}H{to:.1}m-5-3l5 3-5 3"),
                    (false, _) => write!(path, "M{to:.1} {y:.0}H{from:.1}m5-3l-5 3 5 3"),
                };
                let class = reset.then_some("r");
                let room = middle(layout.lanes[0].0) - from;
                let long = label.chars().count() as f32 * CHARACTER;
                self.say(from + (room - long) / 2.0, base, class, label);
            }
            Body::Words { text, columns, act } => {
                let class = if *act { "a" } else { "f" };
                self.say(x(layout.client + 2), base, class, text);
                for (index, change) in columns {
                    let (at, y) = (middle(layout.lanes[*index].0), top + ROW / 2.0);
                    let path = &mut self.paths.lanes;
                    let _ = match change {
                        Change::Begins => write!(path, "M{at:.1} {y:.0}v11m-4-11h8"),
                        Change::Ends => {
                            write!(path, "M{at:.1} {top:.0}v11m-4-4l8 8m0-8l-8 8")
                        }
                    };
                }
            }
            Body::Nothing => {}
        }
    }
}

/// The left edge of a character.
fn x(column: usize) -> f32 {
    column as f32 * CHARACTER
}

/// The middle of a character.
fn middle(column: usize) -> f32 {
    x(column) + CHARACTER / 2.0
}

/// A length as an attribute has it.
fn pixels(length: f32) -> String {
    format!("{length:.0}")
}
