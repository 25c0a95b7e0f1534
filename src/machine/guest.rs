//! This program inside a virtual machine: it runs what the host asks for, and reports.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use harness::chain_in_words;
use harness::guest::{self, Port};
use harness::kernel::Kernel;
use harness::kernel::log::KernelLog;
use harness::kernel::taint::Taint;
use harness::process::Labs;
use harness::process::frame::Frame;
use harness::process::subprocess;
use harness::process::thread::spawn_scoped;
use scenarios::case::Selected;
use scenarios::catalogue;
use scenarios::engine::{self, Ending, Event, RunPlan};
use scenarios::judge::builtin::builtin;
use scenarios::judge::{Complaints, KnownList};
use scenarios::requirement::LONG;
use serde::{Deserialize, Serialize};

use crate::machine::user_list::UserList;
use crate::output::consumer::Environment;
use crate::output::document::Complaint;

/// What a guest is asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Task {
    /// Run cases.
    Cases {
        /// Their full ids, in order.
        ids: Vec<String>,
        /// Those of them that somebody asked for by name.
        #[serde(default)]
        named: Vec<String>,
        /// How many at a time.
        jobs: usize,
        /// When a case hangs, by the guest's clock; nothing for the default.
        deadline: Option<Duration>,
        /// What a user knows to differ besides what sockmig does.
        #[serde(default)]
        known: Option<UserList>,
    },
    /// Run a program.
    Program {
        /// Where it is in the guest.
        path: PathBuf,
        /// Its arguments.
        arguments: Vec<String>,
        /// Its environment, next to what the guest itself was started with.
        environment: BTreeMap<String, String>,
        /// Where it is started.
        directory: PathBuf,
    },
}

/// Tags of the frames that come of a task, next to those of [`guest::tag`].
pub mod tag {
    /// An [`Environment`](crate::Environment): before the first case.
    pub const ENVIRONMENT: u8 = b'e';
    /// The id of a case that is about to run.
    pub const STARTED: u8 = b's';
    /// The capture of the case whose outcome follows.
    pub const CAPTURE: u8 = b'p';
    /// An [`Outcome`](scenarios::engine::Outcome).
    pub const OUTCOME: u8 = b'o';
    /// A [`Complaint`](crate::Complaint).
    pub const COMPLAINT: u8 = b'c';
    /// An [`Ending`](scenarios::engine::Ending): no case will follow.
    pub const ENDING: u8 = b'z';
    /// What a program wrote to its standard output.
    pub const STDOUT: u8 = b'1';
    /// What a program wrote to its standard error.
    pub const STDERR: u8 = b'2';
    /// Why the task could not be done.
    pub const FAILURE: u8 = b't';
}

/// What a guest's worker ends with when [`tag::FAILURE`] says why.
const FAILED: i32 = 69;

/// Becomes the first process of a guest if this was started as one, and never returns
/// then.
pub fn enter_if_guest() {
    guest::enter(|port, task| match work(port, task) {
        Ok(code) => code,
        Err(e) => {
            let _ = port.send(tag::FAILURE, chain_in_words(e.as_ref()).into_bytes());
            FAILED
        }
    });
}

fn work(port: &Port, task: &Frame) -> anyhow::Result<i32> {
    match serde_json::from_slice(&task.payload)? {
        Task::Cases { ids, named, jobs, deadline, known } => {
            let named: BTreeSet<String> = named.into_iter().collect();
            let wanted = |id: &String| {
                let selected = catalogue::find(id)?;
                Some(Selected { named: named.contains(id), ..selected })
            };
            let selection: Vec<Selected> = ids.iter().filter_map(wanted).collect();
            let known = match &known {
                Some(list) => list.with_builtin().map_err(|e| anyhow::anyhow!("{e}"))?,
                None => builtin(),
            };
            cases(
                port,
                &selection,
                RunPlan { jobs, waiting: 0, deadline, known, ..RunPlan::default() },
            )
        }
        Task::Program { path, arguments, mut environment, directory } => {
            // The host cannot say which clock this is, the kernel's command line does.
            if let Ok(long) = std::env::var(LONG) {
                environment.entry(LONG.into()).or_insert(long);
            }
            // It may be a directory of the host's from which nothing was shared.
            std::fs::create_dir_all(&directory)?;
            let is_this = path == Path::new(subprocess::THIS_PROGRAM);
            let mut command = Command::new(path);
            command.args(arguments).envs(environment).current_dir(directory);
            if is_this {
                port.lend(&mut command);
            }
            program(port, command)
        }
    }
}

