//! The gate as an nftables rule, set and lifted through netlink, without the `nft` command.

use std::io;
use std::mem::ManuallyDrop;
use std::net::IpAddr;

use netlink_packet_core::{
    DefaultNla, NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage,
    NetlinkPayload, Nla,
};
use netlink_packet_netfilter::nftables::{
    Bitwise, ChainAttribute, ChainMessage, Cmp, DataAttribute, ExpressionAttribute, Expressions,
    Hook, Immediate, InetHookNumber, ListAttribute, Meta, MetaKey, NfTablesMessage, Operator,
    Payload, Register, RuleAttribute, RuleMessage, TableAttribute, TableMessage, Verdict,
    VerdictAttribute,
};
use netlink_packet_netfilter::none::ControlMessage;
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
    NetfilterSubsystem,
};
use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};

use super::segments::{ACK, FLAGS_OFFSET, SYN_RST_ACK, Whose};
use crate::error::{Context, Error, Result};

const TABLE: &str = "sockmig";
const CHAIN: &str = "gate";

/// `NF_DROP` and `NF_ACCEPT`, the verdicts that end a chain.
const DROP: Verdict = Verdict::Other(0);
const ACCEPT: Verdict = Verdict::Other(1);

/// Bases of a payload expression: `NFT_PAYLOAD_NETWORK_HEADER` and `_TRANSPORT_HEADER`.
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;

/// `NFTA_COUNTER_PACKETS`, a big-endian 64-bit number.
const COUNTER_PACKETS: u16 = 2;

/// A rule that drops final ACKs. Dropping the value lifts it.
pub(super) struct Rule {
    /// Left to the end of the process: a netlink socket that was closed is counted until
    /// an RCU grace period is over, and would pass for one that leaked.
    socket: ManuallyDrop<Socket>,
    sequence: u32,
    open: bool,
}

impl Rule {
    /// Drops final ACKs to `port` before TCP sees them. IPv4 and IPv6 alike.
    ///
    /// # Errors
    /// The kernel has no nftables, or refuses the rule. There can be one at a time.
    pub(super) fn set(port: u16, whose: Whose) -> Result<Self> {
        let mut closed = Self { socket: ManuallyDrop::new(connect()?), sequence: 0, open: true };
        let table = TableMessage { attributes: vec![TableAttribute::Name(TABLE.into())] };
        let chain = ChainMessage {
            attributes: vec![
                ChainAttribute::Table(TABLE.into()),
                ChainAttribute::Name(CHAIN.into()),
                ChainAttribute::Hook(vec![
                    Hook::Number(InetHookNumber::LocalIn.into()),
                    Hook::Priority(0),
                ]),
                ChainAttribute::Type("filter".into()),
            ],
        };
        let mut matches = tcp_to(port);
        matches.extend(sent_by(whose));
        matches.push(counter());
        matches.push(verdict(DROP));
        closed.commit(
            "add the rule that drops final ACKs",
            vec![
                (NfTablesMessage::NewTable(table), NLM_F_CREATE),
                (NfTablesMessage::NewChain(chain), NLM_F_CREATE),
                (NfTablesMessage::NewRule(rule(matches)), NLM_F_CREATE | NLM_F_APPEND),
            ],
        )?;
        closed.open = false;
        Ok(closed)
    }

    /// Lifts the rule and says how many packets it dropped, by its counter.
    ///
    /// A rule that accepts everything goes in front first, so that the counter is at rest
    /// when it is read.
    ///
    /// # Errors
    /// The kernel refuses a change, or shows no counter.
    pub(super) fn lift(mut self) -> Result<u64> {
        let accept = rule(vec![verdict(ACCEPT)]);
        self.commit(
            "add the rule that accepts everything",
            vec![(NfTablesMessage::NewRule(accept), NLM_F_CREATE)],
        )?;
        let dropped = self.counted()?;
        self.remove()?;
        Ok(dropped)
    }

    fn remove(&mut self) -> Result<()> {
        self.open = true;
        let table = TableMessage { attributes: vec![TableAttribute::Name(TABLE.into())] };
        self.commit("delete the table", vec![(NfTablesMessage::DeleteTable(table), 0)])
    }

