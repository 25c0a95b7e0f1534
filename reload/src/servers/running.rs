//! A server that others wrote, running in a lab.

use harness::load::Exchange;
use harness::load::listener_monitor::listeners;
use harness::process::child_server::{self, Signal, families, is_stopped, last_lines};
use harness::{Context, Family, wait};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::conditions::{Conditions, Present, family, missing_answer, number};
use super::naming::{generated, log_in, names, words};
use super::processes::{Life, MainProcess, Starter, pid_in};
use crate::failure::{Failure, Missing, Phase, Result, ServerEvent, ServerFailure};
use crate::server_file::template::Names;
use crate::server_file::value::Words;
use crate::server_file::{Definition, PROCESSES, Until};
use crate::strategy::ServerEnv;

/// A server with everything that its file says.
pub(super) struct RunningServer {
    pub(super) definition: Definition,
    pub(super) directory: PathBuf,
    workers: u32,
    /// Whether values are as they become at a reload.
    pub(super) is_reloaded: bool,
    pub(super) generation: u32,
    pub(super) current: Vec<MainProcess>,
    /// Main processes that are to end,
    pub(super) leaving: Vec<MainProcess>,
    /// and others.
    pub(super) leaving_others: BTreeSet<i32>,
    pub(super) family: Family,
    pub(super) exchange: Exchange,
    /// How much had been printed when the last reload began.
    pub(super) log_before: usize,
}

impl RunningServer {
    pub(super) fn start(definition: &Definition, env: &ServerEnv) -> Result<Self> {
        let mut server = Self {
            definition: definition.clone(),
            directory: env.directory.clone(),
            workers: env.workers,
            is_reloaded: false,
            generation: 0,
            current: vec![],
            leaving: vec![],
            leaving_others: BTreeSet::new(),
            family: Family::V4,
            exchange: Exchange::default(),
            log_before: 0,
        };
        server.exchange = exchange(definition, &server.names());
        server.write_files()?;
        let command = server.definition.file.start.command.clone();
        server.current = server.start_processes(&command, Phase::Start)?;
        server.until_listening()?;
        Ok(server)
    }

    /// What placeholders stand for now.
    pub(super) fn names(&self) -> Names {
        let mut names = names(&self.definition, &self.directory, self.workers, self.is_reloaded);
        names.set("generation", self.generation.to_string());
        if let Some(main) = self.current.first() {
            names.set("main", main.pid().to_string());
        }
        names
    }

    pub(super) fn write_files(&self) -> Result<()> {
        for (name, text) in generated(&self.definition.file, &self.names()) {
            let path = self.directory.join(name);
            let parent = path.parent().unwrap_or(&self.directory);
            fs::create_dir_all(parent).call(|| format!("mkdir({})", parent.display()))?;
            fs::write(&path, text).call(|| format!("write({})", path.display()))?;
        }
        Ok(())
    }

