//! What is told of closes, without closing anything.

use super::*;
use crate::tests::fixture;

/// A close that did what it must, and took so long.
fn cost(closing: Closing, close_us: f64) -> Cost {
    let Closing { children, on } = closing;
    let held_bytes = i64::from(children) * 4096;
    Cost {
        close_us,
        reset: if on { 0 } else { children },
        accepted: if on { children } else { 0 },
        migrated: Some(if on { children.into() } else { 0 }),
        held_bytes,
        left_bytes: if on { held_bytes } else { 0 },
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
        environment: fixture::run().environment,
        rounds: 3,
        complete: true,
        points: vec![
            point(1, false, 9.0),
            point(1, true, 5.0),
            point(10_000, false, 29_000.0),
            point(10_000, true, 4_200.0),
        ],
        skipped: [(50_000, "it takes 50064 descriptors, and there are 1024".into())].into(),
        troubles: vec![],
        took_ms: 4_200,
    }
}

#[test]
fn closes_are_told_in_a_table_and_in_words() {
    insta::assert_snapshot!("closing", answer::text(&document(), 100, Style::PLAIN));
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
    document.points[3].reset = 1;
    document.points[3].accepted -= 1;
    assert_eq!(document.exit(), Exit::Deviates);
    let text = answer::text(&document, 100, Style::PLAIN);
    assert!(text.contains("THE KERNEL DEVIATES: with 10000 children and migration on, 1 of"));
    // A kernel without migration cannot save anybody.
    document.points.truncate(1);
    document.environment.kernel.has_sysctl = false;
    assert_eq!(document.exit(), Exit::Expected);
    document.points[0].reset -= 1;
    assert_eq!(document.exit(), Exit::Deviates);
}

#[test]
fn the_curve_has_a_line_for_each_setting() {
    let plot = answer::plot(&document());
    assert_eq!(plot.matches("<polyline ").count(), 2, "{plot}");
    assert!(!plot.contains("NaN") && !plot.contains("inf"), "{plot}");
    let nothing = ClosingDocument { points: vec![], ..document() };
    assert!(answer::plot(&nothing).contains("Nothing to show"));
    assert_eq!(nothing.exit(), Exit::NothingRan);
}
