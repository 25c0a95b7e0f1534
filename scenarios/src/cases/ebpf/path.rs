//! The paths on which a connection migrates.

use std::net::Shutdown;
use std::time::Duration;

use harness::lab::Lab;
use harness::socket::Listener;
use harness::socket::wire_client::{Draft, WireClient};

use crate::case::Need;
use crate::steps::fast_open;
use crate::steps::fast_open::syn_with_data;
use crate::steps::request::data;
use crate::steps::syn_ack_timer::FIRST;

/// What makes a connection need another listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Path {
    /// It waits in A's accept queue; A is closed.
    Close,
    /// It waits in A's accept queue; A is shut down.
    Shutdown,
    /// It waits there before its handshake is over, by TCP Fast Open; A is closed.
    FastOpen,
    /// Its final ACK comes when A is closed.
    FinalAck,
    /// Its final ACK comes when A is shut down.
    FinalAckShutdown,
    /// Its client is silent, and the SYN+ACK timer fires when A is closed.
    Timer,
}

impl Path {
    pub(super) const fn waits_for(self) -> Duration {
        match self {
            Self::Timer => FIRST,
            _ => Duration::ZERO,
        }
    }

    /// What a case of it with a program needs.
    pub(super) const fn needs(self) -> &'static [Need] {
        match self {
            Self::FastOpen => &[Need::Programs, Need::Settings],
            _ => &[Need::Programs],
        }
    }
}

pub(super) fn listen(lab: &mut Lab, name: &str, path: Path) -> harness::Result<Listener> {
    match path {
        Path::FastOpen => fast_open::listen(lab, name),
        _ => lab.listen(name),
    }
}

/// A has W's connection, in the state that it is to have when A ends.
pub(super) fn begin(lab: &mut Lab, path: Path) -> harness::Result<WireClient> {
    let mut w = lab.wire_client("W")?;
    if path == Path::FastOpen {
        lab.wire_syn(&mut w, &syn_with_data())?;
    } else {
        lab.wire_syn(&mut w, &Draft::syn())?;
    }
    if matches!(path, Path::Close | Path::Shutdown) {
        lab.wire_send(&mut w, &data())?;
    }
    Ok(w)
}

/// Ends A. A listener that was shut down stays open.
pub(super) fn end(lab: &mut Lab, a: Listener, path: Path) -> harness::Result<Option<Listener>> {
    if !matches!(path, Path::Shutdown | Path::FinalAckShutdown) {
        lab.close(a);
        return Ok(None);
    }
    lab.shut_down(&a, Shutdown::Both)?;
    Ok(Some(a))
}

pub(super) const SHUT_DOWN: &str = "shutdown(A, SHUT_RDWR)";

/// What W does when A has ended.
pub(super) fn go_on(lab: &mut Lab, w: &mut WireClient, path: Path) -> harness::Result<()> {
    match path {
        Path::Close | Path::Shutdown => lab.settle(),
        Path::FastOpen => lab.wire_send(w, &Draft::new(".", 12, 1)).map(drop),
        Path::FinalAck | Path::FinalAckShutdown | Path::Timer => {
            lab.wire_send(w, &data()).map(drop)
        }
    }
}
