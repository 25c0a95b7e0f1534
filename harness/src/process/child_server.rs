//! A server that is somebody else's program, run in the foreground of a lab.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::sys::signal::kill;
use nix::unistd::Pid;

pub use nix::sys::signal::Signal;

use crate::error::{Context, Error, Result};
use crate::process::subprocess::die_with_parent;
use crate::wait;

/// How many lines of its log are shown when it fails.
const LAST_LINES: usize = 6;

/// A running program. Dropping the value kills it, and not what it has started; that ends
/// with the lab.
pub struct ChildServer {
    process: Child,
    name: String,
    log: PathBuf,
}

impl ChildServer {
    /// Starts a program. What it prints is appended to `log`.
    ///
    /// # Errors
    /// There is no such program, or the log cannot be written.
    pub fn start(mut command: Command, log: &Path) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let file = File::options().create(true).append(true).open(log);
        let file = file.call(|| format!("open({})", log.display()))?;
        let again = file.try_clone().call(|| format!("dup({})", log.display()))?;
        command.stdin(Stdio::null()).stdout(file).stderr(again);
        die_with_parent(&mut command);
        let process = command.spawn().made(|| format!("execve({name})"))?;
        Ok(Self { process, name, log: log.to_owned() })
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.process.id().cast_signed()
    }

    /// Waits until `look` finds something.
    ///
    /// # Errors
    /// It does not, or the program ends meanwhile; both with the log's last lines.
    pub fn until<T>(&mut self, what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T> {
        let (process, name) = (&mut self.process, &self.name);
        let found = wait::until(what, || match look() {
            Some(found) => Ok(Some(found)),
            None => match process.try_wait() {
                Ok(Some(status)) => {
                    Err(Error::unreadable(name.as_str(), format!("it ended ({status})")))
                }
                _ => Ok(None),
            },
        });
        found.map_err(|e| self.with_log(&e))
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// It has ended; with the log's last lines.
    pub fn alive(&mut self) -> Result<()> {
        match self.process.try_wait().call(|| "waitpid()".into())? {
            None => Ok(()),
            Some(status) => Err(self.with_log(&self.has_ended(status))),
        }
    }

    fn has_ended(&self, status: ExitStatus) -> Error {
        Error::unreadable(self.name.as_str(), format!("it ended while it was to serve ({status})"))
    }

    /// Waits until the program has ended, with success or without.
    ///
    /// # Errors
    /// It does not.
    pub fn until_ended(mut self) -> Result<()> {
        self.ended().map(drop)
    }

    /// Waits until a program has gone into the background: what was started ends with success,
    /// and something else goes on.
    ///
    /// # Errors
    /// It does not, or fails; with the log's last lines.
    pub fn until_in_background(mut self) -> Result<()> {
        let status = self.ended()?;
        match status.success() {
            true => Ok(()),
            false => {
                let failed = Error::unreadable(self.name.as_str(), format!("it ended ({status})"));
                Err(self.with_log(&failed))
            }
        }
    }

    fn ended(&mut self) -> Result<ExitStatus> {
        let what = format!("the end of {}", self.name);
        let process = &mut self.process;
        let ended = wait::until(&what, || process.try_wait().call(|| "waitpid()".into()));
        ended.map_err(|e| self.with_log(&e))
    }

    fn with_log(&self, error: &Error) -> Error {
        with_log(&self.name, &self.log, error)
    }
}

/// An error of a program, with the last lines of its log.
pub fn with_log(name: &str, log: &Path, error: &Error) -> Error {
    let log = fs::read(log).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let lines: Vec<&str> = log.lines().collect();
    let log = match &lines[lines.len().saturating_sub(LAST_LINES)..] {
        [] => "its log is empty".to_owned(),
        last => format!("its log ends with:\n{}", last.join("\n")),
    };
    Error::unreadable(name, format!("{error}; {log}"))
}

impl Drop for ChildServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Sends a signal to a process of the lab.
///
/// # Errors
/// There is none with this id.
pub fn signal(pid: i32, signal: Signal) -> Result<()> {
    kill(Pid::from_raw(pid), signal).call(|| format!("kill({pid}, {signal})"))
}

/// The children of a process that run, zombies left out.
///
/// # Errors
/// `/proc` cannot be read.
pub fn children(of: i32) -> Result<BTreeSet<i32>> {
    let entries = fs::read_dir("/proc").call(|| "readdir(/proc)".into())?;
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Ok(pids
        .filter(|pid| stat(*pid).is_some_and(|(state, parent)| state != 'Z' && parent == of))
        .collect())
}

/// How many threads a process has; none when it is gone.
pub fn threads(of: i32) -> usize {
    fs::read_dir(format!("/proc/{of}/task")).map_or(0, Iterator::count)
}

/// Whether a signal has stopped a process.
pub fn is_stopped(pid: i32) -> bool {
    stat(pid).is_some_and(|(state, _)| state == 'T')
}

/// Whether a process has ended, even if its parent has not waited for it yet.
pub fn is_gone(pid: i32) -> bool {
    stat(pid).is_none_or(|(state, _)| state == 'Z')
}

/// State and parent. The name before them may contain anything.
fn stat(pid: i32) -> Option<(char, i32)> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(text: &str) -> Option<(char, i32)> {
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_confuse() {
        assert_eq!(parse_stat("12 (a) b) S 7 12 12 0 -1"), Some(('S', 7)));
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn a_program_that_ends_is_told_with_the_end_of_its_log() {
        let place = tempfile::tempdir().expect("a directory");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo one; echo no such option >&2; exit 3"]);
        let log = place.path().join("log");
        let mut daemon = match ChildServer::start(command, &log) {
            Ok(daemon) => daemon,
            // A guest has no shell; there the refusal names the program.
            Err(e) => return assert!(e.to_string().contains("execve(/bin/sh)"), "{e}"),
        };
        let why = daemon.until("the moon", || None::<()>).expect_err("it ended").to_string();
        for part in ["/bin/sh", "exit status: 3", "no such option"] {
            assert!(why.contains(part), "{part}: {why}");
        }
    }
}
