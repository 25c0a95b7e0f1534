//! `sockmig run`: runs a selection, and lets everybody listen who was asked for.

use std::env;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use harness::kernel::taint::Taint;
use harness::process::interrupt;
use harness::process::{Broken, Labs};
use scenarios::advice;
use scenarios::case::Selected;
use scenarios::engine::{self, Counted, Event, FailureLimit, Outcome, RunPlan};
use scenarios::judge::Verdict;
use scenarios::requirement::Patience;

use crate::cli::{Format, RunArguments};
use crate::cmd::known;
use crate::cmd::select::selected_beside;
use crate::exit::{Denied, Exit};
use crate::output::buffer::Buffer;
use crate::output::consumer::{Consumer, End, Environment, Finished, NotKept, Run};
use crate::output::file::{self, OutDirectory};
use crate::output::json::Json;
use crate::output::junit::Junit;
use crate::output::ktap::{Dialect, Ktap};
use crate::output::markdown::Markdown;
use crate::output::progress::Progress;
use crate::output::stderr;
use crate::output::stdout::{self, Stdout};
use crate::output::terminal::Terminal;
use crate::output::totals::Totals;
use crate::style::Style;

/// Does what the command line asks for.
pub fn run(arguments: &RunArguments) -> Exit {
    let traced = arguments.trace.is_some();
    let hows = ["ladder", "plain"];
    let selection = match selected_beside(&arguments.ids, traced, "--trace", &hows) {
        Ok(selection) => selection,
        Err(unknown) => {
            stderr::complain(&unknown);
            return Exit::NothingRan;
        }
    };
    let document = arguments.out.as_ref().map(|out| out.join("run.json"));
    let outputs = [
        ("--out", document.as_deref()),
        ("--junit", arguments.junit.as_deref()),
        ("--markdown", arguments.markdown.as_deref()),
    ];
    let known: Vec<&Path> = arguments.known.file.iter().map(PathBuf::as_path).collect();
    if let Some(clash) = file::clash(&outputs, &known) {
        stderr::complain(&clash);
        return Exit::Usage;
    }
    let known = match known::list(&arguments.known) {
        Ok(known) => known,
        Err(exit) => return exit,
    };
    let mut consumers = Consumers::default();
    match arguments.format {
        Format::Terminal => {
            let style = Style::of(&std::io::stdout());
            let progress = Progress::on_stderr();
            let (trace, width) = (arguments.trace, stdout::text_width());
            consumers.add(Terminal::new(Stdout::new(), style, trace, width, progress));
        }
        Format::Ktap => consumers.add(Ktap::new(Stdout::unfolded(), Dialect::Ktap, false)),
        Format::Tap13 => {
            let nested = env::var_os("KSFT_TAP_LEVEL").is_some();
            consumers.add(Ktap::new(Stdout::unfolded(), Dialect::Tap13, nested));
        }
        Format::Json => consumers.add(Json::new(Stdout::exact())),
    }
    if let Some(path) = &arguments.junit {
        consumers.add_file(path.clone(), Junit::new);
    }
    if let Some(path) = &arguments.markdown {
        consumers.add_file(path.clone(), Markdown::new);
    }
    if let Some(path) = &arguments.out {
        match OutDirectory::open(path) {
            Ok(directory) => {
                consumers.add_file(directory.file("run.json"), Json::new);
                consumers.out = Some(directory);
            }
            Err(e) => consumers.write_error(&e),
        }
    }
    let jobs = arguments.jobs.unwrap_or_else(engine::default_jobs);
    let plan = RunPlan {
        rounds: arguments.repeat,
        jobs,
        waiting: engine::waiting_for_timers(jobs),
        deadline: arguments.deadline.map(|seconds| Duration::from_secs(seconds.into())),
        failure_limit: arguments
            .failures
            .most()
            .map(|most| FailureLimit { most, of: Counted::Failures }),
        known,
        patience: if arguments.long { Patience::Long } else { Patience::of_environment() },
    };
    let denied = Denied { skips: arguments.deny_skips, flaky: arguments.deny_flaky };
    match execute(selection, plan, &mut consumers) {
        Ok(totals) => consumers.exit(&totals, denied),
        Err(exit) => exit,
    }
}

