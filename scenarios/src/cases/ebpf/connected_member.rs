//! A socket with a group of its own that is connected, and so no listener.

use harness::Context;
use harness::bpf::{Attach, PASS, Program};
use harness::lab::Lab;
use harness::socket::Listener;

/// D, which has a program, and so a group; it is connected to whoever listens.
pub(super) fn connected_member(lab: &mut Lab) -> harness::Result<Listener> {
    let d = lab.socket("D")?;
    d.reuse_port().tested(|| "setsockopt(D, SO_REUSEPORT)".into())?;
    d.bind_port(0).tested(|| "bind(D, port 0)".into())?;
    lab.attach(&d, &Program::load(Attach::Select, &[PASS])?)?;
    lab.connect_member(&d)?;
    Ok(d)
}
