//! What a file says about other files: its modules, its `use` lines, the paths in its code.

use std::collections::{BTreeMap, BTreeSet};

use crate::tokens::{Token, tokens};

/// One name that a `use` line brings in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// Each part of the path; a `self` at its end is left out.
    pub path: Vec<String>,
    /// What it is called here; nothing after a `*`.
    pub name: Option<String>,
    /// Others can import it from here.
    pub exported: bool,
    /// Where the path ends, counted from 1.
    pub line: usize,
}

/// A module, as far as its file says.
#[derive(Debug, Default)]
pub struct Module {
    /// The modules inside that have files of their own.
    pub files: Vec<String>,
    /// Those that only tests see.
    pub test_files: Vec<String>,
    /// The modules inside that are written in the same file.
    pub inline: BTreeMap<String, Module>,
    /// In the order of the file.
    pub uses: Vec<Use>,
    /// Paths of at least two parts in its code, and their lines.
    pub paths: Vec<(Vec<String>, usize)>,
    /// Each word outside `use` lines.
    pub words: BTreeSet<String>,
    /// The types, functions and so on that are written in it.
    pub items: BTreeSet<String>,
}

/// Reads a file. What only tests see is left out.
pub fn read(text: &str) -> Module {
    let tokens = tokens(text);
    let mut reader = Reader { tokens: &tokens, at: 0 };
    reader.module()
}

/// The keywords before the name of what a path can lead to.
const ITEMS: [&str; 9] =
    ["struct", "enum", "union", "fn", "trait", "type", "const", "static", "macro_rules"];

struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
}

