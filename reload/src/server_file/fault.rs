//! What is wrong with a server's file, found before anything runs.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Component, Path};

use super::placeholders::{ALWAYS, CAN_BE_SET, PROCESS, RUNNING, own};
use super::template::{is_name, placeholders};
use super::texts::{texts, words};
use super::value::{ChildCount, Count, StartAgain, Words};
use super::{Ends, LONGEST, PROCESSES, ParseError, ServerFile};

/// Clients a second that a load can have.
const RATES: (u32, u32) = (10, 20_000);

/// Seconds that something may take.
const SECONDS: (u32, u32) = (1, 600);

/// Milliseconds for which nothing may change, or that a reload takes.
const MILLISECONDS: (u32, u32) = (1, 60_000);

/// The longest that a part of a path may be, in bytes (NAME_MAX).
const LONGEST_NAME: usize = 255;

/// Something wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It cannot be read as such a file.
    Unreadable(ParseError),
    /// It is longer than an argument of a program may be.
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// Nothing is said to start.
    NoCommand,
    /// Nothing says how it is reloaded.
    NoWay,
    /// More than one way is given where one is needed.
    ManyWays {
        /// The keys that exclude each other.
        keys: Vec<&'static str>,
    },
    /// Something is there, and empty.
    Empty {
        /// Its key.
        key: &'static str,
    },
    /// A placeholder that stands for nothing, in a text that must have none.
    UnknownPlaceholder {
        /// Where it is.
        key: String,
        /// Its name.
        name: String,
        /// Those that can be used there.
        known: Vec<String>,
    },
    /// A placeholder of the file's own that is called like one of every file, or cannot be
    /// written.
    BadName {
        /// In which table it is.
        table: &'static str,
        /// What it is called.
        name: String,
    },
    /// A reload changes a value that there is not.
    UnsetValue {
        /// Its name.
        name: String,
    },
    /// A text that must become a number and cannot.
    NotANumber {
        /// Where it is.
        key: &'static str,
        /// What it is.
        text: String,
    },
    /// A number that is too small or too large.
    OutOfRange {
        /// Where it is.
        key: &'static str,
        /// What it is.
        number: u32,
        /// The smallest and the largest that can be.
        range: (u32, u32),
    },
    /// A file whose name leads out of the directory, or is that of the log or of no file.
    FileElsewhere {
        /// Its name.
        name: String,
    },
    /// A file whose name is longer than file systems have them.
    LongName {
        /// Its length in bytes.
        bytes: usize,
    },
    /// What becomes an argument, a variable or a path has a byte that ends it.
    ZeroByte {
        /// Where it is.
        key: String,
    },
    /// What no environment variable is called.
    BadVariable {
        /// The name.
        name: String,
    },
    /// A server is in the background, and nothing says which process it is.
    BackgroundWithoutPidFile,
    /// A main process is replaced, and nothing says by which.
    EndsMainWithoutPidFile,
    /// One pid file for many processes.
    ManyWithPidFile,
    /// A key that has no effect without another one.
    Needs {
        /// The key.
        key: &'static str,
        /// What it needs.
        needed: &'static str,
    },
    /// `start-again = false`.
    StartAgainFalse,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(ParseError { line: Some(line), message }) => {
                write!(f, "line {line}: {message}")
            }
            Self::Unreadable(ParseError { line: None, message }) => f.write_str(message),
            Self::TooLong { bytes } => {
                write!(f, "it has {bytes} bytes, and may have {LONGEST}")
            }
            Self::NoCommand => f.write_str(
                "[start] has no `command`: say how the server is started, as in \
                 command = [\"nginx\", \"-c\", \"{directory}/nginx.conf\"]",
            ),
            Self::NoWay => f.write_str(
                "[reload] has none of `signal`, `command` and `start-again`: say how the server \
                 is reloaded",
            ),
            Self::ManyWays { keys } => {
                let keys: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
                write!(f, "{} exclude each other: keep one", keys.join(" and "))
            }
            Self::Empty { key } => write!(f, "`{key}` is empty"),
            Self::UnknownPlaceholder { key, name, known } => {
                let known: Vec<String> = known.iter().map(|name| format!("{{{name}}}")).collect();
                write!(
                    f,
                    "`{key}` has {{{name}}}, which stands for nothing there; what can be used: {}",
                    known.join(", ")
                )
            }
            Self::BadName { table, name } if is_name(name) => {
                write!(f, "[{table}] has `{name}`, which always has a meaning: choose another name")
            }
            Self::BadName { table, name } => write!(
                f,
                "[{table}] has `{name}`: a placeholder's name has small letters, digits, `-` and \
                 `_`"
            ),
            Self::UnsetValue { name } => {
                write!(
                    f,
                    "[reload.values] has `{name}`, and [values] has not: say what it is before"
                )
            }
            Self::NotANumber { key, text } => {
                write!(f, "`{key}` is \"{text}\", and must be a number")
            }
            Self::OutOfRange { key, number, range: (least, most) } => {
                write!(f, "`{key}` is {number}, and must be from {least} to {most}")
            }
            Self::FileElsewhere { name } => write!(
                f,
                "[files] has \"{name}\": the name of a file is a path within {{directory}}, and \
                 not `log`"
            ),
            Self::LongName { bytes } => write!(
                f,
                "[files] has a name of {bytes} bytes, and a part of a path has {LONGEST_NAME} at \
                 most"
            ),
            Self::ZeroByte { key } => write!(
                f,
                "`{key}` has a zero byte (\\u0000), with which arguments, variables and paths end"
            ),
            Self::BadVariable { name } => write!(
                f,
                "[start] has the environment variable \"{name}\": the name of one is not empty, and \
                 has no `=`"
            ),
            Self::BackgroundWithoutPidFile => f.write_str(
                "[start] has `background = true` and no `pid-file`: say where the server writes \
                 its process id",
            ),
            Self::EndsMainWithoutPidFile => f.write_str(
                "[reload] has `ends = \"main\"`, and [start] no `pid-file`: say where the new main \
                 process writes its id",
            ),
            Self::ManyWithPidFile => {
                f.write_str("[start] has `processes` and `pid-file`: a pid file is for one process")
            }
            Self::Needs { key, needed } => write!(f, "`{key}` does nothing without `{needed}`"),
            Self::StartAgainFalse => f.write_str(
                "`reload.start-again` is false: leave it out, or make it true or a command",
            ),
        }
    }
}

