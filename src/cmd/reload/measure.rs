//! Sends labs on their jobs, one after the other, and gathers what they find.

use std::time::{Duration, Instant};

use harness::process::{Broken, Labs, Returned};
use reload::account::Found;
use reload::failure::Failure;
use reload::row::ReloadRow;
use reload::window::Window;
use reload::window::probe_work;
use scenarios::advice;

use crate::cli::{ReloadArguments, WindowChoice};
use crate::cmd::reload::plan::ReloadPlan;
use crate::cmd::reload::refusal::of_lab;
use crate::output::progress::Progress;

/// How long finding out about the window may take.
const PROBE: Duration = Duration::from_secs(10);

/// What was found.
#[derive(Default)]
pub struct Measured {
    /// Off and on of each strategy, in the plan's order.
    pub rows: Vec<ReloadRow>,
    /// What went wrong in the laboratory, a sentence each.
    pub errors: Vec<String>,
    /// Whether it was interrupted.
    pub interrupted: bool,
    /// The measured windows, in microseconds.
    pub windows_us: Vec<u64>,
    /// How late clients came at most, by the schedule, in microseconds.
    pub lag_us: u32,
    /// What each client cost the load, in microseconds of a processor; the mean of labs.
    pub processor_us: f64,
    /// How long it took.
    pub took: Duration,
}

/// Finds out which window there is, in a lab.
///
/// # Errors
/// The lab broke; or there is no such window, in a sentence.
pub fn window(labs: &Labs, arguments: &ReloadArguments) -> Result<Window, Result<Broken, String>> {
    let round_trip = Duration::from_millis(arguments.rtt.into());
    let returned = labs.run(&probe_work(round_trip), PROBE).map_err(Ok)?;
    let probed: Result<Window, String> = returned.parse().map_err(|e| Err(e.to_string()))?;
    match (arguments.window, probed) {
        (WindowChoice::Hold, Ok(_)) => Ok(Window::HOLD),
        (WindowChoice::DelayLine, Ok(Window::Hold { .. })) => Err(Err(
            "a delay line cannot be laid here: /dev/net/tun is missing or not for this user; \
             take --window hold"
                .into(),
        )),
        (_, Ok(window)) => Ok(window),
        (_, Err(why)) => Err(Err(format!("nothing makes handshakes last here: {why}"))),
    }
}

/// Does what is planned, until its end or an interruption.
pub fn measure(labs: &Labs, plan: &ReloadPlan, progress: &mut Progress) -> Measured {
    let started = Instant::now();
    let mut measured = Measured { rows: rows(plan), ..Measured::default() };
    let jobs = plan.jobs();
    progress.begin(jobs.len());
    let mut left = plan.takes();
    for (strategy, job) in &jobs {
        let shown = format!("{} ({} s left)", strategy.id, left.as_secs() + 1);
        progress.started(&shown);
        let returned = labs.run(&job.work(), job.deadline());
        left = left.saturating_sub(job.takes());
        progress.finished(&shown);
        match returned {
            Err(Broken::Interrupted) => {
                measured.interrupted = true;
                break;
            }
            Err(broken) => {
                measured.errors.push(format!("{}: {}", strategy.id, advice::no_lab(&broken)));
            }
            Ok(returned) => match read(&returned) {
                Ok(found) => measured.add(&strategy.id, &found),
                Err(why) => measured.errors.push(format!("{}: {}", strategy.id, of_lab(&why))),
            },
        }
    }
    progress.end();
    measured.rows.retain(|row| row.reloads() > 0);
    measured.took = started.elapsed();
    measured
}

fn read(returned: &Returned) -> Result<Found, Failure> {
    returned.parse::<Result<Found, Failure>>().map_err(|e| Failure::Lab(e.to_string()))?
}

fn rows(plan: &ReloadPlan) -> Vec<ReloadRow> {
    let settings: &[bool] = if plan.migrates { &[false, true] } else { &[false] };
    plan.strategies
        .iter()
        .flat_map(|s| {
            settings.iter().map(|on| ReloadRow::new(&s.id, s.effect, *on, plan.rate_of(s)))
        })
        .collect()
}

impl Measured {
    fn add(&mut self, strategy: &str, found: &Found) {
        for reload in &found.reloads {
            let is_its = |row: &&mut ReloadRow| row.strategy == strategy && row.on == reload.on;
            if let Some(row) = self.rows.iter_mut().find(is_its) {
                row.add(reload);
            }
        }
        let labs = self.windows_us.len() as f64;
        self.processor_us = (self.processor_us * labs + found.processor_us) / (labs + 1.0);
        self.windows_us.push(found.window_us);
        self.lag_us = self.lag_us.max(found.lag_us);
    }

    /// How long handshakes were in flight: the median of labs, in milliseconds.
    pub fn window_ms(&self) -> Option<f64> {
        let mut windows = self.windows_us.clone();
        windows.sort_unstable();
        windows.get(windows.len() / 2).map(|us| *us as f64 / 1e3)
    }
}
