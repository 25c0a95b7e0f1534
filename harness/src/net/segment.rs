//! One TCP segment as it crossed the wire.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use pnet_packet::Packet;
use pnet_packet::ethernet::{EtherTypes, EthernetPacket};
use pnet_packet::ip::IpNextHeaderProtocols;
use pnet_packet::ipv4::Ipv4Packet;
use pnet_packet::ipv6::Ipv6Packet;
use pnet_packet::tcp::{TcpFlags, TcpOptionNumber, TcpOptionNumbers, TcpPacket};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A captured TCP segment, numbers as on the wire.
///
/// [`crate::trace::Trace`] shows it with sequence numbers relative to the
/// connection's initial ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// The kernel's timestamp, since the Unix epoch.
    pub at: Duration,
    /// Who sent it.
    pub from: SocketAddr,
    /// Whom it was sent to.
    pub to: SocketAddr,
    /// The flag bits of the header.
    pub flags: Flags,
    /// SEG.SEQ, absolute.
    pub seq: u32,
    /// SEG.ACK, absolute; without meaning when the ACK flag is clear.
    pub ack: u32,
    /// The window field, not scaled.
    pub window: u16,
    /// The IP header's type of service, which IPv6 calls traffic class.
    #[serde(default)]
    pub service: u8,
    /// The IP header's time to live, which IPv6 calls hop limit.
    #[serde(default)]
    pub hops: u8,
    /// Bytes of payload, by the IP header.
    pub len: u32,
    /// The options, in their order.
    pub options: Vec<TcpOption>,
}

/// The low eight flag bits of a TCP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Flags(pub u8);

impl Flags {
    /// Reads packetdrill's letters; `-` is no flag at all.
    pub fn from_letters(letters: &str) -> Option<Self> {
        let bit = |letter: char| LETTERS.iter().find(|(_, l)| *l == letter).map(|(bit, _)| *bit);
        let letters = if letters == "-" { "" } else { letters };
        letters.chars().map(bit).try_fold(0, |bits, bit| Some(bits | bit?)).map(Self)
    }

    /// Whether the bits of `mask` are all set.
    pub fn has(self, mask: u8) -> bool {
        self.0 & mask == mask
    }

    /// SYN is set.
    pub fn syn(self) -> bool {
        self.has(TcpFlags::SYN)
    }

    /// ACK is set.
    pub fn ack(self) -> bool {
        self.has(TcpFlags::ACK)
    }

    /// RST is set.
    pub fn rst(self) -> bool {
        self.has(TcpFlags::RST)
    }
}

/// packetdrill's letters, in their order.
const LETTERS: [(u8, char); 8] = [
    (TcpFlags::SYN, 'S'),
    (TcpFlags::FIN, 'F'),
    (TcpFlags::RST, 'R'),
    (TcpFlags::PSH, 'P'),
    (TcpFlags::ACK, '.'),
    (TcpFlags::URG, 'U'),
    (TcpFlags::ECE, 'E'),
    (TcpFlags::CWR, 'W'),
];

/// packetdrill's letters: `S`, `F`, `R`, `P`, a dot for ACK.
impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: String =
            LETTERS.iter().filter(|(bit, _)| self.has(*bit)).map(|(_, letter)| letter).collect();
        f.pad(if shown.is_empty() { "-" } else { &shown })
    }
}

/// What RFC 8684 calls the subtypes of its option, by their numbers.
const SUBTYPES: [&str; 9] = [
    "mp_capable",
    "mp_join",
    "dss",
    "add_addr",
    "remove_addr",
    "mp_prio",
    "mp_fail",
    "mp_fastclose",
    "mp_tcprst",
];

/// Subtypes that are read.
const MP_CAPABLE: u8 = 0;
const MP_JOIN: u8 = 1;

