//! User-Mode Linux: a kernel that is a process. It needs neither QEMU nor root.
//!
//! Its guest is the one of every other machine. The port is its first serial line, which
//! it finds at two descriptors; everything that it prints, as a kernel or as a process,
//! goes to the console's file.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use harness::Context;
use harness::essential::Essential;
use harness::in_words;
use harness::{process::subprocess, wait};
use nix::sys::statvfs::{FsFlags, statvfs};

use crate::machine::qemu::{Clock, INITRAMFS, kernel_arguments};
use crate::machine::running::CONSOLE;

/// The guest's end of the port: the first serial line.
const PORT: &str = "/dev/ttyS0";

/// How long a binary may take to print its configuration; it takes a millisecond.
const PATIENCE: Duration = Duration::from_secs(10);

/// `SIGKILL`: nobody but us sends it.
const KILLED: i32 = 9;

/// Without these the suite is never reached.
const TO_BOOT: [&str; 7] =
    ["BINFMT_ELF", "DEVTMPFS", "INET", "NULL_CHAN", "PRINTK", "SSL", "TMPFS"];

/// What cannot be done without: to reach the suite, or for any case of it. A guest is root.
fn indispensable() -> impl Iterator<Item = String> {
    let to_boot = TO_BOOT.iter().map(|option| format!("CONFIG_{option}"));
    let for_cases = Essential::ALL.into_iter().filter(|each| each.is_for_root());
    to_boot.chain(for_cases.map(|each| each.option().to_owned()))
}

/// A User-Mode Linux binary cannot be a machine.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// It cannot be executed.
    #[error("cannot run {}: {}{}", .path.display(), in_words(.why), hint(.why))]
    NotExecutable {
        /// The binary.
        path: PathBuf,
        /// The system's answer.
        why: io::Error,
    },
    /// It does not answer when asked how it was built.
    #[error("{} {how} instead of printing its configuration{}", .path.display(), quoted(.said))]
    Mute {
        /// The binary.
        path: PathBuf,
        /// What it did instead.
        how: Instead,
        /// The first line that it wrote to its standard error.
        said: String,
    },
    /// Parts of the kernel are missing.
    #[error("{} was built without {}; enable that, and build it again", .path.display(), .options.join(", "))]
    Without {
        /// The binary.
        path: PathBuf,
        /// The options that are off.
        options: Vec<String>,
    },
    /// No file system is fit for the guest's memory.
    #[error("User-Mode Linux keeps its memory in a file, and {}; set TMPDIR", .0.join(", "))]
    NoMemory(Vec<String>),
}

/// What a binary did instead of printing its configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instead {
    /// It ended with this exit code.
    Ended(i32),
    /// It did not end, and was killed.
    WentOn,
    /// A signal ended it.
    Crashed(ExitStatus),
}

impl fmt::Display for Instead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(code) => write!(f, "ended with {code}"),
            Self::WentOn => f.write_str("went on and on"),
            Self::Crashed(status) => write!(f, "crashed ({status})"),
        }
    }
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "; chmod +x it, on a file system without noexec",
        io::ErrorKind::NotFound => "; its dynamic loader is missing: build it here",
        _ => "",
    }
}

fn quoted(said: &str) -> String {
    match said {
        "" => String::new(),
        said => format!(": {said}"),
    }
}

/// A User-Mode Linux binary that can be a machine, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uml {
    binary: PathBuf,
    /// It unpacks an initial RAM file system. Otherwise it sees this machine's files.
    initrd: bool,
    /// Its clock can jump.
    time_travel: bool,
    /// In MiB.
    memory: u32,
    /// Where its memory is kept.
    memory_at: PathBuf,
}

