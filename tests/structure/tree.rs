//! The files of a crate, and the arrows from each to those whose items it uses.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::uses::{self, Module, Use};

/// Deeper chains of `pub use` than this would be a circle.
const DEEPEST: usize = 16;

/// One file uses another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrow {
    /// From the workspace's root.
    pub from: String,
    /// From the workspace's root; the name of a crate if it is another crate.
    pub to: String,
    /// `file:line: text`.
    pub because: String,
}

/// A module of a crate.
struct Node {
    file: String,
    content: Module,
    parent: Option<usize>,
    children: BTreeMap<String, usize>,
}

/// All modules of a crate that its root declares.
pub struct Tree {
    nodes: Vec<Node>,
    /// The text of each file, for messages.
    texts: BTreeMap<String, String>,
    /// Modules that only tests see, without `.rs`.
    for_tests: Vec<PathBuf>,
    /// What `crate` and the crate's own name mean in each of its roots.
    name: String,
    roots: Vec<usize>,
    /// The other members.
    members: Vec<String>,
}

/// Where a path leads.
enum Target {
    Node(usize),
    /// An item of a module.
    In(usize),
    Crate(String),
}

impl Tree {
    /// Reads the crate `name`, whose sources are in `src` below `root`.
    pub fn read(root: &Path, src: &str, name: &str, members: &[String]) -> Self {
        let others = members.iter().filter(|member| *member != name).cloned().collect();
        let mut tree = Self {
            nodes: Vec::new(),
            texts: BTreeMap::new(),
            for_tests: Vec::new(),
            name: name.into(),
            roots: Vec::new(),
            members: others,
        };
        // The library first: what a program calls by the crate's name is in there.
        for file in ["lib.rs", "main.rs"] {
            let file = Path::new(src).join(file);
            if root.join(&file).is_file() {
                let at = tree.file(root, &file, None);
                tree.roots.push(at);
            }
        }
        tree
    }

