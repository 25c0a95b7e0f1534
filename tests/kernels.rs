//! `sockmig kernels` as a user meets it where there is no network.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

fn sockmig(arguments: &[&str], cache: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sockmig"));
    command.arg("kernels").args(arguments).env("SOCKMIG_CACHE", cache);
    command
}

/// Exit code, stdout and stderr, with the cache's path made the same everywhere.
fn run(mut command: Command, cache: &Path) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("sockmig runs");
    let text = |bytes: Vec<u8>| {
        let text = String::from_utf8(bytes).expect("text");
        text.replace(&cache.display().to_string(), "/cache")
    };
    (status.code(), text(stdout), text(stderr))
}

fn cache() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

#[test]
fn the_list_tells_names_and_what_is_there() {
    let cache = cache();
    let (code, out, err) = run(sockmig(&["list"], cache.path()), cache.path());
    assert_eq!((code, &*err), (Some(0), ""));
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines[0], "NAME        LINE  SUITE              PACKAGES  CACHED");
    assert_eq!(lines[2], "6.1.174-1   6.1   bookworm-security  26.44 MB  nothing");
    assert!(
        lines.contains(&"7.0.13-1    7.0   trixie-backports   13.15 MB  nothing  no modules"),
        "{out}"
    );
    assert_eq!(lines.last(), Some(&"0 B in /cache"));
}

#[test]
fn an_unknown_name_is_a_usage_error() {
    let cache = cache();
    let (code, out, err) = run(sockmig(&["fetch", "6.13"], cache.path()), cache.path());
    assert_eq!((code, &*out), (Some(2), ""));
    assert!(err.starts_with("sockmig: no kernel `6.13`: neither a file nor one of 5.10."), "{err}");
}

#[test]
fn without_apt_there_is_another_way() {
    let cache = cache();
    let mut command = sockmig(&["fetch", "6.1.174"], cache.path());
    command.env("PATH", cache.path());
    assert_eq!(
        run(command, cache.path()),
        (
            Some(69),
            "6.1.174-1   there is no apt here to fetch it with; \
             give the kernel's file with --kernel PATH\n"
                .into(),
            "0 of 1 kernels are ready, in /cache\n".into()
        )
    );
}

/// Has apt find its sources in a directory of ours.
fn with_sources(command: &mut Command, dir: &Path, sources: &str) {
    fs::create_dir_all(dir.join("parts")).expect("a directory");
    fs::write(dir.join("parts/a.list"), sources).expect("written");
    let config = dir.join("apt.conf");
    let place = dir.display();
    let text = format!(
        "Dir::Etc::SourceList \"{place}/none\";\nDir::Etc::SourceParts \"{place}/parts\";\n\
         Acquire::Retries \"0\";\nAcquire::http::Proxy \"DIRECT\";\n"
    );
    fs::write(&config, text).expect("written");
    command.env("APT_CONFIG", config);
}

fn has_apt() -> bool {
    Path::new("/usr/lib/apt/apt-helper").exists()
}

#[test]
fn a_mirror_that_refuses_is_told_and_a_bad_package_thrown_away() {
    if !has_apt() {
        return;
    }
    let cache = cache();
    let packages = cache.path().join("packages");
    fs::create_dir_all(&packages).expect("a directory");
    let bad = packages.join("linux-image-6.1.0-49-cloud-amd64_6.1.174-1_amd64.deb");
    fs::write(&bad, b"not this").expect("written");
    let mut command = sockmig(&["fetch", "6.1.174", "6.12.86"], cache.path());
    let etc = tempfile::tempdir().expect("a directory");
    // Nothing listens on the discard port.
    with_sources(&mut command, etc.path(), "deb http://127.0.0.1:9/debian bookworm main\n");
    let (code, out, err) = run(command, cache.path());
    assert_eq!(code, Some(69), "{out}{err}");
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines.len(), 2, "goes on after the first: {out}");
    assert!(
        lines[0].starts_with(
            "6.1.174-1   cannot fetch the package lists of bookworm-security, \
             the mirror failed or this machine is offline: "
        ),
        "{out}"
    );
    assert!(lines[1].starts_with("6.12.86-1   cannot fetch"), "{out}");
    assert!(!bad.exists());
    assert!(err.contains("apt reads the package lists of bookworm-security\n"), "{err}");
    assert!(err.ends_with("0 of 2 kernels are ready, in /cache\n"), "{err}");
}

#[test]
fn third_parties_are_not_asked() {
    if !has_apt() {
        return;
    }
    let cache = cache();
    let mut command = sockmig(&["fetch", "6.1.174"], cache.path());
    let etc = tempfile::tempdir().expect("a directory");
    with_sources(&mut command, etc.path(), "deb http://127.0.0.1:9/ubuntu noble main\n");
    let (code, out, _) = run(command, cache.path());
    assert_eq!(code, Some(69));
    assert_eq!(
        out,
        "6.1.174-1   apt has no Debian archive among its sources; \
         add one, or give the kernel's file with --kernel PATH\n"
    );
}

