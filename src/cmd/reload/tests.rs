//! What is shown of measurements, without measuring.

mod causes;

use std::collections::BTreeMap;

use harness::kernel::Kernel;
use harness::load::Outcome;
use reload::account::ReloadFound;
use reload::catalogue;
use reload::cause::LossCause;
use reload::row::{Proof, ReloadRow, Summary};
use reload::strategy::ListenerEffect;
use reload::window::Window;

use crate::cli::{Arguments, Command, ReloadArguments};
use crate::cmd::reload::document::{ReloadDocument, Validity};
use crate::cmd::reload::measure::Measured;
use crate::cmd::reload::plan::{self, ReloadPlan};
use crate::cmd::reload::{answer, plot, table};
use crate::exit::Exit;
use crate::fixture::run;
use crate::style::Style;

const WINDOW: Window = Window::DelayLine { round_trip: std::time::Duration::from_millis(40) };

fn arguments(line: &[&str]) -> ReloadArguments {
    use clap::Parser;
    let line = ["sockmig", "reload"].iter().chain(line);
    match Arguments::try_parse_from(line).expect("a command line").command {
        Some(Command::Reload(arguments)) => arguments,
        other => panic!("{other:?}"),
    }
}

fn plan_of(line: &[&str]) -> ReloadPlan {
    let arguments = arguments(line);
    let selection = catalogue::select(&plan::wanted(&arguments)).expect("strategies");
    ReloadPlan::new(&arguments, selection, WINDOW, &run::run().environment.kernel)
}

/// A reload with `lost` losses where `expected` had to be lost.
fn reload(on: bool, lost: &[(Outcome, u64)], expected: f64) -> ReloadFound {
    let counters = [("TCPMigrateReqSuccess", i64::from(on) * 20), ("TCPMigrateReqFailure", 0)];
    let mut outcomes: BTreeMap<Outcome, u64> =
        lost.iter().copied().filter(|(_, n)| *n > 0).collect();
    let count: u64 = outcomes.values().sum();
    let reset_at_close = outcomes.get(&Outcome::ResetWaiting).copied().unwrap_or_default();
    outcomes.insert(Outcome::Answered, 525 - count);
    ReloadFound {
        on,
        outcomes,
        closed: u32::from(expected > 0.0) * 2,
        close_us: (expected > 0.0).then_some(1100),
        expected,
        queued: 0,
        reset_at_close,
        emptied: false,
        lost_at_ms: (0..count).map(|number| number as f64 * 2.0).collect(),
        quiet_us: vec![80_100; 200],
        near_us: vec![80_400; 300],
        counters: counters.map(|(name, grown)| (name.to_owned(), grown)).into(),
    }
}

fn row(
    id: &str,
    effect: ListenerEffect,
    on: bool,
    lost: &[(Outcome, u64)],
    expected: f64,
) -> ReloadRow {
    let mut row = ReloadRow::new(id, effect, on, 1000);
    for _ in 0..20 {
        row.add(&reload(on, lost, expected));
    }
    row
}

/// One row of every kind; the naive ones lose `off` and `on` clients.
fn measured(off: u64, on: u64) -> Measured {
    let naive = |is_on, lost| {
        row("own/naive", ListenerEffect::Close, is_on, &[(Outcome::ResetWaiting, lost)], 20.0)
    };
    let refused = [(Outcome::Refused, 7), (Outcome::ResetWaiting, 40)];
    Measured {
        rows: vec![
            naive(false, off),
            naive(true, on),
            row("own/passing", ListenerEffect::StayOpen, false, &[], 0.0),
            row("own/passing", ListenerEffect::StayOpen, true, &[], 0.0),
            row("own/restart", ListenerEffect::CloseLeavingNobody, false, &refused, 46.0),
            row("own/restart", ListenerEffect::CloseLeavingNobody, true, &refused, 46.0),
            row("own/ebpf-drain", ListenerEffect::CloseWhenIdle, false, &[], 20.0),
            row("own/ebpf-migrate", ListenerEffect::CloseAndProgramMigrates, false, &[], 40.0),
        ],
        windows_us: vec![40_200, 40_300, 41_000],
        lag_us: 900,
        processor_us: 42.0,
        took: std::time::Duration::from_millis(61_500),
        ..Measured::default()
    }
}

