//! Files that results are written to.

use std::path::{Path, PathBuf};

use clap::builder::{PathBufValueParser, TypedValueParser};

/// A file besides standard output.
pub fn besides_stdout() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| match path == Path::new("-") {
        true => Err("standard output has the results anyway: name a file"),
        false => Ok(path),
    })
}
