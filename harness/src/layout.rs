//! Where the kernel has things, as far as that differs between machines.

/// The mask of a C bit-field of one bit, of which `before` stand before it in a number of `width`
/// bits. They begin at the least significant bit on a little-endian machine, and at the most
/// significant one on a big-endian machine.
pub(crate) const fn bit_field(before: u32, width: u32) -> u32 {
    if cfg!(target_endian = "big") { 1 << (width - 1 - before) } else { 1 << before }
}

/// Which argument of the system call `clone` has the flags; the others may be zero, in whichever
/// order they are (`CONFIG_CLONE_BACKWARDS2` of the kernel, which s390 has).
pub(crate) const CLONE_FLAGS: usize = if cfg!(target_arch = "s390x") { 1 } else { 0 };
