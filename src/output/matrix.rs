//! What was found on many kernels, as a table, Markdown and JUnit's XML.

pub mod event;
pub mod findings;
pub mod grid;
pub mod junit;
pub mod live;
pub mod markdown;
pub mod table;
pub mod tap;
#[cfg(test)]
mod tests;
pub mod text;
pub mod whole;
