//! How a server that runs is reloaded.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use harness::Family;
use harness::load::Exchange;
use harness::load::listener_monitor::listeners;
use harness::process::child_server::{Signal, children, is_gone};

use super::conditions::Stillness;
use super::naming::log_in;
use super::processes::{Life, MainProcess, held};
use super::running::RunningServer;
use crate::failure::{Missing, Phase, Result};
use crate::loading::pass;
use crate::server_file::Ends;
use crate::server_file::value::{SignalName, StartAgain, Words};
use crate::strategy::Server;

impl RunningServer {
    /// Has the server read its files again, by a signal or a command.
    fn order(
        &mut self,
        signal: Option<SignalName>,
        command: Option<&Words>,
        phase: Phase,
    ) -> Result<()> {
        match (signal, command) {
            (Some(SignalName(signal)), _) => self.signal(signal, &self.current, phase),
            (None, Some(command)) => self.run(command, &self.names(), phase),
            (None, None) => Ok(()),
        }
    }

    /// Makes values as they were before the first reload.
    fn restore(&mut self) -> Result<()> {
        self.begin(false)?;
        let reload = self.definition.file.reload.clone();
        let restore = reload.restore.unwrap_or_default();
        let is_own = restore.signal.is_some() || restore.command.is_some();
        let (signal, command) = match is_own {
            true => (restore.signal, restore.command),
            false => (reload.signal, reload.command),
        };
        match &reload.start_again {
            Some(again) if !is_own => {
                self.start_again(again, Duration::ZERO, Phase::Restore)?;
            }
            _ => {
                self.change(signal, command.as_ref(), Duration::ZERO, Phase::Restore)?;
            }
        }
        self.until_settled(Phase::Restore)
    }

    /// Has the server change by a signal or a command, and its main process be replaced if it is
    /// to be. Returns when the old ones were ordered to stop.
    fn change(
        &mut self,
        signal: Option<SignalName>,
        command: Option<&Words>,
        overlap: Duration,
        phase: Phase,
    ) -> Result<Instant> {
        let old = self.current.first().map_or(0, MainProcess::pid);
        let stopped = Instant::now();
        self.order(signal, command, phase)?;
        match self.definition.file.reload.ends {
            Some(Ends::Main) => self.replace_main(overlap, old, phase),
            Some(Ends::Children) | None => Ok(stopped),
        }
    }

    /// Writes the files for what comes, and remembers what there was.
    fn begin(&mut self, is_reloaded: bool) -> Result<()> {
        self.is_reloaded = is_reloaded;
        self.generation += 1;
        self.log_before = fs::metadata(log_in(&self.directory)).map_or(0, |log| log.len()) as usize;
        self.write_files()?;
        if self.definition.file.reload.ends == Some(Ends::Children) {
            for main in &self.current {
                self.leaving_others.extend(children(main.pid())?);
            }
        }
        Ok(())
    }

    /// Starts another generation, and has it take over.
    fn start_again(
        &mut self,
        again: &StartAgain,
        overlap: Duration,
        phase: Phase,
    ) -> Result<Instant> {
        let command = match again {
            StartAgain::AsBefore(_) => self.definition.file.start.command.clone(),
            StartAgain::By(command) => command.clone(),
        };
        let stopped = Instant::now();
        let mut new = self.start_processes(&command, phase)?;
        if !self.definition.file.stops_old() {
            // It stops the old one itself, as soon as it listens.
            self.leaving = std::mem::replace(&mut self.current, new);
            return Ok(stopped);
        }
        self.until_new_listens(&mut new, phase)?;
        let old = std::mem::replace(&mut self.current, new);
        pass(overlap);
        self.stop(old, phase)
    }

    /// Waits until a new generation is ready while the old one serves.
    fn until_new_listens(&self, new: &mut [MainProcess], phase: Phase) -> Result<()> {
        let conditions = self.conditions(phase)?;
        self.until(phase, || {
            self.all_run(new, phase)?;
            let there = listeners(self.family)?;
            for main in new.iter() {
                if held(&[main.pid()], &there)?.is_empty() {
                    return Ok(Err(Missing::Listener));
                }
            }
            let old = BTreeSet::new();
            Ok(conditions.missing(&self.present(new, &old, &there))?.map_or(Ok(()), Err))
        })
    }

