//! The kernel's modules, some of which it loads when it is first asked for what they do.

use std::collections::BTreeSet;
use std::fs;

/// The modules that are loaded now; none where the kernel has no modules.
pub fn loaded() -> BTreeSet<String> {
    let text = fs::read_to_string("/proc/modules").unwrap_or_default();
    text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}
