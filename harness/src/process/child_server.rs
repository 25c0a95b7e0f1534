//! A server that is somebody else's program, run in the foreground of a lab.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::sys::signal::kill;
use nix::unistd::Pid;

pub use nix::sys::signal::Signal;

use crate::error::{Context, Result};
use crate::process::subprocess::die_with_parent;

/// How many lines of its log are shown when it fails.
const LAST_LINES: usize = 6;

/// A running program. Dropping the value kills it, and not what it has started; that ends
/// with the lab.
pub struct ChildServer {
    process: Child,
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
        Ok(Self { process })
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.process.id().cast_signed()
    }

    /// How it has ended; nothing while it runs.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.process.try_wait().call(|| "waitpid()".into())
    }
}

/// The last lines of a log; none of one that is not there.
pub fn last_lines(log: &Path) -> Vec<String> {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
    last.iter().map(|line| (*line).to_owned()).collect()
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
    let children = processes()?.into_iter().filter(|(_, parent)| *parent == of);
    Ok(children.map(|(pid, _)| pid).collect())
}

/// Processes, and all that descend from them, zombies left out.
///
/// # Errors
/// `/proc` cannot be read.
pub fn families(of: &[i32]) -> Result<BTreeSet<i32>> {
    let all = processes()?;
    let mut found: BTreeSet<i32> =
        all.iter().filter(|(pid, _)| of.contains(pid)).map(|(pid, _)| *pid).collect();
    loop {
        let is_new = |(pid, parent): &&(i32, i32)| found.contains(parent) && !found.contains(pid);
        let new: Vec<i32> = all.iter().filter(is_new).map(|(pid, _)| *pid).collect();
        if new.is_empty() {
            return Ok(found);
        }
        found.extend(new);
    }
}

/// Every process that `/proc` shows, zombies left out, with its parent.
///
/// # Errors
/// `/proc` cannot be read.
pub fn processes() -> Result<Vec<(i32, i32)>> {
    let entries = fs::read_dir("/proc").call(|| "readdir(/proc)".into())?;
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let with_parent = pids.filter_map(|pid| match stat(pid)? {
        ('Z', _) => None,
        (_, parent) => Some((pid, parent)),
    });
    Ok(with_parent.collect())
}

/// The inodes of all sockets that a process has open; none of one that is gone.
pub fn sockets_of(pid: i32) -> BTreeSet<u64> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return BTreeSet::new() };
    let names = entries.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    names.filter_map(|name| socket_inode(name.to_str()?)).collect()
}

fn socket_inode(name: &str) -> Option<u64> {
    name.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
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
    fn a_log_is_shown_by_its_end() {
        let place = tempfile::tempdir().expect("a directory");
        let log = place.path().join("log");
        assert_eq!(last_lines(&log), Vec::<String>::new());
        fs::write(&log, "1\n2\n3\n4\n5\n6\n7\n8").expect("a log");
        assert_eq!(last_lines(&log), ["3", "4", "5", "6", "7", "8"]);
    }

    #[test]
    fn a_family_is_a_process_with_all_that_descend_from_it() {
        let this = std::process::id().cast_signed();
        let command = ["-c", "sleep 60; true"];
        // A guest has no shell.
        let Ok(mut child) = Command::new("/bin/sh").args(command).spawn() else { return };
        let shell = child.id().cast_signed();
        let found = crate::wait::until("the shell's child", || {
            let found = families(&[shell])?;
            Ok((found.len() == 2).then_some(found))
        });
        for pid in found.iter().flatten().copied().filter(|pid| *pid != shell) {
            let _ = signal(pid, Signal::SIGKILL);
        }
        let _ = (child.kill(), child.wait());
        let found = found.expect("a shell and what it runs");
        assert!(found.contains(&shell) && !found.contains(&this), "{found:?}");
    }

    #[test]
    fn sockets_of_a_process_are_found_by_their_inodes() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
        let this = std::process::id().cast_signed();
        assert!(!sockets_of(this).is_empty());
        drop(listener);
        assert_eq!(socket_inode("socket:[12]"), Some(12));
        assert_eq!(socket_inode("/dev/null"), None);
    }
}
