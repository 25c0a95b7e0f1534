//! Files of results, which may not be writable. What could not be written is reported at
//! the end and spoils no verdict.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};
use harness::Errno;

/// How the name of a file begins, and ends, while it is written.
const UNFINISHED: (&str, &str) = (".sockmig-", ".partial");

/// Writes a file that appears under its name only when it is whole. Until then it has a name
/// that nobody can know, so that others who may write in the directory cannot have it written
/// elsewhere.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || -> io::Result<()> {
        // A device or a pipe is no file to replace.
        if !is_made_anew(path) {
            return File::create(path)?.write_all(bytes);
        }
        let file = unfinished(path)?;
        file.as_file().write_all(bytes)?;
        file.persist(path).map(drop).map_err(|not_renamed| not_renamed.error)
    };
    write().with_context(|| cannot_write(path))
}

/// Whether writing it again replaces what was written before. What a device or a pipe has got, it
/// keeps.
pub fn is_made_anew(path: &Path) -> bool {
    fs::metadata(path).map_or(true, |there| there.is_file())
}

/// A file that may get the name `path` when it is whole, and is removed if it does not.
fn unfinished(path: &Path) -> io::Result<tempfile::NamedTempFile> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let mut unfinished = tempfile::Builder::new();
    unfinished.prefix(UNFINISHED.0).suffix(UNFINISHED.1);
    unfinished.make_in(directory.unwrap_or(Path::new(".")), |name| {
        File::options().write(true).create_new(true).open(name)
    })
}

/// Whether a file could be written there: its directory exists, and lets one be made. Nothing
/// is left of the try.
///
/// # Errors
/// The reason why not.
pub fn check(path: &Path) -> Result<()> {
    let tried = match fs::metadata(path) {
        Ok(there) if there.is_dir() => Err(Errno::EISDIR.into()),
        // Who reads from a pipe would take the try for all there is.
        Ok(there) if !there.is_file() => Ok(()),
        _ => unfinished(path).map(drop),
    };
    tried.with_context(|| cannot_write(path))
}

/// What is wrong with the files that results are to be written to, as the options name them: two
/// results in one file, or a result over one of `inputs`.
pub fn clash(outputs: &[(&str, Option<&Path>)], inputs: &[&Path]) -> Option<String> {
    // What is no file can be written to again.
    let real = |path: &Path| match fs::metadata(path) {
        Ok(there) => there.is_file().then(|| path.canonicalize().ok())?,
        Err(_) => {
            let place = std::path::absolute(path).ok()?;
            let directory = place.parent()?.canonicalize().ok();
            Some(directory.zip(place.file_name()).map_or(place.clone(), |(at, name)| at.join(name)))
        }
    };
    let mut known: Vec<(&str, PathBuf)> = vec![];
    for (option, path) in outputs {
        let Some(path) = path else { continue };
        let name = path.display();
        let Some(place) = real(path) else { continue };
        if inputs.iter().any(|input| real(input).is_some_and(|input| input == place)) {
            return Some(format!("{name} would be written over: choose another file for {option}"));
        }
        if let Some((other, _)) = known.iter().find(|(_, other)| *other == place) {
            return Some(format!("{name} is the file of {other} and of {option}"));
        }
        known.push((option, place));
    }
    None
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write {}", path.display())
}

/// The file with what a machine's console has printed.
const CONSOLE: &str = "console.log";

/// Where captures, and `run.json`, are kept.
pub struct OutDirectory {
    path: PathBuf,
    console: OnceLock<File>,
}

impl OutDirectory {
    /// Makes the directory if only it is missing, and its parents are there.
    pub fn open(path: &Path) -> Result<Self> {
        if !path.is_dir() {
            let is_other = fs::symlink_metadata(path).is_ok();
            ensure!(!is_other, "{} is no directory: name one, or a new one", path.display());
            fs::create_dir(path)
                .with_context(|| format!("cannot make the directory {}", path.display()))?;
        }
        Ok(Self::at(path.to_owned()))
    }

    fn at(path: PathBuf) -> Self {
        Self { path, console: OnceLock::new() }
    }

    /// Makes a directory among the machine's temporary ones, which stays when sockmig has
    /// ended. Nobody can know its name before it is there, and only its owner reads it:
    /// captures are written by root, and other users can write where it is made.
    pub fn temporary() -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("sockmig-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir()
            .context("cannot make a temporary directory")?;
        Ok(Self::at(directory.keep()))
    }

    /// The one that is named, or else a temporary one, which is named from then on: nothing is made
    /// before there is something to keep.
    pub fn or_temporary(named: &mut Option<Self>) -> Result<&Self> {
        let directory = match named.take() {
            Some(directory) => directory,
            None => Self::temporary()?,
        };
        Ok(named.insert(directory))
    }

    /// A directory in it, without what an earlier run has left there: its captures must
    /// not pass for this one's. Where others may write, one of them could have made a link in
    /// its place, which is not followed.
    pub fn subdirectory(&self, name: &str) -> Result<Self> {
        let path = self.path.join(name);
        let is_link = fs::symlink_metadata(&path).is_ok_and(|there| there.is_symlink());
        ensure!(!is_link, "{} is a symbolic link: remove it", path.display());
        let directory = Self::open(&path)?;
        let left = fs::read_dir(&directory.path).into_iter().flatten().flatten();
        for path in left.map(|entry| entry.path()) {
            let ours = path.extension().is_some_and(|extension| extension == "pcapng")
                || path.file_name().is_some_and(|name| name == CONSOLE);
            if ours {
                fs::remove_file(&path).with_context(|| cannot_write(&path))?;
            }
        }
        Ok(directory)
    }

