//! `sockmig race`, as its users meet it.

mod support;

use rstest::rstest;
use serde_json::Value;
use support::{Ended, run, sockmig};

/// The machine, or what this process may use of it, has one processor alone.
fn lacks_processors(ended: &Ended) -> bool {
    ended.code == Some(4) && ended.stderr.contains("two processors are needed")
}

#[rstest]
#[case::no_pair(&["race", "close/akc"], 4, "no pair begins with `close/akc`; perhaps close/ack")]
#[case::nothing_near(&["race", "nosuch"], 4, "no pair begins with `nosuch`: sockmig race --list")]
#[case::no_time(&["race", "--time", "0"], 2, "a number from 1 to")]
#[case::two_at_a_virtual_time(
    &["matrix", "--kernel", "6.12", "--clock", "virtual", "--processors", "2"],
    2,
    "a virtual clock is that of one processor; say --clock real"
)]
#[case::twice(&["race", "--time", "1", "--long"], 2, "cannot be used with")]
fn what_makes_no_sense_is_refused(
    #[case] arguments: &[&str],
    #[case] code: i32,
    #[case] words: &str,
) {
    let ended = run(&mut sockmig(arguments));
    assert_eq!(ended.code, Some(code), "{ended}");
    let said = ended.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains(words), "`{words}` is not said: {ended}");
}

#[test]
fn pairs_are_listed_with_what_happens() {
    let ended = run(&mut sockmig(&["race", "--list", "shutdown"]));
    assert_eq!(ended.code, Some(0), "{ended}");
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert!(lines.iter().all(|line| line.starts_with("shutdown/")), "{ended}");
    assert!(
        lines[0].ends_with("a listener is shut down while the last ACK of a handshake reaches it")
    );
}

#[test]
fn a_program_can_read_which_pairs_there_are() {
    let listed = |arguments: &[&str]| {
        let ended = run(sockmig(&["race", "--list"]).args(arguments));
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended}");
        ended.stdout
    };
    let json: Value = serde_json::from_str(&listed(&["--format", "json"])).expect("JSON");
    let names = json["pairs"].as_array().expect("pairs").iter().map(|pair| &pair["pair"]);
    let names: Vec<&str> = names.map(|name| name.as_str().expect("a name")).collect();
    let text = listed(&[]);
    let in_text: Vec<&str> =
        text.lines().map(|line| line.split_whitespace().next().expect("a name")).collect();
    assert_eq!(names, in_text);
}

/// There is no time for all of them: what is not raced is named, and counted.
#[test]
fn pairs_that_are_not_reached_in_time_are_named() {
    let raced = |format: &str| run(&mut sockmig(&["race", "--time", "1", "--format", format]));
    let ended = raced("json");
    if lacks_processors(&ended) {
        println!("two processors are needed");
        return;
    }
    let document: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    let count = |key: &str| document[key].as_array().expect("pairs").len();
    let families = if ended.stdout.contains("\"v6\"") { 2 } else { 1 };
    let listed = run(&mut sockmig(&["race", "--list"])).stdout.lines().count();
    assert!(count("pairs") > 0 && count("not_reached") > 0, "{document:#}");
    // With migration off, and on.
    assert_eq!(count("pairs") / 2 + count("not_reached"), families * listed, "{document:#}");
    let ended = raced("terminal");
    let last = document["not_reached"].as_array().expect("pairs").last().expect("one");
    let last = format!(
        "{} {}",
        last["pair"].as_str().expect("a name"),
        last["family"].as_str().expect("a family")
    );
    let line =
        ended.stdout.lines().find(|line| line.starts_with("not raced, since the time was over"));
    assert!(line.is_some_and(|line| line.ends_with(&last)), "{ended}");
}

/// Both orders come, in both families if there is time, and every round is one that a healthy kernel has.
#[test]
fn each_round_is_explained() {
    let arguments = ["race", "accept/accept", "--time", "4", "--format", "json"];
    let ended = run(&mut sockmig(&arguments));
    if lacks_processors(&ended) {
        println!("two processors are needed");
        return;
    }
    assert_eq!(ended.code, Some(0), "{ended}");
    let document: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    let pairs = document["pairs"].as_array().expect("pairs");
    let named: Vec<(&str, bool)> = pairs
        .iter()
        .map(|pair| (pair["family"].as_str().expect("v4"), pair["tcp_migrate_req"] == true))
        .collect();
    // A machine with much else to do comes to some of them only.
    let all = [("v4", false), ("v4", true), ("v6", false), ("v6", true)];
    assert!(!named.is_empty() && all.starts_with(&named), "{named:?}");
    let not_reached = document["not_reached"].as_array().expect("pairs").len();
    assert_eq!(named.len() / 2 + not_reached, all.len() / 2, "{document:#}");
    let sum =
        |key: &str| pairs.iter().map(|pair| pair[key].as_u64().expect("a number")).sum::<u64>();
    assert!(sum("first_before_second") > 0 && sum("second_before_first") > 0, "{document:#}");
    assert!(sum("rounds") >= sum("first_before_second") + sum("second_before_first"));
}
