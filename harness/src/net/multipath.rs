//! What Multipath TCP (RFC 8684) computes from the keys of both ends, and the options that a
//! client adds a subflow to a connection with.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::net::draft::Draft;
use crate::net::segment::MULTIPATH;

/// Subtypes of the option, in the first four bits of its value.
const MP_JOIN: u8 = 1 << 4;
const DSS: u8 = 2 << 4;

/// Flags of DSS: the option maps data, whose first data sequence number has eight bytes.
const MAPPING: u8 = 4;
const LONG_SEQUENCE: u8 = 8;

/// The client's address in MP_JOIN. Number 0 is the one that the first subflow has.
const ADDRESS: u8 = 1;

/// How many bytes of an HMAC the client sends; the server sends eight.
const CLIENT_HMAC_BYTES: usize = 20;

/// What one end puts into the handshake of a subflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// The key that it announced when the connection began.
    pub key: u64,
    /// The random number of this handshake.
    pub nonce: u32,
}

/// By which a new subflow names the connection: the one whose server has this key.
pub fn token(key: u64) -> u32 {
    let [a, b, c, d, ..] = hash(key);
    u32::from_be_bytes([a, b, c, d])
}

/// The data sequence number in front of the first byte that the end with this key sends (IDSN).
pub fn initial_data_sequence(key: u64) -> u64 {
    let [.., a, b, c, d, e, f, g, h] = hash(key);
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

fn hash(key: u64) -> [u8; 32] {
    Sha256::digest(key.to_be_bytes()).into()
}

/// The HMAC by which `own` end proves to the `other` that it knows both keys.
pub fn hmac(own: End, other: End) -> [u8; 32] {
    let key = [own.key.to_be_bytes(), other.key.to_be_bytes()].concat();
    let mut hmac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes a key of any length");
    hmac.update(&own.nonce.to_be_bytes());
    hmac.update(&other.nonce.to_be_bytes());
    hmac.finalize().into_bytes().into()
}

/// The part of the `server`'s HMAC that its SYN+ACK brings.
pub fn server_hmac(server: End, client: End) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = hmac(server, client);
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

impl Draft {
    /// With the MP_JOIN of a SYN, which asks to join the connection with this token.
    #[must_use]
    pub fn mp_join(self, token: u32, nonce: u32) -> Self {
        let mut value = vec![MP_JOIN, ADDRESS];
        value.extend(token.to_be_bytes());
        value.extend(nonce.to_be_bytes());
        self.option(MULTIPATH, &value)
    }

    /// With the MP_JOIN of the segment that ends the handshake of a subflow: the client's HMAC,
    /// as [`hmac`] computes it.
    #[must_use]
    pub fn mp_join_end(self, hmac: &[u8; 32]) -> Self {
        let mut value = vec![MP_JOIN, 0];
        value.extend(&hmac[..CLIENT_HMAC_BYTES]);
        self.option(MULTIPATH, &value)
    }

    /// With the DSS that says where `bytes` bytes of data, the first ones of their subflow, stand
    /// in the data of the whole connection.
    #[must_use]
    pub fn mapping(self, data_sequence: u64, bytes: u16) -> Self {
        const FIRST_OF_SUBFLOW: u32 = 1;
        let mut value = vec![DSS, MAPPING | LONG_SEQUENCE];
        value.extend(data_sequence.to_be_bytes());
        value.extend(FIRST_OF_SUBFLOW.to_be_bytes());
        value.extend(bytes.to_be_bytes());
        self.option(MULTIPATH, &value)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use super::*;
    use crate::net::segment::{Segment, TcpOption};
    use rstest::rstest;

    const KEY: u64 = 0x0123_4567_89ab_cdef;

    /// SHA-256 of `01 23 45 67 89 ab cd ef`, as sha256sum has it.
    #[test]
    fn a_key_has_a_token_and_a_first_number() {
        assert_eq!(token(KEY), 0x55c5_3f5d);
        assert_eq!(initial_data_sequence(KEY), 0x5707_62cd_38be_9818);
    }

    /// As openssl has it: `openssl dgst -sha256 -mac HMAC`.
    #[test]
    fn an_hmac_is_of_both_keys_and_both_nonces() {
        let (client, server) = (End { key: KEY, nonce: 1 }, End { key: 7, nonce: 2 });
        assert_eq!(server_hmac(server, client), 0x89a5_1fae_3f57_af18);
        assert_ne!(hmac(server, client), hmac(client, server));
    }

    #[rstest]
    #[case(Draft::syn().mp_join(5, 7), 12)]
    #[case(Draft::new(".", 1, 1).mp_join_end(&[9; 32]), 24)]
    #[case(Draft::new("P.", 1, 1).payload(b"x").mapping(7, 1), 18)]
    fn options_are_as_long_as_rfc_8684_says(#[case] draft: Draft, #[case] len: u8) {
        let [from, to] = [1, 2].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let mut frame = vec![0; 12];
        frame.extend([0x08, 0x00]);
        frame.extend(draft.packet(from, to, (0, 0)));
        let options = [MULTIPATH, len];
        assert!(frame.windows(2).any(|pair| pair == options), "{frame:02x?}");
        let segment = Segment::parse(Duration::ZERO, &frame).expect("a segment");
        assert!(segment.options.iter().any(|o| matches!(o, TcpOption::Multipath(_))));
    }
}
