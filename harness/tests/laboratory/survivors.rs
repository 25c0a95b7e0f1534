//! Nothing of a lab survives its end, whatever ends it.
//!
//! The processes of one test are known by a mark among their arguments, which the host's
//! `/proc` shows for every process namespace.

use std::fs;
use std::io::Read;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use harness::process::{Broken, Labs, Returned};
use harness::{process::interrupt, wait};
use nix::sys::signal::{SigHandler, Signal, kill, signal};
use nix::unistd::{Pid, pause, setsid};

use crate::in_lab::Test;

pub const WORK: &str = "survivors";

/// First arguments with which this program plays a part. The mark follows.
const PARENT: &str = "__parent";
const CATCHING_PARENT: &str = "__catching-parent";
const SLEEPER: &str = "__sleeper";
const DAEMON: &str = "__daemon";

/// How many sleepers a lab starts: enough that their deaths take a while.
const SLEEPERS: usize = 40;

/// Longer than any test waits.
const NEVER: Duration = Duration::from_secs(3600);

pub fn tests() -> Vec<Test> {
    vec![
        Test::outside("survivors/none-of-kill-9", none_of_kill_9),
        Test::outside("survivors/none-of-the-deadline", none_of_the_deadline),
        Test::outside("survivors/none-of-a-panic", none_of_a_panic),
        Test::outside("survivors/none-of-a-result", none_of_a_result),
        Test::outside("survivors/none-of-ctrl-c", none_of_ctrl_c),
    ]
}

/// Does what the first argument says, if it is one of the parts above.
#[expect(clippy::zombie_processes, reason = "nobody waits: the end of the lab takes them")]
pub fn play_role() -> Option<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let (role, mark) = (arguments.next()?, arguments.next()?);
    match role.as_str() {
        PARENT => run_hanging_lab(&mark),
        CATCHING_PARENT => {
            // A shell has its background jobs ignore it.
            // SAFETY: the default disposition runs no code of this program.
            unsafe { signal(Signal::SIGINT, SigHandler::SigDfl) }.expect("SIGINT");
            interrupt::catch().expect("handlers");
            run_hanging_lab(&mark);
        }
        SLEEPER => sleep_forever(),
        DAEMON => {
            setsid().expect("a session of its own");
            start(SLEEPER, &mark);
        }
        _ => return None,
    }
    Some(ExitCode::SUCCESS)
}

/// Runs a lab that hangs, and says what came of it.
fn run_hanging_lab(mark: &str) {
    let ended = Labs::default().run(&format!("{WORK} hang {mark}"), NEVER).map(|_| ());
    println!("{}", ended.expect_err("a hanging lab returns nothing"));
}

fn sleep_forever() -> ! {
    loop {
        pause();
    }
}

/// A process that does nothing, for as long as the lab lives.
#[expect(clippy::zombie_processes, reason = "nobody waits: the end of the lab takes it")]
pub fn start_sleeper() {
    start(SLEEPER, &fresh_mark());
}

fn start(role: &str, mark: &str) -> Child {
    Command::new("/proc/self/exe").args([role, mark]).spawn().expect("started")
}

/// Surrounds itself with processes that never end, one of them in a session of its own
/// and without a parent, and then does what `what` says.
#[expect(clippy::zombie_processes, reason = "nobody waits: the end of the lab takes them")]
pub fn work(what: &str) -> Returned {
    let (end, mark) = what.split_once(' ').expect("an end and a mark");
    for _ in 1..SLEEPERS {
        start(SLEEPER, mark);
    }
    start(DAEMON, mark).wait().expect("the daemon's parent ends");
    match end {
        "hang" => sleep_forever(),
        "panic" => panic!("in the middle of the work"),
        "return" => Returned::default(),
        _ => panic!("unknown end {end}"),
    }
}

