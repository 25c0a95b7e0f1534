//! A group of two listeners, one of whose servers is stopped: half of the clients get no
//! answer, whatever the kernel is set to, as nothing closes. When the stopped one is killed,
//! its listener does.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use harness::load::{Exchange, Load, LoadControl, Outcome};
use harness::process::Returned;
use harness::process::worker::{Orders, Service, Source, WorkerProcess};
use harness::{Error, Family, PORT, Result, net::sysctl, process::entry, process::thread, wait};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::loading::pass;

/// How the work of these labs begins.
const PREFIX: &str = "reload-stopped-member ";

/// How many clients come in a second.
const RATE: u32 = 200;

/// How long a client waits before it gives up, unless somebody is killed before.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a client waits for the other one to be killed.
const LONG_PATIENCE: Duration = Duration::from_secs(10);

/// What is done to a member of the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// About how many clients come.
    pub clients: u32,
    /// Whether `tcp_migrate_req` is on.
    pub on: bool,
    /// Whether the stopped one is killed when all clients have come.
    pub killed: bool,
}

/// What happened to the clients.
pub type Outcomes = BTreeMap<Outcome, u64>;

impl Stopped {
    /// The name of the work, for a lab.
    pub fn work(&self) -> String {
        PREFIX.to_owned() + &serde_json::to_string(self).expect("it can be written as JSON")
    }

    /// When a lab that does it counts as hung.
    pub fn deadline(&self) -> Duration {
        (Duration::from_secs(30) + self.coming() * 2) * wait::slowness()
    }

    /// For how long clients come.
    fn coming(&self) -> Duration {
        Duration::from_secs(1) * self.clients / RATE
    }
}

/// Does a lab's work if it is one of these.
pub(crate) fn lab_work(work: &str) -> Option<Returned> {
    let stopped = work.strip_prefix(PREFIX)?;
    let outcomes = serde_json::from_str::<Stopped>(stopped)
        .map_err(|e| Failure::Lab(format!("an order that cannot be read: {e}")))
        .and_then(|stopped| run(stopped).map_err(Failure::from));
    Some(Returned::json(&outcomes, vec![]))
}

fn run(stopped: Stopped) -> Result<Outcomes> {
    entry::use_every_cpu()?;
    if sysctl::path(sysctl::MIGRATE_REQ).exists() {
        sysctl::write(sysctl::MIGRATE_REQ, if stopped.on { "1" } else { "0" })?;
    }
    let service = Service::Http { pause: Duration::ZERO };
    let orders = Orders { source: Source::Own, family: Family::V4, hands_out_at: None, service };
    let (_serves, stops) = (WorkerProcess::start(&orders)?, WorkerProcess::start(&orders)?);
    stops.stop()?;
    let load = Load {
        server: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT),
        sources: vec![Ipv4Addr::new(127, 0, 1, 1)],
        rate: RATE,
        patience: if stopped.killed { LONG_PATIENCE } else { PATIENCE },
        held: None,
        exchange: Exchange::default(),
    };
    let control = Arc::new(LoadControl::default());
    let its = Arc::clone(&control);
    let clients = thread::spawn(move || load.run(Instant::now(), &its))?;
    pass(stopped.coming());
    control.stop();
    if stopped.killed {
        // Nothing is in flight any more: on loopback a client is connected at once.
        pass(Duration::from_millis(100));
        drop(stops);
    }
    let died = |_| Error::unreadable("the load", "its thread died");
    let record = clients.join().map_err(died)??;
    if let Some(error) = record.lab_errors.first() {
        return Err(Error::unreadable("the load", error.as_str()));
    }
    let mut outcomes = Outcomes::new();
    for outcome in record.attempts.iter().filter_map(|attempt| attempt.outcome) {
        *outcomes.entry(outcome).or_default() += 1;
    }
    Ok(outcomes)
}
