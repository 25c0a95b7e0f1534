//! One thread that drives all connections of a load.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::time::{ClockId as Clock, clock_gettime};

use super::attempt::{Attempt, Outcome, Record};
use super::clients::Load;
use super::connection::{Connection, Step};
use super::control::LoadControl;
use crate::error::{Context, Error, Result, in_words};

/// The timer's number among the events; connections have those of their slots.
const TIMER: u64 = u64::MAX;

/// How many events are taken at a time.
const EVENTS: usize = 256;

/// How many errors of the laboratory are kept.
const LAB_ERRORS: usize = 3;

/// How often at least it is checked who gives up, and whether the load is to stop: in
/// milliseconds.
const CHECK_MS: u16 = 10;

/// The most often that the timer fires. At higher rates several attempts start at a time.
const SHORTEST_JIFFY: Duration = Duration::from_micros(250);

/// A load under way.
struct Driver<'l> {
    load: &'l Load,
    epoch: Instant,
    begun: Instant,
    epoll: Epoll,
    timer: TimerFd,
    slots: Vec<Option<Connection>>,
    free: Vec<usize>,
    record: Record,
    /// Slots and attempts, in the order in which they are due.
    patience: VecDeque<(Instant, usize, usize)>,
    held: VecDeque<(Instant, usize, usize)>,
}

impl Load {
    /// Sends clients until `control` stops it, and waits for the outcome of each. Times are
    /// since `epoch`.
    ///
    /// # Errors
    /// The load could not be driven. Errors of one attempt are that attempt's outcome.
    pub fn run(&self, epoch: Instant, control: &LoadControl) -> Result<Record> {
        let record = Driver::new(self, epoch)?.drive(control)?;
        let ended = record.attempts.iter().filter(|attempt| attempt.outcome.is_some()).count();
        if ended != record.attempts.len() {
            let left = record.attempts.len() - ended;
            return Err(Error::unreadable("the load", format!("{left} attempts have no outcome")));
        }
        Ok(record)
    }
}

