//! Packages of distributions: read as streams, without the distributions' own tools.

pub mod about;
pub mod archive;
pub mod bad_package;
pub mod deb;
pub mod format;
pub mod layout;
pub mod rpm;
pub mod unpacked;
