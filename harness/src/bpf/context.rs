//! What a program reads: its context (`struct sk_reuseport_md`), and the sockets in it.

use std::fmt;

/// Offsets in `struct sk_reuseport_md`.
pub(super) mod md {
    pub const DATA: i16 = 0;
    pub const DATA_END: i16 = 8;
    pub const LEN: i16 = 16;
    pub const ETH_PROTOCOL: i16 = 20;
    pub const IP_PROTOCOL: i16 = 24;
    pub const BIND_INANY: i16 = 28;
    pub const HASH: i16 = 32;
    pub const SK: i16 = 40;
    pub const MIGRATING_SK: i16 = 48;
}

/// A field of `struct sk_reuseport_md`, with the kernel's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// Where the packet begins.
    Data,
    /// Where its linear part ends.
    DataEnd,
    /// How long it is.
    Len,
    /// `ETH_P_IP`, `ETH_P_IPV6`.
    EthProtocol,
    /// `IPPROTO_TCP`.
    IpProtocol,
    /// Whether the group is bound to a wildcard.
    BindInany,
    /// The hash by which the kernel would choose.
    Hash,
    /// The listener that the program is called for.
    Sk,
    /// What migrates.
    MigratingSk,
}

impl Field {
    pub(super) const fn offset(self) -> i16 {
        match self {
            Self::Data => md::DATA,
            Self::DataEnd => md::DATA_END,
            Self::Len => md::LEN,
            Self::EthProtocol => md::ETH_PROTOCOL,
            Self::IpProtocol => md::IP_PROTOCOL,
            Self::BindInany => md::BIND_INANY,
            Self::Hash => md::HASH,
            Self::Sk => md::SK,
            Self::MigratingSk => md::MIGRATING_SK,
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Data => "data",
            Self::DataEnd => "data_end",
            Self::Len => "len",
            Self::EthProtocol => "eth_protocol",
            Self::IpProtocol => "ip_protocol",
            Self::BindInany => "bind_inany",
            Self::Hash => "hash",
            Self::Sk => "sk",
            Self::MigratingSk => "migrating_sk",
        })
    }
}

/// Offsets in `struct bpf_sock`, to which the context points.
pub(super) mod sock {
    pub const FAMILY: i16 = 4;
    pub const SRC_PORT: i16 = 44;
    pub const DST_PORT: i16 = 48;
    pub const STATE: i16 = 72;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::of_kernel::offset;

    #[test]
    fn layout_of_a_context_and_its_sockets() {
        let fields = [
            Field::Data,
            Field::DataEnd,
            Field::Len,
            Field::EthProtocol,
            Field::IpProtocol,
            Field::BindInany,
            Field::Hash,
            Field::Sk,
            Field::MigratingSk,
        ];
        for field in fields {
            let wanted = offset("struct sk_reuseport_md", &field.to_string());
            assert_eq!(field.offset() as usize, wanted, "{field}");
        }
        for (ours, member) in [
            (sock::FAMILY, "family"),
            (sock::SRC_PORT, "src_port"),
            (sock::DST_PORT, "dst_port"),
            (sock::STATE, "state"),
        ] {
            assert_eq!(ours as usize, offset("struct bpf_sock", member), "{member}");
        }
    }
}
