//! What ladders conclude from acts, held against what the kernel showed: in a run of every
//! case, no lane lives longer than its listener, and every accepted connection had an owner.

use std::collections::{BTreeMap, BTreeSet};

use harness::PORT;
use harness::trace::{Accepted, Act, Actor, Line};
use sockmig::ladder::owner::{Annotation, annotations};
use sockmig::ladder::rung::{Change, Ladder, What};

use crate::documents::{self, Case};

impl Case {
    fn annotated(&self) -> Vec<(&Line, Annotation)> {
        self.trace.iter().zip(annotations(&self.trace)).collect()
    }
}

pub fn as_the_kernel_showed() {
    let mut cases: Vec<&Case> = documents::traces().iter().collect();
    cases.retain(|case| !case.trace.is_empty());
    assert!(cases.len() > 900, "{} cases ran", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        let of = |found: Vec<String>| found.into_iter().map(|what| format!("{}: {what}", case.id));
        wrong.extend(of(lanes_that_live_too_long(case)));
        wrong.extend(of(lanes_that_end_elsewhere(case)));
        wrong.extend(of(accepted_without_owner(case)));
        wrong.extend(of(other_listeners_than_the_kernel_has(case)));
    }
    assert!(
        wrong.is_empty(),
        "{} in all:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(40)].join("\n")
    );
}

/// When a case is over, every descriptor is closed and every process has ended.
fn lanes_that_live_too_long(case: &Case) -> Vec<String> {
    let mut live = BTreeSet::new();
    for (_, annotation) in case.annotated() {
        follow(&mut live, &annotation);
    }
    live.into_iter().map(|listener| format!("{listener}'s lane is alive at the end")).collect()
}

fn follow(live: &mut BTreeSet<String>, annotation: &Annotation) {
    for (listener, change) in &annotation.changes {
        match change {
            Change::Begins => live.insert(listener.clone()),
            Change::Ends => live.remove(listener),
        };
    }
}

/// What a ladder draws is what was concluded: at the act itself, in the listener's column.
fn lanes_that_end_elsewhere(case: &Case) -> Vec<String> {
    let ladder = Ladder::new(&case.trace, &[]);
    let annotated = case.annotated();
    let mut wrong = Vec::new();
    for rung in &ladder.rungs {
        let What::Act { columns, .. } = &rung.what else { continue };
        let drawn: BTreeSet<(String, bool)> = columns
            .iter()
            .map(|(at, change)| (ladder.columns[*at].clone(), *change == Change::Begins))
            .collect();
        let concluded: BTreeSet<(String, bool)> = annotated[rung.line]
            .1
            .changes
            .iter()
            .filter(|(listener, _)| ladder.columns.contains(listener))
            .map(|(listener, change)| (listener.clone(), *change == Change::Begins))
            .collect();
        if drawn != concluded {
            wrong.push(format!("line {} draws {drawn:?}, not {concluded:?}", rung.line));
        }
    }
    wrong
}

/// Who accepts a connection has had it before, unless no listener keeps anything of it: then
/// its handshake was by cookie.
fn accepted_without_owner(case: &Case) -> Vec<String> {
    let mut owners: BTreeMap<String, Option<String>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (line, annotation) in case.annotated() {
        if let Some(Act::Accept { listener, got: Accepted::Connection(client) }) = line.done() {
            match owners.get(client) {
                Some(Some(owner)) if owner.contains(listener.as_str()) => {}
                Some(Some(owner)) if owner.contains("somebody") => {}
                // A client without a name, or one of many that have the same.
                _ if client.contains(':') || client == "a client" => {}
                other => wrong.push(format!("{listener} accepts {client}, which is {other:?}")),
            }
        }
        for (client, owner) in &annotation.owners {
            owners.insert(client.clone(), owner.as_ref().map(ToString::to_string));
        }
    }
    wrong
}

/// The kernel's own table of sockets has as many listeners as there are lanes.
fn other_listeners_than_the_kernel_has(case: &Case) -> Vec<String> {
    let mut live = BTreeSet::new();
    let mut at_other_ports = BTreeSet::new();
    let mut wrong = Vec::new();
    for (line, annotation) in case.annotated() {
        follow(&mut live, &annotation);
        match line.done() {
            Some(Act::Bind { socket: Actor::Listener(name), to }) if to.port() != PORT => {
                at_other_ports.insert(name.clone());
            }
            Some(Act::ReadSockets { listeners }) => {
                let lanes: Vec<_> = live.difference(&at_other_ports).collect();
                if lanes.len() != *listeners {
                    wrong.push(format!("{listeners} listeners, and the lanes of {lanes:?}"));
                }
            }
            _ => {}
        }
    }
    wrong
}
