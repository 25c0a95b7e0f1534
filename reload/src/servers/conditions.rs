//! When a server is ready, and when nothing about it changes any more.

use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use harness::load::Exchange;
use harness::load::Outcome;
use harness::net::witness::{self, SocketLine, State};
use harness::process::child_server::{children, processes, threads};
use harness::{Family, PORT};

use super::processes::held;
use crate::failure::{Missing, Result, ServerEvent};
use crate::server_file::Ready;
use crate::server_file::template::Names;
use crate::server_file::value::{ChildCount, Count};

/// How long a client of a server that starts waits for its answer, before another one asks.
const PATIENCE: Duration = Duration::from_secs(2);

/// How much of an answer is shown, in bytes.
const SHOWN: usize = 60;

/// What a file says of a server that is ready.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    listeners: Option<usize>,
    children: Option<(usize, Exactness)>,
    threads: Option<usize>,
    /// A path, with `{pid}` where there is one for each child.
    file: Option<String>,
    output: Option<String>,
    names: Names,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exactness {
    Exactly,
    AtLeast,
}

/// What a server that is to be ready has.
pub(super) struct Present<'s> {
    /// Its main processes.
    pub(super) mains: Vec<i32>,
    /// Processes of before, which do not count.
    pub(super) old: &'s BTreeSet<i32>,
    /// All listeners at the port.
    pub(super) listeners: &'s BTreeSet<u64>,
    /// Where it prints to,
    pub(super) log: PathBuf,
    /// and how much was printed before.
    pub(super) log_before: usize,
}

impl Conditions {
    pub(super) fn of(
        ready: &Ready,
        output: Option<&str>,
        names: &Names,
    ) -> std::result::Result<Self, ServerEvent> {
        let number = |key: &str, count: Option<&Count>| {
            count.map(|count| number(key, count, names)).transpose()
        };
        let children = ready.children.as_ref().map(|children| {
            let exactness = match children {
                ChildCount::Exactly(_) => Exactness::Exactly,
                ChildCount::AtLeast(_) => Exactness::AtLeast,
            };
            self::number("ready.children", children.count(), names).map(|count| (count, exactness))
        });
        Ok(Self {
            listeners: number("ready.listeners", ready.listeners.as_ref())?,
            children: children.transpose()?,
            threads: number("ready.threads", ready.threads.as_ref())?,
            file: ready.file.clone(),
            output: output.map(|text| names.fill(text)),
            names: names.clone(),
        })
    }

    /// What is missing until the server is ready; nothing when it is.
    pub(super) fn missing(&self, present: &Present<'_>) -> Result<Option<Missing>> {
        if let Some(needed) = self.listeners {
            let there = held(&present.mains, present.listeners)?.len();
            if there != needed {
                return Ok(Some(Missing::Listeners { there, needed }));
            }
        }
        let mut new = BTreeSet::new();
        for main in &present.mains {
            new.extend(children(*main)?.difference(present.old));
        }
        if let Some((needed, exactness)) = self.children {
            let there = new.len();
            let is_enough = match exactness {
                Exactness::Exactly => there == needed,
                Exactness::AtLeast => there >= needed,
            };
            if !is_enough {
                return Ok(Some(Missing::Children { there, needed }));
            }
        }
        if let Some(needed) = self.threads {
            let other = new.iter().map(|pid| threads(*pid)).find(|there| *there != needed);
            if let Some(there) = other {
                return Ok(Some(Missing::Threads { there, needed }));
            }
        }
        Ok(self.missing_file(&new).or_else(|| self.missing_output(present)))
    }

    fn missing_file(&self, children: &BTreeSet<i32>) -> Option<Missing> {
        let template = self.file.as_ref()?;
        let path = |pid: i32| {
            let path = self.names.with("pid", pid.to_string()).fill(template);
            PathBuf::from(self.names.fill("{directory}")).join(path)
        };
        let is_for_each = template.contains("{pid}");
        let pids = if is_for_each { children.iter().copied().collect() } else { vec![0] };
        let mut missing = pids.into_iter().map(path).filter(|path| !path.exists());
        missing.next().map(|path| Missing::File { path: path.display().to_string() })
    }

