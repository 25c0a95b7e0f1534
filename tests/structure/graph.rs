//! Circles among arrows.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::tree::Arrow;

/// Files that all lead to each other, and the shortest way round.
#[derive(Debug, PartialEq, Eq)]
pub struct Circle {
    /// Every file from which there is a way back to itself through the others.
    pub files: BTreeSet<String>,
    /// The arrows of one circle, one after the other.
    pub shortest: Vec<Arrow>,
}

/// The circles, each with all files that it is entangled with.
pub fn circles(arrows: &[Arrow]) -> Vec<Circle> {
    let mut from: BTreeMap<&str, Vec<&Arrow>> = BTreeMap::new();
    for arrow in arrows {
        from.entry(&arrow.from).or_default().push(arrow);
    }
    let mut left: BTreeSet<&str> = from.keys().copied().collect();
    let mut found = Vec::new();
    while let Some(start) = left.pop_first() {
        let there = reached(&from, start);
        let files: BTreeSet<String> = there
            .iter()
            .filter(|file| reached(&from, file).contains(start))
            .map(|file| (*file).to_owned())
            .collect();
        left.retain(|file| !files.contains(*file));
        let ways = files.iter().filter_map(|file| way_round(&from, file));
        if let Some(shortest) = ways.min_by_key(Vec::len) {
            found.push(Circle { files, shortest });
        }
    }
    found
}

fn reached<'a>(from: &BTreeMap<&'a str, Vec<&'a Arrow>>, start: &str) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    let mut next = vec![start];
    while let Some(file) = next.pop() {
        for arrow in from.get(file).into_iter().flatten() {
            if seen.insert(arrow.to.as_str()) {
                next.push(&arrow.to);
            }
        }
    }
    seen
}

fn way_round(from: &BTreeMap<&str, Vec<&Arrow>>, start: &str) -> Option<Vec<Arrow>> {
    let mut ways = VecDeque::from([(start, Vec::new())]);
    let mut seen = BTreeSet::new();
    while let Some((file, way)) = ways.pop_front() {
        for arrow in from.get(file).into_iter().flatten() {
            let mut further = way.clone();
            further.push((*arrow).clone());
            if arrow.to == start {
                return Some(further);
            }
            if seen.insert(&arrow.to) {
                ways.push_back((&arrow.to, further));
            }
        }
    }
    None
}

/// An order of `rooms` in which no arrow runs back but those of circles. What can stay where
/// it is among `rooms` stays.
pub fn an_order(rooms: &[String], arrows: &BTreeSet<(String, String)>) -> Vec<String> {
    let mut left: Vec<&String> = rooms.iter().collect();
    let mut order = Vec::new();
    while !left.is_empty() {
        let leads = |from: &String, to: &String| below(from, &left, arrows).contains(to);
        let is_first =
            |room: &String| left.iter().all(|other| !leads(other, room) || leads(room, other));
        let at = left.iter().position(|room| is_first(room)).unwrap_or_default();
        order.push(left.remove(at).clone());
    }
    order
}

/// The rooms among those left to which arrows lead from `start`.
fn below<'a>(
    start: &String,
    left: &[&String],
    arrows: &'a BTreeSet<(String, String)>,
) -> BTreeSet<&'a String> {
    let mut seen = BTreeSet::new();
    let mut next = vec![start];
    while let Some(room) = next.pop() {
        for (_, to) in arrows.iter().filter(|(from, to)| from == room && left.contains(&to)) {
            if seen.insert(to) {
                next.push(to);
            }
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrow(from: &str, to: &str) -> Arrow {
        Arrow { from: from.into(), to: to.into(), because: String::new() }
    }

    #[test]
    fn circles_are_found_with_what_they_are_entangled_with() {
        let arrows = [
            arrow("a", "b"),
            arrow("b", "c"),
            arrow("c", "d"),
            arrow("d", "b"),
            arrow("d", "c"),
            arrow("d", "e"),
        ];
        let found = circles(&arrows);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].files, ["b", "c", "d"].map(str::to_owned).into());
        assert_eq!(found[0].shortest, [arrow("c", "d"), arrow("d", "c")]);
    }

    #[test]
    fn an_order_has_no_arrow_back_where_there_is_no_circle() {
        let rooms = ["c", "b", "a"].map(str::to_owned);
        let arrows = [("a", "b"), ("b", "c")].map(|(from, to)| (from.into(), to.into()));
        assert_eq!(an_order(&rooms, &arrows.into()), ["a", "b", "c"]);
        let apart = ["c", "d", "b", "a"].map(str::to_owned);
        let back = [("a", "b"), ("b", "c"), ("c", "b")];
        let arrows = back.map(|(from, to)| (from.into(), to.into()));
        assert_eq!(an_order(&apart, &arrows.into()), ["d", "a", "c", "b"]);
    }
}
