//! Histories: lines of words, the first of which says what is done.

use fastrand::Rng;

use super::list::{edge, reordered};

/// How each begins.
const HEADING: &str = "sockmig history";

/// Words that stand behind others, in this place or in another.
const WORDS: [&str; 18] = [
    "A",
    "B",
    "Z",
    "C1",
    "C99",
    "C",
    "backlog",
    "defer-accept",
    "fast-open",
    "SHUT_RD",
    "SHUT_WR",
    "net.ipv4.tcp_migrate_req",
    "net.ipv4.tcp_synack_retries",
    "wait",
    "accept",
    "",
    "\u{1b}[31m",
    "#",
];

/// A changed history; nothing if it is none.
pub fn changed(input: &[u8], random: &mut Rng) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(input).ok().filter(|text| text.starts_with(HEADING))?;
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let at = random.usize(..lines.len());
    let mut words: Vec<String> = lines[at].split(' ').map(str::to_owned).collect();
    let word = random.usize(..words.len());
    match random.u8(..8) {
        0 | 1 => reordered(&mut lines, random),
        2 => {
            let other = random.usize(..lines.len());
            lines[at] = lines[other].clone();
        }
        3 => {
            words[word] = edge(random).to_string();
            lines[at] = words.join(" ");
        }
        4 => {
            reordered(&mut words, random);
            lines[at] = words.join(" ");
        }
        5 => {
            words.insert(word, (*random.choice(&WORDS)?).to_owned());
            lines[at] = words.join(" ");
        }
        6 => {
            words[word] = (*random.choice(&WORDS)?).to_owned();
            lines[at] = words.join(" ");
        }
        // As many lines as nobody writes.
        _ => {
            let line = lines[at].clone();
            lines.extend(std::iter::repeat_n(line, random.usize(..2000)));
        }
    }
    Some((lines.join("\n") + "\n").into_bytes())
}
