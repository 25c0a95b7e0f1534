//! Plots, as SVG: losses over time around the reloads, and how long clients waited.

use std::fmt::Write as _;

use reload::row::Row;

/// Off, and on.
const COLOURS: [&str; 2] = ["#c0392b", "#2471a3"];

/// A panel, in pixels, with room for its axes.
pub(super) const WIDTH: f64 = 360.0;
pub(super) const HEIGHT: f64 = 150.0;
const LEFT: f64 = 52.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 40.0;
const COLUMNS: usize = 2;

/// How many bars a panel of losses has.
const BARS: usize = 60;

/// Losses over time around the reloads: a panel for each strategy that lost anything.
pub fn losses(rows: &[Row]) -> String {
    let lost = |row: &&Row| !row.lost_at_ms().is_empty();
    let all = || rows.iter().filter(lost).flat_map(Row::lost_at_ms).copied();
    let from = all().fold(0.0, f64::min).floor();
    let to = all().fold(1.0, f64::max).ceil();
    let groups = by_strategy(rows, |group| group.iter().any(lost));
    let panel = |group: &[&Row]| {
        let counts: Vec<(bool, Vec<f64>)> =
            group.iter().map(|row| (row.on, histogram(row, from, to))).collect();
        let highest = counts.iter().flat_map(|(_, bars)| bars).copied().fold(0.0, f64::max);
        let highest = highest.max(f64::MIN_POSITIVE);
        let mut drawn = axes(&ticks(from, to), &[(0.0, "0".into()), (1.0, number(highest))]);
        let width = WIDTH / BARS as f64;
        for (on, bars) in &counts {
            for (index, bar) in bars.iter().enumerate().filter(|(_, bar)| **bar > 0.0) {
                let height = bar / highest * HEIGHT;
                let _ = writeln!(
                    drawn,
                    r#"<rect x="{:.1}" y="{:.1}" width="{width:.1}" height="{height:.1}" fill="{}" fill-opacity="0.7"/>"#,
                    index as f64 * width,
                    HEIGHT - height,
                    colour(*on)
                );
            }
        }
        drawn
    };
    page(
        "Clients lost at a reload, over time",
        "milliseconds from the order to stop; clients per reload in each bar",
        &drawn(&groups, panel),
    )
}

/// How long clients waited that a reload could concern: a panel for each strategy.
pub fn latencies(rows: &[Row]) -> String {
    let measured = |row: &&Row| !row.near().is_empty();
    let ends = |row: &Row| [row.near().min().max(1) as f64, row.near().max() as f64];
    let scale = Scale::of(rows.iter().filter(measured).flat_map(ends));
    let groups = by_strategy(rows, |group| group.iter().any(measured));
    let panel = |group: &[&Row]| {
        let ticks = scale.ends().map(|at| (scale.place(at), number(at / 1e3)));
        let levels = [(0.0, "0".to_owned()), (0.5, "50 %".into()), (1.0, "100 %".into())];
        let mut drawn = axes(&ticks, &levels);
        for row in group.iter().filter(|row| measured(row)) {
            let mut points = String::new();
            for value in row.near().iter_recorded() {
                let x = scale.place(value.value_iterated_to().max(1) as f64) * WIDTH;
                let _ =
                    write!(points, "{x:.1},{:.1} ", HEIGHT * (1.0 - value.percentile() / 100.0));
            }
            let points = points.trim_end();
            let _ = writeln!(
                drawn,
                r#"<polyline points="{points}" fill="none" stroke="{}" stroke-width="1.5"/>"#,
                colour(row.on)
            );
        }
        drawn
    };
    page(
        "How long clients waited for their answers around a reload",
        "milliseconds from SYN to the first byte, logarithmic; share of the clients",
        &drawn(&groups, panel),
    )
}

/// A panel for each group, with its name.
fn drawn(groups: &[Vec<&Row>], panel: impl Fn(&[&Row]) -> String) -> Vec<(String, String)> {
    let name = |group: &[&Row]| group.first().map_or(String::new(), |row| row.strategy.clone());
    groups.iter().map(|group| (name(group), panel(group))).collect()
}

