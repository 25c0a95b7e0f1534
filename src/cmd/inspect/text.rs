//! What was found, in sentences for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use scenarios::judge::VersionSays;
use scenarios::report::wrap;

use crate::cmd::inspect::document::{
    Advice, BugDocument, CloseEffect, GroupDocument, InspectDocument, KernelDocument, LossReason,
    MemberDocument, MigrationSupport, NamespaceDocument, PassReason, PortDocument,
};
use crate::cmd::inspect::turn_on::{self, SETTING};
use crate::cmd::inspect::words::{
    cannot_look, counted, difference, names, namespace, ports_in_words, printable, surprise, whose,
};
use crate::style::Style;

/// The whole answer, in lines of at most `columns`, with these names of users.
pub fn text(
    found: &InspectDocument,
    users: &BTreeMap<u32, String>,
    columns: usize,
    style: Style,
) -> String {
    let mut text = Text { columns, style, users, written: String::new() };
    let KernelDocument { release, machine, .. } = &found.kernel;
    let user = if found.root { "as root" } else { "as an ordinary user" };
    text.heading(&format!("Linux {} ({machine}), {user}", printable(release)));
    for namespace in &found.namespaces {
        text.namespace(found, namespace);
    }
    text.not_visible(found);
    text.written
}

struct Text<'u> {
    columns: usize,
    style: Style,
    users: &'u BTreeMap<u32, String>,
    written: String,
}

