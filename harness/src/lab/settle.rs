//! Waiting until everything that was sent has arrived.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};

use crate::capture::ROUND_TRIP;
use crate::error::{Context, Result};
use crate::wait;

/// A socket to send through `lo` with, and to receive it again.
pub(super) fn echo() -> io::Result<UdpSocket> {
    let echo = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    echo.connect(echo.local_addr()?)?;
    Ok(echo)
}

/// Returns when every packet that was sent before has been received, and every packet that was
/// sent because of one.
///
/// `lo` has one queue for each CPU, and a lab stays on one: a datagram that arrives has passed
/// after them. The second one arrives after the answers.
pub(super) fn settle(echo: &UdpSocket) -> Result<()> {
    for _ in 0..2 {
        echo.send(ROUND_TRIP).call(|| "send(UDP)".into())?;
        wait::until_readable(echo.as_fd(), "a datagram to come round", || {
            match recv(echo.as_raw_fd(), &mut [0; 16], MsgFlags::MSG_DONTWAIT) {
                Ok(_) => Ok(Some(())),
                Err(Errno::EAGAIN) => Ok(None),
                Err(errno) => Err(errno).call(|| "recv(UDP)".into()),
            }
        })?;
    }
    Ok(())
}
