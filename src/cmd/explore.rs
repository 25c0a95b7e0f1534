//! `sockmig explore` and `sockmig replay`: histories nobody wrote, held against a model.

pub mod document;
mod from_host;
mod in_guest;
pub(super) mod known;
mod session;
pub(super) mod words;

use std::collections::BTreeSet;
use std::fmt::Display;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use explore::drive::Played;
use explore::generate::Recipe;
use explore::history::{History, NoHistory};
use explore::model::ModelBug;
use explore::run::{self, Fewer, Plan, Stopped};
use harness::kernel::{Kernel, coverage, processors};
use harness::process::arguments::as_text;
use harness::process::{Broken, Labs, interrupt};
use scenarios::advice;
use scenarios::engine;
use scenarios::report::counted;

use crate::cli::{ExploreArguments, ReplayArguments};
use crate::cmd::explore::document::{ExploreDocument, ReplayDocument};
use crate::cmd::explore::session::Session;
pub(super) use crate::cmd::explore::session::named;
use crate::cmd::machine_log::Log;
use crate::cmd::vm_run;
use crate::exit::Exit;
use crate::output::input::{self, NoInput};
use crate::output::stderr;

/// For how long histories are played where nobody says.
const TIME: Duration = Duration::from_secs(10);

/// Every so-manieth history waits for timers, where the clock is real.
const WAIT_EVERY: u64 = 40;

/// How many labs wait for timers at a time, for each core.
const WAITING_JOBS: usize = 8;

/// How long a lab sleeps after each history in a machine, whose clock may leap over idle time.
const REST_IN_A_MACHINE: Duration = Duration::from_millis(5);

/// How often standard error says how far it is.
const SAYS_EVERY: Duration = Duration::from_secs(10);

/// Does what the command line asks for.
pub fn explore(arguments: &ExploreArguments) -> ExitCode {
    // Both ends know which histories these are.
    let seed = arguments.seed.unwrap_or_else(seed_by_clock);
    if let Some(guest) = in_guest::exploring(arguments, as_text(), seed) {
        return from_host::explore(arguments, &guest, seed);
    }
    explored(arguments).unwrap_or_else(|exit| exit).into()
}

/// Does what the command line asks for.
pub fn replay(arguments: &ReplayArguments) -> ExitCode {
    match in_guest::replaying(arguments, as_text()) {
        Ok(None) => {}
        Ok(Some(guest)) => return vm_run::vm_run(&guest),
        Err(why) => {
            stderr::complain(&why);
            return Exit::Usage.into();
        }
    }
    replayed(arguments).unwrap_or_else(|exit| exit).into()
}

/// The kernel, if histories can be played here. The error is an exit code whose reason has been
/// reported.
pub(super) fn probe(labs: &Labs) -> Result<Kernel, Exit> {
    if let Err(e) = interrupt::catch() {
        stderr::complain(&format_args!("cannot catch Ctrl-C: {}", advice::refusal(&e)));
        return Err(Exit::Unavailable);
    }
    let kernel = engine::probe(labs).map_err(|broken| stopped(&Stopped::Lab(broken)))?;
    if !kernel.has_counters {
        stderr::complain(&format_args!(
            "{} has no migration, which came with Linux 5.14, so that there is nothing to explore",
            kernel.release
        ));
        return Err(Exit::NothingRan);
    }
    Ok(kernel)
}

/// Reports why exploring stopped.
pub(super) fn stopped(why: &Stopped) -> Exit {
    match why {
        Stopped::Lab(Broken::Interrupted) => return Exit::Interrupted,
        Stopped::Lab(broken) => stderr::complain(&advice::no_lab(broken)),
        Stopped::Inside(_) => stderr::complain(why),
    }
    Exit::Unavailable
}

/// The bugs that the model is to have.
pub(super) fn bugs(
    labs: &Labs,
    kernel: &Kernel,
    no_known: bool,
) -> Result<BTreeSet<ModelBug>, Exit> {
    if no_known {
        return Ok(BTreeSet::new());
    }
    known::of_this_kernel(labs, kernel).map_err(|why| stopped(&why))
}

/// The seed where nobody says one.
pub(super) fn seed_by_clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| now.as_secs())
}

