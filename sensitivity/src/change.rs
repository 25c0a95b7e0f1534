//! A wrong line: what of a source is replaced, and by what.

use std::fmt;
use std::ops::Range;

use crate::digest::digest;
use crate::operator::Operator;

/// How a change came to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Somebody wrote it down, with a name.
    Named(String),
    /// One of the operators made it.
    Systematic(Operator),
}

/// Some text of a source, and what stands there instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// Bytes of the source.
    pub range: Range<usize>,
    /// What replaces them.
    pub with: String,
}

/// A change of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The file, from the source's root.
    pub file: String,
    /// The function in which it stands; the first of them.
    pub function: String,
    /// The line in which it begins, from 1.
    pub line: usize,
    /// How it came to be.
    pub origin: Origin,
    /// Its edits, in the order of the source.
    pub edits: Vec<Edit>,
    /// What stood there, in one line.
    pub was: String,
    /// What stands there now, in one line.
    pub is: String,
}

impl Change {
    /// A change of one place.
    pub fn new(
        (file, source): (&str, &str),
        function: &str,
        origin: Origin,
        range: Range<usize>,
        with: String,
    ) -> Self {
        Self::of_edits((file, source), function, origin, vec![Edit { range, with }])
    }

    /// A change of several places, in the order of the source.
    pub fn of_edits(
        (file, source): (&str, &str),
        function: &str,
        origin: Origin,
        edits: Vec<Edit>,
    ) -> Self {
        let first = &edits[0];
        Self {
            file: file.to_owned(),
            function: function.to_owned(),
            line: source[..first.range.start].matches('\n').count() + 1,
            origin,
            was: one_line(&source[first.range.clone()]),
            is: one_line(&first.with),
            edits,
        }
    }

    /// The source with the change, in which every other line has the number that it had: the
    /// kernel's warnings contain them.
    pub fn applied(&self, source: &str) -> String {
        let mut changed = String::with_capacity(source.len() + 64);
        let mut at = 0;
        for edit in &self.edits {
            let was = &source[edit.range.clone()];
            changed.push_str(&source[at..edit.range.start]);
            changed.push_str(&edit.with);
            let lines = |text: &str| text.matches('\n').count();
            changed.extend((lines(&edit.with)..lines(was)).map(|_| '\n'));
            at = edit.range.end;
        }
        changed.push_str(&source[at..]);
        changed
    }

    /// What it is known by: the same file with the same change, the same id.
    pub fn id(&self, source: &str) -> String {
        digest([&self.file, "\0", &self.applied(source)])
    }

    /// How it came to be, in words.
    pub fn kind(&self) -> &str {
        match &self.origin {
            Origin::Named(name) => name,
            Origin::Systematic(operator) => operator.words(),
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, function, line, .. } = self;
        write!(f, "{file}:{line} {function}(): {}: `{}`", self.kind(), self.was)?;
        if self.is.is_empty() { Ok(()) } else { write!(f, " -> `{}`", self.is) }
    }
}

/// Text in one line, not all of it if it is long.
fn one_line(text: &str) -> String {
    const MOST: usize = 100;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str =
        "int f(void)\n{\n\treturn g(1,\n\t\t 2);\n}\nint h(void) { return __LINE__; }\n";

    fn change(with: &str) -> Change {
        let start = SOURCE.find("return g").expect("a place");
        let end = SOURCE.find(";\n}").expect("an end") + 1;
        let origin = Origin::Named("a-name".into());
        Change::new(("a/b.c", SOURCE), "f", origin, start..end, with.into())
    }

    #[test]
    fn lines_behind_it_keep_their_numbers() {
        let changed = change("return 0;").applied(SOURCE);
        assert!(changed.contains("return 0;\n\n}"), "{changed}");
        assert_eq!(changed.lines().count(), SOURCE.lines().count());
    }

    #[test]
    fn it_is_told_with_its_place() {
        let told = "a/b.c:3 f(): a-name: `return g(1, 2);` -> `return 0;`";
        assert_eq!(change("return 0;").to_string(), told);
    }

    #[test]
    fn the_id_is_the_content_s() {
        let (one, other) = (change("return 0;"), change("return 1;"));
        assert_eq!(one.id(SOURCE), change("return 0;").id(SOURCE));
        assert_ne!(one.id(SOURCE), other.id(SOURCE));
    }
}
