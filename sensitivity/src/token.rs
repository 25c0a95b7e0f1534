//! The tokens of C that changes are made of: words, numbers, texts and marks, with their places.
//! Comments and lines of the preprocessor are none. What stands behind `#else` is left out, so that
//! braces are in pairs: the kernel that is built has the options for which there is an `#ifdef`.

use std::ops::Range;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A name or a keyword.
    Word,
    /// A number.
    Number,
    /// A string or a character.
    Text,
    /// Anything else, such as `&&`.
    Mark,
}

/// One token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'a> {
    /// What it is.
    pub kind: Kind,
    /// As it is written.
    pub text: &'a str,
    /// The byte that it begins with.
    pub at: usize,
}

impl Token<'_> {
    /// Where it stands in the source.
    pub fn range(&self) -> Range<usize> {
        self.at..self.at + self.text.len()
    }

    /// Whether it is this word or mark.
    pub fn is(&self, text: &str) -> bool {
        self.text == text && self.kind != Kind::Text
    }
}

const LONG_MARKS: [&str; 22] = [
    "<<=", ">>=", "...", "->", "++", "--", "&&", "||", "==", "!=", "<=", ">=", "<<", ">>", "+=",
    "-=", "*=", "/=", "%=", "&=", "|=", "^=",
];

/// All tokens of a source.
pub fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut at = 0;
    let mut begins_line = true;
    // For each condition that is open, whether this is its other branch.
    let mut conditions: Vec<bool> = Vec::new();
    while let Some(c) = source[at..].chars().next() {
        let rest = &source[at..];
        let length = if c == '\n' {
            begins_line = true;
            at += 1;
            continue;
        } else if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        } else if c == '#' && begins_line {
            match rest[1..].trim_start() {
                line if line.starts_with("if") => conditions.push(false),
                line if line.starts_with("endif") => drop(conditions.pop()),
                line if line.starts_with("el") => {
                    if let Some(is_other) = conditions.last_mut() {
                        *is_other = true;
                    }
                }
                _ => {}
            }
            directive(rest)
        } else if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else {
            let (kind, length) = token(rest, c);
            if !conditions.contains(&true) {
                found.push(Token { kind, text: &rest[..length], at });
            }
            length
        };
        begins_line = false;
        at += length;
    }
    found
}

/// How long a directive is, with the lines that continue it.
fn directive(rest: &str) -> usize {
    let mut length = 0;
    for line in rest.split_inclusive('\n') {
        length += line.len();
        if !line.trim_end().ends_with('\\') {
            break;
        }
    }
    // The end of the line stays, and begins the next one.
    length - usize::from(rest[..length].ends_with('\n'))
}

fn token(rest: &str, first: char) -> (Kind, usize) {
    let while_word =
        || rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
    match first {
        '"' | '\'' => (Kind::Text, quoted(rest, first)),
        c if c.is_ascii_digit() => (Kind::Number, while_word()),
        c if c.is_ascii_alphabetic() || c == '_' => (Kind::Word, while_word()),
        c => {
            let long = LONG_MARKS.iter().find(|mark| rest.starts_with(**mark));
            (Kind::Mark, long.map_or(c.len_utf8(), |mark| mark.len()))
        }
    }
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_branches_the_first_counts() {
        let source =
            "#ifdef A\nif (a) {\n#else\nif (b) {\n#endif\n}\n# if B\nc\n#elif C\nd\n#endif\n";
        let texts: Vec<_> = tokens(source).iter().map(|token| token.text).collect();
        assert_eq!(texts, ["if", "(", "a", ")", "{", "}", "c"]);
    }

    #[test]
    fn what_does_nothing_is_no_token() {
        let source =
            "#define A(x) \\\n  x++\nint f(int a) /* b */ { // c\n return a && \"}\\\"\"[0]; }\n";
        let texts: Vec<_> = tokens(source).iter().map(|token| token.text).collect();
        let expected = [
            "int",
            "f",
            "(",
            "int",
            "a",
            ")",
            "{",
            "return",
            "a",
            "&&",
            "\"}\\\"\"",
            "[",
            "0",
            "]",
            ";",
            "}",
        ];
        assert_eq!(texts, expected);
        assert!(tokens(source).iter().all(|token| &source[token.range()] == token.text));
    }
}
