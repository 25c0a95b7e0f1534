//! What a lab is asked to do: histories of a range of numbers, or one history.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use harness::guest::{Port, tag};
use harness::kernel::coverage::{self, Coverage};
use harness::process::Returned;
use harness::{Family, Resource};
use serde::{Deserialize, Serialize};

use crate::corpus::{Corpus, Made, News, Reached};
use crate::drive::{Disagreement, Driver, Played, Taken};
use crate::generate::Recipe;
use crate::history::History;
use crate::model::{Aspect, ModelBug, met_in};
use crate::reduce::reduce;
use crate::step::Step;

/// How the work of a lab begins that is of this crate.
const PREFIX: &str = "explore ";

/// A history that disagrees is played this often at most to make it shorter.
const REDUCTIONS: usize = 400;

/// The same of one that waits for timers: each takes a second or more.
const WAITING_REDUCTIONS: usize = 80;

/// How often a reduced history must disagree in the same way.
const VERIFIED: usize = 3;

/// A history whose steps came too late is played this often at most.
const PLAYS: usize = 4;

/// What a lab is asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Job {
    /// To play histories of a range of numbers.
    Explore {
        /// What they are like.
        recipe: Recipe,
        /// Which.
        numbers: Numbers,
        /// How long at most, in milliseconds.
        time: u64,
        /// How long to sleep after each, in milliseconds: where time passes only while everybody
        /// sleeps, it would not pass otherwise.
        rest: u64,
        /// Disagreements that are known already: they are counted, and not reduced again.
        seen: BTreeSet<Signature>,
        /// What the kernel says was reached so far; nothing if it does not, or nobody asks it.
        corpus: Option<Corpus>,
    },
    /// To play one history, and report each step.
    Replay {
        /// The history.
        history: History,
        /// The bugs that the model has, too.
        bugs: BTreeSet<ModelBug>,
    },
}

/// Numbers of histories: those from `first` up to `end` that wait for timers, or those that do
/// not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbers {
    /// The first one.
    pub first: u64,
    /// The one after the last.
    pub end: u64,
    /// Whether these wait.
    pub waiting: bool,
}

/// In what a disagreement is like others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Signature {
    /// The kernel did what one with this bug does.
    Like(ModelBug),
    /// It is not known why.
    Unknown {
        /// The first word of the step.
        step: String,
        /// In what model and kernel differ.
        of: BTreeSet<Aspect>,
    },
}

impl Signature {
    fn of(history: &History, disagreement: &Disagreement) -> Self {
        if let Some(bug) = disagreement.like {
            return Self::Like(bug);
        }
        let step = history.steps.get(disagreement.at).map_or("", Step::word).to_owned();
        let of = disagreement.differences.iter().map(|difference| difference.of).collect();
        Self::Unknown { step, of }
    }
}

/// `syn: TCPReqQFullDrop, ListenDrops, the server sends`.
impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Like(bug) => write!(f, "as with the known bug {bug}"),
            Self::Unknown { step, of } => {
                let of: Vec<String> = of.iter().map(ToString::to_string).collect();
                write!(f, "{step}: {}", of.join(", "))
            }
        }
    }
}

/// A disagreement, reduced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// In what it is like others.
    pub signature: Signature,
    /// The number of the history in which it was found.
    pub number: u64,
    /// Whether that history was made by changing others: the number does not make it again.
    pub is_changed: bool,
    /// The shortest history that was found to show it.
    pub history: History,
    /// Its steps up to the disagreement: what the model says and what the kernel did.
    pub taken: Vec<Taken>,
    /// The disagreement.
    pub disagreement: Disagreement,
    /// How often the reduced history disagreed in this way, of three times.
    pub verified: usize,
}

/// What a lab reports of an exploration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explored {
    /// How many histories agreed or disagreed.
    pub histories: u64,
    /// How many steps these had.
    pub steps: u64,
    /// How many said nothing: a step was too late.
    pub too_slow: u64,
    /// The number to go on with.
    pub next: u64,
    /// What was met: each step in each situation, and what came of it.
    pub met: BTreeSet<String>,
    /// New disagreements.
    pub findings: Vec<Finding>,
    /// How often each disagreement was met.
    pub disagreements: BTreeMap<String, u64>,
    /// Sockets and requests that were left when all histories were over.
    pub left: usize,
    /// What histories reached that none before them had.
    pub news: Vec<News>,
}