    /// Packets that the dropping rule has counted.
    fn counted(&mut self) -> Result<u64> {
        let attributes =
            vec![RuleAttribute::Table(TABLE.into()), RuleAttribute::Chain(CHAIN.into())];
        let request = NfTablesMessage::GetRule(RuleMessage { attributes });
        self.send(&message(self.sequence + 1, NLM_F_REQUEST | NLM_F_DUMP, request))
            .call(|| "nftables: list the gate's rules".into())?;
        self.sequence += 1;
        let mut packets = None;
        self.receive("list the gate's rules", |reply| {
            match reply.payload {
                NetlinkPayload::InnerMessage(NetfilterMessage {
                    inner: NetfilterMessageInner::NfTables(NfTablesMessage::NewRule(rule)),
                    ..
                }) => packets = packets.or_else(|| packets_of(&rule)),
                NetlinkPayload::Done(_) => return true,
                _ => {}
            }
            false
        })?;
        packets.ok_or_else(|| Error::unreadable("the counter of the gate's rule", "no counter"))
    }

    /// Sends one transaction and waits for the kernel's answer.
    fn commit(&mut self, what: &str, changes: Vec<(NfTablesMessage, u16)>) -> Result<()> {
        let first = self.sequence + 1;
        let last = first + changes.len() as u32 - 1;
        let mut batch = control(ControlMessage::BatchBegin);
        for (sequence, (change, flags)) in (first..).zip(changes) {
            // Every change asks for an answer; the last one's says that all were made.
            batch.extend(message(sequence, NLM_F_REQUEST | NLM_F_ACK | flags, change));
        }
        batch.extend(control(ControlMessage::BatchEnd));
        self.sequence = last;
        self.send(&batch).call(|| format!("nftables: {what}"))?;
        self.receive(what, |reply| {
            matches!(reply.payload, NetlinkPayload::Error(_))
                && reply.header.sequence_number == last
        })
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.socket.send(bytes, 0).map(drop)
    }

    /// Reads replies until `last` says that one was the last.
    ///
    /// The kernel has answered before `send` returns, so that an empty queue means an
    /// answer that never comes.
    fn receive(
        &self,
        what: &str,
        mut last: impl FnMut(NetlinkMessage<NetfilterMessage>) -> bool,
    ) -> Result<()> {
        loop {
            let (bytes, _) =
                self.socket.recv_from_full().call(|| format!("nftables: answer to: {what}"))?;
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let reply = NetlinkMessage::<NetfilterMessage>::deserialize(rest)
                    .map_err(|e| Error::unreadable("nftables' answer", e.to_string()))?;
                let len = (reply.header.length as usize).next_multiple_of(4).min(rest.len());
                rest = &rest[len..];
                if let NetlinkPayload::Error(refusal) = &reply.payload
                    && refusal.code.is_some()
                {
                    return Err(refusal.to_io()).call(|| format!("nftables: {what}"));
                }
                if last(reply) {
                    return Ok(());
                }
            }
        }
    }
}

impl Drop for Rule {
    fn drop(&mut self) {
        if !self.open {
            // An error cannot be returned here; the rule ends with the namespace at the latest.
            let _ = self.remove();
        }
    }
}

fn connect() -> Result<Socket> {
    let mut socket =
        Socket::new(NETLINK_NETFILTER).call(|| "socket(AF_NETLINK, NETLINK_NETFILTER)".into())?;
    socket.bind_auto().call(|| "bind(NETLINK_NETFILTER)".into())?;
    socket.connect(&SocketAddr::new(0, 0)).call(|| "connect(NETLINK_NETFILTER)".into())?;
    socket.set_non_blocking(true).call(|| "fcntl(NETLINK_NETFILTER, O_NONBLOCK)".into())?;
    Ok(socket)
}

fn message(sequence: u32, flags: u16, body: NfTablesMessage) -> Vec<u8> {
    serialize(sequence, flags, NetfilterHeader::new(NetfilterProtoFamily::Inet, 0, 0), body)
}

fn control(body: ControlMessage) -> Vec<u8> {
    let subsystem = u16::from(u8::from(NetfilterSubsystem::NfTables));
    serialize(
        0,
        NLM_F_REQUEST,
        NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, subsystem),
        body,
    )
}

