//! Reading a list of known bugs: sockmig's own and a user's are in the same form.

#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;

use harness::kernel::Version;
use harness::trace::observation::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::judge::expectation::Acceptable;
use crate::judge::known::{Bug, CaseFacts, Commit, History, KnownList};
use crate::judge::releases::Releases;

/// What is wrong with a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// The line, from 1.
    pub line: usize,
    /// The key, as a path in the file: `bug[2].case[1].observed`. Empty for what is no TOML.
    pub key: String,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, key, what } = self;
        match key.is_empty() {
            true => write!(f, "line {line}: {what}"),
            false => write!(f, "line {line}: {key}: {what}"),
        }
    }
}

/// Reads a list. `name` is that of the user's file, and nothing for sockmig's own list.
///
/// # Errors
/// Everything that is wrong with it, from its beginning to its end.
pub fn read(text: &str, name: Option<&str>) -> Result<KnownList, Vec<Complaint>> {
    let mut reader = Reader { text, complaints: vec![] };
    let list = match DeTable::parse(text) {
        Ok(root) => reader.list(root.get_ref(), name),
        Err(e) => {
            let line = reader.line(&e.span().unwrap_or_default());
            let what = e.message().trim_end_matches('\n').replace('\n', "; ");
            reader.complaints.push(Complaint { line, key: String::new(), what });
            KnownList::default()
        }
    };
    let mut complaints = reader.complaints;
    complaints.sort_by_key(|complaint| complaint.line);
    if complaints.is_empty() { Ok(list) } else { Err(complaints) }
}

/// Which lines of a list its cases are in: for what can only be said of a list that was read.
///
/// The lines are those of the keys `id` of `[[bug.case]]` and `[[history.case]]`, in the order of
/// [`KnownList::bugs`] and [`KnownList::history`].
pub fn lines_of_cases(text: &str) -> Vec<(usize, String)> {
    let reader = Reader { text, complaints: vec![] };
    let Ok(root) = DeTable::parse(text) else { return vec![] };
    let mut lines = Vec::new();
    for kind in ["bug", "history"] {
        for (at, row) in tables(root.get_ref().get(kind)).enumerate() {
            for (number, case) in tables(row.get("case")).enumerate() {
                let Some(id) = case.get("id") else { continue };
                lines.push((reader.line(&id.span()), format!("{kind}[{at}].case[{number}]")));
            }
        }
    }
    lines
}

fn tables<'t, 'i>(
    value: Option<&'t Spanned<DeValue<'i>>>,
) -> impl Iterator<Item = &'t DeTable<'i>> {
    let array = value.and_then(|value| value.get_ref().as_array());
    array.into_iter().flat_map(|array| array.iter()).filter_map(|row| row.get_ref().as_table())
}

/// Reads, and goes on after what is wrong.
struct Reader<'t> {
    text: &'t str,
    complaints: Vec<Complaint>,
}

/// A table, and where it is.
struct Table<'t, 'i> {
    key: String,
    span: Range<usize>,
    table: &'t DeTable<'i>,
}

impl<'t, 'i> Table<'t, 'i> {
    fn get(&self, key: &str) -> Option<&'t Spanned<DeValue<'i>>> {
        self.table.get(key)
    }

    fn path(&self, key: &str) -> String {
        match self.key.is_empty() {
            true => key.to_owned(),
            false => format!("{}.{key}", self.key),
        }
    }
}