    /// Waits for the main process that follows the one of the pid file, and stops the old one.
    fn replace_main(&mut self, overlap: Duration, old_pid: i32, phase: Phase) -> Result<Instant> {
        let Some(file) = self.pid_file() else { return Ok(Instant::now()) };
        let pid = self.until_pid(&file, Some(old_pid), &mut [], phase)?;
        let mut new = vec![MainProcess::Background { pid }];
        self.until_new_listens(&mut new, phase)?;
        let mut others = children(old_pid)?;
        others.remove(&pid);
        self.leaving_others.extend(others);
        let old = std::mem::replace(&mut self.current, new);
        pass(overlap);
        match self.definition.file.stops_old() {
            true => self.stop(old, phase),
            false => {
                self.leaving = old;
                Ok(Instant::now())
            }
        }
    }

    /// Stops main processes. Returns when they were ordered to.
    fn stop(&mut self, old: Vec<MainProcess>, phase: Phase) -> Result<Instant> {
        let stop = self.definition.file.stop.clone();
        let stopped = Instant::now();
        match (&stop.command, stop.signal) {
            (Some(command), _) => {
                let pid = old.first().map_or(0, MainProcess::pid);
                self.run(command, &self.names().with("main", pid.to_string()), phase)?;
            }
            (None, signal) => {
                let signal = signal.map_or(Signal::SIGTERM, |SignalName(signal)| signal);
                self.signal(signal, &old, phase)?;
            }
        }
        self.leaving = old;
        Ok(stopped)
    }

    /// Waits until nothing is left of what had to end, and what there is is ready.
    fn until_settled(&mut self, phase: Phase) -> Result<()> {
        let conditions = self.conditions(phase)?;
        let quiet = self.definition.file.quiet();
        let mut current = std::mem::take(&mut self.current);
        let mut leaving = std::mem::take(&mut self.leaving);
        let others = std::mem::take(&mut self.leaving_others);
        let mut stillness = Stillness::start();
        let settled = self.until(phase, || {
            self.all_run(&mut current, phase)?;
            let mut left = others.iter().filter(|pid| !is_gone(**pid)).count();
            for main in &mut leaving {
                left += usize::from(main.life()? == Life::Runs);
            }
            if left > 0 {
                return Ok(Err(Missing::OldProcesses { left }));
            }
            let there = listeners(self.family)?;
            if let Some(missing) = conditions.missing(&self.present(&current, &others, &there))? {
                return Ok(Err(missing));
            }
            if there.is_empty() {
                return Ok(Err(Missing::Listener));
            }
            match quiet {
                Some(quiet) if stillness.lasts(there)? < quiet => Ok(Err(Missing::Quiet)),
                _ => Ok(Ok(())),
            }
        });
        self.current = current;
        settled
    }
}

impl Server for RunningServer {
    fn reload(&mut self, overlap: Duration) -> Result<Instant> {
        // What has ended by now is not the reload's doing.
        self.alive()?;
        let reload = self.definition.file.reload.clone();
        if self.is_reloaded {
            self.restore()?;
        }
        let has_values = !reload.values.is_empty();
        if has_values {
            pass(overlap);
        }
        self.begin(has_values)?;
        if let Some(again) = &reload.start_again {
            return self.start_again(again, overlap, Phase::Reload);
        }
        self.change(reload.signal, reload.command.as_ref(), overlap, Phase::Reload)
    }

    fn settle(&mut self) -> Result<()> {
        self.until_settled(Phase::Reload)
    }

    fn alive(&mut self) -> Result<()> {
        let mut current = std::mem::take(&mut self.current);
        let alive = self.all_run(&mut current, Phase::Load);
        self.current = current;
        alive
    }

    fn explain(&mut self) -> Result<()> {
        self.none_is_stopped(Phase::Load)
    }

    fn family(&self) -> Family {
        self.family
    }

    fn exchange(&self) -> Exchange {
        self.exchange.clone()
    }
}
