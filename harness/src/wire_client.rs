//! A client that is no socket: it sends just the segments that it is told to send, and
//! answers nothing.
//!
//! Its segments go out through a raw socket. What comes back would be answered by the
//! kernel, with resets, were its port nobody's; a listener with a filter that drops
//! everything owns the port, and swallows it. (A route to an address that nobody owns does
//! the same in IPv4. In IPv6 the kernel makes a route through `lo` one that rejects.)
//! Answers are read from the capture.

use std::fmt;
use std::io;
use std::mem::ManuallyDrop;
use std::net::{IpAddr, SocketAddr};

use pnet_packet::ip::IpNextHeaderProtocols;
use pnet_packet::util::{ipv4_checksum, ipv6_checksum};
use socket2::{Domain, Protocol, Socket, Type};

use crate::error::{Context, Error, Result};
use crate::family::Family;
use crate::option;
use crate::segment::Flags;

/// The first sequence number, so high that a case counts past the end of its 32 bits.
pub(crate) const INITIAL: u32 = u32::MAX - 2;

/// The window that is announced unless a draft says otherwise.
const WINDOW: u16 = 0xffff;

/// TCP option kinds: no operation, and the maximum segment size.
const NOP: u8 = 1;
const MSS: u8 = 2;

const TCP_HEADER_BYTES: usize = 20;
/// The checksum's place in a TCP header, in words of two bytes.
const CHECKSUM_WORD: usize = 8;

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
}

/// A segment to be sent, with numbers as traces show them: relative to the connection's
/// first ones.
#[derive(Debug, Clone)]
pub struct Draft {
    flags: Flags,
    seq: u32,
    ack: u32,
    window: u16,
    options: Vec<u8>,
    payload: Vec<u8>,
    ip: IpHeader,
}

/// What a draft says of the IP header.
#[derive(Debug, Clone)]
struct IpHeader {
    service: u8,
    hops: u8,
    options: Vec<u8>,
}

/// The time to live unless a draft says otherwise.
const HOPS: u8 = 64;

impl Draft {
    /// A segment with these flags, in packetdrill's letters, SEG.SEQ and SEG.ACK.
    ///
    /// # Panics
    /// A letter is none of packetdrill's.
    pub fn new(flags: &str, seq: u32, ack: u32) -> Self {
        let flags = Flags::from_letters(flags).expect("flags in packetdrill's letters");
        let ip = IpHeader { service: 0, hops: HOPS, options: vec![] };
        Self { flags, seq, ack, window: WINDOW, options: vec![], payload: vec![], ip }
    }

    /// The SYN that opens a connection, with a maximum segment size.
    pub fn syn() -> Self {
        Self::new("S", 0, 0).option(MSS, &1460_u16.to_be_bytes())
    }

    /// With the flags by which a SYN asks for ECN (RFC 3168).
    #[must_use]
    pub fn asking_for_ecn(mut self) -> Self {
        self.flags.0 |= pnet_packet::tcp::TcpFlags::ECE | pnet_packet::tcp::TcpFlags::CWR;
        self
    }

    /// With data.
    #[must_use]
    pub fn payload(mut self, bytes: &[u8]) -> Self {
        self.payload = bytes.to_vec();
        self
    }

    /// With this in the window field.
    #[must_use]
    pub fn window(mut self, window: u16) -> Self {
        self.window = window;
        self
    }

    /// With this type of service, which IPv6 calls traffic class.
    #[must_use]
    pub fn service(mut self, service: u8) -> Self {
        self.ip.service = service;
        self
    }

    /// With this time to live, which IPv6 calls hop limit.
    #[must_use]
    pub fn hops(mut self, hops: u8) -> Self {
        self.ip.hops = hops;
        self
    }

    /// With a record of the route in IPv4's header, with room for so many addresses (RFC
    /// 791; nine fit at most). IPv6 has no such thing.
    #[must_use]
    pub fn recording_route(mut self, addresses: u8) -> Self {
        const RECORD_ROUTE: u8 = 7;
        const FIRST_ADDRESS: u8 = 4;
        let bytes = 3 + 4 * addresses;
        self.ip.options = vec![RECORD_ROUTE, bytes, FIRST_ADDRESS];
        // And the end of the list.
        self.ip.options.resize(usize::from(bytes) + 1, 0);
        self
    }

