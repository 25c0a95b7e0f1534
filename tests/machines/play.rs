//! The program that is run in a guest: this one, with a part to play.

use std::env;
use std::fs;
use std::io::{self, Write};
use std::process::{Command, ExitCode};
use std::thread;

use harness::fault_injection;
use nix::sys::signal::{Signal, raise};

/// What comes before the part.
const PLAY: &str = "__play";

/// The command line that plays `part` in a guest, after `vm-run`'s own arguments.
pub fn command(part: &[&str]) -> Vec<String> {
    let this = env::current_exe().expect("this program").display().to_string();
    let part = part.iter().map(ToString::to_string);
    ["--".into(), this, PLAY.into()].into_iter().chain(part).collect()
}

/// The part, if this program was started to play one.
pub fn part() -> Option<Vec<String>> {
    let mut arguments = env::args().skip(1);
    (arguments.next()? == PLAY).then(|| arguments.collect())
}

/// Plays it.
pub fn play(part: &[String]) -> ExitCode {
    let part: Vec<&str> = part.iter().map(String::as_str).collect();
    match part[..] {
        ["exit", code] => return ExitCode::from(code.parse::<u8>().expect("a code")),
        ["panic"] => panic!("as a failing test does"),
        ["segfault"] => {
            // Rust's own handler takes the first, and leaves.
            raise(Signal::SIGSEGV).and_then(|()| raise(Signal::SIGSEGV)).expect("raised");
        }
        ["write-much"] => {
            eprintln!("this is the other one");
            io::stdout().write_all(&much()).expect("written");
            eprintln!("it ends here");
        }
        ["show-what-is-here", ..] => {
            println!("arguments {:?}", &part[1..]);
            println!("directory {}", env::current_dir().expect("a directory").display());
            println!("variable {:?}", env::var("RUST_OF_THE_TEST"));
            println!("cargo {:?}", env::var("CARGO_MANIFEST_DIR"));
        }
        ["read", ..] => {
            for path in &part[1..] {
                println!("{path}: {:?}", fs::read_to_string(path).map_err(|e| e.kind()));
            }
        }
        ["need-a-module"] => {
            let loaded = || fs::read_to_string("/proc/modules").expect("read");
            let has_tun = || loaded().lines().any(|line| line.starts_with("tun "));
            let before = has_tun();
            let opened = fs::File::open("/dev/net/tun").map(drop).map_err(|e| e.kind());
            println!("{before}, {opened:?}, {}", has_tun());
        }
        ["leave-something-running"] => {
            leave_something_running();
            return ExitCode::from(5);
        }
        ["linger"] => {
            println!("here I am");
            linger();
        }
        ["crash-the-kernel"] => {
            fs::write("/proc/sysrq-trigger", "c").expect("written");
            linger();
        }
        ["garble"] => {
            garble().expect("garbled");
            linger();
        }
        _ => panic!("no such part: {part:?}"),
    }
    ExitCode::SUCCESS
}

/// Bytes of every kind, the same each time.
pub fn much() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(next).take(2 * 1024 * 1024 / 8).flatten().collect()
}

/// It has this one's standard output, as a server in the background often has.
#[expect(clippy::zombie_processes, reason = "it is to be there when this program has ended")]
fn leave_something_running() {
    let this = env::current_exe().expect("this program");
    Command::new(this).args([PLAY, "linger"]).spawn().expect("it starts");
    println!("something is left");
}

fn linger() -> ! {
    loop {
        thread::park();
    }
}

/// Writes into the port through which the first process talks.
fn garble() -> io::Result<()> {
    for entry in fs::read_dir("/proc/1/fd")? {
        let entry = entry?;
        if fs::read_link(entry.path())?.to_string_lossy().starts_with("/dev/vport") {
            let descriptor = entry.file_name().to_string_lossy().parse().expect("a number");
            return fault_injection::take_descriptor(1, descriptor)?
                .write_all(b"localhost login: ");
        }
    }
    Err(io::ErrorKind::NotFound.into())
}
