//! Many children, made by clients that are no sockets.
//!
//! Segments are built by hand and go out through one raw socket; a packet socket hears the
//! SYN+ACKs. So a hundred thousand connections take two descriptors. No interface
//! has the clients' addresses: what is sent to them leaves through `lo`, and is dropped when it
//! comes in.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;

use pnet_packet::tcp::TcpFlags;
use socket2::{Domain, Socket};

use crate::capture::{Packets, segments_of};
use crate::error::{Context, Result};
use crate::net::draft::Draft;
use crate::net::family::{Family, PORT};
use crate::net::network::{self, Network};
use crate::net::segment::Segment;
use crate::socket::wire_client::{INITIAL, raw_socket, send_raw};
use crate::wait;

/// How many handshakes are in flight at a time: `lo` has room for a thousand packets, and the
/// packet socket of an ordinary user for some hundred.
pub const BATCH: u32 = 128;

/// Addresses for tests of networks (RFC 2544), and the bits that they have in common.
const CLIENTS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);
const PREFIX: u8 = 16;

/// The ports of each of them.
const FIRST_PORT: u32 = 10_000;
const PORTS: u32 = 10_000;

/// How many clients there can be.
pub const MOST: u32 = PORTS * ((1 << (32 - PREFIX)) - 2);

/// Clients of the listeners at 127.0.0.1 and the lab's port.
pub struct Flood {
    raw: Socket,
    heard: Packets,
    server: SocketAddr,
    /// What `lo` had no room for when resets began to be counted.
    dropped: u64,
}

impl Flood {
    /// Prepares everything. No client has come.
    ///
    /// # Errors
    /// A raw or a packet socket, or the route, is refused.
    pub fn open() -> Result<Self> {
        Network::open()?.route("lo", CLIENTS, PREFIX)?;
        let raw = raw_socket(Domain::IPV4).call(|| "socket(SOCK_RAW, IPPROTO_RAW)".into())?;
        let lo = nix::net::if_::if_nametoindex("lo").call(|| "if_nametoindex(lo)".into())?;
        let syn_ack = TcpFlags::SYN | TcpFlags::ACK;
        let heard = Packets::open_for(lo, &segments_of(PORT, syn_ack, syn_ack))?;
        Ok(Self { raw, heard, server: Family::V4.server(), dropped: 0 })
    }

    /// So many clients, at most [`MOST`], shake hands and send `request`. The last final ACKs
    /// may still be on their way when this returns.
    ///
    /// # Errors
    /// A SYN+ACK does not come.
    pub fn come(&mut self, clients: u32, request: &[u8]) -> Result<()> {
        let (syn, ack) = (Draft::syn(), Draft::new("P.", 1, 1).payload(request));
        for first in (0..clients).step_by(BATCH as usize) {
            let batch = first..clients.min(first + BATCH);
            batch.clone().try_for_each(|client| self.send(client, &syn, 0))?;
            let initials = self.syn_acks(first, batch.len())?;
            for (client, initial) in batch.zip(initials) {
                self.send(client, &ack, initial)?;
            }
        }
        Ok(())
    }

    fn send(&self, client: u32, draft: &Draft, server_initial: u32) -> Result<()> {
        let from = address(client);
        let packet = draft.packet(from, self.server, (INITIAL, server_initial));
        send_raw(&self.raw, &packet, self.server)
            .call(|| format!("sendto(SOCK_RAW, {draft} by {from})"))
    }

    /// SEG.SEQ of the SYN+ACK to each of `count` clients from `first` on.
    fn syn_acks(&mut self, first: u32, count: usize) -> Result<Vec<u32>> {
        let mut initials: Vec<Option<u32>> = vec![None; count];
        let fd = self.heard.as_fd().try_clone_to_owned().call(|| "dup(packet socket)".into())?;
        let what = format!("SYN+ACKs to {count} clients of a flood");
        let all = wait::until_readable(fd.as_fd(), &what, || {
            self.heard.take_all(|frame| {
                let segment = Segment::parse(frame.at, &frame.bytes);
                let nth = segment.as_ref().and_then(|s| number(s.to)?.checked_sub(first));
                // One that is repeated to a client of before is of no use any more.
                if let (Some(segment), Some(nth)) = (segment, nth)
                    && let Some(initial) = initials.get_mut(nth as usize)
                {
                    *initial = Some(segment.seq);
                }
            });
            Ok(initials.iter().copied().collect::<Option<Vec<u32>>>())
        });
        // That would be why they are missing.
        self.heard.check_complete()?;
        all
    }

    /// From now on, counts the resets that listeners send, and hears nothing else.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn watch_resets(&mut self) -> Result<()> {
        self.dropped = network::dropped("lo")?;
        self.heard.count_only(&segments_of(PORT, TcpFlags::RST, TcpFlags::RST))
    }

    /// How many resets were on the wire since [`Flood::watch_resets`]. What `lo` had no room
    /// for counts: by then nothing but resets is sent.
    ///
    /// # Errors
    /// `/proc/net/dev` cannot be read, or the packet socket refuses.
    pub fn resets(&mut self) -> Result<u64> {
        let dropped = network::dropped("lo")? - self.dropped;
        Ok(u64::from(self.heard.counted()?) + dropped)
    }
}

/// The address of a client, by its number.
fn address(client: u32) -> SocketAddr {
    let (host, port) = (client / PORTS + 1, client % PORTS + FIRST_PORT);
    SocketAddr::new(Ipv4Addr::from(u32::from(CLIENTS) + host).into(), port as u16)
}

/// The number of a client, by its address; [`None`] if it is not a flood's.
pub fn number(address: SocketAddr) -> Option<u32> {
    let IpAddr::V4(ip) = address.ip() else { return None };
    let host = u32::from(ip).checked_sub(u32::from(CLIENTS) + 1)?;
    let port = u32::from(address.port()).checked_sub(FIRST_PORT).filter(|port| *port < PORTS)?;
    (host < MOST / PORTS).then_some(host * PORTS + port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_an_address_of_its_own() {
        assert_eq!(address(0).to_string(), "198.18.0.1:10000");
        assert_eq!(address(49_999).to_string(), "198.18.0.5:19999");
        assert_eq!(address(MOST - 1).to_string(), "198.18.255.254:19999");
        for client in [0, 9_999, 10_000, 49_999, MOST - 1] {
            assert_eq!(number(address(client)), Some(client));
        }
        for nobodys in ["127.0.0.1:10000", "198.18.0.0:10000", "198.18.0.1:9999", "[::1]:10000"] {
            assert_eq!(number(nobodys.parse().expect("an address")), None, "{nobodys}");
        }
    }
}
