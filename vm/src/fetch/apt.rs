//! apt, with its state in our cache and its sources derived from the machine's own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use harness::process::thread::spawn_scoped;

use crate::fetch::apt_output::{Problem, message, problem};
use crate::fetch::cache::{At, Cache, CacheError, Lock, Progress, Watch, make_dir};
use crate::fetch::cannot_fetch::CannotFetch;
use crate::fetch::kernels::{Package, PackageIndex};
use crate::fetch::sources::{self, Source};

/// How often the size of a download is reported.
const INTERVAL: Duration = Duration::from_millis(100);

/// apt for one suite and architecture. Others wait while it lives.
#[derive(Debug)]
pub struct Apt {
    suite: String,
    config: PathBuf,
    /// `apt-helper`, which goes on with a download that was cut off; `apt-get` does not.
    helper: PathBuf,
    refreshed: bool,
    lock: Lock,
}

impl Apt {
    /// Sets apt up for a Debian suite and an architecture.
    ///
    /// # Errors
    /// There is no apt, or none that knows a Debian archive.
    pub fn for_index(
        index: PackageIndex<'_>,
        cache: &Cache,
        watch: Watch<'_>,
    ) -> Result<Self, CannotFetch> {
        let machine = Machine::ask()?;
        let source = sources::for_suite(index.suite, &machine.sources()?);
        let source = source.ok_or(CannotFetch::NoArchive)?;
        let name = index.name();
        let lock = cache.lock(&format!("apt-{name}"), watch)?;
        let config = configure(&cache.apt(&name), index, &source)?;
        let suite = index.suite.into();
        Ok(Self { suite, config, helper: machine.helper, refreshed: false, lock })
    }

    /// Fetches a package to `to`, or what is missing of it there. What comes is not held
    /// against its hash.
    ///
    /// # Errors
    /// The mirror does not have it, or fails.
    pub fn download(
        &mut self,
        package: &Package,
        to: &Path,
        watch: Watch<'_>,
    ) -> Result<(), CannotFetch> {
        loop {
            let Some(uri) = self.locate(package)? else {
                if self.refreshed {
                    return Err(self.gone(package));
                }
                self.refresh(watch)?;
                continue;
            };
            let output = self.fetch(package, &uri, to, watch)?;
            if output.status.success() {
                return Ok(());
            }
            match problem(&output) {
                Some(Problem::DiskFull) => {
                    let _ = fs::remove_file(to);
                    return Err(CacheError::Full { path: to.into() }.into());
                }
                // The lists may be older than the mirror's last clean-up.
                Some(Problem::NotOnMirror) if !self.refreshed => self.refresh(watch)?,
                Some(Problem::NotOnMirror) => return Err(self.gone(package)),
                Some(Problem::NotSigned | Problem::Other) | None => {
                    let (what, message) = (package.name.clone(), message(&output));
                    return Err(CannotFetch::Mirror { what, message });
                }
            }
        }
    }

    fn gone(&self, package: &Package) -> CannotFetch {
        CannotFetch::Gone {
            package: package.name.clone(),
            version: package.version.clone(),
            suite: self.suite.clone(),
        }
    }

    /// Where the lists say that a package is.
    fn locate(&self, package: &Package) -> Result<Option<String>, CannotFetch> {
        let mut command = self.command("apt-get".as_ref())?;
        command.args(["download", "--print-uris"]);
        command.arg(format!("{}={}", package.name, package.version));
        let output = run(&mut command)?;
        let text = String::from_utf8_lossy(&output.stdout);
        let uri = text.lines().find_map(|line| line.strip_prefix('\'')?.split('\'').next());
        Ok(uri.filter(|_| output.status.success()).map(str::to_owned))
    }

    /// Reads the suite's lists again; apt checks their signature.
    fn refresh(&mut self, watch: Watch<'_>) -> Result<(), CannotFetch> {
        watch(Progress::Refreshing { suite: &self.suite });
        let mut command = self.command("apt-get".as_ref())?;
        command.arg("update");
        let output = run(&mut command)?;
        match problem(&output) {
            None => {
                self.refreshed = true;
                Ok(())
            }
            Some(Problem::DiskFull) => {
                let _ = fs::remove_dir_all(self.config.with_file_name("lists"));
                Err(CacheError::Full { path: self.config.clone() }.into())
            }
            Some(Problem::NotSigned) => {
                let (suite, message) = (self.suite.clone(), message(&output));
                Err(CannotFetch::NotSigned { suite, message })
            }
            Some(Problem::NotOnMirror | Problem::Other) => {
                let what = format!("the package lists of {}", self.suite);
                Err(CannotFetch::Mirror { what, message: message(&output) })
            }
        }
    }

