//! UDP sockets, which can be in groups as well, and are never listeners.

use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsFd, BorrowedFd};

use socket2::{Domain, Socket, Type};

use crate::capture::Recorder;
use crate::error::{Context, Result};
use crate::net::family::Family;
use crate::socket::stream::Recorded;
use crate::trace::{Act, Actor, CloseCall};

/// A UDP socket with `SO_REUSEPORT` at the server's address. Dropping the value closes it.
pub struct Datagram {
    name: String,
    socket: UdpSocket,
    recorder: Recorder,
}

impl Datagram {
    /// Makes and binds one.
    pub(crate) fn bound(name: &str, family: Family, recorder: Recorder) -> Result<Self> {
        let server = family.server();
        let make = || {
            let socket = Socket::new(Domain::for_address(server), Type::DGRAM, None)?;
            socket.set_reuse_port(true)?;
            socket.set_nonblocking(true)?;
            Ok::<_, io::Error>(socket)
        };
        let socket = make().call(|| format!("socket({family}, SOCK_DGRAM) for {name}"))?;
        let act = || Act::Bind { socket: Actor::Datagram(name.to_owned()), to: server };
        recorder
            .act(act, || socket.bind(&server.into()))
            .call(|| format!("bind({name}, {server})"))?;
        Ok(Self { name: name.to_owned(), socket: socket.into(), recorder })
    }

    /// How many datagrams wait; none does any more then.
    pub fn take_all(&self) -> usize {
        let taken = std::iter::from_fn(|| self.socket.recv(&mut [0; 8]).ok()).count();
        let got = format!("{taken} datagrams");
        self.recorder.record(|| Act::Receive { socket: self.actor(), got });
        taken
    }
}

impl Recorded for Datagram {
    fn actor(&self) -> Actor {
        Actor::Datagram(self.name.clone())
    }

    fn recorder(&self) -> &Recorder {
        &self.recorder
    }
}

impl AsFd for Datagram {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Datagram {
    fn drop(&mut self) {
        self.recorder.closed(&self.actor(), CloseCall::Close, true);
    }
}
