//! What is shown of closes, without closing anything.

use clap::Parser;
use rstest::rstest;

use crate::cli::{Arguments, Command};
use crate::cmd::reload::close_cost::*;
use crate::fixture::run;

/// A close that did what it must, and took so long.
fn cost(closing: Closing, close_us: f64) -> Cost {
    let Closing { children, on } = closing;
    let held_bytes = i64::from(children) * 4096;
    Cost {
        close_us,
        reset: if on { 0 } else { children.into() },
        resets_sent: if on { 0 } else { children.into() },
        queued: if on { children } else { 0 },
        accepted: if on { children } else { 0 },
        migrated: Some(if on { children.into() } else { 0 }),
        held_bytes,
        left_bytes: if on { held_bytes } else { 0 },
        slab_bytes: Some(i64::from(children) * 3500),
    }
}

fn document() -> ClosingDocument {
    let point = |children: u32, on, us: f64| {
        let closing = Closing { children, on };
        let costs = [1.5, 1.0, 0.9].map(|factor| cost(closing, us * factor));
        Point::of(closing, &costs).expect("costs")
    };
    ClosingDocument {
        schema: SCHEMA,
        sockmig: "0.0.0".into(),
        environment: run::run().environment,
        rounds: 3,
        complete: true,
        points: vec![
            point(1, false, 9.0),
            point(1, true, 5.0),
            point(10_000, false, 29_000.0),
            point(10_000, true, 4_200.0),
        ],
        skipped: [(50_000, "it takes up to 390 MiB of memory, and 256 MiB can be had".into())]
            .into(),
        errors: vec![],
        took_ms: 4_200,
    }
}

#[test]
fn closes_are_told_in_a_table_and_in_words() {
    insta::assert_snapshot!("closing", answer::text(&document(), Some(100), Style::PLAIN));
}

#[test]
fn the_median_counts() {
    let point = &document().points[2];
    assert_eq!((point.close_us, point.least_us, point.most_us), (29_000.0, 26_100.0, 43_500.0));
    assert_eq!((point.reset, point.accepted, point.held_bytes), (30_000, 0, 40_960_000));
}

#[test]
fn a_single_child_that_is_lost_with_migration_on_is_a_deviation() {
    let mut document = document();
    assert_eq!(document.exit(), Exit::Expected);
    let lost = &mut document.points[3];
    (lost.reset, lost.resets_sent) = (1, 1);
    (lost.queued, lost.accepted) = (29_999, 29_999);
    assert_eq!(document.exit(), Exit::Deviates);
    let text = answer::text(&document, Some(100), Style::PLAIN);
    assert!(text.contains("THE KERNEL DEVIATES: with 10000 children and migration on, 1 of"));
    // A kernel without migration cannot save anybody.
    document.points.truncate(1);
    document.environment.kernel.has_sysctl = false;
    assert_eq!(document.exit(), Exit::Expected);
    document.points[0].reset -= 1;
    assert_eq!(document.exit(), Exit::Deviates);
}

#[test]
fn nothing_is_said_to_migrate_where_nothing_does() {
    let mut document = document();
    let text = |document: &ClosingDocument| answer::text(document, Some(100), Style::PLAIN);
    assert!(text(&document).contains("To migrate 10000 children"));
    document.environment.kernel.has_sysctl = false;
    assert!(!text(&document).contains("To migrate"));
    assert!(text(&document).contains("To reset 10000 children"));
}

/// What a witness says otherwise than the others is a deviation, whichever it is.
#[rstest]
#[case::the_wire(|point: &mut Point| point.reset += 1)]
#[case::the_count_of_resets(|point: &mut Point| point.resets_sent += 1)]
#[case::the_queue(|point: &mut Point| point.queued += 1)]
#[case::accept(|point: &mut Point| point.accepted += 1)]
#[case::the_count_of_migrations(|point: &mut Point| point.migrated = Some(1))]
fn every_witness_counts(#[case] otherwise: fn(&mut Point)) {
    for nth in 0..4 {
        let mut document = document();
        otherwise(&mut document.points[nth]);
        assert_eq!(document.exit(), Exit::Deviates, "{:?}", document.points[nth]);
    }
}

#[rstest]
#[case(&[], &[1, 10, 100, 1000, 10_000, 50_000], 5)]
#[case(&["--quick"], &[1, 10, 100, 1000], 3)]
#[case(&["--most", "10000"], &[1, 10, 100, 1000, 10_000], 5)]
#[case(&["--most", "20000", "--quick"], &[1, 10, 100, 1000, 10_000, 20_000], 3)]
#[case(&["--most", "1"], &[1], 5)]
fn sizes_grow_to_the_most(#[case] line: &[&str], #[case] sizes: &[u32], #[case] rounds: u32) {
    let line = ["sockmig", "reload", "--close-cost"].iter().chain(line);
    let parsed = Arguments::try_parse_from(line).expect("a command line");
    let Some(Command::Reload(arguments)) = parsed.command else { panic!("another command") };
    let plan = CloseCostPlan::new(&arguments, true);
    assert_eq!((&plan.sizes[..], plan.rounds), (sizes, rounds));
    assert_eq!(plan.closings().len(), sizes.len() * 2 * rounds as usize);
}

#[test]
fn the_curve_has_a_line_for_each_setting() {
    let plot = answer::plot(&document()).into_string();
    assert_eq!(plot.matches("<polyline ").count(), 2, "{plot}");
    assert!(!plot.contains("NaN") && !plot.contains("inf"), "{plot}");
    let nothing = ClosingDocument { points: vec![], ..document() };
    assert!(answer::plot(&nothing).into_string().contains("Nothing to show"));
    assert_eq!(nothing.exit(), Exit::NothingRan);
}
