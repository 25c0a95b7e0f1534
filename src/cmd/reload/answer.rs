//! The answer in plain words: the table, a sentence for each row, and what to do.

use std::fmt::Write as _;

use harness::kernel::Migration;
use harness::load::Outcome;
use reload::cause::LossCause;
use reload::row::{Proof, Summary};
use reload::strategy::ListenerEffect;
use scenarios::report::{counted, wrap};

use crate::cmd::reload::document::{ReloadDocument, Validity};
use crate::cmd::reload::table;
use crate::output::fold;
use crate::style::Style;

/// The widest that sentences become.
const COLUMNS: usize = 92;

/// Everything that is shown when nothing more is measured.
pub fn text(document: &ReloadDocument, known_width: Option<usize>, style: Style) -> String {
    let width = known_width.unwrap_or(COLUMNS).min(COLUMNS);
    let mut text = String::new();
    if !document.rows.is_empty() {
        text.push_str(&table::table(&document.rows, known_width));
        text.push('\n');
        text.push_str(&fold::legend(&table::LEGEND, 12, width));
        let _ = writeln!(text, "\n{}", style.bold("In words"));
        for row in &document.rows {
            let sentence =
                format!("{} {}: {}", row.strategy, table::setting(row), words(document, row));
            text.push_str(&indented(&sentence, width));
        }
    }
    if !document.skipped.is_empty() {
        let _ = writeln!(text, "\n{}", style.bold("Not measured"));
        for skipped in &document.skipped {
            text.push_str(&indented(&skipped.to_string(), width));
        }
    }
    for error in &document.errors {
        let _ = write!(text, "\n{} {error}\n", style.red("error"));
    }
    if !document.rows.is_empty() {
        let _ = writeln!(text, "\n{}", style.bold("What to do"));
    }
    for paragraph in advice(document) {
        text.push_str(&indented(&paragraph, width));
    }
    let _ = write!(text, "\n{}", ending(document, width, style));
    text
}

fn indented(paragraph: &str, width: usize) -> String {
    let lines = wrap(paragraph, width.saturating_sub(4));
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        let _ = writeln!(text, "{}{line}", if number == 0 { "  " } else { "    " });
    }
    text
}

/// What is said about a row.
fn words(document: &ReloadDocument, row: &Summary) -> String {
    let sentence = sentence(document, row);
    let waited = row.outcomes.get(&Outcome::TimedOutWaiting).is_some_and(|count| *count > 0);
    match waited && document.server_speaks_first.contains(&row.strategy) {
        true => format!(
            "{sentence} A client that waits for the server to speak sends nothing: it is not \
             reset, and learns of the loss only when it gives up."
        ),
        false => sentence,
    }
}

/// One sentence about a row.
fn sentence(document: &ReloadDocument, row: &Summary) -> String {
    let (lost, loses) = (row.lost(), loses(document, row));
    if document.deviates(row) {
        return match because(row) {
            Some(causes) if row.lost_by(LossCause::Unexplained) > 0 => {
                format!("THE KERNEL DEVIATES: it must migrate, but {loses}: {causes}.")
            }
            _ => format!("THE KERNEL DEVIATES: it must migrate, but {loses}."),
        };
    }
    match (row.effect, lost) {
        (ListenerEffect::StayOpen, _) if row.closed_per_reload > 0.0 => {
            format!("{loses}: it {}, although none was to close.", closes(row))
        }
        (ListenerEffect::StayOpen, 0) => format!("{loses}: no listener closes."),
        (ListenerEffect::StayOpen, _) => format!("{loses}, although no listener has to close."),
        (ListenerEffect::CloseWhenIdle, 0) => {
            format!("{loses}: listeners close when they have nothing in flight.")
        }
        (ListenerEffect::CloseWhenIdle, _) => {
            format!("{loses}, although nothing should be in flight any more.")
        }
        (ListenerEffect::CloseAndProgramMigrates, 0) => {
            let expected = row.expected_per_reload;
            format!(
                "{loses}: a program makes {expected:.1} per reload migrate, whatever the setting."
            )
        }
        (ListenerEffect::CloseAndProgramMigrates, _) => {
            format!("{loses}{}: {}.{}", per_reload(row), causes(row), how(row))
        }
        (ListenerEffect::CloseLeavingNobody, 0) => format!(
            "{loses}, although the last listener of a group closes, and there is no target to \
             migrate to."
        ),
        (ListenerEffect::CloseLeavingNobody, _) => format!(
            "{loses}: the last listener of a group closes, and there is no target to migrate to."
        ),
        (ListenerEffect::Observed, _) => observed(document, row, &loses),
        (ListenerEffect::Close, _) => closing(document, row, &loses),
    }
}

