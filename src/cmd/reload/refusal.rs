//! Why `sockmig reload` has measured nothing.

use harness::process::Broken;
use reload::failure::Failure;
use scenarios::advice;

use crate::exit::Exit;

/// Why nothing was measured.
pub struct Refusal {
    /// The reason; empty if there is nothing to say.
    pub why: String,
    /// What the command ends with.
    pub exit: Exit,
}

/// Why a lab has no result, with what may be the limit if there was too little of something.
pub fn of_lab(failure: &Failure) -> String {
    match failure {
        Failure::Lacks { of, .. } => format!("{failure}; {}", advice::limits(*of)),
        Failure::Lab(_) | Failure::Server(_) => failure.to_string(),
    }
}

impl Refusal {
    /// A reason, and what the command ends with.
    pub fn new(exit: Exit, why: impl Into<String>) -> Self {
        Self { why: why.into(), exit }
    }

    /// There is no laboratory.
    pub fn of(broken: &Broken) -> Self {
        match broken {
            Broken::Interrupted => Self::new(Exit::Interrupted, ""),
            other => Self::new(Exit::Unavailable, advice::no_lab(other)),
        }
    }
}
