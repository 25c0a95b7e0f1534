//! The answer in plain words: the table, a sentence for each row, and what to do.

use std::fmt::Write as _;

use harness::kernel::Migration;
use reload::row::{Proof, Summary};
use reload::strategy::ListenerEffect;
use scenarios::report::wrap;

use crate::cmd::reload::document::{ReloadDocument, Validity};
use crate::cmd::reload::table;
use crate::style::Style;

/// The widest that sentences become.
const COLUMNS: usize = 92;

/// Everything that is shown when nothing more is measured.
pub fn text(document: &ReloadDocument, width: usize, style: Style) -> String {
    let width = width.min(COLUMNS);
    let mut text = String::new();
    if !document.rows.is_empty() {
        text.push_str(&table::table(&document.rows));
        text.push('\n');
        text.push_str(table::LEGEND);
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
    let _ = write!(text, "\n{}", ending(document, style));
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

/// One sentence about a row.
fn words(document: &ReloadDocument, row: &Summary) -> String {
    let (lost, reloads) = (row.lost(), row.reloads);
    let fewer = match row.rate == document.rate {
        true => String::new(),
        false => format!(" ({} a second)", row.rate),
    };
    let of = format!("{} clients{fewer} in {reloads} reloads", row.attempts);
    let how = table::how_lost(row);
    let mean = row.lost_per_reload.mean;
    if document.deviates(row) {
        return format!(
            "THE KERNEL DEVIATES: it must migrate, but {lost} of {of} are lost ({how})."
        );
    }
    match (row.effect, lost) {
        (ListenerEffect::StayOpen, _) if row.closed_per_reload > 0.0 => format!(
            "loses {lost} of {of}: {:.1} listeners closed at each, although none was to close.",
            row.closed_per_reload
        ),
        (ListenerEffect::StayOpen, 0) => format!("loses none of {of}: no listener closes."),
        (ListenerEffect::StayOpen, _) => {
            format!("loses {lost} of {of} ({how}), although no listener has to close.")
        }
        (ListenerEffect::CloseWhenIdle, 0) => {
            format!("loses none of {of}: listeners close when they have nothing in flight.")
        }
        (ListenerEffect::CloseWhenIdle, _) => {
            format!("loses {lost} of {of} ({how}), although nothing should be in flight any more.")
        }
        (ListenerEffect::CloseAndProgramMigrates, 0) => format!(
            "loses none of {of}: a program makes {:.1} migrate at each reload, whatever the \
             setting.",
            row.expected_per_reload
        ),
        (ListenerEffect::CloseAndProgramMigrates, _) => format!(
            "loses {lost} of {of} ({how}), {mean:.2} at each reload: races between a close and a \
             handshake, which no program covers."
        ),
        (ListenerEffect::CloseLeavingNobody, _) => format!(
            "loses {lost} of {of} ({how}): the last listener of a group closes, and there is no \
             target to migrate to."
        ),
        (ListenerEffect::Observed, _) => observed(document, row, &of),
        (ListenerEffect::Close, _) if row.proof == Proof::Invalid => format!(
            "INVALID: loses {lost} of {of}, and must lose {:.1} at each reload; the window was not \
             open.",
            row.expected_per_reload
        ),
        (ListenerEffect::Close, _) if row.lost_too_few() => format!(
            "loses {lost} of {of}, and must lose {:.1} at each reload: so few that chance decides. \
             Use more --reloads.",
            row.expected_per_reload
        ),
        (ListenerEffect::Close, 0) if row.migrate_req => {
            let without = document.pair(row).map(|off| off.lost_per_reload.mean);
            let without = without.unwrap_or(row.expected_per_reload);
            format!("loses none of {of}; without migration it is {without:.1} at each reload.")
        }
        (ListenerEffect::Close, _) if row.migrate_req && row.lost_by_server() == lost => {
            format!("loses {lost} of {of} ({how}): the server closed them; its listeners migrate.")
        }
        (ListenerEffect::Close, _) if row.migrate_req => format!(
            "loses {lost} of {of} ({how}), {mean:.2} at each reload: races between a close and a \
             handshake, which migration does not cover."
        ),
        (ListenerEffect::Close, 0) => format!("loses none of {of}, and closes nothing that could."),
        (ListenerEffect::Close, _) => format!(
            "loses {mean:.1} at each reload, {lost} of {of} ({how}): handshakes in flight with \
             listeners that close."
        ),
    }
}

/// One about a server of which only what was seen says whether it closes listeners.
fn observed(document: &ReloadDocument, row: &Summary, of: &str) -> String {
    let (lost, how, closed) = (row.lost(), table::how_lost(row), row.closed_per_reload);
    let without = document.pair(row).map_or(0.0, |off| off.lost_per_reload.mean);
    match (row.seen_effect(), lost) {
        (ListenerEffect::StayOpen, 0) => format!("loses none of {of}: no listener closed."),
        (ListenerEffect::StayOpen, _) => {
            format!("loses {lost} of {of} ({how}), although no listener closed.")
        }
        (_, 0) if row.migrate_req => format!(
            "loses none of {of}, and closes {closed:.1} listeners at each; without migration it is \
             {without:.1}."
        ),
        (_, 0) => format!("loses none of {of}, although it closes {closed:.1} listeners at each."),
        (_, _) if !row.migrate_req => format!(
            "loses {:.1} at each reload, {lost} of {of} ({how}): it closes {closed:.1} listeners \
             at each.",
            row.lost_per_reload.mean
        ),
        (ListenerEffect::Close, _) => format!(
            "loses {lost} of {of} ({how}): it closes {closed:.1} listeners at each, always while \
             others listen; are they of one group?"
        ),
        _ => format!(
            "loses {lost} of {of} ({how}): it closes {closed:.1} listeners at each, not always \
             when others are there to migrate to."
        ),
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
                "Nothing can be said: with migration off, {} lost less than half of what must be \
                 lost, so that no zero above means anything. The machine may be too busy: try \
                 again, with a lower --rate or a higher --rtt; or, where few must be lost, with \
                 more --reloads.",
                strategies.join(", ")
            )];
        }
        Validity::Unproven => {
            return vec![
                "Nothing that was measured could have lost a client, so that the zeros prove \
                 little. Measure own/naive as well."
                    .into(),
            ];
        }
        Validity::Valid => {}
    }
    let mut advice = Vec::new();
    if document.window_ms.is_some_and(|window| document.load.lag_ms > window) {
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
        advice.push(format!(
            "Where listeners do close while others of their group are there, set \
             net.ipv4.tcp_migrate_req=1: with it {} lost nothing.",
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
            "A zero above stands for {clients} clients and {reloads} reloads; the usual number of \
             reloads and clients, without --quick, makes it stand for more."
        ));
    }
    advice
}

fn lossless(document: &ReloadDocument, which: impl Fn(&Summary) -> bool) -> Vec<&str> {
    let rows = document.rows.iter().filter(|row| which(row) && row.lost() == 0);
    rows.map(|row| row.strategy.as_str()).collect()
}

fn ending(document: &ReloadDocument, style: Style) -> String {
    let interrupted = match document.complete {
        true => "",
        false if document.rows.is_empty() => {
            return "Interrupted before anything was measured.\n".to_owned();
        }
        false => "Interrupted; the table is of what was measured until then.\n",
    };
    let verdict = match document.validity {
        Validity::Valid => style.green("valid"),
        Validity::Invalid { .. } => style.red("invalid"),
        Validity::Unproven => style.yellow("unproven"),
    };
    let window = document
        .window_ms
        .map_or(String::new(), |ms| format!("handshakes in flight for {ms:.1} ms, "));
    format!(
        "{interrupted}{verdict}: {window}clients at most {:.1} ms late, {:.0} us of a processor \
         for each; {:.1} s\n",
        document.load.lag_ms,
        document.load.processor_us,
        document.took_ms as f64 / 1e3
    )
}