/// `loses 3 of 10000 clients in 20 reloads (3 reset before the answer)`.
fn loses(document: &ReloadDocument, row: &Summary) -> String {
    let fewer = match row.rate == document.rate {
        true => String::new(),
        false => format!(" ({} a second)", row.rate),
    };
    let (clients, reloads) = (counted(row.attempts, "client"), counted(row.reloads, "reload"));
    let of = format!("of {clients}{fewer} in {reloads}");
    match row.lost() {
        0 => format!("loses none {of}"),
        lost => format!("loses {lost} {of} ({})", table::how_lost(row)),
    }
}

/// `, 1.25 per reload`; nothing where there was only one.
fn per_reload(row: &Summary) -> String {
    match row.reloads {
        1 => String::new(),
        _ => format!(", {:.2} per reload", row.lost_per_reload.mean),
    }
}

/// What the same strategy lost without migration: `without migration it lost 26.5 per reload`.
fn without_migration(document: &ReloadDocument, row: &Summary) -> String {
    match document.pair(row) {
        Some(off) => {
            format!("without migration it lost {:.1} per reload", off.lost_per_reload.mean)
        }
        None => format!(
            "without migration it is expected to lose {:.1} per reload",
            row.expected_per_reload
        ),
    }
}

/// About listeners that close while others of their group still listen.
fn closing(document: &ReloadDocument, row: &Summary, loses: &str) -> String {
    let expected = row.expected_per_reload;
    match row.lost() {
        _ if row.proof == Proof::Invalid => format!(
            "INVALID: {loses}, and is expected to lose {expected:.1} per reload; too few \
             handshakes were in flight."
        ),
        _ if row.lost_too_few() => format!(
            "{loses}, and is expected to lose {expected:.1} per reload: so few that chance \
             decides. Use more --reloads."
        ),
        0 if row.migrate_req => format!("{loses}; {}.", without_migration(document, row)),
        0 => format!("{loses}: nothing was in flight or in the queues of listeners that closed."),
        lost if row.migrate_req && row.lost_by_server() == lost => {
            format!("{loses}: the server closed them; its listeners migrate.")
        }
        _ if row.migrate_req => {
            format!("{loses}{}: {}.{}", per_reload(row), causes(row), how(row))
        }
        _ => format!("{loses}{}: handshakes in flight with listeners that close.", per_reload(row)),
    }
}

/// What clients were lost by that could have migrated. Documents of before it was counted do not
/// say; then it was what it mostly is.
fn causes(row: &Summary) -> String {
    because(row).unwrap_or_else(|| cause(LossCause::ChildForgotten, row).to_owned())
}

/// What clients were lost by, and how many if there are several causes; nothing where that is not
/// known.
fn because(row: &Summary) -> Option<String> {
    let words: Vec<String> = match row.causes.len() {
        0 => return None,
        1 => row.causes.keys().map(|one| cause(*one, row).to_owned()).collect(),
        _ => {
            row.causes.iter().map(|(one, count)| format!("{count} {}", cause(*one, row))).collect()
        }
    };
    Some(words.join("; "))
}

