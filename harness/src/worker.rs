//! A worker: a small web server that is a program of its own (this one, started again), as
//! reloads replace it. It can come by its listeners, and part with them, in every way that
//! real servers know.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::process::{Child as Process, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use serde::{Deserialize, Serialize};

use crate::child_server::{Signal, is_stopped, signal};
use crate::error::{Context, Error, Result};
use crate::family::Family;
use crate::passing::{self, Receive};
use crate::place::Place;
use crate::socket::{Child, Listener, Received, Stream};
use crate::subprocess::{die_with_parent, inherit, inherited};
use crate::wait;

/// The first argument that makes this program a worker. What follows: its [`Orders`].
pub(crate) const WORKER_ARGUMENT: &str = "__worker";

const READY: &str = "ready";

/// How many children a worker's queue takes before it is full.
const BACKLOG: i32 = 4096;

/// What a worker answers to everybody.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nHi";

/// The end of every request.
const END: &[u8] = b"\r\n\r\n";

/// How many children are accepted before anything else is looked at.
const AT_A_TIME: usize = 64;

/// How to be a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orders {
    /// Where its listeners come from.
    pub source: Source,
    /// Under which name, in the lab's network namespace, it hands its listeners out to
    /// whoever asks. Nowhere if there is none.
    pub hands_out_at: Option<String>,
    /// How long it is busy after each `accept`.
    pub pause: Duration,
}

/// Where a worker's listeners come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// It makes one, with `SO_REUSEPORT`, at every IPv4 address and the lab's port.
    Own,
    /// Whoever started it left these descriptors open.
    Inherited(Vec<RawFd>),
    /// Another worker hands them out under this name (`SCM_RIGHTS`).
    HandedOutAt(String),
}

/// How a worker is told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Close the listeners, finish what was accepted.
    Close,
    /// Accept until EAGAIN, then as [`End::Close`].
    DrainAndClose,
    /// Finish what was accepted, then become a fresh program that inherits the listeners.
    Exec,
}

impl End {
    const ALL: [Self; 3] = [Self::Close, Self::DrainAndClose, Self::Exec];

    fn word(self) -> &'static str {
        match self {
            Self::Close => "close",
            Self::DrainAndClose => "drain",
            Self::Exec => "exec",
        }
    }
}

/// A running worker, seen by the lab. Dropping the value kills it.
pub struct Worker {
    process: Process,
    commands: ChildStdin,
    answers: ChildStdout,
}

impl Worker {
    /// Starts one; returns when it listens.
    ///
    /// # Errors
    /// It cannot be started, or cannot have its listeners.
    pub fn start(orders: &Orders) -> Result<Self> {
        let mut command = command(orders)?;
        if let Source::Inherited(descriptors) = &orders.source {
            descriptors.iter().for_each(|descriptor| inherit(&mut command, *descriptor));
        }
        die_with_parent(&mut command);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().call(|| "start a worker".into())?;
        let commands = process.stdin.take().expect("was asked for");
        let answers = process.stdout.take().expect("was asked for");
        let mut worker = Self { process, commands, answers };
        worker.until_ready()?;
        Ok(worker)
    }

    /// Stops it where it is (SIGSTOP): its listener stays, and nobody accepts. Dropping the
    /// value kills it even so.
    ///
    /// # Errors
    /// It is gone, or does not stop.
    pub fn stop(&self) -> Result<()> {
        let pid = self.process.id().cast_signed();
        signal(pid, Signal::SIGSTOP)?;
        wait::until("a worker to be stopped", || Ok(is_stopped(pid).then_some(())))
    }

    /// Tells it how to end.
    ///
    /// # Errors
    /// It is gone.
    pub fn tell(&mut self, end: End) -> Result<()> {
        // At one go: the worker reads what is there, and no more.
        let told = self.commands.write_all(format!("{}\n", end.word()).as_bytes());
        told.call(|| format!("write(worker, {end:?})")).map_err(|gone| match self.heard() {
            Ok(said) => {
                let how = self.process.wait().map_or_else(|e| e.to_string(), |s| s.to_string());
                Error::unreadable("a worker", format!("{} ({how})", said.trim_end()))
            }
            Err(_) => gone,
        })
    }

