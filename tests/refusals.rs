//! The command as its users meet it: on bad days.

mod support;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use harness::fault_injection::{self, Refused, refuse};
use harness::kernel::configuration::{Built, Configuration};
use nix::errno::Errno;
use rstest::rstest;
use support::{Ended, run, sockmig, until};

/// One clear sentence, no panic.
fn says(ended: &Ended, code: i32, words: &str) {
    assert_eq!(ended.code, Some(code), "{ended}");
    assert!(ended.stderr.contains(words), "`{words}` is not said: {ended}");
    assert!(!ended.stderr.contains("panicked"), "{ended}");
}

#[rstest]
#[case::unknown_id(&["run", "quizz/v4"], 4, "nearest: quiz")]
#[case::unknown_id_to_explain(&["explain", "bindd"], 4, "nearest: bind")]
#[case::unknown_id_to_list(&["list", "zzz"], 4, "`zzz`; `sockmig list` shows the ids")]
#[case::an_option_apart(&["run", "--trace", "plain"], 4, "--trace plain is written --trace=plain")]
#[case::shard(&["matrix", "--shard", "5/99999999999"], 2, "no more than 10000 parts")]
#[case::no_rounds(&["run", "--repeat", "0"], 2, "a number from 1 to")]
#[case::no_jobs(&["run", "--jobs", "0"], 2, "a number from 1 to 1000")]
#[case::negative_jobs(&["run", "--jobs=-3"], 2, "a number from 1 to 1000")]
#[case::no_time(&["run", "--deadline", "0"], 2, "a number from 1 to")]
#[case::unknown_format(&["run", "--format", "xml"], 2, "possible values")]
#[case::no_failures(&["run", "--max-fail", "0"], 2, "a number from 1 to 4294967295, or `all`, is needed")]
#[case::two_limits(&["matrix", "--max-fail", "2", "--fail-fast"], 2, "cannot be used with")]
#[case::no_document(&["report"], 2, "DOCUMENT.json")]
#[case::missing_document(&["report", "/nowhere/run.json"], 69, "cannot read /nowhere/run.json")]
#[case::unknown_command(&["rnu"], 2, "unrecognized subcommand")]
fn what_makes_no_sense_is_refused(
    #[case] arguments: &[&str],
    #[case] code: i32,
    #[case] words: &str,
) {
    says(&run(&mut sockmig(arguments)), code, words);
}

/// Four cases that every kernel passes, with migration and without.
const QUIZZES_OFF: [&str; 4] = ["quiz1/v4/off", "quiz1/v6/off", "quiz2/v4/off", "quiz2/v6/off"];

#[test]
fn results_survive_an_output_that_cannot_be_written() {
    let place = tempfile::tempdir().expect("a directory");
    let missing = place.path().join("missing/out");
    let full = place.path().join("full");
    let read_only = place.path().join("read-only");
    std::fs::create_dir(&full).expect("mkdir");
    std::fs::create_dir(&read_only).expect("mkdir");
    for (out, words) in [
        (&missing, "cannot make the directory"),
        (&full, "No space left on device"),
        (&read_only, "Read-only file system"),
    ] {
        let mut command = sockmig(&["run", "quiz1/v4/off", "quiz1/v6/off"]);
        command.arg("--out").arg(out);
        if *out == full {
            fault_injection::with_full_disk(&mut command, &full);
        } else if *out == read_only {
            fault_injection::with_read_only(&mut command, &read_only);
        }
        let ended = run(&mut command);
        says(&ended, 69, words);
        assert!(ended.stdout.contains("2 passed"), "the verdicts are lost: {ended}");
    }
    let ended = run(&mut sockmig(&["run", "quiz1/v4/off", "quiz1/v6/off", "--junit", "/dev/full"]));
    says(&ended, 69, "No space left on device");
    assert!(ended.stdout.contains("2 passed"), "{ended}");
}

