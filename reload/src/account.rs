//! Whose attempt is whose: every attempt is of exactly one reload, or of none.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use harness::load::listener_monitor::ListenerChange;
use harness::load::{Attempt, Outcome, Record};
use harness::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::oracle::{self, Closes, Handshake};
use crate::window::Window;

/// A busy machine takes so long to notice a segment.
const NOTICED_WITHIN: Duration = Duration::from_millis(100);

/// A reload as the lab did it. Times are since the load's epoch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reload {
    pub(crate) on: bool,
    pub(crate) begun: Duration,
    pub(crate) stopped: Duration,
    /// When a program gave new clients to others than the old generation, if one did.
    pub(crate) steered: Option<Duration>,
    /// Whether listeners accepted whoever was in their queue before they closed.
    pub(crate) drained: bool,
    pub(crate) settled: Duration,
    pub(crate) ended: Duration,
    pub(crate) counters: BTreeMap<String, i64>,
}

/// What a job found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Each reload, in order.
    pub reloads: Vec<ReloadFound>,
    /// Attempts before the first reload and after the last one, all of them answered.
    pub outside: u64,
    /// How long handshakes were in flight, measured: the median, in microseconds.
    pub window_us: u64,
    /// How late attempts started, by the schedule: the 99th of a hundred, in microseconds.
    pub lag_us: u32,
    /// Processor time that an attempt cost the load, in microseconds.
    pub processor_us: f64,
}

/// The result of one reload.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ReloadFound {
    /// Whether `tcp_migrate_req` was on.
    pub on: bool,
    /// Its attempts, by their outcomes.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// How many listeners closed.
    pub closed: u32,
    /// From the order to stop until the last of them was gone, in microseconds.
    pub close_us: Option<u64>,
    /// How many clients are lost if nothing migrates, by the [oracle](crate::oracle).
    pub expected: f64,
    /// How many children waited to be accepted when listeners that closed were last seen:
    /// they are lost as well, if nothing migrates.
    pub queued: u64,
    /// How many clients were reset before the answer when a listener closed.
    pub reset_at_close: u64,
    /// Whether a close left no other listener.
    pub emptied: bool,
    /// When clients were lost, in milliseconds from the order to stop.
    pub lost_at_ms: Vec<f64>,
    /// From SYN to the answer's first byte, in microseconds: of clients that were done
    /// before the order to stop,
    pub quiet_us: Vec<u32>,
    /// and of those that it could concern.
    pub near_us: Vec<u32>,
    /// By how much counters grew.
    pub counters: BTreeMap<String, i64>,
}

impl ReloadFound {
    /// How many attempts it has.
    pub fn attempts(&self) -> u64 {
        self.outcomes.values().sum()
    }

    /// How many of them got no answer.
    pub fn lost(&self) -> u64 {
        self.outcomes.iter().filter(|(outcome, _)| outcome.is_loss()).map(|(_, count)| count).sum()
    }
}

/// Sorts out what happened. Where no handshake could be measured, each took `usual_span`.
///
/// # Errors
/// The laboratory failed in any attempt, or clients were lost where nothing was reloaded.
pub(crate) fn found(
    window: &Window,
    usual_span: Duration,
    record: &Record,
    reloads: &[Reload],
    changes: &[ListenerChange],
) -> Result<Found> {
    if let Some(error) = record.lab_errors.first() {
        return Err(Error::unreadable("the load", format!("not every client could come: {error}")));
    }
    let of = |attempt: &Attempt| whose(attempt, reloads);
    let outside: Vec<&Attempt> =
        record.attempts.iter().filter(|attempt| of(attempt).is_none()).collect();
    if let Some(lost) = outside.iter().find(|attempt| attempt.outcome.is_some_and(Outcome::is_loss))
    {
        let outcome = lost.outcome.map_or("", Outcome::words);
        return Err(Error::unreadable(
            "the load",
            format!("a client was lost where nothing was reloaded ({outcome}); lower --rate"),
        ));
    }
    let in_flight = in_flight(window, &record.attempts, reloads);
    let in_flight = in_flight.unwrap_or(usual_span);
    let handshakes: Vec<Handshake> =
        record.attempts.iter().map(|attempt| handshake(window, in_flight, attempt)).collect();
    let closes: Vec<Closes> = reloads
        .iter()
        .map(|reload| {
            oracle::closes(changes, &handshakes, reload.begun..reload.ended, reload.steered)
        })
        .collect();
    let mut found: Vec<ReloadFound> =
        reloads.iter().zip(&closes).map(|(reload, closes)| start(reload, closes)).collect();
    for attempt in &record.attempts {
        if let Some(index) = of(attempt) {
            add(&mut found[index], &reloads[index], attempt, in_flight);
            let is_at_close = attempt.outcome == Some(Outcome::ResetWaiting)
                && closes[index].moments.iter().any(|close| reaches(close, attempt, in_flight));
            found[index].reset_at_close += u64::from(is_at_close);
        }
    }
    let attempts = record.attempts.len() as u64;
    let counted = outside.len() as u64 + found.iter().map(ReloadFound::attempts).sum::<u64>();
    if counted != attempts {
        let what = format!("{attempts} attempts, of which {counted} were counted");
        return Err(Error::unreadable("the load", what));
    }
    Ok(Found {
        reloads: found,
        outside: outside.len() as u64,
        window_us: in_flight.as_micros() as u64,
        lag_us: percentile(record.lags_us.clone(), 99).unwrap_or_default(),
        processor_us: record.processor.as_secs_f64() * 1e6 / attempts.max(1) as f64,
    })
}

