//! What the kernel keeps, in its own terms.

use std::collections::BTreeSet;

use crate::model::behaviour::ModelBug;
use crate::model::choice::Choices;
use crate::model::hash::{HashRange, Slot};
use crate::model::program::{Arrays, Program};
use crate::model::seen::{Answer, CallResult, Counter, Seen};
use crate::step::{ClientId, ListenerId, MOST_LISTENERS};

/// More listeners than this can not be in a group: the slot would not say which is selected.
pub const MOST_IN_GROUP: usize = 6;

/// The namespace.
#[derive(Debug, Clone)]
pub struct Model {
    pub(super) bugs: BTreeSet<ModelBug>,
    pub(super) migrate_req: bool,
    pub(super) abort_on_overflow: bool,
    pub(super) synack_retries: u8,
    pub(super) groups: Vec<Group>,
    /// By [`ListenerId`]; nothing where no such socket was made yet.
    pub(super) listeners: Vec<Option<Listener>>,
    /// By [`ClientId`].
    pub(super) clients: Vec<Client>,
    /// The time, in milliseconds since the history began.
    pub(super) now: u64,
    /// SEG.SEQ and SEG.ACK of the segment that is looked at.
    pub(super) arriving: (u32, u32),
    pub(super) choices: Choices,
    pub(super) arrays: Arrays,
    /// The hash, which is not known, has decided between listeners.
    pub(super) hash_has_decided: bool,
    /// What is seen of the step that is being taken.
    pub(super) seen: Seen,
}

/// `struct sock_reuseport`.
#[derive(Debug, Clone, Default)]
pub(super) struct Group {
    /// The first `num_socks` of `socks[]`: those that listen.
    pub(super) socks: Vec<ListenerId>,
    /// The last `num_closed_socks`: those that were shut down or closed while requests could
    /// migrate. Their order is never seen; whether there are any decides what a listener founds
    /// that listens again.
    pub(super) closed: Vec<ListenerId>,
    pub(super) program: Option<Program>,
}

/// A socket that listens or did.
#[derive(Debug, Clone)]
pub(super) struct Listener {
    pub(super) state: ListenerState,
    /// How many descriptors there are of it.
    pub(super) descriptors: u32,
    /// `SO_REUSEPORT` was set before it was bound.
    pub(super) reuse_port: bool,
    /// `sk_reuseport_cb`.
    pub(super) group: Option<usize>,
    /// `sk_max_ack_backlog`.
    pub(super) backlog: u32,
    /// The accept queue, the next one to accept first.
    pub(super) accept_queue: Vec<ClientId>,
    /// `icsk_accept_queue.qlen`: its requests.
    pub(super) qlen: i32,
    /// `icsk_accept_queue.young`: those of them whose SYN+ACK was not sent again.
    pub(super) young: i32,
    /// `rskq_defer_accept`: for how many timeouts a request waits for data.
    pub(super) defer_accept: u8,
    /// `fastopenq.max_qlen`.
    pub(super) fast_open_most: u32,
    /// `fastopenq.qlen`: its Fast Open children whose handshake is not complete.
    pub(super) fast_open_qlen: i32,
}

/// What is set of a listener before it listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenerOptions {
    /// `SO_REUSEPORT`.
    pub reuse_port: bool,
    /// For how many timeouts a request waits for data, by `TCP_DEFER_ACCEPT`.
    pub defer_accept: u8,
    /// `TCP_FASTOPEN`: how many Fast Open children may be unfinished.
    pub fast_open_most: u32,
}

/// `sk_state` of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ListenerState {
    /// TCP_LISTEN.
    Listen,
    /// TCP_CLOSE.
    Close,
}

/// A client, and what the server has of its connection.
#[derive(Debug, Clone)]
pub(super) struct Client {
    /// The hash of its connection.
    pub(super) hash: HashRange,
    /// The listener that its connection most likely gets, where its hash is not known.
    pub(super) likely: Option<ListenerId>,
    pub(super) connection: Connection,
    /// What the server expects next of a request, or expected when it last had one: the number
    /// after that of the SYN.
    pub(super) next: u32,
}