/// A logarithmic axis.
pub(super) struct Scale {
    from: f64,
    to: f64,
}

impl Scale {
    /// From the least to the greatest of `values`, which are positive.
    pub(super) fn of(values: impl Iterator<Item = f64> + Clone) -> Self {
        let from = values.clone().fold(f64::INFINITY, f64::min).log10();
        let to = values.fold(f64::MIN_POSITIVE, f64::max).log10();
        // Of a single value, or none, there is an axis, too.
        let from = from.min(to - 0.1);
        Self { from, to }
    }

    /// At which share of the way a value is.
    pub(super) fn place(&self, value: f64) -> f64 {
        (value.max(f64::MIN_POSITIVE).log10() - self.from) / (self.to - self.from)
    }

    /// Both ends, and what is between them.
    pub(super) fn ends(&self) -> [f64; 3] {
        [self.from, f64::midpoint(self.from, self.to), self.to].map(|at| 10_f64.powf(at))
    }
}

/// Rows of one strategy each, of the strategies that are `wanted`.
fn by_strategy(rows: &[Row], wanted: impl Fn(&[&Row]) -> bool) -> Vec<Vec<&Row>> {
    let groups = rows.chunk_by(|one, other| one.strategy == other.strategy);
    groups.map(|group| group.iter().collect()).filter(|group: &Vec<&Row>| wanted(group)).collect()
}

/// Losses per reload in each of [`BARS`] equal parts of the time.
fn histogram(row: &Row, from: f64, to: f64) -> Vec<f64> {
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

pub(super) fn number(value: f64) -> String {
    match value.abs() {
        10.0.. | 0.0 => format!("{value:.0}"),
        _ => format!("{value:.2}"),
    }
}

pub(super) fn colour(on: bool) -> &'static str {
    COLOURS[usize::from(on)]
}

/// A frame with ticks, each at its share of the way.
pub(super) fn axes(below: &[(f64, String)], beside: &[(f64, String)]) -> String {
    let mut drawn =
        format!("<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"none\" stroke=\"#999\"/>\n");
    for (share, text) in below {
        let _ = writeln!(
            drawn,
            r#"<text x="{:.1}" y="{:.1}" text-anchor="middle">{text}</text>"#,
            share * WIDTH,
            HEIGHT + 14.0
        );
    }
    for (share, text) in beside {
        let _ = writeln!(
            drawn,
            r#"<text x="-4" y="{:.1}" text-anchor="end">{text}</text>"#,
            HEIGHT * (1.0 - share) + 4.0
        );
    }
    drawn
}

pub(super) fn page(title: &str, axes: &str, panels: &[(String, String)]) -> String {
    let lines = panels.len().div_ceil(COLUMNS).max(1) as f64;
    let (step_x, step_y) = (LEFT + WIDTH + 20.0, TOP + HEIGHT + BOTTOM);
    let (width, height) = (step_x * COLUMNS as f64, 60.0 + lines * step_y);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" font-size=\"15\">{title}</text>\n\
         <text x=\"{LEFT}\" y=\"40\">{axes}; \
         <tspan fill=\"{}\">tcp_migrate_req off</tspan>, <tspan fill=\"{}\">on</tspan></text>\n",
        COLOURS[0], COLOURS[1]
    );
    for (index, (name, drawn)) in panels.iter().enumerate() {
        let x = LEFT + (index % COLUMNS) as f64 * step_x;
        let y = 60.0 + TOP + (index / COLUMNS) as f64 * step_y;
        let _ = writeln!(svg, r#"<g transform="translate({x:.0} {y:.0})">"#);
        let _ = writeln!(svg, r#"<text y="-8" font-size="13">{name}</text>"#);
        svg.push_str(drawn);
        svg.push_str("</g>\n");
    }
    if panels.is_empty() {
        let _ = writeln!(svg, r#"<text x="{LEFT}" y="80">Nothing to show.</text>"#);
    }
    svg + "</svg>\n"
}
