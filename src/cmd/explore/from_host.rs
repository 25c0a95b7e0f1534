//! `sockmig explore --kernel`: what the guest finds is kept here. Where its kernel panics, the history
//! at which it does is found, made short, and kept.

use std::collections::{BTreeSet, VecDeque};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use explore::history::History;
use explore::job::{Found, Intent};
use explore::reduce::reduce;
use harness::process::interrupt;
use vm::machine::end::{EarlyEnd, EndReason};

use crate::cli::{ExploreArguments, VmRunArguments};
use crate::cmd::explore::document::{ExploreDocument, PanicDocument};
use crate::cmd::explore::session::{Session, named};
use crate::cmd::explore::words;
use crate::cmd::vm_run::{self, Guest, Heard, Lost};
use crate::machine::guest::Task;
use crate::output::stderr;

/// How many histories are tried that were begun last: of those that do not wait, one is played at
/// a time, and of the others several.
const TRIED: usize = 4;
const TRIED_WAITING: usize = 12;

/// A history at which the kernel panics is made shorter for as long as this, at most: each try
/// boots a machine.
const REDUCING: Duration = Duration::from_secs(60);

/// The same in tries.
const REDUCTIONS: usize = 100;

/// What a guest was about to do when it was heard last.
#[derive(Debug, Default)]
struct Begun {
    histories: u64,
    steps: u64,
    last: VecDeque<Intent>,
}

impl Begun {
    fn add(&mut self, intent: Intent) {
        self.histories += 1;
        self.steps += intent.history.steps.len() as u64;
        let most = if intent.waits { TRIED_WAITING } else { TRIED };
        let like_it = |each: &Intent| each.waits == intent.waits;
        if self.last.iter().filter(|each| like_it(each)).count() == most {
            let oldest = self.last.iter().position(like_it);
            self.last.remove(oldest.unwrap_or(0));
        }
        self.last.push_back(intent);
    }

    /// What may have been played, the last one first.
    fn candidates(self) -> Vec<History> {
        self.last.into_iter().rev().map(|intent| intent.history).collect()
    }
}

/// Explores in a guest, `seed` being the number of the first history.
pub(super) fn explore(arguments: &ExploreArguments, guest: &VmRunArguments, seed: u64) -> ExitCode {
    // It is wrong before anything is fetched or boots.
    let out = match named(arguments.out.as_deref()) {
        Ok(out) => out,
        Err(exit) => return exit.into(),
    };
    let guest = match Guest::prepare(guest) {
        Ok(guest) => guest,
        Err(why) => return vm_run::failed(&why),
    };
    let started = Instant::now();
    let mut begun = Begun::default();
    let mut session = Session::new(arguments.format, out);
    let mut seen = BTreeSet::new();
    let ended = guest.run(&guest.task, |heard| match heard {
        Heard::Intent(bytes) => {
            if let Some(intent) = Intent::decode(bytes) {
                begun.add(intent);
            }
            Ok(())
        }
        Heard::Found(bytes) => {
            // Two labs may find the same at the same time.
            let found = Found::decode(bytes).filter(|found| seen.insert(found.signature.clone()));
            if let Some(Found { number, history, .. }) = found
                && let Some(path) = session.keep(&number.to_string(), &history)
            {
                stderr::line(&format!("what history {number} shows is kept in {}", path.display()));
            }
            Ok(())
        }
        other => vm_run::pass_on(other),
    });
    match ended {
        // What was found counts for more than a file that could not be written.
        Ok(code) => vm_run::ended_with(code),
        Err(Lost::Machine(end)) if is_panic(&end) && begun.histories > 0 => {
            let took = started.elapsed();
            let counts = (begun.histories, begun.steps);
            let document = document(&guest, arguments.no_known, &end, begun, &mut session);
            let document =
                ExploreDocument::of_panic(guest.name.clone(), seed, took, counts, document);
            session.found(&words::panicked(&document));
            session.document(|| document.json());
            document.exit().unless_write_failed(session.write_failed).into()
        }
        Err(lost) => vm_run::failed(&guest.in_words(lost)),
    }
}

fn is_panic(end: &EarlyEnd) -> bool {
    matches!(end.reason, EndReason::Panicked { .. })
}

