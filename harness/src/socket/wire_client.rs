//! A client that is no socket: it sends only the segments that are built for it, and answers
//! nothing.
//!
//! Its segments go out through a raw socket. What comes back would be answered by the
//! kernel, with resets, if no socket had its port; a listener with a filter that drops
//! everything has the port, and drops it. (A route to an address that no interface has does
//! the same in IPv4. In IPv6 the kernel makes a route through `lo` one that rejects.)
//! Answers are read from the capture.

use std::io;
use std::mem::ManuallyDrop;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};

use crate::capture::Recorder;
use crate::error::{Context, Error, Result};
pub use crate::net::draft::Draft;
use crate::net::family::Family;
use crate::net::sockopt;
use crate::trace::Act;

/// The first sequence number, so high that a case counts past the end of its 32 bits.
pub(crate) const INITIAL: u32 = u32::MAX - 2;

/// A client without a socket. See [`crate::lab::Lab::wire_client`].
pub struct WireClient {
    name: String,
    /// Its own address.
    pub local: SocketAddr,
    server: SocketAddr,
    /// Left to the end of the process: the kernel frees a raw socket only after an RCU
    /// grace period, and it would pass for one that leaked.
    raw: ManuallyDrop<Socket>,
    _hole: Socket,
    server_initial: u32,
    recorder: Recorder,
}

impl WireClient {
    /// A client at the loopback address, with a port that is its own.
    pub(crate) fn new(name: &str, family: Family, recorder: Recorder) -> Result<Self> {
        let server = family.server();
        let server = SocketAddr::new(server.ip().to_canonical(), server.port());
        let domain = Domain::for_address(server);
        let call = |what: &str| format!("{what}, for {name}");
        let raw = raw_socket(domain).call(|| call("socket(SOCK_RAW, IPPROTO_RAW)"))?;
        let hole = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))
            .call(|| call("socket(SOCK_STREAM)"))?;
        sockopt::attach_filter(&hole, &[sockopt::DROP])
            .call(|| call("setsockopt(SO_ATTACH_FILTER, drop everything)"))?;
        hole.bind(&SocketAddr::new(server.ip(), 0).into()).call(|| call("bind"))?;
        hole.listen(1).call(|| call("listen"))?;
        let local = hole.local_addr().call(|| call("getsockname"))?.as_socket();
        let local = local.ok_or_else(|| Error::unreadable("a bound socket's address", "not IP"))?;
        let raw = ManuallyDrop::new(raw);
        Ok(Self {
            name: name.to_owned(),
            local,
            server,
            raw,
            _hole: hole,
            server_initial: 0,
            recorder,
        })
    }

    /// The client's name in traces.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// From now on, acknowledgements count from the SYN+ACK with this SEG.SEQ.
    pub(crate) fn learn(&mut self, server_initial: u32) {
        self.server_initial = server_initial;
    }

    /// Sends a segment; what comes of it is in the capture.
    pub(crate) fn send(&self, draft: &Draft) -> Result<()> {
        let packet = draft.packet(self.local, self.server, (INITIAL, self.server_initial));
        let act = || Act::SendSegment { client: self.name.clone(), segment: draft.clone() };
        self.recorder
            .act(act, || send_raw(&self.raw, &packet, self.server))
            .call(|| format!("sendto(SOCK_RAW, {draft} by {})", self.name))
    }
}

/// A socket that sends packets as they are, with their IP headers.
pub(crate) fn raw_socket(domain: Domain) -> io::Result<Socket> {
    Socket::new(domain, Type::RAW, Some(Protocol::from(libc::IPPROTO_RAW)))
}

/// Sends a whole packet through a [`raw_socket`].
pub(crate) fn send_raw(raw: &Socket, packet: &[u8], server: SocketAddr) -> io::Result<()> {
    // A raw socket has no ports.
    raw.send_to(packet, &SocketAddr::new(server.ip(), 0).into()).map(drop)
}