fn cases(port: &Port, selection: &[Selected], plan: RunPlan) -> anyhow::Result<i32> {
    let labs = Labs::default();
    let kernel = engine::probe(&labs).map_err(|broken| anyhow::anyhow!("{broken}"))?;
    let environment = Environment::read(kernel);
    send(port, tag::ENVIRONMENT, &environment)?;
    let mut alarm = Alarm::set(port, &environment.kernel, plan.known);
    alarm.raised("booting")?;
    let mut sent: harness::Result<()> = Ok(());
    engine::run(&labs, &environment.kernel, selection, plan, |event| {
        let report = || match event {
            Event::Started { id, .. } => port.send(tag::STARTED, id.into_bytes()),
            Event::Finished(mut outcome) => {
                let complaints = alarm.raised(&outcome.id)?;
                outcome.verdict = outcome.verdict.with_complaints(&complaints);
                port.send(tag::CAPTURE, std::mem::take(&mut outcome.pcapng))?;
                send(port, tag::OUTCOME, &outcome)
            }
            // The host gets the results of all of them, and the reason where there are none.
            Event::Lacking { .. } => Ok(()),
            Event::Ended(ending) => {
                alarm.raised("taking down the laboratories")?;
                send::<Ending>(port, tag::ENDING, &ending)
            }
        };
        if sent.is_ok() {
            sent = report();
        }
    });
    sent?;
    Ok(0)
}

/// What shows that a kernel is in distress. The machine is ours: it is a case's doing.
struct Alarm<'p> {
    port: &'p Port,
    kernel: &'p Kernel,
    known: &'static KnownList,
    log: Option<KernelLog>,
    taint: Taint,
}

impl<'p> Alarm<'p> {
    fn set(port: &'p Port, kernel: &'p Kernel, known: &'static KnownList) -> Self {
        let taint = Taint::read().unwrap_or_default();
        Self { port, kernel, known, log: KernelLog::open().ok(), taint }
    }

    /// What the log complained of since it was last asked, and what taint the kernel has got.
    /// What is not known of this kernel is shown; taint by itself where the log is silent.
    fn raised(&mut self, during: &str) -> harness::Result<Complaints> {
        let complaints = self.log.as_mut().map(KernelLog::complaints).unwrap_or_default();
        let now = Taint::read().unwrap_or(self.taint);
        let gained = now.gained_since(std::mem::replace(&mut self.taint, now));
        let known = self.known.about(during, self.kernel);
        let complaints = Complaints::sorted(complaints, gained, &known);
        let silent = complaints.strange.is_empty() && !complaints.taint.is_none();
        let by_itself = silent.then(|| format!("kernel.tainted has gained {}", complaints.taint));
        for text in complaints.strange.iter().cloned().chain(by_itself) {
            send(self.port, tag::COMPLAINT, &Complaint { during: during.to_owned(), text })?;
        }
        Ok(complaints)
    }
}

fn send<T: Serialize>(port: &Port, tag: u8, what: &T) -> harness::Result<()> {
    let payload = serde_json::to_vec(what).expect("what is sent can be written as JSON");
    port.send(tag, payload)
}

/// Runs a program to its end, and passes on what it writes while it writes it.
fn program(port: &Port, mut command: Command) -> anyhow::Result<i32> {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    port.pass_on_interruptions(&child)?;
    let pass_on = |tag: u8, mut from: Box<dyn Read + Send>| {
        let port = port.clone();
        move || {
            let mut bytes = [0; 16 * 1024];
            while let Ok(len @ 1..) = from.read(&mut bytes) {
                let _ = port.send(tag, bytes[..len].to_vec());
            }
        }
    };
    let pipes: [(u8, Option<Box<dyn Read + Send>>); 2] = [
        (tag::STDOUT, child.stdout.take().map(|pipe| Box::new(pipe) as _)),
        (tag::STDERR, child.stderr.take().map(|pipe| Box::new(pipe) as _)),
    ];
    let status = thread::scope(|scope| -> anyhow::Result<_> {
        pipes.into_iter().try_for_each(|(tag, pipe)| {
            spawn_scoped(scope, pass_on(tag, pipe.expect("it is piped"))).map(drop)
        })?;
        let status = child.wait();
        // The pipes end when nobody has them any more, and what is in them is still passed on.
        port.end_other_processes();
        Ok(status?)
    })?;
    Ok(exit_code(status))
}

/// As a shell has it.
fn exit_code(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}
