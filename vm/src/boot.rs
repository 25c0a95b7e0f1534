//! Kernels made ready to boot: taken out of packages or images, with their modules.

mod arm64_image;
pub mod bootable;
pub mod bounded;
mod bzimage;
pub mod compression;
pub mod directory;
pub mod image;
pub mod in_use;
pub mod initramfs;
pub mod installed;
mod kernel_elf;
pub mod load_order;
pub mod manifest;
pub mod modules;
pub mod nearby;
pub mod no_kernel;
pub mod not_bootable;
pub mod own;
pub mod own_kernels;
pub mod package;
pub mod prepare;
pub mod prune;
pub mod regular;
mod s390_image;
mod tar_files;
