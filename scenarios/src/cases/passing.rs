//! What can go wrong when descriptors are passed through UNIX sockets: rules that a
//! hand-over relies on, each with what really happens.

use std::os::fd::AsFd;

use harness::lab::{Lab, PairKind, outcome};
use harness::net::scm_rights::{self, Receive, exact_room, usual_room};
use harness::socket::{Listener, Message, UnixPair};
use harness::{Context, net::witness};

use crate::case::{Case, Need, Setting};
use crate::judge::expectation::{Expectation, WireRule};
use crate::prefix::{CaseFile, Prefix};

pub(super) const PREFIX: Prefix = Prefix {
    id: "passing",
    about: "rules of passing descriptors through UNIX sockets",
    files: &[CaseFile { module: module_path!(), cases: CASES }],
};

const CASES: &[Case] = &[
    Case {
        name: "passing/without-data",
        does: "A is sent without a byte of data: through a stream, a datagram and a seqpacket \
               socket.",
        must: "sendmsg on the stream socket returns 0, which is not an error, and passes nothing. \
               The others pass A.",
        source: "the blog post on passing descriptors; unix_stream_sendmsg() loops over bytes",
        wire: WireRule::Silent,
        needs: &[Need::UnixSockets],
        run: without_data,
        expect: |_| {
            Expectation::new()
                .fact("sendmsg(stream)", "0")
                .fact("recvmsg(stream)", "EAGAIN")
                .fact("sendmsg(datagram)", "0")
                .fact("recvmsg(datagram)", "``, descriptors: 1")
                .fact("sendmsg(seqpacket)", "0")
                .fact("recvmsg(seqpacket)", "``, descriptors: 1")
                .fact("descriptors left open", 0)
        },
        ..Case::DEFAULT
    },
    Case {
        name: "passing/little-room",
        does: "Three descriptors of A are sent in one message, several times; the receiver's \
               control buffer has room for all, for two exactly, for one as CMSG_SPACE rounds it \
               up, for a header only, and for nothing.",
        must: "Descriptors that there is no room for are closed, and MSG_CTRUNC is set. The \
               padding that CMSG_SPACE adds counts as room: two arrive where one was meant.",
        source: "the blog post on passing descriptors; put_cmsg(), scm_detach_fds(), \
                 scm_max_fds()",
        wire: WireRule::Silent,
        needs: &[Need::UnixSockets],
        run: little_room,
        expect: |_| {
            Expectation::new()
                .fact("room for three", "`A`, descriptors: 3")
                .fact("exact room for two", "`A`, descriptors: 2, MSG_CTRUNC")
                .fact("CMSG_SPACE for one", "`A`, descriptors: 2, MSG_CTRUNC")
                .fact("a header only", "`A`, descriptors: 0, MSG_CTRUNC")
                .fact("no room", "`A`, descriptors: 0, MSG_CTRUNC")
                .fact("descriptors left open", 0)
                .fact("sockets then", "a listener")
        },
        ..Case::DEFAULT
    },
    Case {
        name: "passing/last-one-dropped",
        does: "A is sent and closed; it is received with no room for a control message.",
        must: "The data comes with MSG_CTRUNC, and that was A's close: nobody listens any more.",
        source: "scm_destroy(); the blog post on passing descriptors: excess descriptors are \
                 closed",
        wire: WireRule::Silent,
        needs: &[Need::UnixSockets],
        run: last_one_dropped,
        expect: |_| {
            Expectation::new()
                .fact("sockets before", "a listener")
                .fact("recvmsg", "`A`, descriptors: 0, MSG_CTRUNC")
                .fact("sockets then", "none")
        },
        ..Case::DEFAULT
    },
    Case {
        name: "passing/descriptor-limit",
        does: "Eight descriptors of A are sent in one message to a process that may open three \
               more (RLIMIT_NOFILE).",
        must: "Three come, with the data and MSG_CTRUNC; the others cannot be had by another recvmsg.",
        source: "the blog post on passing descriptors; receive_fd(), scm_detach_fds()",
        wire: WireRule::Silent,
        needs: &[Need::UnixSockets],
        run: descriptor_limit,
        expect: |_| {
            Expectation::new()
                .fact("recvmsg", "`A`, descriptors: 3, MSG_CTRUNC")
                .fact("recvmsg, again", "EAGAIN")
        },
        ..Case::DEFAULT
    },
    Case {
        name: "passing/how-many",
        does: "A's descriptor is sent 0, 253 and 254 times in one message; then one that is not \
               open.",
        must: "253 is the limit: more fail with EINVAL. One that is not open fails with EBADF. \
               None at all is not an error.",
        source: "the blog post on passing descriptors; scm_fp_copy(), SCM_MAX_FD",
        wire: WireRule::Silent,
        needs: &[Need::UnixSockets],
        run: how_many,
        expect: |_| {
            Expectation::new()
                .fact("sendmsg(none)", "1")
                .fact("recvmsg(none)", "`A`, descriptors: 0")
                .fact("sendmsg(253)", "1")
                .fact("recvmsg(253)", "`A`, descriptors: 253")
                .fact("sendmsg(254)", "EINVAL")
                .fact("recvmsg(254)", "EAGAIN")
                .fact("sendmsg(one that is not open)", "EBADF")
                .fact("recvmsg(one that is not open)", "EAGAIN")
                .fact("descriptors left open", 0)
        },
        ..Case::DEFAULT
    },
    Case {
        name: "passing/glued",
        does: "A stream socket gets `AA`, `BB` with a descriptor, `CC`, `DD` with a descriptor; \
               all is read by calls that have room for everything, and once more byte by byte.",
        must: "A call does not read past the data of a descriptor, but it may begin long before \
               it. The descriptor comes with the first byte of its own data.",
        source: "the blog post on passing descriptors, on recvmsg; unix_stream_read_generic()",
        wire: WireRule::Silent,
        needs: &[Need::UnixSockets],
        run: glued,
        expect: |_| {
            Expectation::new()
                .fact("whole", "`AABB`, descriptors: 1; `CCDD`, descriptors: 1")
                .fact(
                    "byte by byte",
                    "`A`, descriptors: 0; `A`, descriptors: 0; \
                     `B`, descriptors: 1; `B`, descriptors: 0; \
                     `C`, descriptors: 0; `C`, descriptors: 0; \
                     `D`, descriptors: 1; `D`, descriptors: 0",
                )
                .fact("descriptors left open", 0)
        },
        ..Case::DEFAULT
    },
    Case {
        name: "passing/peek",
        does: "A is sent and closed; the message is peeked at twice (MSG_PEEK), then received; the \
               descriptors are closed one after the other.",
        must: "Each peek opens another descriptor, without close-on-exec unless it is asked for. A \
               listens until the last one is closed.",
        source: "unix_peek_fds(), scm_detach_fds(), MSG_CMSG_CLOEXEC",
        wire: WireRule::Silent,
        needs: &[Need::UnixSockets],
        run: peek,
        expect: |_| {
            Expectation::new()
                .fact("first look", "`A`, descriptors: 1, closed by exec: false")
                .fact("second look", "`A`, descriptors: 1, closed by exec: false")
                .fact("recvmsg", "`A`, descriptors: 1, closed by exec: true")
                .fact("sockets with one copy left", "a listener")
                .fact("sockets then", "none")
        },
        ..Case::DEFAULT
    },
    Case {
        name: "passing/refused",
        does: "The receiver wants no descriptors (SO_PASSRIGHTS is 0); A is sent to it.",
        must: "The sender gets EPERM, and nothing arrives.",
        source: "unix_stream_sendmsg(), sk_scm_rights, Linux 6.16",
        wire: WireRule::Silent,
        needs: &[Need::UnixSockets],
        run: refused_by_receiver,
        expect: |_| {
            Expectation::new()
                .fact("setsockopt(SO_PASSRIGHTS, 0)", "ok")
                .fact("sendmsg(A)", "EPERM")
                .fact("recvmsg", "EAGAIN")
                .fact("descriptors left open", 0)
        },
        ..Case::DEFAULT
    },
];

