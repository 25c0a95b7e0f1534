//! Good lists, and lists with something wrong in them.

use harness::kernel::Kernel;

use super::*;

const GOOD: &str = r#"
[[bug]]
id = "own"
title = "Something is wrong"
cause = "Something is wrong, since something else is."
brought_by = ["0123456789ab"]
fixed_by = ["net: do it right"]
cve = "CVE-2026-46015"
brought_in = ["5.14"]
fixed_in = ["6.12.86", "7.1"]
link = "https://example.org/"

[[bug.case]]
id = "wake-up/*"
by_chance = true
log = ["a_function"]
observed = { "the waiter" = "asleep", "OutRsts" = [1, 2], "left" = { from = 0, to = 3 } }

[[history]]
reason = "It came later."
until = ["6.1"]

[[history.case]]
id = "passing"
observed = { "sendmsg(A)" = "1" }
"#;

#[test]
fn a_list_is_read_whole() {
    let list = read(GOOD, Some("mine.toml")).expect("a list");
    let bug = &list.bugs[0];
    assert_eq!(bug.listed_in.as_deref(), Some("mine.toml"));
    assert_eq!(bug.brought_by, [Commit::Hash("0123456789ab".into())]);
    assert_eq!(bug.fixed_by, [Commit::Title("net: do it right".into())]);
    assert_eq!(bug.releases.to_string(), "from 5.14 on, until 6.12.86, 7.1");
    let facts = &bug.cases[0];
    assert!(facts.by_chance && facts.log == ["a_function"]);
    let mut names: Vec<&str> = facts.observed.iter().map(|(name, _)| &name[..]).collect();
    names.sort_unstable();
    assert_eq!(names, ["OutRsts", "left", "the waiter"]);
    let of = |wanted: &str| {
        let (_, what) = facts.observed.iter().find(|(name, _)| name == wanted).expect("it");
        what.clone()
    };
    assert_eq!(of("left"), Acceptable::Between(0, 3));
    assert_eq!(of("OutRsts"), Acceptable::OneOf(vec![1.into(), 2.into()]));
    assert_eq!(list.history[0].cases[0].id, "passing");
    assert_eq!(
        lines_of_cases(GOOD),
        [(14, "bug[0].case[0]".to_owned()), (24, "history[0].case[0]".to_owned())]
    );
}

/// Each of the changes spoils one line of a good list.
#[rstest::rstest]
#[case("id = \"own\"\n", "", "line 2: bug[0].id: is missing")]
#[case("title =", "tilte =", "line 4: bug[0].tilte: there is no such key; nearest: title")]
#[case("else is.", "else is", "line 5: bug[0].cause: must be a sentence, with a full stop")]
#[case("\"0123456789ab\"", "\"0123\"", "line 6: bug[0].brought_by: `0123` is neither a hash")]
#[case("[\"5.14\"]", "\"5.14\"", "line 9: bug[0].brought_in: must be texts in brackets")]
#[case("\"7.1\"]", "\"6.12.90\"]", "line 10: bug[0].fixed_in: has two releases of 6.12")]
#[case("\"7.1\"]", "\"7.x\"]", "line 10: bug[0].fixed_in: `7.x` is not a version")]
#[case("\"7.1\"]", "\"7.1-rc1\"]", "line 10: bug[0].fixed_in: `7.1-rc1` is not a version")]
#[case("CVE-2026-46015", "CVE-1", "line 8: bug[0].cve: `CVE-1` is not a number such as")]
#[case("\"https:", "\"htps:", "line 11: bug[0].link: must begin with https://")]
#[case("true", "1", "line 15: bug[0].case[0].by_chance: must be true or false")]
#[case("\"asleep\"", "1.5", "line 17: bug[0].case[0].observed.\"the waiter\": must be")]
#[case("from = 0", "from = 9", "line 17: bug[0].case[0].observed.\"left\": must be")]
#[case("[[history]]", "[history]", "line 19: history: must be tables: [[history]]")]
#[case("\"7.1\"]", "\"7.1\"", "line 11: ")]
fn a_complaint_names_the_line_and_the_key(
    #[case] good: &str,
    #[case] wrong: &str,
    #[case] complaint: &str,
) {
    let text = GOOD.replacen(good, wrong, 1);
    let complaints = read(&text, None).expect_err("it is wrong");
    let all: Vec<String> = complaints.iter().map(ToString::to_string).collect();
    assert!(all.iter().any(|one| one.starts_with(complaint)), "{all:?}");
}

#[test]
fn every_complaint_is_told_and_not_only_the_first() {
    let text = GOOD.replace("\"5.14\"", "\"5\"").replace("\"6.1\"", "\"six\"");
    let lines: Vec<usize> =
        read(&text, None).expect_err("wrong").iter().map(|complaint| complaint.line).collect();
    assert_eq!(lines, [9, 21]);
}

#[test]
fn two_bugs_of_one_id_are_refused() {
    let text = format!("{GOOD}{}", GOOD.replace("[[history", "[[bug.history"));
    let complaints = read(&text, None).expect_err("twice the same");
    assert!(complaints.iter().any(|complaint| complaint.what == "there is another `own`"));
}

#[test]
fn facts_may_be_those_of_some_machines_alone() {
    let text = "\
[[history]]
reason = \"On arm64 it is different.\"
since = [\"5.14\"]

[[history.case]]
id = \"quiz1\"
machines = [\"aarch64\"]
observed = { \"the client\" = \"waits\" }
";
    let list = read(text, None).expect("a list");
    let rows = |machine: &str| {
        let kernel = Kernel {
            machine: machine.to_owned(),
            ..Kernel::with_everything(Version::new(6, 12, 0))
        };
        list.about("quiz1/v4/on", &kernel).len()
    };
    assert_eq!((rows("aarch64"), rows("x86_64"), rows("s390x")), (1, 0, 0));
    let wrong = text.replace("[\"aarch64\"]", "\"aarch64\"");
    let complaints = read(&wrong, None).expect_err("no brackets");
    assert_eq!(
        complaints[0].to_string(),
        "line 7: history[0].case[0].machines: must be texts in brackets"
    );
}
