//! Reading the documents back, and saying in one sentence why one cannot be read.

mod explored;
mod printable;

use std::fmt;
use std::path::Path;

use scenarios::catalogue;
use scenarios::judge::Verdict;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;

use crate::escape::{self, ForPeople};
use crate::output::document::{KernelDocument, MachineEnd, MatrixDocument, RunDocument, SCHEMA};
use crate::output::input;
use crate::output::read::explored::ExploredHeader;

pub use explored::{Explored, Left, Panic};

/// A document that the page can show.
#[derive(Debug, Clone, PartialEq)]
pub enum Shown {
    /// Of cases.
    Cases(Document),
    /// Of histories that nobody wrote.
    Explored(Box<Explored>),
}

/// A document of one of the two kinds.
#[derive(Debug, Clone, PartialEq)]
pub enum Document {
    /// Of `sockmig run`.
    Run(Box<RunDocument>),
    /// Of `sockmig matrix`.
    Matrix(Box<MatrixDocument>),
}

/// Why a document cannot be read, without the file's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable(String);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // It may quote the document.
        f.write_str(&ForPeople::new(false).shown(&escape::line(&self.0)))
    }
}

/// What every document has, whatever its version: enough to say what it is.
#[derive(Deserialize)]
struct Header {
    schema: u64,
    sockmig: String,
    #[serde(default)]
    kernels: Option<IgnoredAny>,
    #[serde(default)]
    environment: Option<IgnoredAny>,
}

/// No document is larger, in bytes: one of everything on a kernel has 3 MB.
const LARGEST: u64 = 2 << 30;

/// What some editors begin a text in UTF-8 with.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Whether bytes may be those that an object of JSON begins with.
fn may_be_object(beginning: &[u8]) -> bool {
    let beginning = beginning.strip_prefix(BYTE_ORDER_MARK).unwrap_or(beginning);
    beginning.trim_ascii_start().first().is_none_or(|first| *first == b'{')
}

/// Reads the document in a file. The error is a sentence that names the file.
pub fn read(path: &Path) -> anyhow::Result<Document> {
    let name = path.display();
    let bytes = input::read(path, LARGEST, may_be_object)
        .map_err(|e| anyhow::anyhow!("cannot read {name}: {e}"))?;
    parse(&bytes).map_err(|why| anyhow::anyhow!("{name} {why}"))
}

/// As [`read`], for a page, which shows what was explored, too.
pub fn read_shown(path: &Path) -> anyhow::Result<Shown> {
    let name = path.display();
    let bytes = input::read(path, LARGEST, may_be_object)
        .map_err(|e| anyhow::anyhow!("cannot read {name}: {e}"))?;
    parse_shown(&bytes).map_err(|why| anyhow::anyhow!("{name} {why}"))
}

/// Reads a document of any kind that the page can show.
pub fn parse_shown(bytes: &[u8]) -> Result<Shown, Unreadable> {
    let text = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let Ok(header) = printable::from_json::<ExploredHeader>(text) else {
        return parse(bytes).map(Shown::Cases);
    };
    match header.schema {
        1..=explored::VERSION => whole(text).map(|document| Shown::Explored(Box::new(document))),
        other => Err(Unreadable(format!(
            "was written by `sockmig explore` in version {other} of its documents, and this sockmig \
             reads version {}",
            explored::VERSION
        ))),
    }
}

