//! The ladder of a trace: every segment with its two ends, what the laboratory did between, and
//! which listener has each connection at each moment.
//!
//! A [`Ladder`](rung::Ladder) is data, made of a trace's lines or of the same lines in a
//! document. It is drawn as text and as SVG, both from one [`layout`].

mod alignment;
mod build;
mod effect;
mod fold;
pub mod layout;
pub mod owner;
pub mod rung;
pub mod side;
pub mod svg;
#[cfg(test)]
mod tests;
pub mod text;
