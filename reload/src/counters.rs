//! The kernel's counters that matter for a reload.

/// The counters that are shown next to the outcomes of clients.
pub const SHOWN: [&str; 7] = [
    "TCPMigrateReqSuccess",
    "TCPMigrateReqFailure",
    "ListenOverflows",
    "ListenDrops",
    "TCPReqQFullDrop",
    "OutRsts",
    ABORTED,
];

/// Counts connections that a server closed before it had read everything that was sent to
/// it; the kernel resets their clients.
pub(crate) const ABORTED: &str = "TCPAbortOnClose";
