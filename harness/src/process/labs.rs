//! A lab seen from outside: a process of its own, its deadline, and what it returns.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::capture::Timestamps;
use crate::error::{Context, Error, Resource};
use crate::process::frame::{Frame, Frames};
use crate::process::limits::OUT_OF_MEMORY;
use crate::process::no_namespaces::NoNamespaces;
use crate::process::{interrupt, subprocess, thread};
use crate::refusal::Refusal;
use crate::wait;

/// The first argument that makes this program a lab. What follows: the parent's process
/// id, and the work to do.
pub const LAB_ARGUMENT: &str = "__lab";

/// How much of a lab's console is kept, from its end.
const CONSOLE_BYTES: usize = 16 * 1024;

/// What a lab returns. It travels as data, never as an exit code or as text to scan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Returned {
    /// The work's own result, serialized.
    pub data: Vec<u8>,
    /// The wire, as a pcapng file.
    pub pcapng: Vec<u8>,
}

impl Returned {
    /// A result whose data is `value` as JSON.
    pub fn json(value: &impl serde::Serialize, pcapng: Vec<u8>) -> Self {
        let data = serde_json::to_vec(value).expect("a result can be written as JSON");
        Self { data, pcapng }
    }

    /// Reads the data back.
    ///
    /// # Errors
    /// The data is not what [`Returned::json`] writes for a `T`.
    pub fn parse<T: serde::de::DeserializeOwned>(&self) -> crate::Result<T> {
        serde_json::from_slice(&self.data)
            .map_err(|e| Error::unreadable("a lab's result", e.to_string()))
    }
}

/// Why a lab returned nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Broken {
    /// The kernel did not let the namespaces be set up.
    #[error("no laboratory: {0}")]
    Setup(String),
    /// The kernel did not allow the namespaces themselves.
    #[error("no laboratory: {0}")]
    Namespaces(NoNamespaces),
    /// There is no room for one more: there may be when fewer run at a time.
    #[error("no laboratory: {call}")]
    Exhausted {
        /// What there is no more of.
        of: Resource,
        /// The call with its arguments, and the kernel's answer.
        call: String,
    },
    /// The process could not be started.
    #[error("cannot start the laboratory's process: {0}")]
    Start(Refusal),
    /// The deadline passed; everything in the lab was killed.
    #[error("hung: killed after {} s{}", after.as_secs_f64(), last_words(console))]
    Hung {
        /// The deadline.
        after: Duration,
        /// The end of what it printed.
        console: String,
    },
    /// The process ended without a word.
    #[error("the laboratory's process died ({how}){}", last_words(console))]
    Died {
        /// Exit status or signal.
        how: String,
        /// The end of what it printed.
        console: String,
    },
    /// Ctrl-C; everything in the lab was killed.
    #[error("interrupted")]
    Interrupted,
}

fn last_words(console: &str) -> String {
    match console.trim() {
        "" => String::new(),
        words => format!("; its last words:\n{words}"),
    }
}

/// The running labs, and those whose namespaces the kernel is still taking down.
///
/// A lab counts as done when its result is here. The kernel needs some milliseconds more
/// to dismantle it (a packet socket waits for an RCU grace period), which is only
/// waited for at the very end.
#[derive(Default)]
pub struct Labs {
    zombies: Mutex<Vec<Child>>,
    starter: Starter,
    /// On before any lab needs them.
    _timestamps: Timestamps,
}

/// The thread that starts every lab, from the first one on.
///
/// A lab dies when the thread dies that started it, so that nothing survives this
/// program. The threads that wait for results come and go; this one stays.
#[derive(Default)]
struct Starter {
    ask: Mutex<Option<mpsc::Sender<Request>>>,
}

/// What to start, and where to send the child.
type Request = (Command, mpsc::Sender<io::Result<Child>>);

impl Starter {
    fn start(&self, command: Command) -> Result<Child, Broken> {
        let gone = |()| Broken::Start(Refusal::Words("the thread that starts labs is gone".into()));
        let (answer, answered) = mpsc::channel();
        self.ask()?.send((command, answer)).map_err(|_| gone(()))?;
        let started = answered.recv().map_err(|_| gone(()))?;
        started.made(|| "execve(/proc/self/exe)".into()).map_err(Broken::before_work)
    }

    fn ask(&self) -> Result<mpsc::Sender<Request>, Broken> {
        let mut ask = self.ask.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ask) = &*ask {
            return Ok(ask.clone());
        }
        let (asking, asked) = mpsc::channel::<Request>();
        let serve = move || {
            for (mut command, answer) in asked {
                let _ = answer.send(command.spawn());
            }
        };
        thread::spawn(serve).map_err(Broken::before_work)?;
        Ok(ask.insert(asking).clone())
    }
}

impl Broken {
    /// Why a lab's process could not be started.
    fn before_work(error: Error) -> Self {
        Self::lacking(&error).unwrap_or_else(|| Self::Start(error.into()))
    }

