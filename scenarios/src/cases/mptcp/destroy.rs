//! A listener of Multipath TCP that somebody wants to destroy by netlink: the TCP socket that
//! listens for it is one that sock_diag knows, and the kernel refuses.

use harness::lab::Lab;

use crate::case::{Case, Need, Setting, Settings};
use crate::cases::mptcp::keys::{
    ListenerProtocol, abort_of, asked, data_with, end_of, observe_child, syn,
};
use crate::judge::expectation::{Expectation, WireRule};

pub(super) const CASES: &[Case] = &[Case {
    name: "mptcp/destroy",
    does: "A and B are listeners of Multipath TCP. W's child, which speaks it, waits in A's queue \
           with data; A is to be destroyed by netlink. A accepts.",
    must: "With or without migration the kernel refuses (EINVAL): A and B still listen, and the \
           child is A's, with its data. Nothing is sent.",
    source: "tcp_abort_override(); 4c0288299fd0",
    settings: Settings::FamiliesOffAndOn,
    needs: &[Need::Multipath, Need::Destroy],
    wire: WireRule::Shows(&[(
        "W",
        "
        W > S  S 0:0(0)
        S > W  S. 0:0(0) ack 1
        W > S  P. 1:12(11) ack 1
        S > W  . 1:1(0) ack 12
        -- SOCK_DESTROY(A): EINVAL --
        -- accept(A): W's connection --
        ...
        ",
    )]),
    run: destroyed,
    expect: |_| {
        Expectation::new()
            .fact("the SYN+ACK speaks", "MPTCP")
            .fact("SOCK_DESTROY(A)", "EINVAL")
            .fact("sockets then", "W's child ESTABLISHED, a listener, a listener")
            .fact("accept(B)", "EAGAIN")
            .fact("accept(A)", "W's connection")
            .fact("A's child speaks", "MPTCP")
            .fact("recv(A's child)", "`Hello World`")
            .fact("resets to W", "none")
            .fact(&abort_of("A's child"), "ok")
            .fact("A serves a fresh client", "yes")
            .counters(&[])
    },
    ..Case::DEFAULT
}];

fn destroyed(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let (a, mut w) = asked(lab, ListenerProtocol::Multipath, &syn())?;
    let cookie = lab.cookie_of_listener()?;
    let key = lab.server_key(&w).unwrap_or_default();
    lab.wire_send(&mut w, &data_with(key))?;
    let b = lab.listen_multipath("B")?;
    let before = lab.counters()?;
    let answer = lab.destroy_multipath(&a, cookie)?;
    lab.observe("SOCK_DESTROY(A)", answer);
    lab.observe_sockets("then")?;
    lab.accept_now(&b)?;
    let child = observe_child(lab, &a)?;
    lab.observe_counters(&before)?;
    if let Some(child) = child {
        end_of("A's child", lab, &child, &mut w)?;
    }
    lab.close(b);
    lab.observe_service(&a)
}
