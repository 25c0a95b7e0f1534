//! What a worker does.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::handover::{HandoverPoint, fetch};
use super::protocol::{
    Answer, CloseMode, Command, Messages, Orders, Served, Service, Source, from_argument, send,
};
use super::worker_process::{WORKER_ARGUMENT, command};
use crate::Family;
use crate::error::{Context, Error, Result};
use crate::process::arguments::refuse;
use crate::process::subprocess::inherited;
use crate::socket::bind_spec::BindSpec;
use crate::socket::{Child, Listener, Received, Stream};

/// How many children the queue of a listener takes before it is full.
const BACKLOG: i32 = 4096;

/// What clients are answered on command.
const HI: &[u8] = b"Hi";

/// What clients of HTTP are answered.
const HTTP_ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nHi";

/// The end of every HTTP request.
const END_OF_REQUEST: &[u8] = b"\r\n\r\n";

/// How many children are accepted before other events have their turn.
const AT_A_TIME: usize = 64;

/// A listener with `SO_REUSEPORT` at every address and the lab's port.
///
/// # Errors
/// The kernel refuses.
pub fn listen(family: Family) -> Result<Listener> {
    let listener = Listener::unrecorded("a worker's listener", family)?;
    let spec = BindSpec::any(family);
    spec.bind(&listener).call(|| format!("bind({})", spec.address))?;
    listener.listen(BACKLOG).call(|| format!("listen({BACKLOG})"))?;
    Ok(listener)
}

/// Is a worker, with the arguments that follow the first one; never returns.
pub(crate) fn run(mut arguments: impl Iterator<Item = String>) -> ! {
    let Ok(orders) = from_argument(&arguments.next().unwrap_or_default()) else {
        refuse(WORKER_ARGUMENT)
    };
    let done = Worker::open(orders).and_then(Worker::work);
    if let Err(e) = &done {
        // The lab reads it instead of an answer, if the lab still exists.
        let _ = send(&mut io::stdout().lock(), &Answer::Failed(e.to_string()));
    }
    std::process::exit(i32::from(done.is_err()))
}

struct Worker {
    orders: Orders,
    epoll: Epoll,
    listeners: Vec<Listener>,
    handover: Option<HandoverPoint>,
    /// Standard input, unbuffered: what was read is in `commands`, and epoll knows the rest.
    stdin: File,
    commands: Messages,
    /// Clients of HTTP, by descriptor, each with what it has sent so far.
    clients: HashMap<RawFd, (Child, Vec<u8>)>,
    /// Clients that were served on command. They stay open until the lab has seen everything.
    served: Vec<Child>,
    ending: Option<Ending>,
}

/// What follows when the last client has been answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Exit,
    Exec,
}

