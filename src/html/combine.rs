//! Several documents as one: a column for each kernel of each, under a name of its own.

use std::collections::{BTreeSet, HashMap};
use std::path::{Component, Path, PathBuf};

use scenarios::case::Selected;
use scenarios::catalogue;

use crate::output::document::{MatrixDocument, SCHEMA};
use crate::output::read::{Document, Explored};

/// A document, and where it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// The file, as the command line has it.
    pub path: PathBuf,
    /// What is in it.
    pub document: Document,
}

/// What was read, as one matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct Combined {
    /// Every kernel under its column's name; the cases of all documents, in the order in
    /// which the catalogue lists them, and after them those that it does not know.
    pub found: MatrixDocument,
    /// What is also to be said of each column, in the order of the kernels.
    pub columns: Vec<Column>,
    /// What is to be said of each document, in the order of the command line.
    pub sources: Vec<Source>,
    /// Documents of histories, and where each was read.
    pub explored: Vec<(PathBuf, Explored)>,
}

/// A column's origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// The document, by its place.
    pub source: usize,
    /// The kernel as its document calls it, which is what a command wants.
    pub kernel: String,
    /// The cases that it was asked for; a case of another document is not one that was
    /// not run.
    pub selected: BTreeSet<String>,
}

/// A document's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The file, as the command line has it.
    pub path: PathBuf,
    /// `run` or `matrix`.
    pub kind: &'static str,
    /// The version of sockmig that wrote it.
    pub sockmig: String,
    /// Nobody interrupted it.
    pub complete: bool,
    /// Which part of the kernels it is about, if not all.
    pub shard: Option<String>,
    /// How long it took, in milliseconds of the host's clock.
    pub took_ms: u64,
}

impl Combined {
    /// Puts documents side by side.
    pub fn of(parts: Vec<Part>) -> Self {
        let (mut columns, mut sources, mut kernels) = (vec![], vec![], vec![]);
        let mut cases: Vec<String> = vec![];
        let mut seen: BTreeSet<String> = BTreeSet::new();
        for (source, part) in parts.into_iter().enumerate() {
            let kind = match part.document {
                Document::Run(_) => "run",
                Document::Matrix(_) => "matrix",
            };
            let matrix = part.document.into_matrix();
            let selected: BTreeSet<String> = matrix.cases.iter().cloned().collect();
            cases.extend(matrix.cases.into_iter().filter(|id| seen.insert(id.clone())));
            for kernel in matrix.kernels {
                columns.push(Column {
                    source,
                    kernel: kernel.name.clone(),
                    selected: selected.clone(),
                });
                kernels.push(kernel);
            }
            sources.push(Source {
                path: part.path,
                kind,
                sockmig: matrix.sockmig,
                complete: matrix.complete,
                shard: matrix.shard,
                took_ms: matrix.took_ms,
            });
        }
        let named: Vec<(String, usize)> = kernels
            .iter()
            .zip(&columns)
            .map(|(kernel, column)| (kernel.name.clone(), column.source))
            .collect();
        let paths: Vec<&Path> = sources.iter().map(|source| source.path.as_path()).collect();
        for (kernel, name) in kernels.iter_mut().zip(names(&named, &paths)) {
            kernel.name = name;
        }
        let found = MatrixDocument {
            schema: SCHEMA,
            sockmig: env!("CARGO_PKG_VERSION").into(),
            cases: in_order(cases),
            shard: None,
            took_ms: sources.iter().map(|source| source.took_ms).sum(),
            complete: sources.iter().all(|source| source.complete),
            kernels,
        };
        Self { found, columns, sources, explored: vec![] }
    }

    /// With what histories showed, too.
    #[must_use]
    pub fn with_explored(self, explored: Vec<(PathBuf, Explored)>) -> Self {
        Self { explored, ..self }
    }
}

/// As the catalogue lists them.
fn in_order(mut ids: Vec<String>) -> Vec<String> {
    let all = catalogue::all();
    let places: HashMap<String, usize> = all
        .iter()
        .enumerate()
        .map(|(at, selected): (usize, &Selected)| (selected.id(), at))
        .collect();
    // Stable: those that it does not know keep their order.
    ids.sort_by_key(|id| places.get(id).copied().unwrap_or(usize::MAX));
    ids
}