fn document(measured: &Measured) -> ReloadDocument {
    ReloadDocument::of(&plan_of(&["own"]), run::run().environment, measured)
}

#[test]
fn the_answer_has_a_line_and_a_sentence_for_every_row() {
    let mut shown = table::heading(&plan_of(&["own"]), &run::run().environment);
    shown.push_str(&answer::text(&document(&measured(20, 0)), Some(100), Style::PLAIN));
    insta::assert_snapshot!("reload", shown);
}

#[test]
fn a_run_that_lost_too_little_says_that_it_is_invalid() {
    let document = document(&measured(9, 0));
    assert_eq!(document.validity, Validity::Invalid { strategies: vec!["own/naive".into()] });
    assert_eq!(document.exit(), Exit::Unavailable);
    insta::assert_snapshot!("reload_invalid", answer::text(&document, Some(100), Style::PLAIN));
}

#[test]
fn a_run_in_which_chance_decided_says_so_and_is_worth_what_others_are() {
    let unlucky = || row("own/naive", ListenerEffect::Close, false, &[], 0.3);
    let alone = Measured { rows: vec![unlucky()], ..Measured::default() };
    let alone = document(&alone);
    assert_eq!(alone.validity, Validity::Invalid { strategies: vec!["own/naive".into()] });
    let text = answer::text(&alone, Some(100), Style::PLAIN);
    assert!(text.contains("chance"), "{text}");
    let lost = row("own/drain", ListenerEffect::Close, false, &[(Outcome::ResetWaiting, 20)], 20.0);
    let both = Measured { rows: vec![unlucky(), lost], ..Measured::default() };
    assert_eq!(document(&both).validity, Validity::Valid);
}

/// A row of a server that nobody knows.
fn observed(on: bool, lost: u64, expected: f64, emptied: bool) -> ReloadRow {
    let mut row = ReloadRow::new("mine", ListenerEffect::Observed, on, 1000);
    for _ in 0..20 {
        row.add(&ReloadFound { emptied, ..reload(on, &[(Outcome::ResetWaiting, lost)], expected) });
    }
    row
}

#[test]
fn of_a_server_that_nobody_knows_it_is_said_what_was_seen() {
    let said = |rows: Vec<ReloadRow>| {
        let measured = Measured { rows, ..Measured::default() };
        let text = answer::text(&document(&measured), Some(1000), Style::PLAIN);
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let stays = said(vec![observed(false, 0, 0.0, false)]);
    assert!(stays.contains("in 20 reloads: no listener closed."), "{stays}");
    let closes = said(vec![observed(false, 20, 20.0, false), observed(true, 0, 20.0, false)]);
    for words in [
        "in 20 reloads (400 reset before the answer), 20.00 per reload",
        "it closes 2.0 listeners per reload.",
        "mine on: loses none of",
        "without migration it lost 20.0 per reload.",
        "set net.ipv4.tcp_migrate_req=1: with it mine lost nothing.",
    ] {
        assert!(closes.contains(words), "`{words}`: {closes}");
    }
    let leaves_nobody = said(vec![observed(false, 20, 20.0, true), observed(true, 20, 20.0, true)]);
    assert!(leaves_nobody.contains("not always when others are there"), "{leaves_nobody}");
    assert!(leaves_nobody.contains("Start the new listeners before the old"), "{leaves_nobody}");
    let no_group = said(vec![observed(true, 20, 20.0, false)]);
    assert!(no_group.contains("are they of one group?"), "{no_group}");
    // Nobody said that they are: that migration did not help is no deviation of the kernel.
    assert!(!no_group.contains("THE KERNEL DEVIATES"), "{no_group}");
}

#[test]
fn who_says_that_listeners_stay_is_told_when_they_do_not() {
    let mut row = ReloadRow::new("mine", ListenerEffect::StayOpen, false, 1000);
    row.add(&reload(false, &[(Outcome::ResetWaiting, 20)], 20.0));
    let measured = Measured { rows: vec![row], ..Measured::default() };
    let text = answer::text(&document(&measured), Some(1000), Style::PLAIN);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("it closes 2 listeners, although none was to close"), "{text}");
}

