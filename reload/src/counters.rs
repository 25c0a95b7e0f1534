//! The kernel's counters that matter for a reload.

/// The counters that are shown next to the outcomes of clients.
pub const SHOWN: [&str; 7] = [
    "TCPMigrateReqSuccess",
    FAILED,
    "ListenOverflows",
    DROPPED,
    "TCPReqQFullDrop",
    "OutRsts",
    ABORTED,
];

/// Counts children and requests that found no other listener.
pub(crate) const FAILED: &str = "TCPMigrateReqFailure";

/// Counts SYNs and final ACKs that a listener dropped.
pub(crate) const DROPPED: &str = "ListenDrops";

/// Counts connections that a server closed before it had read everything that was sent to
/// it; the kernel resets their clients.
pub(crate) const ABORTED: &str = "TCPAbortOnClose";