#[rstest]
fn a_standard_output_that_cannot_be_written_is_told_once(
    #[values(
        &["run", "quiz1/v4"][..],
        &["list"],
        &["explain", "quiz1", "--no-run"],
        &["reload", "--list"],
        &["reload", "--close-cost", "--most", "1"],
        &["kernels", "list"],
        &["doctor"]
    )]
    arguments: &[&str],
) {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let ended = run(sockmig(arguments).stdout(full));
    says(&ended, 69, "sockmig: cannot write to standard output: No space left on device");
    assert_eq!(ended.stderr.matches("No space left").count(), 1, "{ended}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = sockmig(&["run", "quiz1", "--trace"]).spawn().expect("spawned");
    let mut first = String::new();
    BufReader::new(child.stdout.take().expect("stdout")).read_line(&mut first).expect("a line");
    let mut complaints = String::new();
    child.stderr.take().expect("stderr").read_to_string(&mut complaints).expect("stderr");
    let code = child.wait().expect("waited for").code();
    assert_eq!((code, complaints.as_str()), (Some(0), ""));
}

#[test]
fn without_proc_nothing_can_be_learned() {
    let mut command = sockmig(&["run"]);
    fault_injection::without_proc(&mut command);
    says(&run(&mut command), 69, "/proc is not mounted");
}

#[test]
fn without_proc_no_listener_is_seen() {
    let mut command = sockmig(&["inspect"]);
    fault_injection::without_proc(&mut command);
    says(&run(&mut command), 69, "/proc is not mounted");
}

#[test]
fn without_namespaces_nothing_can_be_learned() {
    for arguments in [&[][..], &["run"], &["doctor"]] {
        let mut command = sockmig(arguments);
        fault_injection::without_namespaces(&mut command);
        let ended = run(&mut command);
        let words = match nix::unistd::geteuid().is_root() {
            true => "This is root without CAP_SYS_ADMIN",
            false => "Run it as root, or allow unprivileged user namespaces",
        };
        says(&ended, 69, words);
    }
}

/// Not the same advice for another cause.
#[test]
fn a_limit_on_namespaces_that_is_0_is_named() {
    let mut command = sockmig(&["run", "quiz1/v4/off"]);
    fault_injection::without_room_for_namespaces(&mut command);
    let ended = run(&mut command);
    says(&ended, 69, "user.max_net_namespaces is 0 here");
    assert!(!ended.stderr.contains("unprivileged"), "{ended}");
}

#[test]
fn without_dev_null_what_to_make_is_said() {
    let mut command = sockmig(&["run", "quiz1/v4/off"]);
    fault_injection::with_read_only(&mut command, std::path::Path::new("/dev"));
    says(&run(&mut command), 69, "There is no /dev/null, as in a bare chroot: mknod");
}

#[test]
fn help_is_output_like_any_other() {
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    for arguments in [&["--help"][..], &["--version"], &["run", "--help"], &["matrix", "-h"]] {
        let ended = run(sockmig(arguments).stdout(full()));
        says(&ended, 69, "cannot write to standard output: No space left");
        assert_eq!(run(&mut sockmig(arguments)).code, Some(0), "{arguments:?}");
    }
}

/// Nothing is booted, fetched or made before it is known where the results go.
#[rstest]
#[case::out(&["--out", "missing/out"], "cannot make the directory missing/out")]
#[case::junit(&["--junit", "missing/x.xml", "--out", "out"], "cannot write missing/x.xml")]
#[case::markdown(&["--out", "out", "--markdown", "there"], "cannot write there: Is a directory")]
fn a_matrix_that_has_nowhere_to_write_to_does_not_begin(
    #[case] arguments: &[&str],
    #[case] words: &str,
) {
    let place = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(place.path().join("there")).expect("mkdir");
    let cache = place.path().join("cache");
    let mut command = sockmig(&["matrix", "quiz1", "--kernel", "./no-kernel"]);
    command.args(arguments).current_dir(&place).env("SOCKMIG_CACHE", &cache);
    let ended = run(command.env_remove("GITHUB_STEP_SUMMARY"));
    says(&ended, 69, words);
    assert_eq!((ended.stdout.as_str(), ended.stderr.lines().count()), ("", 1), "{ended}");
    assert!(!cache.exists() && !place.path().join("out").exists(), "something was made");
}

/// What a user has set for something, and nobody reads.
#[test]
fn variables_that_mean_nothing_are_told_once() {
    let mut command = sockmig(&["list", "quiz1/v4/off"]);
    let ended = run(command.env("SOCKMIG_CAHCE", "x").env("KSFT_MACHINE_SLOW", "fast"));
    says(&ended, 0, "SOCKMIG_CAHCE is set, and nothing reads it: meant is SOCKMIG_CACHE");
    assert!(ended.stderr.contains("KSFT_MACHINE_SLOW=fast"), "{ended}");
    assert_eq!(ended.stderr.lines().count(), 2, "{ended}");
}

#[test]
fn without_packet_sockets_nothing_can_be_learned() {
    for arguments in [&[][..], &["run"], &["doctor"]] {
        let mut command = sockmig(arguments);
        refuse(&mut command, Refused::PacketSockets, Errno::EAFNOSUPPORT);
        let ended = run(&mut command);
        says(
            &ended,
            69,
            "this kernel has no packet sockets, and each case captures what is on its",
        );
        says(&ended, 69, "it is built without CONFIG_PACKET");
    }
}

/// Each of these skips the cases that need it, and nothing else.
#[rstest]
#[case::unix_sockets(
    "passing/peek",
    |command: &mut Command| refuse(command, Refused::UnixSockets, Errno::EPERM),
    "no UNIX sockets: it is refused (EPERM)"
)]
#[case::ipv6(
    "quiz1/v4-mapped/off",
    |command: &mut Command| refuse(command, Refused::Ipv6, Errno::EPERM),
    "no IPv6: it is refused (EPERM)"
)]
#[case::close_range(
    "accept-queue/close-range/v4/off",
    |command: &mut Command| refuse(command, Refused::CloseRange, Errno::EPERM),
    "no close_range: it is refused (EPERM)"
)]
#[case::io_uring(
    "accept-queue/io-uring-close/v4/off",
    |command: &mut Command| refuse(command, Refused::IoUring, Errno::EPERM),
    "io_uring is turned off (EPERM)"
)]
#[case::settings(
    "quiz1/v4/on",
    fault_injection::with_read_only_settings,
    "settings cannot be written here (write sysctl net.ipv4.ip_unprivileged_port_start=0: EROFS)"
)]
fn what_is_refused_skips_the_cases_that_need_it(
    #[case] needs_it: &str,
    #[case] take_away: fn(&mut Command),
    #[case] reason: &str,
) {
    let mut command = sockmig(&["run", "quiz1/v4/off", needs_it]);
    take_away(&mut command);
    let ended = run(&mut command);
    assert_eq!(ended.code, Some(0), "{ended}");
    assert!(ended.stdout.contains("1 passed, 0 failed, 1 skipped"), "{ended}");
    let unwrapped = ended.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(unwrapped.contains(reason), "{ended}");
}

