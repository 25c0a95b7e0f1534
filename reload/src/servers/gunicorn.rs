//! gunicorn with `--reuse-port`: up to 23 the master makes one listener for all workers,
//! which stays; later ones have each worker make, and close, one of its own.
//!
//! Which of them this is shows in the listeners that close; nobody asks for the version.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use harness::process::child_server::{self, ChildServer, Signal, children};
use harness::{PORT, Result};

use super::support::{RELOAD_TAKES, write};
use crate::loading::pass;
use crate::strategy::{ListenerEffect, Program, Server, ServerEnv, Strategy, StrategyNeed};

const PROGRAM: Program =
    Program { names: &["gunicorn"], install: "apt install gunicorn", missing: |_| None };

/// How many clients a second it is made for: in later versions a worker does nothing else
/// while it waits for the end of a client's stream, a round trip long.
const MOST: u32 = 50;

/// How many workers there are for each that is asked for.
const WORKERS: u32 = 2;

pub(super) fn strategies() -> Vec<Strategy> {
    let gunicorn = |id, does, start| Strategy {
        id,
        does,
        effect: ListenerEffect::DependsOnVersion,
        takes: RELOAD_TAKES,
        most: Some(MOST),
        needs: StrategyNeed::Server(PROGRAM),
        start,
    };
    vec![
        gunicorn(
            "gunicorn/hup",
            "--reuse-port and SIGHUP: new workers, then the old ones end, each with its \
             listener, if it has one.",
            |env| Gunicorn::start(env, How::Hup),
        ),
        gunicorn(
            "gunicorn/ttou",
            "--reuse-port and SIGTTOU: one worker less, with its listener, if it has one.",
            |env| Gunicorn::start(env, How::Fewer),
        ),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Hup,
    Fewer,
}

struct Gunicorn {
    how: How,
    workers: usize,
    directory: PathBuf,
    master: ChildServer,
    leaving: BTreeSet<i32>,
}

impl Gunicorn {
    fn start(env: &ServerEnv, how: How) -> Result<Box<dyn Server>> {
        let directory = env.directory.clone();
        let workers = env.workers * WORKERS;
        write(&directory.join("gunicorn.conf.py"), &configuration(workers))?;
        write(&directory.join("app.py"), APPLICATION)?;
        let mut command = Command::new(PROGRAM.path());
        command.current_dir(&directory).args(["-c", "gunicorn.conf.py", "app:app"]);
        // Where it may leave anything.
        command.env("HOME", &directory).env("XDG_RUNTIME_DIR", &directory);
        let master = ChildServer::start(command, &directory.join("log"))?;
        let workers = workers as usize;
        let mut gunicorn = Self { how, workers, directory, master, leaving: BTreeSet::new() };
        gunicorn.until_workers(workers)?;
        Ok(Box::new(gunicorn))
    }

    /// Waits until `count` workers run that are not to leave, and each accepts.
    fn until_workers(&mut self, count: usize) -> Result<()> {
        let (master, directory, leaving) = (self.master.pid(), &self.directory, &self.leaving);
        self.master.until("gunicorn's workers", || {
            let now = children(master).ok()?;
            let ready = |pid: &i32| directory.join(format!("ready-{pid}")).exists();
            let is_settled = now.len() == count && now.is_disjoint(leaving);
            (is_settled && now.iter().all(ready)).then_some(())
        })?;
        self.leaving.clear();
        Ok(())
    }
}

impl Server for Gunicorn {
    fn reload(&mut self, overlap: Duration) -> Result<Instant> {
        let master = self.master.pid();
        let before = children(master)?;
        if self.how == How::Fewer && before.len() < self.workers {
            child_server::signal(master, Signal::SIGTTIN)?;
            self.until_workers(self.workers)?;
            pass(overlap);
        }
        let signal = match self.how {
            How::Hup => {
                self.leaving = before;
                Signal::SIGHUP
            }
            How::Fewer => Signal::SIGTTOU,
        };
        let stopped = Instant::now();
        child_server::signal(master, signal)?;
        Ok(stopped)
    }

    fn settle(&mut self) -> Result<()> {
        match self.how {
            How::Hup => self.until_workers(self.workers),
            How::Fewer => self.until_workers(self.workers - 1),
        }
    }

    fn alive(&mut self) -> Result<()> {
        self.master.alive()
    }
}

/// Names that a version does not know are passed over.
fn configuration(workers: u32) -> String {
    format!(
        "bind = \"0.0.0.0:{PORT}\"\nreuse_port = True\nbacklog = 4096\nworkers = {workers}\n\
         worker_class = \"gthread\"\nthreads = 64\nkeepalive = 0\ngraceful_timeout = 5\n\
         worker_tmp_dir = \".\"\ncontrol_socket_disable = True\n\n\n\
         def post_worker_init(worker):\n    open(f\"ready-{{worker.pid}}\", \"w\").close()\n"
    )
}

const APPLICATION: &str = "\
def app(environ, start_response):
    start_response(\"200 OK\", [(\"Content-Length\", \"8\")])
    return [b\"gunicorn\"]
";
