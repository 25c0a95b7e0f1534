//! sock_diag: one socket after the other as the kernel knows it, by netlink; as `ss` has it,
//! and `ss --kill`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload, NetlinkSerializable,
};
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use netlink_packet_sock_diag::{SockDiagDestroy, SockDiagMessage};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr as NetlinkAddress};
use nix::errno::Errno;

use crate::error::{Context, Error, Result};
use crate::net::family::Family;
use crate::socket::attribute;
use crate::socket::{BACKLOG, Listener};

/// Any socket, whatever its cookie is: INET_DIAG_NOCOOKIE, twice.
const ANY: [u8; 8] = [0xff; 8];

/// From how many clients' ports the kernel is asked for one member of a group. Each finds
/// the member that the port's hash says, and of two members another one every other time.
const PORTS: std::ops::RangeInclusive<u16> = 1..=256;

/// Room for an answer; the kernel sends one at a time.
const REPLY_BYTES: usize = 8 * 1024;

/// A netlink socket of NETLINK_SOCK_DIAG.
pub struct Diag {
    netlink: Socket,
    reply: Vec<u8>,
}

impl Diag {
    /// Opens one, in the network namespace of the calling thread.
    ///
    /// # Errors
    /// The kernel is built without sock_diag.
    pub fn open() -> Result<Self> {
        let mut netlink = Socket::new(NETLINK_SOCK_DIAG)
            .call(|| "socket(AF_NETLINK, NETLINK_SOCK_DIAG)".into())?;
        netlink.bind_auto().call(|| "bind(NETLINK_SOCK_DIAG)".into())?;
        netlink.connect(&NetlinkAddress::new(0, 0)).call(|| "connect(NETLINK_SOCK_DIAG)".into())?;
        Ok(Self { netlink, reply: Vec::with_capacity(REPLY_BYTES) })
    }

    /// Destroys a listener (`SOCK_DESTROY`), whichever process has it open.
    ///
    /// The kernel looks a listener up as for a client, and members of a group are found by
    /// the hash of the client's address; so several clients are asked for, until the one
    /// with the listener's cookie is found.
    ///
    /// # Errors
    /// The kernel's own: ENOENT when no listener has this cookie.
    pub fn destroy_listener(&mut self, listener: &Listener) -> Result<io::Result<()>> {
        let cookie = attribute::cookie(listener)?;
        self.destroy_listener_of(listener.family(), cookie)
    }

    /// As [`Diag::destroy_listener`], the one with this cookie. That of a listener of Multipath
    /// TCP is not the cookie of the TCP socket that listens for it, which sock_diag knows.
    ///
    /// # Errors
    /// As [`Diag::destroy_listener`].
    pub fn destroy_listener_of(&mut self, family: Family, cookie: u64) -> Result<io::Result<()>> {
        for port in PORTS {
            let of = id(family, no_peer(family, port), words_of(cookie));
            match self.destroy(of)? {
                Err(e) if e.raw_os_error() == Some(Errno::ENOENT as i32) => {}
                answer => return Ok(answer),
            }
        }
        Ok(Err(Errno::ENOENT.into()))
    }

    /// Destroys what the server has of a client's connection, a child or a request; only
    /// the one with `cookie`, if there is one.
    ///
    /// # Errors
    /// The kernel's own: ENOENT when there is none.
    pub fn destroy_connection(
        &mut self,
        family: Family,
        client: SocketAddr,
        cookie: Option<u64>,
    ) -> Result<io::Result<()>> {
        self.destroy(id(family, client, cookie.map_or(ANY, words_of)))
    }

