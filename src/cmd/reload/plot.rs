//! Plots, as SVG: losses over time around the reloads, and how long clients waited.

use std::fmt::Write as _;

use maud::{Markup, html};
use reload::row::ReloadRow;

/// Off, and on.
const COLOURS: [&str; 2] = ["#c0392b", "#2471a3"];

/// A panel, in pixels, with room for its axes.
pub const WIDTH: f64 = 360.0;
pub const HEIGHT: f64 = 150.0;
const LEFT: f64 = 52.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 40.0;
const COLUMNS: usize = 2;

/// How many bars a panel of losses has.
const BARS: usize = 60;

/// Losses over time around the reloads: a panel for each strategy that lost anything.
pub fn losses(rows: &[ReloadRow]) -> Markup {
    let lost = |row: &&ReloadRow| !row.lost_at_ms().is_empty();
    let all = || rows.iter().filter(lost).flat_map(ReloadRow::lost_at_ms).copied();
    let from = all().fold(0.0, f64::min).floor();
    let to = all().fold(1.0, f64::max).ceil();
    let groups = by_strategy(rows, |group| group.iter().any(lost));
    let panel = |group: &[&ReloadRow]| {
        let counts: Vec<(bool, Vec<f64>)> =
            group.iter().map(|row| (row.on, histogram(row, from, to))).collect();
        let highest = counts.iter().flat_map(|(_, bars)| bars).copied().fold(0.0, f64::max);
        let highest = highest.max(f64::MIN_POSITIVE);
        let width = WIDTH / BARS as f64;
        html! {
            (axes(&ticks(from, to), &[(0.0, "0".into()), (1.0, number(highest))]))
            @for (on, bars) in &counts {
                @for (index, bar) in bars.iter().enumerate().filter(|(_, bar)| **bar > 0.0) {
                    @let height = bar / highest * HEIGHT;
                    rect x=(tenths(index as f64 * width)) y=(tenths(HEIGHT - height))
                        width=(tenths(width)) height=(tenths(height))
                        fill=(colour(*on)) fill-opacity="0.7" {}
                }
            }
        }
    };
    page(
        "Clients lost at a reload, over time",
        "milliseconds from the order to stop; clients per reload in each bar",
        &drawn(&groups, panel),
    )
}

/// How long clients waited that a reload could concern: a panel for each strategy.
pub fn latencies(rows: &[ReloadRow]) -> Markup {
    let measured = |row: &&ReloadRow| !row.near().is_empty();
    let ends = |row: &ReloadRow| [row.near().min().max(1) as f64, row.near().max() as f64];
    let scale = Scale::of(rows.iter().filter(measured).flat_map(ends));
    let groups = by_strategy(rows, |group| group.iter().any(measured));
    let panel = |group: &[&ReloadRow]| {
        let ticks = scale.ends().map(|at| (scale.place(at), number(at / 1e3)));
        let levels = [(0.0, "0".to_owned()), (0.5, "50 %".into()), (1.0, "100 %".into())];
        html! {
            (axes(&ticks, &levels))
            @for row in group.iter().filter(|row| measured(row)) {
                (curve(row.on, row.near().iter_recorded().map(|value| {
                    let waited = value.value_iterated_to().max(1) as f64;
                    (scale.place(waited), value.percentile() / 100.0)
                })))
            }
        }
    };
    page(
        "How long clients waited for their answers around a reload",
        "milliseconds from SYN to the first byte, logarithmic; share of the clients",
        &drawn(&groups, panel),
    )
}

/// A panel for each group, with its name.
fn drawn(
    groups: &[Vec<&ReloadRow>],
    panel: impl Fn(&[&ReloadRow]) -> Markup,
) -> Vec<(String, Markup)> {
    let name =
        |group: &[&ReloadRow]| group.first().map_or(String::new(), |row| row.strategy.clone());
    groups.iter().map(|group| (name(group), panel(group))).collect()
}

/// A logarithmic axis.
pub struct Scale {
    from: f64,
    to: f64,
}

impl Scale {
    /// From the least to the greatest of `values`, which are positive.
    pub fn of(values: impl Iterator<Item = f64> + Clone) -> Self {
        let from = values.clone().fold(f64::INFINITY, f64::min).log10();
        let to = values.fold(f64::MIN_POSITIVE, f64::max).log10();
        // Of a single value, or none, there is an axis, too.
        let from = from.min(to - 0.1);
        Self { from, to }
    }

    /// At which share of the way a value is.
    pub fn place(&self, value: f64) -> f64 {
        (value.max(f64::MIN_POSITIVE).log10() - self.from) / (self.to - self.from)
    }

