//! `git bisect run` with real kernels.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::kernels::Kernels;
use crate::support::{Ended, run};
use crate::{Needs, Test};

pub const TESTS: &[Test] = &[
    ("bisect/git_finds_the_commit_that_fixes", Needs::Edge, git_finds_the_commit_that_fixes),
    ("bisect/a_wrong_command_line_ends_it", Needs::Kernel, a_wrong_command_line_ends_it),
];

/// A repository whose commits each name a kernel in the file `kernel`.
struct Repository {
    place: tempfile::TempDir,
}

impl Repository {
    fn of(kernels: &[&str]) -> Self {
        let this = Self { place: tempfile::tempdir().expect("a directory") };
        this.git(&["init", "--quiet"]);
        for (number, kernel) in kernels.iter().enumerate() {
            fs::write(this.path().join("kernel"), kernel).expect("written");
            // Neighbours may name the same one.
            fs::write(this.path().join("number"), number.to_string()).expect("written");
            this.git(&["add", "kernel", "number"]);
            let (name, mail) = ("user.name=nobody", "user.email=nobody@example.org");
            this.git(&["-c", name, "-c", mail, "commit", "-q", "-m", &format!("kernel {number}")]);
        }
        this
    }

    fn path(&self) -> &Path {
        self.place.path()
    }

    fn git(&self, arguments: &[&str]) -> Ended {
        let ended = self.tried(arguments);
        assert_eq!(ended.code, Some(0), "git {arguments:?}: {ended}");
        ended
    }

    fn tried(&self, arguments: &[&str]) -> Ended {
        let mut git = Command::new("git");
        git.args(arguments).current_dir(self.path()).stdin(Stdio::null());
        run(git.env_remove("GIT_DIR").env_remove("GIT_WORK_TREE").env_remove("GIT_INDEX_FILE"))
    }

    /// `git bisect run` of sockmig on the kernel that each commit names.
    fn bisect(&self, arguments: &str) -> Ended {
        let sockmig = env!("CARGO_BIN_EXE_sockmig");
        let script = format!("'{sockmig}' matrix --accel tcg --kernel $(cat kernel) {arguments}");
        self.tried(&["bisect", "run", "sh", "-c", &script])
    }
}

/// The fix is in the last commit but one; those in the middle cannot be tested, since they
/// have no kernel.
fn git_finds_the_commit_that_fixes(kernels: &Kernels) {
    let [bad, good] = kernels.edge().expect("it is needed");
    let repository = Repository::of(&[bad, bad, bad, "./number", "./number", bad, good, good]);
    repository.git(&["bisect", "start", "--term-old=broken", "--term-new=fixed"]);
    repository.git(&["bisect", "fixed", "HEAD"]);
    repository.git(&["bisect", "broken", "HEAD~7"]);
    let found = repository.bisect("--bisect=fix wake-up/epoll/v4");
    assert_eq!(found.code, Some(0), "{found}");
    let output = format!("{}{}", found.stdout, found.stderr);
    assert!(output.contains("is the first fixed commit"), "{found}");
    assert!(output.contains("    kernel 6"), "{found}");
    for part in [
        "bisect: fixed (exit code 1): everything is as it must be",
        "bisect: skip (exit code 125): cannot be tested: cannot boot: ./number",
        "bisect: not fixed (exit code 0): wake-up/epoll/v4 has a known bug",
    ] {
        assert!(output.contains(part), "{part}: {found}");
    }
}

fn a_wrong_command_line_ends_it(kernels: &Kernels) {
    let repository = Repository::of(&[kernels.newest(); 4]);
    for (arguments, why) in [
        ("--bisect --no-such-option", "--no-such-option"),
        ("--bisect no-such-case", "no case has an id"),
        ("--bisect --kernel ./number --kernel ./kernel", ""),
    ] {
        repository.git(&["bisect", "start", "HEAD", "HEAD~3"]);
        let ended = repository.bisect(arguments);
        assert_ne!(ended.code, Some(0), "{ended}");
        let output = format!("{}{}", ended.stdout, ended.stderr);
        assert!(output.contains(why) && !output.contains("first bad commit"), "{ended}");
        repository.git(&["bisect", "reset"]);
    }
}