fn serialize(
    sequence: u32,
    flags: u16,
    header: NetfilterHeader,
    body: impl Into<NetfilterMessageInner>,
) -> Vec<u8> {
    let mut message = NetlinkMessage::from(NetfilterMessage::new(header, body));
    message.header.sequence_number = sequence;
    message.header.flags = flags;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

type Expression = ListAttribute<ExpressionAttribute>;

fn rule(expressions: Vec<Expression>) -> RuleMessage {
    RuleMessage {
        attributes: vec![
            RuleAttribute::Table(TABLE.into()),
            RuleAttribute::Chain(CHAIN.into()),
            RuleAttribute::Expressions(expressions),
        ],
    }
}

/// `meta l4proto tcp tcp dport PORT tcp flags & (syn|rst|ack) == ack`
fn tcp_to(port: u16) -> Vec<Expression> {
    vec![
        meta(MetaKey::L4Proto),
        equals(vec![libc::IPPROTO_TCP as u8]),
        payload(TRANSPORT_HEADER, 2, 2),
        equals(port.to_be_bytes().into()),
        payload(TRANSPORT_HEADER, FLAGS_OFFSET, 1),
        Expressions::Bitwise(vec![
            Bitwise::SourceRegister(Register::Reg1),
            Bitwise::DestinationRegister(Register::Reg1),
            Bitwise::Length(1),
            Bitwise::Mask(DataAttribute::Value(vec![SYN_RST_ACK])),
            Bitwise::Xor(DataAttribute::Value(vec![0])),
        ])
        .into(),
        equals(vec![ACK]),
    ]
}

fn sent_by(whose: Whose) -> Vec<Expression> {
    let nfproto = |family: i32| [meta(MetaKey::Nfproto), equals(vec![family as u8])];
    match whose {
        Whose::Everyone => vec![],
        Whose::Port(port) => {
            vec![payload(TRANSPORT_HEADER, 0, 2), equals(port.to_be_bytes().into())]
        }
        Whose::Mark(mark) => vec![meta(MetaKey::Mark), equals(mark.to_ne_bytes().into())],
        Whose::Address(address) => match address.to_canonical() {
            IpAddr::V4(v4) => nfproto(libc::NFPROTO_IPV4)
                .into_iter()
                .chain([payload(NETWORK_HEADER, 12, 4), equals(v4.octets().into())])
                .collect(),
            IpAddr::V6(v6) => nfproto(libc::NFPROTO_IPV6)
                .into_iter()
                .chain([payload(NETWORK_HEADER, 8, 16), equals(v6.octets().into())])
                .collect(),
        },
    }
}

/// Loads a fact about the packet into the first register.
fn meta(key: MetaKey) -> Expression {
    Expressions::Meta(vec![Meta::DestinationRegister(Register::Reg1), Meta::Key(key)]).into()
}

/// Loads bytes of the packet into the first register.
fn payload(base: u32, offset: u32, len: u32) -> Expression {
    Expressions::Payload(vec![
        Payload::DestinationRegister(Register::Reg1),
        Payload::Base(base),
        Payload::Offset(offset),
        Payload::Len(len),
    ])
    .into()
}

/// Goes on with the rule only if the first register holds `value`.
fn equals(value: Vec<u8>) -> Expression {
    Expressions::Cmp(vec![
        Cmp::SourceRegister(Register::Reg1),
        Cmp::Op(Operator::Equal),
        Cmp::Data(DataAttribute::Value(value)),
    ])
    .into()
}

/// The crate has no counter of its own; the expression needs no attribute to start at 0.
fn counter() -> Expression {
    Expressions::Other { expression_type: "counter".into(), attributes: vec![] }.into()
}

fn verdict(verdict: Verdict) -> Expression {
    Expressions::Immediate(vec![
        Immediate::DestinationRegister(Register::Verdict),
        Immediate::Data(DataAttribute::Verdict(vec![VerdictAttribute::Code(verdict)])),
    ])
    .into()
}

/// The packets that a rule's counter has seen, if the rule has one.
fn packets_of(rule: &RuleMessage) -> Option<u64> {
    let expressions = rule.attributes.iter().find_map(|attribute| match attribute {
        RuleAttribute::Expressions(expressions) => Some(expressions),
        _ => None,
    })?;
    let attributes = expressions.iter().find_map(|expression| {
        let ListAttribute::Element(parts) = expression else {
            return None;
        };
        parts.iter().find_map(|part| match part {
            ExpressionAttribute::Data(Expressions::Other { expression_type, attributes })
                if expression_type == "counter" =>
            {
                Some(attributes)
            }
            _ => None,
        })
    })?;
    attributes.iter().find(|attribute| attribute.kind() == COUNTER_PACKETS).and_then(be_u64)
}

fn be_u64(attribute: &DefaultNla) -> Option<u64> {
    let mut bytes = [0; 8];
    if attribute.value_len() != bytes.len() {
        return None;
    }
    attribute.emit_value(&mut bytes);
    Some(u64::from_be_bytes(bytes))
}