/// A TCP option, in packetdrill's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TcpOption {
    /// Maximum segment size, bytes.
    Mss(u16),
    /// Window scale, a shift.
    WindowScale(u8),
    /// Selective acknowledgements permitted.
    SackPermitted,
    /// Timestamps: value, echo reply.
    Timestamps(u32, u32),
    /// One byte of padding.
    Nop,
    /// Multipath TCP's MP_CAPABLE (RFC 8684), with the keys that it brings: none in a SYN, the
    /// server's in a SYN+ACK, the client's and the server's in what ends the handshake.
    MpCapable(Vec<u64>),
    /// Multipath TCP's MP_JOIN in a SYN+ACK: the first eight bytes of the server's HMAC, and its
    /// random number.
    MpJoinAnswer {
        /// What proves that the server knows the keys of the connection.
        hmac: u64,
        /// The random number of this handshake.
        nonce: u32,
    },
    /// Any other option of Multipath TCP, by the number of its subtype.
    Multipath(u8),
    /// Any other kind, with its payload's length in bytes.
    Other(u8, u8),
}

impl fmt::Display for TcpOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mss(mss) => write!(f, "mss {mss}"),
            Self::WindowScale(shift) => write!(f, "wscale {shift}"),
            Self::SackPermitted => write!(f, "sackOK"),
            Self::Timestamps(value, echo) => write!(f, "TS val {value} ecr {echo}"),
            Self::Nop => write!(f, "nop"),
            // The keys are random: two runs would never read alike.
            Self::MpCapable(keys) => write!(f, "mp_capable ({} keys)", keys.len()),
            Self::MpJoinAnswer { .. } => f.write_str(SUBTYPES[usize::from(MP_JOIN)]),
            Self::Multipath(subtype) => match SUBTYPES.get(usize::from(*subtype)) {
                Some(name) => f.write_str(name),
                None => write!(f, "mptcp subtype {subtype}"),
            },
            Self::Other(kind, len) => write!(f, "option {kind} ({len} bytes)"),
        }
    }
}

/// In packetdrill's notation, with absolute numbers: a segment alone does not know where
/// its connection's began. A trace shows relative ones.
impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, flags, seq, ack, len, .. } = self;
        write!(f, "{from} > {to}  {flags} {seq}:{}({len})", seq.wrapping_add(*len))?;
        if flags.ack() {
            write!(f, " ack {ack}")?;
        }
        write!(f, " {}", self.detail())
    }
}

impl Segment {
    /// Window and options: `win 512 <mss 1460,sackOK>`.
    pub fn detail(&self) -> String {
        let options: Vec<String> = self.options.iter().map(ToString::to_string).collect();
        match options.is_empty() {
            true => format!("win {}", self.window),
            false => format!("win {} <{}>", self.window, options.join(",")),
        }
    }

    /// Reads a frame of an Ethernet-like link (`lo` is one). `None` when it is not TCP.
    ///
    /// The frame may be cut short after the TCP header: the payload's length is taken
    /// from the IP header.
    pub fn parse(at: Duration, frame: &[u8]) -> Option<Self> {
        let ethernet = EthernetPacket::new(frame)?;
        match ethernet.get_ethertype() {
            EtherTypes::Ipv4 => {
                let ip = Ipv4Packet::new(ethernet.payload())?;
                if ip.get_next_level_protocol() != IpNextHeaderProtocols::Tcp {
                    return None;
                }
                let header = usize::from(ip.get_header_length()) * 4;
                let len = usize::from(ip.get_total_length()).checked_sub(header)?;
                let ends = (ip.get_source().into(), ip.get_destination().into());
                let segment = Self::from_tcp(at, ends, ip.packet().get(header..)?, len)?;
                let service = ip.get_dscp() << 2 | ip.get_ecn();
                Some(Self { service, hops: ip.get_ttl(), ..segment })
            }
            EtherTypes::Ipv6 => {
                let ip = Ipv6Packet::new(ethernet.payload())?;
                if ip.get_next_header() != IpNextHeaderProtocols::Tcp {
                    return None;
                }
                let len = usize::from(ip.get_payload_length());
                let ends = (ip.get_source().into(), ip.get_destination().into());
                let tcp = ip.packet().get(Ipv6Packet::minimum_packet_size()..)?;
                let segment = Self::from_tcp(at, ends, tcp, len)?;
                let (service, hops) = (ip.get_traffic_class(), ip.get_hop_limit());
                Some(Self { service, hops, ..segment })
            }
            _ => None,
        }
    }

