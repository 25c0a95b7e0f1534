//! Comparing what a page shows with what there is, where `...` stands for any lines.

/// Stands for any number of lines.
const ANY: &str = "...";

/// The lines that the page should show: `actual`, with `...` where the page has it. Two lines
/// are the same if `lasting` makes the same of them.
///
/// # Errors
/// The first lines that the page shows, and that are not in `actual` where they should be.
pub fn excerpt(
    shown: &[&str],
    actual: &[String],
    lasting: impl Fn(&str) -> String,
) -> Result<Vec<String>, String> {
    let norm: Vec<String> = actual.iter().map(|line| lasting(line)).collect();
    let parts: Vec<&[&str]> = shown.split(|line| line.trim() == ANY).collect();
    let gaps: Vec<&&str> = shown.iter().filter(|line| line.trim() == ANY).collect();
    let mut found = Vec::new();
    let mut at = 0;
    for (number, part) in parts.iter().enumerate() {
        let wanted: Vec<String> = part.iter().map(|line| lasting(line)).collect();
        let is_last = number + 1 == parts.len();
        let end = norm.len().checked_sub(wanted.len());
        let begin = match end {
            _ if wanted.is_empty() && is_last && number > 0 => Some(norm.len()),
            _ if number == 0 => Some(0),
            Some(end) if is_last => Some(end).filter(|end| *end >= at),
            Some(end) => (at..=end).find(|begin| norm[*begin..].starts_with(&wanted)),
            None => None,
        };
        let begin = begin.filter(|begin| norm[*begin..].starts_with(&wanted));
        let begin = begin.ok_or_else(|| {
            let there = norm.get(at..).unwrap_or_default();
            format!("shown:\n{}\n\nthere is:\n{}", wanted.join("\n"), there.join("\n"))
        })?;
        if number > 0 {
            found.push((*gaps[number - 1]).to_owned());
        }
        at = begin + wanted.len();
        found.extend_from_slice(&actual[begin..at]);
    }
    match at == norm.len() {
        true => Ok(found),
        false => Err(format!("there is more:\n{}", norm[at..].join("\n"))),
    }
}

#[test]
fn dots_stand_for_any_lines() {
    let actual = ["a 1", "b 2", "c 3", "d 4"].map(str::to_owned);
    let words = |line: &str| line.trim_end_matches(|letter: char| !letter.is_alphabetic()).into();
    let of = |shown: &[&str]| excerpt(shown, &actual, words).ok();
    let kept = |lines: &[&str]| Some(lines.iter().map(|line| (*line).to_owned()).collect());
    assert_eq!(of(&["a 9", "b 9", "c 9", "d 9"]), kept(&["a 1", "b 2", "c 3", "d 4"]));
    assert_eq!(of(&["a 9", "...", "d 9"]), kept(&["a 1", "...", "d 4"]));
    assert_eq!(of(&["...", "c 9", "..."]), kept(&["...", "c 3", "..."]));
    assert_eq!(of(&["a", "...", "c", "..."]), kept(&["a 1", "...", "c 3", "..."]));
    for wrong in [&["a", "b"][..], &["b", "..."], &["...", "c"], &["a", "...", "x", "...", "d"]] {
        assert_eq!(of(wrong), None, "{wrong:?}");
    }
}
