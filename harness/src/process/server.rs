//! A server that is a program of its own: this program, started again, with a listener to
//! serve that another one made.

use std::fs::File;
use std::io::{self, BufRead, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Result};
use crate::net::family::Family;
use crate::net::scm_rights::{self, Receive};
use crate::process::subprocess::{die_with_parent, inherit, inherited};
use crate::socket::{Listener, Stream};
use crate::wait;

/// The first argument that makes this program a server. What follows: where the listener
/// comes from, and its family.
pub(crate) const SERVER_ARGUMENT: &str = "__server";

/// The name, in the lab's own network namespace, under which a listener is handed over.
const MEETING_POINT: &[u8] = b"sockmig";

const SERVE: &str = "serve";
const EXEC: &str = "exec";
const READY: &str = "\"ready\"";

/// What a server answers to every connection.
const ANSWER: &[u8] = b"Hi";

/// A connection that a server has served.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Served {
    /// The client's address.
    pub peer: SocketAddr,
    /// What `recv` said.
    pub request: String,
}

/// A running server, seen by the lab.
pub struct Server {
    process: Child,
    commands: Option<ChildStdin>,
    answers: ChildStdout,
}

/// Where the lab hands listeners over to a server that did not inherit them.
pub struct MeetingPoint(UnixListener);

impl Server {
    /// A server that inherits `listener` by fork and exec.
    pub fn inheriting(listener: &Listener) -> Result<Self> {
        let descriptor = listener.as_fd().as_raw_fd();
        let mut command = command(&descriptor.to_string(), listener.family())?;
        inherit(&mut command, descriptor);
        Self::start(command)
    }

    /// A server that knows nothing of a listener yet, and waits to be handed one.
    pub fn unrelated(family: Family) -> Result<(Self, MeetingPoint)> {
        let point = UnixListener::bind_addr(&meeting_point()?).call(|| "bind(AF_UNIX)".into())?;
        let server = Self::spawn(command("-", family)?)?;
        Ok((server, MeetingPoint(point)))
    }

    fn start(command: Command) -> Result<Self> {
        let mut server = Self::spawn(command)?;
        server.ready()?;
        Ok(server)
    }

    fn spawn(mut command: Command) -> Result<Self> {
        die_with_parent(&mut command);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().call(|| "start a server".into())?;
        let commands = process.stdin.take();
        let answers = process.stdout.take().expect("was asked for");
        Ok(Self { process, commands, answers })
    }

    fn ready(&mut self) -> Result<()> {
        match self.answer()? {
            ready if ready == READY => Ok(()),
            other => Err(Error::unreadable("a server", other)),
        }
    }

    /// Has the server replace itself by another program, which finds the listener where it
    /// was; returns when that one is ready.
    pub fn exec(&mut self) -> Result<()> {
        self.tell(EXEC)?;
        self.ready()
    }

    /// Has the server accept, read from and answer so many connections.
    pub fn serve(&mut self, connections: usize) -> Result<Vec<Served>> {
        self.tell(&format!("{SERVE} {connections}"))?;
        let answer = self.answer()?;
        serde_json::from_str(&answer).map_err(|_| Error::unreadable("a server's answer", answer))
    }

    /// Stops the server (SIGSTOP), and returns when it has stopped.
    pub fn stop(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)?;
        match waitpid(self.pid(), Some(WaitPidFlag::WUNTRACED)).call(|| "waitpid()".into())? {
            WaitStatus::Stopped(..) => Ok(()),
            other => Err(Error::unreadable("a stopped server", format!("{other:?}"))),
        }
    }

    /// Lets a stopped server go on (SIGCONT).
    pub fn go_on(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    /// Kills the server (SIGKILL); everything that only it had open is closed then.
    pub fn kill(mut self) -> Result<()> {
        self.process.kill().call(|| "kill(SIGKILL)".into())?;
        self.process.wait().map(drop).call(|| "waitpid()".into())
    }

    /// Lets the server end by itself.
    pub fn end(mut self) -> Result<()> {
        self.commands = None;
        self.process.wait().map(drop).call(|| "waitpid()".into())
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.process.id() as i32)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        kill(self.pid(), signal).call(|| format!("kill({signal})"))
    }

    fn tell(&mut self, line: &str) -> Result<()> {
        let commands = self.commands.as_mut().expect("is kept until the end");
        writeln!(commands, "{line}").call(|| format!("write(server, {line})"))
    }

    /// A line, without its end.
    fn answer(&mut self) -> Result<String> {
        let mut line = Vec::new();
        loop {
            if !wait::ready(&[self.answers.as_fd()], wait::deadline())?[0] {
                let what = "a server's answer".into();
                return Err(Error::NeverHappened { what, waited: wait::deadline() });
            }
            let mut buffer = [0; 4096];
            let got = self.answers.read(&mut buffer).call(|| "read(server)".into())?;
            line.extend(&buffer[..got]);
            if got == 0 || line.ends_with(b"\n") {
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
        }
    }
}

