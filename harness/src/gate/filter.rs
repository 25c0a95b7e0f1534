//! The gate as a classic BPF program on the listener.
//!
//! TCP runs a listener's filter on segments for its requests too, from the TCP header on.
//! Since CVE-2026-53236 only CAP_NET_ADMIN may attach one to a TCP socket; a lab has it.
//! Children inherit the filter: a child that the gate lets arise, as that of a Fast Open
//! SYN, keeps dropping what the gate dropped.

use std::io;
use std::net::IpAddr;

use libc::sock_filter;

use super::segments::{ACK, FLAGS_OFFSET, SYN_RST_ACK, Whose};
use crate::error::{Context, Result};
use crate::net::sockopt;
use crate::socket::Listener;

/// Where the kernel counts what a socket drops, in the array that `SO_MEMINFO` reads.
const SK_MEMINFO_DROPS: usize = 8;

/// A filter on a listener. Dropping the value detaches it.
pub(super) struct Filter {
    /// Another descriptor of the listener, until that closes.
    listener: Option<Listener>,
    /// The listener's count when the filter was attached.
    before: u32,
    /// What was dropped, once the listener is gone.
    dropped: u64,
}

/// What the filter does, as a trace shows it.
const DROPS: &str = "drop final ACKs";

impl Filter {
    /// Attaches a filter that drops final ACKs.
    ///
    /// # Errors
    /// EPERM without CAP_NET_ADMIN.
    pub(super) fn set(listener: &Listener, whose: Whose) -> Result<Self> {
        let listener = listener.duplicate()?;
        let before = drops(&listener)?;
        let filter = program(whose);
        listener
            .set("SO_ATTACH_FILTER", DROPS, |socket| sockopt::attach_filter(socket, &filter))
            .call(|| format!("setsockopt({}, SO_ATTACH_FILTER)", listener.name()))?;
        Ok(Self { listener: Some(listener), before, dropped: 0 })
    }

    /// Packets that the listener has dropped since. TCP counts there what a filter
    /// refused, but also resets and other segments that it drops itself, of which a case that
    /// counts must have none.
    pub(super) fn dropped(&self) -> Result<u64> {
        match &self.listener {
            Some(listener) => Ok(u64::from(drops(listener)?.wrapping_sub(self.before))),
            None => Ok(self.dropped),
        }
    }

    /// Detaches the filter and says how many packets it dropped.
    pub(super) fn lift(mut self) -> Result<u64> {
        if let Some(listener) = &self.listener {
            detach(listener)
                .call(|| format!("setsockopt({}, SO_DETACH_FILTER)", listener.name()))?;
        }
        self.let_listener_go()?;
        Ok(self.dropped)
    }

    pub(super) fn let_listener_go(&mut self) -> Result<()> {
        self.dropped = self.dropped()?;
        self.listener = None;
        Ok(())
    }

    pub(super) fn is_gone(&self) -> bool {
        self.listener.is_none()
    }
}

impl Drop for Filter {
    fn drop(&mut self) {
        if let Some(listener) = &self.listener {
            // An error cannot be returned here; a closed listener has no filter any more.
            let _ = detach(listener);
        }
    }
}

fn detach(listener: &Listener) -> io::Result<()> {
    listener.set("SO_DETACH_FILTER", 0, |socket| sockopt::detach_filter(socket))
}

fn drops(listener: &Listener) -> Result<u32> {
    let numbers: [u32; SK_MEMINFO_DROPS + 1] =
        sockopt::numbers(listener, libc::SOL_SOCKET, libc::SO_MEMINFO)
            .call(|| format!("getsockopt({}, SO_MEMINFO)", listener.name()))?;
    Ok(numbers[SK_MEMINFO_DROPS])
}

/// Passes whatever differs from what is dropped.
fn program(whose: Whose) -> Vec<sock_filter> {
    let mut tests = vec![(
        vec![sockopt::load_byte(FLAGS_OFFSET), sockopt::and(SYN_RST_ACK.into())],
        u32::from(ACK),
    )];
    let network = |offset: i32| sockopt::load_word((libc::SKF_NET_OFF + offset) as u32);
    let extra = |what: i32| sockopt::load_word((libc::SKF_AD_OFF + what) as u32);
    let mut words_at = |first: i32, octets: &[u8]| {
        for (offset, word) in (first..).step_by(4).zip(octets.chunks(4)) {
            let word = word.iter().fold(0, |word, byte| word << 8 | u32::from(*byte));
            tests.push((vec![network(offset)], word));
        }
    };
    match whose {
        Whose::Everyone => {}
        Whose::Port(port) => tests.push((vec![sockopt::load_half(0)], port.into())),
        Whose::Mark(mark) => tests.push((vec![extra(libc::SKF_AD_MARK)], mark)),
        Whose::Address(address) => match address.to_canonical() {
            IpAddr::V4(v4) => {
                words_at(12, &v4.octets());
                tests.push((vec![extra(libc::SKF_AD_PROTOCOL)], libc::ETH_P_IP as u32));
            }
            IpAddr::V6(v6) => {
                words_at(8, &v6.octets());
                tests.push((vec![extra(libc::SKF_AD_PROTOCOL)], libc::ETH_P_IPV6 as u32));
            }
        },
    }
    let mut program = vec![];
    for (load, value) in tests {
        program.extend(load);
        // The skip goes over the answer that stands there.
        program.extend([sockopt::unless_equal(value, 1), sockopt::skip(1), sockopt::PASS]);
    }
    program.push(sockopt::DROP);
    program
}

#[cfg(test)]
mod tests {
    #[test]
    fn layout_of_what_a_socket_counts() {
        let drops = crate::layout::of_kernel::constant("SK_MEMINFO_DROPS");
        assert_eq!(super::SK_MEMINFO_DROPS as i64, drops);
    }
}
