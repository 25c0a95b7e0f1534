//! The SYN+ACK timer.

use std::time::Duration;

use harness::lab::Lab;
use harness::net::witness::Counters;

/// The first expiry, TCP_TIMEOUT_INIT.
pub(crate) const FIRST: Duration = Duration::from_secs(1);

/// What the timer alone moves, none of which a retransmission of anybody else does here.
pub(crate) fn observe_timer(lab: &mut Lab, before: &Counters) -> harness::Result<()> {
    let now = lab.counters()?;
    let grown = ["TCPTimeouts", "TCPSynRetrans", "RetransSegs"]
        .map(|name| format!("{name} {}", now.grown(before, name).unwrap_or(-1)));
    lab.observe("timer", grown.join(", "));
    Ok(())
}

pub(crate) fn option(what: &str, set: std::io::Result<()>) -> harness::Result<()> {
    set.map_err(|source| harness::Error::Call { call: format!("setsockopt({what})"), source })
}
