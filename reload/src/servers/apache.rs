//! Apache, with the event MPM: listeners in *buckets*, each with processes of its own, as
//! `ListenCoresBucketsRatio` has it.
//!
//! At a graceful restart it keeps the listeners of the first bucket, and makes those of the
//! others anew.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use harness::kernel::{self, Kernel, SECOND_UID};
use harness::process::child_server::{self, ChildServer, Signal, children};
use harness::process::subprocess::rename_only_user;
use harness::{Error, PORT, Result};

use super::support::{are_listening, write};
use crate::strategy::{ListenerEffect, Program, Server, ServerEnv, Strategy, StrategyNeed};

/// How long a graceful restart takes at least, until the old children have ended: the parent
/// checks on them once a second.
const RESTART: Duration = Duration::from_millis(1600);

const PROGRAM: Program =
    Program { names: &["apache2", "httpd"], install: "apt install apache2", missing: |_| None };

/// Where distributions have its modules.
const MODULES: [&str; 6] = [
    "/usr/lib/apache2/modules",
    "/usr/lib64/httpd/modules",
    "/usr/lib/httpd/modules",
    "/usr/lib64/apache2",
    "/usr/lib/apache2",
    "/usr/local/apache2/modules",
];

/// How many processes there are, and their threads.
const SERVERS: usize = 4;
const THREADS: usize = 25;

/// What everybody is answered.
const INDEX: &str = "index.html";

pub(super) fn strategies() -> Vec<Strategy> {
    let apache = |id, does, effect, missing, start| Strategy {
        id,
        does,
        effect,
        takes: RESTART,
        most: None,
        needs: StrategyNeed::Server(Program { missing, ..PROGRAM }),
        start,
    };
    vec![
        apache(
            "apache/graceful",
            "SIGUSR1, with two buckets: the listeners of all but the first close, and are made \
             anew.",
            ListenerEffect::Close,
            missing_processors,
            |env| Apache::start(env, Listen::Buckets),
        ),
        apache(
            "apache/mixed",
            "As graceful, with `Listen PORT`: the first bucket gets an IPv6 listener, so that \
             the other is alone in its group.",
            ListenerEffect::CloseLeavingNobody,
            missing_processors_or_ipv6,
            |env| Apache::start(env, Listen::Mixed),
        ),
        apache(
            "apache/no-buckets",
            "SIGUSR1, as Apache is set up usually: one listener, which it keeps.",
            ListenerEffect::StayOpen,
            |_| None,
            |env| Apache::start(env, Listen::Once),
        ),
    ]
}

/// Apache counts processors, and divides; one is one bucket, whatever the setting.
fn missing_processors(_: &Kernel) -> Option<String> {
    let one = || "on one processor Apache makes no buckets; it takes two".to_owned();
    kernel::processors().is_ok_and(|count| count < 2).then(one)
}

fn missing_processors_or_ipv6(kernel: &Kernel) -> Option<String> {
    let none = || kernel.ipv6.is_err().then(|| "this kernel has no IPv6 on lo".to_owned());
    missing_processors(kernel).or_else(none)
}

/// The address it is configured to listen at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listen {
    /// An IPv4 address, in buckets.
    Buckets,
    /// No address, in buckets.
    Mixed,
    /// An IPv4 address, in one.
    Once,
}

struct Apache {
    master: ChildServer,
    /// How many IPv4 listeners it has whenever it is at rest.
    listeners: usize,
    leaving: BTreeSet<i32>,
}

impl Apache {
    fn start(env: &ServerEnv, listen: Listen) -> Result<Box<dyn Server>> {
        let directory = &env.directory;
        let modules = MODULES.map(Path::new).into_iter().find(|place| place.is_dir());
        let modules = modules.ok_or_else(|| {
            Error::unreadable("Apache", format!("its modules are in none of {MODULES:?}"))
        })?;
        let processors = kernel::processors()?;
        let text = configuration(directory, modules, listen, ratio(processors));
        write(&directory.join("apache.conf"), &text)?;
        write(&directory.join(INDEX), "Apache")?;
        let mut command = Command::new(PROGRAM.path());
        command.arg("-DFOREGROUND").arg("-d").arg(directory);
        command.arg("-f").arg(directory.join("apache.conf"));
        rename_only_user(&mut command);
        let mut master = ChildServer::start(command, &directory.join("log"))?;
        let buckets = processors / ratio(processors);
        let listeners = match listen {
            Listen::Buckets => buckets,
            // The first one's is of IPv6.
            Listen::Mixed => buckets - 1,
            Listen::Once => 1,
        };
        master.until("Apache's listeners", || are_listening(listeners).then_some(()))?;
        let mut apache = Self { master, listeners, leaving: BTreeSet::new() };
        apache.settle()?;
        Ok(Box::new(apache))
    }
}

impl Server for Apache {
    fn reload(&mut self, _: Duration) -> Result<Instant> {
        let master = self.master.pid();
        self.leaving = children(master)?;
        let stopped = Instant::now();
        child_server::signal(master, Signal::SIGUSR1)?;
        Ok(stopped)
    }

    fn settle(&mut self) -> Result<()> {
        let (master, listeners) = (self.master.pid(), self.listeners);
        let leaving = std::mem::take(&mut self.leaving);
        self.master.until("the end of Apache's old processes, and new ones", || {
            let now = children(master).ok()?;
            let settled = now.is_disjoint(&leaving) && now.len() >= SERVERS;
            (settled && are_listening(listeners)).then_some(())
        })
    }

    fn alive(&mut self) -> Result<()> {
        self.master.alive()
    }
}

/// How many processors a bucket is for, so that there are two or three of them.
fn ratio(processors: usize) -> usize {
    (processors / 2).max(1)
}

fn configuration(directory: &Path, modules: &Path, listen: Listen, ratio: usize) -> String {
    // What is built in cannot be loaded.
    let load = |name: &str| {
        format!(
            "<IfModule !{name}_module>\nLoadModule {name}_module {}/mod_{name}.so\n</IfModule>\n",
            modules.display()
        )
    };
    let load = ["mpm_event", "unixd", "authz_core", "dir"].map(load).concat();
    let address = if listen == Listen::Mixed { "" } else { "0.0.0.0:" };
    let buckets = match listen {
        Listen::Once => String::new(),
        Listen::Buckets | Listen::Mixed => format!("ListenCoresBucketsRatio {ratio}\n"),
    };
    let directory = directory.display();
    format!(
        "{load}ServerRoot {directory}\nServerName server\nPidFile {directory}/apache.pid\n\
         DefaultRuntimeDir {directory}\nDocumentRoot {directory}\nDirectoryIndex {INDEX}\n\
         ErrorLog {directory}/log\nUser #{SECOND_UID}\nGroup #{SECOND_UID}\n\
         Listen {address}{PORT}\nListenBacklog 4096\n{buckets}StartServers {SERVERS}\n\
         ServerLimit {most}\nThreadsPerChild {THREADS}\nMaxRequestWorkers {threads}\n\
         MinSpareThreads {THREADS}\nMaxSpareThreads {threads}\nKeepAlive Off\nTimeout 5\n",
        most = SERVERS * 4,
        threads = SERVERS * 4 * THREADS,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(2, 2)]
    #[case(3, 3)]
    #[case(4, 2)]
    #[case(7, 2)]
    #[case(64, 2)]
    fn there_are_two_buckets_or_three(#[case] processors: usize, #[case] buckets: usize) {
        assert_eq!(processors / ratio(processors), buckets);
    }
}
