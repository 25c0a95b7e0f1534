//! Where packages and prepared kernels are kept between runs, safely for several
//! processes at once.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use harness::Resource;
use harness::in_words;

/// What is going on, for those who wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress<'a> {
    /// Another sockmig is at the same work.
    Waiting {
        /// A kernel, or a suite of the archive.
        what: &'a str,
    },
    /// apt reads the package lists of a suite again.
    Refreshing {
        /// The suite's name.
        suite: &'a str,
    },
    /// A package comes in. Reported again and again while it does.
    Fetching {
        /// The package's name.
        package: &'a str,
        /// Bytes that are there.
        bytes: u64,
        /// Bytes that there will be.
        total: u64,
    },
    /// A kernel is taken out of its packages.
    Unpacking {
        /// The kernel's name.
        kernel: &'a str,
    },
}

/// Takes each [`Progress`].
pub type Watch<'a> = &'a mut dyn FnMut(Progress<'_>);

/// The cache cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The user has no home directory.
    #[error("no directory for a cache: set HOME, XDG_CACHE_HOME, or SOCKMIG_CACHE")]
    NoHome,
    /// There is no space left.
    #[error(
        "no space left in {}: make room there, or set SOCKMIG_CACHE to a directory elsewhere",
        .path.display()
    )]
    Full {
        /// What could not be written.
        path: PathBuf,
    },
    /// The directory is somebody else's.
    #[error(
        "{} is no cache of sockmig, since {} is in it; set SOCKMIG_CACHE to a directory of its own",
        .path.display(), .holds.display()
    )]
    NoCache {
        /// The directory.
        path: PathBuf,
        /// The name of something in it that no cache holds.
        holds: PathBuf,
    },
    /// This process may have no more descriptors or memory.
    #[error("{call}: {}", in_words(.why))]
    Exhausted {
        /// The call with its arguments.
        call: String,
        /// The answer.
        why: io::Error,
    },
    /// A file operation was refused.
    #[error("{call}: {}; SOCKMIG_CACHE can name a directory elsewhere", in_words(.why))]
    Refused {
        /// The call with its arguments.
        call: String,
        /// The answer.
        why: io::Error,
    },
}

/// Names the failing file operation.
pub trait At<T> {
    /// Turns a failure of `call` on `path` into a [`CacheError`].
    fn at(self, call: &str, path: &Path) -> Result<T, CacheError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, call: &str, path: &Path) -> Result<T, CacheError> {
        self.map_err(|source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                CacheError::Full { path: path.parent().unwrap_or(path).into() }
            }
            _ => {
                let call = format!("{call} {}", path.display());
                match Resource::lacking(&source) {
                    Some(_) => CacheError::Exhausted { call, why: source },
                    None => CacheError::Refused { call, why: source },
                }
            }
        })
    }
}

/// The file that marks a cache. Programs that make backups leave such a directory out
/// (<https://bford.info/cachedir/>).
const MARK: &str = "CACHEDIR.TAG";
const MARKED: &str = "Signature: 8a477f597d28d172789f06886806bc55\n\
                      # sockmig keeps kernels here. `sockmig kernels prune` removes them.\n";

/// What else is at the top of a cache, and how the names of files there begin.
const PARTS: [&str; 4] = [PACKAGES, READY, LOCKS, APT];
const PACKAGES: &str = "packages";
const READY: &str = "ready";
const LOCKS: &str = "locks";
const APT: &str = "apt";
pub(crate) const KVM: &str = "kvm-";

