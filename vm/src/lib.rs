//! Kernels as data, booted in QEMU with the suite as PID 1.
//!
//! [`fetch::choice`] turns what a user names into kernels; [`boot::prepare`] makes each ready
//! to boot: fetched through apt, checked, unpacked, and kept in the [`fetch::cache`]. A
//! [`machine::host`] boots one as often as needed, in [`machine::qemu`] or, if the kernel is a
//! process itself, as [`machine::uml`]; a [`machine::running`] machine is talked to through its
//! port until its work is done or until it ends early, for one of the reasons in
//! [`machine::end`].
//!
//! `machine` uses `boot`, and `boot` uses `fetch`. All of them know the [`architecture`]s whose
//! kernels can be booted.

// What panics where there is no room for it, or nobody to read it.
#![cfg_attr(
    not(test),
    warn(clippy::disallowed_methods, clippy::print_stderr, clippy::print_stdout)
)]

pub mod architecture;
pub mod boot;
pub mod fetch;
pub mod machine;
