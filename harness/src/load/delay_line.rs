//! A delay line: two network namespaces with a wire between them on which every packet
//! takes its time.
//!
//! The lab is one end. The other end is a namespace that only one thread of the lab's
//! process is in. Each end has a TUN device, and a third thread carries packets from the one
//! to the other, in their order. Needs `/dev/net/tun`.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::time::TimeSpec;

use crate::error::{Context, Error, Result};
use crate::net::network::{self, Network};
use crate::process::thread;

/// The server's address, on the lab's end.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);

/// The bits that the addresses of both ends have in common.
const PREFIX: u8 = 16;

/// The device of the lab's end, and that of the other one.
const NEAR: &str = "near";
const FAR: &str = "far";

/// How many packets may wait to be carried. A carrier that got no processor for a tenth of a
/// second still loses none of ten thousand connections a second.
const QUEUE: u32 = 10_000;

/// More than the largest packet of a device whose MTU is 1500.
const PACKET: usize = 2048;

/// How long the carrier waits at most before it looks whether it is to end.
const LONGEST_WAIT: Duration = Duration::from_millis(20);

/// Work that is done at the other end of a delay line.
pub struct FarEnd<T> {
    worker: JoinHandle<Result<(T, u64)>>,
    carrier: JoinHandle<Result<()>>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    over: AtomicBool,
    carried: AtomicU64,
    lost: AtomicU64,
}

/// What the line did meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Carried {
    /// Packets that arrived, of both directions.
    pub packets: u64,
    /// Packets that some queue had no room for. Any number but 0 spoils a measurement of
    /// losses.
    pub lost: u64,
}

/// Starts `work` at the far end of a line on which a packet is `one_way` under way, in a
/// network namespace with the addresses `clients`, which must be of 198.18/16. The lab has
/// [`SERVER`].
///
/// # Errors
/// There is no `/dev/net/tun`, this user may not use it, or the kernel refuses.
pub fn start<T: Send + 'static>(
    one_way: Duration,
    clients: Vec<Ipv4Addr>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<FarEnd<T>> {
    let near = open_device(NEAR)?;
    set_up(&Network::open()?, NEAR, &[SERVER])?;
    let (hand_over, handed_over) = mpsc::channel();
    let (go, gone) = mpsc::channel::<()>();
    let worker = thread::spawn(move || {
        let opened = (|| {
            unshare(CloneFlags::CLONE_NEWNET).call(|| "unshare(CLONE_NEWNET)".into())?;
            let far = open_device(FAR)?;
            let network = Network::open()?;
            network.up("lo")?;
            set_up(&network, FAR, &clients)?;
            Ok(far)
        })();
        let _ = hand_over.send(opened);
        // Nobody says go where the line could not be laid.
        gone.recv().map_err(|_| Error::unreadable("the delay line", "it was not laid"))?;
        let done = work();
        Ok((done, network::dropped(FAR)?))
    })?;
    let far = handed_over.recv().map_err(|_| died("far end"))??;
    let shared = Arc::new(Shared::default());
    let carrier = {
        let shared = Arc::clone(&shared);
        thread::spawn(move || carry(&near, &far, one_way, &shared))?
    };
    let _ = go.send(());
    Ok(FarEnd { worker, carrier, shared })
}

/// Whether a delay line can be laid here.
///
/// # Errors
/// Why not.
pub fn probe() -> Result<()> {
    open_device("probe").map(drop)
}

impl<T> FarEnd<T> {
    /// Whether the work is done.
    pub fn is_done(&self) -> bool {
        self.worker.is_finished()
    }

    /// Waits for the end of the work, and takes the line down.
    ///
    /// # Errors
    /// The line broke.
    pub fn join(self) -> Result<(T, Carried)> {
        let done = self.worker.join().map_err(|_| died("far end"));
        let near = network::dropped(NEAR);
        self.shared.over.store(true, Ordering::Release);
        self.carrier.join().map_err(|_| died("carrier"))??;
        let (done, far) = done??;
        let packets = self.shared.carried.load(Ordering::Acquire);
        let lost = self.shared.lost.load(Ordering::Acquire) + near? + far;
        Ok((done, Carried { packets, lost }))
    }
}

fn died(what: &str) -> Error {
    Error::unreadable(format!("the delay line's {what}"), "its thread died")
}

fn set_up(network: &Network, device: &str, addresses: &[Ipv4Addr]) -> Result<()> {
    network.queue(device, QUEUE)?;
    network.up(device)?;
    addresses.iter().try_for_each(|address| network.address(device, *address, PREFIX))
}

/// A TUN device of this thread's network namespace, which lasts as long as the file.
fn open_device(name: &str) -> Result<File> {
    let path = "/dev/net/tun";
    let device = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .call(|| format!("open({path})"))?;
    // SAFETY: an ifreq is characters, and a union of numbers and raw pointers: zeros are values
    // of all of them.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: the request is an ifreq, as TUNSETIFF wants it.
    let done = unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF, &raw const request) };
    Errno::result(done).call(|| format!("ioctl(TUNSETIFF, {name})"))?;
    Ok(device)
}

/// Packets under way in one direction.
struct Direction<'l> {
    from: &'l File,
    to: &'l File,
    under_way: VecDeque<(Instant, Vec<u8>)>,
}

impl Direction<'_> {
    /// Takes what was sent; it arrives after `one_way`.
    fn take(&mut self, one_way: Duration) -> Result<()> {
        let mut packet = [0; PACKET];
        loop {
            match self.from.read(&mut packet) {
                Ok(len) => {
                    self.under_way.push_back((Instant::now() + one_way, packet[..len].to_vec()));
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e).call(|| "read(/dev/net/tun)".into()),
            }
        }
    }

    /// Delivers what is due.
    fn deliver(&mut self, shared: &Shared) {
        while self.under_way.front().is_some_and(|(due, _)| *due <= Instant::now()) {
            let Some((_, packet)) = self.under_way.pop_front() else { return };
            let count = match self.to.write(&packet) {
                Ok(_) => &shared.carried,
                Err(_) => &shared.lost,
            };
            count.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn next_due(&self) -> Option<Instant> {
        self.under_way.front().map(|(due, _)| *due)
    }
}

fn carry(near: &File, far: &File, one_way: Duration, shared: &Shared) -> Result<()> {
    let direction = |from, to| Direction { from, to, under_way: VecDeque::new() };
    let mut directions = [direction(near, far), direction(far, near)];
    while !shared.over.load(Ordering::Acquire) {
        for direction in &mut directions {
            direction.take(one_way)?;
            direction.deliver(shared);
        }
        let due = directions.iter().filter_map(Direction::next_due).min();
        let wait = due.map_or(LONGEST_WAIT, |due| due.saturating_duration_since(Instant::now()));
        let mut devices = [near, far].map(|device| PollFd::new(device.as_fd(), PollFlags::POLLIN));
        let wait = TimeSpec::from_duration(wait.min(LONGEST_WAIT));
        match ppoll(&mut devices, Some(wait), None) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(e) => return Err(e).call(|| "ppoll(/dev/net/tun)".into()),
        }
    }
    Ok(())
}
