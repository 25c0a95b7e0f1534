//! What a close must cost while nothing migrates: the handshakes that are in flight with the
//! listeners that close.
//!
//! A handshake is a listener's from its SYN on. A listener that closes therefore takes with
//! it whatever SYNs it was given within the last window: of so many that came, one part in
//! as many as there were listeners. While there is none at all, everybody is refused.

use std::collections::BTreeSet;
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
}

/// Looks at what closed from `from` to `to`.
pub fn closes(changes: &[Change], clients: &Clients, from: Duration, to: Duration) -> Closes {
    let mut found = Closes::default();
    let mut emptiness = Duration::ZERO;
    for (index, pair) in changes.windows(2).enumerate() {
        let [before, after] = pair else { continue };
        if (from..to).contains(&after.at) {
            for gone in before.listeners.difference(&after.listeners) {
                found.closed += 1;
                found.last = Some(after.at);
                found.expected += clients.share
                    * clients.rate
                    * given(&changes[..=index], *gone, clients.window, after.at);
            }
        }
        if before.listeners.is_empty() {
            emptiness += after.at.min(to).saturating_sub(before.at.max(from));
        }
    }
    found.expected += clients.rate * emptiness.as_secs_f64();
    found
}

/// How many seconds' worth of clients a listener was given within the window before its end.
fn given(changes: &[Change], listener: u64, window: Duration, end: Duration) -> f64 {
    let start = end.saturating_sub(window);
    let mut until = end;
    let mut given = 0.0;
    for Change { at, listeners } in changes.iter().rev() {
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
        };
        of.iter().map(change).collect()
    }

    fn closes_of(of: &[(u64, &[u64])], from: u64, to: u64) -> Closes {
        let clients = Clients { rate: 1000.0, share: 1.0, window: Duration::from_millis(40) };
        let ms = Duration::from_millis;
        closes(&changes(of), &clients, ms(from), ms(to))
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
    fn other_reloads_do_not_count() {
        let of: &[(u64, &[u64])] = &[(0, &[1]), (100, &[1, 2]), (200, &[2]), (300, &[2, 3])];
        close_to(&closes_of(of, 250, 400), 0, 0.0);
        close_to(&closes_of(of, 0, 150), 0, 0.0);
    }

    #[test]
    fn only_a_share_may_be_in_flight() {
        let clients = Clients { rate: 1000.0, share: 0.3, window: Duration::from_millis(200) };
        let found = closes(
            &changes(&[(0, &[1, 2]), (900, &[2])]),
            &clients,
            Duration::ZERO,
            Duration::from_secs(1),
        );
        close_to(&found, 1, 30.0);
    }
}
