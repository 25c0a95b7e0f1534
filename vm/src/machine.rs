//! Machines: QEMU or User-Mode Linux, started, watched, and asked how they ended.

pub mod accel;
pub mod console;
pub mod end;
pub mod guest_program;
pub mod host;
pub mod monitor;
pub mod program;
pub mod qemu;
pub mod running;
pub mod scratch;
pub mod uml;
