//! What the laboratory did, as a trace's line has it.

use harness::trace::Line;

/// An act without its dashes.
pub fn act_of(line: &Line) -> &str {
    let act = line.what.strip_prefix("-- ").unwrap_or(&line.what);
    act.strip_suffix(" --").unwrap_or(act)
}
