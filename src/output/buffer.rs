//! Bytes that one writes and another reads.

use std::cell::{Ref, RefCell};
use std::io::{self, Write};
use std::rc::Rc;

/// Bytes that a consumer writes and its listener reads.
#[derive(Clone, Default)]
pub struct Buffer(Rc<RefCell<Vec<u8>>>);

impl Buffer {
    /// What was written.
    pub fn bytes(&self) -> Ref<'_, Vec<u8>> {
        self.0.borrow()
    }

    /// What was written, as text.
    #[cfg(test)]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.borrow()).into_owned()
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