impl Worker {
    fn open(orders: Orders) -> Result<Self> {
        let adopt = |descriptor: OwnedFd| {
            Listener::adopted("a worker's listener", descriptor, orders.family)
        };
        let listeners: Vec<Listener> = match &orders.source {
            Source::Own => vec![listen(orders.family)?],
            Source::Inherited(numbers) => {
                let adopt_number = |number: &RawFd| inherited(*number).map(adopt);
                numbers.iter().map(adopt_number).collect::<Result<_>>()?
            }
            Source::HandedOutAt(name) => fetch(name)?.into_iter().map(adopt).collect(),
        };
        let handover = orders.hands_out_at.as_deref().map(HandoverPoint::open).transpose()?;
        let epoll =
            Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).call(|| "epoll_create1()".into())?;
        let stdin = io::stdin().as_fd().try_clone_to_owned();
        let worker = Self {
            orders,
            epoll,
            listeners,
            handover,
            stdin: stdin.call(|| "dup(stdin)".into())?.into(),
            commands: Messages::default(),
            clients: HashMap::new(),
            served: vec![],
            ending: None,
        };
        if worker.accepts_by_itself() {
            worker.listeners.iter().try_for_each(|listener| worker.watch(listener))?;
        }
        worker.handover.iter().try_for_each(|point| worker.watch(point))?;
        worker.watch(&worker.stdin)?;
        Ok(worker)
    }

    fn accepts_by_itself(&self) -> bool {
        matches!(self.orders.service, Service::Http { .. })
    }

    fn watch(&self, what: impl AsFd) -> Result<()> {
        let event = EpollEvent::new(EpollFlags::EPOLLIN, what.as_fd().as_raw_fd() as u64);
        self.epoll.add(what, event).call(|| "epoll_ctl(ADD, EPOLLIN)".into())
    }

    fn work(mut self) -> Result<()> {
        say(&Answer::Ready)?;
        let mut events = [EpollEvent::empty(); 256];
        while self.ending.is_none() || !self.clients.is_empty() {
            let got = match self.epoll.wait(&mut events, EpollTimeout::NONE) {
                Ok(got) => got,
                Err(Errno::EINTR) => 0,
                Err(e) => return Err(e).call(|| "epoll_wait(worker)".into()),
            };
            for event in &events[..got] {
                self.dispatch(event.data() as RawFd)?;
            }
        }
        match self.ending {
            Some(Ending::Exec) => self.exec(),
            Some(Ending::Exit) | None => Ok(()),
        }
    }

    fn dispatch(&mut self, descriptor: RawFd) -> Result<()> {
        if descriptor == self.stdin.as_raw_fd() {
            return self.handle_commands();
        }
        if let Some(point) = self.handover.as_ref().filter(|p| p.as_fd().as_raw_fd() == descriptor)
        {
            let listeners: Vec<&Listener> = self.listeners.iter().collect();
            let sent = point.hand_over(&listeners);
            return sent.call(|| format!("sendmsg(SCM_RIGHTS, {} listeners)", listeners.len()));
        }
        let is_it = |listener: &Listener| listener.as_fd().as_raw_fd() == descriptor;
        match self.listeners.iter().position(is_it) {
            Some(index) => self.accept(index, AT_A_TIME).map(drop),
            None => {
                self.handle_client(descriptor);
                Ok(())
            }
        }
    }

    /// Accepts `most` clients at most. Says whether the queue was empty in the end.
    fn accept(&mut self, index: usize, most: usize) -> Result<bool> {
        for _ in 0..most {
            let Some(child) = self.listeners[index].accept_now()? else { return Ok(true) };
            let descriptor = child.as_fd().as_raw_fd();
            self.watch(&child)?;
            self.clients.insert(descriptor, (child, Vec::new()));
            self.handle_client(descriptor);
            if let Service::Http { pause } = self.orders.service
                && !pause.is_zero()
            {
                // Not to wait for anything: this is what the worker is busy with.
                std::thread::sleep(pause);
                return Ok(false);
            }
        }
        Ok(false)
    }

    /// Reads a client's request, answers when it is whole, and closes.
    fn handle_client(&mut self, descriptor: RawFd) {
        let Some((child, request)) = self.clients.get_mut(&descriptor) else { return };
        match child.receive_now() {
            Ok(Received::Nothing) => return,
            Ok(Received::Bytes(bytes)) => {
                request.extend(bytes);
                if !request.ends_with(END_OF_REQUEST) {
                    return;
                }
                // A client that is gone by now counts this itself.
                let _ = child.send(HTTP_ANSWER);
            }
            Ok(Received::End | Received::Failed(_)) | Err(_) => {}
        }
        self.clients.remove(&descriptor);
    }

    /// Does what the lab says. When the lab is gone, so is the worker.
    fn handle_commands(&mut self) -> Result<()> {
        if !self.commands.read_once(&mut self.stdin).call(|| "read(lab)".into())? {
            std::process::exit(0);
        }
        while let Some(command) = self.commands.next("a worker's command")? {
            self.handle_command(command)?;
        }
        Ok(())
    }

    fn handle_command(&mut self, command: Command) -> Result<()> {
        match command {
            Command::Serve { clients } => {
                let served = (0..clients).map(|_| self.serve()).collect::<Result<_>>()?;
                return say(&Answer::Served(served));
            }
            Command::Close(mode) => {
                if mode == CloseMode::AfterDraining {
                    self.drain()?;
                }
                self.listeners.clear();
                self.ending = Some(Ending::Exit);
            }
            Command::Exec => {
                if self.accepts_by_itself() {
                    self.listeners.iter().try_for_each(|listener| {
                        self.epoll.delete(listener).call(|| "epoll_ctl(DEL, a listener)".into())
                    })?;
                }
                self.ending = Some(Ending::Exec);
            }
        }
        Ok(())
    }

    /// Accepts a client, reads, and answers.
    fn serve(&mut self) -> Result<Served> {
        let listener = self.listeners.first();
        let listener = listener.ok_or_else(|| Error::unreadable("a command", "no listener"))?;
        let child = listener.accept()?;
        let request = child.receive()?.to_string();
        child.send(HI)?;
        // A client that is no socket would never acknowledge a FIN.
        child.reset_on_close()?;
        let served = Served { peer: child.peer, request };
        self.served.push(child);
        Ok(served)
    }

    /// Accepts until EAGAIN, as fast as it can.
    fn drain(&mut self) -> Result<()> {
        if let Service::Http { pause } = &mut self.orders.service {
            *pause = Duration::ZERO;
        }
        for index in 0..self.listeners.len() {
            while !self.accept(index, AT_A_TIME)? {}
        }
        Ok(())
    }

    /// Becomes a fresh worker that inherits the listeners.
    fn exec(mut self) -> Result<()> {
        let numbers = self.listeners.iter().map(|listener| listener.as_fd().as_raw_fd()).collect();
        for listener in &self.listeners {
            fcntl(listener, FcntlArg::F_SETFD(FdFlag::empty())).call(|| "F_SETFD".into())?;
        }
        self.orders.source = Source::Inherited(numbers);
        Err(command(&self.orders)?.exec()).call(|| "execve(this program)".into())
    }
}

fn say(answer: &Answer) -> Result<()> {
    send(&mut io::stdout().lock(), answer).call(|| "write(lab)".into())
}
