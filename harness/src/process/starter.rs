//! The process that every lab is forked from, seen from outside.
//!
//! It is this program, started once more when the first lab is wanted. It has one thread and
//! does nothing else, so that a fork of it is sound, and as it was when it started: no lab can
//! leave anything there for the next one. A lab costs a fork then, and not the start of a
//! program.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::RawFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Resource, in_words};
use crate::process::broken::Broken;
use crate::process::frame::{self, Frame, Frames};
use crate::process::limits::OUT_OF_MEMORY;
use crate::process::{interrupt, subprocess, thread};
use crate::refusal::Refusal;

/// The first argument that makes this program the process that labs are forked from. What
/// follows: this process's id, and its id by `/proc`.
pub const LAB_ARGUMENT: &str = "__lab";

/// A lab that is wanted.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    /// What it is to do.
    pub(crate) work: String,
    /// The asking process's descriptor that the result is to be written to.
    pub(crate) result: RawFd,
    /// The one that takes whatever is printed.
    pub(crate) console: RawFd,
}

/// The id of the process that was forked, or why there is none.
pub(crate) type Answer = Result<i32, Broken>;

/// A lab's first process. It is a child of this one, not of the one that it was forked from.
pub(crate) struct LabProcess(Pid);

impl LabProcess {
    /// Kills it, and all that is in the lab with it.
    pub(crate) fn kill(&self) {
        let _ = nix::sys::signal::kill(self.0, Signal::SIGKILL);
    }

    /// Waits for its end. The kernel lets it end only after all others in the lab.
    pub(crate) fn wait(&self) -> io::Result<ExitStatus> {
        loop {
            match waitpid(self.0, None) {
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
                Ok(status) => {
                    if let Some(ended) = exit_status(status) {
                        return Ok(ended);
                    }
                }
            }
        }
    }

    /// Whether it has ended. It must not be waited for any more then.
    pub(crate) fn has_ended(&self) -> bool {
        !matches!(waitpid(self.0, Some(WaitPidFlag::WNOHANG)), Ok(WaitStatus::StillAlive))
    }
}

fn exit_status(status: WaitStatus) -> Option<ExitStatus> {
    match status {
        WaitStatus::Exited(_, code) => Some(ExitStatus::from_raw(code << 8)),
        WaitStatus::Signaled(_, signal, _) => Some(ExitStatus::from_raw(signal as i32)),
        _ => None,
    }
}

/// How often labs are forked from the same process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ForkedFrom {
    /// All of them.
    #[default]
    One,
    /// Each from a process of its own, as a program that is started for it alone: to see that it
    /// makes no difference.
    OneEach,
}

/// Has labs started.
#[derive(Default)]
pub(crate) struct Starter {
    forked_from: ForkedFrom,
    process: Mutex<Option<ForkingProcess>>,
    keeper: Keeper,
}

impl Starter {
    pub(crate) fn new(forked_from: ForkedFrom) -> Self {
        Self { forked_from, process: Mutex::default(), keeper: Keeper::default() }
    }

    /// Has a lab started.
    pub(crate) fn start(&self, request: &Request) -> Result<LabProcess, Broken> {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = self.ask(&mut process, request);
        if self.forked_from == ForkedFrom::OneEach {
            process.take().map(ForkingProcess::end);
        }
        answer.map(|id| LabProcess(Pid::from_raw(id)))
    }

    /// Asks the process that labs are forked from, or another one if there is none any more.
    fn ask(&self, process: &mut Option<ForkingProcess>, request: &Request) -> Answer {
        let mut asked = process.as_mut().is_some_and(|forking| forking.ask(request));
        if !asked {
            process.take().map(ForkingProcess::end);
            asked = process.insert(self.keeper.start()?).ask(request);
        }
        let answer = process.as_mut().filter(|_| asked).and_then(ForkingProcess::answer);
        answer.unwrap_or_else(|| {
            let why = process.take().map(ForkingProcess::end);
            Err(if interrupt::caught() { Broken::Interrupted } else { why.expect("it was there") })
        })
    }
}

impl Drop for Starter {
    /// Returns when the process has ended.
    fn drop(&mut self) {
        let process = self.process.get_mut().unwrap_or_else(PoisonError::into_inner);
        process.take().map(ForkingProcess::end);
    }
}

/// The thread that starts the processes which labs are forked from, from the first one on.
///
/// They, and the labs, die when it dies, so that nothing survives this program. The threads that
/// wait for results come and go; this one stays.
#[derive(Default)]
struct Keeper {
    asked: Mutex<Option<mpsc::Sender<Asked>>>,
}

/// Where the process goes that is asked for.
type Asked = mpsc::Sender<Result<ForkingProcess, Error>>;

impl Keeper {
    fn start(&self) -> Result<ForkingProcess, Broken> {
        let gone = || Broken::Start(Refusal::Words("the thread that starts labs is gone".into()));
        let (answer, answered) = mpsc::channel();
        self.thread()?.send(answer).map_err(|_| gone())?;
        answered.recv().map_err(|_| gone())?.map_err(Broken::before_work)
    }

    fn thread(&self) -> Result<mpsc::Sender<Asked>, Broken> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = &*asked {
            return Ok(sender.clone());
        }
        let (sender, receiver) = mpsc::channel::<Asked>();
        let serve = move || {
            for answer in receiver {
                let _ = answer.send(ForkingProcess::start());
            }
        };
        thread::spawn(serve).map_err(Broken::before_work)?;
        Ok(asked.insert(sender).clone())
    }
}

/// The process that labs are forked from.
struct ForkingProcess {
    child: Child,
    requests: ChildStdin,
    answers: ChildStdout,
    answered: Frames,
    console: ChildStderr,
}

impl ForkingProcess {
    fn start() -> Result<Self, Error> {
        // As the mount of /proc that is here has it, which may be another process namespace's.
        let by_proc = std::fs::read_link("/proc/self").call(|| "readlink(/proc/self)".into())?;
        // A lab's standard input. Where it is missing, this is who can say so.
        File::open("/dev/null").call(|| "open(/dev/null, O_RDONLY)".into())?;
        let mut command = subprocess::this_program();
        command
            .args([LAB_ARGUMENT, &std::process::id().to_string()])
            .arg(by_proc)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().made(|| "execve(/proc/self/exe)".into())?;
        Ok(Self {
            answers: child.stdout.take().expect("stdout is piped"),
            answered: Frames::default(),
            console: child.stderr.take().expect("stderr is piped"),
            requests: child.stdin.take().expect("stdin is piped"),
            child,
        })
    }

    /// Sends a request. Says whether it is there to read it.
    fn ask(&mut self, request: &Request) -> bool {
        let payload = serde_json::to_vec(request).expect("a request can be written as JSON");
        Frame { tag: 0, payload }.send(&mut self.requests).is_ok()
    }

    /// Its answer; nothing if it has gone.
    fn answer(&mut self) -> Option<Answer> {
        let answer = frame::receive_with(&mut self.answered, &mut self.answers).ok()?;
        serde_json::from_slice(&answer.payload).ok()
    }

    /// Has it end, if it has not yet, and waits for that. Says how it ended.
    fn end(mut self) -> Broken {
        drop((self.requests, self.answers));
        let mut console = String::new();
        let _ = self.console.read_to_string(&mut console);
        match self.child.wait() {
            Ok(status) if status.code() == Some(OUT_OF_MEMORY) => {
                Broken::Exhausted { of: Resource::Memory, call: console.trim().to_owned() }
            }
            Ok(status) => Broken::Died { how: status.to_string(), console },
            Err(e) => Broken::Died { how: in_words(&e), console },
        }
    }
}