    fn missing_output(&self, present: &Present<'_>) -> Option<Missing> {
        let text = self.output.as_ref()?;
        let log = fs::read(&present.log).unwrap_or_default();
        let printed = String::from_utf8_lossy(log.get(present.log_before..).unwrap_or_default());
        (!printed.contains(text)).then(|| Missing::Output { text: text.clone() })
    }
}

/// The number that a template becomes.
pub(super) fn number(
    key: &str,
    count: &Count,
    names: &Names,
) -> std::result::Result<usize, ServerEvent> {
    let text = names.fill(count.template());
    text.parse().map_err(|_| ServerEvent::NotANumber { key: key.to_owned(), text })
}

/// The family of the sockets that clients of IPv4 come to, when somebody listens for all of
/// them; else what is missing.
pub(super) fn family() -> Result<std::result::Result<Family, Missing>> {
    let listening = |family| -> Result<Vec<SocketLine>> {
        let mut sockets = witness::sockets(family)?;
        sockets.retain(|socket| socket.state == State::Listen);
        Ok(sockets)
    };
    let is_here =
        |socket: &SocketLine| socket.local.port() == PORT && socket.local.ip().is_unspecified();
    let (v4, v6) = (listening(Family::V4)?, listening(Family::V4Mapped).unwrap_or_default());
    if v4.iter().any(is_here) {
        return Ok(Ok(Family::V4));
    }
    if v6.iter().any(is_here) {
        return Ok(Ok(Family::V4Mapped));
    }
    let at: BTreeSet<SocketAddr> = v4.iter().chain(&v6).map(|socket| socket.local).collect();
    Ok(Err(match at.is_empty() {
        true => Missing::Listener,
        false => Missing::ListenerHere { at: at.into_iter().collect() },
    }))
}

/// What is missing until a client gets a good answer; nothing when it does.
pub(super) fn missing_answer(exchange: &Exchange) -> Option<Missing> {
    let answer = match ask(exchange) {
        Ok(answer) => answer,
        Err(e) => return Some(Missing::Answer { why: words(&e) }),
    };
    match exchange.outcome(&answer) {
        Outcome::Answered => None,
        Outcome::Closed => Some(Missing::Answer { why: "the server closed the connection".into() }),
        _ => {
            let got = &answer[..answer.len().min(SHOWN)];
            let good = exchange.answer.as_deref().unwrap_or(b"HTTP/1.1 200");
            let first_line = |bytes: &[u8]| {
                let text = String::from_utf8_lossy(bytes).into_owned();
                text.lines().next().unwrap_or_default().to_owned()
            };
            Some(Missing::GoodAnswer { got: first_line(got), good: first_line(good) })
        }
    }
}

fn words(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            format!("it waited for {} s", PATIENCE.as_secs())
        }
        _ => harness::errno_name(error),
    }
}

/// What a client gets.
fn ask(exchange: &Exchange) -> std::io::Result<Vec<u8>> {
    let server = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), PORT);
    let mut stream = TcpStream::connect_timeout(&server, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&exchange.request)?;
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let got = stream.read(&mut buffer)?;
        answer.extend_from_slice(&buffer[..got]);
        if got == 0 || exchange.is_over(&answer) {
            return Ok(answer);
        }
    }
}

/// Watches for a time in which neither listeners nor processes change.
pub(super) struct Stillness {
    since: Instant,
    last: (BTreeSet<u64>, Vec<(i32, i32)>),
}

impl Stillness {
    pub(super) fn start() -> Self {
        Self { since: Instant::now(), last: Default::default() }
    }

    /// For how long everything has been as it is now.
    pub(super) fn lasts(&mut self, listeners: BTreeSet<u64>) -> Result<Duration> {
        let now = (listeners, processes()?);
        if now != self.last {
            (self.last, self.since) = (now, Instant::now());
        }
        Ok(self.since.elapsed())
    }
}
