//! What closes cost: in a table, in words, and as a curve.

use std::fmt::Write as _;

use maud::{Markup, html};
use scenarios::report::wrap;

use crate::cmd::reload::close_cost::document::{ClosingDocument, Point, setting};
use crate::cmd::reload::close_cost::plan::CloseCostPlan;
use crate::cmd::reload::plot::{Scale, axes, curve, number, page};
use crate::output::consumer::Environment;
use crate::output::fold;
use crate::style::Style;

/// The widest that sentences become.
const COLUMNS: usize = 92;

/// What is measured, and how long it will take.
pub fn heading(plan: &CloseCostPlan, environment: &Environment) -> String {
    let who = if environment.root { "as root" } else { "in a user namespace" };
    let most = plan.sizes.last().copied().unwrap_or_default();
    format!(
        "{}, {who}\nclose() of a listener with up to {most} children in its accept queue, and \
         another one in its group:\nthe median of {} each; about {} s\n\n",
        environment.kernel,
        plan.rounds,
        plan.takes().as_secs() + 1
    )
}

const HEADINGS: [&str; 7] = ["children", "migrate", "close()", "a child", "lost", "held", "slab"];

/// How wide a line of the table is.
const TABLE: usize = 98;

const LEGEND: [(&str, &str); 6] = [
    ("children", "that wait for accept, each with a segment of data"),
    (
        "close()",
        "how long it took: the median, and the shortest and the longest; sending resets is part \
         of it",
    ),
    ("a child", "the median, divided by the children"),
    ("lost", "clients that were reset in all rounds: all of them, or nobody"),
    (
        "held",
        "what TCP had charged for the children's data, before and after the close; other sockets \
         of this machine are counted, too",
    ),
    ("slab", "what children, their requests and segments took as objects; for root alone"),
];

/// Everything that is shown when nothing more is measured.
pub fn text(document: &ClosingDocument, known_width: Option<usize>, style: Style) -> String {
    let width = known_width.unwrap_or(COLUMNS).min(COLUMNS);
    let mut text = String::new();
    if !document.points.is_empty() {
        let narrow = known_width.filter(|width| *width < TABLE);
        if narrow.is_none() {
            text.push_str(&line(&HEADINGS.map(str::to_owned)));
        }
        for point in &document.points {
            let cells = cells(point);
            text.push_str(&match narrow {
                Some(width) => {
                    let about = format!("{} children, migration {}", cells[0], cells[1]);
                    fold::cells(&about, &HEADINGS[2..], &cells[2..], width)
                }
                None => line(&cells),
            });
        }
        let _ = writeln!(text, "\n{}", fold::legend(&LEGEND, 12, width));
    }
    let mut say = |sentence: &str| {
        for line in wrap(sentence, width.saturating_sub(2)) {
            let _ = writeln!(text, "  {line}");
        }
    };
    for (children, why) in &document.skipped {
        say(&format!("{children} children are not measured: {why}."));
    }
    for error in &document.errors {
        say(&format!("{} {error}", style.red("error")));
    }
    for point in document.points.iter().filter(|point| document.deviates(point)) {
        say(&deviation(point));
    }
    text.push_str(&ending(document));
    text
}

/// What every witness says.
fn deviation(point: &Point) -> String {
    let counted = point.migrated.map_or("none".to_owned(), |migrated| migrated.to_string());
    format!(
        "THE KERNEL DEVIATES: with {} children and migration {}, {} of {} were reset (OutRsts: \
         {}), and {} accepted from the other listener, whose queue had {} (TCPMigrateReqSuccess: \
         {counted}).",
        point.children,
        setting(point.migrate_req),
        point.reset,
        point.all(),
        point.resets_sent,
        point.accepted,
        point.queued,
    )
}

fn line([children, migrate, close, each, lost, held, slab]: &[String; 7]) -> String {
    format!(
        "{children:>8}  {migrate:<7}  {close:>26}  {each:>8}  {lost:>6}  {held:>22}  {slab:>9}\n"
    )
}

fn cells(point: &Point) -> [String; 7] {
    [
        point.children.to_string(),
        setting(point.migrate_req).to_owned(),
        format!("{} ({}..{})", time(point.close_us), time(point.least_us), time(point.most_us)),
        time(point.close_us / f64::from(point.children)),
        point.reset.to_string(),
        format!("{} -> {}", bytes(point.held_bytes), bytes(point.left_bytes)),
        point.slab_bytes.map_or_else(|| "-".to_owned(), bytes),
    ]
}

/// In words: the cost of the longest queue that was measured.
fn ending(document: &ClosingDocument) -> String {
    let mut text = match (document.complete, document.points.is_empty()) {
        (true, _) => "",
        (false, true) => "Interrupted before anything was measured.\n",
        (false, false) => "Interrupted; the table is of what was measured until then.\n",
    }
    .to_owned();
    let largest = |on| document.points.iter().rfind(|point| point.migrate_req == on);
    let moved = largest(true).filter(|_| document.migrates());
    let ends = largest(false).map(|point| (point, "reset"));
    for (point, what) in ends.into_iter().chain(moved.map(|point| (point, "migrate"))) {
        let _ = writeln!(
            text,
            "To {what} {} children takes {}: {} each, in which the thread that closes does \
             nothing else.",
            point.children,
            time(point.close_us),
            time(point.close_us / f64::from(point.children))
        );
    }
    let _ = writeln!(text, "{:.1} s", document.took_ms as f64 / 1e3);
    text
}

/// `0.42 us`, `17 us`, `21 ms`.
fn time(us: f64) -> String {
    match us {
        0.0..10.0 => format!("{us:.2} us"),
        0.0..1000.0 => format!("{us:.0} us"),
        0.0..10_000.0 => format!("{:.2} ms", us / 1e3),
        _ => format!("{:.0} ms", us / 1e3),
    }
}

fn bytes(bytes: i64) -> String {
    match bytes.unsigned_abs() {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", bytes / 1024),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

/// The curve, as SVG: both axes logarithmic.
pub fn plot(document: &ClosingDocument) -> Markup {
    let points = &document.points;
    let across = Scale::of(points.iter().map(|point| f64::from(point.children)));
    let up = Scale::of(points.iter().flat_map(|point| [point.least_us, point.most_us]));
    let tick = |scale: &Scale, value: f64, shown: String| (scale.place(value), shown);
    let below: Vec<_> = across.ends().map(|at| tick(&across, at, format!("{at:.0}"))).into();
    let left: Vec<_> = up.ends().map(|at| tick(&up, at, number(at / 1e3))).into();
    let of = |on: bool| points.iter().filter(move |point| point.migrate_req == on);
    let at = |point: &Point| (across.place(f64::from(point.children)), up.place(point.close_us));
    let drawn = html! {
        (axes(&below, &left))
        @for on in [false, true] { (curve(on, of(on).map(at))) }
    };
    let panels = match points.is_empty() {
        true => vec![],
        false => vec![("the median of close()".to_owned(), drawn)],
    };
    page(
        "What it takes to close a listener",
        "milliseconds, by children in the accept queue, both logarithmic",
        &panels,
    )
}
