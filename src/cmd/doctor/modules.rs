//! The modules that a run has the kernel load: the one change that it makes to the machine.

use std::path::Path;

use crate::cmd::doctor::finding::Finding;

/// What cases need, and what `sockmig reload` needs besides. The kernel loads each when it is
/// first asked for, and keeps it.
const OF_RUNS: [&str; 6] =
    ["af_packet", "inet_diag", "nf_tables", "nfnetlink", "nft_counter", "tcp_diag"];
const OF_RELOADS: [&str; 1] = ["tun"];

/// Which of them are loaded as modules, or may be.
pub fn finding() -> Finding {
    const WHAT: &str = "modules";
    if !Path::new("/proc/modules").exists() {
        return Finding::good(WHAT, "the kernel has none to load");
    }
    let all = OF_RUNS.join(", ");
    let more = OF_RELOADS.join(", ");
    Finding::good(
        WHAT,
        format!("a run has the kernel load what it has of {all}; sockmig reload also {more}"),
    )
}