    /// `len` counts the TCP header and the payload.
    fn from_tcp(at: Duration, ends: (IpAddr, IpAddr), bytes: &[u8], len: usize) -> Option<Self> {
        let tcp = TcpPacket::new(bytes)?;
        let header = usize::from(tcp.get_data_offset()) * 4;
        Some(Self {
            at,
            from: SocketAddr::new(ends.0, tcp.get_source()),
            to: SocketAddr::new(ends.1, tcp.get_destination()),
            flags: Flags(tcp.get_flags()),
            seq: tcp.get_sequence(),
            ack: tcp.get_acknowledgement(),
            window: tcp.get_window(),
            service: 0,
            hops: 0,
            len: u32::try_from(len.checked_sub(header)?).ok()?,
            options: tcp.get_options_iter().map(|option| TcpOption::read(&option)).collect(),
        })
    }
}

/// The kind of every option of Multipath TCP.
pub const MULTIPATH: u8 = 30;

impl TcpOption {
    /// The subtype is in the first four bits; MP_CAPABLE's keys follow two bytes, as the HMAC and
    /// the random number of a SYN+ACK's MP_JOIN do, which is known by its length.
    fn multipath(bytes: &[u8]) -> Self {
        let number =
            |bytes: &[u8]| bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte));
        match (bytes[0] >> 4, bytes) {
            (MP_CAPABLE, _) => {
                let keys = bytes.get(2..).unwrap_or_default().chunks_exact(8).take(2);
                Self::MpCapable(keys.map(number).collect())
            }
            (MP_JOIN, [_, _, hmac @ .., a, b, c, d]) if hmac.len() == 8 => {
                let nonce = u32::from_be_bytes([*a, *b, *c, *d]);
                Self::MpJoinAnswer { hmac: number(hmac), nonce }
            }
            (subtype, _) => Self::Multipath(subtype),
        }
    }

    fn read(option: &pnet_packet::tcp::TcpOptionPacket<'_>) -> Self {
        let bytes = option.payload();
        let word = |at: usize| {
            bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_be_bytes)
        };
        match (option.get_number(), bytes.len()) {
            (TcpOptionNumbers::NOP, _) => Self::Nop,
            (TcpOptionNumbers::MSS, 2) => Self::Mss(u16::from_be_bytes([bytes[0], bytes[1]])),
            (TcpOptionNumbers::WSCALE, 1) => Self::WindowScale(bytes[0]),
            (TcpOptionNumbers::SACK_PERMITTED, 0) => Self::SackPermitted,
            (TcpOptionNumbers::TIMESTAMPS, 8) => Self::Timestamps(word(0), word(4)),
            (TcpOptionNumber(MULTIPATH), 1..) => Self::multipath(bytes),
            (number, len) => Self::Other(number.0, u8::try_from(len).unwrap_or(u8::MAX)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(0x02, "S")]
    #[case(0x12, "S.")]
    #[case(0x10, ".")]
    #[case(0x18, "P.")]
    #[case(0x14, "R.")]
    #[case(0x04, "R")]
    #[case(0x11, "F.")]
    #[case(0xc2, "SEW")]
    #[case(0x00, "-")]
    fn flags_read_as_in_packetdrill(#[case] bits: u8, #[case] shown: &str) {
        assert_eq!(Flags(bits).to_string(), shown);
        assert_eq!(Flags::from_letters(shown), Some(Flags(bits)));
    }

    #[test]
    fn a_frame_cut_short_keeps_its_length() {
        let mut frame = vec![0; 14];
        frame[12..14].copy_from_slice(&[0x08, 0x00]);
        let mut ip = vec![0x45, 0, 0, 51, 0, 0, 0, 0, 64, 6, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1];
        let tcp = [0x99, 0x5a, 0, 80, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x18, 2, 0, 0, 0, 0, 0];
        ip.extend_from_slice(&tcp);
        frame.extend_from_slice(&ip);
        let segment = Segment::parse(Duration::ZERO, &frame).expect("a segment");
        assert_eq!(segment.len, 11);
        assert_eq!(segment.flags.to_string(), "P.");
        assert_eq!(segment.to.port(), 80);
        assert_eq!((segment.seq, segment.ack), (1, 2));
        let shown = "127.0.0.1:39258 > 127.0.0.1:80  P. 1:12(11) ack 2 win 512";
        assert_eq!(segment.to_string(), shown);
    }

    #[rstest]
    #[case(&[])]
    #[case(&[0; 14])]
    #[case(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0x4f, 0])]
    fn what_is_not_tcp_is_nothing(#[case] frame: &[u8]) {
        assert_eq!(Segment::parse(Duration::ZERO, frame), None);
    }

    proptest::proptest! {
        #[test]
        fn nothing_on_the_wire_makes_the_parser_panic(bytes: Vec<u8>) {
            for ethertype in [[0x08, 0x00], [0x86, 0xdd]] {
                let mut frame = vec![0; 12];
                frame.extend(ethertype);
                frame.extend(&bytes);
                let _ = Segment::parse(Duration::ZERO, &frame);
            }
        }

        #[test]
        fn no_tcp_header_makes_the_parser_panic(ip_header: u8, tcp: Vec<u8>) {
            let mut frame = vec![0; 12];
            frame.extend([0x08, 0x00, 0x40 | (ip_header & 0x0f), 0, 0xff, 0xff]);
            frame.extend([0, 0, 0, 0, 64, 6, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1]);
            frame.extend(&tcp);
            let _ = Segment::parse(Duration::ZERO, &frame);
        }

        #[test]
        fn no_damage_to_a_real_frame_makes_the_parser_panic(
            which in 0..REAL.len(),
            end: usize,
            damage: Vec<(usize, u8)>,
        ) {
            let mut frame = REAL[which].to_vec();
            for (at, byte) in damage {
                let at = at % frame.len();
                frame[at] = byte;
            }
            frame.truncate(end % (frame.len() + 1));
            let _ = Segment::parse(Duration::ZERO, &frame);
        }
    }

    #[test]
    fn no_wrong_byte_in_a_real_frame_makes_the_parser_panic() {
        for frame in REAL {
            let mut frame = frame.to_vec();
            for at in 0..frame.len() {
                let right = frame[at];
                for wrong in 0..=u8::MAX {
                    frame[at] = wrong;
                    let _ = Segment::parse(Duration::ZERO, &frame);
                }
                frame[at] = right;
            }
        }
    }

    #[test]
    fn a_real_frame_says_the_same_without_its_payload() {
        for (frame, headers) in REAL.iter().zip([74, 86]) {
            let whole = Segment::parse(Duration::ZERO, frame).expect("a segment");
            for end in 0..=frame.len() {
                let cut = Segment::parse(Duration::ZERO, &frame[..end]);
                assert!(end < headers || cut.as_ref() == Some(&whole), "cut at {end}: {cut:?}");
            }
        }
    }

    /// A SYN over IPv4 with its options, and `Hello World` over IPv6, as Linux sent them.
    const REAL: [&[u8]; 2] = [
        b"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x08\x00\
          \x45\x00\x00\x3c\xe3\x0c\x40\x00\x40\x06\x59\xad\x7f\x00\x00\x01\x7f\x00\x00\x01\
          \x9c\x40\x00\x50\x8c\xdf\xef\x8b\x00\x00\x00\x00\xa0\x02\xff\xd7\xfe\x30\x00\x00\
          \x02\x04\xff\xd7\x04\x02\x08\x0a\x2b\x1a\x91\xc5\x00\x00\x00\x00\x01\x03\x03\x0a",
        b"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x86\xdd\
          \x60\x0a\xd1\xbe\x00\x2b\x06\x40\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\
          \x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\
          \x9c\x40\x00\x50\x86\x2a\xd3\xef\x83\x3e\xdc\x1a\x80\x18\x00\x40\x00\x33\x00\x00\
          \x01\x01\x08\x0a\x6a\x7e\x2e\x1e\xca\xa5\x08\xec\x48\x65\x6c\x6c\x6f\x20\x57\x6f\
          \x72\x6c\x64",
    ];
}
