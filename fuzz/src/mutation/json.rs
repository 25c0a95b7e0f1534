//! Documents in JSON.

use fastrand::Rng;
use serde_json::{Value, json};

use super::list::edge;

/// Stands for what no [`Value`] can be, until the document is text.
const MARK: &str = "\"@fragment@\"";

/// Texts that do something where they are shown.
const TEXTS: [&str; 14] = [
    "",
    "\u{1b}[31m\u{7}",
    "\n::error::x\r\n##[error]y",
    "\u{0}\u{9b}2J\u{202e}\u{fffe}",
    "</script><svg onload=x>",
    "`|`\n```\n</details>",
    "quiz1/v4/on",
    "a/b/c/d/e/f/g/h",
    "1/3, 3/3",
    "-- close(A) --",
    "A > B  S. 1:2(3) ack 4",
    "C > S  S 4294967295:0(4294967295)",
    "ünïcödé 日本語 👩‍👩‍👧‍👦 a\u{301}\u{301}",
    "../../etc/passwd",
];

/// What JSON can be written as, and what it cannot be.
const FRAGMENTS: [&str; 9] = [
    "1e999",
    "-0",
    "18446744073709551616",
    "-9223372036854775809",
    "1.5e-300",
    r#""\ud800""#,
    r#"{"a":1,"a":2}"#,
    "NaN",
    "null null",
];

/// A changed document; nothing if it is none.
pub fn changed(input: &[u8], random: &mut Rng) -> Option<Vec<u8>> {
    if !matches!(input.trim_ascii_start().first(), Some(b'{' | b'[')) {
        return None;
    }
    let mut document: Value = serde_json::from_slice(input).ok()?;
    let nodes = count(&document);
    let (one, other) = (random.usize(..nodes), random.usize(..nodes));
    let copy = node(&mut document, &mut { other })?.clone();
    let there = node(&mut document, &mut { one })?;
    let mut fragment = String::new();
    match random.u8(..10) {
        0 => *there = copy,
        1 => *there = any(random),
        2 => *there = (*random.choice(&TEXTS)?).into(),
        3 | 4 => number(there, random),
        5 => fields(there, random),
        6 => elements(there, random),
        7 => *there = there.as_str().map_or(Value::Null, |text| text.repeat(40).into()),
        8 => {
            *there = "@fragment@".into();
            fragment = (*random.choice(&FRAGMENTS)?).to_owned();
        }
        _ => {
            *there = "@fragment@".into();
            let deep = random.usize(..300);
            fragment = "[".repeat(deep) + &"]".repeat(deep);
        }
    }
    let text = serde_json::to_string(&document).ok()?;
    Some(if fragment.is_empty() { text } else { text.replacen(MARK, &fragment, 1) }.into_bytes())
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(elements) => elements.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum::<usize>(),
        _ => 0,
    }
}

/// The value that has so many before it.
fn node<'v>(value: &'v mut Value, before: &mut usize) -> Option<&'v mut Value> {
    if *before == 0 {
        return Some(value);
    }
    *before -= 1;
    match value {
        Value::Array(elements) => elements.iter_mut().find_map(|each| node(each, before)),
        Value::Object(fields) => fields.values_mut().find_map(|each| node(each, before)),
        _ => None,
    }
}

fn any(random: &mut Rng) -> Value {
    match random.u8(..8) {
        0 => Value::Null,
        1 => random.bool().into(),
        2 => json!([]),
        3 => json!({}),
        4 => (-1.5).into(),
        5 => json!({ "why": "because" }),
        6 => json!(["x", 1]),
        _ => edge(random).into(),
    }
}

fn number(there: &mut Value, random: &mut Rng) {
    *there = match (there.as_u64(), random.u8(..4)) {
        (Some(number), 0) => number.wrapping_add(1).into(),
        (Some(number), 1) => number.wrapping_sub(1).into(),
        (_, 2) => (edge(random) as i64).into(),
        _ => edge(random).into(),
    };
}

/// Removes a field, or gives its value another name.
fn fields(there: &mut Value, random: &mut Rng) {
    let Some(fields) = there.as_object_mut().filter(|fields| !fields.is_empty()) else { return };
    let names: Vec<String> = fields.keys().cloned().collect();
    let Some(value) = random.choice(&names).and_then(|name| fields.remove(name)) else { return };
    if let Some(name) = random.choice(&TEXTS).filter(|_| random.bool()) {
        fields.insert((*name).to_owned(), value);
    }
}

fn elements(there: &mut Value, random: &mut Rng) {
    if let Some(elements) = there.as_array_mut() {
        super::list::reordered(elements, random);
    }
}
