//! The path manager of Multipath TCP, which says how many subflows a connection may have besides
//! its first one. Before Linux 5.16 that is none, unless somebody allows more.
//!
//! It is spoken to by generic netlink, which `netlink-packet-core` has no messages of.

use std::io;
use std::mem::ManuallyDrop;

use netlink_packet_core::{
    DecodeError, DefaultNla, Emitable, NLM_F_ACK, NLM_F_REQUEST, NetlinkDeserializable,
    NetlinkHeader, NetlinkMessage, NetlinkPayload, NetlinkSerializable, NlasIterator,
};
use netlink_sys::protocols::NETLINK_GENERIC;
use netlink_sys::{Socket, SocketAddr};

use crate::error::{Context, Error, Result};

/// The family that knows the numbers of the others (GENL_ID_CTRL), its question
/// (CTRL_CMD_GETFAMILY), and the attributes of question and answer.
const CONTROLLER: u16 = 0x10;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;

/// The family of the path manager (MPTCP_PM_NAME), its commands, and the attribute that is the
/// limit (MPTCP_PM_ATTR_SUBFLOWS).
const PATH_MANAGER: &[u8] = b"mptcp_pm\0";
const SET_LIMITS: u8 = 5;
const GET_LIMITS: u8 = 6;
const SUBFLOWS: u16 = 3;

/// The version of both families that is spoken here.
const VERSION: u8 = 1;

/// Bytes of a header of generic netlink: command, version, and two that are reserved.
const HEADER_BYTES: usize = 4;

/// Room for an answer.
const REPLY_BYTES: usize = 8 * 1024;

/// The path manager of the network namespace of the calling thread.
pub(crate) struct PathManager {
    /// Left to the end of the process: a closed one is counted until an RCU grace period is over,
    /// and would pass for one that leaked.
    netlink: ManuallyDrop<Socket>,
    family: u16,
}

impl PathManager {
    /// Finds it.
    ///
    /// # Errors
    /// The kernel has none, which is one without Multipath TCP.
    pub(crate) fn open() -> Result<Self> {
        let mut netlink =
            Socket::new(NETLINK_GENERIC).call(|| "socket(AF_NETLINK, NETLINK_GENERIC)".into())?;
        netlink.bind_auto().call(|| "bind(NETLINK_GENERIC)".into())?;
        netlink.connect(&SocketAddr::new(0, 0)).call(|| "connect(NETLINK_GENERIC)".into())?;
        let call = || "CTRL_CMD_GETFAMILY(mptcp_pm)".to_owned();
        let name = DefaultNla::new(FAMILY_NAME, PATH_MANAGER.to_vec());
        let asked = Generic { family: CONTROLLER, command: GET_FAMILY, attributes: vec![name] };
        let answer = ask(&netlink, 0, asked)?.call(call)?;
        let family = answer.and_then(|answer| answer.number(FAMILY_ID));
        let family = family.and_then(|number| u16::try_from(number).ok());
        let family = family.ok_or_else(|| Error::unreadable(call(), "no number"))?;
        Ok(Self { netlink: ManuallyDrop::new(netlink), family })
    }

    /// How many subflows a connection may have besides its first one.
    ///
    /// # Errors
    /// The kernel does not say.
    pub(crate) fn subflows(&self) -> Result<u32> {
        let call = || "MPTCP_PM_CMD_GET_LIMITS".to_owned();
        let asked = Generic { family: self.family, command: GET_LIMITS, attributes: vec![] };
        let answer = ask(&self.netlink, 0, asked)?.call(call)?;
        let limit = answer.and_then(|answer| answer.number(SUBFLOWS));
        limit.ok_or_else(|| Error::unreadable(call(), "no limit"))
    }