/// Everything that is wrong with the file that has this text; with the file where it can be
/// read.
///
/// # Errors
/// The faults, one at least.
pub fn read(text: &str) -> Result<ServerFile, Vec<Fault>> {
    if text.len() > LONGEST {
        return Err(vec![Fault::TooLong { bytes: text.len() }]);
    }
    let file = ServerFile::parse(text).map_err(|e| vec![Fault::Unreadable(e)])?;
    match faults(&file) {
        found if found.is_empty() => Ok(file),
        found => Err(found),
    }
}

/// Everything that is wrong with a file that can be read.
pub fn faults(file: &ServerFile) -> Vec<Fault> {
    let mut found = Vec::new();
    start(file, &mut found);
    ways(file, &mut found);
    names(file, &mut found);
    numbers(file, &mut found);
    zero_bytes(file, &mut found);
    for text in texts(file) {
        let known: BTreeSet<&str> = text.known(file);
        for name in placeholders(text.text).difference(&known) {
            found.push(Fault::UnknownPlaceholder {
                key: text.key.clone(),
                name: (*name).to_owned(),
                known: known.iter().map(|name| (*name).to_owned()).collect(),
            });
        }
    }
    found
}

/// Placeholders in its files that stand for nothing, and are left as they are.
pub fn left_alone(file: &ServerFile) -> BTreeSet<&str> {
    let known: BTreeSet<&str> = ALWAYS.into_iter().chain(own(file)).collect();
    let found = file.files.values().flat_map(|text| placeholders(text));
    found.filter(|name| !known.contains(name)).collect()
}

