//! Why a lab returned nothing.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Resource};
use crate::process::no_namespaces::NoNamespaces;
use crate::refusal::Refusal;

/// Why a lab returned nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Broken {
    /// The kernel did not let the namespaces be set up.
    #[error("no laboratory: {0}")]
    Setup(String),
    /// The kernel did not allow the namespaces themselves.
    #[error("no laboratory: {0}")]
    Namespaces(NoNamespaces),
    /// There is no room for one more: there may be when fewer run at a time.
    #[error("no laboratory: {call}")]
    Exhausted {
        /// What there is no more of.
        of: Resource,
        /// The call with its arguments, and the kernel's answer.
        call: String,
    },
    /// The process could not be started.
    #[error("cannot start the laboratory's process: {0}")]
    Start(Refusal),
    /// The deadline passed; everything in the lab was killed.
    #[error("hung: killed after {} s{}", after.as_secs_f64(), last_words(console))]
    Hung {
        /// The deadline.
        after: Duration,
        /// The end of what it printed.
        console: String,
    },
    /// The process ended without a word.
    #[error("the laboratory's process died ({how}){}", last_words(console))]
    Died {
        /// Exit status or signal.
        how: String,
        /// The end of what it printed.
        console: String,
    },
    /// Ctrl-C; everything in the lab was killed.
    #[error("interrupted")]
    Interrupted,
}

fn last_words(console: &str) -> String {
    match console.trim() {
        "" => String::new(),
        words => format!("; its last words:\n{words}"),
    }
}

impl Broken {
    /// Why a lab's process could not be started.
    pub(crate) fn before_work(error: Error) -> Self {
        Self::lacking(&error).unwrap_or_else(|| Self::Start(error.into()))
    }

    /// Why a lab could not be set up.
    pub(crate) fn at_setup(error: &Error) -> Self {
        Self::lacking(error).unwrap_or_else(|| Self::Setup(error.to_string()))
    }

    /// That something is lacking, if that is what this error says.
    pub fn lacking(error: &Error) -> Option<Self> {
        error.lacks().map(|of| Self::Exhausted { of, call: error.to_string() })
    }
}
