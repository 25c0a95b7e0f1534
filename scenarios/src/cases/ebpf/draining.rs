//! Doing without migration by a program: new connections are given to others, what is
//! there is served, and only then the old listener closes. The programs are of the kind that
//! is for new connections alone, as on kernels without migration.
//!
//! A request stays with its listener until the SYN+ACK timer gives it up. With
//! `tcp_synack_retries` at n the last retransmission comes after 2^n - 1 seconds, and the end
//! 2^n seconds later: 31 and 63 seconds by default.

use std::time::Duration;

use harness::bpf::Condition::Selected;
use harness::bpf::{Attach, Counts, Index, PASS, Program, SockArray, count, select, when};
use harness::lab::Lab;
use harness::socket::wire_client::{Draft, WireClient};
use harness::socket::{Child, Client, Listener, Stream};

use crate::case::{Case, Need, Settings};
use crate::document::{COVER_LETTER, TALK};
use crate::judge::expectation::{AnyWire, Expectation, WireRule};
use crate::steps::request::{RESET, data};
use crate::steps::wires;

const DEFAULT_LAST: Duration = Duration::from_secs(31);

const DEFAULT_END: Duration = Duration::from_secs(63);

pub(super) const CASES: &[Case] = &[
    Case {
        name: "ebpf/draining/last-moment",
        former_names: &[],
        does: "A program gives clients to the old listener A while A is in the socket array, and \
               to B otherwise. A has C's child and W's request; B listens and A is taken out of \
               the array; clients come; W answers A's last SYN+ACK, 31 seconds after the first; A \
               accepts until EAGAIN and is closed.",
        must: "No client is lost: A has C and W, B has those that came since, and none is reset.",
        documents: &[TALK.at("workaround 2: 1 + 2 + 4 + 8 + 16 = 31 seconds")],
        source: "reqsk_timer_handler(), tcp_synack_retries",
        settings: Settings::Families,
        needs: &[Need::Programs],
        waits_for: DEFAULT_LAST,
        wire: WireRule::Any(AnyWire::TimersFire),
        run: |lab, _| last_moment(lab),
        expect: |_| {
            saved_must()
                .fact("seconds between SYN+ACKs", "1, 2, 4, 8, 16")
                .fact("answer to W's data", "S > W  . 1:1(0) ack 12")
                .fact("A accepts", "C `Hello World`, W `Hello World`, EAGAIN")
                .counters(&[("PassiveOpens", 3)])
        },
    },
    Case {
        name: "ebpf/draining/until-the-end",
        does: "As ebpf/draining/last-moment, but W never answers, and A is closed when its request \
               is gone.",
        must: "That takes 63 seconds by default, not 31: the timeout after the last retransmission \
               counts too. No client is lost, and no request is left.",
        source: "reqsk_timer_handler(): the request is given up at the expiry after the last \
                 retransmission",
        settings: Settings::Once,
        needs: &[Need::Programs],
        waits_for: DEFAULT_END,
        wire: WireRule::Any(AnyWire::TimersFire),
        run: |lab, _| until_the_end(lab),
        expect: |_| {
            saved_must()
                .fact("seconds between SYN+ACKs", "1, 2, 4, 8, 16")
                .fact(
                    "sockets after 31 seconds",
                    "C ESTABLISHED, C's child ESTABLISHED, D ESTABLISHED, D's child ESTABLISHED, \
                     W's request, a listener, a listener",
                )
                .fact("A accepts", "C `Hello World`, EAGAIN")
                .counters(&[("PassiveOpens", 2)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "ebpf/draining/short",
        does: "As ebpf/draining/last-moment, with tcp_synack_retries at 0: W answers within a \
               second of its SYN.",
        must: "No client is lost: A has C and W, B has those that came since, and none is reset.",
        documents: &[TALK.at("workaround 2")],
        source: "the wait is as long as tcp_synack_retries makes it",
        settings: Settings::FamiliesOffAndOn,
        needs: &[Need::Programs, Need::Settings],
        wire: WireRule::Shows(&[
            wires::C_CONNECTS_AND_SENDS,
            (
                "D",
                "
                D > S  S 0:0(0)
                S > D  S. 0:0(0) ack 1
                D > S  . 1:1(0) ack 1
                D > S  R. 1:1(0) ack 1
                ...
            ",
            ),
            wires::W_SENDS,
        ]),
        run: |lab, _| short(lab),
        expect: |_| {
            saved_must()
                .fact("answer to W's data", "S > W  . 1:1(0) ack 12")
                .fact("A accepts", "C `Hello World`, W `Hello World`, EAGAIN")
                .counters(&[("PassiveOpens", 3)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "ebpf/draining/without-the-wait",
        does: "As ebpf/draining/short, but A accepts until EAGAIN and is closed while W's request \
               is in flight; then W sends its data.",
        must: "That is quiz 2: C is saved, and W is answered by an RST without ACK.",
        documents: &[TALK.at("workaround 2 and quiz 2")],
        settings: Settings::Families,
        needs: &[Need::Programs],
        wire: WireRule::Shows(&[wires::C_CONNECTS_AND_SENDS, wires::W_REFUSED]),
        run: |lab, _| without_the_wait(lab),
        expect: |_| {
            drained_must()
                .fact("answer to W's data", RESET)
                .fact("A accepts", "C `Hello World`, EAGAIN")
                .counters(&[("PassiveOpens", 1), ("OutRsts", 1)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "ebpf/draining/counted",
        does: "The program counts, in a map, what it gives to A and to B. A has C's child and W's \
               request; B listens; A is taken out of the array; clients come; W sends its data. A \
               accepts just as many as were counted, and is closed.",
        must: "The count says when nothing is in flight any more, without waiting for timers: two \
               were given to A, and none since. No client is lost.",
        documents: &[COVER_LETTER.at("the recipe that counts SYNs and accepts in a map")],
        settings: Settings::FamiliesOffAndOn,
        needs: &[Need::Programs],
        wire: WireRule::Shows(&[
            wires::C_CONNECTS_AND_SENDS,
            (
                "D",
                "
                D > S  S 0:0(0)
                S > D  S. 0:0(0) ack 1
                D > S  . 1:1(0) ack 1
                D > S  R. 1:1(0) ack 1
                ...
            ",
            ),
            wires::W_SENDS,
        ]),
        run: |lab, _| counted(lab),
        expect: |_| {
            saved_must()
                .fact("given to A, accepted by A", "2 and 1, then 2 and 2")
                .fact("given to B", 1)
                .fact("answer to W's data", "S > W  . 1:1(0) ack 12")
                .fact("A accepts", "C `Hello World`, W `Hello World`, EAGAIN")
                .counters(&[("PassiveOpens", 3)])
        },
        ..Case::DEFAULT
    },
];

/// The old listener's index in the socket array, and the new one's.
const OLD: u32 = 0;

const NEW: u32 = 1;

/// The old listener, the new one, and clients of either.
struct Drained {
    _group: SockArray,
    a: Listener,
    rest: Rest,
    /// What A has accepted.
    shown: Vec<String>,
}

/// What is left when A is closed.
struct Rest {
    b: Listener,
    client: Client,
    w: WireClient,
    before: harness::net::witness::Counters,
    /// The client that came since, and its child.
    late: Option<(Client, Option<Child>)>,
    /// A's children.
    children: Vec<Child>,
}

/// A has C's child and W's request; B listens, and A is out of the socket array.
fn begin(lab: &mut Lab, group: SockArray, program: &Program) -> harness::Result<Drained> {
    let a = lab.listen("A")?;
    lab.put_in_array(&group, OLD, &a)?;
    lab.attach(&a, program)?;
    let before = lab.counters()?;
    let client = crate::steps::queued_child::hello(lab, "C")?;
    client.reset_on_close()?;
    let mut w = lab.wire_client("W")?;
    lab.wire_syn(&mut w, &Draft::syn())?;
    let b = lab.listen("B")?;
    lab.put_in_array(&group, NEW, &b)?;
    lab.remove_from_array(&group, OLD)?;
    let rest = Rest { b, client, w, before, late: None, children: vec![] };
    Ok(Drained { _group: group, a, rest, shown: vec![] })
}

/// The same, with a program that gives everything to the first listener in the socket array.
fn begin_simply(lab: &mut Lab) -> harness::Result<Drained> {
    let group = SockArray::new(2)?;
    let statements = [select(&group, OLD), select(&group, NEW), PASS];
    let program = Program::load(Attach::Select, &statements)?;
    begin(lab, group, &program)
}

impl Drained {
    /// Another client comes.
    fn somebody_comes(&mut self, lab: &mut Lab) -> harness::Result<()> {
        let client = lab.connect("D")?;
        client.reset_on_close()?;
        lab.settle()?;
        let child = lab.accept_now(&self.rest.b)?;
        child.as_ref().map_or(Ok(()), Stream::reset_on_close)?;
        self.rest.late = Some((client, child));
        Ok(())
    }

    /// A accepts one, or finds its queue empty.
    fn accept(&mut self, lab: &mut Lab) -> harness::Result<bool> {
        let Some((whose, child)) = lab.accept_next(&self.a)? else {
            self.shown.push("EAGAIN".to_owned());
            return Ok(false);
        };
        self.shown.push(format!("{whose} {}", child.receive_now()?));
        child.reset_on_close()?;
        self.rest.children.push(child);
        Ok(true)
    }

    /// A accepts until EAGAIN, and closes.
    fn drain(mut self, lab: &mut Lab) -> harness::Result<Rest> {
        while self.accept(lab)? {}
        lab.observe("A accepts", self.shown.join(", "));
        lab.close(self.a);
        lab.settle()?;
        Ok(self.rest)
    }
}

impl Rest {
    fn data_of_w(&mut self, lab: &mut Lab) -> harness::Result<()> {
        let answer = lab.wire_send(&mut self.w, &data())?;
        lab.observe("answer to W's data", answer);
        Ok(())
    }

    /// What happened to each client.
    fn observe(self, lab: &mut Lab) -> harness::Result<()> {
        lab.observe_counters(&self.before)?;
        lab.observe("recv(C)", self.client.receive_now()?.to_string());
        drop((self.children, self.late));
        lab.observe_service(&self.b)
    }
}

/// What is the same in every case: the first clients are not reset, and B serves.
fn drained_must() -> Expectation {
    Expectation::new().fact("recv(C)", "EAGAIN").fact("B serves a fresh client", "yes")
}

/// And B has the client that came since.
fn saved_must() -> Expectation {
    drained_must().fact("accept(B)", "D's connection")
}

fn last_moment(lab: &mut Lab) -> harness::Result<()> {
    let mut drained = begin_simply(lab)?;
    drained.somebody_comes(lab)?;
    lab.until_syn_acks(&drained.rest.w, 6, DEFAULT_LAST)?;
    lab.observe_back_off(&drained.rest.w);
    drained.rest.data_of_w(lab)?;
    drained.drain(lab)?.observe(lab)
}

fn until_the_end(lab: &mut Lab) -> harness::Result<()> {
    let mut drained = begin_simply(lab)?;
    drained.somebody_comes(lab)?;
    lab.until_syn_acks(&drained.rest.w, 6, DEFAULT_LAST)?;
    lab.observe_sockets("after 31 seconds")?;
    lab.until_no_request(&drained.rest.w, DEFAULT_END - DEFAULT_LAST)?;
    lab.observe_back_off(&drained.rest.w);
    drained.drain(lab)?.observe(lab)
}

fn short(lab: &mut Lab) -> harness::Result<()> {
    lab.sysctl("net.ipv4.tcp_synack_retries", "0")?;
    let mut drained = begin_simply(lab)?;
    drained.somebody_comes(lab)?;
    drained.rest.data_of_w(lab)?;
    drained.drain(lab)?.observe(lab)
}

fn without_the_wait(lab: &mut Lab) -> harness::Result<()> {
    let drained = begin_simply(lab)?;
    let mut closed = drained.drain(lab)?;
    closed.data_of_w(lab)?;
    closed.observe(lab)
}

fn counted(lab: &mut Lab) -> harness::Result<()> {
    let (group, given) = (SockArray::new(2)?, Counts::new(2)?);
    let program = {
        let each = |index| when(Selected(&group, Index::At(index)), [count(&given, index), PASS]);
        Program::load(Attach::Select, &[each(OLD), each(NEW), PASS])?
    };
    let mut drained = begin(lab, group, &program)?;
    drained.somebody_comes(lab)?;
    drained.accept(lab)?;
    let first = format!("{} and {}", given.get(OLD)?, drained.rest.children.len());
    drained.rest.data_of_w(lab)?;
    while (drained.rest.children.len() as i64) < given.get(OLD)? && drained.accept(lab)? {}
    let then = format!("{} and {}", given.get(OLD)?, drained.rest.children.len());
    lab.observe("given to A, accepted by A", format!("{first}, then {then}"));
    lab.observe("given to B", given.get(NEW)?);
    drained.drain(lab)?.observe(lab)
}