const EAGAIN: &str = "EAGAIN";

/// `sendmsg` of these listeners: bytes taken, or the errno.
fn send(lab: &mut Lab, what: &str, pair: &UnixPair, bytes: &[u8], listeners: &[&Listener]) {
    observe_sent(lab, what, pair.send(bytes, listeners));
}

fn observe_sent(lab: &mut Lab, what: &str, sent: std::io::Result<usize>) {
    let shown = sent.map_or_else(|e| outcome(Err(e)), |bytes| bytes.to_string());
    lab.observe(&format!("sendmsg({what})"), shown);
}

fn receive(pair: &UnixPair, how: Receive) -> (String, Vec<Listener>) {
    match pair.receive(how) {
        Ok(message) => (message.to_string(), message.listeners),
        Err(e) => (outcome(Err(e)), vec![]),
    }
}

fn observe_left_open(lab: &mut Lab, before: i64) -> harness::Result<()> {
    lab.observe("descriptors left open", witness::open_sockets()? - before);
    Ok(())
}

fn without_data(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let before = witness::open_sockets()?;
    for (kind, pair) in [
        ("stream", lab.unix_pair(PairKind::Stream)?),
        ("datagram", lab.unix_pair(PairKind::Datagram)?),
        ("seqpacket", lab.unix_pair(PairKind::SeqPacket)?),
    ] {
        send(lab, kind, &pair, b"", &[&a]);
        lab.observe(&format!("recvmsg({kind})"), receive(&pair, Receive::ALL).0);
    }
    observe_left_open(lab, before)
}

