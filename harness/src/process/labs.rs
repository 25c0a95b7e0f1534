//! A lab seen from outside: a process of its own, its deadline, and what it returns.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::capture::Timestamps;
use crate::error::{Context, Resource, in_words};
use crate::process::broken::Broken;
use crate::process::interrupt;
use crate::process::limits::OUT_OF_MEMORY;
use crate::process::returned::{ResultReader, Returned};
use crate::process::starter::{ForkedFrom, LabProcess, Request, Starter};
use crate::wait;

/// How much of a lab's console is kept, from its end.
const CONSOLE_BYTES: usize = 16 * 1024;

/// The running labs, and those whose namespaces the kernel is still taking down.
///
/// A lab counts as done when its result is here. The kernel needs some milliseconds more
/// to dismantle it (a packet socket waits for an RCU grace period), which is only
/// waited for at the very end.
#[derive(Default)]
pub struct Labs {
    ended: Mutex<Vec<LabProcess>>,
    starter: Starter,
    /// On before any lab needs them.
    _timestamps: Timestamps,
}

impl Labs {
    /// As [`Labs::default`], where labs are forked from such processes.
    pub fn forked_from(forked_from: ForkedFrom) -> Self {
        let mut labs = Self::default();
        labs.starter = Starter::new(forked_from);
        labs
    }

    /// Runs `work` in a lab of its own and returns what came of it.
    ///
    /// The program must call [`crate::process::entry::enter`] first thing in `main`.
    ///
    /// # Errors
    /// [`Broken`]; by then nothing of the lab is running.
    pub fn run(&self, work: &str, deadline: Duration) -> Result<Returned, Broken> {
        let (process, mut reader) = self.start(work)?;
        match reader.read(deadline) {
            Ended::Returned(returned) => {
                self.reap_later(process);
                returned
            }
            Ended::Silently => Err(match process.wait() {
                Ok(status) if status.code() == Some(OUT_OF_MEMORY) => {
                    let call = reader.console().trim().to_owned();
                    Broken::Exhausted { of: Resource::Memory, call }
                }
                ended => {
                    let how = ended.map_or_else(|e| in_words(&e), |status| status.to_string());
                    Broken::Died { how, console: reader.console() }
                }
            }),
            Ended::Late => {
                end(&process);
                Err(Broken::Hung { after: deadline, console: reader.console() })
            }
            Ended::Interrupted => {
                end(&process);
                Err(Broken::Interrupted)
            }
        }
    }

    /// Starts a lab, with pipes for its result and for what it prints.
    fn start(&self, work: &str) -> Result<(LabProcess, Reader), Broken> {
        let pipe = || {
            let (read, write) = io::pipe().call(|| "pipe2(O_CLOEXEC)".into())?;
            Ok((OwnedFd::from(read), OwnedFd::from(write)))
        };
        let (result, to_result) = pipe().map_err(Broken::before_work)?;
        let (console, to_console) = pipe().map_err(Broken::before_work)?;
        let process = self.starter.start(&Request {
            work: work.to_owned(),
            result: to_result.as_raw_fd(),
            console: to_console.as_raw_fd(),
        })?;
        // The lab has them open by now; what only it has open ends with it.
        drop((to_result, to_console));
        Ok((process, Reader::new(result, console)))
    }

    /// Waits until nothing is left of any lab.
    pub fn wait(&self) {
        for process in std::mem::take(&mut *self.lock()) {
            let _ = process.wait();
        }
    }

    fn reap_later(&self, process: LabProcess) {
        let mut ended = self.lock();
        ended.push(process);
        ended.retain(|process| !process.has_ended());
    }

    fn lock(&self) -> MutexGuard<'_, Vec<LabProcess>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Labs {
    fn drop(&mut self) {
        self.wait();
    }
}

/// Kills a lab, and waits until nothing of it is left.
fn end(process: &LabProcess) {
    process.kill();
    let _ = process.wait();
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
