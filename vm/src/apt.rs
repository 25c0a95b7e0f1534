//! apt, with its state in our cache and its sources derived from the machine's own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use crate::cache::{At, Cache, CacheError, Lock, Progress, Watch, make_dir};
use crate::fetch::CannotFetch;
use crate::kernels::Package;
use crate::sources::{self, Source};

/// How often a download is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// apt for one suite. Others wait while it lives.
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
    /// Sets apt up for a Debian suite.
    ///
    /// # Errors
    /// There is no apt, or none that knows a Debian archive.
    pub fn for_suite(suite: &str, cache: &Cache, watch: Watch<'_>) -> Result<Self, CannotFetch> {
        let machine = Machine::ask()?;
        let source = sources::for_suite(suite, &machine.sources()?);
        let source = source.ok_or(CannotFetch::NoArchive)?;
        let lock = cache.lock(&format!("apt-{suite}"), watch)?;
        let dir = cache.apt(suite);
        let config = configure(&dir, suite, &source)?;
        Ok(Self { suite: suite.into(), config, helper: machine.helper, refreshed: false, lock })
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
            let said = said(&output);
            if is_full(&said) {
                let _ = fs::remove_file(to);
                return Err(CacheError::Full { path: to.into() }.into());
            }
            // The lists may be older than the mirror's last clean-up.
            if !said.contains("404  Not Found") {
                return Err(CannotFetch::Mirror { what: package.name.clone(), said });
            }
            if self.refreshed {
                return Err(self.gone(package));
            }
            self.refresh(watch)?;
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
        let output = run(command)?;
        let text = String::from_utf8_lossy(&output.stdout);
        let uri = text.lines().find_map(|line| line.strip_prefix('\'')?.split('\'').next());
        Ok(uri.filter(|_| output.status.success()).map(str::to_owned))
    }

    /// Reads the suite's lists again; apt checks their signature.
    fn refresh(&mut self, watch: Watch<'_>) -> Result<(), CannotFetch> {
        watch(Progress::Refreshing { suite: &self.suite });
        let mut command = self.command("apt-get".as_ref())?;
        command.arg("update");
        let output = run(command)?;
        let said = said(&output);
        if is_full(&said) {
            let _ = fs::remove_dir_all(self.config.with_file_name("lists"));
            return Err(CacheError::Full { path: self.config.clone() }.into());
        }
        if said.contains("GPG error") || said.contains("is not signed") {
            return Err(CannotFetch::NotSigned { suite: self.suite.clone(), said });
        }
        // Some failures are warnings to apt, which would go on with old lists.
        if !output.status.success() || said.contains("Failed to fetch") {
            let what = format!("the package lists of {}", self.suite);
            return Err(CannotFetch::Mirror { what, said });
        }
        self.refreshed = true;
        Ok(())
    }

    fn fetch(
        &self,
        package: &Package,
        uri: &str,
        to: &Path,
        watch: Watch<'_>,
    ) -> Result<Output, CannotFetch> {
        let mut command = self.command(&self.helper)?;
        command.arg("download-file").arg(uri).arg(to);
        thread::scope(|scope| {
            let child = scope.spawn(|| run(command));
            loop {
                let finished = child.is_finished();
                let bytes = fs::metadata(to).map_or(0, |file| file.len());
                watch(Progress::Fetching { package: &package.name, bytes, total: package.size });
                if finished {
                    return child.join().expect("running apt does not panic");
                }
                thread::sleep(LOOK);
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
        let output = run(command)?;
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

/// Writes apt's configuration for a suite, and makes the directories that it names.
fn configure(dir: &Path, suite: &str, source: &Source) -> Result<PathBuf, CacheError> {
    for name in ["lists/partial", "archives/partial"] {
        make_dir(&dir.join(name))?;
    }
    let write = |name: &str, text: &str| {
        let path = dir.join(name);
        fs::write(&path, text).at("write", &path).map(|()| path)
    };
    write("status", "")?;
    write("suite.sources", &source.stanza(suite))?;
    let dir = dir.display();
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
APT::Architecture "amd64";
#clear APT::Architectures;
APT::Architectures {{ "amd64"; }};
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

fn run(mut command: Command) -> Result<Output, CannotFetch> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().and_then(std::process::Child::wait_with_output);
    child.map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => CannotFetch::NoApt,
        _ => {
            let call = command.get_program().display().to_string();
            CacheError::Refused { call, source: e }.into()
        }
    })
}

/// Whether apt complains of a full disk.
fn is_full(said: &str) -> bool {
    said.contains("No space left") || said.contains("enough free space")
}

/// apt's own words on what went wrong, on one line.
fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let said: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("E: ").or_else(|| line.strip_prefix("W: ")))
        .map(str::trim)
        .collect();
    match said.first() {
        None => format!("apt ended with {}", output.status),
        Some(first) => (*first).to_owned(),
    }
}
