//! Kernels by name, and their packages: listed, fetched through apt, checked, and cached.

pub mod apt;
mod apt_output;
pub mod cache;
pub mod cannot_fetch;
pub mod choice;
pub mod kernels;
pub mod packages;
pub mod sources;
