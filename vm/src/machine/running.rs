//! A running machine: started, talked to, and seen to its end.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use harness::guest::tag;
use harness::process::frame::{Frame, Frames};
use harness::{Resource, in_words};
use harness::{process::interrupt, process::subprocess, wait};

use crate::machine::console;
use crate::machine::end::{EarlyEnd, Noticed, ProcessEnd};

/// The file in a machine's directory that takes what its console prints.
pub const CONSOLE: &str = "console.log";
/// The file that takes what the machine's own process writes to its standard error.
const STDERR: &str = "machine.log";

/// Why a machine could not even be started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotStarted {
    /// The program is not on this machine.
    #[error("{program} is not installed: apt install {package}")]
    Missing {
        /// What was looked for.
        program: String,
        /// The package that has it.
        package: &'static str,
    },
    /// Anything else.
    #[error("cannot start {program}: {why}")]
    Refused {
        /// What was to be started.
        program: String,
        /// The system's answer.
        why: String,
    },
}

/// What becomes of a machine when this program is interrupted.
#[derive(Debug, Clone, Copy)]
enum Interruption {
    /// It is killed.
    Kills,
    /// Its guest is told.
    IsPassedOn,
    /// Its guest was told, and may end until then.
    WasPassedOn { until: Instant },
}

/// How long a guest has to end that was told to: one in the emulator, debugged, beside others needs a
/// quarter. Whoever does not want to wait interrupts again.
const TIME_TO_END: Duration = Duration::from_secs(60);

/// A machine that runs. It is killed when the value goes, and when this program dies.
pub struct Machine {
    child: Child,
    to: Option<ChildStdin>,
    from: ChildStdout,
    frames: Frames,
    directory: PathBuf,
    ready: bool,
    interruption: Interruption,
}

/// The system's answer, with what may be the limit if there was too little of something.
fn why(answer: &io::Error) -> String {
    let answer_in_words = in_words(answer);
    match Resource::lacking_for_more(answer) {
        Some(of) => format!("{answer_in_words}; {}", of.limits()),
        None => answer_in_words,
    }
}

impl Machine {
    /// Starts `command` in `directory`, with the guest's port at its standard input and
    /// output. The thread that calls this must outlive the machine.
    ///
    /// # Errors
    /// [`NotStarted`].
    pub fn start(
        mut command: Command,
        package: &'static str,
        directory: &Path,
    ) -> Result<Self, NotStarted> {
        let program = command.get_program().to_string_lossy().into_owned();
        let refused = |e: &io::Error| match e.kind() {
            io::ErrorKind::NotFound => NotStarted::Missing { program: program.clone(), package },
            _ => NotStarted::Refused { program: program.clone(), why: why(e) },
        };
        let stderr = File::create(directory.join(STDERR)).map_err(|e| refused(&e))?;
        subprocess::die_with_parent(&mut command);
        // Ctrl-C at a terminal is for this program, which decides what becomes of the machine.
        subprocess::lead_group(&mut command);
        let mut child = command
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .map_err(|e| refused(&e))?;
        Ok(Self {
            to: child.stdin.take(),
            from: child.stdout.take().expect("stdout is piped"),
            child,
            frames: Frames::default(),
            directory: directory.to_owned(),
            ready: false,
            interruption: Interruption::Kills,
        })
    }

    /// Where its console is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The guest has said that it is up: if it ends from now on, that is for other reasons.
    pub fn set_ready(&mut self) {
        self.ready = true;
    }

    /// From now on, an interruption of this program is the guest's: it may end by itself, and show
    /// what it has.
    pub fn pass_on_interruptions(&mut self) {
        self.interruption = Interruption::IsPassedOn;
    }

    /// Whether the guest was told to end.
    pub fn was_told_to_end(&self) -> bool {
        matches!(self.interruption, Interruption::WasPassedOn { .. })
    }

    /// Sends the guest something. A guest that is gone is noticed when it is heard.
    pub fn send(&mut self, frame: &Frame) {
        let _ = self.to.as_mut().map(|to| frame.send(to));
    }

