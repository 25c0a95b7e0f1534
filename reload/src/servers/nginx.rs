//! nginx, with `reuseport`: a listener for each worker process, all of them the master's.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use harness::process::child_server::{self, ChildServer, Signal, children, is_gone};
use harness::{Error, PORT, Result};

use super::support::{RELOAD_TAKES, are_listening, write};
use crate::loading::pass;
use crate::strategy::{ListenerEffect, Program, Server, ServerEnv, Strategy, StrategyNeed};

const PROGRAM: Program =
    Program { names: &["nginx"], install: "apt install nginx", missing: |_| None };

/// How many workers there are before they become one.
const MANY: u32 = 4;

pub(super) fn strategies() -> Vec<Strategy> {
    let nginx = |id, does, effect, start| Strategy {
        id,
        does,
        effect,
        takes: RELOAD_TAKES,
        most: None,
        needs: StrategyNeed::Server(PROGRAM),
        start,
    };
    vec![
        nginx(
            "nginx/hup",
            "SIGHUP with the same configuration: the master keeps its listeners for the new \
             workers.",
            ListenerEffect::StayOpen,
            |env| Nginx::start(env, How::Hup),
        ),
        nginx(
            "nginx/shrink",
            "SIGHUP with one worker in place of four: three of four listeners close.",
            ListenerEffect::Close,
            |env| Nginx::start(env, How::Shrink),
        ),
        nginx(
            "nginx/upgrade",
            "SIGUSR2 and SIGQUIT: a new master inherits the listeners by exec.",
            ListenerEffect::StayOpen,
            |env| Nginx::start(env, How::Upgrade),
        ),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Hup,
    Shrink,
    Upgrade,
}

struct Nginx {
    how: How,
    workers: u32,
    directory: PathBuf,
    /// In the background: nginx upgrades itself nowhere else.
    master: i32,
    /// Processes that are to end.
    leaving: BTreeSet<i32>,
    /// How many listeners there are when they have.
    remain: usize,
}

impl Nginx {
    fn start(env: &ServerEnv, how: How) -> Result<Box<dyn Server>> {
        let workers = if how == How::Shrink { MANY } else { env.workers };
        let directory = env.directory.clone();
        write(
            &directory.join("nginx.conf"),
            &configuration(&directory.display().to_string(), workers),
        )?;
        // An upgrade execs what it was called by, wherever it is then.
        let mut command = Command::new(PROGRAM.path());
        command.arg("-p").arg(&directory).arg("-c").arg(directory.join("nginx.conf"));
        command.arg("-e").arg(directory.join("log"));
        ChildServer::start(command, &directory.join("log"))?.until_in_background()?;
        let mut nginx = Self {
            how,
            workers,
            directory,
            master: 0,
            leaving: BTreeSet::new(),
            remain: workers as usize,
        };
        nginx.master = nginx.until_master_is_not(0)?;
        nginx.until("nginx's listeners", || are_listening(workers as usize).then_some(()))?;
        nginx.until_workers(&BTreeSet::new(), workers)?;
        Ok(Box::new(nginx))
    }

    /// Waits until `count` workers run that are not `old`.
    fn until_workers(&self, old: &BTreeSet<i32>, count: u32) -> Result<()> {
        let master = self.master;
        self.until("nginx's workers", || {
            let new = children(master).ok()?.difference(old).count();
            (new == count as usize).then_some(())
        })
    }

    /// The process id in nginx's file, once it is another one.
    fn until_master_is_not(&self, old: i32) -> Result<i32> {
        let file = self.directory.join("nginx.pid");
        self.until("nginx's process id", || {
            let pid = fs::read_to_string(&file).ok()?.trim().parse().ok()?;
            (pid != old).then_some(pid)
        })
    }

    fn until<T>(&self, what: &str, mut check: impl FnMut() -> Option<T>) -> Result<T> {
        let found = harness::wait::until(what, || Ok(check()));
        found.map_err(|e| child_server::with_log("nginx", &self.directory.join("log"), &e))
    }

    fn configure(&self, workers: u32) -> Result<()> {
        let directory = self.directory.display().to_string();
        write(&self.directory.join("nginx.conf"), &configuration(&directory, workers))
    }

    fn hup(&mut self, workers: u32) -> Result<Instant> {
        self.leaving = children(self.master)?;
        let stopped = Instant::now();
        child_server::signal(self.master, Signal::SIGHUP)?;
        let old = self.leaving.clone();
        self.until_workers(&old, workers)?;
        Ok(stopped)
    }

    fn upgrade(&mut self, overlap: Duration) -> Result<Instant> {
        let old = self.master;
        child_server::signal(old, Signal::SIGUSR2)?;
        // The old one renames its file before the new one writes its own.
        let new = self.until_master_is_not(old)?;
        self.leaving = children(old)?;
        self.leaving.remove(&new);
        self.leaving.insert(old);
        self.master = new;
        self.until_workers(&BTreeSet::new(), self.workers)?;
        pass(overlap);
        let stopped = Instant::now();
        child_server::signal(old, Signal::SIGQUIT)?;
        Ok(stopped)
    }
}

impl Server for Nginx {
    fn reload(&mut self, overlap: Duration) -> Result<Instant> {
        match self.how {
            How::Hup => self.hup(self.workers),
            How::Upgrade => self.upgrade(overlap),
            How::Shrink => {
                if self.remain != MANY as usize {
                    self.configure(MANY)?;
                    self.hup(MANY)?;
                    self.remain = MANY as usize;
                    self.settle()?;
                }
                pass(overlap);
                self.configure(1)?;
                self.remain = 1;
                self.hup(1)
            }
        }
    }

    fn settle(&mut self) -> Result<()> {
        let (leaving, remain) = (std::mem::take(&mut self.leaving), self.remain);
        let gone = || leaving.iter().all(|pid| is_gone(*pid)) && are_listening(remain);
        self.until("the end of nginx's old processes", || gone().then_some(()))
    }

    fn alive(&mut self) -> Result<()> {
        if !is_gone(self.master) {
            return Ok(());
        }
        let ended = Error::unreadable("nginx", "its master ended while it was to serve");
        Err(child_server::with_log("nginx", &self.directory.join("log"), &ended))
    }
}

fn configuration(directory: &str, workers: u32) -> String {
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("  {kind}_temp_path {directory}/{kind};\n"))
        .concat();
    format!(
        "user root;\ndaemon on;\nworker_processes {workers};\npid {directory}/nginx.pid;\n\
         error_log {directory}/log;\nevents {{ worker_connections 8192; }}\nhttp {{\n\
         {temporary}  access_log off;\n  keepalive_timeout 0;\n  server {{\n    \
         listen {PORT} reuseport backlog=4096;\n    location / {{ return 200 \"nginx\"; }}\n  }}\n}}\n"
    )
}
