//! Sockets that somebody else destroys, by netlink: `ss --kill`, or a network manager after
//! an address has gone. A listener that is destroyed stays open, and is of no more use.

use std::net::Shutdown;

use harness::lab::Lab;
use harness::lab::blocked_thread::Way;
use harness::socket::attribute;
use harness::socket::wire_client::{Draft, WireClient};
use harness::socket::{Child, Stream};

use crate::case::{Case, Migration, Need, Setting, Settings};
use crate::judge::expectation::{AnyWire, Expectation, WireRule};
use crate::prefix::{CaseFile, Prefix};
use crate::steps::fast_open::{
    both, fast_open_syns, unfinished_child_ended_by, unfinished_child_ended_by_must,
};
use crate::steps::queued_child::{SERVED, ended_by, ended_by_must, hello};
use crate::steps::request::{RESET, data, observe_child, request_in_flight};
use crate::steps::sleeping_thread::{ended_under, ended_under_must};
use crate::steps::syn_ack_timer::FIRST;
use crate::steps::wires;

pub(super) const PREFIX: Prefix = Prefix {
    id: "destroy",
    about: "sockets that somebody else destroys, by netlink: a listener, its children, its \
            requests",
    files: &[CaseFile { module: module_path!(), cases: CASES }],
};

const CASES: &[Case] = &[
    Case {
        name: "destroy/listener",
        does: "As quiz 1, but A is destroyed by netlink instead of closed, and stays open.",
        must: "As quiz 1. accept on A then fails with EINVAL; poll reports an error on A, and \
               SO_ERROR is ECONNABORTED, once.",
        source: "tcp_abort(): tcp_set_state(TCP_CLOSE), inet_csk_listen_stop(), \
                 tcp_done_with_error()",
        settings: Settings::FamiliesOffAndOn,
        needs: &[Need::Destroy],
        run: |lab, _| ended_by(lab, destroyed),
        expect: |setting| {
            ended_by_must(DESTROY, setting)
                .fact("SOCK_DESTROY(A)", "ok")
                .fact("accept(A)", "EINVAL")
                .fact("poll(A)", "POLLIN POLLOUT POLLERR POLLHUP")
                .fact("SO_ERROR of A, twice", "ECONNABORTED, none")
        },
        ..Case::DEFAULT
    },
    Case {
        name: "destroy/under-accept",
        does: "A thread sleeps in accept on A; B listens; A is destroyed by netlink.",
        must: "The call returns at once, with EINVAL.",
        source: "tcp_done(): sk_state_change(); inet_csk_wait_for_connect()",
        settings: Settings::FamiliesOffAndOn,
        needs: &[Need::Destroy],
        wire: WireRule::Any(AnyWire::SocketsMatter),
        run: |lab, _| ended_under(lab, Way::Accept, Lab::destroy),
        expect: |_| ended_under_must("EINVAL"),
        ..Case::DEFAULT
    },
    Case {
        name: "destroy/under-epoll",
        does: "A thread sleeps in epoll_wait on A; B listens; A is destroyed by netlink.",
        must: "The call returns at once.",
        source: "tcp_done(): sk_state_change(), sk_error_report()",
        settings: Settings::FamiliesOffAndOn,
        needs: &[Need::Destroy],
        wire: WireRule::Any(AnyWire::SocketsMatter),
        run: |lab, _| ended_under(lab, Way::Epoll, Lab::destroy),
        expect: |_| ended_under_must("no child"),
        ..Case::DEFAULT
    },
    Case {
        name: "destroy/in-flight",
        does: "A has W's request; B listens; A is destroyed by netlink. W sends data.",
        must: "As after a close: nothing happens at once. Off: the data is answered by an RST \
               without ACK. On: it completes the handshake on B. A cannot be destroyed again, as \
               it is no longer a listener.",
        source: "tcp_abort() leaves requests alone; reuseport_migrate_sock()",
        settings: Settings::FamiliesOffAndOn,
        needs: &[Need::Destroy, Need::Gate],
        wire: WireRule::OffAndOn(&[wires::W_REFUSED], &[wires::W_SENDS]),
        run: in_flight,
        expect: |setting| {
            in_flight_must(setting)
                .fact("sockets after it", "W's request, a listener")
                .fact("SOCK_DESTROY(A), twice", "ok, ENOENT")
                .fact("handshakes that B has room for", "as many as a fresh listener")
        },
        ..Case::DEFAULT
    },
    Case {
        name: "destroy/then-closed",
        does: "A has C's child and W's request; B listens; A is destroyed by netlink, and then \
               closed by its owner. W sends data.",
        must: "The close changes nothing for either. Off: C was reset when A was destroyed, and W \
               is reset when it sends data. On: B has both, and each has moved once.",
        source: "reuseport_detach_sock() of a closed member; tcp_abort()",
        settings: Settings::FamiliesOffAndOn,
        needs: &[Need::Destroy],
        wire: WireRule::OffAndOn(
            &[wires::C_CONNECTS_AND_SENDS, wires::W_REFUSED],
            &[wires::C_CONNECTS_AND_SENDS, wires::W_SENDS],
        ),
        run: then_closed,
        expect: then_closed_must,
        ..Case::DEFAULT
    },
    Case {
        name: "destroy/timer",
        does: "A has W's request; B listens; A is destroyed by netlink; the SYN+ACK timer fires; A \
               listens again.",
        must: "Off: the request is dropped in silence. On: it moves to B. Either way it is no \
               longer in A's count: A has room for as many as before.",
        source: "reqsk_timer_handler(): the listener is not in LISTEN any more",
        settings: Settings::FamiliesOffAndOn,
        needs: &[Need::Destroy, Need::Gate],
        waits_for: FIRST,
        wire: WireRule::Any(AnyWire::TimersFire),
        run: timer,
        expect: |setting| {
            let (sockets, moved) = match setting.migration {
                Migration::Off => ("a listener", 0),
                Migration::On => ("W's request, a listener", 1),
            };
            Expectation::new()
                .fact("sockets after the timer", sockets)
                .fact("handshakes that A has room for", "as many as a fresh listener")
                .counters(&[("TCPMigrateReqSuccess", moved)])
        },
        ..Case::DEFAULT
    },
    Case {
        name: "destroy/fast-open",
        does: "As fast-open/accept-queue, but A is destroyed by netlink instead of closed.",
        must: "As fast-open/accept-queue. Off: the unfinished child is reset. On: it moves to B, \
               and W's ACK ends the handshake.",
        source: "tcp_abort(), inet_csk_listen_stop(), a child in SYN_RECV",
        settings: Settings::FamiliesOffAndOn,
        needs: &[Need::Destroy, Need::Settings],
        run: |lab, _| {
            unfinished_child_ended_by(lab, |lab, a| {
                lab.destroy(&a)?;
                Ok(a)
            })
        },
        expect: |setting| unfinished_child_ended_by_must(DESTROY, setting),
        ..Case::DEFAULT
    },
    Case {
        name: "destroy/child",
        does: "C's child has moved from A, which is closed, to B, and waits there. It is destroyed \
               by netlink; then B accepts.",
        must: "C is reset, by one RST that acknowledges its data. The child stays in B's queue: B \
               accepts it, reads its data, and then gets ECONNABORTED.",
        source: "tcp_abort(): tcp_send_active_reset(), tcp_done_with_error()",
        settings: Settings::FamiliesOn,
        needs: &[Need::Destroy],
        run: child,
        expect: |_| {
            destroyed_child_must("C")
                .fact("recv(C)", "ECONNRESET")
                .fact("B's accept queue then", "1 of 32")
                .fact("B serves a fresh client", "yes")
                .counters(&[("TCPMigrateReqSuccess", 1), ("OutRsts", 1), ("EstabResets", 2)])
                .wire(
                    "C",
                    &format!(
                        "{SERVED}
                         -- close(A) --
                         -- SOCK_DESTROY(C's child) --
                         S > C  R. 1:1(0) ack 12"
                    ),
                )
        },
        ..Case::DEFAULT
    },
    Case {
        name: "destroy/fast-open-child",
        does: "A Fast Open child has moved from A to B, which allows one unfinished Fast Open \
               child, and waits there. It is destroyed by netlink; B accepts; then clients connect \
               with data in their SYNs.",
        must: "W is reset; B accepts the child, reads its data, and then gets ECONNABORTED. The \
               child is no longer in B's count: the data of one client is taken.",
        source: "tcp_done(): reqsk_fastopen_remove(), a0ab2ba83e35",
        settings: Settings::FamiliesOn,
        needs: &[Need::Destroy],
        run: fast_open_child,
        expect: |_| {
            destroyed_child_must("W")
                .fact("SYNs whose data B takes", 1)
                .fact("TCPFastOpenPassive", 1)
                .fact("TCPFastOpenListenOverflow", 2)
                .wire(
                    "W",
                    "W > S  S 0:11(11)
                     S > W  S. 0:0(0) ack 12
                     -- SOCK_DESTROY(W's child) --
                     S > W  R. 1:1(0) ack 12",
                )
        },
        ..Case::DEFAULT
    },
    Case {
        name: "destroy/request",
        does: "A has W's request; B listens; A is shut down for reading; W's request, which is \
               still A's, is destroyed by netlink. W sends data. V sends a SYN, and B retransmits \
               its SYN+ACK. At the end A listens again.",
        must: "No packet is sent: W learns of it from the RST without ACK that answers its data, \
               and A's SYN+ACK is not retransmitted. The request is taken off A's count, and \
               nothing is taken off B's.",
        source: "tcp_abort(): TCP_NEW_SYN_RECV, inet_csk_reqsk_queue_drop(), timer_delete_sync()",
        settings: Settings::FamiliesOn,
        needs: &[Need::Destroy, Need::Gate],
        waits_for: FIRST,
        wire: WireRule::Any(AnyWire::TimersFire),
        run: request,
        expect: |_| {
            destroyed_request_must()
                .fact("SYN+ACKs to W when V had two", 1)
                .fact("handshakes that A has room for", "as many as a fresh listener")
        },
        ..Case::DEFAULT
    },
    Case {
        name: "destroy/moved-request",
        does: "A had W's request and is closed; the SYN+ACK timer has moved the request to B, \
               where netlink destroys it by the cookie that it had at A. W sends data.",
        must: "The request has kept its cookie. It is taken off B's count without a packet, and \
               the data is answered by an RST without ACK.",
        source: "inet_reqsk_clone(): ir_cookie, rsk_listener; tcp_abort()",
        settings: Settings::FamiliesOn,
        needs: &[Need::Destroy, Need::Gate],
        waits_for: FIRST,
        wire: WireRule::Any(AnyWire::TimersFire),
        run: moved_request,
        expect: |_| destroyed_request_must().fact("requests that moved", 1),
        ..Case::DEFAULT
    },
    Case {
        name: "destroy/moved-child",
        does: "sock_diag is asked for W's request at A; A is closed; W's data completes the \
               handshake on B, which accepts; the child is destroyed by the request's cookie.",
        must: "The child has the cookie of its request, whichever listener that was with: it is \
               found, and W is reset.",
        source: "inet_csk_clone_lock(): sk_cookie",
        settings: Settings::FamiliesOn,
        needs: &[Need::Destroy],
        wire: WireRule::Shows(&[wires::W_SENDS]),
        run: moved_child,
        expect: |_| {
            Expectation::new()
                .fact("the child's SO_COOKIE", "its request's")
                .fact("SOCK_DESTROY(W's child)", "ok")
                .fact("recv(B's child)", "`Hello World`")
                .fact("recv(B's child), again", "ECONNABORTED")
                .fact("sockets then", "a listener")
        },
        ..Case::DEFAULT
    },
];

const DESTROY: &str = "SOCK_DESTROY(A)";

/// A is destroyed, and what its owner finds then.
fn destroyed(
    lab: &mut Lab,
    a: harness::socket::Listener,
) -> harness::Result<harness::socket::Listener> {
    let came = lab.destroy(&a)?;
    lab.observe(DESTROY, came);
    let accepted = a.try_accept();
    lab.observe("accept(A)", accepted);
    lab.observe("poll(A)", a.polled()?);
    let errors = [attribute::error(&a)?, attribute::error(&a)?];
    lab.observe("SO_ERROR of A, twice", errors.join(", "));
    Ok(a)
}

fn in_flight(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let (a, mut w, b) = request_in_flight(lab)?;
    let before = lab.counters()?;
    let came = [lab.destroy(&a)?, lab.destroy(&a)?];
    lab.observe("SOCK_DESTROY(A), twice", came.join(", "));
    lab.observe_sockets("after it")?;
    let answer = lab.wire_send(&mut w, &data())?;
    lab.observe("answer to data", answer);
    lab.observe_counters(&before)?;
    observe_child(lab, &b)?;
    lab.observe_room(b)
}

fn in_flight_must(setting: Setting) -> Expectation {
    match setting.migration {
        Migration::Off => Expectation::new()
            .fact("answer to data", RESET)
            .fact("accept(B)", "EAGAIN")
            .fact("recv(B's child)", "no child")
            .counters(&[("OutRsts", 1)]),
        Migration::On => Expectation::new()
            .fact("answer to data", "S > W  . 1:1(0) ack 12")
            .fact("accept(B)", "W's connection")
            .fact("recv(B's child)", "`Hello World`")
            .counters(&[("TCPMigrateReqSuccess", 1), ("PassiveOpens", 1)]),
    }
}

fn then_closed(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let client = hello(lab, "C")?;
    client.reset_on_close()?;
    let mut w = lab.wire_client("W")?;
    lab.wire_syn(&mut w, &Draft::syn())?;
    let b = lab.listen("B")?;
    let before = lab.counters()?;
    lab.destroy(&a)?;
    lab.close(a);
    let answer = lab.wire_send(&mut w, &data())?;
    lab.observe("answer to W's data", answer);
    lab.observe_counters(&before)?;
    lab.observe("recv(C)", client.receive_now()?.to_string());
    let mut accepted = Vec::new();
    while let Some((whose, child)) = lab.accept_next(&b)? {
        child.reset_on_close()?;
        accepted.push(format!("{whose} {}", child.receive_now()?));
    }
    lab.observe("B accepts", accepted.join(", "));
    Ok(())
}

fn then_closed_must(setting: Setting) -> Expectation {
    match setting.migration {
        Migration::Off => Expectation::new()
            .fact("answer to W's data", RESET)
            .fact("recv(C)", "ECONNRESET")
            .fact("B accepts", "")
            .counters(&[("OutRsts", 2), ("EstabResets", 2)]),
        Migration::On => Expectation::new()
            .fact("answer to W's data", "S > W  . 1:1(0) ack 12")
            .fact("recv(C)", "EAGAIN")
            .fact("B accepts", "C `Hello World`, W `Hello World`")
            .counters(&[("TCPMigrateReqSuccess", 2), ("PassiveOpens", 1)]),
    }
}

fn timer(lab: &mut Lab, setting: Setting) -> harness::Result<()> {
    let (a, mut w, b) = request_in_flight(lab)?;
    let before = lab.counters()?;
    lab.destroy(&a)?;
    match setting.migration {
        Migration::Off => lab.until_no_request(&w, FIRST)?,
        Migration::On => lab.until_syn_acks(&w, 2, FIRST)?,
    }
    lab.observe_sockets("after the timer")?;
    lab.observe_counters(&before)?;
    lab.wire_send(&mut w, &Draft::new("R", 1, 0))?;
    lab.close(b);
    lab.start_listening(&a, 8)?;
    lab.observe_room(a)
}

fn child(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let client = hello(lab, "C")?;
    let b = lab.listen("B")?;
    let before = lab.counters()?;
    lab.close(a);
    let came = lab.destroy_child(client.local, None)?;
    lab.observe("SOCK_DESTROY(C's child)", came);
    lab.observe("B's accept queue then", b.queue()?.to_string());
    lab.observe("recv(C)", client.receive()?.to_string());
    observe_destroyed_child(lab, &b)?;
    lab.observe_counters(&before)?;
    lab.observe_service(&b)
}

fn fast_open_child(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let (a, b, w) = both(lab)?;
    lab.close(a);
    let came = lab.destroy_child(w.local, None)?;
    lab.observe("SOCK_DESTROY(W's child)", came);
    // A close would take it off the count as well.
    let _open = observe_destroyed_child(lab, &b)?;
    fast_open_syns(lab)
}

/// What B has of a child that was destroyed in its queue.
fn observe_destroyed_child(
    lab: &mut Lab,
    b: &harness::socket::Listener,
) -> harness::Result<Option<Child>> {
    lab.observe_sockets("then")?;
    let child = lab.accept_now(b)?;
    if let Some(child) = &child {
        lab.observe("recv(B's child)", child.receive_now()?.to_string());
        lab.observe("recv(B's child), again", child.receive_now()?.to_string());
    }
    Ok(child)
}

fn destroyed_child_must(client: &str) -> Expectation {
    Expectation::new()
        .fact(&format!("SOCK_DESTROY({client}'s child)"), "ok")
        .fact("sockets then", "a listener")
        .fact("accept(B)", &*format!("{client}'s connection"))
        .fact("recv(B's child)", "`Hello World`")
        .fact("recv(B's child), again", "ECONNABORTED")
}

fn request(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let (a, w, b) = request_in_flight(lab)?;
    lab.shut_down(&a, Shutdown::Read)?;
    destroy_request(lab, w, None)?;
    let mut v = lab.wire_client("V")?;
    lab.wire_syn(&mut v, &Draft::syn())?;
    lab.until_syn_acks(&v, 2, FIRST)?;
    let trace = lab.trace();
    let to_w = trace.segments().filter(|s| trace.name_of(s.to) == "W");
    let syn_acks = to_w.filter(|s| s.flags.syn() && s.flags.ack()).count();
    lab.observe("SYN+ACKs to W when V had two", syn_acks);
    lab.wire_send(&mut v, &Draft::new("R", 1, 0))?;
    lab.observe_room(b)?;
    lab.start_listening(&a, 8)?;
    lab.observe_room(a)
}

fn moved_request(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let (a, w, b) = request_in_flight(lab)?;
    let cookie = lab.cookie_of(w.local)?;
    let before = lab.counters()?;
    lab.close(a);
    lab.until_syn_acks(&w, 2, FIRST)?;
    let moved = lab.counters()?.grown(&before, "TCPMigrateReqSuccess").unwrap_or(-1);
    lab.observe("requests that moved", moved);
    destroy_request(lab, w, Some(cookie))?;
    lab.observe_room(b)
}

/// W's request is destroyed; what of its data then?
fn destroy_request(lab: &mut Lab, mut w: WireClient, cookie: Option<u64>) -> harness::Result<()> {
    let before = lab.counters()?;
    let came = lab.destroy_request(w.local, cookie)?;
    lab.observe("SOCK_DESTROY(W's request)", came);
    lab.observe_sockets("then")?;
    let answer = lab.wire_send(&mut w, &data())?;
    lab.observe("answer to data", answer);
    lab.observe_counters(&before)
}

fn destroyed_request_must() -> Expectation {
    Expectation::new()
        .fact("SOCK_DESTROY(W's request)", "ok")
        .fact("sockets then", "a listener")
        .fact("answer to data", RESET)
        .fact("handshakes that B has room for", "as many as a fresh listener")
        .counters(&[("OutRsts", 1)])
}

fn moved_child(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let (a, mut w, b) = request_in_flight(lab)?;
    let cookie = lab.cookie_of(w.local)?;
    lab.close(a);
    lab.wire_send(&mut w, &data())?;
    let child = b.accept()?;
    let kept = attribute::cookie(&child)? == cookie;
    lab.observe("the child's SO_COOKIE", if kept { "its request's" } else { "another one" });
    let came = lab.destroy_child(w.local, Some(cookie))?;
    lab.observe("SOCK_DESTROY(W's child)", came);
    lab.observe("recv(B's child)", child.receive_now()?.to_string());
    lab.observe("recv(B's child), again", child.receive_now()?.to_string());
    lab.observe_sockets("then")
}