    /// That something is lacking, if that is what this error says.
    pub fn lacking(error: &Error) -> Option<Self> {
        error.lacks().map(|of| Self::Exhausted { of, call: error.to_string() })
    }
}

impl Labs {
    /// Runs `work` in a lab of its own and returns what came of it.
    ///
    /// The program must call [`crate::process::entry::enter`] first thing in `main`.
    ///
    /// # Errors
    /// [`Broken`]; by then nothing of the lab is running.
    pub fn run(&self, work: &str, deadline: Duration) -> Result<Returned, Broken> {
        let mut command = subprocess::this_program();
        command
            .arg(LAB_ARGUMENT)
            .arg(std::process::id().to_string())
            .arg(work)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = self.starter.start(command)?;
        let result = child.stdout.take().map(OwnedFd::from).expect("stdout is piped");
        let console = child.stderr.take().map(OwnedFd::from).expect("stderr is piped");
        let mut reader = Reader::new(result, console);
        match reader.read(deadline) {
            Ended::Returned(returned) => {
                self.reap(child);
                returned
            }
            Ended::Silently => Err(match child.wait() {
                Ok(status) if status.code() == Some(OUT_OF_MEMORY) => {
                    let call = reader.console().trim().to_owned();
                    Broken::Exhausted { of: Resource::Memory, call }
                }
                ended => {
                    let how = ended.map_or_else(|e| e.to_string(), describe);
                    Broken::Died { how, console: reader.console() }
                }
            }),
            Ended::Late => {
                kill(&mut child);
                Err(Broken::Hung { after: deadline, console: reader.console() })
            }
            Ended::Interrupted => {
                kill(&mut child);
                Err(Broken::Interrupted)
            }
        }
    }

    /// Waits until nothing is left of any lab.
    pub fn wait(&self) {
        for mut child in std::mem::take(&mut *self.lock()) {
            let _ = child.wait();
        }
    }