/// What a lab reports of one history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replayed {
    /// Its steps, up to a disagreement.
    pub taken: Vec<Taken>,
    /// What came of it.
    pub played: Played,
}

/// A history that a lab is about to play, as it says to the host of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The history.
    pub history: History,
    /// Whether it is one of those that wait: others begin and end meanwhile.
    pub waits: bool,
}

impl Intent {
    /// As it is sent.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an intent can be written as JSON")
    }

    /// As it was sent; nothing if it is none.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

/// What a lab has found, as it says to the host of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The number of the history in which it was found.
    pub number: u64,
    /// In what it is like others.
    pub signature: Signature,
    /// The shortest history that was found to show it.
    pub history: History,
}

impl Found {
    fn of(finding: &Finding) -> Self {
        let Finding { number, signature, history, .. } = finding;
        Self { number: *number, signature: signature.clone(), history: history.clone() }
    }

    /// As it is sent.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("what was found can be written as JSON")
    }

    /// As it was sent; nothing if it is none.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

/// What a lab returns: what it saw, or why the laboratory broke.
pub type Reported<T> = Result<T, LabFailed>;

/// Why a lab could not do its work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LabFailed {
    /// There was too little of something.
    Lacks {
        /// Of what.
        of: Resource,
        /// The call, and the kernel's answer.
        call: String,
    },
    /// Anything else.
    Other(String),
}

impl From<harness::Error> for LabFailed {
    fn from(error: harness::Error) -> Self {
        let call = error.to_string();
        match error.lacks() {
            Some(of) => Self::Lacks { of, call },
            None => Self::Other(call),
        }
    }
}

impl Job {
    /// As a lab is given it.
    pub fn work(&self) -> String {
        let job = serde_json::to_string(self).expect("a job can be written as JSON");
        format!("{PREFIX}{job}")
    }
}

/// Does a lab's work, if it is of this crate.
pub fn lab_work(work: &str) -> Option<Returned> {
    let job = work.strip_prefix(PREFIX)?;
    let job: Job = serde_json::from_str(job).ok()?;
    Some(match job {
        Job::Explore { recipe, numbers, time, rest, seen, corpus } => {
            let times =
                Times { most: Duration::from_millis(time), rest: Duration::from_millis(rest) };
            let explored = match corpus {
                None => explore(&recipe, &numbers, times, seen, None),
                Some(corpus) => coverage::traced(|coverage| {
                    let guide = Guide { corpus, coverage };
                    explore(&recipe, &numbers, times, seen, Some(guide))
                }),
            };
            let explored: Reported<Explored> = explored.map_err(LabFailed::from);
            Returned::json(&explored, vec![])
        }
        Job::Replay { history, bugs } => {
            let replayed: Reported<Replayed> = Driver::open(Family::V4)
                .and_then(|mut driver| play(&mut driver, &history, &bugs))
                .map_err(LabFailed::from);
            Returned::json(&replayed, vec![])
        }
    })
}

/// Plays a history until it is in time, a few times at most.
fn play(
    driver: &mut Driver,
    history: &History,
    bugs: &BTreeSet<ModelBug>,
) -> harness::Result<Replayed> {
    let mut plays = 0;
    loop {
        let mut taken = Vec::new();
        let played = driver.play(history, bugs, |step| taken.push(step.clone()))?;
        plays += 1;
        if played != Played::TooSlow || plays == PLAYS {
            return Ok(Replayed { taken, played });
        }
    }
}

/// How long a lab explores.
#[derive(Debug, Clone, Copy)]
struct Times {
    /// At most.
    most: Duration,
    /// How long it sleeps after each history.
    rest: Duration,
}

/// What chooses histories by what others reached.
struct Guide<'a> {
    corpus: Corpus,
    coverage: &'a Coverage<'a>,
}

