//! What the kernel's own parsers ask of KTAP, as rules.
//!
//! From `Documentation/dev-tools/ktap.rst` and from how `tools/testing/kunit/kunit.py
//! parse` and NIPA read: a version line; a plan after it; as many results as planned,
//! numbered from 1; `ok` or `not ok`, a number, a description without `#`, and perhaps
//! a directive; everything else is a diagnostic line that starts with `#`.

/// A result line.
#[derive(Debug, PartialEq, Eq)]
pub struct TestResult {
    /// What it says.
    pub outcome: &'static str,
    /// Of which test.
    pub description: String,
}

/// Words by which a runner guesses when it cannot parse. They must not occur.
const GUESSED_BY: [&str; 6] = ["[FAIL]", " FAIL:", "[ OK ]", "[SKIP]", "[PASS]", "[ FAILED ]"];

/// Parses strictly.
pub fn parse(text: &str) -> Result<Vec<TestResult>, String> {
    let mut lines = text.lines();
    match lines.next() {
        Some("KTAP version 1" | "TAP version 13") => {}
        other => return Err(format!("no version line: {other:?}")),
    }
    let plan = lines.next().and_then(|line| line.strip_prefix("1..")).and_then(|n| n.parse().ok());
    let planned: usize = plan.ok_or("no plan after the version line")?;
    let mut results = Vec::new();
    for line in lines {
        if let Some(word) = GUESSED_BY.iter().find(|word| line.contains(*word)) {
            return Err(format!("`{word}` would be guessed by: {line}"));
        }
        if line.starts_with("# ") || line == "#" {
            continue;
        }
        results.push(result(line, results.len() + 1)?);
    }
    if results.len() != planned {
        return Err(format!("{} results, {planned} planned", results.len()));
    }
    Ok(results)
}

fn result(line: &str, number: usize) -> Result<TestResult, String> {
    let (good, rest) = match (line.strip_prefix("ok "), line.strip_prefix("not ok ")) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        _ => return Err(format!("neither a result nor a diagnostic: {line}")),
    };
    let rest = rest
        .strip_prefix(&format!("{number} "))
        .ok_or_else(|| format!("not numbered {number}: {line}"))?;
    let (description, directive) = match rest.split_once(" # ") {
        Some((description, directive)) => (description, directive),
        None => (rest, ""),
    };
    if description.contains('#') || description.trim() != description || description.is_empty() {
        return Err(format!("bad description: {line}"));
    }
    let word = directive.split_whitespace().next().unwrap_or("");
    let outcome = match (good, word) {
        (true, "SKIP") => "skip",
        (true, "XFAIL") => "xfail",
        (false, "ERROR" | "TIMEOUT") => "error",
        (_, "SKIP" | "XFAIL" | "ERROR" | "TIMEOUT") => {
            return Err(format!("{word} with the wrong result: {line}"));
        }
        (true, _) => "pass",
        (false, _) => "fail",
    };
    Ok(TestResult { outcome, description: description.to_owned() })
}
