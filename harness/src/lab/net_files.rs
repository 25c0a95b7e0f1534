//! The files in which the kernel shows what it counts in a lab's network namespace.

use crate::error::Result;
use crate::net::kept_file::KeptFile;
use crate::net::witness::{self, Counters, NETSTAT, SNMP, SOCKSTAT};

/// They are read again and again, and stay open.
pub(super) struct NetFiles {
    snmp: KeptFile,
    netstat: KeptFile,
    sockstat: KeptFile,
}

impl NetFiles {
    /// Those of the network namespace in which they are first read.
    pub(super) const fn new() -> Self {
        Self {
            snmp: KeptFile::new(SNMP),
            netstat: KeptFile::new(NETSTAT),
            sockstat: KeptFile::new(SOCKSTAT),
        }
    }

    /// The protocol counters now.
    pub(super) fn counters(&self) -> Result<Counters> {
        Counters::parse(&self.snmp.read()?, &self.netstat.read()?)
    }

    /// Sockets that were closed, and have not been freed. This process has `open` ones at least:
    /// where no more are in use, its descriptors need not be looked at.
    pub(super) fn unfreed_sockets(&self, open: i64, looks: &mut Looks) -> Result<i64> {
        let in_use = witness::sockets_in_use(&self.sockstat.read()?)?;
        Ok(if in_use <= open { 0 } else { in_use - looks.open_sockets(in_use)? })
    }
}

/// Looks, one after the other, at how many sockets this process has open.
#[derive(Default)]
pub(super) struct Looks {
    count: u32,
    last: Option<Look>,
}

/// How many sockets were in use, and how many of them this process had open.
#[derive(Clone, Copy)]
struct Look {
    in_use: i64,
    open: i64,
}

/// To look at every descriptor takes many calls. While as many sockets are in use as before, it
/// is done this many times more rarely: one may have been opened just when another was freed.
const RARELY: u32 = 16;

impl Looks {
    fn open_sockets(&mut self, in_use: i64) -> Result<i64> {
        self.count += 1;
        match self.last {
            Some(last) if last.in_use == in_use && !self.count.is_multiple_of(RARELY) => {
                Ok(last.open)
            }
            _ => {
                let open = witness::open_sockets()?;
                self.last = Some(Look { in_use, open });
                Ok(open)
            }
        }
    }
}
