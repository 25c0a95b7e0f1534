//! Plots, as SVG: losses over time around the reloads, and how long clients waited.

use std::fmt::Write as _;

use reload::row::Row;

/// Off, and on.
const COLOURS: [&str; 2] = ["#c0392b", "#2471a3"];

/// A panel, in pixels, with room for its axes.
const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 150.0;
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
        &groups,
        panel,
    )
}

/// How long clients waited that a reload could concern: a panel for each strategy.
pub fn latencies(rows: &[Row]) -> String {
    let measured = |row: &&Row| !row.near().is_empty();
    let least = rows.iter().filter(measured).map(|row| row.near().min()).min().unwrap_or(1);
    let most = rows.iter().filter(measured).map(|row| row.near().max()).max().unwrap_or(10);
    let (from, to) = ((least.max(1) as f64).log10(), (most.max(2) as f64).log10());
    let (from, to) = (from.min(to - 0.1), to);
    let groups = by_strategy(rows, |group| group.iter().any(measured));
    let panel = |group: &[&Row]| {
        let place = |us: f64| (us.max(1.0).log10() - from) / (to - from);
        let ends = [from, (from + to) / 2.0, to];
        let ticks: Vec<_> = ends
            .iter()
            .map(|at| (place(10_f64.powf(*at)), number(10_f64.powf(*at) / 1e3)))
            .collect();
        let levels = [(0.0, "0".to_owned()), (0.5, "50 %".into()), (1.0, "100 %".into())];
        let mut drawn = axes(&ticks, &levels);
        for row in group.iter().filter(|row| measured(row)) {
            let mut points = String::new();
            for value in row.near().iter_recorded() {
                let x = place(value.value_iterated_to() as f64) * WIDTH;
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
        &groups,
        panel,
    )
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

fn number(value: f64) -> String {
    match value.abs() {
        10.0.. | 0.0 => format!("{value:.0}"),
        _ => format!("{value:.2}"),
    }
}

fn colour(on: bool) -> &'static str {
    COLOURS[usize::from(on)]
}

/// A frame with ticks, each at its share of the way.
fn axes(below: &[(f64, String)], beside: &[(f64, String)]) -> String {
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

fn page(
    title: &str,
    axes: &str,
    groups: &[Vec<&Row>],
    panel: impl Fn(&[&Row]) -> String,
) -> String {
    let lines = groups.len().div_ceil(COLUMNS).max(1) as f64;
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
    for (index, group) in groups.iter().enumerate() {
        let x = LEFT + (index % COLUMNS) as f64 * step_x;
        let y = 60.0 + TOP + (index / COLUMNS) as f64 * step_y;
        let name = group.first().map_or("", |row| row.strategy.as_str());
        let _ = writeln!(svg, r#"<g transform="translate({x:.0} {y:.0})">"#);
        let _ = writeln!(svg, r#"<text y="-8" font-size="13">{name}</text>"#);
        svg.push_str(&panel(group));
        svg.push_str("</g>\n");
    }
    if groups.is_empty() {
        let _ = writeln!(svg, r#"<text x="{LEFT}" y="80">Nothing to show.</text>"#);
    }
    svg + "</svg>\n"
}