impl Text<'_> {
    fn heading(&mut self, text: &str) {
        let _ = writeln!(self.written, "{}", self.style.bold(text));
    }

    fn line(&mut self, text: &str) {
        let _ = writeln!(self.written, "{text}");
    }

    fn paragraph(&mut self, text: &str) {
        self.indented(text, "", "");
    }

    fn item(&mut self, text: &str) {
        self.indented(text, "  - ", "    ");
    }

    fn indented(&mut self, text: &str, first: &str, others: &str) {
        let mut indent = first;
        for line in wrap(text, self.columns.saturating_sub(first.len())) {
            let _ = writeln!(self.written, "{indent}{line}");
            indent = others;
        }
    }

    fn namespace(&mut self, found: &InspectDocument, it: &NamespaceDocument) {
        let mut name = namespace(&it.name);
        name[..1].make_ascii_uppercase();
        let setting = match (found.kernel.migration, it.tcp_migrate_req) {
            (MigrationSupport::Works, Some(value)) => format!("{SETTING} = {value}"),
            (MigrationSupport::SettingOnly, _) => {
                format!("this kernel has {SETTING}, but not what it turns on (Linux 5.14)")
            }
            _ => format!("this kernel has no {SETTING} (Linux 5.14)"),
        };
        let listeners = counted(it.listeners, "listener");
        self.line("");
        self.paragraph(&format!("{name}: {listeners}; {setting}"));
        if it.ports.is_empty() {
            self.paragraph(match it.listeners {
                0 => "Nothing listens here.",
                _ => {
                    "No port has more than one listener, so that there is no other one that could \
                     take connections over: when a listener closes, those in its accept queue are \
                     reset."
                }
            });
        }
        for port in &it.ports {
            self.line("");
            self.port(port, found);
        }
        if !it.ports.is_empty() && it.single_ports > 0 {
            self.line("");
            let (ports, it) = match it.single_ports {
                1 => ("1 more port has".to_owned(), "it"),
                more => (format!("{more} more ports have"), "each"),
            };
            self.paragraph(&format!(
                "{ports} one listener: when {it} closes, what waits in its accept queue is reset."
            ));
        }
        self.single_reuseport(it);
        self.counters(it);
        self.known_bugs(it);
        self.advice(it, found);
    }

    /// Ports with one listener that others may join at a reload.
    fn single_reuseport(&mut self, it: &NamespaceDocument) {
        let Some(first) = it.single_reuseport.first() else { return };
        let mut by_server: Vec<(String, Vec<u16>)> = Vec::new();
        for single in &it.single_reuseport {
            let names = names(&single.holders);
            match by_server.iter_mut().find(|(known, _)| *known == names) {
                Some((_, ports)) => ports.push(single.port),
                None => by_server.push((names, vec![single.port])),
            }
        }
        let shown: Vec<String> = by_server
            .iter()
            .map(|(names, ports)| format!("{} ({names})", ports_in_words(ports)))
            .collect();
        self.line("");
        self.paragraph(&format!(
            "A reload may open another listener before the only one closes, since that has \
             SO_REUSEPORT: {}. Then {}.",
            shown.join(", "),
            match first.close_after_another_joined {
                CloseEffect::Moves | CloseEffect::Unknown =>
                    "the new one takes over what the old one has".to_owned(),
                CloseEffect::Loses { reason } =>
                    format!("connections of the old one are lost all the same: {}", loss(reason)),
            }
        ));
    }

    fn port(&mut self, port: &PortDocument, found: &InspectDocument) {
        let listeners: usize = port.groups.iter().map(|group| group.members.len()).sum();
        let what = match (port.groups.len(), port.look_alikes.len()) {
            (1, _) => "one group".to_owned(),
            (groups, 0) if groups == listeners => "each for itself".to_owned(),
            (groups, 0) => format!("{groups} groups, which share no clients"),
            (groups, _) => format!("{groups} groups that look like one"),
        };
        self.heading(&format!("Port {}: {}, {what}", port.port, counted(listeners, "listener")));
        for group in &port.groups {
            self.group(group);
        }
        for alike in &port.look_alikes {
            let [one, other] = alike.groups.map(|at| address(&port.groups[at], port.port));
            let differences: Vec<&str> =
                alike.differences.iter().map(|what| difference(*what)).collect();
            self.item(&format!(
                "{one} and {other} are not one group, and nothing moves between them: {}.",
                differences.join("; ")
            ));
        }
        let single = port.groups.iter().filter(|group| group.members.len() == 1).count();
        let large: Vec<&GroupDocument> =
            port.groups.iter().filter(|group| group.members.len() > 1).collect();
        for group in &large {
            let of = match (large.len(), single) {
                (1, 0) => String::new(),
                _ => format!(" of {}", address(group, port.port)),
            };
            self.close_of_group(group, &of, found);
        }
        if single > 0 {
            self.close_of_single(port, single);
        }
        for group in &port.groups {
            let of = match port.groups.len() {
                1 => String::new(),
                _ => format!(" of {}", address(group, port.port)),
            };
            self.held_by_many(group, &of);
        }
    }

    /// An address and its port, and a line for the members that are alike.
    fn group(&mut self, group: &GroupDocument) {
        let mut shown = printable(&group.address.to_string());
        if group.address.v6_only {
            shown.push_str(" (IPV6_V6ONLY)");
        }
        let mut alike: Vec<(String, Vec<&MemberDocument>)> = Vec::new();
        for member in &group.members {
            let whose = whose(member, self.users);
            match alike.iter_mut().find(|(known, _)| *known == whose) {
                Some((_, members)) => members.push(member),
                None => alike.push((whose, vec![member])),
            }
        }
        for (whose, members) in alike {
            let of = format!("{shown}: {} of {whose}", counted(members.len(), "listener"));
            self.indented(&of, "  ", "      ");
            let mut queues = format!(
                "accept queue {} of {}",
                range(members.iter().map(|member| member.accept_queue)),
                range(members.iter().map(|member| member.backlog)),
            );
            if members.len() > 1 {
                queues.push_str(" each");
            }
            if members.iter().any(|member| member.multipath == Some(true)) {
                queues.push_str("; Multipath TCP");
            }
            self.indented(&queues, "      ", "      ");
        }
        if group.handshakes_in_flight > 0 {
            let flights = counted(group.handshakes_in_flight as usize, "handshake");
            self.indented(&format!("{flights} in flight"), "      ", "      ");
        }
    }

    fn close_of_group(&mut self, group: &GroupDocument, of: &str, found: &InspectDocument) {
        let waiting: u32 = group.members.iter().map(|member| member.accept_queue).sum();
        let now = match (waiting, group.handshakes_in_flight) {
            (0, 0) => String::new(),
            (waiting, flying) => format!(
                " Now {} in the accept queues, and {} in flight.",
                match waiting {
                    1 => "1 connection waits".to_owned(),
                    more => format!("{more} connections wait"),
                },
                counted(flying as usize, "handshake")
            ),
        };
        let effect = match group.close {
            CloseEffect::Moves => format!(
                "If a listener{of} closes, the others take over what it has: connections in its \
                 accept queue, and handshakes in flight."
            ),
            CloseEffect::Unknown => format!(
                "If a listener{of} closes, it is not known whether others take over what it has."
            ),
            CloseEffect::Loses { reason } => format!(
                "If a listener{of} closes, connections in its accept queue are reset, and its \
                 handshakes in flight dropped, although others could take them over: {}.",
                loss(reason)
            ),
        };
        self.item(&format!("{effect}{now}"));
        for it in &group.surprises {
            self.item(&surprise(it));
        }
        self.options_not_visible(group, found);
        self.programs(group, found);
    }

    /// A listener closes when the last process has closed it.
    fn held_by_many(&mut self, group: &GroupDocument, of: &str) {
        let most = group.members.iter().map(|member| member.holders.len()).max().unwrap_or(0);
        if most < 2 {
            return;
        }
        let all = group.members.iter().all(|member| member.holders.len() == most);
        let (which, verb, up_to) = match (all, group.members.len()) {
            (true, 1) => ("The listener", "is", ""),
            (true, _) => ("Each listener", "is", ""),
            (false, _) => ("Some listeners", "are", "up to "),
        };
        let names = names(&group.members[0].holders);
        self.item(&format!(
            "{which}{of} {verb} open in {up_to}{most} processes of {names}. A close by one of \
             them, or its end, closes nothing: a listener closes when the last one has closed it, \
             as when a reload leaves it out."
        ));
    }

    fn options_not_visible(&mut self, group: &GroupDocument, found: &InspectDocument) {
        let unseen = group.members.iter().filter(|member| member.options.is_none()).count();
        if unseen == 0 {
            return;
        }
        let which = match group.members.len() == unseen {
            true => "The options of these listeners are".to_owned(),
            false => format!("The options of {unseen} of these listeners are"),
        };
        let refused = group.members.iter().find_map(|member| member.options_refused.as_ref());
        let why = match (refused, found.not_visible.processes) {
            (Some(why), _) => format!("pidfd_getfd: {why}"),
            (None, 0) => "no process that has them open is visible".to_owned(),
            (None, hidden) => {
                let hidden = counted(hidden, "process");
                format!("{hidden} cannot be looked into; root sees them")
            }
        };
        self.item(&format!("{which} not visible, and may differ ({why})."));
    }

    fn programs(&mut self, group: &GroupDocument, found: &InspectDocument) {
        match &found.programs {
            Some(programs) if programs.is_empty() => {}
            Some(programs) => {
                let shown: Vec<String> = programs
                    .iter()
                    .map(|program| format!("{} {}", program.id, printable(&program.name)))
                    .map(|program| program.trim_end().to_owned())
                    .collect();
                self.item(&format!(
                    "This machine has loaded eBPF programs that choose listeners ({}). The kernel \
                     does not show whether one is attached here; if it is, it decides where \
                     connections go{}.",
                    shown.join(", "),
                    match group.close {
                        CloseEffect::Moves | CloseEffect::Unknown => "",
                        CloseEffect::Loses { .. } => {
                            ", and of type sk_reuseport/migrate it moves them also while the \
                             setting is 0"
                        }
                    }
                ));
            }
            None => self.item("Whether an eBPF program chooses among them is not visible."),
        }
    }

    fn close_of_single(&mut self, port: &PortDocument, single: usize) {
        let which = match (single == port.groups.len(), single) {
            (true, _) => "one of them".to_owned(),
            (false, _) => {
                let alone = port.groups.iter().filter(|group| group.members.len() == 1);
                let shown: Vec<String> = alone.map(|group| address(group, port.port)).collect();
                shown.join(" or ")
            }
        };
        self.item(&format!(
            "If {which} closes, what waits in its accept queue is reset, whatever the setting is: \
             no other listener is in its group."
        ));
    }

    fn counters(&mut self, it: &NamespaceDocument) {
        let counter = |name: &str| it.counters.get(name).copied();
        let mut shown = Vec::new();
        if let (Some(moved), Some(failed)) =
            (counter("TCPMigrateReqSuccess"), counter("TCPMigrateReqFailure"))
        {
            shown.push(format!("{moved} migrations, {failed} that failed"));
        }
        let others = [
            ("ListenDrops", "SYNs and ACKs that listeners dropped"),
            ("ListenOverflows", "of them for a full accept queue"),
            ("OutRsts", "resets sent"),
        ];
        for (name, what) in others {
            shown.extend(counter(name).map(|count| format!("{count} {what}")));
        }
        self.line("");
        self.paragraph(&format!("Since the namespace was made: {}.", shown.join("; ")));
    }

    fn known_bugs(&mut self, it: &NamespaceDocument) {
        for (version, heading) in [
            (VersionSays::HasIt, "Known bugs of this kernel, when connections move"),
            (
                VersionSays::CannotTell,
                "Known bugs that its version does not tell of; `sockmig` checks them",
            ),
        ] {
            let bugs: Vec<&BugDocument> =
                it.known_bugs.iter().filter(|bug| bug.version == version).collect();
            if bugs.is_empty() {
                continue;
            }
            self.line("");
            self.heading(heading);
            for bug in bugs {
                let fix = match &bug.fix {
                    Some(fix) => format!("Fixed by {fix}."),
                    None => "No fix is known.".into(),
                };
                self.item(&format!("{} {fix} (sockmig explain {})", bug.reason, bug.case));
            }
        }
    }

    fn advice(&mut self, it: &NamespaceDocument, found: &InspectDocument) {
        if it.advice.is_empty() {
            return;
        }
        self.line("");
        self.heading("What to do");
        for advice in &it.advice {
            match advice {
                Advice::TurnOn { ports } => self.turn_on(ports, it, found.root),
                Advice::PassListeners { ports, reason } => {
                    let why = match reason {
                        PassReason::KernelCannot => "this kernel moves no connections",
                        PassReason::Multipath => {
                            "connections of Multipath TCP that wait are lost in any case"
                        }
                    };
                    self.item(&format!(
                        "At {}, do not close listeners that have connections; {why}. Pass them to \
                         the new server instead (SCM_RIGHTS, inherited descriptors, systemd \
                         socket units).",
                        ports_in_words(ports)
                    ));
                }
                Advice::ListenAlike { ports } => self.item(&format!(
                    "At {}, have all listeners bind the same address, with the same IPV6_V6ONLY \
                     and device, so that they are one group.",
                    ports_in_words(ports)
                )),
                Advice::SetAlike { ports } => self.item(&format!(
                    "At {}, set the options of all listeners alike before connections move.",
                    ports_in_words(ports)
                )),
                Advice::MakeRoom { ports } => self.item(&format!(
                    "At {}, have the server accept faster, or give it a longer backlog \
                     (net.core.somaxconn is its limit): clients are turned away.",
                    ports_in_words(ports)
                )),
            }
        }
    }

    fn turn_on(&mut self, ports: &[u16], it: &NamespaceDocument, root: bool) {
        self.item(&format!(
            "At {}, let the kernel move connections to the listeners that stay:",
            ports_in_words(ports)
        ));
        for (when, command) in turn_on::commands(it, root) {
            self.line(&format!("      {when:<9} {command}"));
        }
    }

    fn not_visible(&mut self, found: &InspectDocument) {
        let hidden = &found.not_visible;
        let mut items: Vec<String> = Vec::new();
        items.extend(hidden.namespaces.iter().map(cannot_look));
        if hidden.namespaces_of_processes > 0 {
            let processes = counted(hidden.namespaces_of_processes, "process");
            items.push(format!("the network namespaces of {processes} of other users"));
        }
        if hidden.processes > 0 {
            let processes = counted(hidden.processes, "process");
            items.push(format!("which listeners {processes} of other users have open"));
        }
        if !items.is_empty() {
            self.line("");
            self.heading("Not visible to this user");
            items.iter().for_each(|item| self.item(item));
        }
        if !found.modules_loaded.is_empty() {
            self.line("");
            self.paragraph(&format!(
                "The kernel has loaded {} to answer, as it does for ss.",
                found.modules_loaded.join(" and ")
            ));
        }
    }
}

/// Why connections of a listener that closes are lost.
fn loss(reason: LossReason) -> String {
    match reason {
        LossReason::SettingIsOff => format!("{SETTING} is 0"),
        LossReason::SettingDoesNothing => format!("{SETTING} does nothing on this kernel"),
        LossReason::KernelCannot => "this kernel moves none".into(),
        LossReason::OnlyMember => "no other listener is in its group".into(),
    }
}

fn address(group: &GroupDocument, port: u16) -> String {
    let v6_only = if group.address.v6_only { " (IPV6_V6ONLY)" } else { "" };
    format!("{}:{port}{v6_only}", printable(&group.address.to_string()))
}

/// The least and the greatest number, or the only one.
fn range(numbers: impl Iterator<Item = u32> + Clone) -> String {
    let (least, most) = (numbers.clone().min().unwrap_or(0), numbers.max().unwrap_or(0));
    if least == most { least.to_string() } else { format!("{least} to {most}") }
}
