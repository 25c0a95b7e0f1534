//! The manual shows what the command prints.

mod support;

use support::{run, sockmig};

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
const UPDATE: &str = "SOCKMIG_UPDATE_README=1 cargo test --test readme";
const BEGIN: &str = "<!-- sockmig run quiz1/v4 --trace -->\n```\n";
const END: &str = "```\n<!-- end of the run -->\n";

/// The verdict of a case and its ladder, a block each, ids first.
fn blocks(text: &str) -> Vec<(&str, Vec<&str>)> {
    let mut blocks: Vec<(&str, Vec<&str>)> = Vec::new();
    let told = |line: &&str| !line.is_empty() && !line.starts_with("skip  ");
    for line in text.lines().filter(told) {
        match (line.strip_prefix("ok    "), blocks.last_mut()) {
            (Some(rest), _) => {
                blocks.push((rest.split_whitespace().next().unwrap_or_default(), vec![]));
            }
            (None, Some((_, lines))) => lines.push(line),
            (None, None) => {}
        }
    }
    blocks
}

/// A line without what differs from run to run: times, and how the test's end went.
fn lasting(line: &str) -> String {
    let timed = line.get(1..10).is_some_and(|time| time.trim().parse::<f64>().is_ok());
    let line = if timed { format!("{}{}", &line[..1], &line[10..]) } else { line.to_owned() };
    line.split("(then: ").next().unwrap_or_default().trim_end().to_owned()
}

#[test]
fn the_readme_shows_quiz_1_as_it_is_printed() {
    let ended = run(sockmig(&["run", "quiz1/v4", "--trace", "--jobs", "1"]).env("COLUMNS", "80"));
    assert_eq!(ended.code, Some(0), "{ended}");
    let begins = ended.stdout.find("ok    quiz1/v4/off").expect("quiz 1, off");
    let ends = ended.stdout.rfind("\n\n").expect("the totals");
    let printed = format!("{}\n", ended.stdout[begins..ends].trim_end());

    let readme = std::fs::read_to_string(README).expect("README.md");
    let (before, rest) = readme.split_once(BEGIN).expect("where the run begins");
    let (shown, after) = rest.split_once(END).expect("where the run ends");
    if std::env::var_os("SOCKMIG_UPDATE_README").is_some() {
        std::fs::write(README, format!("{before}{BEGIN}{printed}{END}{after}")).expect("written");
        return;
    }
    let (shown, printed) = (blocks(shown), blocks(&printed));
    assert_eq!(shown.len(), 2, "quiz 1, off and on");
    // A kernel without migration skips the other one, and says so.
    let skipped = ended.stdout.contains("skip  quiz1/v4/on");
    assert_eq!(printed.len(), if skipped { 1 } else { 2 }, "{ended}");
    for ((id, lines), (shown_id, shown)) in printed.iter().zip(&shown) {
        // The client may put off the last acknowledgement.
        let sure = |line: &&&str| !line.contains("- . 12:12(0) ack 3 -");
        let all = |lines: &[&str]| -> Vec<String> {
            lines.iter().filter(sure).map(|line| lasting(line)).collect()
        };
        assert_eq!(id, shown_id);
        assert_eq!(all(lines), all(shown), "README.md is out of date; renew it by\n  {UPDATE}");
    }
}
