//! What several kinds of cases do and look at in the same way.

pub(crate) mod cookie;
pub(crate) mod datagram;
pub(crate) mod fast_open;
pub(crate) mod negotiated;
pub(crate) mod other_ports;
pub(crate) mod queued_child;
pub(crate) mod request;
pub(crate) mod saved_syn;
pub(crate) mod signed;
pub(crate) mod sleeping_thread;
pub(crate) mod statistics;
pub(crate) mod syn_ack_timer;
pub(crate) mod target;
pub(crate) mod wires;
