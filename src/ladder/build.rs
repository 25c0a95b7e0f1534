//! Makes a ladder of a trace's lines.

use std::time::Duration;

use harness::lab::SERVER;
use harness::trace::Line;

use crate::ladder::act::act_of;
use crate::ladder::fold::{Fold, folded};
use crate::ladder::notation::Notation;
use crate::ladder::owner::{Tenure, Told, told};
use crate::ladder::rung::{Ladder, Mark, Note, Rung, What};

/// More listeners than this have one column together.
const COLUMNS: usize = 4;

impl Ladder {
    /// The ladder of a trace's lines, those at the indices `wrong` marked; an index after
    /// the last line says that the trace ends too early.
    pub fn new(lines: &[Line], wrong: &[usize]) -> Self {
        let told = told(lines);
        let mut drawing = Drawing { lines, told: &told, wrong, columns: columns(lines, &told) };
        let mut rungs = Vec::new();
        let mut at = 0;
        let folds = folded(lines, wrong);
        while at < lines.len() {
            match folds.iter().find(|fold| fold.from == at) {
                Some(fold) => {
                    rungs.push(drawing.folded(fold));
                    at = fold.to;
                }
                None => {
                    rungs.push(drawing.rung(at));
                    at += 1;
                }
            }
        }
        if wrong.contains(&lines.len()) {
            let since_start = lines.last().map_or(Duration::ZERO, |line| line.since_start);
            let (line, notes, mark) = (lines.len(), vec![], Mark::Wrong);
            rungs.push(Rung { since_start, line, what: What::End, notes, mark });
        }
        Self { columns: drawing.columns, rungs }
    }
}

/// The columns that the lines outside of folds need.
fn columns(lines: &[Line], told: &[Told]) -> Vec<String> {
    let folds = folded(lines, &[]);
    let hidden = |at: &usize| folds.iter().any(|fold| (fold.from..fold.to).contains(at));
    let shown = || (0..lines.len()).filter(|at| !hidden(at));
    let mut listeners: Vec<String> = Vec::new();
    for at in shown() {
        let told = &told[at];
        let named = told.column.iter().chain(told.change.as_ref().map(|(listener, _)| listener));
        for listener in named {
            if !listeners.contains(listener) {
                listeners.push(listener.clone());
            }
        }
    }
    let ownerless = |at: usize| lines[at].actors.is_some() && told[at].column.is_none();
    if listeners.len() > COLUMNS {
        return vec![SERVER.into()];
    }
    if shown().any(ownerless) || listeners.is_empty() {
        listeners.insert(0, SERVER.into());
    }
    listeners
}

struct Drawing<'l> {
    lines: &'l [Line],
    told: &'l [Told],
    wrong: &'l [usize],
    columns: Vec<String>,
}

impl Drawing<'_> {
    fn column(&self, listener: &str) -> Option<usize> {
        self.columns.iter().position(|column| column == listener)
    }

    fn rung(&self, at: usize) -> Rung {
        let (line, told) = (&self.lines[at], &self.told[at]);
        let what = match &line.actors {
            None => What::Act {
                act: act_of(line).to_owned(),
                column: told.change.as_ref().and_then(|(listener, change)| {
                    self.column(listener).map(|column| (column, *change))
                }),
            },
            Some((from, to)) => {
                let to_server = to == SERVER;
                let client = if to_server { from } else { to }.clone();
                What::Segment {
                    client,
                    to_server,
                    notation: Notation::text_of(&line.what).to_owned(),
                    detail: line.detail.clone(),
                    column: told.column.as_ref().and_then(|name| self.column(name)).unwrap_or(0),
                    dropped: told.dropped,
                }
            }
        };
        let timer = told.timer.clone().map(Note::Timer);
        Rung {
            since_start: line.since_start,
            line: at,
            what,
            notes: timer.into_iter().chain(owners(told)).collect(),
            mark: if self.wrong.contains(&at) { Mark::Wrong } else { Mark::None },
        }
    }

    fn folded(&mut self, fold: &Fold) -> Rung {
        Rung {
            since_start: self.lines[fold.from].since_start,
            line: fold.from,
            what: What::Folded { text: fold.text.clone() },
            notes: vec![],
            mark: Mark::None,
        }
    }
}

/// Whose connections are from here on, in words; those that have become alike together.
fn owners(told: &Told) -> Vec<Note> {
    let mut alike: Vec<(Vec<&str>, &Option<Tenure>)> = Vec::new();
    for (client, tenure) in &told.owners {
        match alike.iter_mut().find(|(_, other)| *other == tenure) {
            Some((clients, _)) => clients.push(client),
            None => alike.push((vec![client], tenure)),
        }
    }
    let words = alike.into_iter().map(|(clients, tenure)| {
        let whose = tenure.as_ref().map_or_else(|| "gone".into(), ToString::to_string);
        Note::Owner(format!("{}: {whose}", clients.join(", ")))
    });
    words.collect()
}
