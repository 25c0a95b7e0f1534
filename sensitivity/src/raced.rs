//! What `sockmig race` said of a kernel.

use serde::Deserialize;

use crate::outcome::Outcome;

/// What is read of its document.
#[derive(Debug, Deserialize)]
struct Raced {
    pairs: Vec<Pair>,
    #[serde(default)]
    complaints: Vec<Complaint>,
}

#[derive(Debug, Deserialize)]
struct Complaint {
    like: String,
    during: String,
}

#[derive(Debug, Deserialize)]
struct Pair {
    pair: String,
    family: String,
    tcp_migrate_req: bool,
    rounds: u64,
    neither: Vec<Neither>,
    disagrees_before: Option<String>,
    left: usize,
}

#[derive(Debug, Deserialize)]
struct Neither {
    like: String,
}

impl Pair {
    /// What is wrong with it.
    fn findings(&self) -> Vec<String> {
        let setting = if self.tcp_migrate_req { "on" } else { "off" };
        let mut findings: Vec<_> = self.neither.iter().map(|one| one.like.clone()).collect();
        findings.extend(self.disagrees_before.iter().map(|act| format!("before the acts: {act}")));
        if self.left > 0 {
            findings.push("something is left".to_owned());
        }
        let said = |what| format!("{}/{}/{setting}: {what}", self.pair, self.family);
        findings.into_iter().map(said).collect()
    }
}

/// By what it wrote: its document, and what it said to people.
pub fn outcome(document: &str, said: &str, is_late: bool) -> Outcome {
    let Ok(raced) = serde_json::from_str::<Raced>(document) else {
        return Outcome::without_document(said, is_late);
    };
    let cases: Vec<_> = raced.pairs.iter().flat_map(Pair::findings).collect();
    if !cases.is_empty() {
        return Outcome::Noticed { cases };
    }
    if let Some(Complaint { like, during }) = raced.complaints.first() {
        return Outcome::Complained { line: format!("{during}: {like}") };
    }
    match raced.pairs.iter().map(|pair| pair.rounds).sum() {
        _ if is_late => Outcome::Hung,
        0u64 => Outcome::Broke { cases: vec!["no round was judged".to_owned()] },
        _ => Outcome::Survived,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const ON: &str = r#""pair": "close/ack", "family": "v4", "tcp_migrate_req": true"#;

    #[rstest]
    #[case::well(r#""rounds": 7, "neither": [], "left": 0"#, false, Outcome::Survived)]
    #[case::late(r#""rounds": 7, "neither": [], "left": 0"#, true, Outcome::Hung)]
    #[case::neither(
        r#""rounds": 7, "neither": [{"like": "accept: EAGAIN"}], "left": 0"#, true,
        Outcome::Noticed { cases: vec!["close/ack/v4/on: accept: EAGAIN".into()] }
    )]
    #[case::left(
        r#""rounds": 7, "neither": [], "left": 2"#, false,
        Outcome::Noticed { cases: vec!["close/ack/v4/on: something is left".into()] }
    )]
    #[case::before(
        r#""rounds": 0, "neither": [], "left": 0, "disagrees_before": "listen(A)""#, false,
        Outcome::Noticed { cases: vec!["close/ack/v4/on: before the acts: listen(A)".into()] }
    )]
    #[case::no_round(
        r#""rounds": 0, "neither": [], "left": 0"#, false,
        Outcome::Broke { cases: vec!["no round was judged".into()] }
    )]
    fn what_was_written_decides(
        #[case] pair: &str,
        #[case] is_late: bool,
        #[case] expected: Outcome,
    ) {
        let document = format!(r#"{{"pairs": [{{{ON}, {pair}}}]}}"#);
        assert_eq!(outcome(&document, "", is_late), expected);
    }

    #[test]
    fn what_a_watched_kernel_complains_of_is_noticed() {
        let document = format!(
            r#"{{"pairs": [{{{ON}, "rounds": 7, "neither": [], "left": 0}}],
                "complaints": [{{"like": "BUG: KASAN: f", "during": "close/ack v4"}}]}}"#
        );
        let line = "close/ack v4: BUG: KASAN: f".to_owned();
        assert_eq!(outcome(&document, "", false), Outcome::Complained { line });
    }

    #[rstest]
    #[case::panicked(false, Outcome::Complained { line: "k: the kernel panicked".into() })]
    #[case::hung(true, Outcome::Hung)]
    fn a_machine_that_ends_early_is_noticed(#[case] is_late: bool, #[case] expected: Outcome) {
        assert_eq!(outcome("", "\nk: the kernel panicked\n", is_late), expected);
    }
}