impl Reader<'_> {
    fn line(&self, span: &Range<usize>) -> usize {
        self.text.as_bytes()[..span.start.min(self.text.len())]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count()
            + 1
    }

    fn complain(&mut self, span: &Range<usize>, key: String, what: impl Into<String>) {
        let line = self.line(span);
        self.complaints.push(Complaint { line, key, what: what.into() });
    }

    fn list(&mut self, root: &DeTable<'_>, name: Option<&str>) -> KnownList {
        let root = Table { key: String::new(), span: 0..0, table: root };
        self.only(&root, &["bug", "history"]);
        let mut list = KnownList::default();
        for row in self.rows(&root, "bug") {
            let bug = self.bug(&row, name);
            let Some(bug) = bug else { continue };
            if list.bugs.iter().any(|other| other.id == bug.id) {
                let span = row.get("id").map_or(row.span.clone(), Spanned::span);
                self.complain(&span, row.path("id"), format!("there is another `{}`", bug.id));
            }
            list.bugs.push(bug);
        }
        for row in self.rows(&root, "history") {
            list.history.extend(self.history(&row));
        }
        list
    }

    fn bug(&mut self, row: &Table<'_, '_>, name: Option<&str>) -> Option<Bug> {
        const KEYS: [&str; 12] = [
            "id",
            "title",
            "cause",
            "brought_by",
            "fixed_by",
            "cve",
            "brought_in",
            "fixed_in",
            "not_known_in",
            "link",
            "pairs",
            "case",
        ];
        self.only(row, &KEYS);
        let (id, title) = (self.required(row, "id"), self.required(row, "title"));
        let cause = self.sentence(row, "cause");
        let brought_by = self.commits(row, "brought_by");
        let fixed_by = self.commits(row, "fixed_by");
        let releases = Releases {
            from: self.versions(row, "brought_in"),
            until: self.versions(row, "fixed_in"),
            not_known: self.lines(row, "not_known_in"),
        };
        let (cve, link) = (self.cve(row), self.link(row));
        let pairs = self.strings(row, "pairs").into_iter().map(|(name, _)| name).collect();
        let cases = self.cases(row);
        Some(Bug {
            id: id?,
            title: title?,
            cause: cause?,
            brought_by,
            fixed_by,
            cve,
            releases,
            link,
            pairs,
            cases,
            listed_in: name.map(str::to_owned),
        })
    }

    fn history(&mut self, row: &Table<'_, '_>) -> Option<History> {
        self.only(row, &["reason", "since", "until", "case"]);
        let reason = self.sentence(row, "reason");
        let releases = Releases {
            from: self.versions(row, "since"),
            until: self.versions(row, "until"),
            not_known: vec![],
        };
        let cases = self.cases(row);
        if cases.is_empty() && row.get("case").is_none() {
            self.complain(&row.span, row.path("case"), "is missing: a case that shows it");
        }
        Some(History { reason: reason?, releases, cases })
    }

    fn cases(&mut self, row: &Table<'_, '_>) -> Vec<CaseFacts> {
        let rows = self.rows(row, "case");
        rows.iter().filter_map(|case| self.case(case)).collect()
    }

    fn case(&mut self, row: &Table<'_, '_>) -> Option<CaseFacts> {
        self.only(row, &["id", "by_chance", "machines", "log", "observed"]);
        let id = self.required(row, "id");
        let by_chance = match row.get("by_chance").map(|value| (value.get_ref(), value.span())) {
            None => false,
            Some((DeValue::Boolean(value), _)) => *value,
            Some((_, span)) => {
                self.complain(&span, row.path("by_chance"), "must be true or false");
                false
            }
        };
        let machines = self.strings(row, "machines").into_iter().map(|(name, _)| name).collect();
        let log: Vec<String> = self.strings(row, "log").into_iter().map(|(text, _)| text).collect();
        let mut observed = Vec::new();
        match row.get("observed").map(|value| (value.get_ref(), value.span())) {
            Some((DeValue::Table(facts), _)) if !facts.is_empty() || !log.is_empty() => {
                for (name, value) in facts {
                    let key = format!("{}.\"{}\"", row.path("observed"), name.get_ref());
                    match acceptable(value.get_ref()) {
                        Some(what) => observed.push((name.get_ref().to_string(), what)),
                        None => self.complain(
                            &value.span(),
                            key,
                            "must be a text, a whole number, several of these in brackets, or a \
                             range { from = 0, to = 9 }",
                        ),
                    }
                }
            }
            Some((_, span)) => {
                self.complain(
                    &span,
                    row.path("observed"),
                    "must be a table of facts; it may be empty where `log` is not",
                );
            }
            None => {
                self.complain(&row.span, row.path("observed"), "is missing: the facts that differ");
            }
        }
        Some(CaseFacts { id: id?, by_chance, machines, log, observed })
    }

    /// The tables of an array, each with its path.
    fn rows<'t, 'i>(&mut self, of: &Table<'t, 'i>, key: &str) -> Vec<Table<'t, 'i>> {
        let Some(value) = of.get(key) else { return vec![] };
        let path = of.path(key);
        let DeValue::Array(rows) = value.get_ref() else {
            self.complain(
                &value.span(),
                path.clone(),
                format!("must be tables: [[{}]]", bare(&path)),
            );
            return vec![];
        };
        let mut found = Vec::new();
        for (at, row) in rows.iter().enumerate() {
            let key = format!("{path}[{at}]");
            match row.get_ref() {
                DeValue::Table(table) => found.push(Table { key, span: row.span(), table }),
                _ => self.complain(&row.span(), key, "must be a table"),
            }
        }
        found
    }

    /// Complains of every key but these.
    fn only(&mut self, row: &Table<'_, '_>, keys: &[&str]) {
        for (key, value) in row.table {
            let name = key.get_ref().as_ref();
            if !keys.contains(&name) {
                let nearest = keys.iter().min_by_key(|known| strsim::levenshtein(known, name));
                let nearest = nearest.map_or(String::new(), |known| format!("; nearest: {known}"));
                let span = if key.span().is_empty() { value.span() } else { key.span() };
                self.complain(&span, row.path(name), format!("there is no such key{nearest}"));
            }
        }
    }

    /// A text that may be missing.
    fn optional(&mut self, row: &Table<'_, '_>, key: &str) -> Option<(String, Range<usize>)> {
        let value = row.get(key)?;
        match value.get_ref() {
            DeValue::String(text) if !text.trim().is_empty() => {
                Some((text.to_string(), value.span()))
            }
            _ => {
                self.complain(&value.span(), row.path(key), "must be a text, not empty");
                None
            }
        }
    }

    fn required(&mut self, row: &Table<'_, '_>, key: &str) -> Option<String> {
        if row.get(key).is_none() {
            self.complain(&row.span, row.path(key), "is missing");
        }
        self.optional(row, key).map(|(text, _)| text)
    }

    fn sentence(&mut self, row: &Table<'_, '_>, key: &str) -> Option<String> {
        let text = self.required(row, key)?;
        if !text.ends_with('.') {
            let span = row.get(key).map(Spanned::span).unwrap_or_default();
            self.complain(&span, row.path(key), "must be a sentence, with a full stop");
        }
        Some(text)
    }

    /// The texts of an array, each with its place.
    fn strings(&mut self, row: &Table<'_, '_>, key: &str) -> Vec<(String, Range<usize>)> {
        let Some(value) = row.get(key) else { return vec![] };
        let DeValue::Array(texts) = value.get_ref() else {
            self.complain(&value.span(), row.path(key), "must be texts in brackets");
            return vec![];
        };
        let mut found = Vec::new();
        for text in texts {
            match text.get_ref() {
                DeValue::String(string) => found.push((string.to_string(), text.span())),
                _ => self.complain(&text.span(), row.path(key), "must be texts in brackets"),
            }
        }
        found
    }

    /// Lines of kernels: versions without a third number.
    fn lines(&mut self, row: &Table<'_, '_>, key: &str) -> Vec<Version> {
        let versions = self.versions(row, key);
        if let Some(version) = versions.iter().find(|version| !version.is_first_of_line()) {
            let what = format!("`{version}` is not a line of kernels, as {} is", version.line());
            let span = row.get(key).map(Spanned::span).unwrap_or_default();
            self.complain(&span, row.path(key), what);
        }
        versions
    }

    fn versions(&mut self, row: &Table<'_, '_>, key: &str) -> Vec<Version> {
        let mut versions: Vec<Version> = Vec::new();
        for (text, span) in self.strings(row, key) {
            // What follows a version is ignored elsewhere, as in `6.1.0-49`.
            match text.parse::<Version>() {
                Ok(version) if version.to_string() == text => {
                    if versions.iter().any(|other| other.line() == version.line()) {
                        let what = format!("has two releases of {}", version.line());
                        self.complain(&span, row.path(key), what);
                    }
                    versions.push(version);
                }
                _ => {
                    let what = format!("`{text}` is not a version, as 6.12 and 6.12.86 are");
                    self.complain(&span, row.path(key), what);
                }
            }
        }
        versions
    }

    fn commits(&mut self, row: &Table<'_, '_>, key: &str) -> Vec<Commit> {
        let mut commits = Vec::new();
        for (text, span) in self.strings(row, key) {
            let is_hash = text.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c));
            match (is_hash, text.len()) {
                (true, 12..=40) => commits.push(Commit::Hash(text)),
                // No hash has a space, and every title has.
                (false, _) if text.trim().contains(' ') => commits.push(Commit::Title(text)),
                _ => {
                    let what = format!(
                        "`{text}` is neither a hash of 12 to 40 digits nor the title of a commit"
                    );
                    self.complain(&span, row.path(key), what);
                }
            }
        }
        commits
    }

    fn cve(&mut self, row: &Table<'_, '_>) -> Option<String> {
        let (text, span) = self.optional(row, "cve")?;
        let digits = |text: &str| text.bytes().all(|c| c.is_ascii_digit());
        let numbers = text.strip_prefix("CVE-").and_then(|rest| rest.split_once('-'));
        let is_one = numbers.is_some_and(|(year, number)| {
            year.len() == 4 && digits(year) && number.len() >= 4 && digits(number)
        });
        if !is_one {
            let what = format!("`{text}` is not a number such as CVE-2026-46015");
            self.complain(&span, row.path("cve"), what);
        }
        Some(text)
    }

    fn link(&mut self, row: &Table<'_, '_>) -> Option<String> {
        let (text, span) = self.optional(row, "link")?;
        if !text.starts_with("https://") && !text.starts_with("http://") {
            self.complain(&span, row.path("link"), "must begin with https://");
        }
        Some(text)
    }
}

/// `bug.case` of `bug[2].case`.
fn bare(path: &str) -> String {
    let mut bare = String::new();
    let mut inside = false;
    for c in path.chars() {
        match c {
            '[' => inside = true,
            ']' => inside = false,
            c if !inside => bare.push(c),
            _ => {}
        }
    }
    bare
}

fn acceptable(value: &DeValue<'_>) -> Option<Acceptable> {
    match value {
        DeValue::Table(range) if range.len() == 2 => {
            let end = |key: &str| integer(range.get(key)?.get_ref());
            let (low, high) = (end("from")?, end("to")?);
            (low <= high).then_some(Acceptable::Between(low, high))
        }
        DeValue::Array(values) if !values.is_empty() => {
            let values = values.iter().map(|value| single(value.get_ref()));
            values.collect::<Option<_>>().map(Acceptable::OneOf)
        }
        value => single(value).map(|value| Acceptable::OneOf(vec![value])),
    }
}

fn single(value: &DeValue<'_>) -> Option<Value> {
    match value {
        DeValue::String(text) => Some(Value::Text(text.to_string())),
        value => integer(value).map(Value::Number),
    }
}

fn integer(value: &DeValue<'_>) -> Option<i64> {
    match value {
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok(),
        _ => None,
    }
}
