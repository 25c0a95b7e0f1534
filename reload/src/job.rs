//! What one lab does: a server, a load, and some reloads.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use harness::load::listener_monitor::ListenerMonitor;
use harness::net::witness::Counters;
use harness::process::Returned;
use harness::{net::sysctl, process::entry, process::limits};
use serde::{Deserialize, Serialize};

use crate::account::{self, Found, Reload};
use crate::catalogue;
use crate::counters::SHOWN;
use crate::failure::{Failure, Result};
use crate::loading::{Loading, PATIENCE, pass};
use crate::server_file::Definition;
use crate::servers;
use crate::strategy::{OwnStart, Server, ServerEnv, ServerKind};
use crate::window::{FirstToSpeak, Window};

/// How the work of these labs begins.
const PREFIX: &str = "reload-job ";

/// What reaches the server in any case: scheduling, the tick of a timer.
const SLACK: Duration = Duration::from_millis(20);

/// What it takes about to start a lab and a server.
const START: Duration = Duration::from_millis(100);

/// What one lab is to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The strategy's id.
    pub strategy: String,
    /// The server's file, where it is not one of our own.
    pub server: Option<Definition>,
    /// One reload each, with `tcp_migrate_req` off or on. Where the kernel has no such
    /// setting, all are off.
    pub settings: Vec<bool>,
    /// Clients in a second.
    pub rate: u32,
    /// What makes handshakes last.
    pub window: Window,
    /// How many workers a generation has.
    pub workers: u32,
    /// How long a worker of our own is busy after each `accept`.
    pub pause: Duration,
    /// How long a reload takes at least, with the time before and after it.
    pub period: Duration,
}

impl Job {
    /// The name of the work, for a lab.
    pub fn work(&self) -> String {
        PREFIX.to_owned() + &serde_json::to_string(self).expect("a job can be written as JSON")
    }

    /// About how long it takes.
    pub fn takes(&self) -> Duration {
        let each = self.period.max(self.before() + self.overlap() + self.after() + SLACK);
        let first = self.first_to_speak();
        let waits = self.window.leaves_waiting(first);
        let lost = if waits { PATIENCE } else { Duration::ZERO };
        START + self.before() + self.window.answer(first) + lost + each * self.settings.len() as u32
    }

    fn first_to_speak(&self) -> FirstToSpeak {
        self.server.as_ref().map_or(FirstToSpeak::Client, Definition::first_to_speak)
    }

    /// How long clients come before a reload begins: those who are in flight then came in
    /// this time, and some were even answered.
    fn before(&self) -> Duration {
        let first = self.first_to_speak();
        self.window.answer(first) + self.window.span(first) + SLACK
    }

    /// How long both generations serve, where they do.
    fn overlap(&self) -> Duration {
        self.window.span(self.first_to_speak()) + SLACK
    }

    /// How long the setting stays when nothing of the old generation is left: it counts when
    /// a segment of a handshake comes, too.
    fn after(&self) -> Duration {
        self.window.span(self.first_to_speak()) + 2 * SLACK
    }

    /// When a lab that does it counts as hung.
    pub fn deadline(&self) -> Duration {
        let usual = (self.takes() * 4 + Duration::from_secs(30)) * harness::wait::slowness();
        // A server that is too slow is to be reported as that, and not as a lab that hangs.
        let server = self.server.as_ref().map_or(Duration::ZERO, |server| {
            let reloads = 2 * self.settings.len() as u32;
            server.file.ready_within() + server.file.reload_within() * reloads
        });
        usual + server
    }
}

/// Does a lab's work if it is a job.
pub(crate) fn lab_work(work: &str) -> Option<Returned> {
    let job = work.strip_prefix(PREFIX)?;
    let found = serde_json::from_str::<Job>(job)
        .map_err(|e| Failure::Lab(format!("a job that cannot be read: {e}")))
        .and_then(|job| run(&job));
    Some(Returned::json(&found, vec![]))
}

fn run(job: &Job) -> Result<Found> {
    entry::use_every_cpu()?;
    limits::use_every_descriptor()?;
    let mut server = start(job)?;
    let epoch = Instant::now();
    let monitor = ListenerMonitor::start(epoch, server.family())?;
    let loading = Loading::start(&job.window, job.rate, server.exchange(), epoch)?;
    // Until clients are answered at the rate at which they come.
    pass(job.before());
    let found = job
        .settings
        .iter()
        .map(|on| reload(server.as_mut(), &loading, job, *on, epoch))
        .collect::<Result<Vec<_>>>()
        .and_then(|reloads| {
            let record = loading.finish()?;
            let span = job.window.span(job.first_to_speak());
            Ok(account::found(&job.window, span, &record, &reloads, &monitor.finish()?)?)
        });
    match found {
        Ok(found) => server.alive().map(|()| found),
        Err(Failure::Server(why)) => Err(Failure::Server(why)),
        // A server that died, or was stopped, explains whatever else failed.
        Err(other) => server.alive().and_then(|()| server.explain()).and(Err(other)),
    }
}

/// Starts the job's server, with a directory for what it writes.
fn start(job: &Job) -> Result<Box<dyn Server>> {
    let env = |directory| ServerEnv { workers: job.workers, pause: job.pause, directory };
    if let Some(server) = &job.server {
        entry::protect_files()?;
        entry::own_shared_memory()?;
        return servers::start(server, &env(entry::scratch(&server.texts())?));
    }
    let strategy = catalogue::by_id(&job.strategy);
    match strategy.map(|strategy| strategy.server) {
        Some(ServerKind::Own { start: OwnStart(start), .. }) => start(&env(PathBuf::new())),
        _ => Err(harness::Error::unreadable("a strategy", job.strategy.as_str()).into()),
    }
}

/// One reload, with enough time around it that everything that it does to clients falls
/// between its beginning and its end.
fn reload(
    server: &mut dyn Server,
    loading: &Loading,
    job: &Job,
    on: bool,
    epoch: Instant,
) -> Result<Reload> {
    if sysctl::path(sysctl::MIGRATE_REQ).exists() {
        sysctl::write(sysctl::MIGRATE_REQ, if on { "1" } else { "0" })?;
    }
    let before = Counters::read()?;
    let begun = epoch.elapsed();
    pass(job.before());
    let stopped = server.reload(job.overlap())?;
    let since_epoch = |moment: Instant| moment.saturating_duration_since(epoch);
    server.settle()?;
    let settled = epoch.elapsed();
    pass(job.after());
    // The setting counts when a segment comes: it stays until the last one has.
    loading.until_settled(settled)?;
    pass(job.period.saturating_sub(epoch.elapsed() - begun));
    let after = Counters::read()?;
    let grown = |name: &&str| Some(((*name).to_owned(), after.grown(&before, name)?));
    Ok(Reload {
        on,
        begun,
        stopped: since_epoch(stopped),
        steered: server.steered().map(since_epoch),
        drained: server.drains(),
        settled,
        ended: epoch.elapsed(),
        counters: SHOWN.iter().filter_map(grown).collect::<BTreeMap<_, _>>(),
    })
}
