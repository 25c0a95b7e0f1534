//! Makes a ladder of a trace's lines.

use std::collections::BTreeSet;
use std::time::Duration;

use harness::lab::SERVER;
use harness::trace::{Act, Actor, Kind, Line, Notation};

use crate::ladder::fold::{Fold, folded};
use crate::ladder::owner::{Annotation, Ownership, annotations};
use crate::ladder::rung::{Ladder, Mark, Note, Rung, What};

/// More listeners than this have one column together.
const COLUMNS: usize = 4;

impl Ladder {
    /// The ladder of a trace's lines, those at the indices `wrong` marked; an index after
    /// the last line says that the trace ends too early.
    pub fn new(lines: &[Line], wrong: &[usize]) -> Self {
        let all = annotations(lines);
        let wrong: BTreeSet<usize> = wrong.iter().copied().collect();
        // Numbers below are those of the lines that are drawn.
        let drawn: Vec<usize> =
            (0..lines.len()).filter(|at| is_drawn(&lines[*at]) || wrong.contains(at)).collect();
        let position = |at: &usize| drawn.binary_search(at).ok();
        let mut wrong_drawn: BTreeSet<usize> = wrong.iter().filter_map(position).collect();
        let ends_too_early = wrong.contains(&lines.len());
        if ends_too_early {
            wrong_drawn.insert(drawn.len());
        }
        let shown: Vec<Line> = drawn.iter().map(|at| lines[*at].clone()).collect();
        let annotations: Vec<Annotation> = drawn.iter().map(|at| all[*at].clone()).collect();
        let columns = columns(&shown, &annotations);
        let drawing = Drawing {
            lines: &shown,
            indices: &drawn,
            annotations: &annotations,
            wrong: &wrong_drawn,
            columns,
        };
        let mut rungs = Vec::new();
        let mut at = 0;
        let mut folds = folded(&shown, &wrong_drawn).into_iter().peekable();
        while at < shown.len() {
            match folds.next_if(|fold| fold.from == at) {
                Some(fold) => {
                    rungs.push(drawing.folded(&fold));
                    at = fold.to;
                }
                None => {
                    rungs.push(drawing.rung(at));
                    at += 1;
                }
            }
        }
        if ends_too_early {
            let since_start = lines.last().map_or(Duration::ZERO, |line| line.since_start);
            let (line, notes, mark) = (lines.len(), vec![], Mark::Wrong);
            rungs.push(Rung { since_start, line, what: What::End, notes, mark });
        }
        Self { columns: drawing.columns, rungs }
    }
}

/// Whether a line is drawn. An act is not if the segments that it sends show it, or if it only
/// looks at what is there.
fn is_drawn(line: &Line) -> bool {
    let Some(act) = line.act() else { return true };
    match act {
        Act::Connect { .. }
        | Act::BeginWaiting { .. }
        | Act::ReadCounters { .. }
        | Act::ReadQueue { .. }
        | Act::ReadSockets { .. }
        | Act::ReadWaiter { .. }
        | Act::OpenMultipath { .. }
        | Act::Receive { .. }
        | Act::Send { .. }
        | Act::SendSegment { .. } => false,
        Act::Close { socket: Actor::Client(_) | Actor::Child(_), at_scope_end, .. } => {
            !at_scope_end
        }
        Act::CloseUnixSockets { closes } => !closes.is_empty(),
        Act::Accept { .. }
        | Act::LimitSubflows { .. }
        | Act::Attach { .. }
        | Act::Begin(_)
        | Act::BeginCall { .. }
        | Act::Bind { .. }
        | Act::ClearEntry { .. }
        | Act::Close { socket: Actor::Listener(_) | Actor::Datagram(_), .. }
        | Act::CloseGate(_)
        | Act::Continue { .. }
        | Act::Destroy(_)
        | Act::Disconnect { .. }
        | Act::Duplicate { .. }
        | Act::EndProcess { .. }
        | Act::EndCall { .. }
        | Act::Exec { .. }
        | Act::GiveTo { .. }
        | Act::Kill { .. }
        | Act::Listen { .. }
        | Act::OpenAs { .. }
        | Act::OpenGate
        | Act::ReadMemory { .. }
        | Act::ReceiveDescriptors { .. }
        | Act::RefuseMemory { .. }
        | Act::SelectByHash { .. }
        | Act::SelectIndex { .. }
        | Act::SendDescriptors { .. }
        | Act::Serve { .. }
        | Act::SetEntry { .. }
        | Act::SetOption { .. }
        | Act::Shutdown { .. }
        | Act::StartProcess { .. }
        | Act::Stop { .. }
        | Act::Sysctl { .. }
        | Act::Unrecorded { .. }
        | Act::Wait { .. }
        | Act::Words(_)
        | Act::Later { .. } => true,
    }
}

