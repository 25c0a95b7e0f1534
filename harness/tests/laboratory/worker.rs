//! Workers: this program, started again with a listener.

use std::fs;
use std::process::{Command, ExitCode};

use harness::Family;
use harness::capture::Recorder;
use harness::lab::Lab;
use harness::process::worker::WorkerProcess;
use harness::process::{Labs, Returned};
use harness::socket::Stream;
use harness::wait;

use crate::in_lab::Test;

pub const WORK: &str = "worker";

/// The first argument with which this program removes itself and runs a lab.
const UNLINKED: &str = "__unlinked";

/// What that says when everything went well.
const SERVED: &str = "served before and after exec";

pub fn tests() -> Vec<Test> {
    vec![
        Test::inside("worker/serves-on-command", || serve().expect("served")),
        Test::inside("worker/says-why-it-ends", says_why_it_ends),
        Test::outside("worker/is-the-program-that-runs", |_| the_program_that_runs()),
    ]
}

/// Does what the first argument says, if it is the one above.
pub fn play_role() -> Option<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let (role, path) = (arguments.next()?, arguments.next()?);
    if role != UNLINKED {
        return None;
    }
    fs::remove_file(&path).expect("removed");
    let returned = Labs::default().run(WORK, wait::deadline() * 2).expect("a lab");
    println!("{}", returned.parse::<String>().expect("a sentence"));
    Some(ExitCode::SUCCESS)
}

pub fn work() -> Returned {
    let said = serve().map_or_else(|e| e.to_string(), |()| SERVED.to_owned());
    Returned::json(&said, vec![])
}

fn serve() -> harness::Result<()> {
    let mut lab = Lab::open(Family::V4)?;
    let listener = lab.listen("A")?;
    let mut worker = WorkerProcess::inheriting("a worker", &listener)?;
    for _ in 0..2 {
        let client = lab.connect("C")?;
        client.send(b"Hello")?;
        let served = worker.serve(1)?;
        assert_eq!((served.len(), served[0].request.as_str()), (1, "`Hello`"));
        assert_eq!(served[0].peer, client.local);
        assert_eq!(client.receive()?.to_string(), "`Hi`");
        worker.exec()?;
    }
    worker.end()
}

fn says_why_it_ends() {
    let (mut worker, point) =
        WorkerProcess::unrelated("a worker", Family::V4, Recorder::none()).expect("a worker");
    // It is handed nothing.
    point.hand_over(&[]).expect("a message");
    worker.until_ready().expect("ready");
    let why = worker.serve(1).expect_err("no listener").to_string();
    assert!(why.contains("no listener"), "{why}");
}

fn the_program_that_runs() {
    let directory = tempfile::tempdir().expect("a directory");
    let copy = directory.path().join("copy");
    fs::copy("/proc/self/exe", &copy).expect("copied");
    let output = Command::new(&copy).arg(UNLINKED).arg(&copy).output().expect("started");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said.trim(), SERVED, "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!copy.exists());
}
