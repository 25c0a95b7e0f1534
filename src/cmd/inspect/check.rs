//! One line for monitoring, with the exit codes of Nagios's plugins.

use std::fmt::Write as _;
use std::io::Write;
use std::process::ExitCode;

use crate::cmd::inspect::document::{
    CloseEffect, InspectDocument, LossReason, NamespaceDocument, PortDocument,
};
use crate::cmd::inspect::surprise::Concern;
use crate::cmd::inspect::words::{cannot_look, counted, namespace, ports_in_words};

/// What a check ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CheckState {
    /// No listener of a group loses connections when it closes.
    Ok = 0,
    /// One would, or a connection that moves would be surprised.
    Warning = 1,
    /// An accept queue is full.
    Critical = 2,
    /// Nothing is known.
    Unknown = 3,
}

impl From<CheckState> for ExitCode {
    fn from(state: CheckState) -> Self {
        Self::from(state as u8)
    }
}

/// What is wrong with a port.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Problem {
    state: CheckState,
    port: u16,
    what: &'static str,
}

/// The state and the line where nothing could be looked at, or the command line is wrong.
pub fn unknown(why: &str) -> (CheckState, String) {
    let why = why.lines().next().unwrap_or_default().replace('|', " ");
    (CheckState::Unknown, format!("SOCKMIG UNKNOWN - {why}"))
}

/// Prints the line. One that nobody has read says nothing.
pub fn report((state, line): (CheckState, String), to: &mut impl Write) -> CheckState {
    match writeln!(to, "{line}").and_then(|()| to.flush()) {
        Ok(()) => state,
        Err(_) => CheckState::Unknown,
    }
}

/// The state, and the line, which ends with numbers for plots.
pub fn line(found: &InspectDocument) -> (CheckState, String) {
    let problems: Vec<(&NamespaceDocument, Problem)> = found
        .namespaces
        .iter()
        .flat_map(|it| it.ports.iter().flat_map(problems).map(move |problem| (it, problem)))
        .collect();
    let unseen = &found.not_visible.namespaces;
    let worst = problems.iter().map(|(_, problem)| problem.state).max();
    let state = match (worst, unseen.is_empty()) {
        (Some(worst), _) => worst,
        (None, false) => CheckState::Unknown,
        (None, true) => CheckState::Ok,
    };
    let groups = || {
        let ports = found.namespaces.iter().flat_map(|it| &it.ports);
        ports.flat_map(|port| &port.groups).filter(|group| group.members.len() > 1)
    };
    let listeners: usize = groups().map(|group| group.members.len()).sum();
    let mut parts: Vec<String> = Vec::new();
    // Each problem of a namespace once, with the ports that have it.
    let mut alike: Vec<(String, &'static str, Vec<u16>)> = Vec::new();
    for (it, problem) in problems.iter().filter(|(_, problem)| problem.state == state) {
        let of = match found.namespaces.len() {
            1 => String::new(),
            _ => format!("{}, ", namespace(&it.name)),
        };
        match alike.iter_mut().find(|(known, what, _)| *known == of && *what == problem.what) {
            Some((_, _, ports)) => ports.push(problem.port),
            None => alike.push((of, problem.what, vec![problem.port])),
        }
    }
    let shown =
        alike.iter().map(|(of, what, ports)| format!("{of}{}: {what}", ports_in_words(ports)));
    parts.extend(shown);
    if problems.is_empty() {
        parts.push(match (groups().count(), listeners) {
            (0, _) => "no port has a group of listeners".to_owned(),
            (1, listeners) => {
                format!("1 group of {} hands connections over", counted(listeners, "listener"))
            }
            (groups, listeners) => format!(
                "{groups} groups of {} hand connections over",
                counted(listeners, "listener")
            ),
        });
    }
    parts.extend(unseen.iter().map(cannot_look));
    if groups().flat_map(|group| &group.members).any(|member| member.options.is_none()) {
        parts.push("options of some are not visible".into());
    }
    let word = match state {
        CheckState::Ok => "OK",
        CheckState::Warning => "WARNING",
        CheckState::Critical => "CRITICAL",
        CheckState::Unknown => "UNKNOWN",
    };
    // What stands after a bar is numbers.
    let text = parts.join("; ").replace('|', " ");
    let mut line =
        format!("SOCKMIG {word} - {text} | groups={} listeners={listeners}", groups().count());
    for (label, counter) in [
        ("migrations", "TCPMigrateReqSuccess"),
        ("failed_migrations", "TCPMigrateReqFailure"),
        ("listen_drops", "ListenDrops"),
    ] {
        let sum: i64 = found.namespaces.iter().filter_map(|it| it.counters.get(counter)).sum();
        let _ = write!(line, " {label}={sum}c");
    }
    (state, line)
}

fn problems(port: &PortDocument) -> Vec<Problem> {
    let problem = |state, what| Problem { state, port: port.port, what };
    let groups = || port.groups.iter();
    let concerns = |concern: Concern| {
        let mut surprises = groups().flat_map(|group| &group.surprises);
        surprises.any(|surprise| surprise.concerns().contains(&concern))
    };
    let mut found = Vec::new();
    if concerns(Concern::FullQueue) {
        found.push(problem(CheckState::Critical, "an accept queue is full"));
    }
    let reason = groups().find_map(|group| match group.close {
        CloseEffect::Loses { reason } if group.members.len() > 1 => Some(reason),
        CloseEffect::Loses { .. } | CloseEffect::Moves | CloseEffect::Unknown => None,
    });
    found.extend(reason.map(|reason| problem(CheckState::Warning, lost(reason))));
    if !port.look_alikes.is_empty() {
        found.push(problem(CheckState::Warning, "groups that look like one"));
    }
    if concerns(Concern::Options) || concerns(Concern::Membership) {
        found.push(problem(CheckState::Warning, "listeners of a group are set differently"));
    }
    if concerns(Concern::Multipath) {
        found
            .push(problem(CheckState::Warning, "what speaks Multipath TCP can be lost at a close"));
    }
    found
}

fn lost(reason: LossReason) -> &'static str {
    match reason {
        LossReason::SettingIsOff => "a close loses connections, tcp_migrate_req is 0",
        LossReason::SettingDoesNothing | LossReason::KernelCannot => {
            "a close loses connections, this kernel moves none"
        }
        LossReason::OnlyMember => "a close loses connections, nobody takes them over",
    }
}
