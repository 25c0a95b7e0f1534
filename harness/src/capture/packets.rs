//! The packet socket that a lab's wire is captured with.
//!
//! It has no memory-mapped ring: setting one up waits for an RCU grace period, which is
//! as long as the rest of a case.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use libc::sock_filter;
use nix::errno::Errno;
use nix::sys::socket::sockopt::{RcvBuf, RcvBufForce, ReceiveTimestampns};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socket};

use crate::capture::batch::{Batch, Frame};
use crate::error::{Context, Error, Result};
use crate::essential::Essential;
use crate::net::sockopt::{self, ReadOption};

/// Room for packets that wait to be read. The kernel charges about 1 KiB for a small one.
const BUFFER_BYTES: usize = 1024 * 1024;

/// A packet socket on one interface.
pub struct Packets {
    fd: OwnedFd,
    batch: Batch,
    lost: u32,
    failed: Option<Errno>,
}

impl Packets {
    /// Opens a packet socket on the interface `ifindex` of this network namespace. Nothing
    /// that the interface receives after this call is missed.
    pub fn open(ifindex: u32) -> Result<Self> {
        Self::open_after(ifindex, |_| Ok(()))
    }

    /// As [`Packets::open`], for what a program lets through.
    pub(crate) fn open_for(ifindex: u32, program: &[sock_filter]) -> Result<Self> {
        Self::open_after(ifindex, |packets| packets.let_through(program))
    }

    fn open_after(ifindex: u32, prepare: impl FnOnce(&Self) -> Result<()>) -> Result<Self> {
        // Protocol 0: nothing is received before the filter is in place.
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = match socket(AddressFamily::Packet, SockType::Raw, flags, None) {
            Err(Errno::EAFNOSUPPORT) => return Err(Error::Missing(Essential::PacketSockets)),
            opened => opened.call(|| "socket(AF_PACKET, SOCK_RAW)".into())?,
        };
        setsockopt(&fd, ReceiveTimestampns, &true).call(|| "setsockopt(SO_TIMESTAMPNS)".into())?;
        // Without the capability the system's own limit holds; a loss is noticed anyway.
        let _ = setsockopt(&fd, RcvBufForce, &BUFFER_BYTES)
            .or_else(|_| setsockopt(&fd, RcvBuf, &BUFFER_BYTES));
        let packets = Self { fd, batch: Batch::default(), lost: 0, failed: None };
        // `lo` would show each packet twice, going out and coming in; the second is what the
        // receiver is about to see.
        sockopt::set_number(&packets.fd, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, 1)
            .call(|| "setsockopt(packet socket, PACKET_IGNORE_OUTGOING)".into())?;
        prepare(&packets)?;
        packets.bind(ifindex)?;
        Ok(packets)
    }

    fn let_through(&self, program: &[sock_filter]) -> Result<()> {
        sockopt::attach_filter(&self.fd, program)
            .call(|| "setsockopt(packet socket, SO_ATTACH_FILTER)".into())
    }

    /// From now on, counts what `program` lets through, and keeps next to nothing of it.
    pub(crate) fn count_only(&mut self, program: &[sock_filter]) -> Result<()> {
        self.let_through(program)?;
        // The kernel makes it the least that it allows. What has no room is counted, too.
        setsockopt(&self.fd, RcvBuf, &0)
            .call(|| "setsockopt(packet socket, SO_RCVBUF, 0)".into())?;
        self.counted().map(drop)
    }

    /// How many packets were let through since the last call, or [`Packets::count_only`].
    pub(crate) fn counted(&mut self) -> Result<u32> {
        self.statistics().map(|statistics| statistics.tp_packets)
    }

    fn bind(&self, ifindex: u32) -> Result<()> {
        let address = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
            sll_ifindex: ifindex as i32,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        // SAFETY: the address is a sockaddr_ll and its length is said.
        let bound = unsafe {
            libc::bind(
                self.fd.as_raw_fd(),
                (&raw const address).cast(),
                size_of::<libc::sockaddr_ll>() as u32,
            )
        };
        nix::errno::Errno::result(bound)
            .map(drop)
            .call(|| format!("bind(AF_PACKET, ETH_P_ALL, interface {ifindex})"))
    }

    /// Takes no packet any more, until [`Packets::listen_again`].
    pub fn ignore_all(&self) -> Result<()> {
        self.let_through(&[sockopt::DROP])
    }