/// A directory of packages and prepared kernels.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// The user's: `$SOCKMIG_CACHE`, `$XDG_CACHE_HOME/sockmig`, or `~/.cache/sockmig`.
    ///
    /// Nothing is made there before the first [lock](Self::lock).
    ///
    /// # Errors
    /// None of the three is set, or the directory is no cache.
    pub fn open() -> Result<Self, CacheError> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let root = set("SOCKMIG_CACHE")
            .map(PathBuf::from)
            .or_else(|| set("XDG_CACHE_HOME").map(|home| Path::new(&home).join("sockmig")))
            .or_else(|| set("HOME").map(|home| Path::new(&home).join(".cache/sockmig")));
        Self::at(&root.ok_or(CacheError::NoHome)?)
    }

    /// In a directory, which need not be there.
    ///
    /// # Errors
    /// It cannot be read, or holds what no cache does.
    pub fn at(root: &Path) -> Result<Self, CacheError> {
        let root = std::path::absolute(root).at("find", root)?;
        let cache = Self { root };
        match cache.stranger()? {
            None => Ok(cache),
            Some(holds) => Err(CacheError::NoCache { path: cache.root, holds }),
        }
    }

    /// Something in an unmarked directory that no cache holds. Older ones have no mark.
    fn stranger(&self) -> Result<Option<PathBuf>, CacheError> {
        let entries = match fs::read_dir(&self.root) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            entries => entries.at("read", &self.root)?,
        };
        if self.is_marked() {
            return Ok(None);
        }
        for entry in entries {
            let name = entry.at("read", &self.root)?.file_name();
            let known = name
                .to_str()
                .is_some_and(|name| PARTS.contains(&name) || name == MARK || name.starts_with(KVM));
            if !known {
                return Ok(Some(name.into()));
            }
        }
        Ok(None)
    }

    fn is_marked(&self) -> bool {
        fs::read_to_string(self.root.join(MARK)).is_ok_and(|text| text == MARKED)
    }

    /// Whether there is nothing at all.
    pub fn is_absent(&self) -> bool {
        !self.root.exists()
    }

    /// Makes the directory and what is always in it.
    ///
    /// # Errors
    /// It cannot be made.
    pub(crate) fn make(&self) -> Result<(), CacheError> {
        for dir in [self.packages(), self.ready(), self.locks()] {
            make_dir(&dir)?;
        }
        if self.is_marked() {
            return Ok(());
        }
        let mark = self.root.join(MARK);
        fs::write(&mark, MARKED).at("write", &mark)
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where packages are.
    pub fn packages(&self) -> PathBuf {
        self.root.join(PACKAGES)
    }

    /// Where prepared kernels are, a directory each.
    pub fn ready(&self) -> PathBuf {
        self.root.join(READY)
    }

    /// Where apt's state is, a directory for each suite.
    pub(crate) fn apt_suites(&self) -> PathBuf {
        self.root.join(APT)
    }

    /// What apt needs to remember about a suite.
    pub fn apt(&self, suite: &str) -> PathBuf {
        self.apt_suites().join(suite)
    }

    /// The file that says what was found out about KVM in this boot of the machine.
    pub(crate) fn of_this_boot(&self, boot: &str) -> PathBuf {
        self.root.join(format!("{KVM}{boot}"))
    }

    /// The files that are locked.
    pub(crate) fn locks(&self) -> PathBuf {
        self.root.join(LOCKS)
    }

    /// Waits until no other process works on `what`, and keeps others waiting.
    ///
    /// # Errors
    /// The cache or the lock's file cannot be made.
    pub fn lock(&self, what: &str, watch: Watch<'_>) -> Result<Lock, CacheError> {
        if let Some(lock) = self.try_lock(what)? {
            return Ok(lock);
        }
        watch(Progress::Waiting { what });
        let path = self.lock_path(what);
        loop {
            let file = open(&path)?;
            file.lock().at("lock", &path)?;
            if let Some(lock) = Lock::of(file, &path)? {
                return Ok(lock);
            }
        }
    }

    /// As [`Self::lock`], or nothing when another process has it.
    ///
    /// # Errors
    /// The cache or the lock's file cannot be made.
    pub fn try_lock(&self, what: &str) -> Result<Option<Lock>, CacheError> {
        self.make()?;
        let path = self.lock_path(what);
        let file = open(&path)?;
        match file.try_lock() {
            Ok(()) => Lock::of(file, &path),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(e)) => Err(e).at("lock", &path),
        }
    }

    fn lock_path(&self, what: &str) -> PathBuf {
        self.locks().join(what)
    }
}