/// What is known of a panic, with the history at which it panics again, or else all that may have
/// been played.
fn document(
    guest: &Guest,
    no_known: bool,
    first: &EarlyEnd,
    begun: Begun,
    session: &mut Session,
) -> PanicDocument {
    let candidates = begun.candidates();
    let tried = candidates.len();
    stderr::line(&format!(
        "{}: {}; the {tried} histories that were begun last are played again, each in a machine \
         of its own",
        guest.name, first.reason
    ));
    let mut panics = |history: &History| panics_at(guest, no_known, history);
    let found = match find(candidates.clone(), &mut panics) {
        Ok(found) => found,
        Err(lost) => {
            stderr::complain_of(&guest.in_words(lost));
            None
        }
    };
    let (end, histories) = match &found {
        Some((history, end)) => (end.as_ref(), std::slice::from_ref(history)),
        None => (first, candidates.as_slice()),
    };
    let files = (1..)
        .zip(histories)
        .filter_map(|(number, history)| session.keep(&format!("panic-{number}"), history));
    PanicDocument {
        line: end.reason.to_string(),
        console: end.console.lines().map(str::to_owned).collect(),
        files: files.map(|path| path.display().to_string()).collect(),
        history: found.as_ref().map(|(history, _)| history.to_string()),
    }
}

/// How a machine ended in which a history was played, if its kernel panicked.
type Panics<'p> = dyn FnMut(&History) -> Result<Option<Box<EarlyEnd>>, Lost> + 'p;

/// The first of these at which the kernel panics, made short.
fn find(
    candidates: Vec<History>,
    panics: &mut Panics<'_>,
) -> Result<Option<(History, Box<EarlyEnd>)>, Lost> {
    for history in candidates {
        if interrupt::caught() {
            break;
        }
        let Some(mut last) = panics(&history)? else { continue };
        let until = Instant::now() + REDUCING;
        let short = reduce(&history, &BTreeSet::new(), REDUCTIONS, |shorter| {
            if Instant::now() >= until || interrupt::caught() {
                return Ok(false);
            }
            let end = panics(shorter)?;
            let holds = end.is_some();
            last = end.unwrap_or_else(|| last.clone());
            Ok(holds)
        })?;
        return Ok(Some((short, last)));
    }
    Ok(None)
}

/// Plays a history in a machine of its own, and shows nothing of it.
fn panics_at(
    guest: &Guest,
    no_known: bool,
    history: &History,
) -> Result<Option<Box<EarlyEnd>>, Lost> {
    let mut task = guest.task.clone();
    if let Task::Program { arguments, .. } = &mut task {
        *arguments = ["replay", "--given", &history.to_string()].map(str::to_owned).to_vec();
        arguments.extend(no_known.then(|| "--no-known".to_owned()));
    }
    match guest.run(&task, |_| Ok(())) {
        Ok(_) => Ok(None),
        Err(Lost::Machine(end)) if is_panic(&end) => Ok(Some(end)),
        Err(lost) => Err(lost),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use explore::generate::Recipe;
    use explore::step::Step;

    fn intent(number: u64, waits: bool) -> Intent {
        Intent { history: Recipe::default().history(number), waits }
    }

    #[test]
    fn what_was_begun_last_is_tried_first_and_what_waits_longer() {
        let mut begun = Begun::default();
        begun.add(intent(1, true));
        (2..100).for_each(|number| begun.add(intent(number, false)));
        assert_eq!(begun.histories, 99);
        let tried = [99, 98, 97, 96, 1].map(|number| intent(number, false).history);
        assert_eq!(begun.candidates(), tried);
    }

    #[test]
    fn what_is_sent_is_what_arrives() {
        let sent = intent(7, true);
        assert_eq!(Intent::decode(&sent.encode()), Some(sent));
        assert_eq!(Intent::decode(b"{}"), None);
    }

    /// A machine whose kernel panics when a listener is closed after a SYN.
    fn panics(history: &History) -> Result<Option<Box<EarlyEnd>>, Lost> {
        let words: Vec<&str> = history.steps.iter().map(Step::word).collect();
        let syn = words.iter().position(|word| *word == "syn");
        let panics = syn.is_some_and(|syn| words[syn..].contains(&"close"));
        let line = format!("Kernel panic - not syncing: {}", words.len());
        let end = EarlyEnd { reason: EndReason::Panicked { line }, console: String::new() };
        Ok(panics.then(|| Box::new(end)))
    }

    #[test]
    fn the_history_at_which_it_panics_is_found_and_made_short() {
        let histories: Vec<History> =
            (0..200).map(|number| Recipe::default().history(number)).collect();
        let is_one = |history: &History| panics(history).ok().flatten().is_some();
        let (some, none): (Vec<_>, Vec<_>) = histories.into_iter().partition(is_one);
        let candidates = [none[..2].to_vec(), some[..1].to_vec()].concat();
        let found = find(candidates, &mut panics).ok().flatten();
        let (history, end) = found.expect("it panics");
        assert_eq!(history.steps.len(), 3, "{history}");
        assert_eq!(end.reason.to_string(), "Kernel panic - not syncing: 3");
        assert!(find(none, &mut panics).is_ok_and(|found| found.is_none()));
    }
}
