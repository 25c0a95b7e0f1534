//! Waiting for the timer that retransmits SYN+ACKs.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Lab;
use crate::error::{Context, Error, Result};
use crate::net::segment::Segment;
use crate::net::witness::{State, sockets};
use crate::socket::wire_client::WireClient;
use crate::trace::Act;
use crate::wait;

/// How often a request that may be gone is looked for. Nothing announces its end, and
/// reading the table of sockets is dear.
const LOOK: Duration = Duration::from_millis(20);

/// The part of a timer's time in which it has surely not fired.
const NOT_BEFORE: f64 = 0.9;

/// A timer of the kernel's wheel fires up to an eighth late, and a busy machine adds to
/// that; hardly ever is it early as seen by the wire's clock.
const EARLY_AND_LATE: (f64, f64) = (0.95, 1.3);

impl Lab {
    /// Waits until `count` SYN+ACKs in all were sent to `client`, the last of them by the
    /// timer, which takes so `long`. What is done next is done before it fires again.
    ///
    /// # Errors
    /// [`crate::Error::NeverHappened`]; [`crate::Error::TooSlow`] when the timer may have
    /// fired before this call.
    pub fn until_syn_acks(
        &mut self,
        client: &WireClient,
        count: usize,
        long: Duration,
    ) -> Result<()> {
        self.until_all_syn_acks(std::slice::from_ref(client), count, long)
    }

    /// As [`Lab::until_syn_acks`], for every client of a list.
    ///
    /// # Errors
    /// As [`Lab::until_syn_acks`].
    pub fn until_all_syn_acks(
        &mut self,
        clients: &[WireClient],
        count: usize,
        long: Duration,
    ) -> Result<()> {
        for client in clients {
            self.check_syn_ack_timer(client.local)?;
        }
        let names: Vec<&str> = clients.iter().map(WireClient::name).collect();
        let what = format!("SYN+ACK {count} to {}", names.join(", "));
        self.until_captured_within(long + wait::deadline(), &what, |trace| {
            clients.iter().map(address).all(|to_client| {
                trace.segments().filter(|s| is_syn_ack(s, to_client)).count() >= count
            })
        })?;
        self.fired.extend(clients.iter().map(|client| (address(client), now())));
        Ok(())
    }

    /// Takes note that the timer of `client` fired just now, which the case has seen by
    /// other means than a SYN+ACK.
    pub fn timer_has_fired(&mut self, client: &WireClient) {
        self.fired.push((address(client), now()));
    }

    /// Lets time pass which a timer of the kernel is to measure, too. Nothing that happens
    /// is waited for in this way.
    pub fn pass(&mut self, time: Duration) {
        wait::pause(time);
        let milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.record(Act::Wait { milliseconds });
    }

    /// Waits until there is no request of `client`, which is to take so `long`.
    ///
    /// # Errors
    /// As [`Lab::until_syn_acks`].
    pub fn until_no_request(&mut self, client: &WireClient, long: Duration) -> Result<()> {
        self.until_no_request_of(client.name(), client.local, long)
    }

    /// As [`Lab::until_no_request`], of any client, by its name and address.
    ///
    /// # Errors
    /// As [`Lab::until_syn_acks`].
    pub fn until_no_request_of(
        &mut self,
        name: &str,
        client: SocketAddr,
        long: Duration,
    ) -> Result<()> {
        self.check_syn_ack_timer(client)?;
        let of_client = SocketAddr::new(client.ip().to_canonical(), client.port());
        let family = self.family;
        // Nothing is looked for that cannot be seen yet.
        wait::pause(long.mul_f64(NOT_BEFORE));
        let what = format!("the end of {name}'s request");
        wait::until_every(LOOK, long + wait::deadline(), &what, || {
            let is_its = |s: &crate::net::witness::SocketLine| {
                s.state == State::SynRecv && s.remote == of_client
            };
            Ok((!sockets(family)?.iter().any(is_its)).then_some(()))
        })?;
        self.fired.push((of_client, now()));
        Ok(())
    }