    /// Both ends, and what is between them.
    pub fn ends(&self) -> [f64; 3] {
        [self.from, f64::midpoint(self.from, self.to), self.to].map(|at| 10_f64.powf(at))
    }
}

/// Rows of one strategy each, of the strategies that are `wanted`.
fn by_strategy(rows: &[ReloadRow], wanted: impl Fn(&[&ReloadRow]) -> bool) -> Vec<Vec<&ReloadRow>> {
    let groups = rows.chunk_by(|one, other| one.strategy == other.strategy);
    groups
        .map(|group| group.iter().collect())
        .filter(|group: &Vec<&ReloadRow>| wanted(group))
        .collect()
}

/// Losses per reload in each of [`BARS`] equal parts of the time.
fn histogram(row: &ReloadRow, from: f64, to: f64) -> Vec<f64> {
    let mut bars = vec![0.0; BARS];
    for at in row.lost_at_ms() {
        let index = ((at - from) / (to - from) * BARS as f64) as usize;
        bars[index.min(BARS - 1)] += 1.0 / row.reloads() as f64;
    }
    bars
}

/// Both ends, and 0 where it is between and not too near to one.
fn ticks(from: f64, to: f64) -> Vec<(f64, String)> {
    let place = |at: f64| (at - from) / (to - from);
    let is_apart = |at: &f64| (0.1..0.9).contains(&place(*at));
    let zero = Some(0.0).filter(is_apart);
    [from].into_iter().chain(zero).chain([to]).map(|at| (place(at), number(at))).collect()
}

pub fn number(value: f64) -> String {
    match value.abs() {
        10.0.. | 0.0 => format!("{value:.0}"),
        _ => format!("{value:.2}"),
    }
}

pub fn colour(on: bool) -> &'static str {
    COLOURS[usize::from(on)]
}

/// A frame with ticks, each at its share of the way.
pub fn axes(across: &[(f64, String)], up: &[(f64, String)]) -> Markup {
    html! {
        rect width=(WIDTH) height=(HEIGHT) fill="none" stroke="#999" {}
        @for (share, text) in across {
            text x=(tenths(share * WIDTH)) y=(tenths(HEIGHT + 14.0)) text-anchor="middle" { (text) }
        }
        @for (share, text) in up {
            text x="-4" y=(tenths(HEIGHT * (1.0 - share) + 4.0)) text-anchor="end" { (text) }
        }
    }
}

/// A curve through points, each at its shares of the way to the right and up.
pub fn curve(on: bool, points: impl Iterator<Item = (f64, f64)>) -> Markup {
    let mut places = String::new();
    for (across, up) in points {
        let separator = if places.is_empty() { "" } else { " " };
        let (x, y) = (across * WIDTH, HEIGHT * (1.0 - up));
        let _ = write!(places, "{separator}{x:.1},{y:.1}");
    }
    html! { polyline points=(places) fill="none" stroke=(colour(on)) stroke-width="1.5" {} }
}

/// Panels with their names, under a title.
pub fn page(title: &str, axes: &str, panels: &[(String, Markup)]) -> Markup {
    let lines = panels.len().div_ceil(COLUMNS).max(1) as f64;
    let (step_x, step_y) = (LEFT + WIDTH + 20.0, TOP + HEIGHT + BOTTOM);
    let (width, height) = (step_x * COLUMNS as f64, 60.0 + lines * step_y);
    let place = |index: usize| {
        let x = LEFT + (index % COLUMNS) as f64 * step_x;
        let y = 60.0 + TOP + (index / COLUMNS) as f64 * step_y;
        format!("translate({x:.0} {y:.0})")
    };
    html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox={ "0 0 " (width) " " (height) }
            font-family="sans-serif" font-size="11" {
            rect width="100%" height="100%" fill="white" {}
            text x=(LEFT) y="22" font-size="15" { (title) }
            text x=(LEFT) y="40" {
                (axes) "; "
                tspan fill=(colour(false)) { "tcp_migrate_req off" } ", "
                tspan fill=(colour(true)) { "on" }
            }
            @for (index, (name, drawn)) in panels.iter().enumerate() {
                g transform=(place(index)) {
                    text y="-8" font-size="13" { (name) }
                    (drawn)
                }
            }
            @if panels.is_empty() {
                text x=(LEFT) y="80" { "Nothing to show." }
            }
        }
        "\n"
    }
}

/// A length as an attribute has it.
fn tenths(length: f64) -> String {
    format!("{length:.1}")
}
