//! The SYN+ACK timer: requests whose listener has closed, and whose client says nothing.
//!
//! The timer fires after 1, 3, 7, 15 and 31 seconds; it is the only thing besides a segment
//! that moves a request.

mod back_off;
mod cloned_request;
mod deferring;
mod expiry;
mod many_requests;

use crate::prefix::{Prefix, case_files};

pub(super) const PREFIX: Prefix = Prefix {
    id: "timer",
    about: "the SYN+ACK timer, which moves a handshake in flight whose client is silent: \
            whose limits and headers count from then on, and the whole back-off",
    files: case_files![expiry, back_off, cloned_request, deferring, many_requests],
};
