//! The packet socket's memory-mapped receive ring (`TPACKET_V2`).

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use crate::error::{Context, Error, Result};

/// Bytes of a ring frame: the kernel's header, and about 420 bytes of packet, which is
/// every header and more payload than a case sends.
const FRAME_BYTES: u32 = 512;
const BLOCK_BYTES: u32 = 64 * 1024;
const BLOCKS: u32 = 8;
const FRAMES: u32 = BLOCKS * (BLOCK_BYTES / FRAME_BYTES);

/// A packet as the kernel handed it over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The kernel's timestamp, since the Unix epoch.
    pub at: Duration,
    /// The frame from its link-layer header on, perhaps cut short.
    pub bytes: Vec<u8>,
    /// Its whole length on the wire, bytes.
    pub original_len: u32,
}

/// A packet socket on one interface, with its ring.
pub struct Ring {
    fd: OwnedFd,
    memory: NonNull<u8>,
    next: u32,
    lost: u32,
}

impl Ring {
    /// Opens a ring on the interface `ifindex` of this network namespace. Nothing that
    /// the interface receives after this call is missed.
    pub fn open(ifindex: u32) -> Result<Self> {
        // Protocol 0: nothing is received before the filter and the ring are in place.
        let fd = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)
            .call(|| "socket(AF_PACKET, SOCK_RAW)".into())?;
        set(&fd, libc::SOL_PACKET, libc::PACKET_VERSION, &libc::tpacket_versions::TPACKET_V2)
            .call(|| "setsockopt(PACKET_VERSION, TPACKET_V2)".into())?;
        attach_once_filter(&fd)?;
        let request = libc::tpacket_req {
            tp_block_size: BLOCK_BYTES,
            tp_block_nr: BLOCKS,
            tp_frame_size: FRAME_BYTES,
            tp_frame_nr: FRAMES,
        };
        set(&fd, libc::SOL_PACKET, libc::PACKET_RX_RING, &request)
            .call(|| format!("setsockopt(PACKET_RX_RING, {FRAMES} frames)"))?;
        let len = NonZeroUsize::new(ring_bytes()).expect("a ring has bytes");
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a fresh shared mapping of the ring, unmapped only when `self` drops.
        let memory = unsafe { mmap(None, len, protection, MapFlags::MAP_SHARED, &fd, 0) }
            .call(|| format!("mmap(packet ring, {len} bytes)"))?
            .cast();
        let ring = Self { fd, memory, next: 0, lost: 0 };
        ring.bind(ifindex)?;
        Ok(ring)
    }

    fn bind(&self, ifindex: u32) -> Result<()> {
        // SAFETY: all-zero bytes are a valid sockaddr_ll.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        address.sll_ifindex = ifindex as i32;
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

    /// The next packet that the kernel has put into the ring, if there is one.
    pub fn take(&mut self) -> Option<Frame> {
        let offset = (self.next * FRAME_BYTES) as usize;
        // SAFETY: `next` is below FRAMES, so that the frame lies within the mapping;
        // frames are aligned to 512 bytes, and the kernel writes the status last.
        let (header, status) = unsafe {
            let header = self.memory.add(offset).cast::<libc::tpacket2_hdr>();
            let status = AtomicU32::from_ptr((&raw mut (*header.as_ptr()).tp_status).cast());
            (header, status)
        };
        if status.load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
            return None;
        }
        // SAFETY: the frame is ours until its status is given back; `tp_mac` and
        // `tp_snaplen` are the kernel's, and lie within the frame (checked anyway).
        let frame = unsafe {
            let header = header.as_ref();
            let room = FRAME_BYTES.saturating_sub(u32::from(header.tp_mac));
            let len = header.tp_snaplen.min(room) as usize;
            let start = self.memory.add(offset + usize::from(header.tp_mac));
            Frame {
                at: Duration::new(u64::from(header.tp_sec), header.tp_nsec),
                bytes: std::slice::from_raw_parts(start.as_ptr(), len).to_vec(),
                original_len: header.tp_len,
            }
        };
        status.store(libc::TP_STATUS_KERNEL, Ordering::Release);
        self.next = (self.next + 1) % FRAMES;
        Some(frame)
    }

    /// Checks that the ring never overflowed.
    ///
    /// # Errors
    /// [`Error::CaptureLost`] when it did, now or earlier.
    pub fn check_complete(&mut self) -> Result<()> {
        // SAFETY: all-zero bytes are valid statistics.
        let mut statistics: libc::tpacket_stats = unsafe { std::mem::zeroed() };
        let mut len = size_of::<libc::tpacket_stats>() as u32;
        // SAFETY: the buffer has the length that is said.
        let got = unsafe {
            libc::getsockopt(
                self.fd.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut statistics).cast(),
                &raw mut len,
            )
        };
        nix::errno::Errno::result(got).call(|| "getsockopt(PACKET_STATISTICS)".into())?;
        // The kernel counts from the last call on.
        self.lost = self.lost.saturating_add(statistics.tp_drops);
        match self.lost {
            0 => Ok(()),
            lost => Err(Error::CaptureLost { lost, frames: FRAMES }),
        }
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and nothing borrows from it.
        let unmapped = unsafe { munmap(self.memory.cast(), ring_bytes()) };
        debug_assert!(unmapped.is_ok(), "munmap(packet ring): {unmapped:?}");
    }
}

fn ring_bytes() -> usize {
    (BLOCK_BYTES * BLOCKS) as usize
}

/// `lo` shows each packet twice, going out and coming in; the filter keeps the second,
/// which is what the receiver is about to see.
fn attach_once_filter(fd: &OwnedFd) -> Result<()> {
    let packet_type = (libc::SKF_AD_OFF + libc::SKF_AD_PKTTYPE) as u32;
    let load_byte = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
    let jump_equal = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    let answer = (libc::BPF_RET | libc::BPF_K) as u16;
    let op = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut program = [
        op(load_byte, 0, 0, packet_type),
        op(jump_equal, 0, 1, u32::from(libc::PACKET_OUTGOING)),
        op(answer, 0, 0, 0),
        op(answer, 0, 0, u32::MAX),
    ];
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    set(fd, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
        .call(|| "setsockopt(SO_ATTACH_FILTER, keep incoming)".into())
}

fn set<T>(fd: &OwnedFd, level: i32, name: i32, value: &T) -> io::Result<()> {
    // SAFETY: `value` is readable for its size; the kernel copies it.
    let done = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as u32,
        )
    };
    nix::errno::Errno::result(done).map(drop).map_err(io::Error::from)
}