/// Adds what was reached since the last call.
fn add_reached(guide: Option<&Guide<'_>>, reached: &mut Reached) {
    if let Some(guide) = guide {
        guide.coverage.take(|trace| reached.add(trace.map(|address| address as u64)));
    }
}

fn explore(
    recipe: &Recipe,
    numbers: &Numbers,
    times: Times,
    mut seen: BTreeSet<Signature>,
    mut guide: Option<Guide<'_>>,
) -> harness::Result<Explored> {
    let started = Instant::now();
    let host = Port::lent()?;
    let mut driver = Driver::open(Family::V4)?;
    let mut explored = Explored { next: numbers.end, ..Explored::default() };
    for number in numbers.first..numbers.end {
        if recipe.waits(number) != numbers.waiting {
            continue;
        }
        if started.elapsed() >= times.most {
            explored.next = number;
            break;
        }
        driver.sleep(times.rest);
        let Made { beginning, is_changed } = match &guide {
            Some(guide) => guide.corpus.make(recipe, number),
            None => Made::by_number(recipe, number),
        };
        let history = recipe.with_its_end(beginning.clone());
        if let Some(host) = &host {
            let intent = Intent { history: history.clone(), waits: numbers.waiting };
            host.send(tag::INTENT, intent.encode())?;
        }
        // What was reached between histories is nobody's.
        add_reached(guide.as_ref(), &mut Reached::default());
        let (mut met, mut reached) = (Vec::new(), Reached::default());
        let played = driver.play(&history, &recipe.bugs, |taken| {
            met.push(met_in(&taken.situation, &taken.model));
            add_reached(guide.as_ref(), &mut reached);
        })?;
        add_reached(guide.as_ref(), &mut reached);
        if let Some(guide) = &mut guide {
            explored.news.extend(guide.corpus.learn(&beginning, &reached));
        }
        explored.steps += met.len() as u64;
        explored.met.extend(met);
        let disagreements = match played {
            Played::TooSlow => {
                explored.too_slow += 1;
                continue;
            }
            Played::Agrees => vec![],
            Played::Disagrees(disagreements) => disagreements,
        };
        explored.histories += 1;
        for disagreement in disagreements {
            let signature = Signature::of(&history, &disagreement);
            *explored.disagreements.entry(signature.to_string()).or_default() += 1;
            if seen.insert(signature.clone()) {
                let finding = find(&mut driver, recipe, number, &history, &signature)?;
                if let Some(host) = &host {
                    host.send(tag::FOUND, Found::of(&finding).encode())?;
                }
                explored.findings.push(Finding { is_changed, ..finding });
            }
        }
    }
    explored.left = driver.left()?;
    Ok(explored)
}

/// Reduces a history that disagrees, and sees whether it does so again.
fn find(
    driver: &mut Driver,
    recipe: &Recipe,
    number: u64,
    history: &History,
    wanted: &Signature,
) -> harness::Result<Finding> {
    let mut disagrees = |candidate: &History| -> harness::Result<bool> {
        let Replayed { played, .. } = play(driver, candidate, &recipe.bugs)?;
        Ok(match played {
            Played::Disagrees(met) => {
                met.iter().any(|one| Signature::of(candidate, one) == *wanted)
            }
            Played::Agrees | Played::TooSlow => false,
        })
    };
    let budget = if recipe.waits(number) { WAITING_REDUCTIONS } else { REDUCTIONS };
    let history = reduce(history, &recipe.bugs, budget, &mut disagrees)?;
    let mut verified = 0;
    for _ in 0..VERIFIED {
        verified += usize::from(disagrees(&history)?);
    }
    let Replayed { taken, played } = play(driver, &history, &recipe.bugs)?;
    let met = match played {
        Played::Disagrees(met) => met,
        Played::Agrees | Played::TooSlow => vec![],
    };
    let disagreement = met.into_iter().find(|one| Signature::of(&history, one) == *wanted);
    // It does not disagree every time.
    let disagreement = disagreement.unwrap_or_else(|| Disagreement {
        at: taken.len(),
        differences: vec![],
        like: None,
    });
    Ok(Finding {
        signature: wanted.clone(),
        number,
        is_changed: false,
        history,
        taken,
        disagreement,
        verified,
    })
}
