//! The table: a line for each strategy and setting.

use std::fmt::Write as _;

use harness::load::Outcome;
use reload::row::Summary;
use reload::window::{FirstToSpeak, Window};
use scenarios::report::counted;

use crate::cmd::reload::plan::ReloadPlan;
use crate::output::consumer::Environment;
use crate::output::fold;

/// What is measured, and how long it will take.
pub fn heading(plan: &ReloadPlan, environment: &Environment) -> String {
    let settings = match plan.migrates {
        true => "tcp_migrate_req off and on in turns",
        false => "without tcp_migrate_req, which this kernel does not have",
    };
    let who = if environment.root { "as root" } else { "in a user namespace" };
    let fewer: Vec<String> =
        plan.fewer().iter().map(|(server, rate)| format!("{server}: {rate}")).collect();
    let fewer = match fewer.as_slice() {
        [] => String::new(),
        fewer => format!(" ({})", fewer.join(", ")),
    };
    format!(
        "{}, {who}\n{}, {settings}: {} each, {} a second{fewer}\n\
         through {}; about {} s\n\n",
        environment.kernel,
        match plan.strategies.len() {
            1 => "1 strategy".to_owned(),
            many => format!("{many} strategies"),
        },
        counted(plan.reloads, "reload"),
        counted(plan.rate, "client"),
        window(plan),
        plan.takes().as_secs() + 1,
    )
}

/// What makes handshakes last, and where it lasts longer.
fn window(plan: &ReloadPlan) -> String {
    let waiting = plan.server_speaks_first();
    match plan.window {
        Window::Hold { .. } if !waiting.is_empty() => format!(
            "{}, {} ms where the server speaks first ({})",
            plan.window,
            plan.window.span(FirstToSpeak::Server).as_millis(),
            waiting.join(", ")
        ),
        window => window.to_string(),
    }
}

const HEADINGS: [&str; 8] = [
    "strategy",
    "migrate",
    "clients",
    "lost per reload",
    "expected",
    "closed",
    "added ms",
    "migrated",
];

/// The table, in a terminal of this width, if that is known.
pub fn table(rows: &[Summary], width: Option<usize>) -> String {
    let mut lines: Vec<[String; 8]> = vec![HEADINGS.map(str::to_owned)];
    lines.extend(rows.iter().map(line));
    let widths: Vec<usize> = (0..HEADINGS.len())
        .map(|column| lines.iter().map(|l| l[column].chars().count()).max().unwrap_or(0))
        .collect();
    let wide = widths.iter().map(|width| width + 2).sum::<usize>() - 2;
    if let Some(width) = width.filter(|width| *width < wide) {
        let row = |[strategy, setting, cells @ ..]: &[String; 8]| {
            fold::cells(&format!("{strategy} {setting}"), &HEADINGS[2..], cells, width)
        };
        return lines[1..].iter().map(row).collect();
    }
    let mut shown = String::new();
    for line in &lines {
        let mut text = String::new();
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            // Names to the left, numbers to the right.
            let _ = match column {
                0 | 1 => write!(text, "{cell:<width$}  "),
                _ => write!(text, "{cell:>width$}  "),
            };
        }
        shown.push_str(text.trim_end());
        shown.push('\n');
    }
    shown
}

/// What the columns say.
pub const LEGEND: [(&str, &str); 6] = [
    ("clients", "that came, and how many reloads they came through"),
    (
        "lost",
        "clients without an answer at each reload: the mean, and its 95 % confidence interval",
    ),
    (
        "expected",
        "what each reload is expected to lose without migration: handshakes in flight when \
         listeners close (clients a second, times the time that it takes), times these \
         listeners' share; and the children in their queues",
    ),
    (
        "closed",
        "from the order to stop until the last listener was gone, in milliseconds: the median, \
         and the longest",
    ),
    (
        "added",
        "what a reload adds to the time until the answer, in milliseconds: median and 99.9th \
         percentile",
    ),
    (
        "migrated",
        "children and requests that found another listener (TCPMigrateReqSuccess, which counts \
         every move), and that did not (TCPMigrateReqFailure)",
    ),
];

fn line(row: &Summary) -> [String; 8] {
    let estimate = row.lost_per_reload;
    let lost = match estimate.high {
        Some(high) => format!("{:.1} ({:.1}..{high:.1})", estimate.mean, estimate.low),
        None => format!("{:.1}", estimate.mean),
    };
    let closed =
        row.close_ms.map_or("-".into(), |(median, most)| format!("{median:.1} / {most:.1}"));
    let added = row.added_ms().map_or("-".into(), |a| format!("{:.1} / {:.1}", a.p50, a.p99_9));
    let counter = |name: &str| row.counters.get(name).map_or("-".into(), ToString::to_string);
    [
        row.strategy.clone(),
        setting(row).to_owned(),
        format!("{} / {}", row.attempts, row.reloads),
        lost,
        format!("{:.1}", row.expected_per_reload + row.queued_per_reload),
        closed,
        added,
        format!("{} / {}", counter("TCPMigrateReqSuccess"), counter("TCPMigrateReqFailure")),
    ]
}

/// `off` or `on`.
pub fn setting(row: &Summary) -> &'static str {
    if row.migrate_req { "on" } else { "off" }
}

/// How clients were lost: `12 reset before the answer, 3 refused`.
pub fn how_lost(row: &Summary) -> String {
    let lost = row.outcomes.iter().filter(|(outcome, _)| outcome.is_loss());
    let mut words: Vec<String> = lost
        .map(|(outcome, count): (&Outcome, _)| format!("{count} {}", outcome.words()))
        .collect();
    match row.lost_by_server() {
        0 => {}
        1 => words.push("of these, the server itself had accepted 1 and closed it".into()),
        many => {
            words.push(format!("of these, the server itself had accepted {many} and closed them"));
        }
    }
    words.join(", ")
}