    /// Keeps what a console has printed, after what it printed before.
    pub fn keep_console(&self, printed: &[u8]) -> Result<()> {
        let path = self.file(CONSOLE);
        let write = || -> io::Result<()> {
            let mut file = match self.console.get() {
                Some(file) => file,
                // It was removed when the directory was opened.
                None => {
                    let file = File::options().append(true).create_new(true).open(&path)?;
                    self.console.get_or_init(|| file)
                }
            };
            file.write_all(printed)
        };
        write().with_context(|| cannot_write(&path))
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Keeps a capture, and says where.
    pub fn keep_capture(&self, title: &str, pcapng: &[u8]) -> Result<PathBuf> {
        let name = title.replace(['/', ' '], "-");
        let path = self.file(&format!("{name}.pcapng"));
        write_whole(&path, pcapng)?;
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What another user can do in /tmp: name a directory after a process, and point it
    /// elsewhere.
    #[test]
    fn a_temporary_directory_has_a_name_that_nobody_knows_and_is_its_owners_alone() {
        let elsewhere = tempfile::tempdir().expect("a directory");
        let guessed = std::env::temp_dir().join(format!("sockmig-{}", std::process::id()));
        std::os::unix::fs::symlink(elsewhere.path(), &guessed).expect("a planted link");
        let made = [OutDirectory::temporary(), OutDirectory::temporary()];
        let [one, other] = made.map(|made| made.expect("a directory"));
        let kept = one.keep_capture("quiz1/v4/off", b"pcapng").expect("written");
        fs::remove_file(&guessed).expect("it is still a link");
        assert_ne!(one.path, other.path);
        assert_eq!(kept, one.path.join("quiz1-v4-off.pcapng"));
        assert_eq!(fs::read_dir(elsewhere.path()).expect("a directory").count(), 0);
        for directory in [one, other] {
            let status = fs::symlink_metadata(&directory.path).expect("it stays");
            assert!(status.is_dir());
            assert_eq!(status.permissions().mode() & 0o777, 0o700);
            fs::remove_dir_all(&directory.path).expect("removed");
        }
    }

    /// What another user can do where everybody may write: leave links under the names that
    /// results will have.
    #[test]
    fn no_link_is_followed_to_what_others_want_written() {
        let shared = tempfile::tempdir().expect("a directory");
        let theirs = tempfile::tempdir().expect("a directory");
        let victim = theirs.path().join("victim");
        fs::write(&victim, "precious").expect("written");
        let link = |name: &str, to: &Path| {
            std::os::unix::fs::symlink(to, shared.path().join(name)).expect("a link");
        };
        for name in ["run.json.partial", "run.json", "quiz1-v4-off.pcapng"] {
            link(name, &victim);
        }
        link("6.1.174-1", theirs.path());
        let out = OutDirectory::open(shared.path()).expect("it is there");
        write_whole(&out.file("run.json"), b"results").expect("written");
        out.keep_capture("quiz1/v4/off", b"pcapng").expect("written");
        let refused = out.subdirectory("6.1.174-1").err().expect("it leads elsewhere");
        assert!(refused.to_string().ends_with("is a symbolic link: remove it"), "{refused}");

        let own = out.subdirectory("6.12.86-1").expect("a directory");
        link("6.12.86-1/console.log", &victim);
        own.keep_console(b"printed").expect_err("somebody was faster");
        assert_eq!(fs::read(&victim).expect("read"), b"precious");
        assert_eq!(fs::read(out.file("run.json")).expect("read"), b"results");
        assert_eq!(fs::read_dir(theirs.path()).expect("a directory").count(), 1);
    }

    #[test]
    fn what_a_console_prints_later_comes_after_what_it_printed_before() {
        let place = tempfile::tempdir().expect("a directory");
        let out = OutDirectory::open(place.path()).expect("it is there");
        for _ in 0..2 {
            let of_one_run = out.subdirectory("6.1").expect("a directory");
            of_one_run.keep_console(b"first, ").expect("written");
            of_one_run.keep_console(b"second").expect("written");
            let kept = fs::read_to_string(of_one_run.file(CONSOLE)).expect("read");
            assert_eq!(kept, "first, second");
        }
    }

    #[test]
    fn a_result_has_the_permissions_of_any_new_file_and_nothing_else_is_left() {
        let place = tempfile::tempdir().expect("a directory");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode();
        fs::write(place.path().join("any"), "").expect("written");
        let result = place.path().join("run.json");
        write_whole(&result, b"{}").expect("written");
        assert_eq!(mode(&result), mode(&place.path().join("any")));
        write_whole(&place.path().join("no/run.json"), b"").expect_err("no such directory");
        write_whole(place.path(), b"").expect_err("a directory");
        assert_eq!(fs::read_dir(place.path()).expect("a directory").count(), 2);
    }

    #[test]
    fn no_result_is_written_over_another_or_over_what_is_read() {
        let place = tempfile::tempdir().expect("a directory");
        let at = |name: &str| place.path().join(name);
        let (input, link, new) = (at("input"), at("link"), at("new"));
        fs::write(&input, "{}").expect("written");
        std::os::unix::fs::symlink(&input, &link).expect("a link");
        let of = |out: &Path, junit: &Path| {
            clash(&[("--out", Some(out)), ("--junit", Some(junit)), ("-x", None)], &[&input])
        };
        assert_eq!(of(&new, &at("other")), None);
        let null = Path::new("/dev/null");
        assert_eq!(of(null, null), None);
        for over in [&input, &link] {
            let said = of(&new, over).expect("it is read");
            assert!(said.ends_with("would be written over: choose another file for --junit"));
        }
        let said = of(&new, &at("./new")).expect("it is the same");
        assert!(said.ends_with("is the file of --out and of --junit"), "{said}");
    }
}