#[test]
fn what_a_run_ends_with() {
    assert_eq!(document(&measured(20, 0)).exit(), Exit::Expected);
    // A few are races, half is no migration.
    assert_eq!(document(&measured(20, 3)).exit(), Exit::Expected);
    assert_eq!(document(&measured(20, 10)).exit(), Exit::Deviates);
    // Nothing refuses clients while others listen.
    assert_eq!(document(&with_on(&[(Outcome::Refused, 1)])).exit(), Exit::Deviates);
    // Who gives up waiting on a machine that is too busy says nothing of the kernel; who is refused does.
    let busy = |lost| {
        let measured = Measured { windows_us: vec![40_200], lag_us: 721_300, ..with_on(&[lost]) };
        document(&measured).exit()
    };
    let gave_up = (Outcome::TimedOutWaiting, 1);
    assert_eq!(document(&with_on(&[gave_up])).exit(), Exit::Deviates);
    assert_eq!(busy(gave_up), Exit::Expected);
    assert_eq!(busy((Outcome::Refused, 1)), Exit::Deviates);
    let interrupted = Measured { interrupted: true, ..measured(20, 10) };
    assert_eq!(document(&interrupted).exit(), Exit::Interrupted);
    let troubled = Measured { errors: vec!["own/exec: it hung".into()], ..measured(20, 0) };
    assert_eq!(document(&troubled).exit(), Exit::Unavailable);
    assert_eq!(document(&Measured::default()).exit(), Exit::NothingRan);
    let program = |lost| Measured {
        rows: vec![
            row("own/naive", ListenerEffect::Close, false, &[(Outcome::ResetWaiting, 20)], 20.0),
            row(
                "own/ebpf-migrate",
                ListenerEffect::CloseAndProgramMigrates,
                false,
                &[(Outcome::ResetWaiting, lost)],
                40.0,
            ),
        ],
        ..Measured::default()
    };
    assert_eq!(document(&program(3)).exit(), Exit::Expected);
    assert_eq!(document(&program(20)).exit(), Exit::Deviates);
    let keeps = Measured {
        rows: vec![row("own/passing", ListenerEffect::StayOpen, false, &[], 0.0)],
        ..Measured::default()
    };
    assert_eq!(document(&keeps).validity, Validity::Unproven);
}

/// The naive rows, of which the one with migration on loses these at each of twenty reloads.
fn with_on(lost: &[(Outcome, u64)]) -> Measured {
    let naive =
        |on, lost: &[(Outcome, u64)]| row("own/naive", ListenerEffect::Close, on, lost, 20.0);
    let rows = vec![naive(false, &[(Outcome::ResetWaiting, 20)]), naive(true, lost)];
    Measured { rows, ..Measured::default() }
}

#[test]
fn the_document_can_be_read_back() {
    let document = document(&measured(20, 0));
    let read: ReloadDocument = serde_json::from_str(&document.json()).expect("JSON");
    assert_eq!(read, document);
    let outcomes: u64 = read.rows[0].outcomes.values().sum();
    assert_eq!(outcomes, read.rows[0].attempts);
}

#[test]
fn plots_have_a_panel_for_each_strategy_that_has_something_to_show() {
    let measured = measured(20, 0);
    let losses = plot::losses(&measured.rows).into_string();
    assert_eq!(losses.matches("<g ").count(), 2, "{losses}");
    assert!(losses.contains(">own/naive<") && !losses.contains(">own/passing<"), "{losses}");
    let latencies = plot::latencies(&measured.rows).into_string();
    assert_eq!(latencies.matches("<polyline ").count(), 8, "{latencies}");
    assert!(plot::losses(&[]).into_string().contains("Nothing to show"));
}