    /// Waits until it listens, after its start or after [`End::Exec`].
    ///
    /// # Errors
    /// It says something else, or nothing.
    pub fn until_ready(&mut self) -> Result<()> {
        match self.heard()?.trim_end() {
            READY => Ok(()),
            "" => Err(Error::unreadable("a worker", "it died")),
            other => Err(Error::unreadable("a worker", other)),
        }
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// It has ended; with what it said last.
    pub fn alive(&mut self) -> Result<()> {
        match self.process.try_wait().call(|| "waitpid(worker)".into())? {
            None => Ok(()),
            Some(status) => {
                let said = self.heard().unwrap_or_default();
                let what = format!("it ended while it was to serve ({status}) {said}");
                Err(Error::unreadable("a worker", what.trim_end()))
            }
        }
    }

    /// Waits until it has ended by itself, with success.
    ///
    /// # Errors
    /// It does not, or says what failed.
    pub fn until_ended(mut self) -> Result<()> {
        let said = self.heard()?;
        let status = self.process.wait().call(|| "waitpid(worker)".into())?;
        if said.is_empty() && status.success() {
            return Ok(());
        }
        Err(Error::unreadable("a worker", format!("{} ({status})", said.trim_end())))
    }

    /// What it says next: a line, or nothing when it is gone.
    fn heard(&mut self) -> Result<String> {
        let mut said = Vec::new();
        loop {
            if !wait::ready(&[self.answers.as_fd()], wait::deadline())?[0] {
                let what = "a worker's answer".into();
                return Err(Error::NeverHappened { what, waited: wait::deadline() });
            }
            let mut buffer = [0; 512];
            let got = self.answers.read(&mut buffer).call(|| "read(worker)".into())?;
            said.extend(&buffer[..got]);
            if got == 0 || said.ends_with(b"\n") {
                return Ok(String::from_utf8_lossy(&said).into_owned());
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A listener that the lab itself holds, for workers to inherit.
///
/// # Errors
/// The kernel refuses.
pub fn listen() -> Result<Listener> {
    let listener = Listener::bare("a worker's listener", Family::V4)?;
    let place = Place::any(Family::V4);
    place.bind(&listener).call(|| format!("bind({})", place.address))?;
    listener.listen(BACKLOG).call(|| format!("listen({BACKLOG})"))?;
    Ok(listener)
}

fn command(orders: &Orders) -> Result<Command> {
    let this = std::env::current_exe().call(|| "readlink(/proc/self/exe)".into())?;
    let orders = serde_json::to_string(orders).expect("orders can be written as JSON");
    let mut command = Command::new(this);
    command.args([WORKER_ARGUMENT, &orders]);
    Ok(command)
}

fn unix(name: &str) -> Result<UnixAddress> {
    UnixAddress::from_abstract_name(name).call(|| format!("an abstract UNIX address, {name}"))
}

/// What a worker does; it never returns.
pub(crate) fn run(mut arguments: impl Iterator<Item = String>) -> ! {
    let orders = arguments.next().and_then(|orders| serde_json::from_str(&orders).ok());
    let done = match orders {
        Some(orders) => Shop::open(orders).and_then(Shop::serve),
        None => Err(Error::unreadable("a worker's orders", "nothing")),
    };
    if let Err(e) = &done {
        // The lab reads it in place of an answer.
        println!("{e}");
    }
    std::process::exit(i32::from(done.is_err()))
}

/// A worker from inside.
struct Shop {
    orders: Orders,
    epoll: Epoll,
    listeners: Vec<Listener>,
    counter: Option<UnixListener>,
    /// By descriptor; each with what it has sent so far.
    children: HashMap<RawFd, (Child, Vec<u8>)>,
    ending: Option<End>,
}

impl Shop {
    fn open(orders: Orders) -> Result<Self> {
        let listeners = match &orders.source {
            Source::Own => vec![listen()?],
            Source::Inherited(numbers) => {
                let adopted = |number: &RawFd| Ok(adopt(inherited(*number)?));
                numbers.iter().map(adopted).collect::<Result<_>>()?
            }
            Source::HandedOutAt(name) => fetch(name)?.into_iter().map(adopt).collect(),
        };
        let bind = |name: &String| {
            UnixListener::bind_addr(&unix(name)?).call(|| format!("bind(AF_UNIX, {name})"))
        };
        let counter = orders.hands_out_at.as_ref().map(bind).transpose()?;
        let epoll =
            Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).call(|| "epoll_create1()".into())?;
        let children = HashMap::new();
        let shop = Self { orders, epoll, listeners, counter, children, ending: None };
        shop.listeners.iter().try_for_each(|listener| shop.watch(listener))?;
        shop.counter.iter().try_for_each(|counter| shop.watch(counter))?;
        shop.watch(io::stdin())?;
        Ok(shop)
    }

    fn watch(&self, what: impl AsFd) -> Result<()> {
        let event = EpollEvent::new(EpollFlags::EPOLLIN, what.as_fd().as_raw_fd() as u64);
        self.epoll.add(what, event).call(|| "epoll_ctl(ADD, EPOLLIN)".into())
    }

    fn serve(mut self) -> Result<()> {
        println!("{READY}");
        let mut events = [EpollEvent::empty(); 256];
        while self.ending.is_none() || !self.children.is_empty() {
            let got = match self.epoll.wait(&mut events, EpollTimeout::NONE) {
                Ok(got) => got,
                Err(nix::errno::Errno::EINTR) => 0,
                Err(e) => return Err(e).call(|| "epoll_wait(worker)".into()),
            };
            for event in &events[..got] {
                self.attend(event.data() as RawFd)?;
            }
        }
        match self.ending {
            Some(End::Exec) => self.become_fresh(),
            _ => Ok(()),
        }
    }

    fn attend(&mut self, descriptor: RawFd) -> Result<()> {
        if descriptor == io::stdin().as_raw_fd() {
            return self.obey();
        }
        if let Some(counter) = self.counter.as_ref().filter(|c| c.as_raw_fd() == descriptor) {
            return self.hand_out(counter);
        }
        let is_it = |listener: &Listener| listener.as_fd().as_raw_fd() == descriptor;
        match self.listeners.iter().position(is_it) {
            Some(index) => self.accept(index, AT_A_TIME).map(drop),
            None => {
                self.converse(descriptor);
                Ok(())
            }
        }
    }

    /// Accepts so many children at most; says whether the queue was empty in the end.
    fn accept(&mut self, index: usize, most: usize) -> Result<bool> {
        for _ in 0..most {
            let Some(child) = self.listeners[index].accept_now()? else { return Ok(true) };
            let descriptor = child.as_fd().as_raw_fd();
            self.watch(&child)?;
            self.children.insert(descriptor, (child, Vec::new()));
            self.converse(descriptor);
            if !self.orders.pause.is_zero() {
                // Not to wait for anything: this is what the worker is busy with.
                std::thread::sleep(self.orders.pause);
                return Ok(false);
            }
        }
        Ok(false)
    }

    /// Reads a child's request, answers when it is whole, and closes.
    fn converse(&mut self, descriptor: RawFd) {
        let Some((child, request)) = self.children.get_mut(&descriptor) else { return };
        match child.receive_now() {
            Ok(Received::Nothing) => return,
            Ok(Received::Bytes(bytes)) => {
                request.extend(bytes);
                if !request.ends_with(END) {
                    return;
                }
                // A client that is gone meanwhile is its own witness.
                let _ = child.send(ANSWER);
            }
            Ok(Received::End | Received::Failed(_)) | Err(_) => {}
        }
        self.children.remove(&descriptor);
    }

    /// Does what the lab says. A lab that is gone wants nothing any more.
    fn obey(&mut self) -> Result<()> {
        let mut line = [0; 64];
        let got = io::stdin().read(&mut line).call(|| "read(lab)".into())?;
        let word = String::from_utf8_lossy(&line[..got]);
        let told = End::ALL.into_iter().find(|end| end.word() == word.trim_end());
        let end = match (got, told) {
            (0, _) => std::process::exit(0),
            (_, Some(end)) => end,
            (_, None) => return Err(Error::unreadable("a worker's command", word)),
        };
        if end == End::DrainAndClose {
            self.orders.pause = Duration::ZERO;
            for index in 0..self.listeners.len() {
                while !self.accept(index, AT_A_TIME)? {}
            }
        }
        match end {
            End::Close | End::DrainAndClose => self.listeners.clear(),
            End::Exec => self.listeners.iter().try_for_each(|listener| {
                self.epoll.delete(listener).call(|| "epoll_ctl(DEL, a listener)".into())
            })?,
        }
        self.ending = Some(end);
        Ok(())
    }

    fn hand_out(&self, counter: &UnixListener) -> Result<()> {
        let (stream, _) = counter.accept().call(|| "accept(AF_UNIX)".into())?;
        let numbers: Vec<RawFd> =
            self.listeners.iter().map(|listener| listener.as_fd().as_raw_fd()).collect();
        passing::send(&stream, b"L", &numbers)
            .map(drop)
            .call(|| format!("sendmsg(SCM_RIGHTS, {} listeners)", numbers.len()))
    }

    fn become_fresh(mut self) -> Result<()> {
        let numbers: Vec<RawFd> =
            self.listeners.iter().map(|listener| listener.as_fd().as_raw_fd()).collect();
        for listener in &self.listeners {
            fcntl(listener, FcntlArg::F_SETFD(FdFlag::empty())).call(|| "F_SETFD".into())?;
        }
        self.orders.source = Source::Inherited(numbers);
        Err(command(&self.orders)?.exec()).call(|| "execve(this program)".into())
    }
}

fn adopt(descriptor: OwnedFd) -> Listener {
    Listener::adopted("a worker's listener", descriptor, Family::V4)
}

/// The listeners that a worker hands out under `name`.
///
/// Who has one, too, keeps it from closing.
///
/// # Errors
/// Nobody hands out anything under this name.
pub fn fetch(name: &str) -> Result<Vec<OwnedFd>> {
    let stream =
        UnixStream::connect_addr(&unix(name)?).call(|| format!("connect(AF_UNIX, {name})"))?;
    wait::until_readable(stream.as_fd(), "listeners to be handed out", || {
        match passing::receive(&stream, Receive::ALL) {
            Ok(message) => Ok(Some(message.descriptors)),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(e) => Err(e).call(|| "recvmsg(AF_UNIX)".into()),
        }
    })
}
