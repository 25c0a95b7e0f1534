//! A ladder as SVG: text that can be selected, no ids, no script, and colours that a page
//! can change.
//!
//! The colours are CSS variables: `--ladder-ink` (text, lanes of names), `--ladder-faint`
//! (lanes, times), `--ladder-act`, `--ladder-reset`, `--ladder-timer`, `--ladder-mark` (the
//! ground of what is wrong or differs). What they say is said by signs, too.

#![allow(dead_code, reason = "drawn by pages")]

use std::fmt::Write as _;

use crate::ladder::layout::{Body, Frame, Layout, Row};
use crate::ladder::rung::{Change, Ladder, Mark, Note};
use crate::ladder::side::Pair;

/// What a page needs once, for all its ladders. An SVG of [`alone`] brings it along.
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
pub fn drawn(ladder: &Ladder, title: &str) -> String {
    svg(ladder, title, "")
}

/// A ladder as a file of its own.
pub fn alone(ladder: &Ladder, title: &str) -> String {
    svg(ladder, title, &own_style())
}

fn svg(ladder: &Ladder, title: &str, style: &str) -> String {
    let layout = Layout::new(ladder, Frame::alone(COLUMNS));
    let (inside, (width, height)) = inside(&layout);
    wrapped(title, &description(ladder), style, &inside, (width, height))
}

/// The outermost element around what is drawn.
fn wrapped(title: &str, desc: &str, style: &str, inside: &str, (wide, high): (f32, f32)) -> String {
    format!(
        "<svg class=\"ladder\" xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" \
         viewBox=\"0 0 {wide:.0} {high:.0}\" width=\"{wide:.0}\" height=\"{high:.0}\">\
         <title>{}</title><desc>{}</desc>{style}{inside}</svg>",
        escaped(title),
        escaped(desc),
    )
}

/// What is drawn, and how wide and high it is in pixels.
fn inside(layout: &Layout) -> (String, (f32, f32)) {
    let mut drawing = Drawing {
        layout,
        lanes: vec![],
        grounds: String::new(),
        text: String::new(),
        paths: Paths::default(),
    };
    drawing.heading();
    for (index, row) in layout.rows.iter().enumerate() {
        drawing.row(index, row);
    }
    drawing.draw_lanes();
    let height = ROW * (layout.rows.len() + 1) as f32 + 6.0;
    let columns = layout.rows.iter().map(|row| end(layout, row)).max().unwrap_or(0).max(40);
    let Drawing { grounds, text, paths, .. } = drawing;
    let mut drawn = grounds;
    for (class, path) in [("f", &paths.lanes), ("i", &paths.arrows), ("r", &paths.resets)] {
        if !path.is_empty() {
            let _ = write!(drawn, "<path class=\"{class}\" d=\"{path}\"/>");
        }
    }
    (drawn + &text, (columns as f32 * CHARACTER, height))
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
pub fn pair(pair: &Pair, title: &str) -> String {
    side_by_side(pair, title, "")
}

/// As [`pair`], as a file of its own.
pub fn pair_alone(pair: &Pair, title: &str) -> String {
    side_by_side(pair, title, &own_style())
}

fn side_by_side(pair: &Pair, title: &str, style: &str) -> String {
    const TITLE: f32 = 20.0;
    const BETWEEN: f32 = 24.0;
    let frame = Frame::alone(COLUMNS);
    let (left, right) = pair.layouts(frame, frame);
    let ((left, size), (right, other)) = (inside(&left), inside(&right));
    let start = size.0 + BETWEEN;
    let mut drawn = String::new();
    for (x, side, inside) in [(0.0, &pair.left, left), (start, &pair.right, right)] {
        let title = escaped(&side.title);
        let _ = write!(
            drawn,
            "<g transform=\"translate({x:.0})\"><text x=\"7\" y=\"15\" class=\"h\">{title}</text>\
             <g transform=\"translate(0 {TITLE:.0})\">{inside}</g></g>"
        );
    }
    let size = (start + other.0, TITLE + size.1.max(other.1));
    let desc = format!("{} {}", description(&pair.left.ladder), description(&pair.right.ladder));
    wrapped(title, &desc, style, &drawn, size)
}

fn own_style() -> String {
    format!("<style>{STYLE}{DARK}</style>")
}

/// How many characters a row takes.
fn end(layout: &Layout, row: &Row) -> usize {
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

/// Neighbouring rows beside which a lane runs.
struct Run {
    lane: usize,
    from: usize,
    to: usize,
}

struct Drawing<'l> {
    layout: &'l Layout,
    lanes: Vec<Run>,
    /// Behind everything else: the grounds of rows that are to be looked at.
    grounds: String,
    text: String,
    paths: Paths,
}

impl Drawing<'_> {
    fn say(&mut self, x: f32, y: f32, class: &str, text: &str) {
        if !text.is_empty() {
            let text = escaped(text);
            let class =
                if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
            let _ = write!(self.text, "<text x=\"{x:.0}\" y=\"{y:.0}\"{class}>{text}</text>");
        }
    }

    fn heading(&mut self) {
        let layout = self.layout;
        if layout.times {
            self.say(x(layout.names - 8), 15.0, "h", "seconds");
        }
        self.say(x(layout.client), 15.0, "h", &layout.client_heading);
        for (lane, name) in &layout.lanes {
            self.say(x(lane - name.chars().count() / 2), 15.0, "h", name);
        }
    }

    fn row(&mut self, index: usize, row: &Row) {
        let layout = self.layout;
        let top = ROW * (index + 1) as f32;
        let base = top + 15.0;
        if row.mark != Mark::None {
            let width = x(end(layout, row));
            let _ = write!(
                self.grounds,
                "<rect x=\"0\" y=\"{top:.0}\" width=\"{width:.0}\" height=\"{ROW:.0}\"/>"
            );
            self.say(1.0, base, "h", if row.mark == Mark::Wrong { ">" } else { "*" });
        }
        if let Some(time) = row.time.filter(|_| layout.times) {
            self.say(x(1), base, "f", &format!("{:>9.6}", time.as_secs_f64()));
        }
        self.say(x(layout.names), base, "", &row.name);
        let alive = layout.lanes.iter().zip(&row.alive).filter(|(_, alive)| **alive);
        let lanes = alive.map(|((lane, _), _)| *lane).chain([layout.client]);
        for lane in lanes.collect::<Vec<_>>() {
            self.lane(lane, index);
        }
        self.body(row, top, base);
        match &row.note {
            Some(Note::Owner(text)) => self.say(x(layout.notes), base, "", text),
            Some(Note::Timer(text)) => self.say(x(layout.notes), base, "t", text),
            None => {}
        }
    }

    /// Draws a lane beside a row, as one line with the one above.
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

    fn body(&mut self, row: &Row, top: f32, base: f32) {
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
                let class = if *reset { "r" } else { "" };
                let room = middle(layout.lanes[0].0) - from;
                let long = label.chars().count() as f32 * CHARACTER;
                self.say(from + (room - long) / 2.0, base, class, label);
            }
            Body::Words { text, column, act } => {
                let class = if *act { "a" } else { "f" };
                self.say(x(layout.client + 2), base, class, text);
                if let Some((index, change)) = column {
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

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