    /// With another option, behind those that it has.
    #[must_use]
    pub fn option(mut self, kind: u8, value: &[u8]) -> Self {
        self.options.extend([kind, value.len() as u8 + 2]);
        self.options.extend(value);
        self
    }

    /// The whole packet, as a raw socket takes it.
    pub(crate) fn packet(&self, from: SocketAddr, to: SocketAddr, initial: (u32, u32)) -> Vec<u8> {
        let segment = self.bytes(from, to, initial);
        let mut packet = self.ip.bytes(from.ip(), to.ip(), segment.len());
        packet.extend(segment);
        packet
    }

    /// The TCP segment, with the initial numbers added and its checksum right.
    fn bytes(&self, from: SocketAddr, to: SocketAddr, initial: (u32, u32)) -> Vec<u8> {
        let mut options = self.options.clone();
        options.resize(options.len().next_multiple_of(4), NOP);
        let words = (TCP_HEADER_BYTES + options.len()) / 4;
        let ack = if self.flags.ack() { initial.1.wrapping_add(self.ack) } else { 0 };
        let mut bytes = Vec::new();
        bytes.extend(from.port().to_be_bytes());
        bytes.extend(to.port().to_be_bytes());
        bytes.extend(initial.0.wrapping_add(self.seq).to_be_bytes());
        bytes.extend(ack.to_be_bytes());
        bytes.extend([(words << 4) as u8, self.flags.0]);
        bytes.extend(self.window.to_be_bytes());
        // Checksum and urgent pointer.
        bytes.extend([0; 4]);
        bytes.extend(options);
        bytes.extend(&self.payload);
        let tcp = IpNextHeaderProtocols::Tcp;
        let sum = match (from.ip(), to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                ipv4_checksum(&bytes, CHECKSUM_WORD, &[], &from, &to, tcp)
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                ipv6_checksum(&bytes, CHECKSUM_WORD, &[], &from, &to, tcp)
            }
            _ => 0,
        };
        bytes[2 * CHECKSUM_WORD..2 * CHECKSUM_WORD + 2].copy_from_slice(&sum.to_be_bytes());
        bytes
    }
}

/// Its flags, in packetdrill's letters.
impl fmt::Display for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.flags.fmt(f)
    }
}

impl WireClient {
    /// A client at the loopback address, with a port that is its own.
    pub(crate) fn new(name: &str, family: Family) -> Result<Self> {
        let server = family.server();
        let server = SocketAddr::new(server.ip().to_canonical(), server.port());
        let domain = Domain::for_address(server);
        let call = |what: &str| format!("{what}, for {name}");
        let raw = raw_socket(domain).call(|| call("socket(SOCK_RAW, IPPROTO_RAW)"))?;
        let hole = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))
            .call(|| call("socket(SOCK_STREAM)"))?;
        option::attach_filter(&hole, &mut [option::DROP])
            .call(|| call("setsockopt(SO_ATTACH_FILTER, drop everything)"))?;
        hole.bind(&SocketAddr::new(server.ip(), 0).into()).call(|| call("bind"))?;
        hole.listen(1).call(|| call("listen"))?;
        let local = hole.local_addr().call(|| call("getsockname"))?.as_socket();
        let local = local.ok_or_else(|| Error::unreadable("a bound socket's address", "not IP"))?;
        let raw = ManuallyDrop::new(raw);
        Ok(Self { name: name.to_owned(), local, server, raw, _hole: hole, server_initial: 0 })
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
        send_raw(&self.raw, &packet, self.server)
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