/// Which reload an attempt belongs to: the one in whose time it started; and if a segment
/// ended it, the one in whose time that came, which it need not have started in.
fn whose(attempt: &Attempt, reloads: &[Reload]) -> Option<usize> {
    let cut_off = attempt.outcome.is_some_and(|outcome| {
        outcome.is_loss()
            && !matches!(outcome, Outcome::TimedOutConnecting | Outcome::TimedOutWaiting)
    });
    if cut_off {
        return reloads.iter().rposition(|reload| reload.begun <= attempt.ended);
    }
    reloads.iter().position(|reload| (reload.begun..reload.ended).contains(&attempt.started))
}

/// An attempt's handshake as the server saw it, on a line on which it takes `takes`.
fn handshake(window: &Window, takes: Duration, attempt: &Attempt) -> Handshake {
    let started = attempt.started;
    match window {
        Window::DelayLine { .. } => {
            let arrives = |sent: Duration| sent + takes / 2;
            // Who got no answer to his SYN has none.
            arrives(started)..arrives(attempt.connected.unwrap_or(started))
        }
        Window::Hold { .. } if attempt.held => started..attempt.answered.unwrap_or(attempt.ended),
        Window::Hold { .. } => started..started,
    }
}

/// Whether the end of an attempt may be the reset that a close has sent.
fn reaches(close: &Range<Duration>, attempt: &Attempt, takes: Duration) -> bool {
    (close.start..close.end + takes + NOTICED_WITHIN).contains(&attempt.ended)
}

fn start(reload: &Reload, closes: &Closes) -> ReloadFound {
    let took = |last: Duration| last.saturating_sub(reload.stopped).as_micros() as u64;
    ReloadFound {
        on: reload.on,
        closed: closes.closed as u32,
        close_us: closes.last.map(took),
        expected: closes.expected,
        queued: if reload.drained { 0 } else { closes.queued },
        emptied: closes.emptied,
        counters: reload.counters.clone(),
        ..ReloadFound::default()
    }
}

fn add(found: &mut ReloadFound, reload: &Reload, attempt: &Attempt, window: Duration) {
    let Some(outcome) = attempt.outcome else { return };
    *found.outcomes.entry(outcome).or_default() += 1;
    if outcome.is_loss() {
        let at = attempt.ended.as_secs_f64() - reload.stopped.as_secs_f64();
        found.lost_at_ms.push((at * 1e6).round() / 1e3);
    }
    let Some(answered) = attempt.answered.filter(|_| outcome == Outcome::Answered) else { return };
    let took = (answered - attempt.started).as_micros().try_into().unwrap_or(u32::MAX);
    if attempt.ended < reload.stopped {
        found.quiet_us.push(took);
    } else if attempt.started <= reload.settled + window {
        found.near_us.push(took);
    }
}

/// How long handshakes are in flight, by those that no reload could concern.
fn in_flight(window: &Window, attempts: &[Attempt], reloads: &[Reload]) -> Option<Duration> {
    let quiet = |attempt: &&Attempt| {
        let concerned = |r: &Reload| attempt.started < r.ended && attempt.ended > r.stopped;
        attempt.outcome == Some(Outcome::Answered) && !reloads.iter().any(concerned)
    };
    let took = |attempt: &Attempt| match window {
        Window::DelayLine { .. } => Some(attempt.connected? - attempt.started),
        Window::Hold { .. } if attempt.held => Some(attempt.answered? - attempt.started),
        Window::Hold { .. } => None,
    };
    let took = attempts.iter().filter(quiet).filter_map(took);
    let took = took.map(|took| u32::try_from(took.as_micros()).unwrap_or(u32::MAX)).collect();
    percentile(took, 50).map(|median| Duration::from_micros(median.into()))
}