/// A cause, in words that follow a number.
fn cause(cause: LossCause, row: &Summary) -> &'static str {
    let by_program = row.effect == ListenerEffect::CloseAndProgramMigrates;
    match cause {
        LossCause::Server => "closed by the server",
        LossCause::MigrationFailed => {
            "whose target closed, too, before they reached it (counted by TCPMigrateReqFailure)"
        }
        LossCause::ChildForgotten if by_program => {
            "by children that are made while their listener closes, which no program covers and no \
             counter of migration tells of (child-forgotten)"
        }
        LossCause::ChildForgotten => {
            "by children that are made while their listener closes, which migration does not cover \
             and no counter of it tells of (child-forgotten)"
        }
        LossCause::Dropped => "that were dropped, since a queue was full (counted by ListenDrops)",
        LossCause::Unexplained => "by nothing that is known to happen while a listener closes",
    }
}

/// Where to read about children that are forgotten.
fn how(row: &Summary) -> &'static str {
    let is_forgotten = row.causes.is_empty() || row.lost_by(LossCause::ChildForgotten) > 0;
    match is_forgotten {
        true => {
            " `sockmig race close/ack` shows how, and docs/race.md what keeps it from happening."
        }
        false => "",
    }
}

/// About a server of which only what was seen says whether it closes listeners.
fn observed(document: &ReloadDocument, row: &Summary, loses: &str) -> String {
    let closes = closes(row);
    match (row.seen_effect(), row.lost()) {
        (ListenerEffect::StayOpen, 0) => format!("{loses}: no listener closed."),
        (ListenerEffect::StayOpen, _) => format!("{loses}, although no listener closed."),
        (_, 0) if row.migrate_req => {
            format!("{loses}, and {closes}; {}.", without_migration(document, row))
        }
        (_, 0) => format!("{loses}, although it {closes}."),
        (_, _) if !row.migrate_req => format!("{loses}{}: it {closes}.", per_reload(row)),
        (ListenerEffect::Close, _) => {
            let causes = because(row).map(|causes| format!(" Lost: {causes}.")).unwrap_or_default();
            let closes = format!("it {closes}, always while others listen");
            format!("{loses}: {closes}; are they of one group?{causes}")
        }
        _ => format!("{loses}: it {closes}, not always when others are there to migrate to."),
    }
}

/// `closes 2.5 listeners per reload`.
fn closes(row: &Summary) -> String {
    let closed = row.closed_per_reload;
    match row.reloads {
        1 => format!("closes {}", counted(closed.round() as u64, "listener")),
        _ => format!("closes {closed:.1} listeners per reload"),
    }
}

