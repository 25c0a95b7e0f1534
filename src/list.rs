//! `sockmig list` and `sockmig explain`: the cases without running them.

use std::io::{self, Write};

use scenarios::case::{Migration, Need, Selected};
use scenarios::catalogue::{self, NoSuchId};
use scenarios::known::{self, Known};
use scenarios::report::wrap;

use crate::exit::Exit;
use crate::output::Stdout;

/// Columns that an id gets.
const ID_COLUMNS: usize = 40;

/// One id a line, and what the case does.
pub fn list(prefixes: &[String]) -> Exit {
    written(catalogue::select(prefixes), |selection, to| {
        selection.iter().try_for_each(|selected| {
            let does = selected.case.does.split_inclusive(';').next().unwrap_or_default();
            writeln!(to, "{:<ID_COLUMNS$} {}", selected.id(), does.trim_end_matches(';'))
        })
    })
}

/// The teaching page of each case that an id is the start of.
pub fn explain(id: &str) -> Exit {
    written(catalogue::select(&[id.to_owned()]), |selection, to| {
        let mut told = "";
        for selected in selection {
            if selected.case.name != told {
                if !told.is_empty() {
                    writeln!(to)?;
                }
                told = selected.case.name;
                explain_case(selected, selection, to)?;
            }
        }
        Ok(())
    })
}

fn written(
    selection: Result<Vec<Selected>, NoSuchId>,
    write: impl FnOnce(&[Selected], &mut Stdout) -> io::Result<()>,
) -> Exit {
    let selection = match selection {
        Ok(selection) => selection,
        Err(unknown) => {
            eprintln!("sockmig: {unknown}");
            return Exit::NothingRan;
        }
    };
    let mut to = Stdout::new();
    match write(&selection, &mut to).and_then(|()| to.flush()) {
        Ok(()) => Exit::Expected,
        Err(e) => {
            eprintln!("sockmig: cannot write to standard output: {e}");
            Exit::Unavailable
        }
    }
}

fn explain_case(selected: &Selected, selection: &[Selected], to: &mut Stdout) -> io::Result<()> {
    let case = selected.case;
    writeln!(to, "{}", case.name)?;
    paragraph(to, "does", case.does)?;
    paragraph(to, "must", case.must)?;
    paragraph(to, "source", case.source)?;
    let needs: Vec<&str> = selected.needs().iter().map(|need| described(*need)).collect();
    if !needs.is_empty() {
        paragraph(to, "needs", &needs.join("; "))?;
    }
    let about = |known: &&Known| case.selected().any(|selected| known.names(&selected.id()));
    for known in known::all().iter().filter(about) {
        let fix = known.fix.as_ref().map_or_else(String::new, |fix| format!(" Fixed by {fix}."));
        let kernels: Vec<String> = known.kernels.iter().map(ToString::to_string).collect();
        let text = format!("Linux {}: {}{fix}", kernels.join(", "), known.reason);
        paragraph(to, "but", &text)?;
    }
    for selected in selection.iter().filter(|other| other.case.name == case.name) {
        expectation(selected, to)?;
    }
    Ok(())
}

/// What is expected in IPv4; the other families differ in nothing that is shown.
fn expectation(selected: &Selected, to: &mut Stdout) -> io::Result<()> {
    if selected.setting.family != harness::Family::V4 {
        return Ok(());
    }
    let migration = match selected.setting.migration {
        Migration::Off => "with tcp_migrate_req = 0",
        Migration::On => "with tcp_migrate_req = 1",
    };
    writeln!(to, "\n  {} ({migration}) must observe:", selected.id())?;
    let must = selected.expectation();
    for (name, acceptable) in &must.facts {
        let shown = acceptable.to_string();
        // Counters that must not move are many and say little.
        if !shown.starts_with("0 or") && shown != "0" {
            writeln!(to, "    {name}: {shown}")?;
        }
    }
    for wire in &must.wires {
        writeln!(to, "    the wire of {}:", wire.actor)?;
        for line in wire.text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let indent = if line.starts_with(['*', '~']) { "" } else { "  " };
            writeln!(to, "      {indent}{line}")?;
        }
    }
    writeln!(to, "  See it: sockmig run {} --trace", selected.id())
}

fn paragraph(to: &mut Stdout, label: &str, text: &str) -> io::Result<()> {
    let mut label = label;
    for line in wrap(text, 76) {
        writeln!(to, "  {label:<7} {line}")?;
        label = "";
    }
    Ok(())
}

fn described(need: Need) -> &'static str {
    match need {
        Need::Migration => "Linux 5.14, which has migration",
        Need::Gate => "nftables, or a filter on a listener, to hold the final ACK",
        Need::Md5 => "TCP's MD5 signatures (CONFIG_TCP_MD5SIG)",
        Need::Programs => "eBPF programs",
        Need::SecondUid => "a second user: root, or a second mapped uid",
        Need::Ipv6 => "IPv6",
    }
}