/// The columns that the lines outside of folds need.
fn columns(lines: &[Line], annotations: &[Annotation]) -> Vec<String> {
    let mut hidden = vec![false; lines.len()];
    for fold in folded(lines, &BTreeSet::new()) {
        hidden[fold.from..fold.to].fill(true);
    }
    let shown = || (0..lines.len()).filter(|at| !hidden[*at]);
    let mut listeners: Vec<String> = Vec::new();
    for at in shown() {
        let annotation = &annotations[at];
        let changed = annotation.changes.iter().map(|(listener, _)| listener);
        let named = annotation.column.iter().chain(changed);
        for listener in named {
            // One more than there are columns for is as good as a thousand.
            if listeners.len() <= COLUMNS && !listeners.contains(listener) {
                listeners.push(listener.clone());
            }
        }
    }
    let ownerless = |at: usize| lines[at].ends().is_some() && annotations[at].column.is_none();
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
    /// The index of each in the whole trace.
    indices: &'l [usize],
    annotations: &'l [Annotation],
    wrong: &'l BTreeSet<usize>,
    columns: Vec<String>,
}

impl Drawing<'_> {
    fn column(&self, listener: &str) -> Option<usize> {
        self.columns.iter().position(|column| column == listener)
    }

    fn rung(&self, at: usize) -> Rung {
        let (line, annotation) = (&self.lines[at], &self.annotations[at]);
        let what = match &line.kind {
            Kind::Act { act, refused } => What::Act {
                act: match refused {
                    None => act.to_string(),
                    Some(errno) => format!("{act}: {errno}"),
                },
                columns: annotation
                    .changes
                    .iter()
                    .filter_map(|(listener, change)| Some((self.column(listener)?, *change)))
                    .collect(),
            },
            Kind::Segment { from, to } => {
                let to_server = to == SERVER;
                let client = if to_server { from } else { to }.clone();
                What::Segment {
                    client,
                    to_server,
                    notation: Notation::text_of(&line.what).to_owned(),
                    detail: line.detail.clone(),
                    column: annotation
                        .column
                        .as_ref()
                        .and_then(|name| self.column(name))
                        .unwrap_or(0),
                    dropped: annotation.dropped,
                }
            }
        };
        let timer = annotation.timer.clone().map(Note::Timer);
        Rung {
            since_start: line.since_start,
            line: self.indices[at],
            what,
            notes: timer.into_iter().chain(owners(annotation)).collect(),
            mark: if self.wrong.contains(&at) { Mark::Wrong } else { Mark::None },
        }
    }

    fn folded(&self, fold: &Fold) -> Rung {
        Rung {
            since_start: self.lines[fold.from].since_start,
            line: self.indices[fold.from],
            what: What::Folded { text: fold.text.clone() },
            notes: vec![],
            mark: Mark::None,
        }
    }
}

/// Which listeners have connections from here on, in words; those that are alike together.
fn owners(annotation: &Annotation) -> Vec<Note> {
    let mut alike: Vec<(Vec<&str>, &Option<Ownership>)> = Vec::new();
    for (client, ownership) in &annotation.owners {
        match alike.iter_mut().find(|(_, other)| *other == ownership) {
            Some((clients, _)) => clients.push(client),
            None => alike.push((vec![client], ownership)),
        }
    }
    let words = alike.into_iter().map(|(clients, ownership)| {
        let whose = ownership.as_ref().map_or_else(|| "gone".into(), ToString::to_string);
        Note::Owner(format!("{}: {whose}", clients.join(", ")))
    });
    words.collect()
}
