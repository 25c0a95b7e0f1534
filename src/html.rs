//! The page: results of any number of kernels as one HTML file.

pub mod capture;
mod case;
pub mod combine;
mod comparison;
mod contents;
mod digest;
mod environment;
mod explored;
mod ladder;
mod mark;
pub mod page;
mod plainer;
mod summary;
mod table;
#[cfg(test)]
mod tests;