    /// Each file, once.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.texts.keys().map(String::as_str)
    }

    /// Whether this is a file of the crate, or of its tests.
    pub fn declares(&self, file: &str) -> bool {
        let module = Path::new(file).with_extension("");
        self.texts.contains_key(file) || self.for_tests.iter().any(|test| module.starts_with(test))
    }

    fn file(&mut self, root: &Path, file: &Path, parent: Option<usize>) -> usize {
        let text = fs::read_to_string(root.join(file))
            .unwrap_or_else(|e| panic!("{} is declared: {e}", file.display()));
        let content = uses::read(&text);
        let name = file.to_string_lossy().into_owned();
        self.texts.insert(name.clone(), text);
        let stem = file.file_stem().unwrap_or_default();
        let below = match stem.to_str() {
            Some("lib" | "main" | "mod") => file.parent().unwrap_or(file).to_owned(),
            _ => file.with_extension(""),
        };
        self.module(root, &name, &below, content, parent)
    }

    fn module(
        &mut self,
        root: &Path,
        file: &str,
        below: &Path,
        mut content: Module,
        parent: Option<usize>,
    ) -> usize {
        let at = self.nodes.len();
        let inline = std::mem::take(&mut content.inline);
        let files = content.files.clone();
        self.for_tests.extend(content.test_files.iter().map(|name| below.join(name)));
        let children = BTreeMap::new();
        self.nodes.push(Node { file: file.into(), content, parent, children });
        for name in files {
            let path = module_file(root, below, &name);
            let child = self.file(root, &path, Some(at));
            self.nodes[at].children.insert(name, child);
        }
        for (name, content) in inline {
            let child = self.module(root, file, &below.join(&name), content, Some(at));
            self.nodes[at].children.insert(name, child);
        }
        at
    }

    /// One arrow for each two files, with the first line that causes it.
    pub fn arrows(&self) -> Vec<Arrow> {
        let mut found = BTreeMap::new();
        for at in 0..self.nodes.len() {
            let node = &self.nodes[at];
            for each in &node.content.uses {
                for to in self.used_by(at, each) {
                    found.entry((node.file.clone(), to)).or_insert(each.line);
                }
            }
            for (path, line) in &node.content.paths {
                let to = self.resolve(at, path, 0).map(|target| self.shown(&target));
                if let Some(to) = to {
                    found.entry((node.file.clone(), to)).or_insert(*line);
                }
            }
        }
        let differ = found.into_iter().filter(|((from, to), _)| from != to);
        differ.map(|((from, to), line)| self.arrow(from, to, line)).collect()
    }

    fn arrow(&self, from: String, to: String, line: usize) -> Arrow {
        let text = self.texts[&from].lines().nth(line - 1).unwrap_or_default().trim();
        Arrow { because: format!("{from}:{line}: {text}"), from, to }
    }

    /// The files whose items a `use` line brings in.
    fn used_by(&self, at: usize, each: &Use) -> Vec<String> {
        let Some(target) = self.resolve(at, &each.path, 0) else { return Vec::new() };
        let words = &self.nodes[at].content.words;
        let (Target::Node(to) | Target::In(to)) = target else {
            return vec![self.shown(&target)];
        };
        let content = &self.nodes[to].content;
        let uses_it = match &each.name {
            Some(name) => words.contains(name),
            None => content.items.iter().any(|item| words.contains(item)),
        };
        // A module that only hands out what its children have does not use them.
        if each.exported && !uses_it && self.is_above(at, to) {
            return Vec::new();
        }
        let mut files = vec![self.nodes[to].file.clone()];
        if each.name.is_none() {
            // What a `*` brings in from further on, as far as it is used here.
            let exported = content.uses.iter().filter(|other| other.exported && to != at);
            let used = exported
                .filter(|other| other.name.as_ref().is_some_and(|name| words.contains(name)));
            let further = used.filter_map(|other| self.resolve(to, &other.path, 0));
            files.extend(further.map(|target| self.shown(&target)));
        }
        files
    }

    fn is_above(&self, above: usize, below: usize) -> bool {
        let mut at = self.nodes[below].parent;
        while let Some(parent) = at {
            if parent == above {
                return true;
            }
            at = self.nodes[parent].parent;
        }
        false
    }

    fn shown(&self, target: &Target) -> String {
        match target {
            Target::Node(at) | Target::In(at) => self.nodes[*at].file.clone(),
            Target::Crate(name) => name.clone(),
        }
    }

    /// Where a path leads that is written in the module `at`; nothing if it leads out of
    /// the workspace, or to an item that needs no path.
    fn resolve(&self, at: usize, path: &[String], depth: usize) -> Option<Target> {
        let (head, rest) = path.split_first()?;
        if depth > DEEPEST {
            return None;
        }
        match head.as_str() {
            "crate" => self.walk(self.root_of(at), rest, depth),
            "self" => self.walk(at, rest, depth),
            "super" => self.walk(self.nodes[at].parent?, rest, depth),
            name => {
                let children = &self.nodes[at].children;
                if let Some(child) = children.get(name) {
                    return self.walk(*child, rest, depth);
                }
                if let Some(there) = self.imported(at, name, false, depth) {
                    return match there {
                        Target::Node(module) => self.walk(module, rest, depth),
                        other => Some(other),
                    };
                }
                if name == self.name && self.root_of(at) != self.roots[0] {
                    return self.walk(self.roots[0], rest, depth);
                }
                let member = self.members.iter().find(|member| *member == name)?;
                Some(Target::Crate(member.clone()))
            }
        }
    }

    fn root_of(&self, mut at: usize) -> usize {
        while let Some(parent) = self.nodes[at].parent {
            at = parent;
        }
        at
    }

    fn walk(&self, at: usize, path: &[String], depth: usize) -> Option<Target> {
        let Some((name, rest)) = path.split_first() else { return Some(Target::Node(at)) };
        if name == "super" {
            return self.walk(self.nodes[at].parent?, rest, depth);
        }
        if let Some(child) = self.nodes[at].children.get(name) {
            return self.walk(*child, rest, depth);
        }
        match self.imported(at, name, true, depth) {
            Some(Target::Node(module)) => self.walk(module, rest, depth),
            Some(other) => Some(other),
            None => Some(Target::In(at)),
        }
    }

    /// Where a name comes from that a `use` line of the module `at` brings in. From
    /// outside, only what the module exports is seen, and what it has itself comes first.
    fn imported(&self, at: usize, name: &str, outside: bool, depth: usize) -> Option<Target> {
        let content = &self.nodes[at].content;
        if content.items.contains(name) {
            return None;
        }
        let seen = |each: &&Use| each.exported || !outside;
        let named = content.uses.iter().filter(seen).find(|each| {
            // `use harness;` and the like name themselves.
            each.name.as_deref() == Some(name) && each.path.len() > 1
        });
        if let Some(each) = named {
            return self.resolve(at, &each.path, depth + 1);
        }
        content.uses.iter().filter(seen).filter(|each| each.name.is_none()).find_map(|each| {
            let Target::Node(module) = self.resolve(at, &each.path, depth + 1)? else {
                return None;
            };
            if module == at {
                return None;
            }
            match self.nodes[module].content.items.contains(name) {
                true => Some(Target::In(module)),
                false => self.imported(module, name, true, depth + 1),
            }
        })
    }
}

