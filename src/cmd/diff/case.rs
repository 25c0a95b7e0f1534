//! `sockmig diff --case`: two runs of a case next to each other.

use std::borrow::Cow;
use std::path::PathBuf;

use anyhow::{bail, ensure};
use scenarios::catalogue;
use scenarios::report::wrong_lines;
use serde::Serialize;

use crate::cli::{DiffArguments, DiffFormat};
use crate::escape;
use crate::ladder::rung::Ladder;
use crate::ladder::side::{Pair, Side};
use crate::ladder::svg;
use crate::output::document::{CaseDocument, SCHEMA};
use crate::output::read::{Document, read};
use crate::output::stdout;
use crate::output::word::Word;
use crate::style::Style;

/// How many candidates are named in a refusal.
const NAMED: usize = 8;

/// One run of a case that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// As the document names it.
    pub kernel: String,
    /// The run.
    pub case: CaseDocument,
}

impl Candidate {
    /// `quiz1/v4/off on 6.1.174-1: ok`.
    pub fn title(&self) -> String {
        let word = Word::of(&self.case.verdict).spoken();
        format!("{} on {}: {word}", self.case.id, self.kernel)
    }

    /// Its ladder, what is wrong marked.
    fn side(&self) -> Side {
        let mismatches = self.case.verdict.mismatches();
        let lines = &self.case.trace;
        Side { title: self.title(), ladder: Ladder::new(lines, &wrong_lines(mismatches)) }
    }
}

/// Two runs, next to each other, in the form that was asked for.
pub fn compared(arguments: &DiffArguments) -> anyhow::Result<String> {
    let paths: Vec<&PathBuf> = [&arguments.before].into_iter().chain(&arguments.after).collect();
    let mut documents = Vec::new();
    for path in &paths {
        documents.push(read(path)?);
    }
    let (style, width) = (Style::of(&std::io::stdout()), stdout::width());
    let (ids, kernels) = (&arguments.case, &arguments.kernel);
    shown(documents, ids, kernels, arguments.format, (width, style))
}

/// The two runs of the cases `ids` on `kernels` that are in the documents, next to each other;
/// on a terminal of so many columns.
pub fn shown(
    documents: Vec<Document>,
    ids: &[String],
    kernels: &[String],
    format: DiffFormat,
    (width, style): (usize, Style),
) -> anyhow::Result<String> {
    // Documents that were read have the names of today.
    let now = |id: &String| catalogue::renamed_id(id).unwrap_or_else(|| id.clone());
    let today: Vec<String> = ids.iter().map(now).collect();
    let [left, right] = two(candidates(documents, &today, kernels), ids)?;
    let pair = Pair::new(left.side(), right.side());
    Ok(match format {
        DiffFormat::Terminal => terminal(&left, &right, &pair, width, style),
        DiffFormat::Markdown => markdown(&left, &right, &pair),
        DiffFormat::Json => json(&left, &right, &pair)?,
        DiffFormat::Svg => svg::pair_alone(&pair, &heading(&left, &right)).into_string() + "\n",
    })
}

