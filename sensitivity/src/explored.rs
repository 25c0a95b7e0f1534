//! What `sockmig explore` said of a kernel.

use serde::Deserialize;

use crate::outcome::Outcome;

/// What is read of its document.
#[derive(Debug, Deserialize)]
struct Explored {
    histories: u64,
    disagreements: Vec<Disagreement>,
    left: Vec<serde::de::IgnoredAny>,
    #[serde(default)]
    complaints: Vec<Complaint>,
    panic: Option<Panic>,
}

#[derive(Debug, Deserialize)]
struct Complaint {
    like: String,
}

#[derive(Debug, Deserialize)]
struct Panic {
    line: String,
}

#[derive(Debug, Deserialize)]
struct Disagreement {
    signature: String,
}

/// By what it wrote: its document, and what it said to people.
pub fn outcome(document: &str, said: &str, is_late: bool) -> Outcome {
    let Ok(explored) = serde_json::from_str::<Explored>(document) else {
        return Outcome::without_document(said, is_late);
    };
    if let Some(panic) = explored.panic {
        return Outcome::Complained { line: panic.line };
    }
    if !explored.disagreements.is_empty() {
        let signature = |disagreement: Disagreement| disagreement.signature;
        return Outcome::Noticed {
            cases: explored.disagreements.into_iter().map(signature).collect(),
        };
    }
    if !explored.left.is_empty() {
        return Outcome::Noticed { cases: vec!["something is left".to_owned()] };
    }
    if let Some(complaint) = explored.complaints.into_iter().next() {
        return Outcome::Complained { line: complaint.like };
    }
    match explored.histories {
        _ if is_late => Outcome::Hung,
        0 => Outcome::Broke { cases: vec!["no history was played".to_owned()] },
        _ => Outcome::Survived,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::well(r#"{"histories": 7, "disagreements": [], "left": []}"#, false, Outcome::Survived)]
    #[case::late(r#"{"histories": 7, "disagreements": [], "left": []}"#, true, Outcome::Hung)]
    #[case::panics(
        r#"{"histories": 7, "disagreements": [], "left": [], "panic": {"line": "Kernel panic: BUG!"}}"#, false,
        Outcome::Complained { line: "Kernel panic: BUG!".into() }
    )]
    #[case::complains(
        r#"{"histories": 7, "disagreements": [], "left": [], "complaints": [{"like": "BUG: a"}]}"#, false,
        Outcome::Complained { line: "BUG: a".into() }
    )]
    #[case::disagrees(
        r#"{"histories": 7, "disagreements": [{"signature": "syn: ListenDrops"}], "left": []}"#, true,
        Outcome::Noticed { cases: vec!["syn: ListenDrops".into()] }
    )]
    #[case::left(
        r#"{"histories": 7, "disagreements": [], "left": [{"sockets": 2}]}"#, false,
        Outcome::Noticed { cases: vec!["something is left".into()] }
    )]
    #[case::nothing_played(
        r#"{"histories": 0, "disagreements": [], "left": []}"#, false,
        Outcome::Broke { cases: vec!["no history was played".into()] }
    )]
    #[case::panicked("", false, Outcome::Complained { line: "k: the kernel panicked".into() })]
    #[case::hung("", true, Outcome::Hung)]
    fn what_was_written_decides(
        #[case] document: &str,
        #[case] is_late: bool,
        #[case] expected: Outcome,
    ) {
        let said = "\nk: the kernel panicked\nits console\n";
        assert_eq!(outcome(document, said, is_late), expected);
    }
}