/// A lab's settings are those of a new network namespace, whatever the machine has.
#[test]
fn a_setting_of_the_machine_is_not_the_labs() {
    let mut look = Command::new("cat");
    fault_injection::with_fast_open(look.arg("/proc/sys/net/ipv4/tcp_fastopen"), "0");
    assert_eq!(run(&mut look).stdout, "0\n", "the machine's is off");
    let verdicts = |set_up: fn(&mut Command)| {
        let mut command = sockmig(&["run", "fast-open", "--format", "ktap"]);
        set_up(&mut command);
        let ended = run(&mut command);
        assert_eq!(ended.code, Some(0), "{ended}");
        // `not ok 7 fast-open/…`: without the number, which says when it ended.
        let words = |line: &str| {
            let (verdict, id) = line.split_once("ok ")?;
            Some((verdict.to_owned(), id.split(' ').nth(1)?.to_owned()))
        };
        ended.stdout.lines().filter_map(words).collect::<BTreeSet<_>>()
    };
    let off = verdicts(|command| fault_injection::with_fast_open(command, "0"));
    let on = verdicts(|command| fault_injection::with_fast_open(command, "3"));
    assert!(off.len() > 40, "{off:?}");
    assert_eq!(off, on);
}

#[test]
fn without_nftables_a_filter_on_the_listener_is_the_gate() {
    let mut command = sockmig(&["run", "--trace"]);
    command.args(QUIZZES_OFF);
    fault_injection::without_nftables(&mut command, Errno::EPROTONOSUPPORT);
    let ended = run(&mut command);
    assert_eq!(ended.code, Some(0), "{ended}");
    assert!(ended.stdout.contains("4 passed, 0 failed, 0 skipped"), "{ended}");
    assert!(ended.stdout.contains("final ACKs held by a filter on the listener"), "{ended}");
    assert!(ended.stdout.contains("-- gate closed (a filter on the listener) --"), "{ended}");
}