fn little_room(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let pair = lab.unix_pair(PairKind::Stream)?;
    let before = witness::open_sockets()?;
    for (name, control) in [
        ("room for three", usual_room(3)),
        ("exact room for two", exact_room(2)),
        ("CMSG_SPACE for one", usual_room(1)),
        ("a header only", exact_room(0)),
        ("no room", 0),
    ] {
        pair.send(b"A", &[&a; 3]).map_err(refused)?;
        lab.observe(name, receive(&pair, Receive { control, ..Receive::ALL }).0);
    }
    observe_left_open(lab, before)?;
    lab.observe_sockets("then")
}

fn refused(source: std::io::Error) -> harness::Error {
    harness::Error::Tested { call: "sendmsg(SCM_RIGHTS)".into(), source }
}

fn last_one_dropped(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let pair = lab.unix_pair(PairKind::Stream)?;
    pair.send(b"A", &[&a]).map_err(refused)?;
    lab.close(a);
    lab.observe_sockets("before")?;
    lab.observe("recvmsg", receive(&pair, Receive { control: 0, ..Receive::ALL }).0);
    lab.observe_sockets("then")
}

fn descriptor_limit(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let pair = lab.unix_pair(PairKind::Stream)?;
    pair.send(b"A", &[&a; 8]).map_err(refused)?;
    let (first, again) = lab.with_room_for(3, || {
        let first = receive(&pair, Receive::ALL);
        (first.0, receive(&pair, Receive::ALL).0)
    })?;
    lab.observe("recvmsg", first);
    lab.observe("recvmsg, again", again);
    Ok(())
}

fn how_many(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let pair = lab.unix_pair(PairKind::Stream)?;
    let before = witness::open_sockets()?;
    for (what, count) in [("none", 0), ("253", 253), ("254", 254)] {
        send(lab, what, &pair, b"A", &vec![&a; count]);
        lab.observe(&format!("recvmsg({what})"), receive(&pair, Receive::ALL).0);
    }
    let sent = pair.send_with_a_closed_one(b"A", &[&a]);
    observe_sent(lab, "one that is not open", sent);
    let received = receive(&pair, Receive::ALL).0;
    lab.observe("recvmsg(one that is not open)", received);
    observe_left_open(lab, before)
}

fn glued(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let pair = lab.unix_pair(PairKind::Stream)?;
    let before = witness::open_sockets()?;
    for (name, bytes) in [("whole", Receive::ALL.bytes), ("byte by byte", 1)] {
        for (data, listeners) in
            [(b"AA", vec![]), (b"BB", vec![&a]), (b"CC", vec![]), (b"DD", vec![&a])]
        {
            pair.send(data, &listeners).map_err(refused)?;
        }
        let reads = std::iter::from_fn(|| {
            let shown = receive(&pair, Receive { bytes, ..Receive::ALL }).0;
            (shown != EAGAIN).then_some(shown)
        });
        let shown = reads.collect::<Vec<_>>().join("; ");
        lab.observe(name, shown);
    }
    observe_left_open(lab, before)
}

fn peek(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let pair = lab.unix_pair(PairKind::Stream)?;
    pair.send(b"A", &[&a]).map_err(refused)?;
    lab.close(a);
    let mut received = Vec::new();
    let peek = Receive { peek: true, close_on_exec: false, ..Receive::ALL };
    for (name, how) in [("first look", peek), ("second look", peek), ("recvmsg", Receive::ALL)] {
        let message = pair.receive(how).tested(|| format!("recvmsg, {name}"))?;
        let shown = with_flag(&message)?;
        lab.observe(name, shown);
        received.extend(message.listeners);
    }
    received.truncate(1);
    lab.observe_sockets("with one copy left")?;
    drop(received);
    lab.observe_sockets("then")
}

fn with_flag(message: &Message) -> harness::Result<String> {
    let mut shown = message.to_string();
    for descriptor in &message.listeners {
        let closed = scm_rights::closed_by_exec(descriptor.as_fd())?;
        shown.push_str(&format!(", closed by exec: {closed}"));
    }
    Ok(shown)
}

fn refused_by_receiver(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let pair = lab.unix_pair(PairKind::Stream)?;
    let before = witness::open_sockets()?;
    lab.observe("setsockopt(SO_PASSRIGHTS, 0)", outcome(pair.refuse()));
    send(lab, "A", &pair, b"A", &[&a]);
    lab.observe("recvmsg", receive(&pair, Receive::ALL).0);
    observe_left_open(lab, before)
}