    /// What the guest says next.
    ///
    /// # Errors
    /// Its [`EarlyEnd`]; by then the machine is gone.
    pub fn hear(&mut self, within: Duration) -> Result<Frame, Box<EarlyEnd>> {
        let silent = Instant::now() + within;
        loop {
            let end = match self.interruption {
                Interruption::WasPassedOn { until } => until.min(silent),
                _ => silent,
            };
            match self.frames.next_whole() {
                Ok(Some(frame)) => return Ok(frame),
                Ok(None) => {}
                Err(garbage) => return Err(self.kill_because(Noticed::Garbage(garbage))),
            }
            let left = end.saturating_duration_since(Instant::now());
            let is_told = self.was_told_to_end();
            if left.is_zero() {
                let noticed = if is_told { Noticed::Interrupted } else { Noticed::Silence(within) };
                return Err(self.kill_because(noticed));
            }
            let announced = interrupt::announced().filter(|_| !is_told);
            let fds: Vec<BorrowedFd<'_>> =
                [Some(self.from.as_fd()), announced].into_iter().flatten().collect();
            let ready = match wait::ready(&fds, left) {
                Ok(ready) => ready,
                Err(e) => return Err(self.kill_because(Noticed::PortLost(e.to_string()))),
            };
            if ready.get(1) == Some(&true) {
                if let Interruption::Kills = self.interruption {
                    return Err(self.kill_because(Noticed::Interrupted));
                }
                self.send(&Frame { tag: tag::INTERRUPT, payload: vec![] });
                let until = Instant::now() + TIME_TO_END * wait::slowness();
                self.interruption = Interruption::WasPassedOn { until };
            }
            if ready[0] {
                let mut bytes = vec![0; 256 * 1024];
                match self.from.read(&mut bytes) {
                    Ok(0) => return Err(self.ended()),
                    Ok(len) => self.frames.push(&bytes[..len]),
                    Err(e) => return Err(self.kill_because(Noticed::PortLost(e.to_string()))),
                }
            }
        }
    }

    /// The end of a machine whose suite ended without a result, by `exit_code` as the guest
    /// reports it.
    pub fn suite_ended(mut self, exit_code: i32) -> Box<EarlyEnd> {
        self.kill();
        Box::new(EarlyEnd::of_suite(exit_code, &self.console()))
    }

    /// Waits for the machine to power itself off, and kills it if it does not.
    pub fn power_off(mut self, within: Duration) {
        let end = Instant::now() + within;
        // Its end of the port closes when it ends.
        while let left = end.saturating_duration_since(Instant::now())
            && !left.is_zero()
        {
            let mut bytes = [0; 4096];
            match wait::ready(&[self.from.as_fd()], left) {
                Ok(ready) if ready == [true] => match self.from.read(&mut bytes) {
                    Ok(0) | Err(_) => break,
                    Ok(_) => {}
                },
                _ => break,
            }
        }
        self.kill();
    }

    /// Kills a machine that is of no use any more, and works out why.
    fn kill_because(&mut self, noticed: Noticed) -> Box<EarlyEnd> {
        self.kill();
        Box::new(EarlyEnd::find_out(noticed, self.ready, &self.console()))
    }

    /// Waits for a machine that is ending by itself, and works out why.
    fn ended(&mut self) -> Box<EarlyEnd> {
        let status = subprocess::wait_for_group(&mut self.child).ok();
        let stderr = String::from_utf8_lossy(&self.read(STDERR)).trim().to_owned();
        let noticed = Noticed::End(ProcessEnd { status, stderr });
        Box::new(EarlyEnd::find_out(noticed, self.ready, &self.console()))
    }

    fn console(&self) -> String {
        console::text(&self.read(CONSOLE))
    }

    fn read(&self, file: &str) -> Vec<u8> {
        std::fs::read(self.directory.join(file)).unwrap_or_default()
    }

    fn kill(&mut self) {
        // A User-Mode Linux has processes of its own.
        let _ = subprocess::kill_group(&mut self.child);
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.kill();
    }
}
