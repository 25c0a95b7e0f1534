//! The lab as a case sees it: sockets, a wire that is always captured, and a notebook.

pub mod blocked_thread;
mod counters;
mod diag;
pub mod epoll_watch;
mod group;
mod handshakes;
mod memory;
mod multipath;
mod net_files;
mod processes;
mod program;
mod settle;
mod timer;
pub mod unrecorded;
mod wire;

use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr, UdpSocket};
use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::Mutex;
use std::time::Duration;

use crate::capture::{Capture, Recorder};
use crate::error::{Context, Error, Result, errno_name};
use crate::lab::net_files::{Looks, NetFiles};
use crate::net::family::{Family, PORT};
use crate::net::segment::Segment;
use crate::net::sysctl;
use crate::net::witness::{Counters, SocketLine, State, sockets};
use crate::socket::diag::Diag;
use crate::socket::{BACKLOG, Child, Client, Listener, Stream};
use crate::trace::observation::{Fact, Observation, Value};
use crate::trace::{Accepted, Act, CloseCall, Line, Part, Trace};
use crate::wait::{self, Awaited};

pub use counters::WATCHED;
pub use memory::HELD;
pub use multipath::{JOINS_WATCHED, MULTIPATH_WATCHED};
pub use processes::{Holder, PairKind};
pub use program::PROGRAMS_LEFT;

/// The name under which traces show the server's end of every connection.
pub const SERVER: &str = "S";

/// Ports that neither the kernel chooses nor a case names.
const CROWD_PORTS: Range<u16> = 24_000..32_000;

/// A lab in use by one case.
pub struct Lab {
    family: Family,
    recorder: Recorder,
    /// What of the record was read so far.
    trace: Trace,
    facts: Vec<Fact>,
    /// The first name under which a second fact was observed.
    observed_twice: Option<String>,
    /// What a connection to this server negotiates, once one was served.
    negotiated: Option<String>,
    /// For clients whose SYN+ACK timer was waited for: when it fired last.
    fired: Vec<(SocketAddr, Duration)>,
    /// The counters as they were read last.
    counters_read: Mutex<Counters>,
    /// What [`Lab::settle`] sends through, once it did.
    echo: Option<UdpSocket>,
    /// What sockets are destroyed through, once one was.
    diag: Option<Diag>,
    files: NetFiles,
    /// The ports that clients without names have not used yet.
    crowd_ports: Range<u16>,
}

impl Lab {
    /// Opens the lab of this process. From here on everything on `lo` is captured.
    pub fn open(family: Family) -> Result<Self> {
        let mut capture = Capture::start()?;
        capture.trace_mut().name(family.server(), SERVER);
        // Cookies would hide a listener whose count of requests has gone wrong.
        // A kernel without them has no such setting; cases whose queues are full need one.
        let _ = sysctl::try_write(sysctl::SYNCOOKIES, "0");
        Ok(Self {
            family,
            recorder: Recorder::of(capture),
            trace: Trace::default(),
            facts: vec![],
            observed_twice: None,
            negotiated: None,
            fired: vec![],
            // A new namespace has counted nothing yet.
            counters_read: Mutex::default(),
            echo: None,
            diag: None,
            files: NetFiles::new(),
            crowd_ports: CROWD_PORTS,
        })
    }

    /// The address family that the case runs in.
    pub fn family(&self) -> Family {
        self.family
    }

    /// Sets a sysctl of the lab.
    pub fn sysctl(&mut self, name: &str, value: &str) -> Result<()> {
        self.record(Act::Sysctl { name: name.to_owned(), value: value.to_owned() });
        sysctl::write(name, value)
    }

    /// As [`Lab::sysctl`], for a value that may be refused: `ok`, or the errno.
    pub fn try_sysctl(&mut self, name: &str, value: &str) -> String {
        let act = || Act::Sysctl { name: name.to_owned(), value: value.to_owned() };
        outcome(self.recorder.act(act, || sysctl::try_write(name, value)))
    }

    /// A socket for TCP without options, neither bound nor listening.
    pub fn socket(&self, name: &str) -> Result<Listener> {
        Listener::new(name, self.family, self.recorder.clone())
    }

    /// A listener with `SO_REUSEPORT`, bound and listening.
    pub fn listen(&mut self, name: &str) -> Result<Listener> {
        self.listen_with_backlog(name, BACKLOG)
    }

