//! What a close must cost while nothing migrates: the handshakes that are in flight with the
//! listeners that close.
//!
//! A handshake is a listener's from its SYN on until the final ACK. A listener that closes
//! therefore takes with it, of those clients that are just then in between, one part in as
//! many as there were listeners when their SYNs came; and its children that nobody has
//! accepted, which are few unless the server stopped accepting before. While there is no
//! listener at all, everybody is refused; unless there is one of IPv6, who gets clients that
//! no IPv4 listener is there for.
//!
//! Where clients come at a fixed rate, those of one round trip are in flight. They
//! are counted nevertheless: a busy machine sends them late, and many at a time.
//!
//! A program that chooses for the kernel divides otherwise: all clients are for the old
//! generation until the program knows the new one, and none from then on.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use harness::load::listener_monitor::ListenerChange;

/// A client's handshake as the server sees it: from its SYN until its final ACK. Nothing is
/// between them where nothing prolongs it.
pub type Handshake = Range<Duration>;

/// What happens to the listeners in one reload.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Closes {
    /// How many closed.
    pub closed: usize,
    /// When the last of them was gone.
    pub last: Option<Duration>,
    /// When any was: after the first time, and before the second one.
    pub moments: Vec<Range<Duration>>,
    /// How many clients are lost if nothing migrates.
    pub expected: f64,
    /// How many children were in the queues of those that closed.
    pub queued: u64,
    /// Whether a close left no other listener of the same family.
    pub emptied: bool,
}

/// Looks at what closed `during` a reload in which a program left the old generation
/// without new clients from `steered` on, if there was one.
pub fn closes(
    changes: &[ListenerChange],
    handshakes: &[Handshake],
    during: Range<Duration>,
    steered: Option<Duration>,
) -> Closes {
    let mut found = Closes::default();
    let old = closing(changes, &during);
    for pair in changes.windows(2) {
        let [before, after] = pair else { continue };
        if during.contains(&after.at) {
            if !before.listeners.is_subset(&after.listeners) {
                found.moments.push(after.last_look..after.at);
            }
            let in_flight = |shake: &&Handshake| shake.contains(&after.moment());
            for gone in before.listeners.difference(&after.listeners) {
                found.closed += 1;
                found.queued += u64::from(after.queues.get(gone).copied().unwrap_or_default());
                found.last = Some(after.at);
                found.emptied |= after.listeners.is_empty();
                let given = |shake: &Handshake| match steered {
                    None => share(changes, *gone, shake.start),
                    Some(since) if shake.start < since => 1.0 / old.len() as f64,
                    Some(_) => 0.0,
                };
                found.expected += handshakes.iter().filter(in_flight).map(given).sum::<f64>();
            }
        }
        if before.listeners.is_empty() && !before.covered {
            let from = before.moment().max(during.start);
            let empty = from..after.moment().min(during.end);
            let refused = handshakes.iter().filter(|shake| empty.contains(&shake.start));
            found.expected += refused.count() as f64;
        }
    }
    found
}

/// Who closed in this time.
fn closing(changes: &[ListenerChange], during: &Range<Duration>) -> BTreeSet<u64> {
    let pairs = changes.windows(2).filter(|pair| during.contains(&pair[1].at));
    pairs.flat_map(|pair| pair[0].listeners.difference(&pair[1].listeners)).copied().collect()
}

/// Which share of the clients was a listener's at this time.
fn share(changes: &[ListenerChange], listener: u64, at: Duration) -> f64 {
    let past = changes.partition_point(|change| change.moment() <= at);
    let then = past.checked_sub(1).map(|last| &changes[last].listeners);
    let then = then.filter(|listeners| listeners.contains(&listener));
    then.map_or(0.0, |listeners| 1.0 / listeners.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn changes(of: &[(u32, &[u64])]) -> Vec<ListenerChange> {
        let change = |(at, listeners): &(u32, &[u64])| ListenerChange {
            at: MS * *at,
            last_look: MS * *at,
            listeners: listeners.iter().copied().collect(),
            ..ListenerChange::default()
        };
        of.iter().map(change).collect()
    }

    /// A client each millisecond, in the middle of it, whose handshake takes `long` milliseconds.
    fn handshakes(long: u32) -> Vec<Handshake> {
        (0..1000).map(|ms| MS * ms + MS / 2).map(|syn| syn..syn + MS * long).collect()
    }

    fn closes_of(of: &[(u32, &[u64])], from: u32, to: u32) -> Closes {
        closes(&changes(of), &handshakes(40), MS * from..MS * to, None)
    }

    fn close_to(closes: &Closes, closed: usize, expected: f64) {
        assert_eq!(closes.closed, closed);
        assert!((closes.expected - expected).abs() < 1e-6, "{closes:?}, not {expected}");
    }

    #[test]
    fn two_of_four_after_a_window_lose_half_of_it() {
        let found = closes_of(&[(0, &[1, 2]), (100, &[1, 2, 3, 4]), (200, &[3, 4])], 50, 300);
        close_to(&found, 2, 20.0);
        assert_eq!((found.last, found.emptied), (Some(MS * 200), false));
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
        let found = closes_of(&[(0, &[1]), (100, &[]), (107, &[2])], 50, 300);
        close_to(&found, 1, 47.0);
        assert!(found.emptied);
    }

    #[test]
    fn who_finds_another_listener_is_not_refused() {
        let mut changes = changes(&[(0, &[1]), (100, &[]), (107, &[2])]);
        changes[1].covered = true;
        changes[1].queues.insert(1, 3);
        let found = closes(&changes, &handshakes(40), MS * 50..MS * 300, None);
        close_to(&found, 1, 40.0);
        assert_eq!(found.queued, 3);
    }

    #[test]
    fn other_reloads_do_not_count() {
        let of: &[(u32, &[u64])] = &[(0, &[1]), (100, &[1, 2]), (200, &[2]), (300, &[2, 3])];
        close_to(&closes_of(of, 250, 400), 0, 0.0);
        close_to(&closes_of(of, 0, 150), 0, 0.0);
    }

    #[test]
    fn a_program_has_all_clients_be_the_old_generation_s_until_it_knows_the_new_one() {
        // The second of two new listeners takes its time.
        let of: &[(u32, &[u64])] =
            &[(0, &[1, 2]), (100, &[1, 2, 3]), (190, &[1, 2, 3, 4]), (200, &[3, 4])];
        let steered =
            |since| closes(&changes(of), &handshakes(40), MS * 50..MS * 300, Some(MS * since));
        close_to(&steered(190), 2, 30.0);
        close_to(&steered(210), 2, 40.0);
        // Whoever waits for a window has nothing left to lose.
        close_to(&steered(160), 2, 0.0);
    }

    #[test]
    fn a_close_was_between_two_looks() {
        let mut changes = changes(&[(0, &[1, 2]), (200, &[2])]);
        changes[1].last_look = MS * 100;
        // Nobody came after the middle.
        let handshakes = &handshakes(40)[..150];
        close_to(&closes(&changes, handshakes, MS * 50..MS * 300, None), 1, 20.0);
    }

    #[test]
    fn nothing_is_lost_where_nothing_is_in_flight() {
        let found = closes(
            &changes(&[(0, &[1]), (100, &[1, 2]), (100, &[2])]),
            &handshakes(0),
            MS * 50..MS * 300,
            None,
        );
        close_to(&found, 1, 0.0);
    }
}
