//! What a close must cost while nothing migrates: the handshakes that are in flight with the
//! listeners that close.
//!
//! A handshake is a listener's from its SYN on. A listener that closes therefore takes with
//! it whatever SYNs it was given within the last window (and its children that nobody has
//! accepted, which are few unless the server has stopped to accept before): of so many that came, one part in
//! as many as there were listeners. While there is none at all, everybody is refused; unless
//! there is one of IPv6, who gets clients that no IPv4 listener is there for.
//!
//! A program that chooses for the kernel divides otherwise: all clients are for the old
//! generation until it is told of the new one, and none from then on.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use harness::listening::Change;

/// What to expect.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Clients {
    /// How many come in a second.
    pub rate: f64,
    /// Which share of them is in flight for as long as the window.
    pub share: f64,
    /// How long that is.
    pub window: Duration,
}

/// What becomes of the listeners in one reload.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Closes {
    /// How many closed.
    pub closed: usize,
    /// When the last of them was gone.
    pub last: Option<Duration>,
    /// How many clients are lost if nothing migrates.
    pub expected: f64,
    /// How many children were in the queues of those that closed.
    pub queued: u64,
}

/// Looks at what closed `during` a reload in which a program left the old generation
/// without new clients from `steered` on, if there was one.
pub fn closes(
    changes: &[Change],
    clients: &Clients,
    during: Range<Duration>,
    steered: Option<Duration>,
) -> Closes {
    let mut found = Closes::default();
    let mut emptiness = Duration::ZERO;
    let old = closing(changes, &during);
    for (index, pair) in changes.windows(2).enumerate() {
        let [before, after] = pair else { continue };
        if during.contains(&after.at) {
            for gone in before.listeners.difference(&after.listeners) {
                found.closed += 1;
                found.queued += u64::from(after.queues.get(gone).copied().unwrap_or_default());
                found.last = Some(after.at);
                let start = after.at.saturating_sub(clients.window);
                let seconds = match steered {
                    None => given(&changes[..=index], *gone, start..after.at),
                    Some(since) => {
                        since.min(after.at).saturating_sub(start).as_secs_f64() / members(&old)
                    }
                };
                found.expected += clients.share * clients.rate * seconds;
            }
        }
        if before.listeners.is_empty() && !before.covered {
            emptiness += after.at.min(during.end).saturating_sub(before.at.max(during.start));
        }
    }
    found.expected += clients.rate * emptiness.as_secs_f64();
    found
}

/// Who closed in this time.
fn closing(changes: &[Change], during: &Range<Duration>) -> BTreeSet<u64> {
    let pairs = changes.windows(2).filter(|pair| during.contains(&pair[1].at));
    pairs.flat_map(|pair| pair[0].listeners.difference(&pair[1].listeners)).copied().collect()
}

/// How many seconds' worth of clients a listener was given within the window before its end.
fn given(changes: &[Change], listener: u64, window: Range<Duration>) -> f64 {
    let Range { start, end: mut until } = window;
    let mut given = 0.0;
    for Change { at, listeners, .. } in changes.iter().rev() {
        let since = (*at).max(start);
        if listeners.contains(&listener) {
            given += until.saturating_sub(since).as_secs_f64() / members(listeners);
        }
        if *at <= start {
            break;
        }
        until = *at;
    }
    given
}

fn members(listeners: &BTreeSet<u64>) -> f64 {
    listeners.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(of: &[(u64, &[u64])]) -> Vec<Change> {
        let change = |(at, listeners): &(u64, &[u64])| Change {
            at: Duration::from_millis(*at),
            listeners: listeners.iter().copied().collect(),
            ..Change::default()
        };
        of.iter().map(change).collect()
    }

    fn closes_of(of: &[(u64, &[u64])], from: u64, to: u64) -> Closes {
        let clients = Clients { rate: 1000.0, share: 1.0, window: Duration::from_millis(40) };
        let ms = Duration::from_millis;
        closes(&changes(of), &clients, ms(from)..ms(to), None)
    }

    fn close_to(closes: &Closes, closed: usize, expected: f64) {
        assert_eq!(closes.closed, closed);
        assert!((closes.expected - expected).abs() < 1e-6, "{closes:?}, not {expected}");
    }

    #[test]
    fn two_of_four_after_a_window_lose_half_of_it() {
        let found = closes_of(&[(0, &[1, 2]), (100, &[1, 2, 3, 4]), (200, &[3, 4])], 50, 300);
        close_to(&found, 2, 20.0);
        assert_eq!(found.last, Some(Duration::from_millis(200)));
    }

    #[test]
    fn who_closes_at_once_loses_all_of_it() {
        close_to(&closes_of(&[(0, &[1]), (100, &[1, 2]), (100, &[2])], 50, 300), 1, 40.0);
    }

    #[test]
    fn a_group_that_grew_within_the_window_is_weighed() {
        // 20 ms alone, 20 ms one of two.
        close_to(&closes_of(&[(0, &[1]), (100, &[1, 2]), (120, &[2])], 50, 300), 1, 30.0);
    }

    #[test]
    fn while_nobody_listens_everybody_is_refused() {
        close_to(&closes_of(&[(0, &[1]), (100, &[]), (107, &[2])], 50, 300), 1, 47.0);
    }

    #[test]
    fn who_finds_another_listener_is_not_refused() {
        let mut changes = changes(&[(0, &[1]), (100, &[]), (107, &[2])]);
        changes[1].covered = true;
        changes[1].queues.insert(1, 3);
        let clients = Clients { rate: 1000.0, share: 1.0, window: Duration::from_millis(40) };
        let during = Duration::from_millis(50)..Duration::from_millis(300);
        let found = closes(&changes, &clients, during, None);
        close_to(&found, 1, 40.0);
        assert_eq!(found.queued, 3);
    }

    #[test]
    fn other_reloads_do_not_count() {
        let of: &[(u64, &[u64])] = &[(0, &[1]), (100, &[1, 2]), (200, &[2]), (300, &[2, 3])];
        close_to(&closes_of(of, 250, 400), 0, 0.0);
        close_to(&closes_of(of, 0, 150), 0, 0.0);
    }

    #[test]
    fn a_program_has_all_clients_be_the_old_generation_s_until_it_knows_the_new_one() {
        // The second of two new listeners takes its time.
        let of: &[(u64, &[u64])] =
            &[(0, &[1, 2]), (100, &[1, 2, 3]), (190, &[1, 2, 3, 4]), (200, &[3, 4])];
        let clients = Clients { rate: 1000.0, share: 1.0, window: Duration::from_millis(40) };
        let ms = Duration::from_millis;
        let steered = |since| closes(&changes(of), &clients, ms(50)..ms(300), Some(ms(since)));
        close_to(&steered(190), 2, 30.0);
        close_to(&steered(210), 2, 40.0);
        // Whoever waits for a window has nothing left to lose.
        close_to(&steered(160), 2, 0.0);
    }

    #[test]
    fn only_a_share_may_be_in_flight() {
        let clients = Clients { rate: 1000.0, share: 0.3, window: Duration::from_millis(200) };
        let found = closes(
            &changes(&[(0, &[1, 2]), (900, &[2])]),
            &clients,
            Duration::ZERO..Duration::from_secs(1),
            None,
        );
        close_to(&found, 1, 30.0);
    }
}