#[test]
fn programs_that_may_not_be_loaded_are_skipped_with_the_reason() {
    let mut kernel = run::run().environment.kernel;
    kernel.programs = Err(harness::Errno::EPERM.into());
    kernel.may_load_programs = false;
    let plan = |kernel: &Kernel| {
        let selection = catalogue::select(&["own/ebpf".into()]).expect("strategies");
        ReloadPlan::new(&arguments(&[]), selection, WINDOW, kernel)
    };
    let refused = plan(&kernel);
    assert!(refused.strategies.is_empty());
    let reasons: Vec<String> = refused.skipped.iter().map(ToString::to_string).collect();
    assert_eq!(
        reasons[0],
        "own/ebpf-drain: loading an eBPF program is EPERM: run as root, outside of containers"
    );
    // A kernel from before migration takes the program, and never asks it.
    kernel.programs = Ok(());
    kernel.has_counters = false;
    let old = plan(&kernel);
    assert_eq!(old.strategies.len(), 1);
    assert!(old.skipped[0].to_string().contains("own/ebpf-migrate: this kernel cannot migrate"));
}

#[test]
fn settings_take_turns_so_that_a_drift_hits_both_alike() {
    let plan = plan_of(&["own/naive", "own/drain", "--reloads", "5"]);
    let settings: Vec<(&str, String)> = plan
        .jobs()
        .iter()
        .map(|(strategy, job)| {
            let shown = |on: &bool| if *on { '1' } else { '0' };
            (strategy.id.as_str(), job.settings.iter().map(shown).collect())
        })
        .collect();
    let turns = ["0110", "1001", "01"];
    let expected: Vec<(&str, String)> = turns
        .into_iter()
        .flat_map(|turn| ["own/naive", "own/drain"].map(|id| (id, turn.to_owned())))
        .collect();
    assert_eq!(settings, expected);
}

#[test]
fn a_zero_stands_for_enough_clients_and_a_quick_run_is_quick() {
    let plan = plan_of(&["own"]);
    let clients = |plan: &ReloadPlan| {
        let jobs = plan.jobs();
        let naive = jobs.iter().filter(|(strategy, _)| strategy.id == "own/naive");
        let time = naive.map(|(_, job)| job.period * job.settings.len() as u32 / 2);
        time.sum::<std::time::Duration>().as_secs_f64() * f64::from(plan.rate)
    };
    assert!(plan.reloads >= 20 && clients(&plan) >= 10_000.0, "{}", clients(&plan));
    assert!(plan_of(&["--quick"]).takes().as_secs() < 20);
}

#[test]
fn workers_that_cannot_keep_up_are_refused() {
    assert_eq!(plan::check(&arguments(&["--pause", "1500"])), Ok(()));
    let why = plan::check(&arguments(&["--pause", "2000"])).expect_err("too long");
    assert!(why.contains("take 1600 or less"), "{why}");
}

/// Every effect, setting, loss, proof and count that a row can have.
fn every_row() -> Vec<Summary> {
    let template = row("own/naive", ListenerEffect::Close, false, &[], 20.0).summary();
    let template = template.expect("reloads");
    let effects = [
        ListenerEffect::Close,
        ListenerEffect::StayOpen,
        ListenerEffect::CloseWhenIdle,
        ListenerEffect::CloseAndProgramMigrates,
        ListenerEffect::CloseLeavingNobody,
        ListenerEffect::Observed,
    ];
    let proofs = [
        Proof::Lost,
        Proof::Invalid,
        Proof::NothingToLose,
        Proof::TooFew,
        Proof::ByOthers,
        Proof::ByItsPair,
    ];
    let mut rows = vec![];
    for effect in effects {
        for proof in proofs {
            for on in [false, true] {
                for (lost, by_server) in [(0, 0), (1, 0), (1, 1), (7, 0), (7, 1), (7, 7)] {
                    for (reloads, closed, rate) in
                        [(1, 0.0, 1000), (1, 1.0, 1000), (20, 0.0, 50), (20, 2.5, 50)]
                    {
                        let attempts = if lost == 1 { 1 } else { 500 };
                        let mut row = Summary {
                            effect,
                            proof,
                            migrate_req: on,
                            reloads,
                            attempts,
                            rate,
                            closed_per_reload: closed,
                            ..template.clone()
                        };
                        row.outcomes = [
                            (Outcome::Answered, attempts - lost),
                            (Outcome::ResetWaiting, lost - by_server),
                            (Outcome::Closed, by_server),
                        ]
                        .into();
                        row.outcomes.retain(|_, count| *count > 0);
                        row.lost_per_reload.mean = lost as f64 / reloads as f64;
                        for others in
                            [None, Some(LossCause::ChildForgotten), Some(LossCause::Unexplained)]
                        {
                            let mut row = row.clone();
                            if let Some(others) = others.filter(|_| row.could_migrate()) {
                                row.causes =
                                    [(LossCause::Server, by_server), (others, lost - by_server)]
                                        .into();
                                row.causes.retain(|_, count| *count > 0);
                            }
                            rows.push(row);
                        }
                    }
                }
            }
        }
    }
    rows
}

