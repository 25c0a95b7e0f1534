//! What one lab does: a server, a load, and some reloads.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use harness::listening::Watch;
use harness::process::Returned;
use harness::witness::Counters;
use harness::{Result, inside, sysctl};
use serde::{Deserialize, Serialize};

use crate::account::{self, Found, Reload};
use crate::loading::{Loading, pass};
use crate::strategy::{self, Bed, Need, Server};
use crate::window::Window;
use crate::{close_cost, stopped};

/// How the work of these labs begins.
const PREFIX: &str = "reload ";

/// What to do when the window is to be found out.
const PROBE: &str = "reload-window ";

/// The counters that are shown beside what clients saw.
pub const COUNTERS: [&str; 7] = [
    "TCPMigrateReqSuccess",
    "TCPMigrateReqFailure",
    "ListenOverflows",
    "ListenDrops",
    "TCPReqQFullDrop",
    "OutRsts",
    ABORTED,
];

/// The counter of connections that a server closed before it had read all that it was sent;
/// the kernel resets their clients.
pub(crate) const ABORTED: &str = "TCPAbortOnClose";

/// What reaches the server in any case: scheduling, the tick of a timer.
const SLACK: Duration = Duration::from_millis(20);

/// What it takes about to start a lab and a server.
const START: Duration = Duration::from_millis(100);

/// What one lab is to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Errand {
    /// The strategy's id.
    pub strategy: String,
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

impl Errand {
    /// The work that a lab is told.
    pub fn work(&self) -> String {
        PREFIX.to_owned() + &serde_json::to_string(self).expect("an errand can be written as JSON")
    }

    /// About how long it takes.
    pub fn takes(&self) -> Duration {
        let each = self.period.max(self.before() + self.overlap() + self.after() + SLACK);
        START + self.before() + self.window.answer() + each * self.settings.len() as u32
    }

    /// How long clients come before a reload begins: those who are in flight then came in
    /// this time, and some were even answered.
    fn before(&self) -> Duration {
        self.window.answer() + self.window.span() + SLACK
    }

    /// How long both generations serve, where they do.
    fn overlap(&self) -> Duration {
        self.window.span() + SLACK
    }

    /// How long the setting stays when nothing of the old generation is left: it counts when
    /// a segment of a handshake comes, too.
    fn after(&self) -> Duration {
        self.window.span() + 2 * SLACK
    }

    /// When a lab that does it counts as hung.
    pub fn deadline(&self) -> Duration {
        (self.takes() * 4 + Duration::from_secs(30)) * harness::wait::slowness()
    }
}

/// What a lab is told to find out which window there is.
pub fn probe_work(round_trip: Duration) -> String {
    format!("{PROBE}{}", round_trip.as_micros())
}

/// Does a lab's work if it is one of this crate's: an errand, a probe for the window, a
/// listener to close, or a member of a group to stop.
pub fn lab_work(work: &str) -> Option<Returned> {
    if let Some(returned) = close_cost::lab_work(work).or_else(|| stopped::lab_work(work)) {
        return Some(returned);
    }
    if let Some(round_trip) = work.strip_prefix(PROBE) {
        let round_trip = Duration::from_micros(round_trip.parse().unwrap_or_default());
        return Some(Returned::json(&Window::probe(round_trip), vec![]));
    }
    let errand = work.strip_prefix(PREFIX)?;
    let found = serde_json::from_str::<Errand>(errand)
        .map_err(|e| format!("an errand that cannot be read: {e}"))
        .and_then(|errand| run(&errand).map_err(|e| e.to_string()));
    Some(Returned::json(&found, vec![]))
}

fn run(errand: &Errand) -> Result<Found> {
    inside::use_every_cpu()?;
    inside::use_every_descriptor()?;
    let strategy = strategy::by_id(&errand.strategy)
        .ok_or_else(|| harness::Error::unreadable("a strategy", errand.strategy.as_str()))?;
    let is_foreign = matches!(strategy.needs, Need::Server(_));
    let directory = is_foreign.then(inside::scratch).transpose()?;
    let bed = Bed {
        workers: errand.workers,
        pause: errand.pause,
        directory: directory.unwrap_or_default(),
    };
    let mut server = (strategy.start)(&bed)?;
    let epoch = Instant::now();
    let watch = Watch::start(epoch);
    let loading = Loading::start(&errand.window, errand.rate, epoch)?;
    // Until clients are answered at the rate at which they come.
    pass(errand.before());
    let found = errand
        .settings
        .iter()
        .map(|on| reload(server.as_mut(), &loading, errand, *on, epoch))
        .collect::<Result<Vec<_>>>()
        .and_then(|reloads| {
            let record = loading.finish()?;
            account::found(errand, &record, &reloads, &watch.finish()?)
        });
    // A server that died explains whatever else failed.
    server.alive().and(found)
}

/// One reload, with enough time around it that everything that it does to clients falls
/// between its beginning and its end.
fn reload(
    server: &mut dyn Server,
    loading: &Loading,
    errand: &Errand,
    on: bool,
    epoch: Instant,
) -> Result<Reload> {
    if sysctl::path(sysctl::MIGRATE_REQ).exists() {
        sysctl::write(sysctl::MIGRATE_REQ, if on { "1" } else { "0" })?;
    }
    let before = Counters::read()?;
    let begun = epoch.elapsed();
    pass(errand.before());
    let stopped = server.reload(errand.overlap())?;
    let since_epoch = |moment: Instant| moment.saturating_duration_since(epoch);
    server.settle()?;
    let settled = epoch.elapsed();
    pass(errand.after());
    // The setting counts when a segment comes: it stays until the last one has.
    loading.until_settled(settled)?;
    pass(errand.period.saturating_sub(epoch.elapsed() - begun));
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
        counters: COUNTERS.iter().filter_map(grown).collect::<BTreeMap<_, _>>(),
    })
}
