//! `sockmig merge`: parts of a matrix, put together.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::cli::{MOST_SHARDS, MergeArguments};
use crate::cmd::matrix::fan_out::Files;
use crate::exit::Exit;
use crate::output::document::{KernelDocument, MatrixDocument};
use crate::output::file;
use crate::output::matrix::text::text;
use crate::output::read::{Document, read};
use crate::output::stderr;
use crate::output::stdout::{self, Stdout};
use crate::style::Style;

/// Does what the command line asks for.
pub fn merge(arguments: &MergeArguments) -> Exit {
    let outputs = [
        ("--out", arguments.out.as_deref()),
        ("--junit", arguments.junit.as_deref()),
        ("--markdown", arguments.markdown.as_deref()),
    ];
    let parts: Vec<&Path> = arguments.parts.iter().map(PathBuf::as_path).collect();
    if let Some(clash) = file::clash(&outputs, &parts) {
        stderr::complain(&clash);
        return Exit::Usage;
    }
    match merged(arguments) {
        Ok(exit) => exit,
        Err(e) => {
            stderr::complain_of(&e);
            Exit::Unavailable
        }
    }
}

fn merged(arguments: &MergeArguments) -> Result<Exit> {
    let mut parts = Vec::new();
    for path in &arguments.parts {
        match read(path)? {
            Document::Matrix(matrix) => {
                parts.push(Part { name: path.display().to_string(), matrix: *matrix });
            }
            Document::Run(_) => bail!(
                "{} is of `sockmig run`, and only matrices can be put together; `sockmig diff` \
                 compares runs",
                path.display()
            ),
        }
    }
    let (found, missing) = together(parts)?;
    if let Some(later) = later_version(&found.sockmig) {
        stderr::complain(&later);
    }
    let files = Files {
        json: arguments.out.clone(),
        junit: arguments.junit.clone(),
        markdown: arguments.markdown.clone(),
        summary: Files::github_summary(),
    };
    let errors = files.write(&found);
    let mut stdout = Stdout::new();
    let text = text(&found, Style::of(&std::io::stdout()), stdout::width());
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    for error in &errors {
        stderr::complain_of(error);
    }
    written?;
    if let Some(missing) = &missing {
        stderr::complain(&missing);
    }
    Ok(match Exit::of_matrix(&found, &[], arguments.deny_flaky) {
        // Nobody interrupted this command; a part of the answer is missing.
        Exit::Interrupted => Exit::Unavailable,
        // A shard that is missing leaves the question unanswered, as an error does.
        exit => exit.unless_write_failed(missing.is_some() || !errors.is_empty()),
    })
}

/// What is to be said where the sockmig that wrote the parts is a later one than this.
fn later_version(wrote: &str) -> Option<String> {
    let ours = env!("CARGO_PKG_VERSION");
    let numbers = |version: &str| -> Vec<u64> {
        version.split(['.', '-', '+']).map_while(|part| part.parse().ok()).collect()
    };
    (numbers(wrote) > numbers(ours)).then(|| {
        format!(
            "what is put together was written by sockmig {wrote}, and this is {ours}: keys that it \
             does not know are left out"
        )
    })
}

/// A document, and the file that it is from.
#[derive(Debug, Clone)]
pub struct Part {
    /// The file, as it was named.
    pub name: String,
    /// What is in it.
    pub matrix: MatrixDocument,
}