fn start(file: &ServerFile, found: &mut Vec<Fault>) {
    let start = &file.start;
    if start.command.is_empty() {
        found.push(Fault::NoCommand);
    }
    match (&start.pid_file, &start.processes) {
        (None, _) if start.background => found.push(Fault::BackgroundWithoutPidFile),
        (Some(_), Some(_)) => found.push(Fault::ManyWithPidFile),
        _ => {}
    }
    let empty = [
        ("start.pid-file", start.pid_file.as_ref()),
        ("start.directory", start.directory.as_ref()),
        ("ready.file", file.ready.file.as_ref()),
        ("ready.output", file.ready.output.as_ref()),
        ("reload.output", file.reload.output.as_ref()),
        ("request.answer", file.request.answer.as_ref()),
    ];
    let program = |words: &Words| words.as_slice().iter().any(String::is_empty);
    let no_program = [
        ("program", program(&file.program)),
        ("needs.programs", program(&file.needs.programs)),
        ("start.command", start.command.as_slice().first().is_some_and(String::is_empty)),
    ];
    let no_program = no_program.into_iter().filter(|(_, is_empty)| *is_empty);
    found.extend(no_program.map(|(key, _)| Fault::Empty { key }));
    let bad = start.environment.keys().filter(|name| name.is_empty() || name.contains('='));
    found.extend(bad.map(|name| Fault::BadVariable { name: name.clone() }));
    let is_empty = |text: &Option<&String>| text.is_some_and(String::is_empty);
    let empty = empty.into_iter().filter(|(_, text)| is_empty(text));
    found.extend(empty.map(|(key, _)| Fault::Empty { key }));
    if file.ready.threads.is_some() && file.ready.children.is_none() {
        found.push(Fault::Needs { key: "ready.threads", needed: "ready.children" });
    }
}

fn ways(file: &ServerFile, found: &mut Vec<Fault>) {
    let (reload, restore, stop) = (&file.reload, file.reload.restore.as_ref(), &file.stop);
    let restore_signal = restore.is_some_and(|restore| restore.signal.is_some());
    let restore_command = restore.and_then(|restore| restore.command.as_ref());
    let ways: [(&[(&str, bool)], bool); 3] = [
        (
            &[
                ("reload.signal", reload.signal.is_some()),
                ("reload.command", reload.command.is_some()),
                ("reload.start-again", reload.start_again.is_some()),
            ],
            true,
        ),
        (
            &[
                ("reload.restore.signal", restore_signal),
                ("reload.restore.command", restore_command.is_some()),
            ],
            false,
        ),
        (
            &[("stop.signal", stop.signal.is_some()), ("stop.command", stop.command.is_some())],
            false,
        ),
    ];
    for (keys, one_is_needed) in ways {
        let keys: Vec<&str> = keys.iter().filter(|(_, is)| *is).map(|(key, _)| *key).collect();
        match keys.len() {
            0 if one_is_needed => found.push(Fault::NoWay),
            0 | 1 => {}
            _ => found.push(Fault::ManyWays { keys }),
        }
    }
    let again = match &reload.start_again {
        Some(StartAgain::By(words)) => Some(words),
        _ => None,
    };
    let commands = [
        ("reload.command", reload.command.as_ref()),
        ("reload.start-again", again),
        ("reload.restore.command", restore_command),
        ("stop.command", stop.command.as_ref()),
    ];
    let empty = commands.into_iter().filter(|(_, words)| words.is_some_and(Words::is_empty));
    found.extend(empty.map(|(key, _)| Fault::Empty { key }));
    if reload.start_again == Some(StartAgain::AsBefore(false)) {
        found.push(Fault::StartAgainFalse);
    }
    if reload.ends == Some(Ends::Main) && file.start.pid_file.is_none() {
        found.push(Fault::EndsMainWithoutPidFile);
    }
    if reload.ends.is_some() && reload.start_again.is_some() {
        found.push(Fault::ManyWays { keys: vec!["reload.start-again", "reload.ends"] });
    }
    let needs = [
        (
            "reload.stop-old",
            reload.stop_old.is_some() && !file.replaces_main(),
            "reload.start-again",
        ),
        ("stop.signal", stop.signal.is_some() && !file.stops_old(), "reload.start-again"),
        ("stop.command", stop.command.is_some() && !file.stops_old(), "reload.start-again"),
        ("reload.restore", restore.is_some() && reload.values.is_empty(), "reload.values"),
        (
            "reload.output",
            reload.output.is_some() && file.replaces_main(),
            "reload.signal or reload.command",
        ),
    ];
    let needs = needs.into_iter().filter(|(_, is, _)| *is);
    found.extend(needs.map(|(key, _, needed)| Fault::Needs { key, needed }));
}

