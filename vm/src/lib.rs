//! Kernels as data, booted in QEMU with the suite as PID 1.
//!
//! Nothing is here yet: the matrix of kernels is the next piece of work.
