//! Texts with placeholders: `listen {port};` becomes `listen 80;`.
//!
//! A placeholder is a word in braces without spaces. `{{port}}` stands for `{port}` itself.
//! Other braces, as configurations are full of, are left alone.

use std::collections::{BTreeMap, BTreeSet};

/// What placeholders stand for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names(BTreeMap<String, String>);

impl Names {
    /// Has `name` stand for `value`, whatever it stood for.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// The same, with one more.
    #[must_use]
    pub fn with(&self, name: &str, value: impl Into<String>) -> Self {
        let mut more = self.clone();
        more.set(name, value);
        more
    }

    /// `text` with every placeholder that is known replaced.
    pub fn fill(&self, text: &str) -> String {
        let mut filled = String::with_capacity(text.len());
        for part in parts(text) {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Placeholder { name, written } => {
                    filled.push_str(self.0.get(name).map_or(written, String::as_str));
                }
                Part::Quoted { name, written } if self.0.contains_key(name) => {
                    filled.push_str(&written[1..written.len() - 1]);
                }
                Part::Quoted { written, .. } => filled.push_str(written),
            }
        }
        filled
    }
}

/// The names of all placeholders in `text`.
pub fn placeholders(text: &str) -> BTreeSet<&str> {
    let named = parts(text).into_iter().filter_map(|part| match part {
        Part::Placeholder { name, .. } => Some(name),
        Part::Text(_) | Part::Quoted { .. } => None,
    });
    named.collect()
}

#[derive(Debug, PartialEq, Eq)]
enum Part<'t> {
    Text(&'t str),
    Placeholder { name: &'t str, written: &'t str },
    Quoted { name: &'t str, written: &'t str },
}

fn parts(text: &str) -> Vec<Part<'_>> {
    let (mut parts, mut begin, mut at) = (vec![], 0, 0);
    while let Some(open) = text[at..].find('{').map(|found| at + found) {
        let quoted = text[open..].starts_with("{{");
        let braces = if quoted { 2 } else { 1 };
        let word = &text[open + braces..];
        let length = word.find(|c: char| !is_of_a_name(c)).unwrap_or(word.len());
        let end = open + braces + length;
        if length == 0 || !text[end..].starts_with(&"}}"[..braces]) {
            at = open + 1;
            continue;
        }
        parts.push(Part::Text(&text[begin..open]));
        let (name, written) = (&word[..length], &text[open..end + braces]);
        parts.push(match quoted {
            true => Part::Quoted { name, written },
            false => Part::Placeholder { name, written },
        });
        (begin, at) = (end + braces, end + braces);
    }
    parts.push(Part::Text(&text[begin..]));
    parts
}

fn is_of_a_name(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_'
}

/// Whether a placeholder can be called so.
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(is_of_a_name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("listen {port};", "listen 80;")]
    #[case("{port}{port}", "8080")]
    #[case("events { worker_connections 1; }", "events { worker_connections 1; }")]
    #[case("{}", "{}")]
    #[case("{prot} {port", "{prot} {port")]
    #[case("{{port}} is {port}", "{port} is 80")]
    #[case("{{other}}", "{{other}}")]
    #[case("f\"ready-{worker.pid}\" {{port}", "f\"ready-{worker.pid}\" {80")]
    #[case("{Port}", "{Port}")]
    fn only_known_words_in_braces_are_replaced(#[case] text: &str, #[case] filled: &str) {
        let mut names = Names::default();
        names.set("port", "80");
        assert_eq!(names.fill(text), filled);
    }

    #[test]
    fn what_a_text_wants_to_know_is_listed_without_what_is_quoted() {
        let found = placeholders("{a} { b } {{c}} {d-1} {a}");
        assert_eq!(found, BTreeSet::from(["a", "d-1"]));
    }
}
