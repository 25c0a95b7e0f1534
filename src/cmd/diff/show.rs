//! A difference, shown.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use scenarios::report::wrap;
use serde::Serialize;

use crate::cmd::diff::compare::{Change, Difference, KernelChange, Meaning};
use crate::escape;
use crate::output::document::SCHEMA;
use crate::output::word::Word;
use crate::style::Style;

/// How many cases that changed alike are shown by their names.
const NAMED: usize = 12;

/// In Markdown, at most this many groups of cases that changed alike are shown.
const LISTED: usize = 20;

/// And at most this many regressions of a group by their names.
const REGRESSIONS: usize = 30;

/// And at most this many characters of a reason.
const DETAIL: usize = 600;

/// Cases that changed alike, on the same kernels and for the same reason.
#[derive(Debug, PartialEq, Eq)]
struct Alike<'d> {
    before: Option<Word>,
    after: Option<Word>,
    detail: Option<&'d str>,
    kernels: Vec<&'d str>,
    ids: Vec<&'d str>,
}

/// Takes together what changed alike: first the kernels of each case, then the cases.
fn alike<'d>(changes: impl Iterator<Item = &'d Change>) -> Vec<Alike<'d>> {
    let mut by_case: Vec<Alike<'d>> = Vec::new();
    for change in changes {
        let (before, after, detail) = (change.before, change.after, change.detail.as_deref());
        let same = by_case.iter_mut().find(|alike| {
            alike.ids == [change.id.as_str()]
                && (alike.before, alike.after, alike.detail) == (before, after, detail)
        });
        match same {
            Some(alike) => alike.kernels.push(&change.kernel),
            None => {
                let (kernels, ids) = (vec![change.kernel.as_str()], vec![change.id.as_str()]);
                by_case.push(Alike { before, after, detail, kernels, ids });
            }
        }
    }
    let mut together: Vec<Alike<'d>> = Vec::new();
    for one in by_case {
        let same = together.iter_mut().find(|alike| {
            (alike.before, alike.after, alike.detail) == (one.before, one.after, one.detail)
                && alike.kernels == one.kernels
        });
        match same {
            Some(alike) => alike.ids.extend(one.ids),
            None => together.push(one),
        }
    }
    together
}

/// The cases by name; only counted where they are many and no news is bad news.
fn which(meaning: Meaning, ids: &[&str]) -> String {
    if meaning == Meaning::Regression || ids.len() <= NAMED {
        return ids.join(" ");
    }
    let mut mechanisms: BTreeMap<&str, usize> = BTreeMap::new();
    for id in ids {
        *mechanisms.entry(id.split('/').next().unwrap_or_default()).or_default() += 1;
    }
    let counted = mechanisms.iter().map(|(mechanism, count)| format!("{count} {mechanism}"));
    format!("{} cases: {}", ids.len(), counted.collect::<Vec<_>>().join(", "))
}

/// The same, and never more than a page can show: regressions too are counted from the
/// `REGRESSIONS`th on.
fn named(meaning: Meaning, ids: &[&str]) -> String {
    if meaning != Meaning::Regression || ids.len() <= REGRESSIONS {
        return which(meaning, ids);
    }
    let more = &ids[REGRESSIONS..];
    format!("{} and {} more", ids[..REGRESSIONS].join(" "), more.len())
}

fn transition(before: Option<Word>, after: Option<Word>) -> String {
    match (before, after) {
        (Some(before), Some(after)) if before == after => {
            format!("{}, differently", after.spoken())
        }
        (Some(before), Some(after)) => format!("{} -> {}", before.spoken(), after.spoken()),
        (Some(word), None) | (None, Some(word)) => word.spoken().into(),
        (None, None) => String::new(),
    }
}

/// `2 regressions, 1 fix; 130 as before`.
fn totals(difference: &Difference) -> String {
    let counted = Meaning::ALL.into_iter().map(|meaning| {
        let count = difference.count(meaning);
        let plural = if count == 1 { "" } else { "s" };
        let word = match meaning {
            Meaning::Regression => format!("regression{plural}"),
            Meaning::Fix => if count == 1 { "fix" } else { "fixes" }.into(),
            other => other.heading().to_lowercase(),
        };
        (meaning, format!("{count} {word}"))
    });
    // The first two questions are answered even if the answer is `none`.
    let counts = counted.filter(|(meaning, _)| {
        matches!(meaning, Meaning::Regression | Meaning::Fix) || difference.count(*meaning) > 0
    });
    let counts = counts.map(|(_, text)| text).collect::<Vec<_>>().join(", ");
    format!("{counts}; {} as before", difference.same)
}

