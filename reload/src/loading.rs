//! A load that runs at the same time as the reloads, on the other side of the window.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use harness::gate::Hold;
use harness::load::delay_line::{self, FarEnd};
use harness::load::{Exchange, Load, LoadControl, Record};
use harness::{Error, PORT, Result, process::thread, wait};

use crate::window::Window;

/// How long a client waits for its answer: the first two retransmissions of a SYN, and more.
pub(crate) const PATIENCE: Duration = Duration::from_secs(4);

/// How many addresses clients come from.
const SOURCES: u8 = 8;

/// A load under way.
pub(crate) struct Loading {
    control: Arc<LoadControl>,
    means: Means,
}

enum Means {
    Line(FarEnd<Result<Record>>),
    Hold(JoinHandle<Result<Record>>, Hold),
}

impl Loading {
    /// Starts a load through `window`, each of whose clients has this exchange. The server must
    /// listen already.
    pub(crate) fn start(
        window: &Window,
        rate: u32,
        exchange: Exchange,
        epoch: Instant,
    ) -> Result<Self> {
        let control = Arc::new(LoadControl::default());
        let its = Arc::clone(&control);
        let (server, sources): (Ipv4Addr, Vec<Ipv4Addr>) = match window {
            Window::DelayLine { .. } => {
                (delay_line::SERVER, (1..=SOURCES).map(|n| Ipv4Addr::new(198, 18, 1, n)).collect())
            }
            Window::Hold { .. } => {
                let sources = (1..=SOURCES).map(|n| Ipv4Addr::new(127, 0, 1, n)).collect();
                (Ipv4Addr::LOCALHOST, sources)
            }
        };
        let load = Load {
            server: SocketAddr::new(server.into(), PORT),
            sources: sources.clone(),
            rate,
            patience: PATIENCE,
            held: window.held(),
            exchange,
        };
        let work = move || load.run(epoch, &its);
        let means = match window {
            Window::DelayLine { round_trip } => {
                Means::Line(delay_line::start(*round_trip / 2, sources, work)?)
            }
            Window::Hold { .. } => {
                let hold = Hold::close()?;
                Means::Hold(thread::spawn(work)?, hold)
            }
        };
        Ok(Self { control, means })
    }

    /// Waits until every client that came before `moment` has its outcome.
    ///
    /// # Errors
    /// The load has broken.
    pub(crate) fn until_settled(&self, moment: Duration) -> Result<()> {
        let what = "the outcomes of all clients that a reload could concern";
        wait::until(what, || Ok(self.control.is_settled(moment).then_some(())))
    }

    /// Starts no more clients, waits for the last one's outcome, and returns all outcomes.
    ///
    /// # Errors
    /// The load or the line broke, or lost packets of its own.
    pub(crate) fn finish(self) -> Result<Record> {
        self.control.stop();
        match self.means {
            Means::Line(far) => {
                let (record, carried) = far.join()?;
                match carried.lost {
                    0 => record,
                    lost => Err(Error::TooSlow {
                        what: format!(
                            "the delay line had no room for {lost} packets; lower --rate"
                        ),
                    }),
                }
            }
            Means::Hold(thread, hold) => {
                let died = |_| Error::unreadable("the load", "its thread died");
                let record = thread.join().map_err(died)??;
                hold.open()?;
                Ok(record)
            }
        }
    }
}

/// Lets time pass in which clients come. Nothing is expected to happen meanwhile.
pub(crate) fn pass(time: Duration) {
    let end = Instant::now() + time;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        // Without descriptors to wait for, it only waits.
        let _ = wait::ready(&[], left);
    }
}
