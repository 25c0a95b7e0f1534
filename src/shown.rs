//! Everything that the commands show of documents, without files and without a terminal: what
//! the fuzz targets look at.

use crate::cli::DiffFormat;
use crate::cmd::diff::{case, compare, show};
use crate::cmd::merge::{Part as MatrixPart, together};
use crate::exit::Exit;
use crate::html::combine::{Combined, Part};
use crate::html::page;
use crate::output::document::MatrixDocument;
use crate::output::matrix::{junit, markdown, text};
use crate::output::read::{Document, parse};
use crate::style::Style;

/// The widths of terminals that texts are laid out for.
const WIDTHS: [usize; 3] = [1, 40, 200];

/// What the commands print of a document that they cannot read, or everything that they can
/// print of two documents and of each alone: matrices, differences, and the page.
pub fn of_documents(before: &[u8], after: &[u8]) -> Vec<String> {
    let read: Vec<_> = [before, after].into_iter().map(parse).collect();
    let mut shown = Vec::new();
    let mut documents = Vec::new();
    for document in read {
        match document {
            Ok(document) => documents.push(document),
            Err(why) => shown.push(why.to_string()),
        }
    }
    for document in &documents {
        shown.extend(of_one(document));
    }
    if let [before, after] = documents.as_slice() {
        shown.extend(of_two(before, after));
    }
    shown
}

fn of_one(document: &Document) -> Vec<String> {
    let matrix = document.clone().into_matrix();
    let mut shown: Vec<String> =
        WIDTHS.map(|width| text::text(&matrix, Style::PLAIN, width)).into();
    shown.push(markdown::markdown(&matrix));
    shown.push(junit::junit(&matrix).unwrap_or_else(|e| e.to_string()));
    shown.push(format!("{:?}", Exit::of_matrix(&matrix, &[], true)));
    let parts = vec![Part { path: "a.json".into(), document: document.clone() }];
    shown.push(page::page(&Combined::of(parts), &|_, _| None));
    shown
}

fn of_two(before: &Document, after: &Document) -> Vec<String> {
    let matrices = [before, after].map(|document| document.clone().into_matrix());
    let [one, other] = &matrices;
    let difference = compare::compare(one, other);
    let widths = WIDTHS.map(|width| show::terminal(&difference, true, Style::PLAIN, width));
    let mut shown = Vec::from(widths);
    shown.push(show::markdown(&difference, false));
    shown.push(show::json(&difference).unwrap_or_else(|e| e.to_string()));
    let part = |(matrix, name): (&MatrixDocument, &str)| {
        let (name, matrix) = (name.to_owned(), matrix.clone());
        MatrixPart { name, matrix }
    };
    let parts = matrices.iter().zip(["a.json", "b.json"]).map(part).collect();
    shown.push(match together(parts) {
        Ok((found, missing)) => text::text(&found, Style::PLAIN, 80) + &missing.unwrap_or_default(),
        Err(e) => e.to_string(),
    });
    // The first case of the first document: it need not be in the other.
    let first = one.kernels.iter().find_map(|kernel| kernel.run.as_ref()?.cases.first());
    let ids: Vec<String> = first.map(|case| case.id.clone()).into_iter().collect();
    let formats = [DiffFormat::Terminal, DiffFormat::Markdown, DiffFormat::Json, DiffFormat::Svg];
    for (format, width) in formats.into_iter().zip(WIDTHS.into_iter().cycle()) {
        let documents = vec![before.clone(), after.clone()];
        let text = case::shown(documents, &ids, &[], format, (width, Style::PLAIN));
        shown.push(text.unwrap_or_else(|e| e.to_string()));
    }
    let part = |(document, path): (&Document, &str)| Part {
        path: path.into(),
        document: document.clone(),
    };
    let parts = [before, after].into_iter().zip(["a.json", "b.json"]).map(part).collect();
    shown.push(page::page(&Combined::of(parts), &|_, _| None));
    shown
}
