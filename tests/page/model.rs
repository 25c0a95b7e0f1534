//! The model of `explore`, held against a run of every case: two descriptions of one kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use explore::model::ModelBug;
use explore::recorded::{Compared, LeftOut, compare};
use serde::Deserialize;

use crate::documents::{self, Case};

/// Of a hundred cases that ran, this many must have been held against the model.
const AT_LEAST_OF_A_HUNDRED: usize = 65;

/// Where the page has the table of what is left out.
const BEGIN: &str = "<!-- what the model leaves out -->\n";
const END: &str = "<!-- end -->\n";

pub fn agrees_with_cases() {
    let cases = documents::traces();
    let bugs = bugs_of_this_kernel();
    let mut left_out: BTreeMap<LeftOut, Vec<&str>> = BTreeMap::new();
    let mut disagreements = Vec::new();
    let (mut agreeing, mut facts) = (Vec::new(), 0);
    for case in cases {
        match compare(&case.trace, &bugs) {
            Compared::Agree { facts: of_case, .. } => {
                agreeing.push(case);
                facts += of_case;
            }
            Compared::LeftOut(why) => left_out.entry(why).or_default().push(&case.id),
            Compared::Disagree { line, in_what } => {
                let at = case.trace.get(line).map_or("the end", |line| &line.what);
                disagreements.push(format!("{} at line {line}, {at}: {in_what}", case.id));
            }
        }
    }
    assert!(disagreements.is_empty(), "{}", disagreements.join("\n"));
    let not_run = left_out.get(&LeftOut::NotRun).map_or(0, Vec::len);
    let ran = cases.len() - not_run;
    assert!(
        agreeing.len() * 100 >= ran * AT_LEAST_OF_A_HUNDRED,
        "{} of {ran} cases were compared: {left_out:?}",
        agreeing.len()
    );
    each_bug_is_noticed(&agreeing, &bugs);
    let heading = format!(
        "In {} of {} cases that a kernel with everything runs, model and kernel agreed on {facts} \
         facts. The others:\n\n",
        agreeing.len(),
        ran
    );
    check_page(&heading, &left_out);
}

/// On a busy machine the kernel acknowledges a client's FIN when the call that resets the child has
/// begun already. An acknowledgement of something else is none.
pub fn late_acknowledgement() {
    let bugs = bugs_of_this_kernel();
    let with_line = |case: &Case, text: &str| {
        let reset = case.trace.iter().position(|line| line.what == "S > fresh  R. 1:1(0) ack 2")?;
        let mut trace = case.trace.clone();
        let at = trace[reset].since_start.as_secs_f64();
        trace.insert(reset, format!("{at:.6}  {text}").parse().expect("a line"));
        Some(compare(&trace, &bugs))
    };
    let is_agreed = |compared: &Compared| matches!(compared, Compared::Agree { .. });
    let compared: Vec<_> = documents::traces()
        .iter()
        .filter(|case| is_agreed(&compare(&case.trace, &bugs)))
        .filter_map(|case| {
            let late = with_line(case, "S > fresh  . 1:1(0) ack 2  win 64")?;
            Some((&case.id, late, with_line(case, "S > fresh  R 1:1(0)  win 0")?))
        })
        .collect();
    assert!(!compared.is_empty(), "no client was reset after its FIN");
    for (id, late, other) in compared {
        assert!(is_agreed(&late), "{id}: {late:?}");
        assert!(!is_agreed(&other), "{id}: {other:?}");
    }
}

/// Those that `sockmig explore` finds.
fn bugs_of_this_kernel() -> BTreeSet<ModelBug> {
    #[derive(Deserialize)]
    struct Explored {
        known_bugs: BTreeSet<ModelBug>,
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_sockmig"));
    command.args(["explore", "--count", "1", "--seed", "1", "--format", "json"]);
    let output = command.output().expect("the command can be started");
    let explored: Explored = serde_json::from_slice(&output.stdout).expect("a document");
    explored.known_bugs
}

/// A model that is wrong in one of the ways that it knows agrees with fewer cases.
fn each_bug_is_noticed(agreeing: &[&Case], bugs: &BTreeSet<ModelBug>) {
    for bug in ModelBug::ALL.into_iter().filter(|bug| !bug.needs_two_processors()) {
        let mut others = bugs.clone();
        if !others.remove(&bug) {
            others.insert(bug);
        }
        let disagrees =
            |case: &&Case| matches!(compare(&case.trace, &others), Compared::Disagree { .. });
        assert!(agreeing.iter().any(disagrees), "no case notices {bug}");
    }
}

/// The page names every reason that there was. With `SOCKMIG_UPDATE_README` it is written anew.
fn check_page(heading: &str, left_out: &BTreeMap<LeftOut, Vec<&str>>) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/explore.md");
    let page = std::fs::read_to_string(&file).expect("the page");
    let (before, rest) = page.split_once(BEGIN).expect("where the table begins");
    let (table, after) = rest.split_once(END).expect("where the table ends");
    if std::env::var_os("SOCKMIG_UPDATE_README").is_some() {
        let mut table = format!("{heading}| cases | of | why |\n|---|---|---|\n");
        for (why, ids) in left_out.iter().filter(|(why, _)| **why != LeftOut::NotRun) {
            let _ = writeln!(table, "| {} | {} | {why} |", ids.len(), areas(ids));
        }
        let page = format!("{before}{BEGIN}{table}{END}{after}");
        std::fs::write(&file, page).expect("the page can be written");
        return;
    }
    for why in left_out.keys().filter(|why| **why != LeftOut::NotRun) {
        let row = format!("| {why} |\n");
        assert!(
            table.contains(&row),
            "docs/explore.md does not say `{why}` of {:?}; SOCKMIG_UPDATE_README=1 cargo test \
             --test page model renews it",
            left_out[why]
        );
    }
}

/// The first parts of ids, each once.
fn areas(ids: &[&str]) -> String {
    let areas: BTreeSet<&str> =
        ids.iter().map(|id| id.split_once('/').map_or(*id, |(area, _)| area)).collect();
    let areas: Vec<String> = areas.into_iter().map(|area| format!("`{area}`")).collect();
    areas.join(", ")
}