impl<'l> Driver<'l> {
    fn new(load: &'l Load, epoch: Instant) -> Result<Self> {
        let epoll =
            Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).call(|| "epoll_create1()".into())?;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK)
            .call(|| "timerfd_create()".into())?;
        let tick = (Duration::from_secs(1) / load.rate.max(1)).max(SHORTEST_JIFFY);
        timer
            .set(Expiration::Interval(TimeSpec::from_duration(tick)), TimerSetTimeFlags::empty())
            .call(|| format!("timerfd_settime({tick:?})"))?;
        epoll
            .add(&timer, EpollEvent::new(EpollFlags::EPOLLIN, TIMER))
            .call(|| "epoll_ctl(ADD, timerfd)".into())?;
        Ok(Self {
            load,
            epoch,
            begun: Instant::now(),
            epoll,
            timer,
            slots: Vec::new(),
            free: Vec::new(),
            record: Record::default(),
            patience: VecDeque::new(),
            held: VecDeque::new(),
        })
    }

    /// Starts attempts until it is stopped, and goes on until the last one has its outcome.
    fn drive(mut self, control: &LoadControl) -> Result<Record> {
        let before = processor_time()?;
        let mut events = [EpollEvent::empty(); EVENTS];
        loop {
            let ending = control.is_stopping();
            if ending && self.patience.is_empty() {
                break;
            }
            let got = match self.epoll.wait(&mut events, EpollTimeout::from(CHECK_MS)) {
                Ok(got) => got,
                Err(Errno::EINTR) => 0,
                Err(e) => return Err(e).call(|| "epoll_wait(load)".into()),
            };
            for event in &events[..got] {
                match event.data() {
                    TIMER => {
                        // Without it the timer stays readable; how often it fired is of no use.
                        let _ = nix::unistd::read(&self.timer, &mut [0; 8]);
                    }
                    slot => self.go_on(slot as usize),
                }
            }
            if !ending {
                self.start_due()?;
            }
            self.release_held()?;
            self.give_up();
            // Where nobody waits, everybody who started until now has an outcome.
            let oldest =
                self.patience.front().map(|(.., index)| self.record.attempts[*index].started);
            control.settle(oldest.unwrap_or_else(|| self.epoch.elapsed()));
        }
        self.record.processor = processor_time()?.saturating_sub(before);
        Ok(self.record)
    }

    /// Starts every attempt whose time has come.
    fn start_due(&mut self) -> Result<()> {
        loop {
            let index = self.record.attempts.len();
            let due = Duration::from_secs_f64(index as f64 / f64::from(self.load.rate));
            let Some(late) = self.begun.elapsed().checked_sub(due) else { return Ok(()) };
            self.record.lags_us.push(u32::try_from(late.as_micros()).unwrap_or(u32::MAX));
            self.start(index)?;
        }
    }

    fn start(&mut self, index: usize) -> Result<()> {
        let source = self.load.source(index).ok_or_else(|| {
            Error::unreadable("the load", format!("there are ports for {index} clients only"))
        })?;
        let held = self.load.holds(index);
        let now = self.epoch.elapsed();
        self.record.attempts.push(Attempt {
            started: now,
            connected: None,
            answered: None,
            ended: now,
            outcome: None,
            held: held.is_some(),
        });
        let connection = match Connection::start(index, source, self.load.server, held.is_some()) {
            Ok(connection) => connection,
            Err(Error::Call { call, source }) => {
                self.end(
                    index,
                    Outcome::of_connect(&source),
                    &format!("{call}: {}", in_words(&source)),
                );
                return Ok(());
            }
            Err(other) => return Err(other),
        };
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLET;
        self.epoll
            .add(&connection.socket, EpollEvent::new(flags, slot as u64))
            .call(|| "epoll_ctl(ADD, a client)".into())?;
        self.slots[slot] = Some(connection);
        let now = Instant::now();
        self.patience.push_back((now + self.load.patience, slot, index));
        if let Some(held) = held {
            self.held.push_back((now + held.lasts, slot, index));
        }
        Ok(())
    }

    /// Lets the connection in `slot` go as far as it can.
    fn go_on(&mut self, slot: usize) {
        let exchange = &self.load.exchange;
        while let Some(connection) = self.slots.get_mut(slot).and_then(Option::as_mut) {
            let (step, index) = (connection.step(exchange), connection.attempt);
            let now = self.epoch.elapsed();
            match step {
                Step::Waits => return,
                Step::Connected => self.record.attempts[index].connected = Some(now),
                Step::FirstByte => self.record.attempts[index].answered = Some(now),
                Step::Ended(outcome, why) => {
                    self.close(slot);
                    self.end(index, outcome, &why);
                }
            }
        }
    }

    fn close(&mut self, slot: usize) {
        // Closing takes it out of the epoll instance.
        self.slots[slot] = None;
        self.free.push(slot);
    }

    fn end(&mut self, index: usize, outcome: Outcome, why: &str) {
        let attempt = &mut self.record.attempts[index];
        attempt.ended = self.epoch.elapsed();
        attempt.outcome = Some(outcome);
        if outcome == Outcome::Laboratory && self.record.lab_errors.len() < LAB_ERRORS {
            self.record.lab_errors.push(why.to_owned());
        }
    }

    /// Lets those go whose hold is over.
    fn release_held(&mut self) -> Result<()> {
        let now = Instant::now();
        while let Some((_, slot, index)) = self.held.pop_front_if(|(due, ..)| *due <= now) {
            if let Some(connection) = self.slots[slot].as_ref().filter(|c| c.attempt == index) {
                connection.release()?;
            }
        }
        Ok(())
    }

    /// Ends those that have waited too long; forgets those that were over before.
    fn give_up(&mut self) {
        let now = Instant::now();
        while let Some((due, slot, index)) = self.patience.front().copied() {
            let waiting = self.slots[slot].as_ref().filter(|c| c.attempt == index);
            let outcome = waiting.map(Connection::given_up);
            if outcome.is_some() && due > now {
                return;
            }
            self.patience.pop_front();
            if let Some(outcome) = outcome {
                self.close(slot);
                self.end(index, outcome, "");
            }
        }
    }
}

/// What this thread has had of a processor.
fn processor_time() -> Result<Duration> {
    clock_gettime(Clock::CLOCK_THREAD_CPUTIME_ID)
        .map(Duration::from)
        .call(|| "clock_gettime(CLOCK_THREAD_CPUTIME_ID)".into())
}
