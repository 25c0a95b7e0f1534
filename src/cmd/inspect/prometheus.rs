//! What was found, in Prometheus's text format, as node_exporter's textfile collector reads it.

use std::fmt::Write as _;

use crate::cmd::inspect::document::{
    CloseEffect, GroupDocument, InspectDocument, NamespaceDocument,
};
use crate::cmd::inspect::words::namespace;

/// The kernel's counters, and the metrics that they are.
const COUNTERS: [(&str, &str, &str); 7] = [
    ("TCPMigrateReqSuccess", "migrations_total", "Connections and handshakes that moved."),
    ("TCPMigrateReqFailure", "failed_migrations_total", "Those that could not move."),
    ("ListenOverflows", "listen_overflows_total", "Times that an accept queue was full."),
    ("ListenDrops", "listen_drops_total", "SYNs and ACKs that listeners dropped."),
    ("OutRsts", "resets_sent_total", "Resets sent, for any reason."),
    ("TCPAbortOnData", "aborted_on_data_total", "Connections closed with data unread."),
    ("TCPAbortOnClose", "aborted_on_close_total", "Connections reset when they were closed."),
];

/// A metric of each group: its name, what it means, and its value.
type Gauge = (&'static str, &'static str, fn(&GroupDocument) -> u64);

/// All metrics. Each is described once, before its values.
pub fn metrics(found: &InspectDocument) -> String {
    let mut text = String::new();
    let gauges: [Gauge; 6] = [
        ("group_members", "Listeners of the group.", |group| group.members.len() as u64),
        ("accept_queue_length", "Connections that wait for accept, of all members.", |group| {
            group.members.iter().map(|member| u64::from(member.accept_queue)).sum()
        }),
        ("accept_queue_limit", "The backlogs of all members.", |group| {
            group.members.iter().map(|member| u64::from(member.backlog)).sum()
        }),
        ("handshakes_in_flight", "Handshakes that have not ended, of all members.", |group| {
            u64::from(group.handshakes_in_flight)
        }),
        ("close_moves_connections", "1 if others take over when a member closes now.", |group| {
            u64::from(group.close == CloseEffect::Moves)
        }),
        ("group_surprises", "What would surprise a connection that moves.", |group| {
            group.surprises.len() as u64
        }),
    ];
    for (name, help, value) in gauges {
        describe(&mut text, name, help, "gauge");
        for it in &found.namespaces {
            for (port, group) in it.ports.iter().flat_map(|p| p.groups.iter().map(move |g| (p, g)))
            {
                let address = label(&group.address.to_string());
                let v6_only = group.address.v6_only;
                let _ = writeln!(
                    text,
                    "sockmig_{name}{{{},address=\"{address}\",port=\"{}\",v6only=\"{v6_only}\"}} {}",
                    netns(it),
                    port.port,
                    value(group)
                );
            }
        }
    }
    describe(&mut text, "look_alikes", "Pairs of groups of a port that look like one.", "gauge");
    for it in &found.namespaces {
        let pairs: usize = it.ports.iter().map(|port| port.look_alikes.len()).sum();
        let _ = writeln!(text, "sockmig_look_alikes{{{}}} {pairs}", netns(it));
    }
    describe(&mut text, "tcp_migrate_req", "The setting of that name.", "gauge");
    for it in &found.namespaces {
        if let Some(value) = it.tcp_migrate_req {
            let _ = writeln!(text, "sockmig_tcp_migrate_req{{{}}} {value}", netns(it));
        }
    }
    for (counter, name, help) in COUNTERS {
        describe(&mut text, name, help, "counter");
        for it in &found.namespaces {
            if let Some(value) = it.counters.get(counter) {
                let _ = writeln!(text, "sockmig_{name}{{{}}} {value}", netns(it));
            }
        }
    }
    describe(&mut text, "namespaces_not_visible", "Namespaces not looked at.", "gauge");
    let unseen = found.not_visible.namespaces.len();
    let _ = writeln!(text, "sockmig_namespaces_not_visible {unseen}");
    text
}

fn describe(text: &mut String, name: &str, help: &str, kind: &str) {
    let _ = writeln!(text, "# HELP sockmig_{name} {help}\n# TYPE sockmig_{name} {kind}");
}

fn netns(it: &NamespaceDocument) -> String {
    format!("netns=\"{}\",netns_name=\"{}\"", it.id, label(&namespace(&it.name)))
}

/// A label's value, in which three characters are written otherwise.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
