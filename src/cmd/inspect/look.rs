//! A look at the machine: what is there, put together as a document.

use std::collections::{BTreeMap, HashMap, HashSet};

use harness::host::holders::{HolderProcess, Holders};
use harness::host::kernel::RunningKernel;
use harness::host::listeners::ListenerEntry;
use harness::host::modules;
use harness::host::namespace::{NamespaceLook, NamespaceName, NetworkNamespace};
use harness::host::options::ListenerOptions;
use harness::host::programs::{self, ReuseportProgram};
use harness::host::service::Service;
use harness::net::sysctl;
use harness::refusal::Refusal;
use harness::{Errno, kernel};

use crate::cmd::inspect::advice::advice;
use crate::cmd::inspect::document::{
    CloseEffect, GroupDocument, InspectDocument, KernelDocument, LookAlikeDocument, LossReason,
    MemberDocument, MigrationSupport, NamespaceDocument, NotVisible, PortDocument, SCHEMA,
    SinglePortDocument, UnseenNamespace,
};
use crate::cmd::inspect::grouping::{self, Group, Port};
use crate::cmd::inspect::known::{self, Features};
use crate::cmd::inspect::surprise::{Concern, Surprise, is_multipath, surprises};
use crate::cmd::inspect::target::Targets;

/// Looks at these namespaces.
///
/// # Errors
/// The kernel's version, or `/proc`, cannot be read.
pub fn look(targets: &Targets) -> harness::Result<InspectDocument> {
    let running = RunningKernel::ask()?;
    let modules_before = modules::loaded();
    let mut not_visible =
        NotVisible { namespaces_of_processes: targets.hidden, ..NotVisible::default() };
    let mut looks: Vec<(&NetworkNamespace, NamespaceLook)> = Vec::new();
    for namespace in &targets.namespaces {
        match namespace.look() {
            Ok(look) => looks.push((namespace, look)),
            Err(why) => {
                let NetworkNamespace { id, name, .. } = namespace.clone();
                not_visible.namespaces.push(UnseenNamespace { id, name, why });
            }
        }
    }
    let ports: Vec<Vec<Port<'_>>> =
        looks.iter().map(|(_, look)| grouping::ports(&look.listeners, &look.requests)).collect();
    let wanted = ports.iter().flatten().flat_map(members).map(|l| l.inode);
    let holders = Holders::of(&wanted.collect())?;
    not_visible.processes = holders.hidden;
    let migration = support(looks.first().map(|(_, look)| look));
    let options = options(ports.iter().flatten().flat_map(members), &holders);
    let own = OwnPlace {
        service: Service::of(std::process::id()),
        settings_read_only: sysctl::are_read_only(),
    };
    let seen = Seen { holders: &holders, options: &options, migration, own };
    let namespaces = looks
        .iter()
        .zip(&ports)
        .map(|((namespace, look), ports)| {
            namespace_document((namespace.id, namespace.name.clone()), look, ports, &seen)
        })
        .map(|it| match migration {
            MigrationSupport::Works => {
                let features = Features::of(it.ports.iter().flat_map(|port| &port.groups));
                NamespaceDocument { known_bugs: known::bugs(&running.base, features), ..it }
            }
            MigrationSupport::SettingOnly | MigrationSupport::Absent => it,
        })
        .collect();
    let modules_loaded = modules::loaded().difference(&modules_before).cloned().collect();
    Ok(InspectDocument {
        schema: SCHEMA,
        sockmig: env!("CARGO_PKG_VERSION").into(),
        kernel: KernelDocument {
            base: running.base.version().map(|version| version.to_string()),
            release: running.release,
            machine: running.machine,
            migration,
        },
        root: kernel::is_root(),
        namespaces,
        not_visible,
        programs: loaded_programs(),
        modules_loaded,
    })
}