/// What is wrong with a sentence, whatever it says.
fn flaws(text: &str) -> Vec<String> {
    let joined = format!(" {} ", text.split_whitespace().collect::<Vec<_>>().join(" "));
    let never = [
        "()",
        "( ",
        " )",
        " 1 clients",
        " 1 reloads",
        " 1 strategies",
        " 1 listeners",
        " 0 of",
        "loses 0",
        " ,",
        " .",
        "..",
        ";;",
        "NaN",
        "inf ",
        " none of none",
    ];
    never.iter().filter(|flaw| joined.contains(**flaw)).map(|flaw| (*flaw).to_owned()).collect()
}

#[test]
fn every_combination_makes_a_sentence() {
    let found = document(&measured(20, 0));
    let mut seen = 0;
    for row in every_row() {
        for pair in [false, true] {
            for here in [None, Some("0"), Some("1")] {
                let mut rows = vec![row.clone()];
                if pair {
                    rows.push(Summary { migrate_req: !row.migrate_req, ..row.clone() });
                }
                let validity = Validity::of(&rows);
                let mut document = ReloadDocument { rows, validity, ..found.clone() };
                document.environment.migrate_req = here.map(str::to_owned);
                let text = answer::text(&document, Some(80), Style::PLAIN);
                let words = text.split_once("In words").expect("they are there").1;
                assert_eq!(flaws(words), Vec::<String>::new(), "{row:?}:\n{words}");
                let advises = words.contains("set net.ipv4.tcp_migrate_req=1");
                assert!(!advises || here != Some("1"), "it is on already:\n{words}");
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 6 * 6 * 2 * 6 * 4 * 3 * 2 * 3);
}

/// What the answer says at its end, of every kind of run.
#[rstest::rstest]
#[case::valid(measured(20, 0), &["valid: what was expected", "zeros mean something"])]
#[case::invalid(measured(9, 0), &["invalid: less was lost", "zeros mean nothing"])]
#[case::nothing_to_lose(
    Measured {
        rows: vec![row("own/passing", ListenerEffect::StayOpen, false, &[], 0.0)],
        ..Measured::default()
    },
    &["unproven: nothing was expected to be lost", "Measure own/naive as well"]
)]
#[case::too_few(
    Measured {
        rows: vec![row("own/naive", ListenerEffect::Close, false, &[(Outcome::ResetWaiting, 1)], 0.1)],
        ..Measured::default()
    },
    &["unproven: too little was expected", "So few clients of own/naive were expected", "--rtt"]
)]
#[case::nothing(Measured::default(), &["unproven: nothing was measured"])]
fn the_end_says_what_the_numbers_are_worth(#[case] measured: Measured, #[case] words: &[&str]) {
    let document = document(&measured);
    let text = answer::text(&document, Some(100), Style::PLAIN);
    let joined = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for word in words {
        assert!(joined.contains(word), "`{word}`: {text}");
    }
    let could_not = joined.contains("has to lose a client");
    assert!(!could_not || document.rows.iter().all(|row| row.lost() == 0), "{text}");
}

#[test]
fn a_heading_counts_in_words() {
    let environment = run::run().environment;
    let text = table::heading(&plan_of(&["own/naive", "--reloads", "1"]), &environment);
    assert!(text.contains("1 strategy, ") && text.contains(": 1 reload each"), "{text}");
    assert_eq!(flaws(&text), Vec::<String>::new(), "{text}");
}
