//! The program.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(toolgate::cli::main())
}