/// A mark that no other test of any run has.
fn fresh_mark() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("mark-{}-{}-", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The arguments of every process that carries `mark`, as the host sees them.
fn marked(mark: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").expect("/proc");
    entries
        .flatten()
        .filter_map(|entry| fs::read_to_string(entry.path().join("cmdline")).ok())
        .filter(|arguments| arguments.contains(mark))
        .collect()
}

fn wait_for_sleepers(mark: &str) {
    wait::until("every sleeper of the lab", || {
        let sleepers = marked(mark).iter().filter(|line| line.contains(SLEEPER)).count();
        Ok((sleepers == SLEEPERS).then_some(()))
    })
    .expect("sleepers");
}

fn wait_until_gone(mark: &str) {
    let gone = wait::until("the end of every process of the lab", || {
        Ok(marked(mark).is_empty().then_some(()))
    });
    assert!(gone.is_ok(), "left: {:?}", marked(mark));
}

/// This program as the parent of a hanging lab. Does not survive its test either.
struct Parent(Child);

impl Parent {
    /// Starts one, and waits until its lab is there.
    fn of_hanging_lab(role: &str, mark: &str) -> Self {
        let mut command = Command::new("/proc/self/exe");
        let started = command.args([role, mark]).stdout(Stdio::piped()).spawn();
        let parent = Self(started.expect("started"));
        wait_for_sleepers(mark);
        parent
    }

    /// What it has said, once it has ended.
    fn last_words(mut self) -> String {
        let ended = wait::until("the end of the parent", || Ok(self.0.try_wait().ok().flatten()));
        assert!(ended.expect("an end").success());
        let mut said = String::new();
        self.0.stdout.take().expect("stdout").read_to_string(&mut said).expect("readable");
        said
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn none_of_kill_9(_: &Labs) {
    let mark = fresh_mark();
    // Dropping it kills it.
    drop(Parent::of_hanging_lab(PARENT, &mark));
    wait_until_gone(&mark);
}

fn none_of_ctrl_c(_: &Labs) {
    let mark = fresh_mark();
    let parent = Parent::of_hanging_lab(CATCHING_PARENT, &mark);
    kill(Pid::from_raw(parent.0.id().cast_signed()), Signal::SIGINT).expect("sent");
    assert_eq!(parent.last_words().trim_end(), Broken::Interrupted.to_string());
    assert_nothing_left(&mark);
}

fn none_of_the_deadline(labs: &Labs) {
    let mark = fresh_mark();
    // Long enough for the sleepers to be there.
    let deadline = Duration::from_secs(1) * wait::slowness();
    let started = Instant::now();
    let ended = labs.run(&format!("{WORK} hang {mark}"), deadline);
    assert_nothing_left(&mark);
    let took = started.elapsed();
    match ended {
        Err(Broken::Hung { after, .. }) => assert_eq!(after, deadline),
        other => panic!("{other:?}"),
    }
    assert!((deadline..deadline + wait::deadline()).contains(&took), "{took:?}");
}

fn none_of_a_panic(labs: &Labs) {
    let mark = fresh_mark();
    let ended = labs.run(&format!("{WORK} panic {mark}"), wait::deadline());
    assert_nothing_left(&mark);
    match ended {
        Err(Broken::Died { console, .. }) => {
            assert!(console.contains("in the middle of the work"), "{console}");
        }
        other => panic!("{other:?}"),
    }
}

/// A result counts as soon as it is here; what is left of the lab dies soon after, and
/// at the latest before [`Labs::wait`] returns.
fn none_of_a_result(_: &Labs) {
    let mark = fresh_mark();
    let labs = Labs::default();
    labs.run(&format!("{WORK} return {mark}"), wait::deadline()).expect("a result");
    labs.wait();
    assert_nothing_left(&mark);
}

/// As [`Labs::run`] promises: by the time it fails, nothing of the lab is running.
fn assert_nothing_left(mark: &str) {
    let left = marked(mark);
    assert!(left.is_empty(), "left: {left:?}");
}