fn kernels_of(difference: &Difference, meaning: Meaning) -> impl Iterator<Item = &KernelChange> {
    difference.kernels.iter().filter(move |change| change.meaning == meaning)
}

/// Why the exit code is 1 without a regression, if it is.
fn strictly(difference: &Difference, strict: bool) -> Option<String> {
    let missing = difference.missing();
    let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
    (strict && !missing.is_empty())
        .then(|| format!("--strict: {}, which counts as a regression", missing.join(", ")))
}

/// For people, in so many columns.
pub fn terminal(difference: &Difference, strict: bool, style: Style, columns: usize) -> String {
    let mut text = String::new();
    let say = |text: &mut String, indent: &str, sentence: &str| {
        for line in wrap(sentence, columns.saturating_sub(indent.len())) {
            let _ = writeln!(text, "{indent}{line}");
        }
    };
    for meaning in Meaning::ALL {
        let count = difference.count(meaning);
        if count == 0 {
            continue;
        }
        let heading = format!("{} ({count}):", meaning.heading());
        let heading = match meaning {
            Meaning::Regression => style.red(&heading),
            Meaning::Fix => style.green(&heading),
            _ => style.bold(&heading),
        };
        let _ = writeln!(text, "{heading}");
        for change in kernels_of(difference, meaning) {
            say(&mut text, "  ", &format!("kernel {}: {}", change.kernel, change.what));
        }
        let changes = difference.cases.iter().filter(|change| change.meaning == meaning);
        for alike in alike(changes) {
            let kernels = alike.kernels.join(", ");
            let transition = transition(alike.before, alike.after);
            say(&mut text, "  ", &format!("{transition} on {kernels}"));
            say(&mut text, "    ", &which(meaning, &alike.ids));
            if let Some(detail) = alike.detail {
                say(&mut text, "      ", detail);
            }
        }
        text.push('\n');
    }
    say(&mut text, "", &totals(difference));
    if let Some(why) = strictly(difference, strict) {
        say(&mut text, "", &why);
    }
    text
}

/// For a pull request.
pub fn markdown(difference: &Difference, strict: bool) -> String {
    let mut text = format!("## sockmig: what changed\n\n{}\n", totals(difference));
    if let Some(why) = strictly(difference, strict) {
        let _ = writeln!(text, "\n**{why}**");
    }
    for meaning in Meaning::ALL {
        let count = difference.count(meaning);
        if count == 0 {
            continue;
        }
        let open = if meaning == Meaning::Regression { " open" } else { "" };
        let heading = meaning.heading();
        let _ = writeln!(text, "\n<details{open}><summary>{heading} ({count})</summary>\n");
        for change in kernels_of(difference, meaning) {
            let (kernel, what) = (escape::markdown(&change.kernel), escape::markdown(&change.what));
            let _ = writeln!(text, "- kernel {kernel}: {what}");
        }
        let changes = difference.cases.iter().filter(|change| change.meaning == meaning);
        let groups = alike(changes);
        for alike in groups.iter().take(LISTED) {
            let kernels = escape::markdown(&alike.kernels.join(", "));
            let ids = escape::markdown(&named(meaning, &alike.ids));
            let transition = escape::markdown(&transition(alike.before, alike.after));
            let detail = alike.detail.map_or(String::new(), |why| {
                let why: String = why.chars().take(DETAIL).collect();
                format!("<br>{}", escape::markdown(&why))
            });
            let _ = writeln!(text, "- **{transition}** on {kernels}: {ids}{detail}");
        }
        if groups.len() > LISTED {
            let more = groups.len() - LISTED;
            let _ = writeln!(text, "- and {more} more; the terminal's and JSON's form have all");
        }
        let _ = writeln!(text, "\n</details>");
    }
    text
}

/// For programs.
pub fn json(difference: &Difference) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Document<'d> {
        schema: u32,
        sockmig: &'static str,
        regressions: usize,
        #[serde(flatten)]
        difference: &'d Difference,
    }
    let regressions = difference.count(Meaning::Regression);
    let sockmig = env!("CARGO_PKG_VERSION");
    let document = Document { schema: SCHEMA, sockmig, regressions, difference };
    serde_json::to_string_pretty(&document).map(|text| text + "\n")
}