impl IpHeader {
    /// The header in front of `len` bytes of TCP. The kernel fills in IPv4's checksum.
    fn bytes(&self, from: IpAddr, to: IpAddr, len: usize) -> Vec<u8> {
        const DONT_FRAGMENT: [u8; 2] = [0x40, 0];
        let tcp = IpNextHeaderProtocols::Tcp.0;
        let mut bytes = Vec::new();
        match (from, to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let header = 20 + self.options.len();
                bytes.extend([0x40 | (header / 4) as u8, self.service]);
                bytes.extend(((header + len) as u16).to_be_bytes());
                bytes.extend([0, 0]);
                bytes.extend(DONT_FRAGMENT);
                bytes.extend([self.hops, tcp, 0, 0]);
                bytes.extend(from.octets());
                bytes.extend(to.octets());
                bytes.extend(&self.options);
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                bytes.extend([0x60 | self.service >> 4, self.service << 4, 0, 0]);
                bytes.extend((len as u16).to_be_bytes());
                bytes.extend([tcp, self.hops]);
                bytes.extend(from.octets());
                bytes.extend(to.octets());
            }
            _ => {}
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::segment::{Segment, TcpOption};
    use pnet_packet::tcp::{TcpPacket, ipv4_checksum, ipv6_checksum};

    /// What is written is read back by the parser of the capture, and its checksum is what
    /// pnet computes, for payloads of odd and even length.
    #[rstest::rstest]
    #[case("127.0.0.1:40000", "127.0.0.1:80", 0x0800)]
    #[case("[::1]:40000", "[::1]:80", 0x86dd)]
    fn a_draft_becomes_a_segment(
        #[case] from: SocketAddr,
        #[case] to: SocketAddr,
        #[case] ethertype: u16,
        #[values(b"" as &[u8], b"odd", b"even")] payload: &[u8],
    ) {
        let draft = Draft::new("P.", 5, 7).payload(payload).window(77).option(MSS, &[5, 180]);
        let draft = draft.service(0x28).hops(33).recording_route(2);
        let tcp = draft.bytes(from, to, (u32::MAX, 100));
        let parsed = TcpPacket::new(&tcp).expect("TCP");
        let sum = match (from.ip(), to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => ipv4_checksum(&parsed, &from, &to),
            (IpAddr::V6(from), IpAddr::V6(to)) => ipv6_checksum(&parsed, &from, &to),
            _ => panic!("two families"),
        };
        assert_eq!(parsed.get_checksum(), sum);
        let mut frame = vec![0; 12];
        frame.extend(ethertype.to_be_bytes());
        frame.extend(draft.ip.bytes(from.ip(), to.ip(), tcp.len()));
        frame.extend(&tcp);
        let segment = Segment::parse(Duration::ZERO, &frame).expect("a segment");
        assert_eq!((segment.from, segment.to), (from, to));
        assert_eq!((segment.service, segment.hops), (0x28, 33));
        assert_eq!((segment.flags.to_string().as_str(), segment.window), ("P.", 77));
        assert_eq!((segment.seq, segment.ack, segment.len), (4, 107, payload.len() as u32));
        assert_eq!(segment.options, [TcpOption::Mss(1460)]);
    }

    #[rstest::rstest]
    #[case(&[], None, 4)]
    #[case(&[7], None, 12)]
    #[case(&[7, u64::MAX], None, 20)]
    #[case(&[7, u64::MAX], Some(11), 22)]
    fn mp_capable_is_as_long_as_rfc_8684_says(
        #[case] keys: &[u64],
        #[case] data: Option<u16>,
        #[case] len: u8,
    ) {
        let draft = Draft::new(".", 1, 1).mp_capable(keys, data);
        assert_eq!((draft.options[1], draft.options[2], draft.options[3]), (len, 1, 1));
        let [from, to] = [1, 2].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let tcp = draft.bytes(from, to, (0, 0));
        let mut frame = vec![0; 12];
        frame.extend([0x08, 0x00]);
        frame.extend(draft.ip.bytes(from.ip(), to.ip(), tcp.len()));
        frame.extend(&tcp);
        let segment = Segment::parse(Duration::ZERO, &frame).expect("a segment");
        assert_eq!(segment.options[0], TcpOption::MpCapable(keys.to_vec()));
    }
}
