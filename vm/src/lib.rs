//! Kernels as data, booted in QEMU with the suite as PID 1.
//!
//! [`choice`] turns what a user names into kernels, [`bootable`] makes each ready to
//! boot: fetched through apt, checked, unpacked, and kept in the [`cache`]. A [`host`]
//! boots one as often as needed, in [`qemu`] or, if it is a process itself, as [`uml`]; a
//! [`machine`] is talked to through its port until it has done its work or has met its
//! [`death`].

pub mod accel;
pub mod apt;
pub mod bootable;
pub mod cache;
pub mod choice;
pub mod compression;
mod console;
pub mod death;
pub mod fetch;
pub mod host;
pub mod image;
mod initramfs;
pub mod kernels;
pub mod machine;
pub mod manifest;
pub mod modules;
mod monitor;
mod not_bootable;
pub mod package;
mod plan;
pub mod program;
pub mod prune;
pub mod qemu;
mod scratch;
pub mod sources;
pub mod uml;
