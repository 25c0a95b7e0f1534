//! Kernels as data, booted in QEMU with the suite as PID 1.
//!
//! [`choice`] turns what a user names into kernels, [`bootable`] makes each ready to
//! boot: fetched through apt, checked, unpacked, and kept in the [`cache`].

pub mod apt;
pub mod bootable;
pub mod cache;
pub mod choice;
pub mod compression;
pub mod fetch;
pub mod image;
pub mod kernels;
pub mod manifest;
pub mod modules;
mod not_bootable;
pub mod package;
pub mod prune;
pub mod sources;