/// The programs, if this user is shown them. A kernel without eBPF has none.
fn loaded_programs() -> Option<Vec<ReuseportProgram>> {
    match programs::loaded() {
        Ok(programs) => Some(programs),
        Err(why) if matches!(why.errno(), Some(Errno::ENOSYS | Errno::EINVAL)) => Some(vec![]),
        Err(_) => None,
    }
}

/// What is known of listeners besides themselves.
pub struct Seen<'s> {
    /// Who has them open.
    pub holders: &'s Holders,
    /// Their options, by their inodes, as far as it was tried to read them.
    pub options: &'s HashMap<u64, Result<ListenerOptions, Refusal>>,
    /// What the kernel makes of the setting.
    pub migration: MigrationSupport,
    /// Where this process runs.
    pub own: OwnPlace,
}

/// Where this process runs, which is asked about its own network namespace.
#[derive(Debug, Clone, Default)]
pub struct OwnPlace {
    /// Its unit or container, if its control group shows one.
    pub service: Option<Service>,
    /// `/proc/sys` is mounted read-only here.
    pub settings_read_only: bool,
}

/// The container whose namespace it is. Of this process's own namespace that is the one that
/// this process runs in: another one there has the machine's network.
fn container(name: &NamespaceName, ports: &[PortDocument], own: &OwnPlace) -> Option<Service> {
    let members = ports.iter().flat_map(|p| &p.groups).flat_map(|g| &g.members);
    let mut services = members.flat_map(|m| &m.holders).filter_map(|h| h.service.as_ref());
    let is_container = |service: &&Service| matches!(service, Service::Container { .. });
    match name {
        NamespaceName::This => own.service.as_ref().filter(is_container).cloned(),
        _ => services.find(is_container).cloned(),
    }
}

/// A namespace, by its id and name, without the kernel's known bugs.
pub fn namespace_document(
    (id, name): (u64, NamespaceName),
    look: &NamespaceLook,
    ports: &[Port<'_>],
    seen: &Seen<'_>,
) -> NamespaceDocument {
    let shared: Vec<&Port<'_>> = ports.iter().filter(|port| port.listeners() > 1).collect();
    let single = ports.iter().filter(|port| port.listeners() == 1);
    let single_reuseport: Vec<SinglePortDocument> =
        single.filter_map(|port| single_reuseport(port, seen, look.migrate_req)).collect();
    let documents: Vec<PortDocument> =
        shared.iter().map(|port| port_document(port, seen, look.migrate_req)).collect();
    NamespaceDocument {
        id,
        settings_read_only: seen.own.settings_read_only && name == NamespaceName::This,
        container: container(&name, &documents, &seen.own),
        name,
        tcp_migrate_req: look.migrate_req,
        listeners: look.listeners.len(),
        single_ports: ports.len() - shared.len(),
        counters: look.counters.clone(),
        known_bugs: vec![],
        advice: advice(&documents, &single_reuseport),
        single_reuseport,
        ports: documents,
    }
}

/// The only listener of a port, if it is known to have `SO_REUSEPORT`.
fn single_reuseport(
    port: &Port<'_>,
    seen: &Seen<'_>,
    setting: Option<u8>,
) -> Option<SinglePortDocument> {
    let listener = members(port).into_iter().next()?;
    let options = seen.options.get(&listener.inode)?.as_ref().ok()?;
    (options.get("SO_REUSEPORT") == Some("1")).then(|| SinglePortDocument {
        port: port.port,
        holders: held_by(listener, seen.holders),
        close_after_another_joined: effect(2, seen.migration, setting),
    })
}

fn members<'l>(port: &Port<'l>) -> Vec<&'l ListenerEntry> {
    port.groups.iter().flat_map(|group| group.members.iter().copied()).collect()
}

/// What the kernel makes of the setting, by a namespace: the counters came with the code.
fn support(look: Option<&NamespaceLook>) -> MigrationSupport {
    let has_code = look.is_some_and(|look| look.counters.contains_key("TCPMigrateReqSuccess"));
    match look.and_then(|look| look.migrate_req) {
        None => MigrationSupport::Absent,
        Some(_) if has_code => MigrationSupport::Works,
        Some(_) => MigrationSupport::SettingOnly,
    }
}

