//! `sockmig inspect --watch`: which listeners opened and closed, and what the kernel counted
//! meanwhile.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::FileTypeExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use harness::host::clock;
use harness::host::holders::Holders;
use harness::host::listeners::ListenerEntry;
use harness::host::namespace::{NamespaceLook, NamespaceName};
use harness::process::interrupt;
use harness::wait;
use serde::Serialize;

use crate::cli::{InspectArguments, InspectFormat};
use crate::cmd::inspect::target::{NoTargets, Targets};
use crate::cmd::inspect::words::{counted, names, namespace, no_look};
use crate::exit::Exit;

/// What happened in a namespace between two looks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct NamespaceChange {
    /// The listeners that opened and closed.
    pub listeners: Vec<ListenerChange>,
    /// By how much its counters have grown, by the kernel's names.
    pub counters: BTreeMap<String, i64>,
    /// `net.ipv4.tcp_migrate_req` now.
    pub tcp_migrate_req: Option<u8>,
}

/// Listeners of one server at one port that opened or closed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ListenerChange {
    /// The port.
    pub port: u16,
    /// The names of the processes that had them open; empty if that is not visible.
    pub who: String,
    /// How many closed.
    pub closed: usize,
    /// How many opened.
    pub opened: usize,
    /// How many the port had before.
    pub before: usize,
    /// How many connections waited in those that closed, when last looked at.
    pub waited: u32,
}

/// What is known of a namespace from the last look.
struct Watched {
    name: NamespaceName,
    look: NamespaceLook,
    /// Who has each listener open, by its cookie.
    who: HashMap<u64, String>,
}

/// Looks until it is interrupted, or nobody reads any more.
///
/// # Errors
/// The first look failed, or nothing can be written.
pub fn watch(
    arguments: &InspectArguments,
    mut targets: Targets,
    every: Duration,
    to: &mut impl Write,
) -> io::Result<Exit> {
    interrupt::catch()?;
    let mut watched: HashMap<u64, Watched> = HashMap::new();
    let mut first = true;
    loop {
        let mut present = HashSet::new();
        for target in &targets.namespaces {
            let look = match target.look() {
                Ok(look) => look,
                Err(why) if first && !arguments.all => {
                    let name = namespace(&target.name);
                    let why = format!("cannot look at {name}: {}", no_look(&why));
                    return Err(io::Error::other(why));
                }
                Err(_) => continue,
            };
            present.insert(target.id);
            let before = watched.remove(&target.id);
            let who = names_of(&look.listeners, before.as_ref().map(|before| &before.who));
            let now = Watched { name: target.name.clone(), look, who };
            match &before {
                Some(before) => report(arguments, target.id, before, &now, to)?,
                None if first => begin(arguments, &now, to)?,
                None => say(arguments, &format!("{} is there", namespace(&now.name)), to)?,
            }
            watched.insert(target.id, now);
        }
        let gone: Vec<u64> = watched.keys().filter(|id| !present.contains(id)).copied().collect();
        for gone in gone.iter().filter_map(|id| watched.remove(id)) {
            say(arguments, &format!("{} has gone", namespace(&gone.name)), to)?;
        }
        if watched.is_empty() && !arguments.all {
            return Ok(Exit::Expected);
        }
        first = false;
        to.flush()?;
        if let Some(exit) = pause(every)? {
            return Ok(exit);
        }
        if arguments.all {
            targets = Targets::of(arguments).map_err(|none| match none {
                NoTargets::Named(why) | NoTargets::Forbidden(why) => io::Error::other(why),
                NoTargets::Unreadable(why) => io::Error::other(why),
            })?;
        }
    }
}