#[test]
fn without_a_gate_only_what_needs_it_is_skipped() {
    let without_gate = |arguments: &[&str]| {
        let mut command = sockmig(&["run"]);
        command.args(arguments);
        command.env("SOCKMIG_GATE", "nftables");
        fault_injection::without_nftables(&mut command, Errno::EPERM);
        run(&mut command)
    };
    let ended = without_gate(&QUIZZES_OFF);
    assert_eq!(ended.code, Some(0), "{ended}");
    assert!(ended.stdout.contains("2 passed, 0 failed, 2 skipped"), "{ended}");
    assert!(ended.stdout.contains("nothing to hold the final ACK with"), "{ended}");
    assert_eq!(without_gate(&["quiz1/v4/off", "quiz2/v4/off", "--deny-skips"]).code, Some(1));
    assert_eq!(without_gate(&["quiz2"]).code, Some(4), "nothing ran");
}

/// The kernel seems to be without, and was built with: then something else is wrong here.
#[test]
fn a_skip_that_the_kernels_configuration_contradicts_is_an_error() {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("a release");
    let built_in = |configuration: &Configuration| {
        ["CONFIG_NF_TABLES", "CONFIG_NF_TABLES_INET"].map(|o| configuration.get(o))
            == [Built::In; 2]
    };
    let mut command = sockmig(&["run", "quiz2/v4/off"]);
    command.env("SOCKMIG_GATE", "nftables");
    fault_injection::without_nftables(&mut command, Errno::EPROTONOSUPPORT);
    let ended = run(&mut command);
    let (code, words) = match Configuration::of(release.trim()) {
        Some(configuration) if built_in(&configuration) => {
            (69, "although it is built with CONFIG_NF_TABLES")
        }
        Some(_) => (4, "nothing to hold the final ACK with"),
        None => (4, "its configuration is not known"),
    };
    assert_eq!(ended.code, Some(code), "{ended}");
    let said = ended.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains(words), "{ended}");
}

#[test]
fn a_gate_that_nobody_knows_is_refused() {
    let ended = run(sockmig(&["run", "quiz1"]).env("SOCKMIG_GATE", "firewall"));
    says(&ended, 69, "SOCKMIG_GATE, which may be `nftables` or `filter`: `firewall`");
}

#[test]
fn a_case_that_hangs_is_named_and_the_others_finish() {
    let mut command = sockmig(&["run", "--deadline", "2"]);
    command.args(QUIZZES_OFF);
    let marked = support::mark(&mut command);
    let child = command.spawn().expect("spawned");
    // Frozen from outside, the lab of one case can never end.
    until("the lab of quiz2/v6/off", || {
        let processes = marked.processes();
        let init = processes.iter().find(|process| process.is_lab_of("quiz2/v6/off"))?;
        init.freeze().then_some(())
    });
    let ended = Ended::from(child.wait_with_output().expect("waited for"));
    assert_eq!(ended.code, Some(69), "{ended}");
    assert!(ended.stdout.contains("error quiz2/v6/off"), "{ended}");
    assert!(ended.stdout.contains("hung: killed after 2 s"), "{ended}");
    assert!(
        ended.stdout.contains("3 passed, 0 failed, 0 skipped, 0 known bugs, 1 error"),
        "{ended}"
    );
    marked.assert_gone();
}

