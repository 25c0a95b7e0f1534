//! The command `sockmig`; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    sockmig::main()
}
