//! Texts of lines, as TOML has them: `key = value` under `[table]`.

use fastrand::Rng;

use super::bytes;
use super::list::{edge, reordered};

/// What can stand on the right of `=`, in TOML or not.
const VALUES: [&str; 24] = [
    "\"\"",
    "[]",
    "{}",
    "true",
    "false",
    "-1",
    "0",
    "4294967296",
    "9223372036854775808",
    "1.5",
    "nan",
    "1979-05-27T07:32:00Z",
    "0x7fffffffffffffff",
    "\"\\u0000\\u001b[31m\"",
    "'''\n'''",
    "[[[[[[[[[[1]]]]]]]]]]",
    "{ a = { b = { c = 1 } } }",
    "[\"{port}\", \"{{port}}\", \"{\", \"{}\", \"{nothing}\"]",
    "\"SIGKILL\"",
    "\"{directory}/../../x\"",
    "{ from = 9, to = 0 }",
    "\"6.12.86\"",
    "\"CVE-2026-\"",
    "\"ünïcödé 日本語\"",
];

/// Lines of their own.
const LINES: [&str; 10] = [
    "[start]",
    "[[bug]]",
    "[[bug.case]]",
    "[reload.values]",
    "[values]",
    "[a.b.c.d.e.f]",
    "\"\" = 1",
    "x = \"\"\"",
    "\u{feff}",
    "#\u{1}",
];

/// A changed text; nothing if it is none.
pub fn changed(input: &[u8], random: &mut Rng) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(input).ok().filter(|text| text.contains('='))?;
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let (one, other) = (random.usize(..lines.len()), random.usize(..lines.len()));
    let value_of = |line: &str| line.split_once('=').map(|(_, value)| value.trim().to_owned());
    let (theirs, own) = (value_of(&lines[other]), value_of(&lines[one]));
    match random.u8(..8) {
        0 => reordered(&mut lines, random),
        1 => lines.insert(one, (*random.choice(&LINES)?).to_owned()),
        2 => lines[one] = lines[other].clone(),
        3 => set(&mut lines[one], &theirs?),
        4 => set(&mut lines[one], &edge(random).to_string()),
        5 => set(&mut lines[one], &format!("[{}]", own?)),
        6 => return Some(bytes::changed(input, random)),
        _ => set(&mut lines[one], random.choice(&VALUES)?),
    }
    Some((lines.join(if random.u8(..16) == 0 { "\r\n" } else { "\n" }) + "\n").into_bytes())
}

fn set(line: &mut String, value: &str) {
    if let Some((key, _)) = line.split_once('=') {
        *line = format!("{}= {value}", key.to_owned());
    }
}
