//! HAProxy: each generation a process, or a worker under a master.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use harness::process::child_server::{self, ChildServer, Signal, children, threads};
use harness::{PORT, Result};

use super::support::{RELOAD_TAKES, are_listening, write};
use crate::loading::pass;
use crate::strategy::{ListenerEffect, Program, Server, ServerEnv, Strategy, StrategyNeed};

const PROGRAM: Program =
    Program { names: &["haproxy"], install: "apt install haproxy", missing: |_| None };

/// How many shards there are before they become one.
const MANY: usize = 4;

pub(super) fn strategies() -> Vec<Strategy> {
    let haproxy = |id, does, effect, start| Strategy {
        id,
        does,
        effect,
        takes: RELOAD_TAKES,
        most: None,
        needs: StrategyNeed::Server(PROGRAM),
        start,
    };
    vec![
        haproxy(
            "haproxy/sf",
            "-sf: a new process makes a listener of its own, and signals the old one to close.",
            ListenerEffect::Close,
            |env| Generations::start(env, false),
        ),
        haproxy(
            "haproxy/x",
            "-x and -sf: a new process fetches the listener from the old one, by SCM_RIGHTS.",
            ListenerEffect::StayOpen,
            |env| Generations::start(env, true),
        ),
        haproxy(
            "haproxy/shards",
            "SIGUSR2 to the master, with one shard in place of four: three of four listeners \
             close.",
            ListenerEffect::Close,
            Master::start,
        ),
    ]
}

fn configuration(socket: Option<&str>, threads: usize, shards: usize) -> String {
    let socket = socket.map_or(String::new(), |path| {
        format!("  stats socket {path} mode 600 level admin expose-fd listeners\n")
    });
    let shards = if shards > 1 { format!(" shards {shards}") } else { String::new() };
    format!(
        "global\n  nbthread {threads}\n  maxconn 8192\n{socket}defaults\n  mode http\n  \
         backlog 4096\n  timeout client 5s\n  timeout server 5s\n  timeout connect 5s\n\
         frontend f\n  bind *:{PORT}{shards}\n  \
         http-request return status 200 content-type text/plain string \"haproxy\"\n"
    )
}

fn command(directory: &std::path::Path) -> Command {
    let mut command = Command::new(PROGRAM.path());
    command.current_dir(directory).args(["-db", "-f", "haproxy.cfg"]);
    command
}

/// A process for each generation.
struct Generations {
    directory: PathBuf,
    /// Where the old one hands out its listeners, if it does.
    socket: Option<String>,
    current: ChildServer,
    leaving: Option<ChildServer>,
}

impl Generations {
    fn start(env: &ServerEnv, passes: bool) -> Result<Box<dyn Server>> {
        let directory = env.directory.clone();
        let socket = passes.then(|| directory.join("socket").display().to_string());
        let text = configuration(socket.as_deref(), 1, 1);
        write(&directory.join("haproxy.cfg"), &text)?;
        let mut current = ChildServer::start(command(&directory), &directory.join("log"))?;
        current.until("HAProxy's listener", || are_listening(1).then_some(()))?;
        Ok(Box::new(Self { directory, socket, current, leaving: None }))
    }
}

impl Server for Generations {
    fn reload(&mut self, _: Duration) -> Result<Instant> {
        let mut command = command(&self.directory);
        command.args(self.socket.iter().flat_map(|socket| ["-x", socket.as_str()]));
        command.arg("-sf").arg(self.current.pid().to_string());
        // It orders the old one to stop itself, as soon as it listens.
        let stopped = Instant::now();
        let new = ChildServer::start(command, &self.directory.join("log"))?;
        self.leaving = Some(std::mem::replace(&mut self.current, new));
        Ok(stopped)
    }

    fn settle(&mut self) -> Result<()> {
        self.leaving.take().map_or(Ok(()), ChildServer::until_ended)?;
        self.current.until("HAProxy's listener", || are_listening(1).then_some(()))
    }

    fn alive(&mut self) -> Result<()> {
        self.current.alive()
    }
}

/// A master with a worker for each generation.
struct Master {
    directory: PathBuf,
    master: ChildServer,
    shards: usize,
    leaving: BTreeSet<i32>,
}

impl Master {
    fn start(env: &ServerEnv) -> Result<Box<dyn Server>> {
        let directory = env.directory.clone();
        write(&directory.join("haproxy.cfg"), &configuration(None, MANY, MANY))?;
        let mut command = command(&directory);
        command.arg("-W");
        let mut master = ChildServer::start(command, &directory.join("log"))?;
        master.until("HAProxy's listeners", || are_listening(MANY).then_some(()))?;
        let mut master = Self { directory, master, shards: MANY, leaving: BTreeSet::new() };
        master.settle()?;
        Ok(Box::new(master))
    }

    fn become_shards(&mut self, shards: usize) -> Result<Instant> {
        write(&self.directory.join("haproxy.cfg"), &configuration(None, MANY, shards))?;
        let master = self.master.pid();
        self.leaving = children(master)?;
        self.shards = shards;
        let stopped = Instant::now();
        child_server::signal(master, Signal::SIGUSR2)?;
        Ok(stopped)
    }
}

impl Server for Master {
    fn reload(&mut self, overlap: Duration) -> Result<Instant> {
        if self.shards != MANY {
            self.become_shards(MANY)?;
            self.settle()?;
        }
        pass(overlap);
        self.become_shards(1)
    }

    fn settle(&mut self) -> Result<()> {
        let (pid, shards) = (self.master.pid(), self.shards);
        let leaving = std::mem::take(&mut self.leaving);
        self.master.until("HAProxy's old worker to end, and its listeners", || {
            let now = children(pid).ok()?;
            // The master makes listeners before its worker can be given orders; a worker
            // whose threads run can.
            let runs = |pid: &i32| threads(*pid) == MANY;
            let settled = now.is_disjoint(&leaving) && !now.is_empty() && now.iter().all(runs);
            (settled && are_listening(shards)).then_some(())
        })
    }

    fn alive(&mut self) -> Result<()> {
        self.master.alive()
    }
}
