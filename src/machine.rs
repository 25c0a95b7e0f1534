//! Guests: which kernels are booted and on what, what runs in them, and how the host talks
//! to them.

pub mod guest;
pub mod prepare;
pub mod same_command;
pub mod session;
pub mod user_list;
