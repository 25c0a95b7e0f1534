//! A lab for very many short histories: nothing is recorded unless somebody asks for it, and whoever
//! drives it asks for what was seen after each step.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use socket2::{Domain, Protocol, Socket, Type};

use crate::capture::{Packets, Record};
use crate::error::{Context, Error, Result};
use crate::lab::settle::{echo, settle};
use crate::net::draft::Draft;
use crate::net::family::Family;
use crate::net::network::Network;
use crate::net::segment::Segment;
use crate::net::sockopt;
use crate::socket::wire_client::{INITIAL, raw_socket, send_raw};
use crate::socket::{Child, Listener, Received, Stream};
use crate::wait;

/// A lab that records nothing by itself. Its clients are addresses of 127.0.0.0/8, or of a prefix of IPv6 that
/// is local here, of which there are as many as anybody wants: what is sent to them is dropped by
/// one socket that has their port at every address.
pub struct UnrecordedLab {
    family: Family,
    packets: Packets,
    raw: Socket,
    _hole: Socket,
    /// The port of every client.
    port: u16,
    echo: UdpSocket,
    watched: Epoll,
    /// Of what is done from [`UnrecordedLab::begin_record`] on.
    record: Option<Record>,
}

/// The addresses of clients, of which the last 16 bits are a client's number: a prefix for one's
/// own networks, of which nobody else's are in this namespace.
const CLIENTS_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0);
const PREFIX_V6: u8 = 112;

/// How many listeners are reported at once.
const REPORTED: usize = 64;

