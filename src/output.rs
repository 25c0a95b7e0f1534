//! What a run or a matrix found, and the formats that it is written in.

pub mod buffer;
pub mod consumer;
pub mod document;
pub mod file;
pub mod fixes;
pub mod fold;
pub mod input;
pub mod json;
pub mod junit;
pub mod ktap;
pub mod markdown;
pub mod matrix;
pub mod not_run;
pub mod plain;
pub mod progress;
pub mod read;
mod retried;
pub mod stderr;
pub mod stdout;
pub mod terminal;
#[cfg(test)]
mod tests;
pub mod totals;
pub mod word;
mod xml;
