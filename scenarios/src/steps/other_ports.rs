//! Listeners at ports other than the one that clients go to.

use harness::lab::Lab;
use harness::socket::{BACKLOG, Listener};
use harness::{Context, Result};

/// A socket with `SO_REUSEPORT` that is bound to this port, and does not listen yet.
pub(crate) fn bound_at(lab: &Lab, name: &str, port: u16) -> Result<Listener> {
    let listener = lab.socket(name)?;
    let bound = listener.reuse_port().and_then(|()| listener.bind_port(port));
    bound.tested(|| format!("bind({name}, port {port})"))?;
    Ok(listener)
}

/// One that listens.
pub(crate) fn listening_at(lab: &Lab, name: &str, port: u16) -> Result<Listener> {
    let listener = bound_at(lab, name, port)?;
    listener.listen(BACKLOG).tested(|| format!("listen({name}, port {port})"))?;
    Ok(listener)
}
