//! Real servers, a file for each. They run in the lab, with configurations that are made
//! here, in a directory that only the lab sees.

mod apache;
mod gunicorn;
mod haproxy;
mod nginx;
mod support;
mod uvicorn;

use crate::strategy::Strategy;

/// Their ways of reloading, in the order of tables.
pub(crate) fn strategies() -> Vec<Strategy> {
    [
        nginx::strategies(),
        haproxy::strategies(),
        apache::strategies(),
        gunicorn::strategies(),
        uvicorn::strategies(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
