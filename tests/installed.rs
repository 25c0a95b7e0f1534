//! What sockmig makes of itself: man pages, completions, and a test for the runner of the kernel's
//! selftests.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use rstest::rstest;

use support::{Ended, run, sockmig};

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Every command, with its name as that of a page.
fn commands(command: &clap::Command, name: &str) -> Vec<(String, clap::Command)> {
    let below = command
        .get_subcommands()
        .flat_map(|sub| commands(sub, &format!("{name}-{}", sub.get_name())));
    [(name.to_owned(), command.clone())].into_iter().chain(below).collect()
}

#[test]
fn every_command_has_a_man_page_with_all_its_options() {
    let directory = tempfile::tempdir().expect("a directory");
    let pages = directory.path().join("share/man/man1");
    let written = run(&mut sockmig(&["man", text(&pages)]));
    assert_eq!((written.code, &*written.stdout, &*written.stderr), (Some(0), "", ""));
    let mut expected = vec![];
    for (name, command) in commands(&sockmig::command_line(), "sockmig") {
        let page = fs::read_to_string(pages.join(format!("{name}.1"))).expect(&name);
        assert!(page.contains(&format!(".TH {name} 1 ")), "{page}");
        for option in command
            .get_opts()
            .filter(|option| !option.is_hide_set())
            .filter_map(clap::Arg::get_long)
        {
            let escaped = format!("\\-\\-{}", option.replace('-', "\\-"));
            assert!(page.contains(&escaped), "{name}: --{option}\n{page}");
        }
        assert!(page.to_lowercase().contains("exit code"), "{name}\n{page}");
        expected.push(format!("{name}.1"));
    }
    let mut there: Vec<String> = fs::read_dir(&pages)
        .expect("the pages")
        .map(|page| page.expect("a page").file_name().to_string_lossy().into_owned())
        .collect();
    expected.sort();
    there.sort();
    assert_eq!(there, expected);
    let printed = run(&mut sockmig(&["man"])).stdout;
    assert_eq!(printed, fs::read_to_string(pages.join("sockmig.1")).expect("the page"));
}

#[test]
fn examples_in_a_man_page_are_not_filled() {
    let page = run(&mut sockmig(&["man"])).stdout;
    let after = page.split_once(".nf\n").and_then(|(_, after)| after.split_once("\n.fi"));
    let lines: Vec<&str> = after.expect("a part that is not filled").0.lines().collect();
    assert!(lines.iter().any(|line| line.ends_with("interrupted")), "{lines:#?}");
    assert!(lines.len() > 15, "{lines:#?}");
}

