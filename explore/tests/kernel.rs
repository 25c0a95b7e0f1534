//! The model and this kernel: histories that were made up, and those that show known bugs.
//!
//! `SOCKMIG_HISTORIES=100000 cargo test -p explore --test kernel` plays as many.

use std::io::Write;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use explore::generate::Recipe;
use explore::history::History;
use explore::job::lab_work;
use explore::model::ModelBug;
use explore::race;
use explore::run::{Plan, explore};
use explore::script::python;
use explore::witness;
use harness::Family;
use harness::process::Labs;
use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    harness::process::entry::enter(|work| {
        lab_work(work).or_else(|| race::job::lab_work(work)).unwrap_or_default()
    });
    let arguments = Arguments::from_args();
    let has_python = Command::new("python3").arg("--version").output().is_ok();
    let programs = match has_python {
        true => "programs_see_what_the_model_says",
        false => "programs_see_what_the_model_says (no python3 in PATH)",
    };
    let trials = vec![
        Trial::test("histories_agree_with_the_model", histories_agree),
        Trial::test(programs, programs_see_it).with_ignored_flag(!has_python),
        Trial::test("timers_fire_before_an_act_or_after_it", timers_are_explained),
        Trial::test("a_race_that_the_model_does_not_allow_is_told", races_are_told),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Histories as Python programs, of every kind of act.
const PROGRAMS: [&str; 6] = [
    "listen A backlog 4
     syn C1
     ack C1
     data C1 11
     listen B backlog 4
     set net.ipv4.tcp_migrate_req 1
     close A
     accept B
     shutdown B SHUT_WR
     shutdown B SHUT_RDWR",
    "set net.ipv4.tcp_migrate_req 1
     listen A backlog 4
     syn C1
     syn C2
     listen B backlog 0
     duplicate A
     close A
     close A
     syn C1
     out-of-window C1
     ack-of-nothing C1
     without-ack C1
     data C1 3
     set net.ipv4.tcp_abort_on_overflow 1
     ack C2
     accept B
     accept B",
    "set net.ipv4.tcp_migrate_req 1
     listen A backlog 4
     listen B backlog 4
     listen C backlog 4
     select-index B 2
     syn C1
     ack C1
     select-by-hash B
     select-by-hash B
     syn C2
     close C
     fin C2
     accept A
     accept B
     reset C1
     without-ack C3
     reset C3",
    "set net.ipv4.tcp_migrate_req 1
     listen A backlog 4 fast-open 2
     fast-open-syn C1 5
     fast-open-syn C2 5
     listen B backlog 4 defer-accept
     shutdown A SHUT_RD
     accept A
     listen-again A backlog 2
     data C1 2
     accept B
     syn C3
     ack C3
     accept B",
    "set net.ipv4.tcp_migrate_req 1
     set net.ipv4.tcp_synack_retries 1
     listen A backlog 4
     syn C1
     listen B backlog 4
     close A
     wait
     ack C1
     accept B",
    "listen A backlog 4
     syn C1
     ack C1
     syn C2
     listen B backlog 4
     close A
     ack C2
     syn C2
     close B
     fin C2
     syn C1",
];

fn programs_see_it() -> Result<(), Failed> {
    for steps in PROGRAMS {
        let history: History = format!("sockmig history 1\nclients 10 40 20\n{steps}").parse()?;
        let mut child = Command::new("python3")
            .arg("-")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut input = child.stdin.take().ok_or("no standard input")?;
        input.write_all(python(&history).as_bytes())?;
        drop(input);
        let ended = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&ended.stdout).into_owned();
        if !ended.status.success() {
            let complaint = String::from_utf8_lossy(&ended.stderr);
            return Err(format!("{steps}\n{said}\n{complaint}").into());
        }
        assert!(said.ends_with("0 acts were not as expected\n"), "{said}");
    }
    Ok(())
}

fn histories_agree() -> Result<(), Failed> {
    let count = std::env::var("SOCKMIG_HISTORIES").ok().and_then(|count| count.parse().ok());
    let labs = Labs::default();
    let recipe =
        Recipe { only: vec![], bugs: witness::found(&labs, ModelBug::ALL)?, wait_every: 40 };
    let plan = Plan {
        recipe,
        seed: 0,
        count: Some(count.unwrap_or(400)),
        time: None,
        jobs: 2,
        waiting_jobs: 8,
        rest: std::time::Duration::ZERO,
        is_guided: false,
        fail_fast: false,
    };
    let started = std::time::Instant::now();
    let (total, ended) = explore(&labs, &plan, |_| {});
    ended?;
    let took = started.elapsed();
    eprintln!(
        "{:?}: {} histories, {} steps, {} too slow, met {}, in {took:?}",
        plan.recipe.bugs,
        total.histories,
        total.steps,
        total.too_slow,
        total.met.len()
    );
    let found: Vec<String> = total
        .findings
        .iter()
        .map(|finding| {
            let times = total.disagreements.get(&finding.signature.to_string());
            format!(
                "{} ({times:?} times)\n{}{:#?}",
                finding.signature, finding.history, finding.disagreement
            )
        })
        .collect();
    if !found.is_empty() || !total.left.is_empty() {
        return Err(format!("{}\nleft: {:?}", found.join("\n"), total.left).into());
    }
    Ok(())
}

