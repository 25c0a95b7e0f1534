//! `sockmig matrix`: the suite on many kernels, each in a machine of its own.

pub mod bisect;
pub mod fan_out;
mod row;

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use harness::chain_in_words;
use harness::process::interrupt;
use harness::process::thread::spawn_scoped;
use scenarios::advice;
use scenarios::case::Selected;
use scenarios::engine::{Counted, FailureCount, FailureLimit};
use scenarios::report::counted;
use vm::boot::not_bootable::NotBootable;
use vm::fetch::cache::{Cache, Progress};
use vm::fetch::choice::Choice;
use vm::machine::host::{Host, Shared};
use vm::machine::qemu::Clock;

use crate::cli::{MatrixArguments, MatrixFormat, Shard};
use crate::cmd::known;
use crate::cmd::matrix::fan_out::{FanOut, Files};
use crate::cmd::matrix::row::{KernelRow, RowEvent, RunOptions};
use crate::cmd::select::selected_beside;
use crate::exit::Exit;
use crate::machine::prepare::{self, Workshop};
use crate::machine::user_list::UserList;
use crate::output::document::{KernelDocument, MachineEnd, MatrixDocument, SCHEMA, milliseconds};
use crate::output::file::{self, OutDirectory};
use crate::output::ktap::Dialect;
use crate::output::matrix::event::{Matrix, Stage};
use crate::output::matrix::live::Live;
use crate::output::matrix::table::Table;
use crate::output::matrix::tap::tap;
use crate::output::matrix::whole::Whole;
use crate::output::stderr;
use crate::output::stdout::{self, Stdout};
use crate::style::Style;

/// How many cases there are at a time in a guest that lives by the host's clock: most
/// wait for a timer.
const REAL_JOBS: usize = 12;

/// Bytes of a kernel's name as a directory's, which may have 255 with what goes between.
const LONGEST_NAME: usize = 240;

/// Does what the command line asks for.
pub fn matrix(arguments: &MatrixArguments) -> Exit {
    let bisects = arguments.bisect.is_some();
    let selection = match selected_beside(&arguments.ids, bisects, "--bisect", &["bug", "fix"]) {
        Ok(selection) => selection,
        Err(unknown) => {
            stderr::complain(&unknown);
            return if bisects { Exit::GiveUp } else { Exit::NothingRan };
        }
    };
    let guests = match prepare::guest_program(&arguments.machine) {
        Ok(guests) => guests,
        Err(e) => return unavailable(&e, bisects),
    };
    let architecture = prepare::architecture(&arguments.machine, &guests);
    let kernels = match prepare::kernels(&arguments.machine, architecture, &guests) {
        Ok(kernels) if bisects && kernels.len() != 1 => {
            stderr::complain(&format_args!("--bisect needs one kernel, not {}", kernels.len()));
            return Exit::GiveUp;
        }
        Ok(kernels) => {
            let all = kernels.len();
            let part = part(kernels, arguments.shard);
            if let (Some(shard), true) = (arguments.shard, part.is_empty()) {
                let kernels = counted(all as u64, "kernel");
                stderr::complain(&format_args!("of {kernels} shard {shard} has none"));
            }
            part
        }
        Err(wrong) => {
            stderr::complain(&wrong);
            // A build that failed has left none.
            return if bisects { Exit::CannotTest } else { Exit::Usage };
        }
    };
    let document = arguments.out.as_ref().map(|out| out.join("matrix.json"));
    let outputs = [
        ("--out", document.as_deref()),
        ("--junit", arguments.junit.as_deref()),
        ("--markdown", arguments.markdown.as_deref()),
    ];
    let known: Vec<&Path> = arguments.known.file.iter().map(PathBuf::as_path).collect();
    if let Some(clash) = file::clash(&outputs, &known) {
        stderr::complain(&clash);
        return if bisects { Exit::GiveUp } else { Exit::Usage };
    }
    // Results that have nowhere to go are not worth hours.
    let (mut fan_out, out) = match listeners(arguments) {
        Ok(listeners) => listeners,
        Err(e) => return unavailable(&chain_in_words(e.as_ref()), bisects),
    };
    let known = match known::user_list(&arguments.known) {
        Ok(known) => known,
        Err(_) if bisects => return Exit::GiveUp,
        Err(exit) => return exit,
    };
    let cache = match Cache::open() {
        Ok(cache) => cache,
        Err(e) => return unavailable(&e, bisects),
    };
    if let Err(e) = interrupt::catch() {
        let why = advice::refusal(&e);
        return unavailable(&format_args!("cannot catch Ctrl-C: {why}"), bisects);
    }
    let cores = thread::available_parallelism().map_or(2, usize::from);
    let plan = MatrixPlan {
        matrix: Matrix {
            kernels: kernels.iter().map(Choice::name).collect(),
            selection,
            shard: arguments.shard.map(|shard| shard.to_string()),
            jobs: arguments.jobs.unwrap_or(cores),
        },
        kernels,
        workshop: Workshop::new(cache, &arguments.machine, guests),
        options: RunOptions {
            jobs: REAL_JOBS,
            deadline: arguments.deadline.map(|seconds| Duration::from_secs(seconds.into())),
            fresh: arguments.fresh,
            every_trace: out.is_some() || matches!(arguments.format, MatrixFormat::Json),
        },
        known,
        failures: FailureCount::up_to(limit(arguments)),
        out,
    };
    let found = plan.run(&mut fan_out);
    let named = match arguments.machine.kernel.is_empty() {
        true => &[],
        false => plan.matrix.kernels.as_slice(),
    };
    match arguments.bisect {
        Some(sought) => bisect::report(bisect::judged(&found, sought), sought),
        None => fan_out.exit(&found, named, arguments.deny_flaky),
    }
}

