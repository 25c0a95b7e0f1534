//! A matrix as one text, when it has ended.

use std::io::{self, Write};

use crate::output::document::MatrixDocument;
use crate::output::matrix::event::{Matrix, MatrixConsumer};

/// How a matrix is written.
type Form = fn(&MatrixDocument) -> io::Result<String>;

/// Writes the text at the end.
pub struct Whole<W> {
    to: W,
    form: Form,
}

impl<W: Write> Whole<W> {
    /// Writes to `to` what `form` makes of the matrix.
    pub fn new(to: W, form: Form) -> Self {
        Self { to, form }
    }
}

impl<W: Write> MatrixConsumer for Whole<W> {
    fn end(&mut self, _matrix: &Matrix, found: &MatrixDocument) -> io::Result<()> {
        let text = (self.form)(found)?;
        self.to.write_all(text.as_bytes())?;
        self.to.flush()
    }
}