fn explored(arguments: &ExploreArguments) -> Result<Exit, Exit> {
    let out = named(arguments.out.as_deref())?;
    // Where nothing is kept, the machine is this program's own.
    let mut log = arguments.keeps_nothing.then(Log::open);
    let labs = Labs::default();
    let kernel = probe(&labs)?;
    let bugs = bugs(&labs, &kernel, arguments.no_known)?;
    let jobs = arguments.jobs.or_else(|| processors().ok()).unwrap_or(1);
    let time = arguments.time.map(Duration::from_secs);
    let plan = Plan {
        recipe: Recipe {
            only: arguments.only.clone(),
            bugs,
            wait_every: arguments.wait_every.unwrap_or(WAIT_EVERY),
        },
        seed: arguments.seed.unwrap_or_else(seed_by_clock),
        count: arguments.count,
        time: time.or(arguments.count.is_none().then_some(TIME)),
        jobs,
        waiting_jobs: jobs * WAITING_JOBS,
        rest: if arguments.keeps_nothing { REST_IN_A_MACHINE } else { Duration::ZERO },
        is_guided: !arguments.unguided && coverage::is_there(),
        fail_fast: arguments.fail_fast,
    };
    let mut session = Session::new(arguments.format, out);
    session.keeps_files = !arguments.keeps_nothing;
    session.say(&words::heading(&kernel, &plan));
    let started = Instant::now();
    let session = Mutex::new((session, started));
    let (total, ended) = run::explore(&labs, &plan, |total| {
        let mut locked = session.lock().unwrap_or_else(PoisonError::into_inner);
        let (session, said) = &mut *locked;
        session.keep_new(total);
        if said.elapsed() >= SAYS_EVERY {
            *said = Instant::now();
            stderr::line(&words::progress(total, started.elapsed()));
        }
    });
    // Who was refused a lab at all is told so, and that is enough.
    if let (Some(Fewer { at_a_time, of, call }), Ok(())) = (&total.fewer, &ended) {
        let labs = counted(*at_a_time as u64, "lab");
        let limits = advice::limits(*of);
        stderr::complain(&format_args!(
            "there was room for {labs} at a time only: {call}; {limits}"
        ));
    }
    let (mut session, _) = session.into_inner().unwrap_or_else(PoisonError::into_inner);
    let kept = std::mem::take(&mut session.kept);
    if let Some(log) = &mut log {
        log.read("exploring");
    }
    let complaints = log.map(Log::complaints).unwrap_or_default();
    let document = ExploreDocument::of(&kernel, &plan, &total, started.elapsed(), kept, complaints);
    session.say(&words::result(&document));
    session.document(|| document.json());
    // What was found counts for more than a laboratory that broke afterwards.
    let exit = match ended {
        Err(why) if total.findings.is_empty() => stopped(&why),
        Err(why) => {
            stopped(&why);
            document.exit()
        }
        Ok(()) => document.exit(),
    };
    Ok(exit.unless_write_failed(session.write_failed))
}

fn replayed(arguments: &ReplayArguments) -> Result<Exit, Exit> {
    let history = match (&arguments.given, &arguments.file) {
        (Some(text), _) => parsed(text, &"--given")?,
        (None, file) => history(file.as_deref().unwrap_or(Path::new("-")))?,
    };
    let labs = Labs::default();
    let kernel = probe(&labs)?;
    let bugs = bugs(&labs, &kernel, arguments.no_known)?;
    let replayed = run::replay(&labs, &history, &bugs).map_err(|why| stopped(&why))?;
    let mut session = Session::new(arguments.format, None);
    let document = ReplayDocument::of(&kernel, &bugs, history, replayed);
    session.say(&words::replay(&document));
    session.document(|| document.json());
    let exit = match document.played {
        Played::Agrees => Exit::Expected,
        Played::Disagrees(_) => Exit::Deviates,
        Played::TooSlow => {
            stderr::complain(&"the machine was too slow for the kernel's timers; try again");
            Exit::NothingRan
        }
    };
    Ok(exit.unless_write_failed(session.write_failed))
}

/// The longest file that is read as a history: a thousand steps are shorter.
const LONGEST_FILE: u64 = 1 << 20;

/// A history from a file. The error is an exit code whose reason has been reported.
pub(super) fn history(path: &Path) -> Result<History, Exit> {
    let text = text(path).map_err(|e| {
        stderr::complain(&format_args!("{}: cannot read it: {e}", path.display()));
        Exit::Unavailable
    })?;
    parsed(&text, &path.display())
}

fn parsed(text: &str, from: &dyn Display) -> Result<History, Exit> {
    text.parse().map_err(|why: NoHistory| {
        stderr::complain(&format_args!("{from}: {why}"));
        Exit::Usage
    })
}

/// What is in a file, or in standard input.
fn text(path: &Path) -> Result<String, NoInput> {
    // What begins so is no text, and may never end.
    let is_text = |beginning: &[u8]| !beginning.contains(&0);
    let bytes = match path.as_os_str() == "-" {
        true => input::read_from(io::stdin(), LONGEST_FILE, is_text)?,
        false => input::read(path, LONGEST_FILE, is_text)?,
    };
    String::from_utf8(bytes).map_err(|_| NoInput::NotText)
}