/// What happens to the connections of a member that closes.
fn effect(members: usize, migration: MigrationSupport, setting: Option<u8>) -> CloseEffect {
    let reason = match (members, migration, setting) {
        (0 | 1, _, _) => LossReason::OnlyMember,
        (_, MigrationSupport::Absent, _) => LossReason::KernelCannot,
        (_, MigrationSupport::SettingOnly, _) => LossReason::SettingDoesNothing,
        (_, MigrationSupport::Works, Some(0) | None) => LossReason::SettingIsOff,
        (_, MigrationSupport::Works, Some(_)) => return CloseEffect::Moves,
    };
    CloseEffect::Loses { reason }
}

fn port_document(port: &Port<'_>, seen: &Seen<'_>, setting: Option<u8>) -> PortDocument {
    let look_alikes = port
        .look_alikes()
        .into_iter()
        .map(|alike| LookAlikeDocument { groups: alike.groups, differences: alike.differences });
    PortDocument {
        port: port.port,
        groups: port
            .groups
            .iter()
            .map(|group| {
                let close = effect(group.members.len(), seen.migration, setting);
                group_document(group, seen, close)
            })
            .collect(),
        look_alikes: look_alikes.collect(),
    }
}

fn group_document(group: &Group<'_>, seen: &Seen<'_>, close: CloseEffect) -> GroupDocument {
    let known = |member: &ListenerEntry| seen.options.get(&member.inode)?.as_ref().ok();
    let with_options: Vec<_> =
        group.members.iter().map(|member| (*member, known(member))).collect();
    let surprises = surprises(&with_options);
    let unsure = |it: &Surprise| it.concerns().contains(&Concern::Membership);
    GroupDocument {
        address: group.address.clone(),
        handshakes_in_flight: group.in_flight,
        close: match close {
            CloseEffect::Moves if surprises.iter().any(unsure) => CloseEffect::Unknown,
            close => close,
        },
        surprises,
        md5_keys: group.members.iter().any(|member| member.md5_keys == Some(true)),
        members: with_options
            .iter()
            .map(|(member, options_of)| {
                let refused = seen.options.get(&member.inode).and_then(|read| read.as_ref().err());
                MemberDocument {
                    inode: member.inode,
                    cookie: member.cookie,
                    uid: member.uid,
                    accept_queue: member.waiting,
                    backlog: member.backlog,
                    multipath: is_multipath(member, *options_of),
                    holders: held_by(member, seen.holders),
                    options: options_of.cloned(),
                    options_refused: refused.cloned(),
                }
            })
            .collect(),
    }
}

/// Reads the options of listeners that a visible process has open.
fn options<'l>(
    members: impl Iterator<Item = &'l ListenerEntry>,
    holders: &Holders,
) -> HashMap<u64, Result<ListenerOptions, Refusal>> {
    let mut read = HashMap::new();
    for member in members {
        let held = holders.descriptors.get(&member.inode).into_iter().flatten();
        for descriptor in held {
            let options = ListenerOptions::read(*descriptor, member.inode, member.family);
            let done = options.is_ok();
            read.insert(member.inode, options);
            if done {
                break;
            }
        }
    }
    read
}

fn held_by(member: &ListenerEntry, holders: &Holders) -> Vec<HolderProcess> {
    let descriptors = holders.descriptors.get(&member.inode).into_iter().flatten();
    // A process may have several descriptors of one listener.
    let pids: HashSet<u32> = descriptors.map(|held| held.pid).collect();
    let processes: BTreeMap<u32, _> =
        pids.iter().filter_map(|pid| Some((*pid, holders.processes.get(pid)?.clone()))).collect();
    processes.into_values().collect()
}