    /// Undoes [`Packets::ignore_all`].
    pub fn listen_again(&self) -> Result<()> {
        sockopt::detach_filter(&self.fd)
            .call(|| "setsockopt(packet socket, SO_DETACH_FILTER)".into())
    }

    /// Hands every packet that the kernel has captured to `take`. A failure is reported by
    /// [`Packets::check_complete`].
    pub fn take_all(&mut self, mut take: impl FnMut(Frame)) {
        loop {
            match self.batch.receive(self.fd.as_fd(), &mut take) {
                Ok(true) => {}
                Ok(false) => return,
                Err(e) => {
                    self.failed.get_or_insert(e);
                    return;
                }
            }
        }
    }

    /// Checks that no packet was lost.
    ///
    /// # Errors
    /// [`Error::CaptureLost`] when one was, now or earlier; a failed [`Packets::take_all`].
    pub fn check_complete(&mut self) -> Result<()> {
        if let Some(failed) = self.failed {
            return Err(failed).call(|| "recvmmsg(AF_PACKET)".into());
        }
        let statistics = self.statistics()?;
        // The kernel counts from the last call on.
        self.lost = self.lost.saturating_add(statistics.tp_drops);
        match self.lost {
            0 => Ok(()),
            lost => Err(Error::CaptureLost { lost }),
        }
    }

    fn statistics(&self) -> Result<libc::tpacket_stats> {
        let mut statistics = sockopt::zeroed();
        sockopt::read(&self.fd, &mut statistics).call(|| "getsockopt(PACKET_STATISTICS)".into())?;
        Ok(statistics)
    }
}

// SAFETY: a struct of integers, for which all bytes are values; and the kernel writes it only.
unsafe impl ReadOption for libc::tpacket_stats {
    const LEVEL: i32 = libc::SOL_PACKET;
    const NAME: i32 = libc::PACKET_STATISTICS;
}

impl AsFd for Packets {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Keeps the kernel's packet timestamps on while the value lives.
///
/// They are off until some socket of the machine asks for them, and the kernel needs a
/// moment to turn them on. A lab that were the first to ask would find its first packets
/// stamped with the time at which it read them.
pub(crate) struct Timestamps {
    _asking: Option<OwnedFd>,
}

impl Default for Timestamps {
    fn default() -> Self {
        let asking =
            socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None).ok();
        let asking = asking.filter(|socket| setsockopt(socket, ReceiveTimestampns, &true).is_ok());
        Self { _asking: asking }
    }
}

/// Keeps the TCP segments of IPv4 that come from `port` and have of the flags `mask`
/// just `flags`. Their IP headers must have no options, as those of the kernel's own.
pub(crate) fn segments_of(port: u16, mask: u8, flags: u8) -> Vec<sock_filter> {
    const PROTOCOL: i32 = 9;
    const TCP: i32 = 20;
    let network = |offset: i32| (libc::SKF_NET_OFF + offset) as u32;
    let ethertype = (libc::SKF_AD_OFF + libc::SKF_AD_PROTOCOL) as u32;
    let tests = [
        (vec![sockopt::load_word(ethertype)], libc::ETH_P_IP as u32),
        (vec![sockopt::load_byte(network(PROTOCOL))], libc::IPPROTO_TCP as u32),
        (vec![sockopt::load_half(network(TCP))], port.into()),
        (vec![sockopt::load_byte(network(TCP + 13)), sockopt::and(mask.into())], flags.into()),
    ];
    let mut program = Vec::new();
    for (load, value) in tests {
        program.extend(load);
        program.extend([sockopt::unless_equal(value, 1), sockopt::skip(1), sockopt::DROP]);
    }
    program.push(sockopt::PASS);
    program
}

#[cfg(test)]
mod tests {
    use crate::layout::of_kernel::{assert_members, size};

    #[test]
    fn layout_of_addresses_and_statistics() {
        assert_eq!(size_of::<libc::sockaddr_ll>(), size("struct sockaddr_ll"));
        assert_members!(libc::sockaddr_ll, "struct sockaddr_ll", {
            sll_family: "sll_family", sll_protocol: "sll_protocol", sll_ifindex: "sll_ifindex",
            sll_hatype: "sll_hatype", sll_pkttype: "sll_pkttype", sll_halen: "sll_halen",
            sll_addr: "sll_addr",
        });
        assert_eq!(size_of::<libc::tpacket_stats>(), size("struct tpacket_stats"));
        assert_members!(libc::tpacket_stats, "struct tpacket_stats", {
            tp_packets: "tp_packets", tp_drops: "tp_drops",
        });
    }
}