    /// As [`Lab::listen`], with a backlog of its own.
    pub fn listen_with_backlog(&mut self, name: &str, backlog: i32) -> Result<Listener> {
        let listener = self.socket(name)?;
        listener.listen_as_usual(backlog)?;
        Ok(listener)
    }

    /// Closes a listener's descriptor.
    pub fn close(&mut self, listener: Listener) {
        listener.close();
    }

    /// As [`Lab::close`], by another call than `close`.
    ///
    /// # Errors
    /// The kernel refuses, or has no such call.
    pub fn close_by(&mut self, listener: Listener, by: CloseCall) -> Result<()> {
        let name = listener.name().to_owned();
        listener.close_by(by).tested(|| format!("close({name}), by {by:?}"))
    }

    /// Shuts a listener down.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn shut_down(&mut self, listener: &Listener, how: Shutdown) -> Result<()> {
        listener.shutdown(how).tested(|| format!("shutdown({}, {how:?})", listener.name()))
    }

    /// Has a socket listen that is bound, or was shut down.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn start_listening(&mut self, listener: &Listener, backlog: i32) -> Result<()> {
        listener.listen(backlog).tested(|| format!("listen({}, {backlog})", listener.name()))
    }

    /// A client that is not connected yet, bound to `port` of the loopback address if that is
    /// not 0.
    pub fn client(&self, name: &str, port: u16) -> Result<Client> {
        let mut client = Client::new(name, self.family, self.recorder.clone())?;
        if port != 0 {
            client.bind(self.family.loopback(), port)?;
        }
        Ok(client)
    }

    /// As [`Lab::client`], bound to `address` and `port`.
    pub fn client_at(&self, name: &str, address: IpAddr, port: u16) -> Result<Client> {
        let mut client = Client::new(name, self.family, self.recorder.clone())?;
        client.bind(address, port)?;
        Ok(client)
    }

    /// A connected client.
    pub fn connect(&mut self, name: &str) -> Result<Client> {
        let client = self.client(name, 0)?;
        self.connect_client(client)
    }

    /// Connects a client that was prepared by hand.
    pub fn connect_client(&mut self, mut client: Client) -> Result<Client> {
        client.connect(self.family.server())?;
        self.recorder.with_capture(|capture| {
            capture.trace_mut().name(client.local, client.name());
        });
        Ok(client)
    }

    /// Waits until `line` has been captured since the last act of the lab.
    ///
    /// # Errors
    /// [`crate::Error::NeverHappened`] when it has not by the deadline.
    pub fn until_wire(&mut self, line: &str) -> Result<()> {
        self.until_lines(&format!("`{line}` on the wire"), |lines| {
            lines.iter().any(|seen| seen.what == line)
        })
    }

    /// Waits until `line` has been captured since the last act, and an answer to it.
    ///
    /// # Errors
    /// As [`Lab::until_wire`].
    pub fn until_answer_to(&mut self, line: &str) -> Result<()> {
        let what = format!("an answer to `{line}` on the wire");
        self.until_lines(&what, |lines| {
            let mut lines = lines.iter().skip_while(|seen| seen.what != line);
            let asker = lines.next().and_then(Line::ends).map(|(from, _)| from);
            lines.any(|seen| seen.ends().is_some_and(|(_, to)| Some(to) == asker))
        })
    }

    /// Waits until the lines since the last act satisfy `enough`.
    fn until_lines(&mut self, what: &str, enough: impl Fn(&[Line]) -> bool) -> Result<()> {
        self.until_captured(what, |trace| {
            let lines = trace.lines();
            let begins = |line: &Line| line.act().is_some_and(Act::begins_a_wait);
            let last_act = lines.iter().rposition(begins);
            enough(&lines[last_act.map_or(0, |act| act + 1)..])
        })
    }

    /// Waits until the trace satisfies `enough`.
    fn until_captured(&mut self, what: &str, enough: impl Fn(&Trace) -> bool) -> Result<()> {
        self.until_captured_within(wait::patience(Awaited::Segment), what, enough)
    }

    fn until_captured_within(
        &mut self,
        within: impl Into<wait::Patience>,
        what: &str,
        enough: impl Fn(&Trace) -> bool,
    ) -> Result<()> {
        let is_enough = |capture: &mut Capture| {
            capture.drain();
            enough(capture.trace())
        };
        if self.recorder.with_capture(is_enough) {
            return Ok(());
        }
        let wire = self.recorder.with_capture(|capture| capture.as_fd().try_clone_to_owned());
        let wire = wire.call(|| "dup(packet socket)".into())?;
        wait::until_readable_within(within, wire.as_fd(), what, || {
            Ok(self.recorder.with_capture(is_enough).then_some(()))
        })
    }

    /// The connection's child, if `accept` on `listener` returns at once; observed as
    /// `accept(B)`: whose connection it is, or EAGAIN.
    pub fn accept_now(&mut self, listener: &Listener) -> Result<Option<Child>> {
        let accepted = listener.accept_now()?;
        let got = match &accepted {
            Some(child) => Accepted::Connection(child.client().to_owned()),
            None => Accepted::Nothing,
        };
        self.observe(&format!("accept({})", listener.name()), got.to_string());
        if got == Accepted::Nothing {
            listener.record_accepted(got);
        }
        Ok(accepted)
    }

    /// The next child that waits on `listener`, if one does, and whose it is. Nothing is
    /// observed: for a case that accepts more than one.
    pub fn accept_next(&mut self, listener: &Listener) -> Result<Option<(String, Child)>> {
        let accepted = listener.accept_now()?;
        Ok(accepted.map(|child| (child.client().to_owned(), child)))
    }

    /// The next connection that any of `listeners` accepts, and which one did.
    ///
    /// # Errors
    /// [`crate::Error::NeverHappened`] when none does.
    pub fn accept_on_any(&mut self, listeners: &[&Listener]) -> Result<(usize, Child)> {
        let fds: Vec<_> = listeners.iter().map(|listener| listener.as_fd()).collect();
        let what = "a child to accept on any listener";
        loop {
            let patience = wait::patience(Awaited::Child);
            let ready = wait::ready(&fds, patience.within)?;
            // Many connections in a row would fill the buffer.
            self.recorder.with_capture(Capture::drain);
            let index = ready.iter().position(|ready| *ready);
            let index = index.ok_or_else(|| patience.ran_out(what))?;
            if let Some(child) = listeners[index].accept_now()? {
                return Ok((index, child));
            }
        }
    }

    /// Observes which of `listeners` a client that comes now is served by.
    pub fn observe_who_serves(&mut self, listeners: &[&Listener]) -> Result<()> {
        let _client = self.connect("fresh")?;
        let (index, _child) = self.accept_on_any(listeners)?;
        self.observe("a fresh client is served by", listeners[index].name());
        Ok(())
    }

    /// Observes that `listener` serves a client that comes now: connection, accept, and
    /// a byte both ways.
    pub fn observe_service(&mut self, listener: &Listener) -> Result<()> {
        let name = format!("{} serves a fresh client", listener.name());
        match self.serve(listener) {
            Ok(how) => self.observe(&name, how),
            Err(e) if e.blames_the_kernel() => self.observe(&name, e.to_string()),
            Err(e) => return Err(e),
        }
        Ok(())
    }

    fn serve(&mut self, listener: &Listener) -> Result<String> {
        self.begin(Part::FreshClient);
        let client = self.connect("fresh")?;
        let child = listener.accept()?;
        if child.peer != client.local {
            return Ok(format!("no: accept({}) returned another connection", listener.name()));
        }
        self.negotiated = Some(child.negotiated_options()?);
        client.send(b"?")?;
        let request = child.receive()?;
        child.send(b"!")?;
        Ok(match (request.to_string().as_str(), client.receive()?.to_string().as_str()) {
            ("`?`", "`!`") => "yes".to_owned(),
            (request, answer) => format!("no: request {request}, answer {answer}"),
        })
    }

    /// Observes that `child` negotiated in its handshake what the fresh client that was
    /// served last did.
    pub fn observe_negotiated(&mut self, child: &Child) -> Result<()> {
        let (own, usual) =
            (child.negotiated_options()?, self.negotiated.clone().unwrap_or_default());
        let compared = if own == usual { "alike".to_owned() } else { format!("{own}; {usual}") };
        self.observe("options of the child, and of a fresh one", compared);
        Ok(())
    }

    /// Observes the windows of the server's resets without ACK; a reset that belongs to no
    /// connection announces none.
    pub fn observe_bare_resets(&mut self) {
        let bare = |s: &&Segment| s.from.port() == PORT && s.flags.rst() && !s.flags.ack();
        let resets = self.trace().segments().filter(bare);
        let windows: Vec<String> = resets.map(|reset| format!("win {}", reset.window)).collect();
        let shown = if windows.is_empty() { "none".to_owned() } else { windows.join(", ") };
        self.observe("resets without ACK", shown);
    }

    /// Observes which sockets and requests the server's port has, by their states, under
    /// the name `sockets {when}`. What is on its way to one arrives first.
    pub fn observe_sockets(&mut self, when: &str) -> Result<()> {
        self.settle()?;
        let shown = self.sockets()?;
        self.observe(&format!("sockets {when}"), shown);
        Ok(())
    }

    fn sockets(&self) -> Result<String> {
        let server = self.family.server().port();
        let name = |address: SocketAddr| self.recorder.name_of(address);
        let all = sockets(self.family)?;
        let listens = |s: &&SocketLine| s.state == State::Listen && s.local.port() == server;
        self.record(Act::ReadSockets { listeners: all.iter().filter(listens).count() });
        let mut lines: Vec<String> = all
            .into_iter()
            .filter(|socket| socket.local.port() == server || socket.remote.port() == server)
            .map(|socket| match socket.state {
                State::Listen => "a listener".to_owned(),
                State::SynRecv => format!("{}'s request", name(socket.remote)),
                state if socket.local.port() == server => {
                    format!("{}'s child {state}", name(socket.remote))
                }
                state => format!("{} {state}", name(socket.local)),
            })
            .collect();
        lines.sort();
        Ok(if lines.is_empty() { "none".to_owned() } else { lines.join(", ") })
    }

    /// Records an act that is no socket's.
    pub(crate) fn record(&self, act: Act) {
        self.recorder.record(|| act);
    }

    /// Begins a part of the case: what came before is over.
    pub fn begin(&mut self, part: Part) {
        self.record(Act::Begin(part));
    }

    /// Writes down a fact. A name is for one fact: a second one of that name is an error, with
    /// which [`Lab::finish`] ends the case.
    pub fn observe(&mut self, name: &str, value: impl Into<Value>) {
        if self.facts.iter().any(|fact| fact.name == name) {
            self.observed_twice.get_or_insert_with(|| name.to_owned());
        }
        self.facts.push(Fact { name: name.to_owned(), value: value.into() });
    }

    /// The fact `name`, if it was observed, as it is shown.
    pub fn observed(&self, name: &str) -> Option<String> {
        self.facts.iter().find(|fact| fact.name == name).map(|fact| fact.value.to_string())
    }

    /// The trace up to now.
    pub fn trace(&mut self) -> &Trace {
        let (read, trace) = (self.trace.events.len(), &mut self.trace);
        self.recorder.with_capture(|capture| {
            capture.drain();
            let recorded = capture.trace();
            trace.events.extend_from_slice(&recorded.events[read..]);
            trace.names.clone_from(&recorded.names);
        });
        trace
    }

    /// Waits until no more than `left` of the sockets that were closed are still there: those
    /// whose requests live on. Others go when an RCU grace period is over.
    ///
    /// # Errors
    /// [`crate::Error::NeverHappened`] when more stay.
    pub fn until_freed_but(&self, left: i64) -> Result<()> {
        let mut looks = Looks::default();
        let freed = || Ok((self.unfreed_sockets(&mut looks)? <= left).then_some(()));
        let patience = wait::patience(Awaited::SocketsFreed);
        wait::until_within(patience, "every closed socket to be freed", freed)
    }

    /// Ends the case: every socket that was closed must have been freed; then hands over
    /// what was seen.
    ///
    /// `stopped` is the error that ended the case before its end, if the kernel is to
    /// blame for it.
    ///
    /// # Errors
    /// The laboratory broke, or the capture has holes.
    pub fn finish(mut self, stopped: Option<String>) -> Result<(Observation, Trace, Vec<u8>)> {
        let left = match self.until_freed_but(0) {
            Ok(()) => 0,
            Err(e) if e.blames_the_kernel() => self.unfreed_sockets(&mut Looks::default())?,
            Err(e) => return Err(e),
        };
        self.observe("sockets never freed", left);
        if let Some(fact) = self.observed_twice {
            return Err(Error::ObservedTwice { fact });
        }
        let over = || Error::unreadable("the lab's record", "it is over");
        let mut capture = self.recorder.end().ok_or_else(over)?;
        capture.drain();
        capture.check_complete()?;
        let pcapng = capture.pcapng()?;
        let observation = Observation { facts: self.facts, stopped };
        Ok((observation, capture.leave_open(), pcapng))
    }
}

/// `ok`, or the name of the errno.
pub fn outcome(result: io::Result<()>) -> String {
    result.map_or_else(|e| errno_name(&e), |()| "ok".to_owned())
}