/// After what nothing more is begun. A bisection asks only whether there is a deviation.
fn limit(arguments: &MatrixArguments) -> Option<FailureLimit> {
    match arguments.bisect {
        Some(_) => Some(FailureLimit::first(Counted::Deviations)),
        None => arguments.failures.most().map(|most| FailureLimit { most, of: Counted::Failures }),
    }
}

/// Everybody who was asked to listen, and the directory for what is kept.
///
/// # Errors
/// The first result that could not be written where it is wanted.
fn listeners(arguments: &MatrixArguments) -> anyhow::Result<(FanOut, Option<OutDirectory>)> {
    let mut files = Files {
        json: None,
        junit: arguments.junit.clone(),
        markdown: arguments.markdown.clone(),
        summary: Files::github_summary(),
    };
    // First what makes no directory.
    files.check()?;
    let out = arguments.out.as_deref().map(OutDirectory::open).transpose()?;
    files.json = out.as_ref().map(|out| out.file("matrix.json"));
    files.check()?;
    let mut fan_out = FanOut::new(files);
    match arguments.format {
        MatrixFormat::Table => {
            let style = Style::of(&std::io::stdout());
            fan_out.add(Table::new(Stdout::new(), style, stdout::width(), Live::on_stderr()));
        }
        MatrixFormat::Ktap => {
            fan_out
                .add(Whole::new(Stdout::unfolded(), |found| Ok(tap(found, Dialect::Ktap, false))));
        }
        MatrixFormat::Tap13 => fan_out.add(Whole::new(Stdout::unfolded(), |found| {
            Ok(tap(found, Dialect::Tap13, std::env::var_os("KSFT_TAP_LEVEL").is_some()))
        })),
        MatrixFormat::Json => fan_out.add(Whole::new(Stdout::exact(), fan_out::json)),
    }
    Ok((fan_out, out))
}

fn unavailable(why: &dyn fmt::Display, bisects: bool) -> Exit {
    stderr::complain(why);
    if bisects { Exit::GiveUp } else { Exit::Unavailable }
}

/// What the rows are made of.
struct MatrixPlan {
    kernels: Vec<Choice>,
    matrix: Matrix,
    workshop: Workshop,
    options: RunOptions,
    known: Option<UserList>,
    failures: FailureCount,
    out: Option<OutDirectory>,
}

impl MatrixPlan {
    /// Fills every row, several at a time.
    fn run(&self, fan_out: &mut FanOut) -> MatrixDocument {
        let started = Instant::now();
        let mut rows: Vec<Option<KernelDocument>> = self.kernels.iter().map(|_| None).collect();
        fan_out.begin(&self.matrix);
        self.fill(|index, heard| match heard {
            Message::Row(RowEvent::Stage(stage)) => fan_out.stage(index, &stage),
            Message::Row(RowEvent::Finished(outcome)) => fan_out.finished(index, &outcome),
            Message::Row(RowEvent::WriteError(e)) => fan_out.write_error(&e),
            Message::Ended(found) => {
                fan_out.ended(index, &found);
                rows[index] = Some(*found);
                if rows.iter().any(Option::is_none) {
                    let so_far = rows.iter().flatten().cloned().collect();
                    fan_out.so_far(&self.document(so_far, started.elapsed(), false));
                }
            }
        });
        let rows = rows.into_iter().flatten().collect();
        let found = self.document(rows, started.elapsed(), !interrupt::caught());
        fan_out.end(&self.matrix, &found);
        found
    }

    fn document(
        &self,
        kernels: Vec<KernelDocument>,
        took: Duration,
        complete: bool,
    ) -> MatrixDocument {
        MatrixDocument {
            schema: SCHEMA,
            sockmig: env!("CARGO_PKG_VERSION").into(),
            cases: self.matrix.selection.iter().map(Selected::id).collect(),
            shard: self.matrix.shard.clone(),
            took_ms: milliseconds(took),
            complete,
            kernels,
        }
    }