/// Puts the parts together: the matrix, and a sentence about shards that are missing.
/// Kernels stand in the order in which the parts bring them. A kernel may come twice only
/// if it comes from the same machine, that is with equal results.
///
/// # Errors
/// Parts of different matrices, in one sentence.
pub fn together(parts: Vec<Part>) -> Result<(MatrixDocument, Option<String>)> {
    let mut parts = parts.into_iter();
    let Some(Part { name: first, matrix: mut found }) = parts.next() else {
        bail!("there is nothing to put together");
    };
    let mut shards = Shards::default();
    shards.add(&first, found.shard.as_deref())?;
    let mut whence = vec![first.clone(); found.kernels.len()];
    check_twice(&first, &found.kernels)?;
    for Part { name, matrix } in parts {
        same_matrix((&first, &found), (&name, &matrix))?;
        shards.add(&name, matrix.shard.as_deref())?;
        check_twice(&name, &matrix.kernels)?;
        found.complete &= matrix.complete;
        // Parts run next to each other, on different machines.
        found.took_ms = found.took_ms.max(matrix.took_ms);
        for kernel in matrix.kernels {
            match found.kernels.iter().position(|there| there.name == kernel.name) {
                Some(at) if found.kernels[at] == kernel => {}
                Some(at) => bail!(
                    "the kernel {} is in {} and in {name}, with different results",
                    kernel.name,
                    whence[at]
                ),
                None => {
                    found.kernels.push(kernel);
                    whence.push(name.clone());
                }
            }
        }
    }
    let missing = shards.missing();
    found.shard = missing.as_ref().map(|_| shards.text());
    Ok((found, missing))
}

fn check_twice(name: &str, kernels: &[KernelDocument]) -> Result<()> {
    let mut seen = BTreeSet::new();
    match kernels.iter().find(|kernel| !seen.insert(&kernel.name)) {
        Some(kernel) => bail!("the kernel {} is twice in {name}", kernel.name),
        None => Ok(()),
    }
}

/// Refuses parts of different matrices, and says where they first differ.
fn same_matrix(one: (&str, &MatrixDocument), other: (&str, &MatrixDocument)) -> Result<()> {
    let ((one, a), (other, b)) = (one, other);
    if a.sockmig != b.sockmig {
        bail!(
            "{one} was written by sockmig {}, {other} by sockmig {}: the same must write all parts",
            a.sockmig,
            b.sockmig
        );
    }
    let longest = a.cases.len().max(b.cases.len());
    let differs = (0..longest).find(|at| a.cases.get(*at) != b.cases.get(*at));
    let Some(at) = differs else { return Ok(()) };
    match (a.cases.get(at), b.cases.get(at)) {
        (Some(ours), Some(theirs)) => bail!(
            "{one} and {other} ran different cases: case {} is {ours} there and {theirs} here",
            at + 1
        ),
        (Some(ours), None) => bail!("{other} did not select {ours}, which {one} did"),
        (None, theirs) => {
            let theirs = theirs.map_or("", String::as_str);
            bail!("{one} did not select {theirs}, which {other} did")
        }
    }
}

/// Which shards have come, of how many.
#[derive(Debug, Default)]
struct Shards {
    of: Option<(u32, String)>,
    have: BTreeSet<u32>,
}

impl Shards {
    /// Takes down a part's shards: `1/3`, or `1/3, 3/3` of a part that was itself put
    /// together.
    fn add(&mut self, name: &str, shard: Option<&str>) -> Result<()> {
        for shard in shard.iter().flat_map(|shards| shards.split(", ")) {
            let numbers = shard.split_once('/').and_then(|(k, n)| Some((parse(k)?, parse(n)?)));
            let Some((k, n)) =
                numbers.filter(|(k, n)| (1..=*n).contains(k) && *n as usize <= MOST_SHARDS)
            else {
                bail!("{name} says that it is shard `{shard}`, which is not a shard");
            };
            match &self.of {
                Some((of, first)) if *of != n => {
                    bail!("{first} is of {of} shards, and {name} of {n}")
                }
                Some(_) => {}
                None => self.of = Some((n, name.to_owned())),
            }
            self.have.insert(k);
        }
        Ok(())
    }

    fn missing(&self) -> Option<String> {
        let (of, _) = self.of.as_ref()?;
        let missing = (1..=*of).filter(|k| !self.have.contains(k));
        let missing: Vec<String> = missing.map(|k| format!("{k}/{of}")).collect();
        match missing.as_slice() {
            [] => None,
            [one] => Some(format!("shard {one} is missing")),
            many => Some(format!("shards {} are missing", many.join(", "))),
        }
    }

    fn text(&self) -> String {
        let of = self.of.as_ref().map_or(0, |(of, _)| *of);
        let have: Vec<String> = self.have.iter().map(|k| format!("{k}/{of}")).collect();
        have.join(", ")
    }
}

/// A number as it is written in a shard: digits alone.
fn parse(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}
