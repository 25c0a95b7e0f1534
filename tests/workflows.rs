//! What must hold of the workflows and of a release, as far as the files say.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Each workflow, with its name.
fn workflows() -> Vec<(String, String)> {
    let directory = fs::read_dir(root().join(".github/workflows")).expect("the workflows");
    let files = directory.map(|file| file.expect("a file").path());
    let named = |path: PathBuf| {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        (name, fs::read_to_string(path).expect("a workflow"))
    };
    files.map(named).collect()
}

/// A tag can be moved to other code; a commit cannot.
#[test]
fn actions_are_named_by_commit_with_their_version() {
    let mut actions = 0;
    for (name, text) in workflows() {
        for line in text.lines().filter(|line| line.contains("uses: ")) {
            let (action, version) =
                line.split_once(" # v").unwrap_or_else(|| panic!("{name}: {line}"));
            let (_, commit) = action.split_once('@').unwrap_or_else(|| panic!("{name}: {line}"));
            let is_hash = commit.len() == 40 && commit.chars().all(|c| c.is_ascii_hexdigit());
            assert!(is_hash && version.split('.').count() == 3, "{name}: {line}");
            actions += 1;
        }
    }
    assert!(actions > 20, "{actions}");
}

#[test]
fn a_checkout_leaves_no_credentials() {
    for (name, text) in workflows() {
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            if line.contains("uses: actions/checkout@") {
                let after = &lines[at + 1..lines.len().min(at + 3)];
                let says = after.iter().any(|line| line.trim() == "persist-credentials: false");
                assert!(says, "{name}:{}", at + 1);
            }
        }
    }
}

/// What a workflow may do is said for each of its jobs, and none has more than it needs.
#[test]
fn only_the_job_that_publishes_may_write() {
    for (name, text) in workflows() {
        assert!(text.contains("\npermissions: {}\n"), "{name}");
        let jobs = text.matches("\n    runs-on: ").count();
        assert_eq!(text.matches("\n    permissions:").count(), jobs, "{name}");
        let may_write = text.lines().filter(|line| line.trim_end().ends_with(": write")).count();
        assert_eq!(may_write, if name == "release.yml" { 3 } else { 0 }, "{name}");
        assert!(name != "release.yml" || !text.contains("actions/cache@"), "{name} has a cache");
    }
}

#[test]
fn the_changelog_has_this_version() {
    let changelog = fs::read_to_string(root().join("CHANGELOG.md")).expect("the changelog");
    let heading = format!("\n## [{}]", env!("CARGO_PKG_VERSION"));
    assert!(changelog.contains(&heading), "CHANGELOG.md has no part about this version");
}