    fn fetch(
        &self,
        package: &Package,
        uri: &str,
        to: &Path,
        watch: Watch<'_>,
    ) -> Result<Output, CannotFetch> {
        let fetch = || {
            let mut command = self.command(&self.helper)?;
            run(command.arg("download-file").arg(uri).arg(to))
        };
        thread::scope(|scope| {
            let Ok(child) = spawn_scoped(scope, fetch) else {
                // There is no room for a thread while this one would look how far it is.
                return fetch();
            };
            loop {
                let finished = child.is_finished();
                let bytes = fs::metadata(to).map_or(0, |file| file.len());
                watch(Progress::Fetching { package: &package.name, bytes, total: package.size });
                if finished {
                    return child.join().expect("running apt does not panic");
                }
                thread::sleep(INTERVAL);
            }
        })
    }

    fn command(&self, program: &Path) -> Result<Command, CannotFetch> {
        let mut command = Command::new(program);
        command.arg("-c").arg(&self.config).arg("-q").env("LC_ALL", "C");
        // Holding the lock as its input, apt keeps others waiting even if we are killed.
        command.stdin(self.lock.share()?);
        Ok(command)
    }
}

/// What the machine's own apt says of itself.
struct Machine {
    list: PathBuf,
    parts: PathBuf,
    helper: PathBuf,
}

impl Machine {
    fn ask() -> Result<Self, CannotFetch> {
        let mut command = Command::new("apt-config");
        command.args(["shell", "LIST", "Dir::Etc::sourcelist/f"]);
        command.args(["PARTS", "Dir::Etc::sourceparts/d", "METHODS", "Dir::Bin::methods/d"]);
        let output = run(&mut command)?;
        let text = String::from_utf8_lossy(&output.stdout);
        let value = |name: &str| {
            let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            PathBuf::from(found.unwrap_or_default().trim_matches('\''))
        };
        let helper = value("METHODS").parent().map(|lib| lib.join("apt-helper"));
        let helper = helper.filter(|helper| helper.exists()).ok_or(CannotFetch::NoApt)?;
        Ok(Self { list: value("LIST"), parts: value("PARTS"), helper })
    }

    /// Everything that its files of sources list.
    fn sources(&self) -> Result<Vec<Source>, CannotFetch> {
        let mut files = vec![self.list.clone()];
        if let Ok(parts) = fs::read_dir(&self.parts) {
            let mut parts: Vec<_> = parts.filter_map(|part| Some(part.ok()?.path())).collect();
            parts.sort();
            files.extend(parts);
        }
        let mut found = Vec::new();
        for file in files {
            let read = match file.extension().and_then(|end| end.to_str()) {
                Some("list") => sources::one_line,
                Some("sources") => sources::deb822,
                _ => continue,
            };
            match fs::read_to_string(&file) {
                Ok(text) => found.extend(read(&text)),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => Err(e).at("read", &file)?,
            }
        }
        Ok(found)
    }
}

/// Writes apt's configuration for a suite and an architecture, and makes the directories that it
/// names.
fn configure(dir: &Path, index: PackageIndex<'_>, source: &Source) -> Result<PathBuf, CacheError> {
    for name in ["lists/partial", "archives/partial"] {
        make_dir(&dir.join(name))?;
    }
    let write = |name: &str, text: &str| {
        let path = dir.join(name);
        fs::write(&path, text).at("write", &path).map(|()| path)
    };
    write("status", "")?;
    write("suite.sources", &source.stanza(index))?;
    let (dir, architecture) = (dir.display(), index.architecture.of_debian());
    write(
        "apt.conf",
        &format!(
            r#"Dir::State "{dir}";
Dir::State::lists "{dir}/lists";
Dir::State::status "{dir}/status";
Dir::Cache "{dir}";
Dir::Cache::archives "{dir}/archives";
Dir::Etc::SourceList "{dir}/suite.sources";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
APT::Architecture "{architecture}";
#clear APT::Architectures;
APT::Architectures {{ "{architecture}"; }};
APT::Sandbox::User "root";
APT::Get::AllowUnauthenticated "false";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
Acquire::Retries "1";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
"#
        ),
    )
}

fn run(command: &mut Command) -> Result<Output, CannotFetch> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().and_then(std::process::Child::wait_with_output);
    child.map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => CannotFetch::NoApt,
        _ => {
            let call = command.get_program().display().to_string();
            CacheError::Refused { call, why: e }.into()
        }
    })
}