/// With the kernel's own bugs no round is unexplained; with one that it has not, the model allows
/// less than what is seen, in either order.
fn races_are_told() -> Result<(), Failed> {
    let labs = Labs::default();
    let bugs = witness::found(&labs, ModelBug::ALL)?;
    if bugs.contains(&ModelBug::LostWakeUp) {
        println!("the kernel has the bug that the model is to have alone");
        return Ok(());
    }
    let with_bug = bugs.iter().copied().chain([ModelBug::LostWakeUp]).collect();
    for (bugs, is_explained) in [(bugs, true), (with_bug, false)] {
        let plan = race::run::RacePlan {
            pairs: race::pair::chosen(&["close/data-of-a-child".to_owned()]),
            families: vec![Family::V4, Family::V6],
            time: Duration::from_millis(200),
            until: None,
            waiting_time: Duration::ZERO,
            seed: 1,
            bugs,
        };
        let mut results = Vec::new();
        race::run::race(&labs, &plan, |result| results.push(result))?;
        if results.iter().all(|result| result.report.lacks_processors) {
            println!("two processors are needed");
            return Ok(());
        }
        assert_eq!(results.len(), 4);
        for race::run::PairResult { family, migrates, report, .. } in results {
            let judged = report.rounds > 0 && report.left == 0 && report.before.is_none();
            assert!(judged, "{family} {migrates}: {report:?}");
            // Nothing moves without migration, so that nobody is to be woken.
            let is_explained = is_explained || !migrates;
            assert_eq!(report.neither.is_empty(), is_explained, "{family} {migrates}: {report:?}");
            let kept = report.neither.values().flat_map(|like| &like.kept);
            kept.for_each(is_recorded);
        }
    }
    Ok(())
}

/// One round of a pair that waits, with each setting.
fn timers_are_explained() -> Result<(), Failed> {
    let labs = Labs::default();
    let plan = race::run::RacePlan {
        pairs: race::pair::chosen(&["wait/close".to_owned(), "wait/ack".to_owned()]),
        families: vec![Family::V4],
        time: Duration::ZERO,
        waiting_time: Duration::from_millis(1),
        until: None,
        seed: 1,
        bugs: witness::found(&labs, ModelBug::ALL)?,
    };
    let mut results = Vec::new();
    race::run::race(&labs, &plan, |result| results.push(result))?;
    assert_eq!(results.len(), 2 * plan.pairs.len());
    for race::run::PairResult { pair, migrates, report, .. } in results {
        if report.lacks_processors {
            println!("two processors are needed");
            continue;
        }
        let ended = report.rounds + report.too_slow;
        let is_explained = report.neither.is_empty() && report.before.is_none();
        assert!(ended == 1 && is_explained && report.left == 0, "{pair:?} {migrates}: {report:?}");
    }
    Ok(())
}

/// The record of a round has both acts, in which it was seen, and the segments around them, by
/// their times.
fn is_recorded(kept: &race::job::KeptRound) {
    let recorded = kept.recorded.as_ref().expect("a record");
    let lines = recorded.trace.lines();
    let shown: Vec<&str> = lines.iter().map(|line| &*line.what).collect();
    let seen_at: Vec<&str> = recorded.seen_at.iter().map(|at| shown[*at]).collect();
    let mut acts = ["-- close(A) --", "-- C1 sends P. 1:11(10) ack 1 --"];
    if kept.apart < 0 {
        acts.reverse();
    }
    assert_eq!(seen_at, acts, "{shown:#?}");
    let syn = shown.iter().position(|what| *what == "C1 > S  S 0:0(0)").expect("the SYN");
    let data =
        shown.iter().position(|what| *what == "C1 > S  P. 1:11(10) ack 1").expect("the data");
    assert!(syn < recorded.seen_at[0] && recorded.seen_at[0] < data, "{shown:#?}");
    let times: Vec<Duration> = lines.iter().map(|line| line.since_start).collect();
    assert!(times.is_sorted(), "{lines:#?}");
    // The block that every pcapng file begins with.
    assert_eq!(recorded.pcapng[..4], [0x0a, 0x0d, 0x0d, 0x0a]);
}