#[test]
fn prune_tells_what_it_freed() {
    let cache = cache();
    fs::create_dir_all(cache.path().join("packages")).expect("a directory");
    fs::write(cache.path().join("packages/linux-image-old_1_amd64.deb"), [0; 2000])
        .expect("written");
    let (code, out, _) = run(sockmig(&["prune"], cache.path()), cache.path());
    assert_eq!((code, &*out), (Some(0), "removed 1, 2.00 kB freed\n"));
    let (code, out, _) = run(sockmig(&["prune", "--all"], cache.path()), cache.path());
    assert_eq!((code, &*out), (Some(0), "removed 0, 0 B freed\n"));
}

#[test]
fn a_cache_that_cannot_be_is_told() {
    let mut command = sockmig(&["list"], Path::new("/dev/null/cache"));
    let Output { status, stderr, .. } = command.output().expect("sockmig runs");
    assert_eq!(status.code(), Some(69));
    assert_eq!(
        String::from_utf8_lossy(&stderr),
        "sockmig: read /dev/null/cache: Not a directory; \
         SOCKMIG_CACHE can name a directory elsewhere\n"
    );
}

#[test]
fn commands_that_only_look_make_nothing() {
    let place = cache();
    let root = place.path().join("cache");
    for arguments in [&["list"][..], &["prune"], &["prune", "--all"]] {
        let (code, out, err) = run(sockmig(arguments, &root), &root);
        assert_eq!((code, &*err), (Some(0), ""), "{out}");
        assert!(!root.exists(), "{arguments:?}");
    }
    let mut doctor = Command::new(env!("CARGO_BIN_EXE_sockmig"));
    doctor.arg("doctor").env("SOCKMIG_CACHE", &root);
    let (_, out, _) = run(doctor, &root);
    assert!(out.contains("0 of"), "{out}");
    assert!(!root.exists(), "{out}");
}

/// As where SOCKMIG_CACHE is `/`, or a directory of other things.
#[test]
fn a_directory_of_other_things_is_no_cache() {
    let place = cache();
    let notes = place.path().join("packages/notes.txt");
    fs::create_dir(place.path().join("packages")).expect("a directory");
    fs::create_dir(place.path().join("etc")).expect("a directory");
    fs::write(&notes, "mine").expect("written");
    for arguments in [&["list"][..], &["prune"], &["prune", "--all"], &["fetch", "6.1.174"]] {
        let (code, out, err) = run(sockmig(arguments, place.path()), place.path());
        assert_eq!((code, &*out), (Some(69), ""), "{err}");
        let words = "sockmig: /cache is no cache of sockmig, since etc is in it; ";
        assert!(err.starts_with(words), "{err}");
    }
    assert_eq!(fs::read_dir(place.path()).expect("a directory").count(), 2);
    assert!(notes.exists());
}

#[test]
fn prune_leaves_what_sockmig_did_not_put_there() {
    let cache = cache();
    let put = |name: &str| {
        let path = cache.path().join(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        fs::write(&path, "bytes").expect("written");
        path
    };
    let theirs = [
        "packages/notes.txt",
        "packages/linux-image.deb",
        "packages/linux-image-of-mine/linux-image-1_1_amd64.deb",
        "ready/notes.txt",
        "ready/my-kernel/vmlinux",
        "ready/path-0123456789xy/vmlinux",
        "apt/preferences",
        "apt/mine/notes.txt",
        "locks/notes.txt",
    ];
    let theirs = theirs.map(put);
    let ours = [
        "packages/linux-image-old_1_amd64.deb",
        "packages/linux-image-old_2_amd64.deb.part",
        "ready/5.10.1-1-0123456789ab/vmlinux",
        "ready/.path-0123456789ab.part/unpacked/vmlinuz",
        "apt/trixie/lists/lock",
        "kvm-of-another-boot",
    ];
    let ours = ours.map(put);
    let (code, out, err) = run(sockmig(&["prune", "--all"], cache.path()), cache.path());
    assert_eq!((code, &*err), (Some(0), ""), "{out}");
    let left = |paths: &[std::path::PathBuf]| -> Vec<std::path::PathBuf> {
        paths.iter().filter(|path| path.exists()).cloned().collect()
    };
    assert_eq!(left(&theirs), theirs, "{out}");
    assert_eq!(left(&ours), Vec::<std::path::PathBuf>::new(), "{out}");
    assert_eq!(out, "removed 6, 30 B freed\n");
}