/// Waits for the next look, unless this is the end.
fn pause(every: Duration) -> io::Result<Option<Exit>> {
    let stdout = io::stdout();
    let mut ends: Vec<_> = interrupt::announced().into_iter().collect();
    let interruptions = ends.len();
    // A pipe that nobody reads has failed. Of a terminal or a file that says nothing.
    if fs::metadata("/proc/self/fd/1").is_ok_and(|status| status.file_type().is_fifo()) {
        ends.push(std::os::fd::AsFd::as_fd(&stdout));
    }
    let ready = wait::ready(&ends, every).map_err(io::Error::other)?;
    let (interrupted, unread) = ready.split_at(interruptions);
    Ok(match (interrupted.contains(&true), unread.contains(&true)) {
        (true, _) => Some(Exit::Interrupted),
        (false, true) => Some(Exit::Expected),
        (false, false) => None,
    })
}

/// Who has each listener open. Processes are asked only if there are listeners that are new.
fn names_of(
    listeners: &[ListenerEntry],
    known: Option<&HashMap<u64, String>>,
) -> HashMap<u64, String> {
    let mut who: HashMap<u64, String> = HashMap::new();
    let mut new: Vec<&ListenerEntry> = Vec::new();
    for listener in listeners {
        match known.and_then(|known| known.get(&listener.cookie)) {
            Some(name) => {
                who.insert(listener.cookie, name.clone());
            }
            None => new.push(listener),
        }
    }
    let holders = Holders::of(&new.iter().map(|listener| listener.inode).collect());
    let holders = holders.unwrap_or_default();
    for listener in new {
        let held = holders.descriptors.get(&listener.inode).into_iter().flatten();
        let processes: Vec<_> =
            held.filter_map(|held| holders.processes.get(&held.pid).cloned()).collect();
        who.insert(listener.cookie, names(&processes));
    }
    who
}

fn begin(arguments: &InspectArguments, now: &Watched, to: &mut impl Write) -> io::Result<()> {
    let setting = match now.look.migrate_req {
        Some(value) => format!("net.ipv4.tcp_migrate_req = {value}"),
        None => "this kernel has no net.ipv4.tcp_migrate_req".into(),
    };
    let listeners = counted(now.look.listeners.len(), "listener");
    say(arguments, &format!("{}: {listeners}; {setting}", namespace(&now.name)), to)
}

/// A line that is for people alone.
fn say(arguments: &InspectArguments, what: &str, to: &mut impl Write) -> io::Result<()> {
    match arguments.format {
        InspectFormat::Text => writeln!(to, "{} {what}", clock::time_of_day()),
        InspectFormat::Json | InspectFormat::Prometheus => Ok(()),
    }
}

fn report(
    arguments: &InspectArguments,
    id: u64,
    before: &Watched,
    now: &Watched,
    to: &mut impl Write,
) -> io::Result<()> {
    let who = |listener: &ListenerEntry| {
        let found = before.who.get(&listener.cookie).or_else(|| now.who.get(&listener.cookie));
        found.cloned().unwrap_or_default()
    };
    let change = changes(&before.look, &now.look, who);
    if change.listeners.is_empty() && change.counters.is_empty() {
        return Ok(());
    }
    if arguments.format == InspectFormat::Text {
        let of = match arguments.all || arguments.netns.len() + arguments.pid.len() > 1 {
            true => format!("{}: ", namespace(&now.name)),
            false => String::new(),
        };
        return writeln!(to, "{} {of}{}", clock::time_of_day(), sentence(&change));
    }
    #[derive(Serialize)]
    struct Line<'c> {
        time: f64,
        namespace: u64,
        name: &'c NamespaceName,
        #[serde(flatten)]
        change: &'c NamespaceChange,
    }
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let line = Line { time, namespace: id, name: &now.name, change: &change };
    serde_json::to_writer(&mut *to, &line)?;
    writeln!(to)
}