/// What the server has of a connection.
#[derive(Debug, Clone)]
pub(super) enum Connection {
    Nothing,
    Request(Request),
    Child(Child),
}

/// `struct request_sock` in NEW_SYN_RECV.
#[derive(Debug, Clone)]
pub(super) struct Request {
    /// `rsk_listener`: the listener that the SYN reached, or that a timer has moved it to.
    pub(super) listener: ListenerId,
    /// How often its timer has fired.
    pub(super) num_timeout: u8,
    /// Its handshake's last ACK came, and was dropped.
    pub(super) acked: bool,
    pub(super) timer: Timer,
}

/// A child: the server's socket of a connection.
#[derive(Debug, Clone)]
pub(super) struct Child {
    pub(super) place: Place,
    pub(super) state: ChildState,
    /// Bytes to receive.
    pub(super) bytes: u32,
    /// The client has sent a FIN.
    pub(super) has_end: bool,
    /// `sk_err`.
    pub(super) error: Option<&'static str>,
    /// RCV.NXT, relative.
    pub(super) rcv_nxt: u32,
    /// Its request, while its handshake is not complete (`fastopen_rsk`).
    pub(super) fast_open: Option<FastOpen>,
}

/// Where a child is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In this listener's accept queue.
    Queue(ListenerId),
    /// A process has it.
    Accepted,
}

/// `sk_state` of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChildState {
    /// Made by a SYN with data.
    SynRecv,
    Established,
    /// The client has sent a FIN.
    CloseWait,
    /// Shut down by its own listener, before anybody could accept it.
    FinWait1,
    /// Reset by the client, or given up.
    Close,
}

/// The request of a Fast Open child.
#[derive(Debug, Clone)]
pub(super) struct FastOpen {
    /// Whose `fastopenq` counts it.
    pub(super) listener: ListenerId,
    pub(super) num_timeout: u8,
    pub(super) timer: Timer,
}

/// A timer that fires at some time from `earliest` to `latest`: the kernel's wheel rounds up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timer {
    pub(super) earliest: u64,
    pub(super) latest: u64,
}

/// How long the steps between two waits may take, in milliseconds.
pub const STEPS_TAKE: u64 = 300;

/// TCP_TIMEOUT_INIT, in milliseconds.
const TIMEOUT: u64 = 1000;

/// What a busy machine adds, in milliseconds.
const LATE: u64 = 60;

impl Timer {
    /// Set at `now`, or up to [`STEPS_TAKE`] later, for the time after `num_timeout` timeouts.
    pub(super) fn set(now: u64, num_timeout: u8) -> Self {
        let time = TIMEOUT << num_timeout;
        Self { earliest: now + time, latest: now + STEPS_TAKE + wheel(time) + LATE }
    }

    /// Set again when it has fired, for the time after `num_timeout` timeouts.
    pub(super) fn again(self, num_timeout: u8) -> Self {
        let time = TIMEOUT << num_timeout;
        Self { earliest: self.earliest + time, latest: self.latest + wheel(time) + LATE }
    }
}

/// The longest time that the timer wheel makes of a time: it rounds up by an eighth at most.
fn wheel(time: u64) -> u64 {
    time + time / 8
}

impl Model {
    /// A namespace with nothing in it, and clients whose connections have these hashes.
    pub fn new(bugs: BTreeSet<ModelBug>, slots: &[Slot]) -> Self {
        let client = |slot: &Slot| Client::with_hash(HashRange::of_slot(*slot));
        Self {
            bugs,
            migrate_req: false,
            abort_on_overflow: false,
            synack_retries: 2,
            groups: vec![],
            listeners: vec![None; MOST_LISTENERS],
            clients: slots.iter().map(client).collect(),
            now: 0,
            arriving: (0, 0),
            choices: Choices::default(),
            arrays: Arrays::new(),
            hash_has_decided: false,
            seen: Seen::default(),
        }
    }