/// A name for each of `kernels` (its name, and its document), no two alike: where a name
/// is not enough, what distinguishes the documents' paths, and then a number.
fn names(kernels: &[(String, usize)], paths: &[&Path]) -> Vec<String> {
    let twice = |names: &[String], at: usize| names.iter().filter(|n| **n == names[at]).count() > 1;
    let plain: Vec<String> = kernels.iter().map(|(name, _)| name.clone()).collect();
    let names: Vec<String> = (0..kernels.len())
        .map(|at| {
            let (name, source) = &kernels[at];
            if !twice(&plain, at) {
                return name.clone();
            }
            let alike = kernels.iter().filter(|(other, _)| other == name);
            let alike: BTreeSet<usize> = alike.map(|(_, source)| *source).collect();
            let alike: Vec<&Path> = alike.iter().map(|source| paths[*source]).collect();
            match distinguishing(paths[*source], &alike) {
                Some(part) => format!("{name} ({part})"),
                None => name.clone(),
            }
        })
        .collect();
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    (0..names.len())
        .map(|at| {
            if !twice(&names, at) {
                return names[at].clone();
            }
            let number = numbers.entry(&names[at]).or_insert(0);
            *number += 1;
            format!("{} #{number}", names[at])
        })
        .collect()
}

/// The part of `path` in which `alike`, itself among them, differ: `before` of
/// `before/run.json` next to `after/run.json`. Nothing if there is no such part.
fn distinguishing(path: &Path, alike: &[&Path]) -> Option<String> {
    let parts = |path: &Path| -> Vec<String> {
        let normal = path.components().filter_map(|component| match component {
            Component::Normal(part) => Some(part.to_string_lossy().into_owned()),
            _ => None,
        });
        normal.collect()
    };
    let (mine, all): (Vec<String>, Vec<Vec<String>>) =
        (parts(path), alike.iter().map(|path| parts(path)).collect());
    let shared_start =
        (0..mine.len()).take_while(|at| all.iter().all(|p| p.get(*at) == mine.get(*at)));
    let start = shared_start.count();
    let from_end = |parts: &[String], at: usize| parts.iter().rev().nth(at).cloned();
    let shared_end = (0..mine.len() - start.min(mine.len()))
        .take_while(|at| all.iter().all(|p| from_end(p, *at) == from_end(&mine, *at)));
    let end = mine.len() - shared_end.count();
    if alike.len() < 2 || all.iter().filter(|parts| **parts == mine).count() > 1 {
        return None;
    }
    match mine.get(start..end).filter(|part| !part.is_empty()) {
        Some(part) => Some(part.join("/")),
        None => mine.last().cloned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(&[("6.1", 0), ("6.2", 0)], &["a.json"], &["6.1", "6.2"])]
    #[case(&[("6.1", 0), ("6.1", 1)], &["a.json", "b.json"], &["6.1 (a.json)", "6.1 (b.json)"])]
    #[case(
        &[("6.1", 0), ("6.2", 0), ("6.1", 1)],
        &["x/before/run.json", "x/after/run.json"],
        &["6.1 (before)", "6.2", "6.1 (after)"],
    )]
    #[case(&[("6.1", 0), ("6.1", 0)], &["a.json"], &["6.1 #1", "6.1 #2"])]
    #[case(&[("6.1", 0), ("6.1", 1)], &["a.json", "./a.json"], &["6.1 #1", "6.1 #2"])]
    #[case(
        &[("6.1", 0), ("6.1", 0), ("6.1", 1)],
        &["a/m.json", "b/m.json"],
        &["6.1 (a) #1", "6.1 (a) #2", "6.1 (b)"],
    )]
    #[case(&[("k", 0), ("k", 1)], &["run.json", "old/run.json"], &["k (run.json)", "k (old)"])]
    fn no_two_columns_are_called_alike(
        #[case] kernels: &[(&str, usize)],
        #[case] paths: &[&str],
        #[case] expected: &[&str],
    ) {
        let kernels: Vec<_> = kernels.iter().map(|(name, at)| ((*name).to_owned(), *at)).collect();
        let paths: Vec<&Path> = paths.iter().map(Path::new).collect();
        assert_eq!(names(&kernels, &paths), expected);
    }

    #[test]
    fn cases_stand_as_the_catalogue_tells_them_and_unknown_ones_behind() {
        let ids = ["zebra/v4", "wake-up/epoll/v4", "quiz1/v4/off", "aardvark"];
        let ordered = in_order(ids.map(str::to_owned).into());
        assert_eq!(ordered, ["quiz1/v4/off", "wake-up/epoll/v4", "zebra/v4", "aardvark"]);
    }
}