    /// The cookie of what the server has of a client's connection. A request has one from
    /// the first time on that it is asked for.
    ///
    /// # Errors
    /// The kernel knows no such connection.
    pub fn cookie_of(&mut self, family: Family, client: SocketAddr) -> Result<u64> {
        let call = || format!("SOCK_DIAG_BY_FAMILY({client})");
        let asked = SockDiagMessage::InetRequest(request(id(family, client, ANY)));
        match self.ask(NLM_F_REQUEST, asked.into())?.payload {
            NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(answer)) => {
                Ok(cookie_in(answer.header.socket_id.cookie))
            }
            NetlinkPayload::Error(refused) => Err(refused.to_io()).tested(call),
            other => Err(Error::unreadable(call(), format!("{other:?}"))),
        }
    }

    /// The cookie of the one listener that there is at the server's port.
    ///
    /// # Errors
    /// There is none.
    pub fn cookie_of_listener(&mut self, family: Family) -> Result<u64> {
        self.cookie_of(family, no_peer(family, 0))
    }

    fn destroy(&mut self, of: SocketId) -> Result<io::Result<()>> {
        let call = || format!("SOCK_DESTROY({}:{})", of.destination_address, of.destination_port);
        let asked = SockDiagDestroy::new(SockDiagMessage::InetRequest(request(of.clone())));
        match self.ask(NLM_F_REQUEST | NLM_F_ACK, asked.into())?.payload {
            NetlinkPayload::Error(answer) if answer.code.is_none() => Ok(Ok(())),
            NetlinkPayload::Error(answer) => Ok(Err(answer.to_io())),
            other => Err(Error::unreadable(call(), format!("{other:?}"))),
        }
    }

    /// Sends a message, and reads the one that answers it.
    fn ask<T: NetlinkSerializable>(
        &mut self,
        flags: u16,
        payload: NetlinkPayload<T>,
    ) -> Result<NetlinkMessage<SockDiagMessage>> {
        let mut message = NetlinkMessage::new(Default::default(), payload);
        message.header.flags = flags;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.netlink.send(&bytes, 0).call(|| "send(NETLINK_SOCK_DIAG)".into())?;
        self.reply.clear();
        self.netlink.recv(&mut self.reply, 0).call(|| "recv(NETLINK_SOCK_DIAG)".into())?;
        NetlinkMessage::deserialize(&self.reply)
            .map_err(|e| Error::unreadable("an answer of sock_diag", e.to_string()))
    }
}

/// A cookie as sock_diag has it (`sock_diag_save_cookie()`): two words in the machine's own order,
/// the lower one first on every machine.
fn words_of(cookie: u64) -> [u8; 8] {
    let [low, high] = [cookie as u32, (cookie >> 32) as u32].map(u32::to_ne_bytes);
    let mut words = [0; 8];
    words[..4].copy_from_slice(&low);
    words[4..].copy_from_slice(&high);
    words
}

/// The cookie in two words as [`words_of`] makes them.
fn cookie_in(words: [u8; 8]) -> u64 {
    let [a, b, c, d, e, f, g, h] = words;
    let [low, high] = [[a, b, c, d], [e, f, g, h]].map(u32::from_ne_bytes);
    u64::from(low) | u64::from(high) << 32
}

/// The peer of a listener, which has none; the port is one that a client might have.
fn no_peer(family: Family, port: u16) -> SocketAddr {
    let no_address: IpAddr = match family.loopback().to_canonical() {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    SocketAddr::new(no_address, port)
}

/// A connection to the server, or its listener.
fn id(family: Family, client: SocketAddr, cookie: [u8; 8]) -> SocketId {
    let server = family.server();
    SocketId {
        source_port: server.port(),
        destination_port: client.port(),
        source_address: server.ip().to_canonical(),
        destination_address: client.ip().to_canonical(),
        interface_id: 0,
        cookie,
    }
}

fn request(of: SocketId) -> InetRequest {
    let family = if of.source_address.is_ipv4() { AF_INET } else { AF_INET6 };
    InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::empty(),
        states: StateFlags::all(),
        socket_id: of,
    }
}

/// Whether sockets can be destroyed.
///
/// # Errors
/// EOPNOTSUPP where TCP shows its sockets and destroys none, ENOENT where it does not show them,
/// EPROTONOSUPPORT where nothing does.
pub(crate) fn probe() -> Result<()> {
    let mut diag = Diag::open()?;
    let listener = Listener::unrecorded("a listener to try", Family::V4)?;
    listener.bind().call(|| "bind(a listener to try)".into())?;
    listener.listen(BACKLOG).call(|| "listen(a listener to try)".into())?;
    diag.destroy_listener(&listener)?.call(|| "SOCK_DESTROY(a listener to try)".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On a big-endian machine a number of eight bytes would have the words the other way round.
    #[test]
    fn layout_of_a_cookie_is_two_words_the_lower_one_first() {
        let cookie = 0x0123_4567_89ab_cdef;
        let words = words_of(cookie);
        let first: [u8; 4] = words[..4].try_into().expect("four bytes");
        assert_eq!(u32::from_ne_bytes(first), 0x89ab_cdef);
        assert_eq!(cookie_in(words), cookie);
    }
}
