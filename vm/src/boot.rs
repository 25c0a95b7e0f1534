//! Kernels made ready to boot: taken out of packages or images, with their modules.

pub mod bootable;
pub mod bounded;
pub mod compression;
pub mod image;
pub mod in_use;
pub mod initramfs;
pub mod load_order;
pub mod manifest;
pub mod modules;
pub mod not_bootable;
pub mod own_kernels;
pub mod package;
pub mod prepare;
pub mod prune;
mod tar_files;