#[test]
fn an_interrupted_run_keeps_what_is_finished() {
    let mut command = sockmig(&["run", "--format", "ktap", "--repeat", "10000"]);
    let marked = support::mark(&mut command);
    let mut child = command.spawn().expect("spawned");
    let mut lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
    let mut next = || lines.next().map(|line| line.expect("a line"));
    while !next().expect("results").starts_with("ok ") {}
    support::interrupt(&child);
    let mut rest = Vec::new();
    while let Some(line) = next() {
        rest.push(line);
    }
    assert_eq!(child.wait().expect("waited for").code(), Some(130));
    assert!(rest.iter().any(|line| line.starts_with("# interrupted: ")), "{rest:?}");
    assert!(rest.last().is_some_and(|line| line.starts_with("# Totals: pass:")), "{rest:?}");
    marked.assert_gone();
}

#[test]
fn nothing_survives_kill_9() {
    let mut command = sockmig(&["run", "quiz2", "--repeat", "10000"]);
    let marked = support::mark(&mut command);
    command.stdout(Stdio::null());
    let mut child = command.spawn().expect("spawned");
    until("running labs", || marked.processes().iter().any(support::Process::is_lab).then_some(()));
    child.kill().expect("killed");
    child.wait().expect("waited for");
    marked.assert_gone();
}

/// A document that sockmig has written.
fn document(place: &std::path::Path) -> std::path::PathBuf {
    let ended = run(sockmig(&["run", "quiz1/v4/off", "--out"]).arg(place));
    assert_eq!(ended.code, Some(0), "{ended}");
    place.join("run.json")
}

#[rstest]
#[case::empty(|_: &str| String::new(), "is empty")]
#[case::cut_off(|text: &str| text[..text.len() / 2].into(), "is cut off")]
#[case::of_the_future(|text: &str| text.replacen("\"schema\": 2", "\"schema\": 99", 1), "use the newer one")]
#[case::not_ours(|_: &str| r#"{"name": "left-pad"}"#.into(), "no document of sockmig")]
#[case::no_json(|_: &str| "<html>".into(), "is not JSON")]
#[case::with_a_mark(|_: &str| "\u{feff}{}".into(), "no document of sockmig")]
#[case::damaged(|text: &str| text.replacen("\"rounds\": 1", "\"rounds\": \"one\"", 1), "is a damaged document")]
fn a_page_of_a_broken_document_is_not_written(
    #[case] broken: fn(&str) -> String,
    #[case] words: &str,
) {
    let place = tempfile::tempdir().expect("a directory");
    let document = document(place.path());
    let text = std::fs::read_to_string(&document).expect("a document");
    let bad = place.path().join("bad.json");
    std::fs::write(&bad, broken(&text)).expect("written");
    let page = place.path().join("report.html");
    let ended = run(sockmig(&["report", "-o"]).arg(&page).arg(&document).arg(&bad));
    says(&ended, 69, words);
    assert!(ended.stderr.contains("bad.json"), "the file is not named: {ended}");
    assert_eq!(ended.stderr.trim().lines().count(), 1, "not one sentence: {ended}");
    assert!(!page.exists(), "half a page was written");
}

#[test]
fn a_page_is_written_whole_or_not_at_all() {
    let place = tempfile::tempdir().expect("a directory");
    let document = document(place.path());
    let full = place.path().join("full");
    std::fs::create_dir(&full).expect("mkdir");
    let mut command = sockmig(&["report", "-o"]);
    command.arg(full.join("report.html")).arg(&document);
    fault_injection::with_full_disk(&mut command, &full);
    says(&run(&mut command), 69, "No space left on device");
    let ended = run(sockmig(&["report", "-o", "/nowhere/report.html"]).arg(&document));
    says(&ended, 69, "cannot write /nowhere/report.html");
    let ended = run(sockmig(&["report", "-o"]).arg(&document).arg(&document));
    says(&ended, 2, "would be written over");
    let ended = run(sockmig(&["report", "-o", "/dev/null"]).arg(&document).arg(&document));
    says(&ended, 2, "is given twice");
}
