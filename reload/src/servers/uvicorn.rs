//! uvicorn, which leaves it to others to rotate its processes: each has a listener of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use harness::process::child_server::{self, ChildServer, Signal};
use harness::{PORT, Result};

use super::support::{RELOAD_TAKES, are_listening, write};
use crate::loading::pass;
use crate::strategy::{ListenerEffect, Program, Server, ServerEnv, Strategy, StrategyNeed, find};

const PROGRAM: Program =
    Program { names: &["uvicorn"], install: "apt install uvicorn", missing: |_| None };

/// How many clients a second it is made for.
const MOST: u32 = 250;

pub(super) fn strategies() -> Vec<Strategy> {
    vec![Strategy {
        id: "uvicorn/rotate",
        does: "New processes make listeners of their own; then SIGTERM to the old ones, which \
               close theirs.",
        effect: ListenerEffect::Close,
        takes: RELOAD_TAKES,
        most: Some(MOST),
        needs: StrategyNeed::Server(PROGRAM),
        start: Processes::start,
    }]
}

struct Processes {
    directory: PathBuf,
    /// How many there are when it is at rest.
    count: usize,
    current: Vec<ChildServer>,
    leaving: Vec<ChildServer>,
}

impl Processes {
    fn start(env: &ServerEnv) -> Result<Box<dyn Server>> {
        let directory = env.directory.clone();
        write(&directory.join("server.py"), &program())?;
        let count = env.workers as usize;
        let mut processes = Self { directory, count, current: vec![], leaving: vec![] };
        processes.current = processes.next(count)?;
        Ok(Box::new(processes))
    }

    /// Starts another generation; returns when there are `count` listeners.
    fn next(&self, listeners: usize) -> Result<Vec<ChildServer>> {
        let uvicorn = PROGRAM.path();
        let start = |_| {
            let mut command = Command::new(interpreter(&uvicorn));
            command.current_dir(&self.directory).arg("server.py");
            ChildServer::start(command, &self.directory.join("log"))
        };
        let mut started = (0..self.count).map(start).collect::<Result<Vec<_>>>()?;
        for process in &mut started {
            process.until("uvicorn's listeners", || are_listening(listeners).then_some(()))?;
        }
        Ok(started)
    }
}

impl Server for Processes {
    fn reload(&mut self, overlap: Duration) -> Result<Instant> {
        let new = self.next(self.count * 2)?;
        self.leaving = std::mem::replace(&mut self.current, new);
        pass(overlap);
        let stopped = Instant::now();
        self.leaving.iter().try_for_each(|old| child_server::signal(old.pid(), Signal::SIGTERM))?;
        Ok(stopped)
    }

    fn settle(&mut self) -> Result<()> {
        self.leaving.drain(..).try_for_each(ChildServer::until_ended)
    }

    fn alive(&mut self) -> Result<()> {
        self.current.iter_mut().try_for_each(ChildServer::alive)
    }
}

/// The python that has uvicorn, by the first line of the script that starts it.
fn interpreter(script: &Path) -> PathBuf {
    let text = fs::read(script).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let named = text.lines().next().and_then(|line| line.strip_prefix("#!")).map(str::trim);
    let is_python = |path: &&str| Path::new(path).file_name().is_some_and(is_called_python);
    let python = || find("python3").unwrap_or_else(|| "python3".into());
    named.filter(is_python).map_or_else(python, PathBuf::from)
}

fn is_called_python(name: &std::ffi::OsStr) -> bool {
    name.to_string_lossy().starts_with("python")
}

fn program() -> String {
    format!(
        "\
import socket

import uvicorn


async def app(scope, receive, send):
    headers = [(b\"content-length\", b\"7\"), (b\"connection\", b\"close\")]
    await send({{\"type\": \"http.response.start\", \"status\": 200, \"headers\": headers}})
    await send({{\"type\": \"http.response.body\", \"body\": b\"uvicorn\"}})


listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
listener.bind((\"0.0.0.0\", {PORT}))
config = uvicorn.Config(app, lifespan=\"off\", access_log=False, backlog=4096)
uvicorn.Server(config).run(sockets=[listener])
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("#!/opt/venv/bin/python3.13\nimport re\n", Some("/opt/venv/bin/python3.13"))]
    #[case("#!/usr/bin/python3 \n", Some("/usr/bin/python3"))]
    #[case("#!/usr/bin/env bash\n", None)]
    #[case("", None)]
    fn the_python_is_the_script_s_or_that_of_the_path(
        #[case] script: &str,
        #[case] named: Option<&str>,
    ) {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("uvicorn");
        fs::write(&path, script).expect("a script");
        let found = interpreter(&path);
        match named {
            Some(named) => assert_eq!(found, Path::new(named)),
            None => assert!(found.ends_with("python3"), "{found:?}"),
        }
    }
}
