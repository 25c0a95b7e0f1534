//! Rust's text as words and punctuation, without comments, strings and attributes' details.

/// A word, a `::`, or one character of punctuation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// As it is written; raw identifiers without `r#`.
    pub text: String,
    /// Counted from 1.
    pub line: usize,
}

impl Token {
    /// A name or a keyword.
    pub fn is_word(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
    }
}

/// Everything of `text` that can matter to a path. Literals are left out.
pub fn tokens(text: &str) -> Vec<Token> {
    let characters: Vec<char> = text.chars().collect();
    let mut lexer = Lexer { characters: &characters, at: 0, line: 1, found: Vec::new() };
    while lexer.at < characters.len() {
        lexer.next();
    }
    lexer.found
}

struct Lexer<'a> {
    characters: &'a [char],
    at: usize,
    line: usize,
    found: Vec<Token>,
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.characters.get(self.at + ahead).copied()
    }

    fn advance(&mut self, count: usize) {
        for _ in 0..count {
            if self.peek(0) == Some('\n') {
                self.line += 1;
            }
            self.at += 1;
        }
    }

    fn next(&mut self) {
        let (Some(here), after) = (self.peek(0), self.peek(1)) else { return };
        match here {
            '/' if after == Some('/') => {
                while self.peek(0).is_some_and(|c| c != '\n') {
                    self.advance(1);
                }
            }
            '/' if after == Some('*') => self.block_comment(),
            '"' => self.string(),
            '\'' => self.quote(),
            c if c.is_alphabetic() || c == '_' => self.word(),
            // So that a suffix such as `1u8` is no word.
            c if c.is_ascii_digit() => {
                while self.peek(0).is_some_and(|c| c.is_alphanumeric() || c == '_') {
                    self.advance(1);
                }
            }
            ':' if after == Some(':') => self.take("::".into(), 2),
            c if c.is_whitespace() => self.advance(1),
            c => self.take(c.into(), 1),
        }
    }

    fn take(&mut self, text: String, length: usize) {
        self.found.push(Token { text, line: self.line });
        self.advance(length);
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        while self.at < self.characters.len() {
            match (self.peek(0), self.peek(1)) {
                (Some('/'), Some('*')) => {
                    depth += 1;
                    self.advance(2);
                }
                (Some('*'), Some('/')) => {
                    depth -= 1;
                    self.advance(2);
                    if depth == 0 {
                        return;
                    }
                }
                _ => self.advance(1),
            }
        }
    }

    fn string(&mut self) {
        self.advance(1);
        while let Some(here) = self.peek(0) {
            self.advance(if here == '\\' { 2 } else { 1 });
            if here == '"' {
                return;
            }
        }
    }

    /// A character in quotes, or a lifetime.
    fn quote(&mut self) {
        if self.peek(1) == Some('\\') {
            self.advance(3);
            while self.peek(0).is_some_and(|c| c != '\'') {
                self.advance(1);
            }
            self.advance(1);
        } else if self.peek(2) == Some('\'') {
            self.advance(3);
        } else {
            self.advance(1);
            while self.peek(0).is_some_and(|c| c.is_alphanumeric() || c == '_') {
                self.advance(1);
            }
        }
    }

    fn word(&mut self) {
        let length = (0..)
            .take_while(|n| self.peek(*n).is_some_and(|c| c.is_alphanumeric() || c == '_'))
            .count();
        let text: String = self.characters[self.at..self.at + length].iter().collect();
        let hashes = (length..).take_while(|n| self.peek(*n) == Some('#')).count();
        let after = self.peek(length + hashes);
        match text.as_str() {
            "r" | "br" | "cr" if after == Some('"') => self.raw_string(length + hashes, hashes),
            "b" | "c" if after == Some('"') && hashes == 0 => {
                self.advance(length);
                self.string();
            }
            "b" if after == Some('\'') && hashes == 0 => {
                self.advance(length);
                self.quote();
            }
            // The word after `r#` is a plain one.
            "r" if hashes == 1 => self.advance(length + 1),
            _ => self.take(text, length),
        }
    }

    fn raw_string(&mut self, prefix: usize, hashes: usize) {
        self.advance(prefix + 1);
        while self.at < self.characters.len() {
            let closes =
                self.peek(0) == Some('"') && (1..=hashes).all(|n| self.peek(n) == Some('#'));
            self.advance(if closes { 1 + hashes } else { 1 });
            if closes {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("use a::b; // use c;", "use a :: b ;")]
    #[case("/* use a; /* */ use b; */ x", "x")]
    #[case(r#"let s = "use a::b; \" more"; y"#, "let s = ; y")]
    #[case(r###"r#"a " b"# z"###, "z")]
    #[case(r#"b"\"" c"x" z"#, "z")]
    #[case(r"let q = '\''; let l: &'static str; 'x' b'\n' z", "let q = ; let l : & str ; z")]
    #[case("r#type 1u8 0x_ff", "type")]
    fn what_is_no_code_is_left_out(#[case] text: &str, #[case] words: &str) {
        let found: Vec<_> = tokens(text).into_iter().map(|token| token.text).collect();
        assert_eq!(found.join(" "), words);
    }

    #[test]
    fn lines_are_counted_through_strings_and_comments() {
        let found = tokens("a\n/*\n*/ \"\n\" b\nr\"\n\" c");
        let lines: Vec<_> = found.iter().map(|token| (token.text.as_str(), token.line)).collect();
        assert_eq!(lines, [("a", 1), ("b", 4), ("c", 6)]);
    }
}
