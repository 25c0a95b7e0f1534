//! A segment to be built by hand.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use pnet_packet::ip::IpNextHeaderProtocols;
use pnet_packet::util::{ipv4_checksum, ipv6_checksum};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::net::segment::{Flags, MULTIPATH};

/// The window that is announced unless a draft says otherwise.
const WINDOW: u16 = 0xffff;

/// TCP option kinds: no operation, and the maximum segment size.
const NOP: u8 = 1;
const MSS: u8 = 2;

/// The first byte of MP_CAPABLE: its subtype is 0, the version of the protocol 1.
const VERSION: u8 = 1;
/// The second byte: no checksums, and keys are hashed by SHA-256.
const SHA256: u8 = 1;

const TCP_HEADER_BYTES: usize = 20;
/// The checksum's place in a TCP header, in words of two bytes.
const CHECKSUM_WORD: usize = 8;

/// A segment to be sent, with numbers as traces show them: relative to the connection's
/// first ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Draft {
    flags: Flags,
    seq: u32,
    ack: u32,
    window: u16,
    options: Vec<u8>,
    payload: Vec<u8>,
    ip: IpHeader,
}

/// The kind of the option that ends the list.
const END_OF_OPTIONS: u8 = 0;

/// What a draft says of the IP header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// A letter is not one of packetdrill's.
    pub fn new(flags: &str, seq: u32, ack: u32) -> Self {
        let flags = Flags::from_letters(flags).expect("flags in packetdrill's letters");
        let ip = IpHeader { service: 0, hops: HOPS, options: vec![] };
        Self { flags, seq, ack, window: WINDOW, options: vec![], payload: vec![], ip }
    }

    /// The SYN that opens a connection, with a maximum segment size.
    pub fn syn() -> Self {
        Self::new("S", 0, 0).option(MSS, &1460_u16.to_be_bytes())
    }

    /// Its flags.
    pub fn flags(&self) -> Flags {
        self.flags
    }

    /// SEG.SEQ.
    pub fn seq(&self) -> u32 {
        self.seq
    }

    /// SEG.ACK, which counts if the flags have ACK.
    pub fn ack(&self) -> u32 {
        self.ack
    }

    /// How many bytes of data it has.
    pub fn len(&self) -> u32 {
        self.payload.len() as u32
    }

    /// Its data.
    pub fn data(&self) -> &[u8] {
        &self.payload
    }

    /// What stands in the window field.
    pub fn window_field(&self) -> u16 {
        self.window
    }

    /// The options, as they are sent but for padding.
    pub fn options(&self) -> &[u8] {
        &self.options
    }

    /// Type of service, time to live and options of the IP header.
    pub fn ip_fields(&self) -> (u8, u8, &[u8]) {
        (self.ip.service, self.ip.hops, &self.ip.options)
    }

    /// Whether it has no data.
    pub fn is_empty(&self) -> bool {
        self.payload.is_empty()
    }

    /// Whether it has an option of this kind.
    pub fn has_option(&self, wanted: u8) -> bool {
        let mut rest = &self.options[..];
        while let [kind, following @ ..] = rest {
            rest = match (*kind, following) {
                (kind, _) if kind == wanted => return true,
                (END_OF_OPTIONS, _) => return false,
                (NOP, _) => following,
                (_, [len, ..]) => rest.get(usize::from(*len).max(2)..).unwrap_or_default(),
                (_, []) => return false,
            };
        }
        false
    }

    /// Whether it says that it is capable of Multipath TCP (MP_CAPABLE), and nothing else of that.
    pub fn is_multipath_capable(&self) -> bool {
        matches!(self.options.as_slice(), [MULTIPATH, _, VERSION, ..])
            || matches!(self.options.as_slice(), [MSS, 4, _, _, MULTIPATH, _, VERSION, ..])
    }

    /// Whether it is a SYN.
    pub fn is_syn(&self) -> bool {
        self.flags.syn()
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

    /// With a record of the route in IPv4's header, with room for this number of
    /// addresses (RFC 791; nine fit at most). IPv6 has no such thing.
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

    /// With another option, after those that it has.
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

/// In packetdrill's notation: `P. 1:12(11) ack 1`.
impl fmt::Display for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seq, len) = (self.seq, self.payload.len() as u32);
        write!(f, "{} {seq}:{}({len})", self.flags, seq.wrapping_add(len))?;
        match self.flags.ack() {
            true => write!(f, " ack {}", self.ack),
            false => Ok(()),
        }
    }
}

impl Draft {
    /// With MP_CAPABLE: a SYN's has no keys, what ends the handshake has the client's and the
    /// server's, and the length of its data if it has any.
    #[must_use]
    pub fn mp_capable(self, keys: &[u64], data: Option<u16>) -> Self {
        let mut value = vec![VERSION, SHA256];
        value.extend(keys.iter().flat_map(|key| key.to_be_bytes()));
        value.extend(data.iter().flat_map(|len| len.to_be_bytes()));
        self.option(MULTIPATH, &value)
    }
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
    use crate::net::segment::{Segment, TcpOption};
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