fn percentile(mut of: Vec<u32>, percent: usize) -> Option<u32> {
    of.sort_unstable();
    of.get((of.len() * percent / 100).min(of.len().checked_sub(1)?)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use harness::load::Attempt;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn attempt(started: u64, ended: u64, outcome: Outcome) -> Attempt {
        let connected = (outcome == Outcome::Answered).then(|| ms(started + 40));
        let answered = (outcome == Outcome::Answered).then(|| ms(ended));
        Attempt {
            started: ms(started),
            connected,
            answered,
            ended: ms(ended),
            outcome: Some(outcome),
            held: false,
        }
    }

    fn reload(begun: u64) -> Reload {
        Reload {
            on: false,
            begun: ms(begun),
            stopped: ms(begun + 200),
            steered: None,
            drained: false,
            settled: ms(begun + 210),
            ended: ms(begun + 400),
            counters: BTreeMap::new(),
        }
    }

    const SPAN: Duration = Duration::from_millis(40);
    const WINDOW: Window = Window::DelayLine { round_trip: Duration::from_millis(40) };

    fn found_of(attempts: Vec<Attempt>) -> Result<Found> {
        found_with(attempts, &[])
    }

    fn found_with(attempts: Vec<Attempt>, changes: &[ListenerChange]) -> Result<Found> {
        let record = Record { attempts, ..Record::default() };
        found(&WINDOW, SPAN, &record, &[reload(1000), reload(1400)], changes)
    }

    /// A listener was seen for the last time at 1200 ms, and was gone at 1202 ms.
    #[test]
    fn a_reset_is_a_close_s_if_it_comes_as_soon_as_the_line_allows() {
        let change = |at, listeners: &[u64]| ListenerChange {
            at: ms(at),
            last_look: ms(at - 2),
            listeners: listeners.iter().copied().collect(),
            ..ListenerChange::default()
        };
        let changes = [change(900, &[1, 2]), change(1202, &[2])];
        let at_close = |ended, outcome| {
            let found = found_with(vec![attempt(1150, ended, outcome)], &changes).expect("one");
            found.reloads.iter().map(|reload| reload.reset_at_close).sum::<u64>()
        };
        for ended in [1200, 1222, 1300] {
            assert_eq!(at_close(ended, Outcome::ResetWaiting), 1, "{ended}");
            assert_eq!(at_close(ended, Outcome::Refused), 0, "{ended}");
        }
        for ended in [1199, 1390] {
            assert_eq!(at_close(ended, Outcome::ResetWaiting), 0, "{ended}");
        }
    }

    #[test]
    fn every_attempt_is_counted_once_and_where_it_belongs() {
        let found = found_of(vec![
            attempt(500, 580, Outcome::Answered),
            attempt(1000, 1080, Outcome::Answered),
            attempt(1190, 1270, Outcome::Answered),
            // Started before the reload that cut it off.
            attempt(1399, 1600, Outcome::ResetWaiting),
            // Gave up in the next reload's time.
            attempt(1300, 1500, Outcome::TimedOutWaiting),
            // Its reset came late.
            attempt(1790, 1900, Outcome::Refused),
            attempt(1800, 1880, Outcome::Answered),
        ])
        .expect("in order");
        assert_eq!(found.outside, 2);
        let [first, second] = found.reloads.as_slice() else { panic!("two reloads") };
        assert_eq!((first.attempts(), first.lost()), (3, 1));
        assert_eq!((second.attempts(), second.lost()), (2, 2));
        assert_eq!(
            (first.quiet_us.as_slice(), first.near_us.as_slice()),
            (&[80_000][..], &[80_000][..])
        );
        assert_eq!(first.lost_at_ms, [300.0]);
        assert_eq!(found.window_us, 40_000);
    }

    #[test]
    fn a_loss_before_any_reload_is_the_laboratory_s() {
        let why = found_of(vec![attempt(500, 580, Outcome::Refused)]).expect_err("no reload");
        assert!(why.to_string().contains("lost where nothing was reloaded"), "{why}");
    }

    #[test]
    fn what_was_missing_in_the_laboratory_is_no_loss() {
        let lab_errors = vec!["bind(): EADDRNOTAVAIL".to_owned()];
        let record = Record { lab_errors, ..Record::default() };
        let why = found(&WINDOW, SPAN, &record, &[reload(1000)], &[]).expect_err("an error");
        assert!(why.to_string().contains("EADDRNOTAVAIL"), "{why}");
    }
}
