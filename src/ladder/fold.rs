//! Lines that tell nothing of a case's own connections, taken together.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use harness::lab::SERVER;
use harness::trace::Line;

use crate::ladder::act::act_of;

/// So many acts of the same kind in a row are taken together.
const ALIKE: usize = 5;

/// Neighbouring lines that become one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fold {
    /// The first one's index.
    pub from: usize,
    /// The index behind the last one.
    pub to: usize,
    /// What is said instead.
    pub text: String,
}

/// Which lines are folded. A line whose index is in `wrong` never is.
pub fn folded(lines: &[Line], wrong: &[usize]) -> Vec<Fold> {
    let epilogue = epilogue(lines, wrong);
    let mut folds = Vec::new();
    let mut at = 0;
    while at < epilogue {
        let same = |kind: fn(&Line) -> Option<&str>, at: usize| {
            let first = kind(&lines[at])?;
            let like =
                |index: &usize| kind(&lines[*index]) == Some(first) && !wrong.contains(index);
            Some((at..epilogue).take_while(like).count()).filter(|count| *count > 0)
        };
        if let Some(count) = same(|line| nameless(line).then_some(""), at).filter(|n| *n > 1) {
            let text = segments(&lines[at..at + count]);
            folds.push(Fold { from: at, to: at + count, text });
            at += count;
        } else if let Some(count) = same(verb, at).filter(|count| *count >= ALIKE) {
            let (first, last) = (act(&lines[at]), act(&lines[at + count - 1]));
            let text = format!("{first} to {last}: {count} acts");
            folds.push(Fold { from: at, to: at + count, text });
            at += count;
        } else {
            at += 1;
        }
    }
    if epilogue < lines.len() {
        let text = format!("then: {}", segments(&lines[epilogue..]));
        folds.push(Fold { from: epilogue, to: lines.len(), text });
    }
    folds
}

/// Where the laboratory begins to try whether the listeners are none the worse.
fn epilogue(lines: &[Line], wrong: &[usize]) -> usize {
    let behind_wrong = wrong.iter().max().map_or(0, |last| last + 1).min(lines.len());
    let named_later = |at: usize| {
        lines[at..].iter().any(|line| line.actors.is_some() && !nameless(line) && !fresh(line))
    };
    let begins = |at: &usize| {
        let line = &lines[*at];
        let gate = line.what.starts_with("-- gate closed") || line.what.starts_with("-- listen(");
        let tried = || lines[*at..].iter().any(nameless);
        line.what == "-- a fresh client comes --" || (gate && tried() && !named_later(*at))
    };
    (behind_wrong..lines.len()).find(begins).unwrap_or(lines.len())
}

/// The client of a segment.
fn client(line: &Line) -> Option<&str> {
    let (from, to) = line.actors.as_ref()?;
    Some(if to == SERVER { from } else { to })
}

fn nameless(line: &Line) -> bool {
    client(line).is_some_and(|name| name.parse::<SocketAddr>().is_ok())
}

fn fresh(line: &Line) -> bool {
    client(line) == Some("fresh")
}

fn act(line: &Line) -> &str {
    act_of(line)
}

/// What an act does, without to whom.
fn verb(line: &Line) -> Option<&str> {
    if line.actors.is_some() {
        return None;
    }
    act(line).split_once('(').map(|(verb, _)| verb)
}

/// `13 segments of fresh, C`.
fn segments(lines: &[Line]) -> String {
    let count = lines.iter().filter(|line| line.actors.is_some()).count();
    let acts = lines.len() - count;
    let clients: BTreeSet<&str> = lines.iter().filter_map(client).collect();
    let (named, others): (Vec<&str>, Vec<&str>) =
        clients.into_iter().partition(|name| name.parse::<SocketAddr>().is_err());
    let mut who: Vec<String> = named.into_iter().map(str::to_owned).collect();
    match others.len() {
        0 => {}
        1 => who.push("a client without a name".into()),
        many => who.push(format!("{many} clients without names")),
    }
    let plural = |count: usize, word: &str| match count {
        1 => format!("1 {word}"),
        _ => format!("{count} {word}s"),
    };
    let mut text = plural(count, "segment");
    if !who.is_empty() {
        text = format!("{text} of {}", who.join(", "));
    }
    if acts > 0 {
        text = format!("{text}, {}", plural(acts, "act"));
    }
    text
}
