//! Lines that say nothing about a case's own connections, taken together.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use harness::lab::SERVER;
use harness::trace::{Act, Line, Part};

/// This many acts of the same kind in a row are taken together.
const ALIKE: usize = 5;

/// What traces call the client that comes last, to see whether the listeners still work.
const FRESH: &str = "fresh";

/// Neighbouring lines that become one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fold {
    /// The first one's index.
    pub from: usize,
    /// The index after the last one.
    pub to: usize,
    /// What is said instead.
    pub text: String,
}

/// Which lines are folded, from the first on. A line whose index is in `wrong` never is.
pub fn folded(lines: &[Line], wrong: &BTreeSet<usize>) -> Vec<Fold> {
    let epilogue = epilogue(lines, wrong);
    let mut folds = Vec::new();
    let mut at = 0;
    while at < epilogue {
        let run = |like: &dyn Fn(&Line) -> bool| {
            let mut lines = (at..epilogue).map(|index| (index, &lines[index]));
            let end = lines.find(|(index, line)| !like(line) || wrong.contains(index));
            end.map_or(epilogue, |(index, _)| index) - at
        };
        let unnamed = run(&nameless);
        let acts = run(&|line| alike(&lines[at], line));
        if unnamed > 1 {
            let text = counted(&lines[at..at + unnamed], "");
            folds.push(Fold { from: at, to: at + unnamed, text });
            at += unnamed;
        } else if acts >= ALIKE {
            let shown = |at: usize| lines[at].act().map_or_else(String::new, ToString::to_string);
            let text = format!("{} to {}: {acts} steps", shown(at), shown(at + acts - 1));
            folds.push(Fold { from: at, to: at + acts, text });
            at += acts;
        } else {
            at += 1;
        }
    }
    if epilogue < lines.len() {
        let text = counted(&lines[epilogue..], "more ");
        folds.push(Fold { from: epilogue, to: lines.len(), text });
    }
    folds
}

/// Where the case is over: the laboratory tries whether the listeners are unaffected, or
/// everything reaches the end of its scope.
fn epilogue(lines: &[Line], wrong: &BTreeSet<usize>) -> usize {
    let after_wrong = wrong.last().map_or(0, |last| last + 1).min(lines.len());
    let after_last = |is: &dyn Fn(&Line) -> bool| lines.iter().rposition(is).map_or(0, |at| at + 1);
    let named = after_last(&|line| line.ends().is_some() && !nameless(line) && !fresh(line));
    let unnamed = after_last(&nameless);
    let at_work = after_last(&|line| !is_at_scope_end(line));
    let begins = |at: &usize| match lines[*at].act() {
        Some(Act::Begin(Part::FreshClient)) => true,
        Some(Act::CloseGate(_) | Act::Listen { .. }) => (named..unnamed).contains(at),
        Some(Act::Close { at_scope_end: true, .. }) => *at >= at_work,
        _ => false,
    };
    (after_wrong..lines.len()).find(begins).unwrap_or(lines.len())
}

/// Whether a line shows that something reaches the end of its scope, or what is sent then.
fn is_at_scope_end(line: &Line) -> bool {
    line.act().is_none_or(|act| matches!(act, Act::Close { at_scope_end: true, .. }))
}

/// The client of a segment.
fn client(line: &Line) -> Option<&str> {
    let (from, to) = line.ends()?;
    Some(if to == SERVER { from } else { to })
}

fn nameless(line: &Line) -> bool {
    client(line).is_some_and(|name| name.parse::<SocketAddr>().is_ok())
}

fn fresh(line: &Line) -> bool {
    client(line) == Some(FRESH)
}

/// Whether two lines are acts of one kind.
fn alike(one: &Line, other: &Line) -> bool {
    match (one.act(), other.act()) {
        (Some(one), Some(other)) => std::mem::discriminant(one) == std::mem::discriminant(other),
        _ => false,
    }
}

/// `13 more packets of C and a second client, 1 more step`, where `more` stands before each of
/// the things that are counted.
fn counted(lines: &[Line], more: &str) -> String {
    let count = lines.iter().filter(|line| line.ends().is_some()).count();
    let steps = lines.len() - count;
    let clients: BTreeSet<&str> = lines.iter().filter_map(client).collect();
    let (named, others): (Vec<&str>, Vec<&str>) =
        clients.into_iter().partition(|name| name.parse::<SocketAddr>().is_err());
    let mut who: Vec<String> = named.into_iter().map(called).collect();
    match others.len() {
        0 => {}
        1 => who.push("a client without a name".into()),
        many => who.push(format!("{many} clients without names")),
    }
    let plural = |count: usize, word: &str| match count {
        1 => format!("1 {more}{word}"),
        _ => format!("{count} {more}{word}s"),
    };
    if count == 0 {
        return plural(steps, "step");
    }
    let who = match who.as_slice() {
        [] => String::new(),
        [one] => format!(" of {one}"),
        [first @ .., last] => format!(" of {} and {last}", first.join(", ")),
    };
    let text = plural(count, "packet") + &who;
    if steps > 0 { format!("{text}, {}", plural(steps, "step")) } else { text }
}

/// A client by its name; the one that a case sends last has none that says what it is.
fn called(client: &str) -> String {
    if client == FRESH { "a second client".into() } else { client.to_owned() }
}