impl Uml {
    /// Asks a binary how it was built, and looks for a place for `memory` MiB.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn examine(binary: &Path, memory: u32) -> Result<Self, Unfit> {
        let config = Config::of(binary)?;
        let missing = config.missing();
        if !missing.is_empty() {
            return Err(Unfit::Without { path: binary.into(), options: missing });
        }
        let places = [Some("/dev/shm".into()), Some(env::temp_dir()), Some("/tmp".into())];
        Ok(Self {
            binary: binary.into(),
            initrd: config.has("CONFIG_BLK_DEV_INITRD"),
            time_travel: config.has("CONFIG_UML_TIME_TRAVEL_SUPPORT"),
            memory,
            memory_at: place_for(memory, places.into_iter().flatten())?,
        })
    }

    /// What a binary was built with, as it prints it: lines `CONFIG_NAME=y` among others.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn configuration(binary: &Path) -> Result<String, Unfit> {
        Config::of(binary).map(|config| config.lines)
    }

    /// Whether its clock can jump.
    pub fn can_travel(&self) -> bool {
        self.time_travel
    }

    /// The command that boots it in `directory`, where the initial RAM file system is. It is
    /// to be started there, with the port at its standard input and output.
    ///
    /// # Errors
    /// The console's file cannot be made.
    pub fn command(&self, directory: &Path, clock: Clock) -> io::Result<Command> {
        let mut uml = Command::new(&self.binary);
        let console = File::create(directory.join(CONSOLE))?;
        let (input, output) = subprocess::set_aside_streams(&mut uml, console)?;
        subprocess::without_core(&mut uml);
        uml.env("TMPDIR", &self.memory_at);
        // A directory with its process id goes with ours. The early console is there from
        // the start, the other one comes with the drivers.
        uml.args([&format!("mem={}M", self.memory), "uml_dir=.", "earlyprintk", "con=null"]);
        uml.args(["con0=null,fd:1", "ssl=null", &format!("ssl0=fd:{input},fd:{output}")]);
        // A guest's processes need not be traced where seccomp does; that is faster.
        uml.arg("seccomp=auto");
        let clock = if self.time_travel { clock } else { Clock::Real };
        if clock == Clock::Virtual {
            uml.arg("time-travel=inf-cpu");
        }
        match self.initrd {
            true => uml.arg(format!("initrd={INITRAMFS}")),
            false => {
                // The program may have no path any more, or another one in the guest.
                let init = directory.join("init");
                if !init.exists() {
                    fs::copy(subprocess::THIS_PROGRAM, &init)?;
                }
                uml.args(["root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro"]);
                uml.arg([OsString::from("init="), init.into()].into_iter().collect::<OsString>())
            }
        };
        uml.args(kernel_arguments("tty0", PORT, clock).split_whitespace());
        Ok(uml)
    }
}

/// What a kernel was built with.
struct Config {
    /// Lines `CONFIG_NAME=y` among others.
    lines: String,
}

impl Config {
    fn of(binary: &Path) -> Result<Self, Unfit> {
        let Output { status, stdout, stderr } =
            run_briefly(Command::new(binary).arg("--showconfig"), PATIENCE * wait::slowness())
                .map_err(|why| Unfit::NotExecutable { path: binary.into(), why })?;
        let lines = String::from_utf8_lossy(&stdout).into_owned();
        if lines.lines().any(|line| line.starts_with("CONFIG_")) {
            return Ok(Self { lines });
        }
        let said = String::from_utf8_lossy(&stderr);
        let said = said.lines().next().unwrap_or_default();
        // Who says it is known already.
        let name = format!("{}: ", binary.display());
        let said = said.strip_prefix(&name).unwrap_or(said).to_owned();
        Err(Unfit::Mute { path: binary.into(), how: instead(status), said })
    }

    fn has(&self, option: &str) -> bool {
        let on = format!("{option}=y");
        self.lines.lines().any(|line| line == on)
    }

    /// What is indispensable and off.
    fn missing(&self) -> Vec<String> {
        let mut missing: Vec<String> = indispensable().filter(|option| !self.has(option)).collect();
        if !self.has("CONFIG_BLK_DEV_INITRD") && !self.has("CONFIG_HOSTFS") {
            missing.push("CONFIG_BLK_DEV_INITRD (or CONFIG_HOSTFS)".into());
        }
        missing
    }
}