    pub(super) fn count(&mut self, counter: Counter) {
        *self.seen.counters.entry(counter).or_default() += 1;
    }

    pub(super) fn answer(&mut self, client: ClientId, answer: Answer) {
        if let Answer::Reset { .. } | Answer::Refusal { .. } | Answer::Abort { .. } = answer {
            self.count(Counter::OutRsts);
        }
        self.seen.answers.push((client, answer));
    }

    pub(super) fn refuse(&mut self, errno: &str) {
        self.seen.result = CallResult::Refused(errno.to_owned());
    }

    /// `sk_data_ready` of a listener.
    pub(super) fn wake(&mut self, listener: ListenerId) {
        self.seen.woken.insert(listener);
    }

    pub(super) fn has(&self, bug: ModelBug) -> bool {
        self.bugs.contains(&bug)
    }

    /// The socket of a listener that a step may name only if it is there.
    pub(super) fn socket(&self, listener: ListenerId) -> Option<&Listener> {
        self.listeners.get(listener.0)?.as_ref()
    }

    pub(super) fn listener(&mut self, listener: ListenerId) -> &mut Listener {
        self.listeners[listener.0].as_mut().expect("a socket that was made")
    }

    pub(super) fn listens(&self, listener: ListenerId) -> bool {
        self.socket(listener).is_some_and(|socket| socket.state == ListenerState::Listen)
    }

    pub(super) fn client(&mut self, client: ClientId) -> &mut Client {
        &mut self.clients[client.0]
    }

    pub(super) fn request(&mut self, client: ClientId) -> Option<&mut Request> {
        match &mut self.clients[client.0].connection {
            Connection::Request(request) => Some(request),
            Connection::Nothing | Connection::Child(_) => None,
        }
    }

    pub(super) fn child(&mut self, client: ClientId) -> Option<&mut Child> {
        match &mut self.clients[client.0].connection {
            Connection::Child(child) => Some(child),
            Connection::Nothing | Connection::Request(_) => None,
        }
    }

    /// The server has nothing of the connection any more.
    pub(super) fn forget(&mut self, client: ClientId) {
        self.client(client).connection = Connection::Nothing;
    }

    /// `reqsk_queue_added()`, `reqsk_queue_migrated()`.
    pub(super) fn request_added(&mut self, listener: ListenerId, num_timeout: u8) {
        let listener = self.listener(listener);
        listener.qlen += 1;
        listener.young += i32::from(num_timeout == 0);
    }

    /// `reqsk_queue_removed()`.
    pub(super) fn request_removed(&mut self, listener: ListenerId, num_timeout: u8) {
        let listener = self.listener(listener);
        listener.qlen -= 1;
        listener.young -= i32::from(num_timeout == 0);
    }
}

impl Client {
    pub(super) fn with_hash(hash: HashRange) -> Self {
        Self { hash, likely: None, connection: Connection::Nothing, next: 1 }
    }

    /// The number of its SYN, relative to the first one that it ever sent.
    pub(super) fn first(&self) -> u32 {
        match self.connection {
            Connection::Nothing => 0,
            Connection::Request(_) | Connection::Child(_) => self.next - 1,
        }
    }
}

impl Listener {
    /// `sk_acceptq_is_full()`.
    pub(super) fn accept_queue_is_full(&self) -> bool {
        self.accept_queue.len() as u64 > u64::from(self.backlog)
    }

    /// `inet_csk_reqsk_queue_is_full()`: the comparison is of unsigned numbers, so that a
    /// count of -1 is a full queue.
    pub(super) fn request_queue_is_full(&self) -> bool {
        self.qlen.cast_unsigned() > self.backlog
    }
}
