//! `sockmig script`: a history, or a run of a written case, as a Python program.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use explore::case_script::{self, CaseRun, Unprintable};
use explore::script;
use harness::kernel::{Kernel, processors};
use harness::process::{Broken, Labs, interrupt, thread};
use scenarios::advice;
use scenarios::case::Selected;
use scenarios::catalogue;
use scenarios::engine::{self, RunPlan};
use scenarios::judge::Verdict;
use scenarios::report::counted;
use scenarios::requirement::Patience;

use crate::cli::ScriptArguments;
use crate::cmd::explore::history;
use crate::exit::Exit;
use crate::output::file::OutDirectory;
use crate::output::stderr;
use crate::output::stdout::Stdout;

/// Cases that are run at a time, for each processor: most of them wait.
const AT_A_TIME: usize = 4;

/// Does what the command line asks for.
pub fn script(arguments: &ScriptArguments) -> Exit {
    let mut plan = RunPlan::default();
    if arguments.long {
        plan.patience = Patience::Long;
    }
    let exit = match (&arguments.out, &arguments.what) {
        (Some(out), what) => programs(out, what.as_deref(), plan),
        (None, Some(what)) => program(what, plan),
        (None, None) => {
            stderr::complain(&"name a history or a case, or a directory for all cases with --out");
            return Exit::Usage;
        }
    };
    exit.unwrap_or_else(|exit| exit)
}

/// Prints one program.
fn program(what: &Path, plan: RunPlan) -> Result<Exit, Exit> {
    // A directory with results has the names of cases.
    let is_file = what.as_os_str() == "-" || (what.exists() && !what.is_dir());
    let text = match cases(what).filter(|_| !is_file) {
        None if !is_file && !what.exists() => {
            stderr::complain(&format_args!(
                "{}: cannot read it: there is no such file, and no case has an id that starts so; `sockmig list` \
                 shows the ids",
                what.display()
            ));
            return Err(Exit::Unavailable);
        }
        None => script::python(&history(what)?),
        Some(selected) => {
            let Some((first, others)) = selected.split_first() else {
                return Err(Exit::NothingRan);
            };
            if !others.is_empty() {
                let (id, count) = (first.id(), selected.len());
                stderr::complain(&format_args!(
                    "{} is the beginning of {count} ids; this is {id}",
                    what.display()
                ));
            }
            let labs = Labs::default();
            let kernel = kernel(&labs)?;
            of_case(&labs, &kernel, first, plan)?.map_err(|why| {
                stderr::complain(&format_args!("{} cannot be printed: {why}", first.id()));
                Exit::NothingRan
            })?
        }
    };
    let mut to = Stdout::exact();
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        Ok(()) => Ok(Exit::Expected),
        Err(e) => {
            stderr::complain(&e);
            Err(Exit::Unavailable)
        }
    }
}

/// The cases whose ids begin with this, if it is the beginning of any.
fn cases(what: &Path) -> Option<Vec<Selected>> {
    catalogue::select(&[what.to_str()?.to_owned()]).ok()
}

fn kernel(labs: &Labs) -> Result<Kernel, Exit> {
    if let Err(e) = interrupt::catch() {
        stderr::complain(&format_args!("cannot catch Ctrl-C: {}", advice::refusal(&e)));
        return Err(Exit::Unavailable);
    }
    engine::probe(labs).map_err(|broken| broke(&broken))
}

fn broke(broken: &Broken) -> Exit {
    if let Broken::Interrupted = broken {
        return Exit::Interrupted;
    }
    stderr::complain(&advice::no_lab(broken));
    Exit::Unavailable
}

/// Runs a case, and makes a program of what was recorded; or says why it cannot be one.
fn of_case(
    labs: &Labs,
    kernel: &Kernel,
    selected: &Selected,
    plan: RunPlan,
) -> Result<Result<String, String>, Exit> {
    let outcome =
        engine::run_once(labs, kernel, selected, 1, plan).map_err(|broken| broke(&broken))?;
    let mismatches = match outcome.verdict {
        Verdict::Skip { reason } => return Ok(Err(reason.to_string())),
        Verdict::Error { reason } => return Ok(Err(reason)),
        Verdict::Pass { .. } => vec![],
        Verdict::Fail { mismatches } | Verdict::KnownBug { mismatches, .. } => mismatches,
    };
    let deviations: Vec<String> = mismatches.iter().map(ToString::to_string).collect();
    let run = CaseRun {
        id: &outcome.id,
        does: selected.case.does,
        must: selected.case.must,
        kernel: &kernel.to_string(),
        family: selected.setting.family,
        trace: &outcome.seen.trace.lines(),
        deviations: &deviations,
    };
    Ok(case_script::python(run).map_err(|why: Unprintable| why.to_string()))
}

/// Writes a program for each case into a directory.
fn programs(out: &Path, what: Option<&Path>, plan: RunPlan) -> Result<Exit, Exit> {
    let selected = match what {
        None => catalogue::all(),
        Some(what) => cases(what).ok_or_else(|| {
            stderr::complain(&format_args!("{}: no case has an id like this", what.display()));
            Exit::Usage
        })?,
    };
    let directory = OutDirectory::open(out).map_err(|e| {
        stderr::complain_of(&e);
        Exit::Unavailable
    })?;
    let labs = Labs::default();
    let kernel = kernel(&labs)?;
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(case) = selected.get(next.fetch_add(1, Ordering::Relaxed)) {
            let made = of_case(&labs, &kernel, case, plan).map(|made| {
                made.and_then(|text| {
                    let file = directory.file(&format!("{}.py", case.id().replace('/', "-")));
                    write_program(&file, &text)
                        .map_err(|e| format!("{}: {}", file.display(), harness::in_words(&e)))
                })
            });
            let is_end = made.is_err();
            let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
            results.push((case.id(), made));
            if is_end || interrupt::caught() {
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        let threads = processors().unwrap_or(1) * AT_A_TIME;
        let mut started = 0;
        for _ in 0..threads {
            started += usize::from(thread::spawn_scoped(scope, work).is_ok());
        }
        if started == 0 {
            work();
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by(|(a, _), (b, _)| a.cmp(b));
    let (mut printed, mut others) = (0, Vec::new());
    for (id, made) in results {
        match made? {
            Ok(()) => printed += 1,
            Err(why) => others.push(format!("{id} cannot be printed: {why}")),
        }
    }
    let mut to = Stdout::exact();
    let lines = others.iter().try_for_each(|line| writeln!(to, "{line}"));
    let end = lines.and_then(|()| {
        writeln!(
            to,
            "{} {} in {}; {} {} none",
            counted(printed as u64, "program"),
            if printed == 1 { "is" } else { "are" },
            out.display(),
            counted(others.len() as u64, "case"),
            if others.len() == 1 { "has" } else { "have" },
        )
    });
    if let Err(e) = end.and_then(|()| to.flush()) {
        stderr::complain(&e);
        return Err(Exit::Unavailable);
    }
    match (interrupt::caught(), printed) {
        (true, _) => Ok(Exit::Interrupted),
        (false, 0) => Ok(Exit::NothingRan),
        (false, _) => Ok(Exit::Expected),
    }
}

/// Writes a file that can be run, instead of the one that was there.
fn write_program(file: &Path, text: &str) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut options = OpenOptions::new();
    let mut written = options.write(true).create_new(true).mode(0o755).open(file)?;
    written.write_all(text.as_bytes())
}
