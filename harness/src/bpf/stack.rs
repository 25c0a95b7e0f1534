//! What is where on a program's stack: offsets from its end.

/// A key of four bytes.
pub(super) const INDEX: i16 = -4;
/// The result of the last selection: 0, or an error.
pub(super) const SELECTION: i16 = -16;
/// A key of eight bytes.
pub(super) const COOKIE: i16 = -24;
/// The beginning of a packet.
pub(super) const HEADER: i16 = -48;
