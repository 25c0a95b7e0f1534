//! Packets of a packet socket, many of them by one call.

use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;

/// How much of a packet is kept: every header, and more payload than a case sends.
const SNAP_BYTES: usize = 512;

/// How many packets one call takes at most.
const MOST: usize = 16;

/// Room for a control message with a timestamp, aligned as control messages are.
type Control = [u64; 8];

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

/// Room for the packets of one call.
pub(super) struct Batch {
    bytes: Vec<u8>,
}

impl Default for Batch {
    fn default() -> Self {
        Self { bytes: vec![0; MOST * SNAP_BYTES] }
    }
}

impl Batch {
    /// Takes the packets that wait in `socket`, and hands each to `take`. Says whether there may
    /// be more.
    ///
    /// # Errors
    /// `recvmmsg` fails.
    pub(super) fn receive(
        &mut self,
        socket: BorrowedFd<'_>,
        mut take: impl FnMut(Frame),
    ) -> nix::Result<bool> {
        let mut controls: [Control; MOST] = [[0; 8]; MOST];
        let mut parts = self
            .bytes
            .chunks_exact_mut(SNAP_BYTES)
            .map(|part| libc::iovec { iov_base: part.as_mut_ptr().cast(), iov_len: SNAP_BYTES });
        let mut parts: [libc::iovec; MOST] =
            std::array::from_fn(|_| parts.next().expect("as many as there is room for"));
        let mut headers: [libc::mmsghdr; MOST] = std::array::from_fn(|index| {
            // SAFETY: numbers and pointers, for which zeros are values.
            let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
            header.msg_hdr.msg_iov = &raw mut parts[index];
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = controls[index].as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = size_of::<Control>() as _;
            header
        });
        // With MSG_TRUNC the whole length is returned, even of a packet that was cut.
        let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
        // SAFETY: each header has one part and one control buffer, of the lengths that it says;
        // they, and the headers, live until the call has returned, and nobody else uses them.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                MOST as _,
                flags as _,
                ptr::null_mut(),
            )
        };
        let received = match Errno::result(received) {
            Ok(received) => received as usize,
            Err(Errno::EAGAIN) => return Ok(false),
            Err(errno) => return Err(errno),
        };
        for (header, bytes) in
            headers.iter().zip(self.bytes.chunks_exact(SNAP_BYTES)).take(received)
        {
            let kept = SNAP_BYTES.min(header.msg_len as usize);
            let (at, bytes) = (timestamp(&header.msg_hdr), bytes[..kept].to_vec());
            take(Frame { at, bytes, original_len: header.msg_len });
        }
        Ok(received == MOST)
    }
}

/// The kernel's timestamp of a message that was received; now, should it have given none.
fn timestamp(header: &libc::msghdr) -> Duration {
    // SAFETY: the kernel has written the control buffer, and how much of it.
    let control = unsafe { libc::CMSG_FIRSTHDR(header).as_ref() };
    let stamp = control.filter(|control| {
        (control.cmsg_level, control.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS)
    });
    match stamp {
        Some(stamp) => {
            // SAFETY: the data of such a message is a timespec, at any address.
            let stamp: libc::timespec =
                unsafe { libc::CMSG_DATA(stamp).cast::<libc::timespec>().read_unaligned() };
            Duration::new(stamp.tv_sec as u64, stamp.tv_nsec as u32)
        }
        None => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::{AsFd, AsRawFd};

    use nix::sys::socket::{
        AddressFamily, MsgFlags, SockFlag, SockType, send, setsockopt, socketpair,
        sockopt::ReceiveTimestampns,
    };

    /// Messages of a pair are as good as packets here, and there need be no network.
    #[test]
    fn many_are_taken_by_one_call_and_the_next_one_takes_the_rest() {
        let (unix, kind) = (AddressFamily::Unix, SockType::SeqPacket);
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let (peer, socket) = socketpair(unix, kind, None, flags).expect("a pair");
        setsockopt(&socket, ReceiveTimestampns, &true).expect("timestamps");
        let before = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock");
        let lengths: Vec<usize> = (0..MOST + 2).map(|index| 100 * index).collect();
        for length in &lengths {
            let bytes = vec![*length as u8; *length];
            send(peer.as_raw_fd(), &bytes, MsgFlags::empty()).expect("there is room");
        }
        let (mut batch, mut taken) = (Batch::default(), vec![]);
        let mut receive = || {
            let mut count = 0;
            let more = batch.receive(socket.as_fd(), |frame| {
                count += 1;
                taken.push(frame);
            });
            (more.expect("it can be read"), count)
        };
        assert_eq!(receive(), (true, MOST));
        assert_eq!(receive(), (false, 2));
        assert_eq!(receive(), (false, 0));
        assert_eq!(taken.len(), lengths.len());
        for (frame, length) in taken.iter().zip(lengths) {
            assert_eq!(frame.original_len as usize, length);
            assert_eq!(frame.bytes, vec![length as u8; length.min(SNAP_BYTES)]);
            assert!(frame.at >= before && frame.at < before + Duration::from_secs(60));
        }
    }
}
