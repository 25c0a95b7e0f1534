//! Where programs are.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Where a program is, by the PATH and where servers usually are. A name with a slash is a
/// path, from the directory `here` on.
pub fn find(name: &str, here: &str) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(Path::new(here).join(name)).filter(|path| is_program(path));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    let places = std::env::split_paths(&path).chain(usual);
    places.map(|place| place.join(name)).find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
}

/// The python that has a program, by the first line of the script that starts it; else the
/// PATH's.
pub fn python_of(script: &Path) -> PathBuf {
    let text = fs::read(script).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let named = text.lines().next().and_then(|line| line.strip_prefix("#!")).map(str::trim);
    let is_python = |path: &&str| {
        Path::new(path).file_name().is_some_and(|name| name.to_string_lossy().starts_with("python"))
    };
    let python = || find("python3", "").unwrap_or_else(|| "python3".into());
    named.filter(is_python).map_or_else(python, PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("#!/opt/venv/bin/python3.13\nimport re\n", Some("/opt/venv/bin/python3.13"))]
    #[case("#!/usr/bin/python3 \n", Some("/usr/bin/python3"))]
    #[case("#!/usr/bin/env bash\n", None)]
    #[case("", None)]
    fn the_python_is_the_script_s_or_that_of_the_path(
        #[case] script: &str,
        #[case] named: Option<&str>,
    ) {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("uvicorn");
        fs::write(&path, script).expect("a script");
        let found = python_of(&path);
        match named {
            Some(named) => assert_eq!(found, Path::new(named)),
            None => assert!(found.ends_with("python3"), "{found:?}"),
        }
    }

    #[test]
    fn a_path_is_a_program_only_if_it_can_be_run() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("server");
        fs::write(&path, "#!/bin/sh\n").expect("a script");
        let name = path.display().to_string();
        assert_eq!(find(&name, "/"), None);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("chmod");
        assert_eq!(find(&name, "/"), Some(path.clone()));
        let here = place.path().display().to_string();
        assert_eq!(find("./server", &here).map(|found| found.exists()), Some(true));
        assert_eq!(find("./server", "/"), None);
    }
}
