//! Reloads of our own workers.

use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use harness::Result;
use harness::socket::Listener;
use harness::worker::{self, End, Orders, Source, Worker};

use crate::loading::pass;
use crate::steering::{Steering, until_requests_are_gone};
use crate::strategy::{Bed, Nature, Need, Server, Strategy};

/// Ours.
pub(crate) fn strategies() -> Vec<Strategy> {
    let own = |id, does, nature, start| Strategy {
        id,
        does,
        nature,
        takes: Duration::ZERO,
        most: None,
        needs: Need::Nothing,
        start,
    };
    vec![
        own(
            "own/naive",
            "New workers make listeners of their own; then the old ones close theirs.",
            Nature::Closes,
            |bed| Workers::start(bed, How::Replace(End::Close)),
        ),
        own(
            "own/drain",
            "As naive, but the old ones accept until EAGAIN before they close.",
            Nature::Closes,
            |bed| Workers::start(bed, How::Replace(End::DrainAndClose)),
        ),
        own(
            "own/passing",
            "New workers fetch the listeners from the old ones, by SCM_RIGHTS.",
            Nature::Keeps,
            |bed| Workers::start(bed, How::Pass),
        ),
        own(
            "own/exec",
            "Each worker finishes what it has accepted, and execs the new program, which \
             inherits the listener.",
            Nature::Keeps,
            |bed| Workers::start(bed, How::Exec),
        ),
        own(
            "own/shared",
            "One listener, held by a parent; old and new workers inherit it.",
            Nature::Keeps,
            |bed| Workers::start(bed, How::Share),
        ),
        own(
            "own/restart",
            "The old workers close and end; only then new ones start.",
            Nature::Empties,
            |bed| Workers::start(bed, How::Restart),
        ),
        Strategy {
            needs: Need::Programs,
            ..own(
                "own/ebpf-drain",
                "A program gives new clients to new workers; the old ones wait until no request \
                 of theirs is left, accept until EAGAIN, and close.",
                Nature::Drains,
                |bed| Workers::start(bed, How::Steer(End::DrainAndClose)),
            )
        },
        Strategy {
            needs: Need::Migration,
            ..own(
                "own/ebpf-migrate",
                "A program gives new clients, and whatever migrates, to new workers; the old \
                 ones close at once.",
                Nature::Migrates,
                |bed| Workers::start(bed, How::Steer(End::Close)),
            )
        },
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Replace(End),
    Pass,
    Exec,
    Share,
    Restart,
    Steer(End),
}

/// A generation of workers, and how the next one comes.
struct Workers {
    how: How,
    bed: Bed,
    generation: u32,
    current: Vec<Worker>,
    leaving: Vec<Worker>,
    /// The parent's, where it has one.
    shared: Option<Listener>,
    /// The program that chooses between them, where there is one.
    steering: Option<Steering>,
    /// When it last chose others.
    steered: Option<Instant>,
}

impl Workers {
    fn start(bed: &Bed, how: How) -> Result<Box<dyn Server>> {
        let shared = (how == How::Share).then(worker::listen).transpose()?;
        let mut workers = Workers {
            how,
            bed: bed.clone(),
            generation: 0,
            current: vec![],
            leaving: vec![],
            shared,
            steering: None,
            steered: None,
        };
        workers.current = workers.next_generation()?;
        if let How::Steer(end) = how {
            workers.steering = Some(Steering::start(end, &workers.names())?);
        }
        Ok(Box::new(workers))
    }

    fn next_generation(&mut self) -> Result<Vec<Worker>> {
        self.generation += 1;
        (0..self.bed.workers).map(|number| Worker::start(&self.orders(number))).collect()
    }

    fn orders(&self, number: u32) -> Orders {
        let source = match (&self.shared, self.how) {
            (Some(shared), _) => Source::Inherited(vec![shared.as_fd().as_raw_fd()]),
            (None, How::Pass) if self.generation > 1 => {
                Source::HandedOutAt(name(self.generation - 1, number))
            }
            (None, _) => Source::Own,
        };
        let hands_out = matches!(self.how, How::Pass | How::Steer(_));
        let hands_out_at = hands_out.then(|| name(self.generation, number));
        Orders { source, hands_out_at, pause: self.bed.pause }
    }

    /// Where the youngest generation hands out its listeners.
    fn names(&self) -> Vec<String> {
        (0..self.bed.workers).map(|number| name(self.generation, number)).collect()
    }

    /// As `replace`, but clients are the new generation's from the moment on that it listens.
    fn steer(&mut self, end: End) -> Result<Instant> {
        let new = self.next_generation()?;
        let names = self.names();
        self.steering.as_ref().map_or(Ok(()), |steering| steering.give_to(&names))?;
        self.steered = Some(Instant::now());
        self.leaving = std::mem::replace(&mut self.current, new);
        let stopped = Instant::now();
        if end == End::DrainAndClose {
            until_requests_are_gone()?;
        }
        self.leaving.iter_mut().try_for_each(|worker| worker.tell(end))?;
        Ok(stopped)
    }

    fn replace(&mut self, end: End, overlap: Duration) -> Result<Instant> {
        let new = self.next_generation()?;
        pass(overlap);
        self.leaving = std::mem::replace(&mut self.current, new);
        let stopped = Instant::now();
        self.leaving.iter_mut().try_for_each(|worker| worker.tell(end))?;
        Ok(stopped)
    }
}

/// Under which name a worker hands out its listener.
fn name(generation: u32, number: u32) -> String {
    format!("sockmig-{generation}-{number}")
}

impl Server for Workers {
    fn reload(&mut self, overlap: Duration) -> Result<Instant> {
        let stopped = Instant::now();
        match self.how {
            How::Replace(end) => self.replace(end, overlap),
            How::Pass | How::Share => self.replace(End::Close, overlap),
            How::Steer(end) => self.steer(end),
            How::Exec => {
                // In turn, so that there is always one that accepts.
                for worker in &mut self.current {
                    worker.tell(End::Exec)?;
                    worker.until_ready()?;
                }
                Ok(stopped)
            }
            How::Restart => {
                self.leaving = std::mem::take(&mut self.current);
                self.leaving.iter_mut().try_for_each(|worker| worker.tell(End::Close))?;
                self.settle()?;
                self.current = self.next_generation()?;
                Ok(stopped)
            }
        }
    }

    fn settle(&mut self) -> Result<()> {
        self.leaving.drain(..).try_for_each(Worker::until_ended)
    }

    fn drains(&self) -> bool {
        matches!(self.how, How::Replace(End::DrainAndClose) | How::Steer(End::DrainAndClose))
    }

    fn alive(&mut self) -> Result<()> {
        self.current.iter_mut().try_for_each(Worker::alive)
    }

    fn steered(&self) -> Option<Instant> {
        self.steered
    }
}