    /// Waits, if it must, until the kernel's count of ticks is far from zero, which it is but
    /// for two minutes from the fifth after boot, and now and then in later weeks.
    ///
    /// What was never written, as the time at which a new group last sent a cookie, is
    /// zero, and passes for a time just then.
    ///
    /// # Errors
    /// `/proc/uptime` cannot be read.
    pub fn until_jiffies_are_far_from_zero(&self) -> Result<()> {
        let file = "/proc/uptime";
        let far = || {
            let text = std::fs::read_to_string(file).call(|| format!("read({file})"))?;
            let uptime = text.split('.').next().and_then(|seconds| seconds.parse().ok());
            let uptime = uptime.ok_or_else(|| Error::unreadable(file, &text))?;
            Ok((!jiffies_are_near_zero(uptime)).then_some(()))
        };
        let within = Lab::JIFFIES_NEAR_ZERO + wait::deadline();
        wait::until_every(Duration::from_secs(1), within, "ticks far from zero", far)
    }

    /// For how long ticks count as near zero, TCP_SYNCOOKIE_VALID and a little.
    pub const JIFFIES_NEAR_ZERO: Duration = Duration::from_secs(140);

    /// Observes the times between the SYN+ACKs to `client`: whole seconds where a timer
    /// that doubles can have made them.
    pub fn observe_back_off(&mut self, client: &WireClient) {
        let to_client = address(client);
        let sent: Vec<Duration> =
            self.trace().segments().filter(|s| is_syn_ack(s, to_client)).map(|s| s.at).collect();
        let gaps: Vec<String> = sent
            .windows(2)
            .enumerate()
            .map(|(nth, pair)| {
                let (gap, due) = ((pair[1] - pair[0]).as_secs_f64(), f64::from(1 << nth));
                let (early, late) = EARLY_AND_LATE;
                match (early * due..late * due).contains(&gap) {
                    true => format!("{due}"),
                    false => format!("{gap:.3}"),
                }
            })
            .collect();
        self.observe("seconds between SYN+ACKs", gaps.join(", "));
    }

    /// Observes type of service, time to live and announced segment size of every SYN+ACK
    /// to `client`.
    pub fn observe_syn_ack_fields(&mut self, client: &WireClient) {
        let to_client = address(client);
        let syn_acks = self.trace().segments().filter(|s| is_syn_ack(s, to_client));
        let looks: Vec<String> = syn_acks
            .map(|s| {
                let mss = s.options.first().map_or("no mss".into(), ToString::to_string);
                format!("tos {:#04x} ttl {} {mss}", s.service, s.hops)
            })
            .collect();
        self.observe("SYN+ACKs' looks", looks.join("; "));
    }
}

/// Jiffies begin five minutes below zero (INITIAL_JIFFIES), and 32 bits of them are compared.
/// How many a second has (HZ) is not known to programs.
fn jiffies_are_near_zero(uptime: i64) -> bool {
    const MARGIN: i64 = 10;
    let near = Lab::JIFFIES_NEAR_ZERO.as_secs() as i64;
    [100, 250, 300, 1000].into_iter().any(|frequency| {
        let ticks = ((uptime - 300 + MARGIN) * frequency).rem_euclid(1 << 32);
        ticks < near * frequency
    })
}

fn address(client: &WireClient) -> SocketAddr {
    SocketAddr::new(client.local.ip().to_canonical(), client.local.port())
}

fn is_syn_ack(segment: &Segment, to: SocketAddr) -> bool {
    segment.to == to && segment.flags.syn() && segment.flags.ack()
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::jiffies_are_near_zero;

    #[test]
    fn jiffies_pass_zero_five_minutes_after_boot() {
        let near: Vec<bool> = [10, 280, 295, 415, 500].map(jiffies_are_near_zero).into();
        assert_eq!(near, [false, false, true, true, false]);
        // And again after 49.7 days of a thousand ticks a second.
        assert!(jiffies_are_near_zero(300 + (1 << 32) / 1000));
    }
}