    fn starter(&self) -> Starter<'_> {
        let (start, names) = (&self.definition.file.start, self.names());
        let environment = start.environment.iter();
        Starter {
            environment: environment
                .map(|(name, value)| (name.clone(), names.fill(value)))
                .collect(),
            directory: start
                .directory
                .as_ref()
                .map_or_else(|| self.directory.clone(), |text| PathBuf::from(names.fill(text))),
            scratch: &self.directory,
            log: log_in(&self.directory),
            becomes_user: start.becomes_user,
        }
    }

    /// Starts a generation; returns when it has its main processes.
    pub(super) fn start_processes(
        &mut self,
        command: &Words,
        phase: Phase,
    ) -> Result<Vec<MainProcess>> {
        let names = self.names();
        let words = words(command, &names, &self.definition.here);
        let file = &self.definition.file;
        let count = file.start.processes.as_ref();
        let count = count.map_or(Ok(1), |count| number("start.processes", count, &names));
        let count = count.and_then(|number| match u32::try_from(number) {
            Ok(count) if (PROCESSES.0..=PROCESSES.1).contains(&count) => Ok(count),
            _ => {
                let key = "start.processes".to_owned();
                Err(ServerEvent::OutOfRange { key, number, range: PROCESSES })
            }
        });
        let count = count.map_err(|event| self.failure(phase, event))?;
        let old = self.pid_file().as_deref().and_then(pid_in);
        let mut started = Vec::new();
        for _ in 0..count {
            let process = self.starter().start(&words);
            let process = process.map_err(|event| self.failure(phase, event))?;
            started.push(MainProcess::Child { process, command: words[0].clone() });
        }
        if self.definition.file.start.background {
            self.until_in_background(&mut started, phase)?;
        }
        match self.pid_file() {
            None => Ok(started),
            Some(file) => {
                let pid = self.until_pid(&file, old, &mut started, phase)?;
                let is_it = |main: &MainProcess| main.pid() == pid;
                match started.into_iter().find(is_it) {
                    Some(child) => Ok(vec![child]),
                    None => Ok(vec![MainProcess::Background { pid }]),
                }
            }
        }
    }

    pub(super) fn pid_file(&self) -> Option<PathBuf> {
        let name = self.definition.file.start.pid_file.as_ref()?;
        Some(self.directory.join(self.names().fill(name)))
    }

    /// Waits until what was started has ended with success.
    fn until_in_background(&self, started: &mut [MainProcess], phase: Phase) -> Result<()> {
        self.until(phase, || {
            for main in started.iter_mut() {
                let MainProcess::Child { process, command } = main else { continue };
                let command = command.clone();
                match process.ended()? {
                    None => return Ok(Err(Missing::EndOf { command })),
                    Some(status) if status.success() => {}
                    Some(status) => {
                        let event = ServerEvent::Ended { command, status: status.to_string() };
                        return Err(self.failure(phase, event));
                    }
                }
            }
            Ok(Ok(()))
        })
    }

    /// The process of the pid file, when it is another one than `old`.
    pub(super) fn until_pid(
        &self,
        file: &Path,
        old: Option<i32>,
        started: &mut [MainProcess],
        phase: Phase,
    ) -> Result<i32> {
        let is_background = self.definition.file.start.background;
        self.until(phase, || match pid_in(file).filter(|pid| Some(*pid) != old) {
            Some(pid) => Ok(Ok(pid)),
            None => {
                if !is_background {
                    self.all_run(started, phase)?;
                }
                Ok(Err(Missing::Pid { path: file.display().to_string() }))
            }
        })
    }

    /// Waits until the first generation is ready, and answers.
    fn until_listening(&mut self) -> Result<()> {
        let conditions = self.conditions(Phase::Start)?;
        let mut current = std::mem::take(&mut self.current);
        let mut is_answered = false;
        let found = self.until(Phase::Start, || {
            self.all_run(&mut current, Phase::Start)?;
            let family = match family()? {
                Ok(family) => family,
                Err(missing) => return Ok(Err(missing)),
            };
            // Some start what serves only when a client comes.
            if !is_answered && let Some(missing) = missing_answer(&self.exchange) {
                return Ok(Err(missing));
            }
            is_answered = true;
            let (there, old) = (listeners(family)?, BTreeSet::new());
            if let Some(missing) = conditions.missing(&self.present(&current, &old, &there))? {
                return Ok(Err(missing));
            }
            // A server makes its listeners one after the other: only now are all of them there.
            self::family()
        });
        self.current = current;
        self.family = found?;
        Ok(())
    }

    pub(super) fn conditions(&self, phase: Phase) -> Result<Conditions> {
        let file = &self.definition.file;
        // What a server prints when it starts, it does not print when it only reads its files again.
        let output = match phase {
            Phase::Start => &file.ready.output,
            _ if file.replaces_main() => &file.ready.output,
            Phase::Load | Phase::Reload | Phase::Restore => &file.reload.output,
        };
        Conditions::of(&file.ready, output.as_deref(), &self.names())
            .map_err(|event| self.failure(phase, event))
    }

    pub(super) fn present<'s>(
        &self,
        mains: &[MainProcess],
        old: &'s BTreeSet<i32>,
        listeners: &'s BTreeSet<u64>,
    ) -> Present<'s> {
        Present {
            mains: mains.iter().map(MainProcess::pid).collect(),
            old,
            listeners,
            log: log_in(&self.directory),
            log_before: self.log_before,
        }
    }

    /// Fails if one of these has ended.
    pub(super) fn all_run(&self, mains: &mut [MainProcess], phase: Phase) -> Result<()> {
        for main in mains {
            let Life::Ended { event, well } = main.life()? else { continue };
            // The lab itself is the first process, and the only one if nothing else is left.
            let goes_on = families(&[std::process::id().cast_signed()])?.len() > 1;
            let event = match event {
                ServerEvent::Ended { command, .. }
                    if well && matches!(phase, Phase::Start | Phase::Load) && goes_on =>
                {
                    ServerEvent::InBackground { command }
                }
                other => other,
            };
            return Err(self.failure(phase, event));
        }
        Ok(())
    }

    /// Fails if a process of the lab is stopped: whatever does not happen, that is why.
    pub(super) fn none_is_stopped(&self, phase: Phase) -> Result<()> {
        let all = families(&[std::process::id().cast_signed()])?;
        match all.into_iter().find(|pid| is_stopped(*pid)) {
            Some(pid) => Err(self.failure(phase, ServerEvent::Stopped { pid })),
            None => Ok(()),
        }
    }

    pub(super) fn failure(&self, phase: Phase, what: ServerEvent) -> Failure {
        ServerFailure { phase, what, log: last_lines(&log_in(&self.directory)) }.into()
    }

    /// Waits until nothing is missing for what `check` makes.
    pub(super) fn until<T>(
        &self,
        phase: Phase,
        mut check: impl FnMut() -> Result<std::result::Result<T, Missing>>,
    ) -> Result<T> {
        let within = match phase {
            Phase::Start => self.definition.file.ready_within(),
            Phase::Load | Phase::Reload | Phase::Restore => self.definition.file.reload_within(),
        };
        let last = RefCell::new(Missing::Quiet);
        let found = wait::until_within(within, "a server", || {
            Ok(match check() {
                Ok(Ok(found)) => Some(Ok(found)),
                Ok(Err(missing)) => {
                    *last.borrow_mut() = missing;
                    None
                }
                Err(failure) => Some(Err(failure)),
            })
        });
        match found {
            Ok(found) => found,
            Err(harness::Error::NeverHappened { waited, .. }) => {
                self.none_is_stopped(phase)?;
                let (seconds, missing) = (waited.as_secs(), last.into_inner());
                Err(self.failure(phase, ServerEvent::NotInTime { seconds, missing }))
            }
            Err(other) => Err(other.into()),
        }
    }

    pub(super) fn signal(&self, signal: Signal, mains: &[MainProcess], phase: Phase) -> Result<()> {
        mains.iter().try_for_each(|main| {
            let pid = main.pid();
            child_server::signal(pid, signal).map_err(|e| {
                self.failure(phase, ServerEvent::CannotSignal { pid, why: e.to_string() })
            })
        })
    }

    /// Runs a command to its end.
    pub(super) fn run(&self, command: &Words, names: &Names, phase: Phase) -> Result<()> {
        let words = words(command, names, &self.definition.here);
        let process = self.starter().start(&words);
        let mut process = process.map_err(|event| self.failure(phase, event))?;
        let status = self.until(phase, || {
            let ended = process.ended()?;
            Ok(ended.ok_or_else(|| Missing::EndOf { command: words[0].clone() }))
        })?;
        match status.success() {
            true => Ok(()),
            false => {
                let (command, status) = (words[0].clone(), status.to_string());
                Err(self.failure(phase, ServerEvent::CommandFailed { command, status }))
            }
        }
    }
}

/// What clients send and get, by a server's file.
fn exchange(definition: &Definition, names: &Names) -> Exchange {
    let (request, usual) = (&definition.file.request, Exchange::default());
    let bytes = |text: &String| names.fill(text).into_bytes();
    Exchange {
        request: request.send.as_ref().map_or(usual.request, bytes),
        answer: request.answer.as_ref().map(bytes),
        server_closes: request.until == Until::Closed,
    }
}