fn module_file(root: &Path, below: &Path, name: &str) -> PathBuf {
    let folder = below.join(name).join("mod.rs");
    match root.join(&folder).is_file() {
        true => folder,
        false => below.join(name).with_extension("rs"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    /// The arrows of a crate with these files, as `from -> to`.
    fn arrows(files: &[(&str, &str)]) -> Vec<String> {
        let directory = tempfile::tempdir().expect("a directory");
        for (file, text) in files {
            let path = directory.path().join("src").join(file);
            fs::create_dir_all(path.parent().expect("below src")).expect("made");
            fs::write(path, text).expect("written");
        }
        let tree = Tree::read(directory.path(), "src", "this", &["this".into(), "other".into()]);
        let short = |file: &str| file.trim_start_matches("src/").trim_end_matches(".rs").to_owned();
        let shown = |arrow: &Arrow| format!("{} -> {}", short(&arrow.from), short(&arrow.to));
        tree.arrows().iter().map(shown).collect()
    }

    #[rstest]
    #[case::named("mod b; pub struct A; use b::B;", "pub struct B;", &["a -> a/b"])]
    #[case::handed_out("mod b; pub use b::B;", "use super::A;", &["a/b -> a"])]
    #[case::used_too("mod b; pub use b::B; fn f(_: B) {}", "struct B;", &["a -> a/b"])]
    #[case::all_handed_out("mod b; pub use b::*; struct A;", "use super::A;", &["a/b -> a"])]
    #[case::all_used("mod b; pub use b::*; fn f(_: B) {}", "pub struct B;", &["a -> a/b"])]
    #[case::in_code("mod b; fn f() { b::g() }", "fn g() { super::f() }", &["a -> a/b", "a/b -> a"])]
    #[case::of_tests("mod b; #[cfg(test)] mod t { use super::b::B; }", "", &[])]
    #[case::written_here("mod b; mod c { use crate::a::b::B; }", "", &["a -> a/b"])]
    #[case::elsewhere("mod b; use other::x; use std::fs;", "use ::serde::De;", &["a -> other"])]
    fn a_module_and_its_child(#[case] parent: &str, #[case] child: &str, #[case] want: &[&str]) {
        let files = [("lib.rs", "mod a;"), ("a.rs", parent), ("a/b.rs", child)];
        assert_eq!(arrows(&files), want);
    }

    #[test]
    fn what_is_handed_out_is_looked_up_where_it_is() {
        let files = [
            ("lib.rs", "mod a; mod c; mod d; mod e;"),
            ("a/mod.rs", "mod b; pub use b::{B, D}; pub use crate::d;"),
            ("a/b.rs", "pub struct B; pub struct D;"),
            ("c.rs", "use crate::a::B;"),
            ("d.rs", "use crate::a::*; fn f(_: D) {}"),
            ("e.rs", "use crate::a; fn f(_: a::d::X, _: a::B) {}"),
        ];
        let c_and_d = ["c -> a/b", "d -> a/b", "d -> a/mod"];
        let e = ["e -> a/b", "e -> a/mod", "e -> d"];
        assert_eq!(arrows(&files), [&["a/mod -> d"], &c_and_d[..], &e].concat());
    }

    #[test]
    fn a_program_uses_its_library() {
        let files = [
            ("lib.rs", "pub mod a;"),
            ("a.rs", "pub struct A;"),
            ("main.rs", "use this::a::A; fn main() { this::run() }"),
        ];
        assert_eq!(arrows(&files), ["main -> a", "main -> lib"]);
    }
}