#[test]
fn bash_completes_commands_and_options() {
    let completions = run(&mut sockmig(&["completions", "bash"])).stdout;
    let complete = |words: &[&str]| {
        let (number, last) = (words.len() - 1, words[words.len() - 1]);
        let before = words[number - 1];
        let script = format!(
            "{completions}\nCOMP_WORDS=({}) COMP_CWORD={number}\n_sockmig sockmig {last:?} {before}\n\
             echo \"${{COMPREPLY[@]}}\"",
            words.join(" ")
        );
        let ended: Ended = Command::new("bash")
            .args(["--norc", "-c", &script])
            .output()
            .expect("bash can be started")
            .into();
        assert_eq!(ended.code, Some(0), "{ended}");
        ended.stdout.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(complete(&["sockmig", "ins"]), ["inspect"]);
    assert_eq!(complete(&["sockmig", "run", "--rep"]), ["--repeat"]);
    assert_eq!(complete(&["sockmig", "completions", "z"]), ["zsh"]);
}

#[rstest]
#[case("zsh", "#compdef sockmig")]
#[case("fish", "complete -c sockmig")]
fn other_shells_have_completions(#[case] shell: &str, #[case] part: &str) {
    let printed = run(&mut sockmig(&["completions", shell]));
    assert_eq!(printed.code, Some(0), "{printed}");
    assert!(printed.stdout.contains(part), "{printed}");
    for (name, _) in commands(&sockmig::command_line(), "sockmig").iter().skip(1) {
        let last = name.rsplit('-').next().expect("a name");
        assert!(printed.stdout.contains(last), "{shell}: {name}");
    }
}

fn install(into: &Path) -> Ended {
    run(&mut sockmig(&["kselftest-install", text(into)]))
}

/// The lines of a run of installed tests that say what the tests were.
fn results(directory: &Path, arguments: &[&str], ids: &str) -> (Option<i32>, Vec<String>) {
    let ended: Ended = Command::new(directory.join("run_kselftest.sh"))
        .args(arguments)
        .env("KSELFTEST_SOCKMIG_SH_ARGS", ids)
        .env_remove("KSFT_TAP_LEVEL")
        .output()
        .expect("the script can be started")
        .into();
    let lines = ended.stdout.lines().filter(|line| line.contains("ok ") || line.contains("1.."));
    (ended.code, lines.map(str::to_owned).collect())
}

#[test]
fn an_installed_test_runs() {
    let directory = tempfile::tempdir().expect("a directory");
    let installed = install(directory.path());
    assert_eq!((installed.code, &*installed.stdout, &*installed.stderr), (Some(0), "", ""));
    let (code, lines) = results(directory.path(), &[], "quiz1/v4/off");
    assert_eq!(code, Some(0), "{lines:#?}");
    let [plan, inner_plan, inner, outer] = &lines[..] else { panic!("{lines:#?}") };
    assert_eq!([&plan[..], inner_plan], ["1..1", "# 1..1"]);
    assert!(inner.starts_with("# ok 1 quiz1/v4/off"), "{inner}");
    assert_eq!(outer, "ok 1 selftests: sockmig: sockmig.sh");
}

/// `kselftest.h` calls it KSFT_SKIP, and it is 4.
#[test]
fn where_every_case_is_skipped_the_test_is() {
    let directory = tempfile::tempdir().expect("a directory");
    install(directory.path());
    let (code, lines) = results(directory.path(), &["-c", "sockmig"], "timer/retry-limit/v4");
    assert_eq!(code, Some(0), "{lines:#?}");
    assert_eq!(lines.last().expect("lines"), "ok 1 selftests: sockmig: sockmig.sh # SKIP");
}

/// What the command line does not understand is no failure of the kernel, and no success.
#[test]
fn wrong_arguments_are_reported() {
    let directory = tempfile::tempdir().expect("a directory");
    install(directory.path());
    let (code, lines) = results(directory.path(), &[], "--no-such-option");
    assert_eq!(code, Some(1), "{lines:#?}");
    assert_eq!(lines.last().expect("lines"), "not ok 1 selftests: sockmig: sockmig.sh # exit=2");
}

#[test]
fn the_run_script_reads_settings_and_the_list() {
    let directory = tempfile::tempdir().expect("a directory");
    let place = directory.path();
    fs::create_dir(place.join("other")).expect("a directory");
    fs::write(place.join("other/settings"), "timeout=1\n").expect("settings");
    for (name, body) in [("fails", "exit 1"), ("skips", "exit 4"), ("hangs", "sleep 100")] {
        let script = place.join("other").join(name);
        fs::write(&script, format!("#!/bin/sh\necho {name}\n{body}\n")).expect("a script");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("its mode");
    }
    fs::write(place.join("kselftest-list.txt"), "other:fails\nother:skips\nother:hangs").expect("");
    install(place);
    install(place);
    let list = fs::read_to_string(place.join("kselftest-list.txt")).expect("the list");
    assert_eq!(list, "other:fails\nother:skips\nother:hangs\nsockmig:sockmig.sh\n");
    let (code, lines) = results(place, &["-c", "other"], "");
    assert_eq!(code, Some(1), "{lines:#?}");
    assert_eq!(
        lines,
        [
            "1..3",
            "not ok 1 selftests: other: fails # exit=1",
            "ok 2 selftests: other: skips # SKIP",
            "not ok 3 selftests: other: hangs # TIMEOUT 1 seconds",
        ]
    );
    let (code, lines) = results(place, &["-t", "other:skips"], "");
    assert_eq!((code, lines.len()), (Some(0), 2), "{lines:#?}");
    assert_eq!(results(place, &["-t", "other:none"], ""), (Some(1), vec![]));
    assert_eq!(results(place, &["-t"], ""), (Some(1), vec![]));
}

#[test]
fn the_kernel_s_own_script_stays() {
    let directory = tempfile::tempdir().expect("a directory");
    let script = directory.path().join("run_kselftest.sh");
    fs::write(&script, "#!/bin/bash\n").expect("a script");
    assert_eq!(install(directory.path()).code, Some(0));
    assert_eq!(fs::read_to_string(&script).expect("the script"), "#!/bin/bash\n");
}

#[rstest]
#[case("man")]
#[case("kselftest-install")]
fn what_cannot_be_written_is_reported(#[case] command: &str) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let place = file.path().join("below");
    let ended = run(&mut sockmig(&[command, text(&place)]));
    assert_eq!(ended.code, Some(69), "{ended}");
    assert!(ended.stderr.starts_with("sockmig: cannot make the directory "), "{ended}");
}
