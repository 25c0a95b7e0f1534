//! `sockmig race`: two acts at the same time.

mod captures;
pub(super) mod document;
mod words;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use explore::drive::record::Recorded;
use explore::race::pair::{PAIRS, Pair, chosen};
use explore::race::run::{self, LEAST, RacePlan};
use harness::Family;
use harness::process::arguments::as_text;
use harness::process::{Labs, interrupt};

use crate::cli::{ClockChoice, ExploreFormat, RaceArguments};
use crate::cmd::explore::known::of_two_processors;
use crate::cmd::explore::{bugs, named, probe, seed_by_clock, stopped};
use crate::cmd::machine_log::Log;
use crate::cmd::print;
use crate::cmd::race::captures::Captures;
use crate::cmd::race::document::{PairDocument, PairsDocument, RaceDocument};
use crate::cmd::vm_run;
use crate::exit::Exit;
use crate::machine::same_command::in_guest;
use crate::output::stderr;
use crate::output::stdout::{self, Stdout};

/// For how long pairs are raced where nobody says.
const TIME: Duration = Duration::from_secs(25);

/// The same with `--long`.
const LONG: Duration = Duration::from_secs(3600);

/// Which part of the time is for pairs that wait for timers.
const WAITING_PART: u32 = 4;

/// What a guest needs, in MiB.
const MEMORY: u32 = 512;

/// How many letters a word may be away from a name that is suggested.
const NEAR: usize = 3;

/// Does what the command line asks for.
pub fn race(arguments: &RaceArguments) -> ExitCode {
    let guest = in_guest(&arguments.other, as_text(), Some(ClockChoice::Real), MEMORY);
    if let Some(mut guest) = guest {
        guest.machine.processors = 2;
        // What the guest keeps would be gone with it.
        guest.command.push("--keeps-nothing".to_owned());
        return vm_run::vm_run(&guest);
    }
    raced(arguments).unwrap_or_else(|exit| exit).into()
}

fn raced(arguments: &RaceArguments) -> Result<Exit, Exit> {
    let pairs = pairs(&arguments.pairs)?;
    if arguments.list {
        return Ok(list(&pairs, arguments.format));
    }
    let started = Instant::now();
    let out = named(arguments.out.as_deref())?;
    let mut captures = Captures::new(out, arguments.keeps_nothing);
    // Where nothing is kept, the machine is this program's own.
    let mut log = arguments.keeps_nothing.then(Log::open);
    let mut read_log = |during: &str| log.iter_mut().for_each(|log| log.read(during));
    read_log("booting");
    let labs = Labs::default();
    let kernel = probe(&labs)?;
    let mut bugs = bugs(&labs, &kernel, arguments.no_known)?;
    if !arguments.no_known {
        bugs.extend(of_two_processors(&kernel));
    }
    let all = match (arguments.time, arguments.long) {
        (Some(seconds), _) => Duration::from_secs(seconds),
        (None, true) => LONG,
        (None, false) => TIME,
    };
    let mut families = vec![Family::V4];
    match &kernel.ipv6 {
        Ok(()) => families.push(Family::V6),
        Err(why) => stderr::complain(&format_args!("IPv4 alone is raced: {why}")),
    }
    let (time, waiting_time) = times(all, &pairs, families.len());
    let plan = RacePlan {
        time,
        waiting_time,
        // Where nobody says for how long, every pair is raced.
        until: (arguments.time.is_some() || arguments.long).then(|| started + all),
        pairs,
        families,
        seed: arguments.seed.unwrap_or_else(seed_by_clock),
        bugs,
    };
    let (mut write_failed, mut not_kept) = (false, None);
    let mut show = |text: &str| {
        if arguments.format == ExploreFormat::Terminal {
            write_failed |= say(text).is_err();
        }
    };
    let width = stdout::known_width();
    show(&words::heading(&kernel, &plan, width));
    let (mut results, mut documents) = (vec![], vec![]);
    let ended = run::race(&labs, &plan, |result| {
        show(&words::row(&result, width));
        read_log(&format!("{} {}", result.pair.name, result.family));
        let mut keep = |title: &str, why, recorded: &Recorded| {
            captures.keep(title, why, recorded).unwrap_or_else(|e| {
                not_kept = Some(e);
                None
            })
        };
        documents.push(PairDocument::of(&result, &words::named(&result), &mut keep));
        results.push(result);
    });
    let not_reached = ended.as_deref().unwrap_or_default();
    read_log("taking down the laboratories");
    let complaints = log.map(Log::complaints).unwrap_or_default();
    let document =
        RaceDocument::of(&kernel, &plan, documents, not_reached, complaints, interrupt::caught());
    show(&words::result(&document, &results));
    let json = document.json() + "\n";
    if arguments.format == ExploreFormat::Json {
        write_failed |= print::exactly(json.as_bytes()) != Exit::Expected;
    }
    if let Some(e) = captures.keep_document(&json).err().or(not_kept) {
        stderr::complain_of(&e);
        write_failed = true;
    }
    let exit = match ended {
        Err(why) if document.exit() != Exit::Deviates => stopped(&why),
        Err(why) => {
            stopped(&why);
            Exit::Deviates
        }
        Ok(_) => document.exit(),
    };
    if document.lacks_processors() {
        stderr::complain(&"two processors are needed, and this process may use one alone");
    }
    Ok(exit.unless_write_failed(write_failed))
}

fn list(pairs: &[Pair], format: ExploreFormat) -> Exit {
    match format {
        ExploreFormat::Terminal => {
            let shown = say(&words::list(pairs));
            Exit::Expected.unless_write_failed(shown.is_err())
        }
        ExploreFormat::Json => print::exactly((PairsDocument::of(pairs).json() + "\n").as_bytes()),
    }
}

/// For how long each pair is raced with each setting; and those that wait for timers, which all do
/// at the same time, and get a part of the whole if there are others.
fn times(all: Duration, pairs: &[Pair], families: usize) -> (Duration, Duration) {
    let others = pairs.iter().filter(|pair| !pair.waits()).count();
    let waiting = match (others == pairs.len(), others) {
        (true, _) => Duration::ZERO,
        (false, 0) => all,
        (false, _) => all / WAITING_PART,
    };
    let each = (all - waiting) / (2 * others.max(1) * families) as u32;
    (each.max(LEAST), (waiting / 2).max(LEAST))
}

/// The pairs that were named. The error is an exit code whose reason has been reported.
fn pairs(words: &[String]) -> Result<Vec<Pair>, Exit> {
    for word in words {
        if chosen(std::slice::from_ref(word)).is_empty() {
            let near = PAIRS.iter().map(|pair| (strsim::osa_distance(word, pair.name), pair.name));
            let near = near.filter(|(distance, _)| *distance <= NEAR).min();
            let near = near.map(|(_, near)| format!("; perhaps {near}")).unwrap_or_default();
            stderr::complain(&format_args!(
                "no pair begins with `{word}`{near}: sockmig race --list shows them"
            ));
            return Err(Exit::NothingRan);
        }
    }
    Ok(chosen(words))
}

fn say(text: &str) -> io::Result<()> {
    let mut to = Stdout::new();
    to.write_all(text.as_bytes()).and_then(|()| to.flush()).inspect_err(|e| stderr::complain(e))
}