/// Reads a document. Its version is looked at before anything else of it, since a later
/// one may have any form.
pub fn parse(bytes: &[u8]) -> Result<Document, Unreadable> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(Unreadable("is text in UTF-16: write it in UTF-8".into()));
    }
    if bytes.trim_ascii().is_empty() {
        return Err(Unreadable("is empty".into()));
    }
    let header: Header = printable::from_json(bytes).map_err(|e| match e.classify() {
        Category::Eof => Unreadable("is cut off: it ends in the middle of the JSON".into()),
        Category::Syntax | Category::Io => Unreadable(format!("is not JSON: {e}")),
        Category::Data => Unreadable("is JSON, and no document of sockmig".into()),
    })?;
    let (schema, by) = (header.schema, &header.sockmig);
    let us = env!("CARGO_PKG_VERSION");
    if schema > u64::from(SCHEMA) {
        return Err(Unreadable(format!(
            "was written by sockmig {by} in version {schema} of the documents, and this sockmig \
             {us} reads them up to version {SCHEMA}: use the newer one"
        )));
    }
    if schema < 1 {
        return Err(Unreadable(format!("has version {schema}, which no sockmig ever wrote")));
    }
    match (header.kernels, header.environment) {
        (Some(_), _) => whole(bytes).map(|mut matrix: MatrixDocument| {
            matrix.cases.iter_mut().for_each(rename);
            for kernel in &mut matrix.kernels {
                kernel.complaints.iter_mut().for_each(|complaint| rename(&mut complaint.during));
                kernel.run.iter_mut().for_each(rename_cases);
            }
            Document::Matrix(Box::new(matrix))
        }),
        (None, Some(_)) => whole(bytes).map(|mut run: RunDocument| {
            rename_cases(&mut run);
            Document::Run(Box::new(run))
        }),
        (None, None) => Err(Unreadable("is JSON, and no document of sockmig".into())),
    }
}

/// Cases that were renamed since have their names of today, so that they are the same cases in
/// documents of any age.
fn rename_cases(run: &mut RunDocument) {
    run.cases.iter_mut().for_each(|case| rename(&mut case.id));
}

fn rename(id: &mut String) {
    if let Some(now) = catalogue::renamed_id(id) {
        *id = now;
    }
}

fn whole<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Unreadable> {
    printable::from_json(bytes).map_err(|e| {
        let damaged = || Unreadable(format!("is a damaged document of sockmig: {e}"));
        other_verdict(bytes).unwrap_or_else(damaged)
    })
}

/// A verdict that is none of those that there are, of which no version of sockmig may say that it is
/// like one of them.
fn other_verdict(bytes: &[u8]) -> Option<Unreadable> {
    #[derive(Deserialize)]
    struct Cases {
        #[serde(default)]
        kernels: Vec<Kernel>,
        #[serde(default)]
        cases: Vec<Case>,
    }
    #[derive(Deserialize)]
    struct Kernel {
        run: Option<Run>,
    }
    #[derive(Deserialize)]
    struct Run {
        cases: Vec<Case>,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Case {
        Result { id: String, verdict: String },
        Other(IgnoredAny),
    }
    let found: Cases = printable::from_json(bytes).ok()?;
    let runs = found.kernels.into_iter().filter_map(|kernel| kernel.run);
    let cases = found.cases.into_iter().chain(runs.flat_map(|run| run.cases));
    cases.into_iter().find_map(|case| match case {
        Case::Result { id, verdict } if !Verdict::TAGS.contains(&&*verdict) => {
            Some(Unreadable(format!(
                "has a verdict of {id} that sockmig {} does not know, and that changes what follows \
                 from the document: `{verdict}`. Use the sockmig that wrote it",
                env!("CARGO_PKG_VERSION")
            )))
        }
        Case::Result { .. } | Case::Other(_) => None,
    })
}

impl Document {
    /// A run as a matrix of its one kernel; a matrix as it is.
    pub fn into_matrix(self) -> MatrixDocument {
        let run = match self {
            Self::Matrix(matrix) => return *matrix,
            Self::Run(run) => run,
        };
        let mut cases: Vec<String> = Vec::new();
        for case in &run.cases {
            // Rounds come one after the other.
            if case.round == 1 || !cases.contains(&case.id) {
                cases.push(case.id.clone());
            }
        }
        MatrixDocument {
            schema: run.schema,
            sockmig: run.sockmig.clone(),
            cases,
            shard: None,
            took_ms: run.took_ms,
            complete: run.complete || run.totals.enough_failed,
            kernels: vec![KernelDocument {
                name: run.environment.kernel.release.clone(),
                end: match (run.complete, run.totals.enough_failed) {
                    (true, _) => MachineEnd::Completed,
                    (false, true) => MachineEnd::EnoughFailed,
                    (false, false) => MachineEnd::Interrupted,
                },
                machine: None,
                complaints: vec![],
                missing: vec![],
                console: String::new(),
                run: Some(*run),
            }],
        }
    }
}