fn names(file: &ServerFile, found: &mut Vec<Fault>) {
    let is_reserved = |name: &str| {
        let all = ALWAYS.into_iter().chain(RUNNING).chain(PROCESS);
        all.filter(|reserved| *reserved != CAN_BE_SET).any(|reserved| reserved == name)
    };
    for (table, names) in
        [("values", file.values.keys().collect::<Vec<_>>()), ("paths", file.paths.keys().collect())]
    {
        let bad = names.into_iter().filter(|name| is_reserved(name) || !is_name(name));
        found.extend(bad.map(|name| Fault::BadName { table, name: name.clone() }));
    }
    let unset = file.reload.values.keys().filter(|name| !file.values.contains_key(*name));
    found.extend(unset.map(|name| Fault::UnsetValue { name: name.clone() }));
    let leads_elsewhere = |name: &&String| {
        let path = Path::new(name.as_str());
        let is_within = path.components().all(|part| matches!(part, Component::Normal(_)));
        name.is_empty() || !is_within || name.ends_with('/') || name.as_str() == "log"
    };
    let elsewhere = file.files.keys().filter(leads_elsewhere);
    found.extend(elsewhere.map(|name| Fault::FileElsewhere { name: name.clone() }));
    let longest = |name: &String| name.split('/').map(str::len).max().unwrap_or_default();
    let long = file.files.keys().map(longest).filter(|bytes| *bytes > LONGEST_NAME);
    found.extend(long.map(|bytes| Fault::LongName { bytes }));
}

/// No byte of an argument, a variable or a path is zero.
fn zero_bytes(file: &ServerFile, found: &mut Vec<Fault>) {
    // What is compared with what a server prints may have any byte.
    let printed = ["ready.output", "reload.output"];
    let texts = texts(file).into_iter().filter(|text| !printed.contains(&text.key.as_str()));
    let texts = texts.map(|text| (text.key, text.text));
    let named = [
        ("program", words(Some(&file.program))),
        ("needs.programs", words(Some(&file.needs.programs))),
        ("start.environment", file.start.environment.keys().map(String::as_str).collect()),
        ("files", file.files.keys().map(String::as_str).collect()),
        ("values", file.values.values().map(Count::template).collect()),
        ("paths", file.paths.values().flat_map(|paths| words(Some(paths))).collect()),
    ];
    let named = named
        .into_iter()
        .flat_map(|(key, texts)| texts.into_iter().map(move |text| (key.to_owned(), text)));
    let with_zero: BTreeSet<String> =
        texts.chain(named).filter(|(_, text)| text.contains('\0')).map(|(key, _)| key).collect();
    found.extend(with_zero.into_iter().map(|key| Fault::ZeroByte { key }));
}

fn numbers(file: &ServerFile, found: &mut Vec<Fault>) {
    let counts = [
        ("start.processes", file.start.processes.as_ref()),
        ("ready.listeners", file.ready.listeners.as_ref()),
        ("ready.children", file.ready.children.as_ref().map(ChildCount::count)),
        ("ready.threads", file.ready.threads.as_ref()),
    ];
    for (key, count) in counts {
        let Some(text) = count.map(Count::template) else { continue };
        // What has placeholders is a number or not only when they are replaced.
        if !placeholders(text).is_empty() {
            continue;
        }
        match text.parse::<u32>() {
            Err(_) => found.push(Fault::NotANumber { key, text: text.to_owned() }),
            Ok(number) if key == "start.processes" && !is_within(PROCESSES, number) => {
                found.push(Fault::OutOfRange { key, number, range: PROCESSES });
            }
            Ok(_) => {}
        }
    }
    let ranges = [
        ("rate", file.rate, RATES),
        ("takes-ms", file.takes_ms, MILLISECONDS),
        ("ready.within-s", file.ready.within_s, SECONDS),
        ("reload.within-s", file.reload.within_s, SECONDS),
        ("reload.quiet-ms", file.reload.quiet_ms, MILLISECONDS),
    ];
    for (key, number, range) in ranges {
        if let Some(number) = number.filter(|number| !is_within(range, *number)) {
            found.push(Fault::OutOfRange { key, number, range });
        }
    }
}

fn is_within((least, most): (u32, u32), number: u32) -> bool {
    (least..=most).contains(&number)
}

#[cfg(test)]
mod tests;