impl UnrecordedLab {
    /// Opens the lab of this process, for connections of a family.
    ///
    /// # Errors
    /// A socket cannot be made, or the kernel takes no route.
    pub fn open(family: Family) -> Result<Self> {
        let lo = nix::net::if_::if_nametoindex("lo").call(|| "if_nametoindex(lo)".into())?;
        let domain = Domain::for_address(family.server());
        if domain == Domain::IPV6 {
            Network::open()?.local_v6("lo", CLIENTS_V6, PREFIX_V6)?;
        }
        let raw = raw_socket(domain).call(|| "socket(SOCK_RAW, IPPROTO_RAW)".into())?;
        let hole = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))
            .call(|| "socket(SOCK_STREAM)".into())?;
        sockopt::attach_filter(&hole, &[sockopt::DROP])
            .call(|| "setsockopt(SO_ATTACH_FILTER, drop everything)".into())?;
        let anywhere = match domain {
            Domain::IPV6 => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
            _ => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        };
        hole.bind(&anywhere.into()).call(|| format!("bind({anywhere})"))?;
        hole.listen(1).call(|| "listen".into())?;
        let local = hole.local_addr().call(|| "getsockname".into())?.as_socket();
        let local = local.ok_or_else(|| Error::unreadable("a bound socket's address", "not IP"))?;
        let watched = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)
            .call(|| "epoll_create1(EPOLL_CLOEXEC)".into())?;
        Ok(Self {
            family,
            packets: Packets::open(lo)?,
            raw,
            _hole: hole,
            port: local.port(),
            echo: echo().call(|| "a UDP socket that is connected to itself".into())?,
            watched,
            record: None,
        })
    }

    /// Records packets from here on; what is done, whoever does it adds to the record.
    pub fn begin_record(&mut self) {
        self.record = Some(Record::default());
    }

    /// The record, if there is one.
    pub fn record(&mut self) -> Option<&mut Record> {
        self.record.as_mut()
    }

    /// The record, which ends here, if there is one.
    pub fn end_record(&mut self) -> Option<Record> {
        let mut record = self.record.take()?;
        record.add_all_pending();
        Some(record)
    }

    /// The address of a client, by its number. 127.0.0.1, or ::1, is the server's.
    pub fn client(&self, number: u16) -> SocketAddr {
        let [high, low] = number.to_be_bytes();
        match self.family {
            Family::V6 => {
                let mut address = CLIENTS_V6.segments();
                address[7] = number;
                SocketAddr::from((Ipv6Addr::from(address), self.port))
            }
            Family::V4 | Family::V4Mapped => {
                SocketAddr::from((Ipv4Addr::new(127, 1, high, low), self.port))
            }
        }
    }

    /// Sends a segment from a client to the server. Its numbers are relative to the first one of
    /// every client, and to `server_initial`.
    ///
    /// # Errors
    /// `sendto` fails.
    pub fn send(&self, from: SocketAddr, draft: &Draft, server_initial: u32) -> Result<()> {
        let server = self.family.server();
        let packet = draft.packet(from, server, (INITIAL, server_initial));
        send_raw(&self.raw, &packet, server).call(|| format!("sendto(SOCK_RAW, {draft} by {from})"))
    }

    /// What was on the wire since the last call, when everything that was sent has arrived.
    ///
    /// # Errors
    /// The capture has holes.
    pub fn segments(&mut self) -> Result<Vec<Segment>> {
        settle(&self.echo)?;
        let mut segments = Vec::new();
        let record = &mut self.record;
        self.packets.take_all(|frame| {
            let segment = Segment::parse(frame.at, &frame.bytes);
            if let Some(record) = record {
                record.add(frame, segment.clone());
            }
            segments.extend(segment);
        });
        if let Some(record) = record {
            record.add_all_pending();
        }
        Ok(segments)
    }

    /// Returns when everything that this thread's processor has sent has arrived, with what was
    /// sent because of it. [`UnrecordedLab::segments`] does that by itself where there is one.
    ///
    /// # Errors
    /// A datagram does not come round.
    pub fn settle(&self) -> Result<()> {
        settle(&self.echo)
    }

    /// Checks that nothing of the wire was lost.
    ///
    /// # Errors
    /// [`Error::CaptureLost`].
    pub fn check_complete(&mut self) -> Result<()> {
        self.packets.check_complete()
    }

    /// A SEG.ACK of the server, or a number that answers a client's, relative to the first
    /// number of every client.
    pub fn relative(&self, number: u32) -> u32 {
        number.wrapping_sub(INITIAL)
    }

    /// Watches a listener by `epoll`, edge-triggered, under a number of the caller's.
    ///
    /// # Errors
    /// `epoll_ctl` fails.
    pub fn watch(&self, listener: &Listener, number: u64) -> Result<()> {
        let event = EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, number);
        self.watched
            .add(listener, event)
            .call(|| format!("epoll_ctl(EPOLL_CTL_ADD, {})", listener.name()))
    }

    /// The numbers of the listeners of which `epoll` reported since the last call that there is
    /// a child to accept.
    ///
    /// # Errors
    /// `epoll_wait` fails.
    pub fn woken(&self) -> Result<Vec<u64>> {
        let mut events = [EpollEvent::empty(); REPORTED];
        let count =
            self.watched.wait(&mut events, EpollTimeout::ZERO).call(|| "epoll_wait(0)".into())?;
        // A listener that was shut down reports that, and children that it cannot have.
        let has_child = |event: &&EpollEvent| {
            event.events().contains(EpollFlags::EPOLLIN)
                && !event.events().contains(EpollFlags::EPOLLHUP)
        };
        Ok(events[..count].iter().filter(has_child).map(EpollEvent::data).collect())
    }

    /// Receives what there is: how many bytes, and what `recv` says after them.
    ///
    /// # Errors
    /// `fcntl` fails.
    pub fn receive_all(&self, child: &Child) -> Result<(u32, Received)> {
        let mut bytes = 0;
        loop {
            match child.receive_now()? {
                Received::Bytes(got) => bytes += got.len() as u32,
                other => return Ok((bytes, other)),
            }
        }
    }

    /// Lets time pass which a timer of the kernel is to measure, too.
    pub fn pass(&self, time: Duration) {
        wait::pause(time);
    }
}
