//! Where everything of a ladder stands, in columns and rows of characters.

use std::collections::BTreeSet;
use std::time::Duration;

use harness::trace::Notation;
use scenarios::report::wrap;

use crate::ladder::rung::{Change, Ladder, Mark, Note, Rung, What};

/// A mark, seconds with six decimals, and a space.
const TIME_COLUMNS: usize = 11;

/// A mark and a space.
const MARK_COLUMNS: usize = 2;

/// A longer name of a client is cut.
const NAME_COLUMNS: usize = 8;

/// Between the client and the first listener, next to the notation: an arrow's ends.
const ARROW_COLUMNS: usize = 8;
/// And at least this, for `-- accept(B): C's connection --`.
const LEAST_GAP: usize = 34;
/// Or this, where words are broken: in a frame of fewer than [`ROOMY`] characters.
const NARROW_GAP: usize = 26;
/// See [`NARROW_GAP`].
const ROOMY: usize = 66;

/// Notes that have less room than this stand below their rung.
const NOTE_COLUMNS: usize = 14;

/// How much room there is for a ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// In characters.
    pub width: usize,
    /// Next to another one, so narrow that there is no room for times.
    pub narrow: bool,
}

impl Frame {
    /// For one that has `width` characters to itself.
    pub fn alone(width: usize) -> Self {
        Self { width, narrow: false }
    }
}

/// What words in a row are about.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Says {
    /// What the laboratory did, and which columns begin or end by it.
    Act(Vec<(usize, Change)>),
    /// Something about the trace itself.
    Remark,
}

/// A ladder's place for everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// How wide the whole is, in characters.
    pub width: usize,
    /// Times are shown.
    pub times: bool,
    /// Where the clients' names begin.
    pub names: usize,
    /// The client's lane.
    pub client: usize,
    /// The heading of the client's lane: its name, or `client` if there are several.
    pub client_heading: String,
    /// The lanes of the server's columns, and their headings.
    pub lanes: Vec<(usize, String)>,
    /// Where notes begin.
    pub notes: usize,
    /// From top to bottom.
    pub rows: Vec<LadderRow>,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LadderRow {
    /// The index of its rung.
    pub rung: usize,
    /// Why it is to be looked at.
    pub mark: Mark,
    /// Since the trace's first event; nothing in a row that goes on with the one above.
    pub time: Option<Duration>,
    /// The client, where there are several.
    pub name: String,
    /// What stands between the lanes.
    pub body: Body,
    /// Which of the server's columns have a lane here.
    pub alive: Vec<bool>,
    /// What stands next to it.
    pub note: Option<Note>,
}

/// What stands between the lanes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// A segment.
    Arrow {
        /// Its notation.
        label: String,
        /// Sent by the client.
        to_server: bool,
        /// Index of the server's column.
        column: usize,
        /// It does not arrive.
        dropped: bool,
        /// RST is set.
        reset: bool,
    },
    /// Words: an act, or what was folded.
    Words {
        /// They.
        text: String,
        /// The columns that begin or end here.
        columns: Vec<(usize, Change)>,
        /// An act of the laboratory's.
        act: bool,
    },
    /// Lanes alone.
    Nothing,
}

impl Layout {
    /// Lays a ladder out in a frame, if only its arrows fit into it.
    pub fn new(ladder: &Ladder, Frame { width, narrow }: Frame) -> Self {
        let (mut clients, mut longest) = (BTreeSet::new(), 0);
        for rung in &ladder.rungs {
            if let What::Segment { client, notation, .. } = &rung.what {
                longest = longest.max(notation.chars().count());
                clients.insert(client);
            }
        }
        let name = |client: &&String| client.chars().count().min(NAME_COLUMNS);
        let names = match clients.len() {
            0 | 1 => 0,
            _ => clients.iter().map(name).max().unwrap_or(0) + 1,
        };
        let before = if narrow { MARK_COLUMNS } else { TIME_COLUMNS };
        let client = before + names;
        let least = if narrow && width < ROOMY { NARROW_GAP } else { LEAST_GAP };
        let gap = least.max(longest + ARROW_COLUMNS);
        let step = ladder.columns.iter().map(|name| name.chars().count()).max().unwrap_or(0) + 2;
        let lane = |index: usize| client + gap + index * step.max(4);
        let lanes: Vec<(usize, String)> =
            ladder.columns.iter().enumerate().map(|(i, name)| (lane(i), name.clone())).collect();
        let client_heading = match (clients.len(), clients.first()) {
            (1, Some(only)) => (*only).clone(),
            (0, _) | (_, None) => String::new(),
            _ => "client".into(),
        };
        let after_lanes =
            lanes.last().map_or(client, |(at, name)| at + name.chars().count() / 2) + 3;
        let at_the_side = after_lanes + NOTE_COLUMNS <= width;
        let notes = if at_the_side { after_lanes } else { client + 3 };
        let mut layout = Self {
            width,
            times: !narrow,
            names: before,
            client,
            client_heading,
            lanes,
            notes,
            rows: vec![],
        };
        let mut alive: Vec<bool> = begin_alive(ladder);
        for (index, rung) in ladder.rungs.iter().enumerate() {
            layout.add(index, rung, &mut alive, (names > 0, at_the_side));
        }
        layout
    }