/// Runs a selection and reports it to `consumers`. The error is an exit code whose reason has
/// been reported.
pub fn execute(
    selection: Vec<Selected>,
    plan: RunPlan,
    consumers: &mut Consumers,
) -> Result<Totals, Exit> {
    let started = Instant::now();
    if let Err(e) = interrupt::catch() {
        stderr::complain(&format_args!("cannot catch Ctrl-C: {}", advice::refusal(&e)));
        return Err(Exit::Unavailable);
    }
    let labs = Labs::default();
    let kernel = engine::probe(&labs).map_err(|broken| {
        if broken == Broken::Interrupted {
            return Exit::Interrupted;
        }
        stderr::complain(&advice::no_lab(&broken));
        Exit::Unavailable
    })?;
    let run = Run {
        environment: Environment::read(kernel),
        selection,
        rounds: plan.rounds,
        jobs: plan.jobs,
    };
    let mut totals = Totals::default();
    let taint = Taint::read().unwrap_or_default();
    consumers.each(|consumer| consumer.begin(&run));
    engine::run(&labs, &run.environment.kernel, &run.selection, plan, |event| match event {
        Event::Started { id, .. } => consumers.each(|consumer| {
            consumer.started(&id);
            Ok(())
        }),
        Event::Finished(outcome) => {
            totals.count(&outcome.verdict, &outcome.discarded);
            let capture = consumers.keep_capture(&run, &outcome);
            let finished = Finished { outcome: &outcome, capture };
            consumers.each(|consumer| consumer.finished(&run, &finished));
        }
        Event::Lacking { at_a_time, of, call } => {
            let limits = advice::limits(of);
            match at_a_time {
                0 => stderr::complain(&format_args!("{call}; {limits}")),
                1 => stderr::complain(&format_args!(
                    "there was room for 1 case at a time only: {call}; {limits}"
                )),
                _ => stderr::complain(&format_args!(
                    "there was room for {at_a_time} at a time only: {call}; {limits}"
                )),
            }
        }
        Event::Ended(ending) => {
            totals.end(&ending);
            let tainted = Taint::read().unwrap_or(taint).gained_since(taint);
            let end = End { ending: &ending, totals: &totals, took: started.elapsed(), tainted };
            consumers.each(|consumer| consumer.end(&run, &end));
        }
    });
    consumers.finish();
    Ok(totals)
}

/// Everybody who listens to a run, and what could not be written.
#[derive(Default)]
pub struct Consumers {
    consumers: Vec<Box<dyn Output>>,
    out: Option<OutDirectory>,
    /// Where captures of what went wrong are kept when nobody said where.
    fallback: Option<OutDirectory>,
    write_failed: bool,
}

/// A consumer, and the file that it writes if it writes one.
trait Output {
    fn consumer(&mut self) -> &mut dyn Consumer;
    fn finish(self: Box<Self>) -> Result<()>;
}

struct ToStdout<C>(C);

impl<C: Consumer> Output for ToStdout<C> {
    fn consumer(&mut self) -> &mut dyn Consumer {
        &mut self.0
    }

    fn finish(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

/// The consumer writes into memory; the file is made when it has ended.
struct ToFile<C> {
    consumer: C,
    bytes: Buffer,
    path: PathBuf,
}

impl<C: Consumer> Output for ToFile<C> {
    fn consumer(&mut self) -> &mut dyn Consumer {
        &mut self.consumer
    }

    fn finish(self: Box<Self>) -> Result<()> {
        file::write_whole(&self.path, &self.bytes.bytes())
    }
}

impl Consumers {
    /// Adds one that writes to stdout, or nowhere.
    pub fn add(&mut self, consumer: impl Consumer + 'static) {
        self.consumers.push(Box::new(ToStdout(consumer)));
    }

    fn add_file<C: Consumer + 'static>(&mut self, path: PathBuf, make: impl FnOnce(Buffer) -> C) {
        let bytes = Buffer::default();
        let consumer = make(bytes.clone());
        self.consumers.push(Box::new(ToFile { consumer, bytes, path }));
    }

    /// A consumer that cannot write is reported and not asked again; the others go on.
    fn each(&mut self, mut what: impl FnMut(&mut dyn Consumer) -> std::io::Result<()>) {
        let mut failed = Vec::new();
        self.consumers.retain_mut(|output| match what(output.consumer()) {
            Ok(()) => true,
            Err(e) => {
                failed.push(e.to_string());
                false
            }
        });
        for error in failed {
            self.write_error(&anyhow::Error::msg(error));
        }
    }

    fn finish(&mut self) {
        for output in std::mem::take(&mut self.consumers) {
            if let Err(e) = output.finish() {
                self.write_error(&e);
            }
        }
    }

    fn write_error(&mut self, error: &anyhow::Error) {
        stderr::complain_of(error);
        self.write_failed = true;
    }

    /// Keeps a capture if the directory was given, or if the case failed.
    fn keep_capture(&mut self, run: &Run, outcome: &Outcome) -> Result<PathBuf, NotKept> {
        let wrong = matches!(outcome.verdict, Verdict::Fail { .. } | Verdict::Error { .. });
        // Later rounds that went as expected would only repeat the first one's capture.
        if outcome.pcapng.is_empty() || (!wrong && (self.out.is_none() || outcome.round > 1)) {
            return Err(NotKept::NotAskedFor);
        }
        let title = run.title(outcome);
        let directory = match (&self.out, &self.fallback) {
            (Some(out), _) | (None, Some(out)) => out,
            (None, None) => match OutDirectory::temporary() {
                Ok(directory) => self.fallback.insert(directory),
                Err(_) => return Err(NotKept::NoTemporaryDirectory),
            },
        };
        directory.keep_capture(&title, &outcome.pcapng).map_err(|e| {
            self.write_error(&e);
            NotKept::CannotWrite
        })
    }

    /// The exit code, what could not be written considered.
    pub fn exit(&self, totals: &Totals, denied: Denied) -> Exit {
        Exit::of(totals, denied).unless_write_failed(self.write_failed)
    }
}
