//! How many segments a connection has got: the part of `TCP_INFO` that is newer than the struct of
//! the C library.

use std::os::fd::AsFd;

use super::sockopt::{self, ReadOption};
use crate::error::{Context, Error, Result};

/// How many segments came to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentsIn {
    /// All of them, its SYN included (`tcpi_segs_in`).
    pub all: u32,
    /// Those with data (`tcpi_data_segs_in`).
    pub with_data: u32,
}

/// `struct tcp_info` of `linux/tcp.h`, up to what Linux 4.6 has.
#[derive(Clone, Copy)]
#[repr(C)]
struct Info {
    older: [u64; 17],
    segs_out: u32,
    segs_in: u32,
    notsent_bytes: u32,
    min_rtt: u32,
    data_segs_in: u32,
    data_segs_out: u32,
}

// SAFETY: a struct of integers, for which all bytes are values; and the kernel writes it only.
unsafe impl ReadOption for Info {
    const LEVEL: i32 = libc::IPPROTO_TCP;
    const NAME: i32 = libc::TCP_INFO;
}

/// Those that came to the connection `fd`.
///
/// # Errors
/// The kernel does not say.
pub fn segments_in(fd: impl AsFd) -> Result<SegmentsIn> {
    let mut info: Info = sockopt::zeroed();
    let call = || "getsockopt(TCP_INFO)".to_owned();
    let len = sockopt::read(fd, &mut info).call(call)?;
    if len < size_of::<Info>() {
        return Err(Error::unreadable(call(), format!("{len} bytes")));
    }
    Ok(SegmentsIn { all: info.segs_in, with_data: info.data_segs_in })
}

#[cfg(test)]
mod tests {
    use super::Info;
    use crate::layout::of_kernel::assert_members;

    #[test]
    fn layout_of_what_is_newer() {
        assert_members!(Info, "struct tcp_info", {
            segs_out: "tcpi_segs_out",
            segs_in: "tcpi_segs_in",
            notsent_bytes: "tcpi_notsent_bytes",
            min_rtt: "tcpi_min_rtt",
            data_segs_in: "tcpi_data_segs_in",
            data_segs_out: "tcpi_data_segs_out",
        });
    }
}
