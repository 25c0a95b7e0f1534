//! The events of a matrix, and who consumes them.

use std::io;

use scenarios::case::Selected;
use scenarios::engine::Outcome;

use crate::output::document::{KernelDocument, MatrixDocument};

/// What is known when a matrix begins.
pub struct Matrix {
    /// The kernels, as they were chosen, in the order of the rows.
    pub kernels: Vec<String>,
    /// The cases, in the order of the columns.
    pub selection: Vec<Selected>,
    /// Which part of the kernels this is: `1/3`, or nothing for all of them.
    pub shard: Option<String>,
    /// How many machines there are at a time.
    pub jobs: usize,
}

/// What is being done for a kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// Its packages are fetched; in the fetcher's words, `12 of 26 MB`.
    Fetching(String),
    /// Its packages are unpacked.
    Preparing,
    /// Its machine was started.
    Booting,
    /// A case runs.
    Running {
        /// The case's id.
        id: String,
    },
    /// Its machine is started again, because a case has ended it.
    Restarting,
}

/// Makes something of a matrix. Rows are filled at the same time, in any order.
pub trait MatrixConsumer {
    /// Before the first kernel.
    fn begin(&mut self, matrix: &Matrix) -> io::Result<()> {
        let _ = matrix;
        Ok(())
    }

    /// Something is being done for a kernel, by its index in [`Matrix::kernels`].
    fn stage(&mut self, kernel: usize, stage: &Stage) -> io::Result<()> {
        let _ = (kernel, stage);
        Ok(())
    }

    /// A case has ended on a kernel.
    fn finished(&mut self, kernel: usize, outcome: &Outcome) -> io::Result<()> {
        let _ = (kernel, outcome);
        Ok(())
    }

    /// Nothing more will be done for a kernel.
    fn ended(&mut self, kernel: usize, found: &KernelDocument) -> io::Result<()> {
        let _ = (kernel, found);
        Ok(())
    }

    /// After the last kernel.
    fn end(&mut self, matrix: &Matrix, found: &MatrixDocument) -> io::Result<()>;
}