    fn reap(&self, child: Child) {
        let mut zombies = self.lock();
        zombies.push(child);
        zombies.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Child>> {
        self.zombies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Labs {
    fn drop(&mut self) {
        self.wait();
    }
}

/// Has the guard kill the lab and wait for its end. Killing the guard itself would kill the
/// lab, too, but at a later moment that cannot be waited for.
fn kill(child: &mut Child) {
    let guard = Pid::from_raw(child.id().cast_signed());
    // A guard that was stopped must continue to handle it.
    for signal in [Signal::SIGTERM, Signal::SIGCONT] {
        let _ = nix::sys::signal::kill(guard, signal);
    }
    let _ = child.wait();
}

fn describe(status: ExitStatus) -> String {
    status.to_string()
}

enum Ended {
    Returned(Result<Returned, Broken>),
    Silently,
    Late,
    Interrupted,
}

/// Reads a lab's result and its console at the same time, so that neither can block it.
struct Reader {
    result: File,
    console: File,
    returned: ResultReader,
    printed: Vec<u8>,
    console_open: bool,
}

impl Reader {
    fn new(result: OwnedFd, console: OwnedFd) -> Self {
        Self {
            result: result.into(),
            console: console.into(),
            returned: ResultReader::default(),
            printed: vec![],
            console_open: true,
        }
    }

    fn console(&self) -> String {
        let start = self.printed.len().saturating_sub(CONSOLE_BYTES);
        String::from_utf8_lossy(&self.printed[start..]).into_owned()
    }

    fn read(&mut self, deadline: Duration) -> Ended {
        let end = Instant::now() + deadline;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ended::Late;
            }
            let (result, console, interrupted) = match self.poll(left) {
                Ok(ready) => ready,
                Err(e) => return Ended::Returned(Err(Broken::Start(e.into()))),
            };
            if interrupted {
                return Ended::Interrupted;
            }
            if console {
                self.console_open = append(&mut self.console, &mut self.printed) > 0;
            }
            if result {
                let mut bytes = vec![];
                if append(&mut self.result, &mut bytes) == 0 {
                    return Ended::Silently;
                }
                if let Some(returned) = self.returned.push(&bytes) {
                    return Ended::Returned(returned);
                }
            }
        }
    }

    /// Waits for one of: the result, the console, an interruption.
    fn poll(&self, left: Duration) -> crate::Result<(bool, bool, bool)> {
        let mut fds: Vec<BorrowedFd<'_>> = vec![self.result.as_fd()];
        if self.console_open {
            fds.push(self.console.as_fd());
        }
        let announced = interrupt::announced();
        fds.extend(announced);
        let ready = wait::ready(&fds, left)?;
        let interrupted = announced.is_some() && ready.last() == Some(&true);
        Ok((ready[0], self.console_open && ready[1], interrupted))
    }
}

/// Reads once; 0 at the end of the stream or on failure.
fn append(from: &mut File, to: &mut Vec<u8>) -> usize {
    let mut buffer = [0; 64 * 1024];
    let got = from.read(&mut buffer).unwrap_or(0);
    to.extend_from_slice(&buffer[..got]);
    got
}

/// Tags of the frames on the result pipe. The end has a frame of its own, because a process
/// that outlives the lab could keep the pipe open.
mod tag {
    pub const DATA: u8 = b'D';
    pub const PCAPNG: u8 = b'P';
    pub const SETUP_FAILED: u8 = b'E';
    pub const NO_NAMESPACES: u8 = b'N';
    pub const EXHAUSTED: u8 = b'X';
    pub const END: u8 = b'.';
}

/// What of a result has arrived.
#[derive(Default)]
struct ResultReader {
    frames: Frames,
    returned: Returned,
}

impl ResultReader {
    /// The result, when its end has come.
    fn push(&mut self, bytes: &[u8]) -> Option<Result<Returned, Broken>> {
        self.frames.push(bytes);
        let died = |how: String| Some(Err(Broken::Died { how, console: String::new() }));
        loop {
            let Frame { tag, payload } = match self.frames.next_whole() {
                Ok(frame) => frame?,
                Err(garbage) => return died(garbage.to_string()),
            };
            match tag {
                tag::DATA => self.returned.data = payload,
                tag::PCAPNG => self.returned.pcapng = payload,
                tag::NO_NAMESPACES => {
                    let why = serde_json::from_slice(&payload).map(Broken::Namespaces);
                    return why.map_or_else(|e| died(e.to_string()), |broken| Some(Err(broken)));
                }
                tag::SETUP_FAILED => {
                    return Some(Err(Broken::Setup(String::from_utf8_lossy(&payload).into())));
                }
                tag::EXHAUSTED => match serde_json::from_slice(&payload) {
                    Ok((of, call)) => return Some(Err(Broken::Exhausted { of, call })),
                    Err(e) => return died(e.to_string()),
                },
                tag::END => return Some(Ok(std::mem::take(&mut self.returned))),
                other => return died(format!("a frame with unknown tag {other}")),
            }
        }
    }
}

/// What a lab writes when its work is done.
pub(crate) fn encode(returned: Returned) -> Vec<u8> {
    let mut bytes = frame(tag::DATA, returned.data);
    bytes.extend(frame(tag::PCAPNG, returned.pcapng));
    bytes.extend(frame(tag::END, vec![]));
    bytes
}

/// What a lab writes when it could not be set up, or there was no room for one more.
pub(crate) fn encode_setup_failure(why: &Error) -> Vec<u8> {
    match why.lacks() {
        None => frame(tag::SETUP_FAILED, why.to_string().into()),
        Some(of) => {
            let lacking = (of, why.to_string());
            frame(tag::EXHAUSTED, serde_json::to_vec(&lacking).expect("a word and a sentence"))
        }
    }
}

/// What a lab writes when the kernel does not allow its namespaces.
pub(crate) fn encode_no_namespaces(why: &NoNamespaces) -> Vec<u8> {
    let why = serde_json::to_vec(why).expect("a refusal can be written as JSON");
    frame(tag::NO_NAMESPACES, why)
}

fn frame(tag: u8, payload: Vec<u8>) -> Vec<u8> {
    Frame { tag, payload }.encode()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::no_namespaces::NamespaceStep;

    #[test]
    fn a_result_is_nothing_until_it_is_whole() {
        let sent = Returned { data: b"{}".to_vec(), pcapng: vec![7; 300] };
        let bytes = encode(sent.clone());
        for cut in 0..bytes.len() {
            let mut reader = ResultReader::default();
            assert_eq!(reader.push(&bytes[..cut]), None, "cut at {cut}");
            assert_eq!(reader.push(&bytes[cut..]), Some(Ok(sent.clone())));
        }
    }

    #[test]
    fn a_failed_setup_is_reported_in_its_words() {
        let refused = |call: &str, errno: i32| {
            let answer = Err::<(), _>(io::Error::from_raw_os_error(errno));
            answer.made(|| call.into()).expect_err("it is refused")
        };
        let read = |bytes: Vec<u8>| ResultReader::default().push(&bytes);
        let why = refused("lo", libc::EPERM);
        assert_eq!(read(encode_setup_failure(&why)), Some(Err(Broken::Setup(why.to_string()))));
        let why = refused("unshare()", libc::EPERM).into();
        let why = NoNamespaces { step: NamespaceStep::Unshare, why };
        assert_eq!(read(encode_no_namespaces(&why)), Some(Err(Broken::Namespaces(why))));
        for (errno, of) in [
            (libc::EAGAIN, Resource::Processes),
            (libc::ENOSPC, Resource::Namespaces),
            (libc::ENOMEM, Resource::Memory),
            (libc::EMFILE, Resource::Descriptors),
        ] {
            let why = refused("fork()", errno);
            let lacking = Some(Err(Broken::Exhausted { of, call: why.to_string() }));
            assert_eq!(read(encode_setup_failure(&why)), lacking);
        }
    }
}
