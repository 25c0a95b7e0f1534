//! Generations of our own workers, and how each follows the one before.

use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use harness::Family;
use harness::process::worker::{self, CloseMode, Orders, Service, Source, WorkerProcess};
use harness::socket::Listener;

use super::steering::{Steering, until_requests_are_gone};
use crate::failure::Result;
use crate::loading::pass;
use crate::strategy::{Server, ServerEnv};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Replace(CloseMode),
    Pass,
    Exec,
    Share,
    Restart,
    Steer(CloseMode),
}

/// A generation of workers, and how the next one comes.
pub(super) struct Workers {
    how: How,
    env: ServerEnv,
    generation: u32,
    current: Vec<WorkerProcess>,
    leaving: Vec<WorkerProcess>,
    /// The parent's, where it has one.
    shared: Option<Listener>,
    /// The program that chooses between them, where there is one.
    steering: Option<Steering>,
    /// When it last chose others.
    steered: Option<Instant>,
}

impl Workers {
    pub(super) fn start(env: &ServerEnv, how: How) -> Result<Box<dyn Server>> {
        let shared = (how == How::Share).then(|| worker::listen(Family::V4)).transpose()?;
        let mut workers = Workers {
            how,
            env: env.clone(),
            generation: 0,
            current: vec![],
            leaving: vec![],
            shared,
            steering: None,
            steered: None,
        };
        workers.current = workers.next_generation()?;
        if let How::Steer(mode) = how {
            workers.steering = Some(Steering::start(mode, &workers.names())?);
        }
        Ok(Box::new(workers))
    }

    fn next_generation(&mut self) -> Result<Vec<WorkerProcess>> {
        self.generation += 1;
        let start = |number| Ok(WorkerProcess::start(&self.orders(number))?);
        (0..self.env.workers).map(start).collect()
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
        let service = Service::Http { pause: self.env.pause };
        Orders { source, family: Family::V4, hands_out_at, service }
    }

    /// Where the youngest generation hands out its listeners.
    fn names(&self) -> Vec<String> {
        (0..self.env.workers).map(|number| name(self.generation, number)).collect()
    }

    /// As `replace`, but clients are the new generation's from the moment on that it listens.
    fn steer(&mut self, mode: CloseMode) -> Result<Instant> {
        let new = self.next_generation()?;
        let names = self.names();
        if let Some(steering) = &self.steering {
            steering.give_to(&names)?;
        }
        self.steered = Some(Instant::now());
        self.leaving = std::mem::replace(&mut self.current, new);
        let stopped = Instant::now();
        if mode == CloseMode::AfterDraining {
            until_requests_are_gone()?;
        }
        self.leaving.iter_mut().try_for_each(|worker| worker.close(mode))?;
        Ok(stopped)
    }

    fn replace(&mut self, mode: CloseMode, overlap: Duration) -> Result<Instant> {
        let new = self.next_generation()?;
        pass(overlap);
        self.leaving = std::mem::replace(&mut self.current, new);
        let stopped = Instant::now();
        self.leaving.iter_mut().try_for_each(|worker| worker.close(mode))?;
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
            How::Replace(mode) => self.replace(mode, overlap),
            How::Pass | How::Share => self.replace(CloseMode::AtOnce, overlap),
            How::Steer(mode) => self.steer(mode),
            How::Exec => {
                // In turn, so that there is always one that accepts.
                for worker in &mut self.current {
                    worker.exec()?;
                }
                Ok(stopped)
            }
            How::Restart => {
                self.leaving = std::mem::take(&mut self.current);
                self.leaving.iter_mut().try_for_each(|worker| worker.close(CloseMode::AtOnce))?;
                self.settle()?;
                self.current = self.next_generation()?;
                Ok(stopped)
            }
        }
    }

    fn settle(&mut self) -> Result<()> {
        Ok(self.leaving.drain(..).try_for_each(WorkerProcess::until_ended)?)
    }

    fn drains(&self) -> bool {
        matches!(
            self.how,
            How::Replace(CloseMode::AfterDraining) | How::Steer(CloseMode::AfterDraining)
        )
    }

    fn alive(&mut self) -> Result<()> {
        Ok(self.current.iter_mut().try_for_each(WorkerProcess::alive)?)
    }

    fn steered(&self) -> Option<Instant> {
        self.steered
    }
}