/// Runs a command to its end, and kills it if that does not come.
fn run_briefly(command: &mut Command, patience: Duration) -> io::Result<Output> {
    let (mut stdout, mut stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
    subprocess::without_core(command);
    subprocess::lead_group(command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(stdout.try_clone()?)
        .stderr(stderr.try_clone()?)
        .spawn()?;
    let ended =
        wait::until_within(patience, "its end", || child.try_wait().call(|| "waitpid()".into()));
    let status = match ended {
        Ok(status) => status,
        Err(_) => subprocess::kill_group(&mut child)?,
    };
    Ok(Output { status, stdout: content(&mut stdout)?, stderr: content(&mut stderr)? })
}

fn content(file: &mut File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn instead(status: ExitStatus) -> Instead {
    match (status.code(), status.signal()) {
        (Some(code), _) => Instead::Ended(code),
        (None, Some(KILLED)) => Instead::WentOn,
        (None, _) => Instead::Crashed(status),
    }
}

/// The first of `places` that can hold a file of `memory` MiB with code in it. Its pages
/// are taken from there one by one: too few would crash the guest later.
fn place_for(memory: u32, places: impl Iterator<Item = PathBuf>) -> Result<PathBuf, Unfit> {
    let mut flaws: Vec<String> = Vec::new();
    for place in places {
        match flaw(&place, memory) {
            None => return Ok(place),
            Some(flaw) => {
                let flaw = format!("{} {flaw}", place.display());
                if !flaws.contains(&flaw) {
                    flaws.push(flaw);
                }
            }
        }
    }
    Err(Unfit::NoMemory(flaws))
}

/// Why a directory is no place for this many MiB of memory.
fn flaw(place: &Path, memory: u32) -> Option<String> {
    let system = match statvfs(place) {
        Ok(system) => system,
        Err(errno) => return Some(format!("is not there ({})", errno.desc())),
    };
    let free = (system.blocks_available() * system.fragment_size()) >> 20;
    if system.flags().contains(FsFlags::ST_NOEXEC) {
        Some("is mounted noexec".into())
    } else if free < u64::from(memory) {
        Some(format!("has {free} MiB free of the {memory} it takes"))
    } else {
        tempfile::tempfile_in(place).err().map(|e| format!("cannot be written ({})", e.kind()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use std::fs;

    /// As `--showconfig` prints it, without the named options.
    fn config(without: &[&str]) -> Config {
        let either = ["CONFIG_BLK_DEV_INITRD", "CONFIG_HOSTFS"].map(str::to_owned);
        let on = indispensable().chain(either);
        let lines = on.filter(|option| !without.contains(&option.as_str()));
        Config { lines: lines.map(|option| format!("{option}=y\n")).collect() }
    }

    #[test]
    fn all_that_is_missing_is_named_at_once() {
        let missing = |without| config(without).missing().join(", ");
        assert_eq!(missing(&[]), "");
        assert_eq!(missing(&["CONFIG_HOSTFS"]), "");
        assert_eq!(missing(&["CONFIG_BLK_DEV_INITRD"]), "");
        assert_eq!(missing(&["CONFIG_SSL", "CONFIG_NET_NS"]), "CONFIG_SSL, CONFIG_NET_NS");
        let options = config(&["CONFIG_SSL", "CONFIG_BLK_DEV_INITRD", "CONFIG_HOSTFS"]).missing();
        assert_eq!(
            Unfit::Without { path: "linux".into(), options }.to_string(),
            "linux was built without CONFIG_SSL, CONFIG_BLK_DEV_INITRD (or CONFIG_HOSTFS); \
             enable that, and build it again"
        );
    }

    #[rstest]
    #[case("CONFIG_NET_NS=m\n")]
    #[case("# CONFIG_NET_NS is not set\n")]
    #[case("CONFIG_NET_NS_NOT=y\n")]
    fn only_what_is_built_in_counts(#[case] lines: &str) {
        assert!(!Config { lines: lines.into() }.has("CONFIG_NET_NS"));
    }

    fn refused(binary: &Path) -> String {
        Uml::examine(binary, 1).expect_err("no kernel").to_string()
    }

    #[test]
    fn a_binary_that_is_none_is_refused() {
        let here = tempfile::tempdir().expect("a directory");
        let path = here.path().join("linux");
        let name = path.display();
        let absent = refused(&path);
        assert!(absent.starts_with(&format!("cannot run {name}: No such file")), "{absent}");
        fs::write(&path, "no program").expect("a file");
        let plain = refused(&path);
        assert!(plain.starts_with(&format!("cannot run {name}: Permission denied")), "{plain}");
        assert!(plain.contains("chmod +x"), "{plain}");
        // There may be no other program than this one.
        let other = refused(&env::current_exe().expect("a name"));
        assert!(other.contains(" ended with 101 instead of printing"), "{other}");
        assert!(other.ends_with("its configuration: error: Unrecognized option: 'showconfig'"));
    }

    /// Makes the next test the program that it runs.
    const SLEEPER: &str = "SLEEPER";

    #[test]
    fn a_binary_that_does_not_end_is_killed() {
        if env::var_os(SLEEPER).is_some() {
            std::thread::sleep(Duration::from_secs(1000));
        }
        let mut sleeper = Command::new(env::current_exe().expect("a name"));
        sleeper.arg("a_binary_that_does_not_end_is_killed").env(SLEEPER, "");
        let output = run_briefly(&mut sleeper, Duration::from_millis(20)).expect("it ran");
        assert_eq!(instead(output.status), Instead::WentOn);
    }

    #[test]
    fn memory_needs_room() {
        let here = tempfile::tempdir().expect("a directory");
        let nowhere = here.path().join("nowhere");
        let places = || [nowhere.clone(), here.path().to_owned(), nowhere.clone()].into_iter();
        assert_eq!(place_for(1, places()).expect("room for one MiB"), here.path());
        let refused = place_for(u32::MAX, places()).expect_err("4 PiB").to_string();
        let (first, rest) = refused.split_once(" is not there").expect("the first place");
        assert!(first.ends_with("/nowhere"), "{refused}");
        assert!(rest.contains("MiB free of the 4294967295 it takes"), "{refused}");
        assert!(!rest.contains("nowhere"), "each place once: {refused}");
    }

    #[test]
    fn the_command_line_says_how() {
        let directory = tempfile::tempdir().expect("a directory");
        let line = |initrd, time_travel, clock| {
            let uml = Uml {
                binary: "/linux".into(),
                initrd,
                time_travel,
                memory: 64,
                memory_at: "/tmp".into(),
            };
            let command = uml.command(directory.path(), clock).expect("a command");
            let arguments = command.get_args().map(|argument| argument.to_string_lossy());
            arguments.collect::<Vec<_>>().join(" ")
        };
        let jumping = line(true, true, Clock::Virtual);
        assert!(jumping.starts_with("mem=64M "), "{jumping}");
        assert!(jumping.contains(" time-travel=inf-cpu initrd=initramfs "), "{jumping}");
        assert!(jumping.ends_with("-- __guest /dev/ttyS0"), "{jumping}");
        assert!(jumping.contains(" SOCKMIG_LONG=1 "), "{jumping}");
        assert!(!line(true, false, Clock::Virtual).contains("time-travel"));
        assert!(!line(true, true, Clock::Real).contains("time-travel"));
        let own_files = line(false, true, Clock::Real);
        assert!(own_files.contains("rootfstype=hostfs rootflags=/ ro init=/"), "{own_files}");
        assert!(!own_files.contains("initrd="), "{own_files}");
        let console = directory.path().join(CONSOLE);
        assert_eq!(fs::read(console).expect("the console's file"), b"");
    }
}
