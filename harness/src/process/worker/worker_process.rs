//! A worker as the lab sees it.

use std::os::fd::{AsFd, AsRawFd};
use std::process::{Child, ChildStdin, ChildStdout, Command as Program, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::handover::HandoverPoint;
use super::protocol::{
    Answer, CloseMode, Command, Messages, Orders, Served, Service, Source, send, to_argument,
};
use crate::capture::Recorder;
use crate::error::{Context, Error, Result, in_words};
use crate::process::subprocess::{die_with_parent, inherit, this_program};
use crate::socket::{Listener, Recorded};
use crate::trace::Act;
use crate::wait;

/// The first argument that makes this program a worker. What follows: its [`Orders`].
pub(crate) const WORKER_ARGUMENT: &str = "__worker";

/// Where the lab hands a listener to a worker that does not inherit it.
const HANDOVER_POINT: &str = "sockmig";

/// A running worker. Dropping the value kills it.
pub struct WorkerProcess {
    process: Child,
    commands: Option<ChildStdin>,
    answers: ChildStdout,
    arrived: Messages,
    recorder: Recorder,
    /// As the lab's trace calls it.
    name: String,
}

impl WorkerProcess {
    /// Starts one; returns when it has its listeners.
    ///
    /// # Errors
    /// It cannot be started, or cannot have its listeners.
    pub fn start(orders: &Orders) -> Result<Self> {
        let mut worker = Self::spawn(orders)?;
        worker.until_ready()?;
        Ok(worker)
    }

    /// Starts one of a lab that inherits `listener` by fork and exec, and serves on command.
    ///
    /// # Errors
    /// As [`WorkerProcess::start`].
    pub fn inheriting(name: &str, listener: &Listener) -> Result<Self> {
        let recorder = listener.recorder().clone();
        let holds = vec![listener.traced()];
        recorder.holds(name, holds.clone());
        recorder.record(|| Act::StartProcess { process: name.to_owned(), holds });
        let worker = Self::start(&Orders {
            source: Source::Inherited(vec![listener.as_fd().as_raw_fd()]),
            family: listener.family(),
            hands_out_at: None,
            service: Service::OnCommand,
        })?;
        Ok(worker.recorded(name, recorder))
    }

    /// Starts one of a lab that has no listener yet, and waits to be handed one at the returned
    /// point; it is ready when that is done. It serves on command.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn unrelated(
        name: &str,
        family: crate::Family,
        recorder: Recorder,
    ) -> Result<(Self, HandoverPoint)> {
        let point = HandoverPoint::open(HANDOVER_POINT)?;
        let source = Source::HandedOutAt(HANDOVER_POINT.into());
        let service = Service::OnCommand;
        recorder.record(|| Act::StartProcess { process: name.to_owned(), holds: vec![] });
        let worker = Self::spawn(&Orders { source, family, hands_out_at: None, service })?;
        Ok((worker.recorded(name, recorder), point))
    }

    /// The same, recorded in a lab's trace under a name.
    fn recorded(mut self, name: &str, recorder: Recorder) -> Self {
        self.name = name.to_owned();
        self.recorder = recorder;
        self
    }

    /// As the lab's trace calls it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn spawn(orders: &Orders) -> Result<Self> {
        let mut program = command(orders)?;
        if let Source::Inherited(descriptors) = &orders.source {
            descriptors.iter().for_each(|descriptor| inherit(&mut program, *descriptor));
        }
        die_with_parent(&mut program);
        program.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = program.spawn().made(|| "execve(/proc/self/exe), a worker".into())?;
        let commands = process.stdin.take();
        let answers = process.stdout.take().expect("stdout is piped");
        let (recorder, name) = (Recorder::none(), String::new());
        Ok(Self { process, commands, answers, arrived: Messages::default(), recorder, name })
    }

    /// Waits until it has its listeners.
    ///
    /// # Errors
    /// It says something else, or nothing.
    pub fn until_ready(&mut self) -> Result<()> {
        match self.answer()? {
            Some(Answer::Ready) => Ok(()),
            other => Err(unexpected(other)),
        }
    }

    /// Has it accept, read from and answer this many clients; for [`Service::OnCommand`].
    ///
    /// # Errors
    /// It is gone, or not all of them come.
    pub fn serve(&mut self, clients: usize) -> Result<Vec<Served>> {
        self.recorder.record(|| Act::Serve { process: self.name.clone() });
        self.send(Command::Serve { clients })?;
        match self.answer()? {
            Some(Answer::Served(served)) => Ok(served),
            other => Err(unexpected(other)),
        }
    }

    /// Has it close its listeners, finish what it has accepted, and end.
    ///
    /// # Errors
    /// It is gone.
    pub fn close(&mut self, mode: CloseMode) -> Result<()> {
        self.send(Command::Close(mode))
    }

    /// Has it finish what it has accepted, and replace itself by another program, which finds
    /// the listeners open; returns when that one is ready.
    ///
    /// # Errors
    /// It is gone, or the other one is not ready.
    pub fn exec(&mut self) -> Result<()> {
        self.recorder.record(|| Act::Exec { process: self.name.clone() });
        self.send(Command::Exec)?;
        self.until_ready()
    }

    /// Stops it (SIGSTOP): its listeners stay open, and nobody accepts. Returns when it has
    /// stopped. Dropping the value kills it even so.
    ///
    /// # Errors
    /// It is gone.
    pub fn stop(&self) -> Result<()> {
        self.recorder.record(|| Act::Stop { process: self.name.clone() });
        self.signal(Signal::SIGSTOP)?;
        match waitpid(self.pid(), Some(WaitPidFlag::WUNTRACED)).call(|| "waitpid()".into())? {
            WaitStatus::Stopped(..) => Ok(()),
            other => Err(Error::unreadable("a stopped worker", format!("{other:?}"))),
        }
    }

    /// Has it continue after [`WorkerProcess::stop`] (SIGCONT).
    ///
    /// # Errors
    /// It is gone.
    pub fn resume(&self) -> Result<()> {
        self.recorder.record(|| Act::Continue { process: self.name.clone() });
        self.signal(Signal::SIGCONT)
    }

    /// Kills it (SIGKILL); everything that only it had open is closed then.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub fn kill(mut self) -> Result<()> {
        let closes = self.recorder.releases(&self.name);
        self.recorder.record(|| Act::Kill { process: self.name.clone(), closes });
        self.process.kill().call(|| "kill(SIGKILL)".into())?;
        self.process.wait().map(drop).call(|| "waitpid(worker)".into())
    }

    /// Has it end at once, by itself; returns when it has.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub fn end(mut self) -> Result<()> {
        let closes = self.recorder.releases(&self.name);
        self.recorder.record(|| Act::EndProcess { process: self.name.clone(), closes });
        self.commands = None;
        self.process.wait().map(drop).call(|| "waitpid(worker)".into())
    }

    /// Waits until it has ended by itself, with success.
    ///
    /// # Errors
    /// It does not, or says what failed.
    pub fn until_ended(mut self) -> Result<()> {
        let answer = self.answer()?;
        let status = self.process.wait().call(|| "waitpid(worker)".into())?;
        match answer {
            None if status.success() => Ok(()),
            None => Err(Error::unreadable("a worker", format!("it died ({status})"))),
            other => Err(unexpected(other)),
        }
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// It has ended; with what it said last.
    pub fn alive(&mut self) -> Result<()> {
        match self.process.try_wait().call(|| "waitpid(worker)".into())? {
            None => Ok(()),
            Some(status) => {
                let last = match self.answer() {
                    Ok(Some(Answer::Failed(why))) => format!(" {why}"),
                    _ => String::new(),
                };
                let what = format!("it ended while it was to serve ({status}){last}");
                Err(Error::unreadable("a worker", what))
            }
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.process.id().cast_signed())
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        kill(self.pid(), signal).call(|| format!("kill({signal})"))
    }

    fn send(&mut self, command: Command) -> Result<()> {
        let commands = self.commands.as_mut().expect("is open until the end");
        let sent = send(commands, &command).call(|| format!("write(worker, {command:?})"));
        // What it said before it ended explains more than a broken pipe.
        sent.map_err(|gone| match self.answer() {
            Ok(Some(Answer::Failed(why))) => {
                let how = self.process.wait().map_or_else(|e| in_words(&e), |s| s.to_string());
                Error::unreadable("a worker", format!("{why} ({how})"))
            }
            _ => gone,
        })
    }

    /// What it says next; nothing when it is gone.
    fn answer(&mut self) -> Result<Option<Answer>> {
        loop {
            if let Some(answer) = self.arrived.next("a worker's answer")? {
                return Ok(Some(answer));
            }
            if !wait::ready(&[self.answers.as_fd()], wait::deadline())?[0] {
                let what = "a worker's answer";
                return Err(wait::Patience::from(wait::deadline()).ran_out(what));
            }
            let more = self.arrived.read_once(&mut self.answers);
            if !more.call(|| "read(worker)".into())? {
                return Ok(None);
            }
        }
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn unexpected(answer: Option<Answer>) -> Error {
    match answer {
        None => Error::unreadable("a worker", "it died"),
        Some(Answer::Failed(why)) => Error::unreadable("a worker", why),
        Some(other) => Error::unreadable("a worker's answer", format!("{other:?}")),
    }
}

/// The command that starts a worker: this very program.
pub(super) fn command(orders: &Orders) -> Result<Program> {
    let mut program = this_program();
    program.args([WORKER_ARGUMENT, &to_argument(orders)?]);
    Ok(program)
}