    fn fill(&self, mut listen: impl FnMut(usize, Message)) {
        let next = AtomicUsize::new(0);
        let (report, reported) = mpsc::channel();
        // A machine dies with the thread that started it, and that is the one of this.
        let fill = |report: &mpsc::Sender<(usize, Message)>| {
            while let index = next.fetch_add(1, Ordering::Relaxed)
                && let Some(kernel) = self.kernels.get(index)
            {
                let report_row = |what| drop(report.send((index, Message::Row(what))));
                let found = self.row(kernel, &report_row);
                let _ = report.send((index, Message::Ended(Box::new(found))));
            }
        };
        thread::scope(|scope| {
            let fill = &fill;
            for machine in 0..self.matrix.jobs.min(self.kernels.len()) {
                let its = report.clone();
                if spawn_scoped(scope, move || fill(&its)).is_err() {
                    // Then there is no room for more machines than this; without room for one
                    // thread, this one does it all.
                    if machine == 0 {
                        fill(&report);
                    }
                    break;
                }
            }
            drop(report);
            reported.iter().for_each(|(index, heard)| listen(index, heard));
        });
    }

    fn row(&self, kernel: &Choice, report: &dyn Fn(RowEvent)) -> KernelDocument {
        let name = kernel.name();
        let without_machine = |end| KernelDocument {
            name: name.clone(),
            end,
            machine: None,
            complaints: vec![],
            missing: vec![],
            console: String::new(),
            run: None,
        };
        if interrupt::caught() {
            return without_machine(MachineEnd::Interrupted);
        }
        if self.failures.is_reached() {
            return without_machine(MachineEnd::EnoughFailed);
        }
        let mut watch = |progress: Progress<'_>| report(RowEvent::Stage(stage(progress)));
        let (bootable, hardware) = match self.workshop.prepare(kernel, &mut watch) {
            Ok(prepared) => prepared,
            Err(NotBootable::CannotFetch(e)) => {
                return without_machine(MachineEnd::CannotFetch { why: e.to_string() });
            }
            Err(e) => return without_machine(MachineEnd::CannotBoot { why: e.to_string() }),
        };
        let guests = &self.workshop.guests;
        let host = match Host::prepare(bootable, hardware, guests, &Shared::default()) {
            Ok(host) => host,
            Err(e) => return without_machine(MachineEnd::CannotBoot { why: e.to_string() }),
        };
        let out = match self.out.as_ref().map(|out| out.subdirectory(&file_name(&name))) {
            None => None,
            Some(Ok(out)) => Some(out),
            Some(Err(e)) => {
                report(RowEvent::WriteError(e));
                None
            }
        };
        let mut options = self.options;
        if host.clock() == Clock::Virtual {
            // Waiting costs nothing, and one after the other each has the machine alone.
            options.jobs = 1;
        }
        let selection = self.matrix.selection.clone();
        let (known, failures) = (self.known.as_ref(), &self.failures);
        KernelRow::new(selection, options, known, out.as_ref(), failures, report).fill(&name, &host)
    }
}

/// What a row reports, or its result.
enum Message {
    Row(RowEvent),
    Ended(Box<KernelDocument>),
}

fn stage(progress: Progress<'_>) -> Stage {
    const MB: u64 = 1_000_000;
    match progress {
        Progress::Waiting { what } => Stage::Fetching(format!("another sockmig is at {what}")),
        Progress::Refreshing { suite } => Stage::Fetching(format!("lists of {suite}")),
        Progress::Fetching { bytes, total, .. } => {
            Stage::Fetching(format!("{} of {} MB", bytes / MB, total / MB))
        }
        Progress::Unpacking { .. } => Stage::Preparing,
    }
}

/// A kernel's name as a directory's. Of a path every part, since kernels of several builds
/// have the same last one; of a very long one only as much as a name may have.
fn file_name(name: &str) -> String {
    let parts = Path::new(name).components().filter_map(|part| match part {
        Component::Normal(part) => Some(part.to_string_lossy()),
        _ => None,
    });
    let joined = parts.collect::<Vec<_>>().join("-");
    match joined.len() > LONGEST_NAME {
        false => joined,
        true => {
            let half = LONGEST_NAME / 2;
            let start = &joined[..joined.floor_char_boundary(half)];
            let end = &joined[joined.ceil_char_boundary(joined.len() - half)..];
            format!("{start}...{end}")
        }
    }
}

/// Every N-th kernel, from the K-th on, so that each part has old and new ones.
fn part<T>(of: Vec<T>, shard: Option<Shard>) -> Vec<T> {
    let Some(Shard { number, of: parts }) = shard else { return of };
    of.into_iter().skip(number - 1).step_by(parts).collect()
}