/// Others wait while this lives, even if they are other processes.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Nothing if the file was removed between opening and locking it.
    fn of(file: File, path: &Path) -> Result<Option<Self>, CacheError> {
        let mine = file.metadata().at("stat", path)?;
        let same = fs::metadata(path)
            .is_ok_and(|there| (there.dev(), there.ino()) == (mine.dev(), mine.ino()));
        Ok(same.then(|| Self { file, path: path.into() }))
    }

    /// For a child that goes on when this process is killed: others wait for it as well.
    pub(crate) fn share(&self) -> Result<File, CacheError> {
        self.file.try_clone().at("dup", &self.path)
    }

    /// Takes the lock's file away as well; for what will not be needed again.
    pub(crate) fn discard(self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn open(path: &Path) -> Result<File, CacheError> {
    File::options().create(true).truncate(false).write(true).read(true).open(path).at("open", path)
}

/// Makes a directory and those above it.
pub(crate) fn make_dir(path: &Path) -> Result<(), CacheError> {
    fs::create_dir_all(path).at("mkdir", path)
}

/// Takes away a file or a directory with all that is in it, if it is there.
pub(crate) fn remove(path: &Path) -> Result<(), CacheError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(there) if there.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(e) => Err(e),
    };
    match removed {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.at("remove", path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_waits_and_says_so() {
        let dir = tempfile::tempdir().expect("a directory");
        let cache = Cache::at(dir.path()).expect("a cache");
        let first = cache.lock("6.1.174-1", &mut |_| panic!("nobody else is here"));
        let first = first.expect("a lock");
        let other = Cache::at(dir.path()).expect("a cache");
        std::thread::scope(|scope| {
            let second = scope.spawn(|| {
                let mut seen = Vec::new();
                let lock =
                    other.lock("6.1.174-1", &mut |progress| seen.push(format!("{progress:?}")));
                lock.expect("a lock, later");
                seen
            });
            while !second.is_finished() && cache.try_lock("6.12.86-1").is_err() {}
            std::thread::sleep(std::time::Duration::from_millis(50));
            assert!(!second.is_finished());
            first.discard();
            let seen = second.join().expect("no panic");
            assert_eq!(seen, [r#"Waiting { what: "6.1.174-1" }"#]);
        });
    }

    #[test]
    fn a_full_disk_is_reported_with_what_to_do() {
        let full: io::Result<()> = Err(io::ErrorKind::StorageFull.into());
        assert_eq!(
            full.at("write", Path::new("/cache/ready/x")).expect_err("full").to_string(),
            "no space left in /cache/ready: make room there, \
             or set SOCKMIG_CACHE to a directory elsewhere"
        );
    }

    #[test]
    fn who_only_looks_makes_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path().join("cache");
        let cache = Cache::at(&root).expect("a cache");
        assert!(cache.is_absent());
        drop(cache.try_lock("6.1.174-1").expect("made").expect("nobody has it"));
        let marked = fs::read_to_string(root.join(MARK)).expect("a mark");
        assert!(marked.starts_with("Signature: 8a477f597d28d172789f06886806bc55\n"), "{marked}");
        fs::write(root.join("notes.txt"), "mine").expect("written");
        Cache::at(&root).expect("it is marked");
    }

    #[test]
    fn a_directory_with_other_files_is_no_cache() {
        let dir = tempfile::tempdir().expect("a directory");
        for old in [PACKAGES, READY, LOCKS, APT, "kvm-1234"] {
            fs::create_dir(dir.path().join(old)).expect("made");
            Cache::at(dir.path()).expect("one that was made before there were marks");
        }
        fs::create_dir(dir.path().join("etc")).expect("made");
        let path = dir.path().display();
        assert_eq!(
            Cache::at(dir.path()).expect_err("somebody else's").to_string(),
            format!(
                "{path} is no cache of sockmig, since etc is in it; \
                 set SOCKMIG_CACHE to a directory of its own"
            )
        );
        // As other programs mark theirs.
        let other = MARKED.replace("sockmig", "cargo");
        fs::write(dir.path().join(MARK), other).expect("written");
        Cache::at(dir.path()).expect_err("still somebody else's");
    }
}