/// What to do about it.
fn advice(document: &ReloadDocument) -> Vec<String> {
    if document.rows.is_empty() {
        return vec![];
    }
    match &document.validity {
        Validity::Invalid { strategies } => {
            return vec![format!(
                "Nothing can be said: with migration off, {} lost less than half of what was \
                 expected, so that no zero above means anything. The machine may be too busy: try \
                 again, with a lower --rate or a higher --rtt; or, where few are expected, with \
                 more --reloads.",
                strategies.join(", ")
            )];
        }
        Validity::Unproven => {
            return vec![
                "Nothing that was measured has to lose a client when migration is off, so that \
                 the zeros prove little. Measure own/naive as well."
                    .into(),
            ];
        }
        Validity::TooFew { strategies } => {
            return vec![format!(
                "So few clients of {} were expected to be lost that chance decides, and the \
                 numbers prove little. Measure longer handshakes (a higher --rtt), more clients \
                 (--rate) or more --reloads.",
                strategies.join(", ")
            )];
        }
        Validity::Valid => {}
    }
    let mut advice = Vec::new();
    if document.is_too_busy() {
        advice.push(
            "This machine is too busy for this --rate: clients came late by more than a handshake \
             lasts, in bursts, so that the sizes and delays above are caused by the machine as \
             much as by the kernel."
                .into(),
        );
    }
    let keeps =
        lossless(document, |row| row.seen_effect() == ListenerEffect::StayOpen && !row.migrate_req);
    if !keeps.is_empty() {
        advice.push(format!(
            "Keep the listeners and hand them over, and nothing is lost whatever the kernel is \
             set to: {}.",
            keeps.join(", ")
        ));
    }
    let saved =
        lossless(document, |row| row.seen_effect() == ListenerEffect::Close && row.migrate_req);
    if !saved.is_empty() {
        let set = match document.environment.migrate_req.as_deref() {
            Some("1") => "leave net.ipv4.tcp_migrate_req at 1, as it is here",
            _ => "set net.ipv4.tcp_migrate_req=1",
        };
        advice.push(format!(
            "Where listeners do close while others of their group are there, {set}: with it {} \
             lost nothing.",
            saved.join(", ")
        ));
    }
    let by_program = |row: &Summary| {
        matches!(
            row.effect,
            ListenerEffect::CloseWhenIdle | ListenerEffect::CloseAndProgramMigrates
        )
    };
    let steered = lossless(document, |row| by_program(row) && !row.migrate_req);
    if !steered.is_empty() {
        advice.push(format!(
            "Where the sysctl cannot be set, an eBPF program saves the connections as well, if you \
             may load one: {}.",
            steered.join(", ")
        ));
    }
    if document.environment.kernel.migration() != Migration::Works {
        advice.push("This kernel cannot migrate; Linux 5.14 and later can.".into());
    }
    if document
        .rows
        .iter()
        .any(|row| row.seen_effect() == ListenerEffect::CloseLeavingNobody && row.lost() > 0)
    {
        advice.push(
            "Start the new listeners before the old ones close: migration needs another listener \
             in the group."
                .into(),
        );
    }
    let least = document.rows.iter().map(|row| (row.attempts, row.reloads)).min();
    if let Some((clients, reloads)) = least.filter(|least| least.0 < 10_000 || least.1 < 20) {
        advice.push(format!(
            "A zero above stands for {} and {}; the usual number of reloads and clients, without \
             --quick, makes it stand for more.",
            counted(clients, "client"),
            counted(reloads, "reload")
        ));
    }
    advice
}

fn lossless(document: &ReloadDocument, which: impl Fn(&Summary) -> bool) -> Vec<&str> {
    let rows = document.rows.iter().filter(|row| which(row) && row.lost() == 0);
    rows.map(|row| row.strategy.as_str()).collect()
}

fn ending(document: &ReloadDocument, width: usize, style: Style) -> String {
    let interrupted = match document.complete {
        true => "",
        false if document.rows.is_empty() => {
            return "Interrupted before anything was measured.\n".to_owned();
        }
        false => "Interrupted; the table is of what was measured until then.\n",
    };
    let (verdict, meaning) = match document.validity {
        _ if document.rows.is_empty() => (style.yellow("unproven"), "nothing was measured"),
        Validity::Valid => (
            style.green("valid"),
            "what was expected to be lost without migration was lost, so that zeros mean something",
        ),
        Validity::Invalid { .. } => (
            style.red("invalid"),
            "less was lost without migration than expected, so that zeros mean nothing",
        ),
        Validity::Unproven => (
            style.yellow("unproven"),
            "nothing was expected to be lost without migration, so that zeros prove little",
        ),
        Validity::TooFew { .. } => (
            style.yellow("unproven"),
            "too little was expected to be lost without migration, so that zeros prove little",
        ),
    };
    let verdict = format!("{verdict}: {meaning}");
    let window = document
        .window_ms
        .map_or(String::new(), |ms| format!("handshakes in flight for {ms:.1} ms, "));
    let verdict = wrap(&verdict, width).join("\n");
    let load = format!(
        "{window}clients at most {:.1} ms late, {:.0} us of a processor for each; {:.1} s",
        document.load.lag_ms,
        document.load.processor_us,
        document.took_ms as f64 / 1e3
    );
    format!("{interrupted}{verdict}\n{}\n", wrap(&load, width).join("\n"))
}
