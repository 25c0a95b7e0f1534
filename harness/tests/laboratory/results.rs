//! What a lab returns arrives whole, whatever it prints meanwhile.

use std::process::Command;

use harness::process::{Broken, Labs, Returned};
use harness::wait;

use crate::in_lab::Test;

pub const WORK: &str = "results";

/// More than any pipe holds.
const MEGABYTES: usize = 8 << 20;

pub fn tests() -> Vec<Test> {
    vec![
        Test::outside("results/stray-prints-do-no-harm", stray_prints_do_no_harm),
        Test::outside("results/megabytes-arrive-whole", megabytes_arrive_whole),
        Test::outside("results/a-panic-is-heard", a_panic_is_heard),
        Test::outside("results/an-exit-without-a-word-is-told", an_exit_is_told),
    ]
}

pub fn work(what: &str) -> Returned {
    match what {
        "chatter" => chatter(),
        "megabytes" => Returned { data: pattern(3, MEGABYTES), pcapng: pattern(5, MEGABYTES) },
        "panic" => panic!("the roof is on fire"),
        "exit" => std::process::exit(7),
        _ => panic!("unknown work {what}"),
    }
}

/// Prints through every door: the standard library, a child, and the descriptors.
fn chatter() -> Returned {
    println!("a stray line");
    // A guest kernel's file system has no shell.
    if std::path::Path::new("/bin/sh").exists() {
        let child = Command::new("/bin/sh").args(["-c", "echo D; echo E >&2"]).status();
        assert!(child.is_ok_and(|status| status.success()), "sh");
    }
    // Looks like a result, and is more than the pipe holds.
    let lookalike = [b"E\x04\0\0\0oops".as_slice(), &[b'.'; 300_000]].concat();
    std::io::Write::write_all(&mut std::io::stdout(), &lookalike).expect("printed");
    Returned { data: b"the result".to_vec(), pcapng: vec![] }
}

/// Bytes in which a gap or a swap shows.
fn pattern(step: u32, len: usize) -> Vec<u8> {
    (0..len as u32).map(|at| (at.wrapping_mul(step) >> 3) as u8).collect()
}

fn stray_prints_do_no_harm(labs: &Labs) {
    let returned = labs.run("results chatter", wait::deadline()).expect("a result");
    assert_eq!(returned, Returned { data: b"the result".to_vec(), pcapng: vec![] });
}

fn megabytes_arrive_whole(labs: &Labs) {
    let returned = labs.run("results megabytes", wait::deadline()).expect("a result");
    assert!(returned.data == pattern(3, MEGABYTES), "the data differ");
    assert!(returned.pcapng == pattern(5, MEGABYTES), "the captures differ");
}

fn a_panic_is_heard(labs: &Labs) {
    match labs.run("results panic", wait::deadline()) {
        Err(Broken::Died { how, console }) => {
            assert_eq!(how, "exit status: 101");
            assert!(console.contains("the roof is on fire"), "{console}");
        }
        other => panic!("{other:?}"),
    }
}

fn an_exit_is_told(labs: &Labs) {
    let console = String::new();
    let died = Broken::Died { how: "exit status: 7".into(), console };
    assert_eq!(labs.run("results exit", wait::deadline()), Err(died));
}
