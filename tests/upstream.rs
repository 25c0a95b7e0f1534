//! The programs next to the pages about bugs without a fix: each is what `sockmig script` prints.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use support::{run, sockmig};

/// How a program says that the kernel it was recorded on has the bug.
const WRONG: &str = "# This kernel is wrong: ";

/// Set, the programs that can be printed here are written anew.
const UPDATE: &str = "SOCKMIG_UPDATE_README";

fn programs() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/upstream");
    let files = fs::read_dir(directory).expect("docs/upstream");
    let mut programs: Vec<PathBuf> = files.map(|file| file.expect("a file").path()).collect();
    programs.retain(|path| path.extension().is_some_and(|extension| extension == "py"));
    programs.sort();
    programs
}

/// What the program does until it looks what has come of it: what follows depends on whether the
/// kernel has the bug, or on chance.
fn acts(program: &str) -> Vec<&str> {
    let lines = program.lines().filter_map(|line| line.strip_prefix("did(\""));
    // How counters have grown is a look, of which a kernel that is well may need more or fewer.
    let acts = lines.filter_map(|line| line.split('"').next());
    let acts = acts.filter(|act| !act.contains("counters"));
    acts.take_while(|act| !act.starts_with("accept(")).collect()
}

/// All but the kernel that it was recorded on.
fn without_kernel(program: &str) -> Vec<&str> {
    program.lines().filter(|line| !line.starts_with("# Made by sockmig ")).collect()
}

#[test]
fn each_program_is_what_the_command_prints() {
    let programs = programs();
    assert_eq!(programs.len(), 3, "{programs:?}");
    let mut printed_here = 0;
    for path in &programs {
        let kept = fs::read_to_string(path).expect("a program");
        let id = kept.lines().nth(1).and_then(|line| line.strip_prefix("# ")).expect("an id");
        let printed = run(&mut sockmig(&["script", id]));
        if printed.code == Some(4) {
            let why = format!("sockmig: {id} cannot be printed: ");
            assert!(printed.stderr.starts_with(&why), "{printed}");
            continue;
        }
        assert_eq!(printed.code, Some(0), "{printed}");
        printed_here += 1;
        let same_kernel = kept.contains(WRONG) == printed.stdout.contains(WRONG);
        if !same_kernel {
            assert_eq!(acts(&kept), acts(&printed.stdout), "{id}");
            continue;
        }
        let is_new = without_kernel(&kept) == without_kernel(&printed.stdout);
        if !is_new && std::env::var_os(UPDATE).is_some() {
            fs::write(path, &printed.stdout).expect("the program can be written");
            continue;
        }
        assert!(is_new, "{} is old: {UPDATE}=1 writes it anew", path.display());
    }
    assert!(printed_here > 0, "none of the programs can be printed here");
}

#[test]
fn each_program_has_a_page_that_names_its_command() {
    for path in programs() {
        let page = fs::read_to_string(path.with_extension("md")).expect("a page");
        let program = fs::read_to_string(&path).expect("a program");
        let id = program.lines().nth(1).and_then(|line| line.strip_prefix("# ")).expect("an id");
        let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(page.contains(&format!("`sockmig script {id}`")), "{}", path.display());
    }
}