/// The first rounds of every case whose id is one of `ids` or is below it, on kernels whose
/// names start with one of `kernels`, in the documents' order.
pub fn candidates(documents: Vec<Document>, ids: &[String], kernels: &[String]) -> Vec<Candidate> {
    let wanted = |id: &str| {
        ids.iter().any(|wanted| {
            id.strip_prefix(wanted.trim_end_matches('/'))
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    };
    let asked = |name: &str| kernels.is_empty() || kernels.iter().any(|k| name.starts_with(k));
    let mut found = Vec::new();
    for document in documents {
        for kernel in document.into_matrix().kernels.into_iter().filter(|k| asked(&k.name)) {
            let cases = kernel.run.into_iter().flat_map(|run| run.cases);
            found.extend(
                cases
                    .filter(|case| case.round == 1 && wanted(&case.id))
                    .map(|case| Candidate { kernel: kernel.name.clone(), case }),
            );
        }
    }
    found
}

/// The only two.
pub fn two(found: Vec<Candidate>, ids: &[String]) -> anyhow::Result<[Candidate; 2]> {
    let ids: Vec<String> = ids.iter().map(|id| format!("`{id}`")).collect();
    let ids = ids.join(" and ");
    ensure!(!found.is_empty(), "no run of {ids} is in the documents");
    <[Candidate; 2]>::try_from(found).or_else(|found| {
        let count = found.len();
        let mut names: Vec<String> = found
            .iter()
            .take(NAMED)
            .map(|one| format!("{} on {}", one.case.id, one.kernel))
            .collect();
        if count > NAMED {
            names.push(format!("{} more", count - NAMED));
        }
        let (is, runs) = if count == 1 { ("is", "run") } else { ("are", "runs") };
        bail!(
            "two runs are needed, and of {ids} there {is} {count} {runs}: {}; say which two with --case and \
             --kernel, or give another document",
            names.join(", ")
        )
    })
}

fn heading(left: &Candidate, right: &Candidate) -> String {
    format!("{}; {}", left.title(), right.title())
}

/// In what each of the two deviates, or why there is nothing of it.
fn deviations(candidate: &Candidate) -> Vec<String> {
    let verdict = &candidate.case.verdict;
    let mut sentences: Vec<String> = verdict.reason().map(Cow::into_owned).into_iter().collect();
    sentences.extend(verdict.mismatches().iter().map(|mismatch| {
        let expected = mismatch.expected.join(" or ");
        format!("{}: {}, not {expected}", mismatch.what, mismatch.actual)
    }));
    sentences
}

/// The facts in which the two differ: name, left, right.
fn facts(left: &Candidate, right: &Candidate) -> Vec<(String, String, String)> {
    let (left, right) = (&left.case.facts, &right.case.facts);
    let mut names: Vec<&String> = left.keys().chain(right.keys()).collect();
    names.sort();
    names.dedup();
    let shown = |facts: &std::collections::BTreeMap<_, harness::trace::observation::Value>,
                 name| {
        facts.get(name).map_or_else(|| "not observed".to_owned(), ToString::to_string)
    };
    let both = names.into_iter().map(|name| (name.clone(), shown(left, name), shown(right, name)));
    both.filter(|(_, left, right)| left != right).collect()
}

/// For people.
pub fn terminal(
    left: &Candidate,
    right: &Candidate,
    pair: &Pair,
    width: usize,
    style: Style,
) -> String {
    let mut text = pair.text(width, style);
    text.push('\n');
    for one in [left, right] {
        for deviation in deviations(one) {
            // A line of its own begins nowhere but here.
            let deviation = deviation.replace('\n', "\n    ");
            text += &format!("{}: {deviation}\n", one.title());
        }
    }
    let facts = facts(left, right);
    if !facts.is_empty() {
        text += "What else differs:\n";
        for (name, left, right) in facts {
            text += &format!("  {name}: {left}; {right}\n");
        }
    }
    let lines = match pair.differing() {
        0 => "no line differs".to_owned(),
        1 => "1 line differs, marked by *".to_owned(),
        many => format!("{many} lines differ, marked by *"),
    };
    text + &lines + "\n"
}

/// For a pull request.
fn markdown(left: &Candidate, right: &Candidate, pair: &Pair) -> String {
    /// As wide as a page of code on GitHub.
    const WIDTH: usize = 120;
    let text = terminal(left, right, pair, WIDTH, Style::PLAIN);
    let heading = escape::markdown(&heading(left, right));
    format!("## sockmig: {heading}\n\n{}", escape::fenced(&text))
}

/// For programs.
fn json(left: &Candidate, right: &Candidate, pair: &Pair) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct One<'d> {
        id: &'d str,
        kernel: &'d str,
        title: String,
        verdict: Word,
        deviations: Vec<String>,
        ladder: &'d Ladder,
    }
    #[derive(Serialize)]
    struct Document<'d> {
        schema: u32,
        sockmig: &'static str,
        sides: [One<'d>; 2],
        rungs: &'d [(Option<usize>, Option<usize>)],
        facts: Vec<Fact>,
    }
    /// What differs, and how it is on each side.
    #[derive(Serialize)]
    struct Fact {
        name: String,
        sides: [String; 2],
    }
    let one = |candidate: &'_ Candidate| (candidate.title(), deviations(candidate));
    let sides = [(left, &pair.left), (right, &pair.right)].map(|(candidate, side)| {
        let (title, deviations) = one(candidate);
        let (id, kernel, ladder) = (&candidate.case.id[..], &candidate.kernel[..], &side.ladder);
        One { id, kernel, title, verdict: Word::of(&candidate.case.verdict), deviations, ladder }
    });
    let (rungs, sockmig) = (&pair.rungs[..], env!("CARGO_PKG_VERSION"));
    let facts = facts(left, right)
        .into_iter()
        .map(|(name, left, right)| Fact { name, sides: [left, right] })
        .collect();
    let document = Document { schema: SCHEMA, sockmig, sides, rungs, facts };
    serde_json::to_string_pretty(&document).map(|text| text + "\n")
}