    /// Lets connections that begin from now on have this number of subflows besides their first.
    ///
    /// # Errors
    /// The kernel refuses: EPERM before Linux 6.1 where the user namespace is not the first one.
    pub(crate) fn limit_subflows(&self, limit: u32) -> Result<()> {
        let attributes = vec![DefaultNla::new(SUBFLOWS, limit.to_ne_bytes().to_vec())];
        let asked = Generic { family: self.family, command: SET_LIMITS, attributes };
        let answer = ask(&self.netlink, NLM_F_ACK, asked)?;
        answer.map(drop).call(|| format!("MPTCP_PM_CMD_SET_LIMITS(subflows {limit})"))
    }
}

/// Sends a message, and reads what answers it: another one, or just that it was done.
fn ask(netlink: &Socket, flags: u16, asked: Generic) -> Result<io::Result<Option<Generic>>> {
    let mut message = NetlinkMessage::new(NetlinkHeader::default(), asked.into());
    message.header.flags = NLM_F_REQUEST | flags;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    netlink.send(&bytes, 0).call(|| "send(NETLINK_GENERIC)".into())?;
    let mut reply = Vec::with_capacity(REPLY_BYTES);
    netlink.recv(&mut reply, 0).call(|| "recv(NETLINK_GENERIC)".into())?;
    let what = "an answer of generic netlink";
    let answer = NetlinkMessage::<Generic>::deserialize(&reply)
        .map_err(|e| Error::unreadable(what, e.to_string()))?;
    match answer.payload {
        NetlinkPayload::InnerMessage(answer) => Ok(Ok(Some(answer))),
        NetlinkPayload::Error(answer) if answer.code.is_none() => Ok(Ok(None)),
        NetlinkPayload::Error(answer) => Ok(Err(answer.to_io())),
        other => Err(Error::unreadable(what, format!("{other:?}"))),
    }
}

/// A message of generic netlink.
#[derive(Debug)]
struct Generic {
    family: u16,
    command: u8,
    attributes: Vec<DefaultNla>,
}

impl Generic {
    /// The attribute of this kind, if it is a number of two or four bytes.
    fn number(&self, kind: u16) -> Option<u32> {
        use netlink_packet_core::Nla;
        let found = self.attributes.iter().find(|attribute| attribute.kind() == kind)?;
        let mut bytes = vec![0; found.value_len()];
        found.emit_value(&mut bytes);
        match bytes[..] {
            [a, b] => Some(u16::from_ne_bytes([a, b]).into()),
            [a, b, c, d] => Some(u32::from_ne_bytes([a, b, c, d])),
            _ => None,
        }
    }
}

impl NetlinkSerializable for Generic {
    fn message_type(&self) -> u16 {
        self.family
    }

    fn buffer_len(&self) -> usize {
        HEADER_BYTES + self.attributes.as_slice().buffer_len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        let (header, attributes) = buffer.split_at_mut(HEADER_BYTES);
        header.copy_from_slice(&[self.command, VERSION, 0, 0]);
        self.attributes.as_slice().emit(attributes);
    }
}

impl NetlinkDeserializable for Generic {
    type Error = DecodeError;

    fn deserialize(
        header: &NetlinkHeader,
        payload: &[u8],
    ) -> std::result::Result<Self, DecodeError> {
        use netlink_packet_core::Parseable;
        let [command, _, _, _, attributes @ ..] = payload else {
            return Err("shorter than a header of generic netlink".into());
        };
        let attributes =
            NlasIterator::new(attributes).map(|attribute| DefaultNla::parse(&attribute?));
        let attributes = attributes.collect::<std::result::Result<_, _>>()?;
        Ok(Self { family: header.message_type, command: *command, attributes })
    }
}

impl From<Generic> for NetlinkPayload<Generic> {
    fn from(message: Generic) -> Self {
        Self::InnerMessage(message)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn layout_of_the_header_of_generic_netlink() {
        let header = crate::layout::of_kernel::size("struct genlmsghdr");
        assert_eq!(super::HEADER_BYTES, header);
    }
}
