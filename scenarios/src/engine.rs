//! Runs cases in labs and says what happens, as events. Prints nothing.

mod discarded;
mod failure_limit;
mod lab;
mod offered;
mod once;
mod outcome;
mod plan;
mod queue;
pub mod requirement;
mod run;
mod vain_waits;

pub use discarded::{DiscardedTry, is_flaky};
pub use failure_limit::{Counted, FailureCount, FailureLimit};
pub use lab::{enter_if_lab, lab_work, probe};
pub use once::run_once;
pub use outcome::{Observed, Outcome};
pub use plan::{RunPlan, default_deadline, default_jobs, waiting_for_timers};
pub use run::{Ending, Event, run};
