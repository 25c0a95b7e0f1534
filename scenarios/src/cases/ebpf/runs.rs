//! How often a program ran, and which listener accepted what it chose.

use harness::bpf::Condition::{Migrating, MigratingIn, New, NoPacket};
use harness::bpf::{Counts, Statement, count, when};
use harness::lab::Lab;
use harness::net::witness::State;
use harness::socket::{Listener, Stream};

/// How often a program ran, by what it was asked about.
pub(super) struct Runs(Counts);

/// Where the runs for segments that look for a listener are counted.
const NEW: u32 = 0;

/// Where all runs for migrations are.
const MIGRATIONS: u32 = 5;

/// Where those for requests are, if there is a packet or not.
const REQUESTS: u32 = 3;

/// Where those without a packet are.
const BY_TIMER: u32 = 4;

/// The other states in which something may migrate.
const STATES: [(State, u32); 2] = [(State::Established, 1), (State::SynRecv, 2)];

impl Runs {
    pub(crate) fn new() -> harness::Result<Self> {
        Counts::new(6).map(Self)
    }

    /// What counts them, at the head of a program.
    pub(crate) fn counted(&self) -> Vec<Statement<'_>> {
        let mut statements = vec![
            when(New, [count(&self.0, NEW)]),
            when(Migrating, [count(&self.0, MIGRATIONS)]),
            when(
                MigratingIn(State::NewSynRecv),
                [count(&self.0, REQUESTS), when(NoPacket, [count(&self.0, BY_TIMER)])],
            ),
        ];
        statements
            .extend(STATES.map(|(state, index)| when(MigratingIn(state), [count(&self.0, index)])));
        statements
    }

    /// As `new 2, ESTABLISHED 1`; `by segment` and `by timer` are requests.
    pub(crate) fn shown(&self) -> harness::Result<String> {
        let get = |index| self.0.get(index);
        let (by_timer, requests) = (get(BY_TIMER)?, get(REQUESTS)?);
        let [established, syn_recv] = [get(STATES[0].1)?, get(STATES[1].1)?];
        let others = get(MIGRATIONS)? - requests - established - syn_recv;
        let runs = [
            ("new", get(NEW)?),
            ("ESTABLISHED", established),
            ("SYN_RECV", syn_recv),
            ("by segment", requests - by_timer),
            ("by timer", by_timer),
            ("others", others),
        ];
        let some = runs.into_iter().filter(|(_, number)| *number != 0);
        let shown: Vec<String> = some.map(|(what, number)| format!("{what} {number}")).collect();
        Ok(if shown.is_empty() { "none".to_owned() } else { shown.join(", ") })
    }
}

/// Observes which of `targets` accept a connection, and what that brings.
pub(super) fn observe_accepted_by(lab: &mut Lab, targets: &[&Listener]) -> harness::Result<()> {
    let (mut names, mut received) = (Vec::new(), Vec::new());
    for target in targets {
        while let Some((_, child)) = lab.accept_next(target)? {
            names.push(target.name());
            received.push(child.receive_now()?.to_string());
            // A wire client would never acknowledge a FIN.
            child.reset_on_close()?;
        }
    }
    let or_none = |list: String| if list.is_empty() { "none".to_owned() } else { list };
    lab.observe("accepted by", or_none(names.join(", ")));
    lab.observe("received", or_none(received.join(", ")));
    Ok(())
}