impl Reader<'_> {
    fn text(&self, ahead: usize) -> &str {
        self.tokens.get(self.at + ahead).map_or("", |token| token.text.as_str())
    }

    fn line(&self) -> usize {
        self.tokens.get(self.at).map_or(0, |token| token.line)
    }

    fn next_are(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(n, word)| self.text(n) == *word)
    }

    /// Up to the end of the file, or to the brace that closes this module.
    fn module(&mut self) -> Module {
        let mut module = Module::default();
        let mut depth = 0;
        while self.at < self.tokens.len() {
            match self.text(0) {
                "#" => self.attribute(&mut module.test_files),
                "mod" if self.text(2) == ";" => {
                    module.files.push(self.text(1).into());
                    self.at += 3;
                }
                "mod" if self.text(2) == "{" => {
                    let name = self.text(1).to_owned();
                    self.at += 3;
                    module.inline.insert(name, self.module());
                }
                // `use<'a>` in a bound is no import.
                "use" if self.text(1) != "<" => {
                    let exported = self.at > 0 && matches!(self.before(), "pub" | ")");
                    self.at += 1;
                    self.tree(&[], exported, &mut module.uses);
                    self.at += 1;
                }
                "{" => {
                    depth += 1;
                    self.at += 1;
                }
                "}" if depth == 0 => {
                    self.at += 1;
                    return module;
                }
                "}" => {
                    depth -= 1;
                    self.at += 1;
                }
                _ => self.code(&mut module),
            }
        }
        module
    }

    fn before(&self) -> &str {
        &self.tokens[self.at - 1].text
    }

    /// An attribute; with it what it is for, if only tests see that.
    fn attribute(&mut self, test_files: &mut Vec<String>) {
        let for_tests = self.next_are(&["#", "[", "cfg", "(", "test", ")"])
            || self.next_are(&["#", "[", "cfg", "(", "all", "(", "test"]);
        while !matches!(self.text(0), "[" | "") {
            self.at += 1;
        }
        self.group();
        if for_tests {
            if self.next_are(&["mod"]) && self.text(2) == ";" {
                test_files.push(self.text(1).into());
            }
            self.item();
        }
    }

    /// Whatever is between these brackets.
    fn group(&mut self) {
        let mut depth = 0;
        while self.at < self.tokens.len() {
            match self.text(0) {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return;
            }
        }
    }

    /// One item with its attributes: up to a semicolon, or a body.
    fn item(&mut self) {
        let mut has_body = true;
        loop {
            match self.text(0) {
                "" | "}" => return,
                ";" | "," => {
                    self.at += 1;
                    return;
                }
                "use" | "const" | "static" | "let" if self.text(1) != "fn" => {
                    has_body = false;
                    self.at += 1;
                }
                "{" if has_body => return self.group(),
                "(" | "[" | "{" => self.group(),
                _ => self.at += 1,
            }
        }
    }

    /// What follows `use`, or a comma or brace inside of it.
    fn tree(&mut self, prefix: &[String], exported: bool, into: &mut Vec<Use>) {
        let mut path = prefix.to_vec();
        loop {
            match self.text(0) {
                "::" => self.at += 1,
                "{" => {
                    self.at += 1;
                    while !matches!(self.text(0), "}" | "") {
                        self.tree(&path, exported, into);
                        if self.text(0) == "," {
                            self.at += 1;
                        }
                    }
                    self.at += 1;
                    return;
                }
                "*" => {
                    into.push(Use { path, name: None, exported, line: self.line() });
                    self.at += 1;
                    return;
                }
                _ => {
                    let line = self.line();
                    path.push(self.text(0).into());
                    self.at += 1;
                    if self.text(0) == "::" {
                        continue;
                    }
                    if path.len() > 1 && path.last().is_some_and(|part| part == "self") {
                        path.pop();
                    }
                    let mut name = path.last().cloned();
                    if self.text(0) == "as" {
                        name = Some(self.text(1).into());
                        self.at += 2;
                    }
                    into.push(Use { path, name, exported, line });
                    return;
                }
            }
        }
    }

    fn code(&mut self, module: &mut Module) {
        let line = self.line();
        if !self.tokens[self.at].is_word() {
            self.at += 1;
            return;
        }
        if ITEMS.contains(&self.text(0)) {
            let name = if self.text(1) == "!" { 2 } else { 1 };
            module.items.insert(self.text(name).into());
        }
        let relative = self.at > 0 && matches!(self.before(), "::" | ".");
        let mut path = vec![self.text(0).to_owned()];
        self.at += 1;
        while self.text(0) == "::" && self.tokens.get(self.at + 1).is_some_and(Token::is_word) {
            path.push(self.text(1).into());
            self.at += 2;
        }
        module.words.extend(path.iter().cloned());
        if path.len() > 1 && !relative {
            module.paths.push((path, line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn shown(module: &Module) -> Vec<String> {
        let one = |each: &Use| {
            let path = each.path.join("::");
            let exported = if each.exported { "pub " } else { "" };
            match &each.name {
                Some(name) if each.path.last() == Some(name) => format!("{exported}{path}"),
                Some(name) => format!("{exported}{path} as {name}"),
                None => format!("{exported}{path}::*"),
            }
        };
        module.uses.iter().map(one).collect()
    }

    #[rstest]
    #[case("use crate::a;", &["crate::a"])]
    #[case("use crate::a::{B, C as D};", &["crate::a::B", "crate::a::C as D"])]
    #[case("use super::{self, x::{y, z::*},};", &["super", "super::x::y", "super::x::z::*"])]
    #[case("use self::a::B as _;", &["self::a::B as _"])]
    #[case("pub use a::b; pub(crate) use c::d;", &["pub a::b", "pub c::d"])]
    #[case("use crate::{a, b::{self as e, F}};", &["crate::a", "crate::b as e", "crate::b::F"])]
    #[case("use ::harness::lab;", &["harness::lab"])]
    #[case("use\n crate::\n{ // a\n a };", &["crate::a"])]
    #[case("fn f() { use crate::a::B; }", &["crate::a::B"])]
    #[case("fn f() -> impl Sized + use<'a> { x }", &[])]
    #[case("#[cfg(test)] mod tests { use super::*; } use b::c;", &["b::c"])]
    #[case("#[cfg(test)] mod tests; use b::c;", &["b::c"])]
    #[case("#[cfg(test)] use a::{b}; use b::c;", &["b::c"])]
    #[case("#[cfg(test)] #[allow(x)] fn f() -> [u8; 2] { use a::b; } use b::c;", &["b::c"])]
    #[case("#[cfg(not(test))] use b::c;", &["b::c"])]
    fn use_lines_are_read(#[case] text: &str, #[case] uses: &[&str]) {
        assert_eq!(shown(&read(text)), uses);
    }

    #[test]
    fn lines_are_those_of_each_name() {
        let module = read("use crate::{\n    a,\n    b::C,\n};\n");
        let lines: Vec<_> = module.uses.iter().map(|each| each.line).collect();
        assert_eq!(lines, [2, 3]);
    }

    #[test]
    fn modules_are_files_or_written_here() {
        let module = read(
            "#[cfg(test)] mod t; pub mod a;\nmod b { mod c; use super::a; fn f() {} }\nfn g() {}",
        );
        assert_eq!(module.files, ["a"]);
        assert_eq!(module.test_files, ["t"]);
        assert_eq!(module.inline["b"].files, ["c"]);
        assert_eq!(shown(&module.inline["b"]), ["super::a"]);
        assert!(module.items.contains("g") && !module.items.contains("f"));
    }

    #[test]
    fn paths_in_code_are_seen() {
        let module = read("fn f() -> crate::a::B { x.c::<u8>(); <d::E as F>::g(); h!(i::j) }");
        let paths: Vec<_> = module.paths.iter().map(|(path, _)| path.join("::")).collect();
        assert_eq!(paths, ["crate::a::B", "d::E", "i::j"]);
        assert!(module.words.contains("F") && module.words.contains("h"));
    }
}