    /// Adds a rung's rows, with the client's `name`, and the first note `next to`, if there is
    /// to be one.
    fn add(
        &mut self,
        index: usize,
        rung: &Rung,
        alive: &mut [bool],
        (named, at_the_side): (bool, bool),
    ) {
        let mut row = LadderRow {
            rung: index,
            mark: rung.mark,
            time: Some(rung.since_start),
            name: String::new(),
            body: Body::Nothing,
            alive: alive.to_vec(),
            note: None,
        };
        let mut more = Vec::new();
        match &rung.what {
            What::Segment { client, to_server, notation, column, dropped, .. } => {
                if named {
                    row.name = client.chars().take(NAME_COLUMNS).collect();
                }
                row.body = Body::Arrow {
                    label: notation.clone(),
                    to_server: *to_server,
                    column: *column,
                    dropped: *dropped,
                    reset: Notation::of(notation).is_some_and(|segment| segment.flags.rst()),
                };
            }
            What::Act { act, columns } => {
                for (index, change) in columns {
                    alive[*index] = *change == Change::Begins;
                    row.alive[*index] = false;
                }
                let at_the_side = at_the_side && !rung.notes.is_empty();
                let text = format!("-- {act} --");
                more = self.words(
                    &mut row,
                    &text,
                    self.room(columns, at_the_side),
                    Says::Act(columns.clone()),
                );
            }
            What::Folded { text } => {
                more = self.words(&mut row, &format!("({text})"), self.width, Says::Remark);
            }
            What::End => {
                more = self.words(&mut row, "(the trace ends here)", self.width, Says::Remark);
            }
        }
        let below =
            LadderRow { time: None, body: Body::Nothing, name: String::new(), ..row.clone() };
        let below = LadderRow { alive: alive.to_vec(), note: None, ..below };
        let mut notes = self.wrapped(&rung.notes).into_iter();
        if at_the_side {
            row.note = notes.next();
        }
        self.rows.push(row);
        for line in more {
            let body = Body::Words {
                text: line,
                columns: vec![],
                act: matches!(rung.what, What::Act { .. }),
            };
            self.rows.push(LadderRow { body, ..below.clone() });
        }
        self.rows.extend(notes.map(|note| LadderRow { note: Some(note), ..below.clone() }));
    }

    /// Whether every lane is within the frame.
    pub fn fits(&self) -> bool {
        self.lanes.last().is_none_or(|(lane, name)| lane + name.chars().count() < self.width)
    }

    /// A row of lanes alone, to stand above the row at `index`.
    pub fn gap(&self, index: usize) -> LadderRow {
        let below = self.rows.get(index).or(self.rows.last());
        let above = index.checked_sub(1).and_then(|above| self.rows.get(above));
        let columns = self.lanes.len();
        // A lane runs on if it is there on both sides.
        let there = |row: Option<&LadderRow>, lane: usize| row.is_some_and(|row| row.alive[lane]);
        LadderRow {
            rung: below.map_or(0, |row| row.rung),
            mark: Mark::None,
            time: None,
            name: String::new(),
            body: Body::Nothing,
            alive: (0..columns).map(|lane| there(above, lane) && there(below, lane)).collect(),
            note: None,
        }
    }

    /// Where words have to end: before the first column that changes, and before a note.
    fn room(&self, columns: &[(usize, Change)], at_the_side: bool) -> usize {
        let lanes = columns.iter().map(|(index, _)| self.lanes[*index].0 - 1);
        let lane = lanes.min().unwrap_or(self.width);
        if at_the_side { lane.min(self.notes - 1) } else { lane }
    }

    /// Puts words that end at the column `to` into a row, and says which lines of them have
    /// to follow it.
    fn words(&self, row: &mut LadderRow, text: &str, to: usize, says: Says) -> Vec<String> {
        let mut lines = wrap(text, to.saturating_sub(self.client + 2).max(1)).into_iter();
        let text = lines.next().unwrap_or_default();
        row.body = match says {
            Says::Act(columns) => Body::Words { text, columns, act: true },
            Says::Remark => Body::Words { text, columns: vec![], act: false },
        };
        lines.collect()
    }

    fn wrapped(&self, notes: &[Note]) -> Vec<Note> {
        let room = self.width.saturating_sub(self.notes).max(NOTE_COLUMNS);
        let lines = notes.iter().flat_map(|note| {
            wrap(note.text(), room).into_iter().map(|line| match note {
                Note::Owner(_) => Note::Owner(line),
                Note::Timer(_) => Note::Timer(line),
            })
        });
        lines.collect()
    }
}

/// Columns that no rung begins are there from the start.
fn begin_alive(ladder: &Ladder) -> Vec<bool> {
    let begins = |index: usize| {
        ladder.rungs.iter().find_map(|rung| match &rung.what {
            What::Act { columns, .. } => {
                let change = columns.iter().find(|(column, _)| *column == index);
                change.map(|(_, change)| *change == Change::Begins)
            }
            _ => None,
        })
    };
    (0..ladder.columns.len()).map(|index| !begins(index).unwrap_or(false)).collect()
}