impl MeetingPoint {
    /// Hands `listener` over; returns when the server has it.
    pub fn hand_over(self, listener: &Listener, to: &mut Server) -> Result<()> {
        let (stream, _) = self.0.accept().call(|| "accept(AF_UNIX)".into())?;
        scm_rights::send(&stream, b"A", &[listener.as_fd().as_raw_fd()])
            .tested(|| format!("sendmsg(SCM_RIGHTS, {})", listener.name()))?;
        to.ready()
    }
}

fn meeting_point() -> Result<UnixAddress> {
    UnixAddress::from_abstract_name(MEETING_POINT).call(|| "an abstract UNIX address".into())
}

fn command(listener: &str, family: Family) -> Result<Command> {
    let this = std::env::current_exe().call(|| "readlink(/proc/self/exe)".into())?;
    let family = serde_json::to_string(&family).expect("a family is a word");
    let mut command = Command::new(this);
    command.args([SERVER_ARGUMENT, listener, &family]);
    Ok(command)
}

/// What a server does; it never returns.
pub(crate) fn run(mut arguments: impl Iterator<Item = String>) -> ! {
    let (listener, family) = (arguments.next(), arguments.next());
    let family = family.and_then(|family| serde_json::from_str(&family).ok());
    let done = match (listener, family) {
        (Some(listener), Some(family)) => obey(&listener, family),
        _ => Err(Error::unreadable("a server's arguments", "too few")),
    };
    if let Err(e) = &done {
        eprintln!("a server: {e}");
    }
    std::process::exit(i32::from(done.is_err()))
}

fn obey(listener: &str, family: Family) -> Result<()> {
    let listener = match listener.parse::<RawFd>() {
        Ok(number) => inherited(number)?,
        Err(_) => met()?,
    };
    let listener = Listener::adopted("a server's listener", listener, family);
    let mut output = File::from(io::stdout().as_fd().try_clone_to_owned().call(|| "dup".into())?);
    let mut say = |line: &str| writeln!(output, "{line}").call(|| "write(lab)".into());
    say(READY)?;
    // Kept until the lab has seen everything.
    let mut children = Vec::new();
    for line in io::stdin().lock().lines() {
        let line = line.call(|| "read(lab)".into())?;
        if line == EXEC {
            fcntl(&listener, FcntlArg::F_SETFD(FdFlag::empty())).call(|| "F_SETFD".into())?;
            let error = command(&listener.as_fd().as_raw_fd().to_string(), family)?.exec();
            return Err(error).call(|| "execve(this program)".into());
        }
        let count = line.strip_prefix(SERVE).and_then(|count| count.trim().parse::<usize>().ok());
        let mut served = Vec::new();
        for _ in 0..count.ok_or_else(|| Error::unreadable("a command", line))? {
            let child = listener.accept()?;
            let request = child.receive()?.to_string();
            child.send(ANSWER)?;
            // A client that is no socket would never acknowledge a FIN.
            child.reset_on_close()?;
            served.push(Served { peer: child.peer, request });
            children.push(child);
        }
        say(&serde_json::to_string(&served).expect("can be written as JSON"))?;
    }
    Ok(())
}

/// The listener that the lab hands over.
fn met() -> Result<OwnedFd> {
    let stream = UnixStream::connect_addr(&meeting_point()?).call(|| "connect(AF_UNIX)".into())?;
    wait::until_readable(stream.as_fd(), "a listener to be handed over", || {
        match scm_rights::receive(&stream, Receive::ALL) {
            Ok(mut message) => Ok(message.descriptors.pop()),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(e) => Err(e).call(|| "recvmsg(AF_UNIX)".into()),
        }
    })
}