/// What has changed between two looks.
pub fn changes(
    before: &NamespaceLook,
    now: &NamespaceLook,
    who: impl Fn(&ListenerEntry) -> String,
) -> NamespaceChange {
    let cookies = |look: &NamespaceLook| -> HashSet<u64> {
        look.listeners.iter().map(|listener| listener.cookie).collect()
    };
    let (were, are) = (cookies(before), cookies(now));
    let mut found: BTreeMap<(u16, String), ListenerChange> = BTreeMap::new();
    let mut change = |listener: &ListenerEntry, count: fn(&mut ListenerChange, u32)| {
        let (port, who) = (listener.port, who(listener));
        let change = found.entry((port, who.clone())).or_insert_with(|| ListenerChange {
            port,
            who,
            before: before.listeners.iter().filter(|other| other.port == port).count(),
            ..ListenerChange::default()
        });
        count(change, listener.waiting);
    };
    for listener in before.listeners.iter().filter(|it| !are.contains(&it.cookie)) {
        change(listener, |change, waiting| {
            change.closed += 1;
            change.waited += waiting;
        });
    }
    for listener in now.listeners.iter().filter(|it| !were.contains(&it.cookie)) {
        change(listener, |change, _| change.opened += 1);
    }
    let grown = now.counters.iter().filter_map(|(name, value)| {
        let growth = value - before.counters.get(name)?;
        (growth != 0).then(|| (name.clone(), growth))
    });
    NamespaceChange {
        listeners: found.into_values().collect(),
        counters: grown.collect(),
        tcp_migrate_req: now.migrate_req,
    }
}

/// What has changed, in words.
pub fn sentence(change: &NamespaceChange) -> String {
    let mut parts: Vec<String> = Vec::new();
    for it in &change.listeners {
        let who = if it.who.is_empty() { "somebody" } else { &it.who };
        if it.opened > 0 {
            parts.push(format!("{who} opened {} of :{}", counted(it.opened, "listener"), it.port));
        }
        if it.closed > 0 {
            parts.push(format!(
                "{who} closed {} of {} of :{}",
                it.closed,
                counted(it.before, "listener"),
                it.port
            ));
        }
    }
    let grown = |name: &str| change.counters.get(name).copied().unwrap_or(0);
    let (moved, failed) = (grown("TCPMigrateReqSuccess"), grown("TCPMigrateReqFailure"));
    let closed = change.listeners.iter().any(|it| it.closed > 0);
    let is_on = change.tcp_migrate_req.is_some_and(|value| value != 0);
    let waited: u32 = change.listeners.iter().map(|it| it.waited).sum();
    let waiting = || format!("{waited} waited in their queues");
    let closings: usize = change.listeners.iter().map(|it| it.closed).sum();
    let connections = match moved {
        1 => "1 connection moved".to_owned(),
        // Where several listeners close one after the other, a connection may move again.
        moved if closings > 1 && moved > i64::from(waited) => {
            format!("at most {moved} connections moved")
        }
        moved => format!("{moved} connections moved"),
    };
    if moved != 0 || failed != 0 || closed && is_on && waited == 0 {
        parts.push(format!("{connections}, {failed} lost"));
    } else if closed && is_on {
        // The kernel counts nothing of listeners without SO_REUSEPORT.
        parts.push(format!("{connections}, {}", waiting()));
    } else if closed {
        let why = match change.tcp_migrate_req {
            Some(value) => format!("net.ipv4.tcp_migrate_req is {value}"),
            None => "this kernel moves none".into(),
        };
        parts.push(format!("{connections} ({why}), {}", waiting()));
    }
    for (name, what) in [
        ("ListenDrops", "SYNs and ACKs dropped by listeners"),
        ("ListenOverflows", "of them for a full accept queue"),
        ("OutRsts", "resets sent"),
    ] {
        if grown(name) != 0 {
            parts.push(format!("{} {what}", grown(name)));
        }
    }
    let aborted = grown("TCPAbortOnData") + grown("TCPAbortOnClose");
    if aborted != 0 {
        parts.push(format!("{aborted} aborted"));
    }
    if parts.is_empty() {
        let others: Vec<String> =
            change.counters.iter().map(|(name, growth)| format!("{name} +{growth}")).collect();
        parts.push(others.join(", "));
    }
    parts.join("; ")
}
